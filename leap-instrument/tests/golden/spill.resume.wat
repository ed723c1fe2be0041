(module
  (type (;0;) (func (result i32)))
  (type (;1;) (func (result i64 i32)))
  (type (;2;) (func (param i32) (result i32)))
  (import "program" "leap:f0" (func (;0;) (type 0)))
  (import "host" "resume" (table (;0;) 0 funcref))
  (import "program" "leap:control" (memory (;0;) 65536 65536))
  (export "c0" (func 1))
  (export "c1" (func 2))
  (func (;1;) (type 1) (result i64 i32)
    (local i32 i64 i32 i32 i32)
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
    block (result i32) ;; label = @1
      block (result i32) ;; label = @2
        block ;; label = @3
          local.get 0
          i32.load offset=8 align=1
          i32.const 1
          i32.eq
          if (result i32) ;; label = @4
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
            if (type 2) (param i32) (result i32) ;; label = @5
              local.set 3
              i32.const 0
              i32.load offset=4
              local.tee 4
              i64.const 1
              i64.store align=1
              local.get 4
              local.get 3
              i32.store offset=16 align=1
              local.get 4
              local.get 1
              i64.store offset=20 align=1
              i32.const 0
              local.get 4
              i32.const 32
              i32.add
              i32.store offset=4
              i32.const 0
              i32.const 2
              i32.store
              i64.const 0
              i32.const 0
              return
            end
          end
          br_if 0 (;@3;)
          call 0
          i32.const 0
          i32.load
          (@metadata.code.branch_hint "\00")
          if (type 2) (param i32) (result i32) ;; label = @4
            local.set 2
            i32.const 0
            i32.load offset=4
            local.tee 3
            i64.const 4294967297
            i64.store align=1
            local.get 3
            local.get 2
            i32.store offset=16 align=1
            local.get 3
            local.get 1
            i64.store offset=20 align=1
            i32.const 0
            local.get 3
            i32.const 32
            i32.add
            i32.store offset=4
            i32.const 0
            i32.const 2
            i32.store
            i64.const 0
            i32.const 0
            return
          end
          br 1 (;@2;)
        end
        loop (result i32) ;; label = @3
          call 0
          i32.const 0
          i32.load
          (@metadata.code.branch_hint "\00")
          if (type 2) (param i32) (result i32) ;; label = @4
            local.set 2
            i32.const 0
            i32.load offset=4
            local.tee 3
            i64.const 1
            i64.store align=1
            local.get 3
            local.get 2
            i32.store offset=16 align=1
            local.get 3
            local.get 1
            i64.store offset=20 align=1
            i32.const 0
            local.get 3
            i32.const 32
            i32.add
            i32.store offset=4
            i32.const 0
            i32.const 2
            i32.store
            i64.const 0
            i32.const 0
            return
          end
          br_if 0 (;@3;)
          call 0
          i32.const 0
          i32.load
          (@metadata.code.branch_hint "\00")
          if (type 2) (param i32) (result i32) ;; label = @4
            local.set 2
            i32.const 0
            i32.load offset=4
            local.tee 3
            i64.const 4294967297
            i64.store align=1
            local.get 3
            local.get 2
            i32.store offset=16 align=1
            local.get 3
            local.get 1
            i64.store offset=20 align=1
            i32.const 0
            local.get 3
            i32.const 32
            i32.add
            i32.store offset=4
            i32.const 0
            i32.const 2
            i32.store
            i64.const 0
            i32.const 0
            return
          end
        end
      end
    end
  )
  (func (;2;) (type 1) (result i64 i32)
    (local i32 i64 i32 i32 i32)
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
    block (result i32) ;; label = @1
      block (result i32) ;; label = @2
        block ;; label = @3
          local.get 0
          i32.load offset=8 align=1
          i32.const 1
          i32.eq
          if (result i32) ;; label = @4
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
            if (type 2) (param i32) (result i32) ;; label = @5
              local.set 3
              i32.const 0
              i32.load offset=4
              local.tee 4
              i64.const 4294967297
              i64.store align=1
              local.get 4
              local.get 3
              i32.store offset=16 align=1
              local.get 4
              local.get 1
              i64.store offset=20 align=1
              i32.const 0
              local.get 4
              i32.const 32
              i32.add
              i32.store offset=4
              i32.const 0
              i32.const 2
              i32.store
              i64.const 0
              i32.const 0
              return
            end
          end
          br 1 (;@2;)
        end
        loop (result i32) ;; label = @3
          call 0
          i32.const 0
          i32.load
          (@metadata.code.branch_hint "\00")
          if (type 2) (param i32) (result i32) ;; label = @4
            local.set 2
            i32.const 0
            i32.load offset=4
            local.tee 3
            i64.const 1
            i64.store align=1
            local.get 3
            local.get 2
            i32.store offset=16 align=1
            local.get 3
            local.get 1
            i64.store offset=20 align=1
            i32.const 0
            local.get 3
            i32.const 32
            i32.add
            i32.store offset=4
            i32.const 0
            i32.const 2
            i32.store
            i64.const 0
            i32.const 0
            return
          end
          br_if 0 (;@3;)
          call 0
          i32.const 0
          i32.load
          (@metadata.code.branch_hint "\00")
          if (type 2) (param i32) (result i32) ;; label = @4
            local.set 2
            i32.const 0
            i32.load offset=4
            local.tee 3
            i64.const 4294967297
            i64.store align=1
            local.get 3
            local.get 2
            i32.store offset=16 align=1
            local.get 3
            local.get 1
            i64.store offset=20 align=1
            i32.const 0
            local.get 3
            i32.const 32
            i32.add
            i32.store offset=4
            i32.const 0
            i32.const 2
            i32.store
            i64.const 0
            i32.const 0
            return
          end
        end
      end
    end
  )
)
