(module
  (type (;0;) (func (result i32)))
  (type (;1;) (func (result i64 i32)))
  (type (;2;) (func (param i32) (result i32)))
  (type (;3;) (func (param i32 i32)))
  (import "program" "leap:fetch:I32:I32" (func (;0;) (type 3)))
  (import "program" "leap:f0" (func (;1;) (type 0)))
  (import "host" "resume" (table (;0;) 0 funcref))
  (import "program" "leap:control" (memory (;0;) 65536 65536))
  (export "c0" (func 2))
  (export "c1" (func 3))
  (func (;2;) (type 1) (result i64 i32)
    (local i32 i64 i32 i32)
    block ;; label = @1
      i32.const 0
      i32.load offset=8
      local.set 0
      i32.const 0
      local.get 0
      i32.const 32
      i32.add
      i32.store offset=8
      local.get 0
      i64.load offset=20 align=1
      local.tee 1
      block (result i32) ;; label = @2
        block (result i32) ;; label = @3
          block ;; label = @4
            local.get 0
            i32.load offset=8 align=1
            i32.const 1
            i32.eq
            if (result i32) ;; label = @5
              local.get 0
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
              call_indirect (type 0)
              i32.const 0
              i32.load
              (@metadata.code.branch_hint "\00")
              if (type 2) (param i32) (result i32) ;; label = @6
                local.set 3
                i32.const 0
                local.get 3
                i32.store offset=32 align=1
                i32.const 0
                local.get 1
                i64.store offset=36 align=1
                i32.const 1
                i32.const 16
                call 0
                br 5 (;@1;)
              end
            end
            br_if 0 (;@4;)
            call 1
            i32.const 0
            i32.load
            (@metadata.code.branch_hint "\00")
            if (type 2) (param i32) (result i32) ;; label = @5
              local.set 2
              i32.const 0
              local.get 2
              i32.store offset=32 align=1
              i32.const 0
              local.get 1
              i64.store offset=36 align=1
              i32.const 1048577
              i32.const 16
              call 0
              br 4 (;@1;)
            end
            br 1 (;@3;)
          end
          loop (result i32) ;; label = @4
            call 1
            i32.const 0
            i32.load
            (@metadata.code.branch_hint "\00")
            if (type 2) (param i32) (result i32) ;; label = @5
              local.set 2
              i32.const 0
              local.get 2
              i32.store offset=32 align=1
              i32.const 0
              local.get 1
              i64.store offset=36 align=1
              i32.const 1
              i32.const 16
              call 0
              br 4 (;@1;)
            end
            br_if 0 (;@4;)
            call 1
            i32.const 0
            i32.load
            (@metadata.code.branch_hint "\00")
            if (type 2) (param i32) (result i32) ;; label = @5
              local.set 2
              i32.const 0
              local.get 2
              i32.store offset=32 align=1
              i32.const 0
              local.get 1
              i64.store offset=36 align=1
              i32.const 1048577
              i32.const 16
              call 0
              br 4 (;@1;)
            end
          end
        end
      end
      return
    end
    i64.const 0
    i32.const 0
  )
  (func (;3;) (type 1) (result i64 i32)
    (local i32 i64 i32 i32)
    block ;; label = @1
      i32.const 0
      i32.load offset=8
      local.set 0
      i32.const 0
      local.get 0
      i32.const 32
      i32.add
      i32.store offset=8
      local.get 0
      i64.load offset=20 align=1
      local.tee 1
      block (result i32) ;; label = @2
        block (result i32) ;; label = @3
          block ;; label = @4
            local.get 0
            i32.load offset=8 align=1
            i32.const 1
            i32.eq
            if (result i32) ;; label = @5
              local.get 0
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
              call_indirect (type 0)
              i32.const 0
              i32.load
              (@metadata.code.branch_hint "\00")
              if (type 2) (param i32) (result i32) ;; label = @6
                local.set 3
                i32.const 0
                local.get 3
                i32.store offset=32 align=1
                i32.const 0
                local.get 1
                i64.store offset=36 align=1
                i32.const 1048577
                i32.const 16
                call 0
                br 5 (;@1;)
              end
            end
            br 1 (;@3;)
          end
          loop (result i32) ;; label = @4
            call 1
            i32.const 0
            i32.load
            (@metadata.code.branch_hint "\00")
            if (type 2) (param i32) (result i32) ;; label = @5
              local.set 2
              i32.const 0
              local.get 2
              i32.store offset=32 align=1
              i32.const 0
              local.get 1
              i64.store offset=36 align=1
              i32.const 1
              i32.const 16
              call 0
              br 4 (;@1;)
            end
            br_if 0 (;@4;)
            call 1
            i32.const 0
            i32.load
            (@metadata.code.branch_hint "\00")
            if (type 2) (param i32) (result i32) ;; label = @5
              local.set 2
              i32.const 0
              local.get 2
              i32.store offset=32 align=1
              i32.const 0
              local.get 1
              i64.store offset=36 align=1
              i32.const 1048577
              i32.const 16
              call 0
              br 4 (;@1;)
            end
          end
        end
      end
      return
    end
    i64.const 0
    i32.const 0
  )
)
