(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func))
  (type (;2;) (func (param i32)))
  (type (;3;) (func (result i32)))
  (type (;4;) (func (param i32 i32)))
  (import "program" "leap:fetch:I32:I32" (func (;0;) (type 4)))
  (import "program" "leap:f1" (func (;1;) (type 0)))
  (import "host" "resume" (table (;0;) 0 funcref))
  (import "program" "leap:control" (memory (;0;) 65536 65536))
  (import "program" "leap:e0" (tag (;0;) (type 1)))
  (export "c0" (func 2))
  (export "c1" (func 3))
  (export "c2" (func 4))
  (export "c3" (func 5))
  (export "c4" (func 6))
  (func (;2;) (type 3) (result i32)
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
          local.get 0
          i32.const 1
          i32.sub
          local.tee 0
          br_if 0 (;@3;)
          br 1 (;@2;)
        end
        i32.const 166
        local.set 2
        block ;; label = @3
          loop ;; label = @4
            block ;; label = @5
              loop ;; label = @6
                local.get 2
                i32.const 1
                i32.sub
                local.tee 2
                i32.eqz
                (@metadata.code.branch_hint "\00")
                br_if 1 (;@5;)
                local.get 0
                i32.const 1
                i32.sub
                local.tee 0
                br_if 0 (;@6;)
              end
              br 2 (;@3;)
            end
            i32.const 0
            i32.load
            (@metadata.code.branch_hint "\00")
            if ;; label = @5
              i32.const 0
              i64.const 1
              i64.store offset=160 align=1
              i32.const 0
              local.get 0
              i32.store offset=176 align=1
              i32.const 0
              i32.const 184
              i32.store offset=4
              i32.const 0
              i32.const 2
              i32.store
              br 4 (;@1;)
            end
            i32.const 167
            local.set 2
            i32.const 0
            i32.const 0
            i32.store offset=24
            br 0 (;@4;)
          end
        end
      end
      local.get 0
      return
    end
    i32.const 0
  )
  (func (;3;) (type 3) (result i32)
    (local i32 i32 i32 i32)
    block ;; label = @1
      i32.const 0
      i32.load offset=8
      local.set 1
      i32.const 0
      local.get 1
      i32.const 24
      i32.add
      i32.store offset=8
      block (result i32) ;; label = @2
        local.get 1
        i32.load offset=8 align=1
        i32.const 1
        i32.eq
        if (result i32) ;; label = @3
          local.get 1
          i32.load offset=16 align=1
        else
          i32.const 0
          i32.const 0
          i32.load offset=12
          i32.const 1
          i32.add
          local.tee 2
          i32.store offset=12
          local.get 2
          call_indirect (type 3)
          i32.const 0
          i32.load
          (@metadata.code.branch_hint "\00")
          if (type 0) (param i32) (result i32) ;; label = @4
            local.set 3
            i32.const 0
            local.get 3
            i32.store offset=32 align=1
            i32.const 2
            i32.const 8
            call 0
            br 3 (;@1;)
          end
        end
      end
      return
    end
    i32.const 0
  )
  (func (;4;) (type 3) (result i32)
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
          local.get 0
          i32.eqz
          if ;; label = @4
            i32.const 9
            call 1
            return
          end
          local.get 0
          i32.const 1
          i32.sub
          local.set 0
          br 0 (;@3;)
          br 1 (;@2;)
        end
        i32.const 76
        local.set 2
        block ;; label = @3
          loop ;; label = @4
            block ;; label = @5
              loop ;; label = @6
                local.get 2
                i32.const 1
                i32.sub
                local.tee 2
                i32.eqz
                (@metadata.code.branch_hint "\00")
                br_if 1 (;@5;)
                local.get 0
                i32.eqz
                if ;; label = @7
                  i32.const 9
                  call 1
                  return
                end
                local.get 0
                i32.const 1
                i32.sub
                local.set 0
                br 0 (;@6;)
              end
              br 2 (;@3;)
            end
            i32.const 0
            i32.load
            (@metadata.code.branch_hint "\00")
            if ;; label = @5
              i32.const 0
              i64.const 4
              i64.store offset=160 align=1
              i32.const 0
              local.get 0
              i32.store offset=176 align=1
              i32.const 0
              i32.const 184
              i32.store offset=4
              i32.const 0
              i32.const 2
              i32.store
              br 4 (;@1;)
            end
            i32.const 77
            local.set 2
            i32.const 0
            i32.const 0
            i32.store offset=24
            br 0 (;@4;)
          end
        end
      end
      unreachable
      return
    end
    i32.const 0
  )
  (func (;5;) (type 3) (result i32)
    (local i32 i32 i32 i32)
    block ;; label = @1
      i32.const 0
      i32.load offset=8
      local.set 1
      i32.const 0
      local.get 1
      i32.const 24
      i32.add
      i32.store offset=8
      block ;; label = @2
        try_table (catch 0 0 (;@2;)) ;; label = @3
          local.get 1
          i32.load offset=8 align=1
          i32.const 1
          i32.eq
          if (result i32) ;; label = @4
            local.get 1
            i32.load offset=16 align=1
          else
            i32.const 0
            i32.const 0
            i32.load offset=12
            i32.const 1
            i32.add
            local.tee 2
            i32.store offset=12
            local.get 2
            call_indirect (type 3)
            i32.const 0
            i32.load
            (@metadata.code.branch_hint "\00")
            if (type 0) (param i32) (result i32) ;; label = @5
              local.set 3
              i32.const 0
              local.get 3
              i32.store offset=32 align=1
              i32.const 5
              i32.const 8
              call 0
              br 4 (;@1;)
            end
          end
          return
        end
      end
      i32.const 5
      return
    end
    i32.const 0
  )
  (func (;6;) (type 1)
    (local i32 i32 i32 i32)
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
      i32.load offset=8 align=1
      i32.const 1
      i32.eq
      if (result i32) ;; label = @2
        local.get 1
        i32.load offset=16 align=1
      else
        i32.const 0
        i32.const 0
        i32.load offset=12
        i32.const 1
        i32.add
        local.tee 2
        i32.store offset=12
        local.get 2
        call_indirect (type 3)
        i32.const 0
        i32.load
        (@metadata.code.branch_hint "\00")
        if (type 0) (param i32) (result i32) ;; label = @3
          local.set 3
          i32.const 0
          local.get 3
          i32.store offset=32 align=1
          i32.const 6
          i32.const 8
          call 0
          br 2 (;@1;)
        end
      end
      drop
      return
    end
  )
)
