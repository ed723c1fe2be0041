(module
  (type (;0;) (func (param i32)))
  (type (;1;) (func))
  (type (;2;) (func (param i32 i32)))
  (import "program" "leap:f0" (func (;0;) (type 0)))
  (import "program" "leap:fetch:I32:I32" (func (;1;) (type 2)))
  (import "host" "resume" (table (;0;) 0 funcref))
  (import "program" "leap:control" (memory (;0;) 65536 65536))
  (export "c0" (func 2))
  (export "c1" (func 3))
  (func (;2;) (type 1)
    (local i32 i32)
    block ;; label = @1
      i32.const 0
      i32.load offset=8
      local.set 1
      i32.const 0
      local.get 1
      i32.const 24
      i32.add
      i32.store offset=8
      local.get 1
      i32.load offset=16 align=1
      local.set 0
      block ;; label = @2
        block ;; label = @3
          local.get 0
          i32.const 1
          i32.and
          if ;; label = @4
            local.get 0
            call 0
            i32.const 0
            i32.load
            (@metadata.code.branch_hint "\00")
            if ;; label = @5
              i32.const 0
              local.get 0
              i32.store offset=32 align=1
              i32.const 1048577
              i32.const 8
              call 1
              br 4 (;@1;)
            end
          end
          local.get 0
          i32.const 1
          i32.shr_u
          local.tee 0
          br_if 0 (;@3;)
          br 1 (;@2;)
        end
        loop ;; label = @3
          i32.const 0
          i32.load
          (@metadata.code.branch_hint "\00")
          if ;; label = @4
            i32.const 0
            local.get 0
            i32.store offset=32 align=1
            i32.const 1
            i32.const 8
            call 1
            br 3 (;@1;)
          end
          local.get 0
          i32.const 1
          i32.and
          if ;; label = @4
            local.get 0
            call 0
            i32.const 0
            i32.load
            (@metadata.code.branch_hint "\00")
            if ;; label = @5
              i32.const 0
              local.get 0
              i32.store offset=32 align=1
              i32.const 1048577
              i32.const 8
              call 1
              br 4 (;@1;)
            end
          end
          local.get 0
          i32.const 1
          i32.shr_u
          local.tee 0
          br_if 0 (;@3;)
        end
      end
      return
    end
  )
  (func (;3;) (type 1)
    (local i32 i32 i32)
    block ;; label = @1
      i32.const 0
      i32.load offset=8
      local.set 1
      i32.const 0
      local.get 1
      i32.const 24
      i32.add
      i32.store offset=8
      local.get 1
      i32.load offset=16 align=1
      local.set 0
      block ;; label = @2
        block ;; label = @3
          block ;; label = @4
            local.get 1
            i32.load offset=8 align=1
            i32.const 1
            i32.eq
            if ;; label = @5
            else
              i32.const 0
              i32.const 0
              i32.load offset=12
              i32.const 1
              i32.add
              local.tee 2
              i32.store offset=12
              local.get 2
              call_indirect (type 1)
              i32.const 0
              i32.load
              (@metadata.code.branch_hint "\00")
              if ;; label = @6
                i32.const 0
                local.get 0
                i32.store offset=32 align=1
                i32.const 1048577
                i32.const 8
                call 1
                br 5 (;@1;)
              end
            end
          end
          local.get 0
          i32.const 1
          i32.shr_u
          local.tee 0
          br_if 0 (;@3;)
          br 1 (;@2;)
        end
        loop ;; label = @3
          i32.const 0
          i32.load
          (@metadata.code.branch_hint "\00")
          if ;; label = @4
            i32.const 0
            local.get 0
            i32.store offset=32 align=1
            i32.const 1
            i32.const 8
            call 1
            br 3 (;@1;)
          end
          local.get 0
          i32.const 1
          i32.and
          if ;; label = @4
            local.get 0
            call 0
            i32.const 0
            i32.load
            (@metadata.code.branch_hint "\00")
            if ;; label = @5
              i32.const 0
              local.get 0
              i32.store offset=32 align=1
              i32.const 1048577
              i32.const 8
              call 1
              br 4 (;@1;)
            end
          end
          local.get 0
          i32.const 1
          i32.shr_u
          local.tee 0
          br_if 0 (;@3;)
        end
      end
      return
    end
  )
)
