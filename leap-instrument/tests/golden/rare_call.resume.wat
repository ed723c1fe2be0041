(module
  (type (;0;) (func (param i32)))
  (type (;1;) (func))
  (import "program" "leap:f0" (func (;0;) (type 0)))
  (import "host" "resume" (table (;0;) 0 funcref))
  (import "program" "leap:control" (memory (;0;) 65536 65536))
  (export "c0" (func 1))
  (export "c1" (func 2))
  (func (;1;) (type 1)
    (local i32 i32 i32)
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
    block ;; label = @1
      block ;; label = @2
        local.get 0
        i32.const 1
        i32.and
        if ;; label = @3
          local.get 0
          call 0
          i32.const 0
          i32.load
          (@metadata.code.branch_hint "\00")
          if ;; label = @4
            i32.const 0
            i32.load offset=4
            local.tee 2
            i64.const 4294967297
            i64.store align=1
            local.get 2
            local.get 0
            i32.store offset=16 align=1
            i32.const 0
            local.get 2
            i32.const 24
            i32.add
            i32.store offset=4
            i32.const 0
            i32.const 2
            i32.store
            return
          end
        end
        local.get 0
        i32.const 1
        i32.shr_u
        local.tee 0
        br_if 0 (;@2;)
        br 1 (;@1;)
      end
      loop ;; label = @2
        i32.const 0
        i32.load
        (@metadata.code.branch_hint "\00")
        if ;; label = @3
          i32.const 0
          i32.load offset=4
          local.tee 2
          i64.const 1
          i64.store align=1
          local.get 2
          local.get 0
          i32.store offset=16 align=1
          i32.const 0
          local.get 2
          i32.const 24
          i32.add
          i32.store offset=4
          i32.const 0
          i32.const 2
          i32.store
          return
        end
        local.get 0
        i32.const 1
        i32.and
        if ;; label = @3
          local.get 0
          call 0
          i32.const 0
          i32.load
          (@metadata.code.branch_hint "\00")
          if ;; label = @4
            i32.const 0
            i32.load offset=4
            local.tee 2
            i64.const 4294967297
            i64.store align=1
            local.get 2
            local.get 0
            i32.store offset=16 align=1
            i32.const 0
            local.get 2
            i32.const 24
            i32.add
            i32.store offset=4
            i32.const 0
            i32.const 2
            i32.store
            return
          end
        end
        local.get 0
        i32.const 1
        i32.shr_u
        local.tee 0
        br_if 0 (;@2;)
      end
    end
  )
  (func (;2;) (type 1)
    (local i32 i32 i32 i32)
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
    block ;; label = @1
      block ;; label = @2
        block ;; label = @3
          local.get 1
          i32.load offset=8 align=1
          i32.const 1
          i32.eq
          if ;; label = @4
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
            if ;; label = @5
              i32.const 0
              i32.load offset=4
              local.tee 3
              i64.const 4294967297
              i64.store align=1
              local.get 3
              local.get 0
              i32.store offset=16 align=1
              i32.const 0
              local.get 3
              i32.const 24
              i32.add
              i32.store offset=4
              i32.const 0
              i32.const 2
              i32.store
              return
            end
          end
        end
        local.get 0
        i32.const 1
        i32.shr_u
        local.tee 0
        br_if 0 (;@2;)
        br 1 (;@1;)
      end
      loop ;; label = @2
        i32.const 0
        i32.load
        (@metadata.code.branch_hint "\00")
        if ;; label = @3
          i32.const 0
          i32.load offset=4
          local.tee 2
          i64.const 1
          i64.store align=1
          local.get 2
          local.get 0
          i32.store offset=16 align=1
          i32.const 0
          local.get 2
          i32.const 24
          i32.add
          i32.store offset=4
          i32.const 0
          i32.const 2
          i32.store
          return
        end
        local.get 0
        i32.const 1
        i32.and
        if ;; label = @3
          local.get 0
          call 0
          i32.const 0
          i32.load
          (@metadata.code.branch_hint "\00")
          if ;; label = @4
            i32.const 0
            i32.load offset=4
            local.tee 2
            i64.const 4294967297
            i64.store align=1
            local.get 2
            local.get 0
            i32.store offset=16 align=1
            i32.const 0
            local.get 2
            i32.const 24
            i32.add
            i32.store offset=4
            i32.const 0
            i32.const 2
            i32.store
            return
          end
        end
        local.get 0
        i32.const 1
        i32.shr_u
        local.tee 0
        br_if 0 (;@2;)
      end
    end
  )
)
