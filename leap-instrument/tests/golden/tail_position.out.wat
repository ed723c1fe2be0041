(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func))
  (type (;2;) (func (param i32)))
  (type (;3;) (func (param i32 i32)))
  (import "env" "host" (func $host (;0;) (type 0)))
  (memory (;0;) 65536 65536)
  (tag $t (;0;) (type 1))
  (export "by_end" (func 2))
  (export "by_branch" (func 3))
  (export "by_return_in_a_loop" (func 4))
  (export "handled" (func 5))
  (export "dropped" (func 6))
  (export "leap:control" (memory 0))
  (export "leap:f0" (func $host))
  (export "leap:f1" (func $spins))
  (export "leap:e0" (tag 0))
  (export "leap:fetch:I32:I32" (func 7))
  (func $spins (;1;) (type 0) (param i32) (result i32)
    (local i32)
    block $l
      i32.const 166
      local.set 1
      block ;; label = @2
        loop ;; label = @3
          block ;; label = @4
            loop ;; label = @5
              local.get 1
              i32.const 1
              i32.sub
              local.tee 1
              i32.eqz
              (@metadata.code.branch_hint "\00")
              br_if 1 (;@4;)
              local.get 0
              i32.const 1
              i32.sub
              local.tee 0
              br_if 0 (;@5;)
            end
            br 2 (;@2;)
          end
          i32.const 0
          i32.load
          (@metadata.code.branch_hint "\00")
          if ;; label = @4
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
            br $l
          end
          i32.const 167
          local.set 1
          i32.const 0
          i32.const 0
          i32.store offset=24
          br 0 (;@3;)
        end
      end
      local.get 0
      return
    end
    i32.const 0
  )
  (func (;2;) (type 0) (param i32) (result i32)
    (local i32)
    block ;; label = @1
      local.get 0
      if (result i32) ;; label = @2
        block (result i32) ;; label = @3
          local.get 0
          call $spins
        end
      else
        local.get 0
        call $host
        i32.const 0
        i32.load
        (@metadata.code.branch_hint "\00")
        if (type 0) (param i32) (result i32) ;; label = @3
          local.set 1
          i32.const 0
          local.get 1
          i32.store offset=32 align=1
          i32.const 2
          i32.const 8
          call 7
          br 2 (;@1;)
        end
      end
      return
    end
    i32.const 0
  )
  (func (;3;) (type 0) (param i32) (result i32)
    block $out (result i32)
      i32.const 7
      local.get 0
      call $spins
      br $out
    end
  )
  (func (;4;) (type 0) (param i32) (result i32)
    (local i32)
    block $l
      i32.const 76
      local.set 1
      block ;; label = @2
        loop ;; label = @3
          block ;; label = @4
            loop ;; label = @5
              local.get 1
              i32.const 1
              i32.sub
              local.tee 1
              i32.eqz
              (@metadata.code.branch_hint "\00")
              br_if 1 (;@4;)
              local.get 0
              i32.eqz
              if ;; label = @6
                i32.const 9
                call $spins
                return
              end
              local.get 0
              i32.const 1
              i32.sub
              local.set 0
              br 0 (;@5;)
            end
            br 2 (;@2;)
          end
          i32.const 0
          i32.load
          (@metadata.code.branch_hint "\00")
          if ;; label = @4
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
            br $l
          end
          i32.const 77
          local.set 1
          i32.const 0
          i32.const 0
          i32.store offset=24
          br 0 (;@3;)
        end
      end
      unreachable
      return
    end
    i32.const 0
  )
  (func (;5;) (type 0) (param i32) (result i32)
    (local i32)
    block $h
      block ;; label = @2
        try_table (catch $t 0 (;@2;)) ;; label = @3
          local.get 0
          call $spins
          i32.const 0
          i32.load
          (@metadata.code.branch_hint "\00")
          if (type 0) (param i32) (result i32) ;; label = @4
            local.set 1
            i32.const 0
            local.get 1
            i32.store offset=32 align=1
            i32.const 5
            i32.const 8
            call 7
            br $h
          end
          return
        end
      end
      i32.const 5
      return
    end
    i32.const 0
  )
  (func (;6;) (type 2) (param i32)
    (local i32)
    block ;; label = @1
      local.get 0
      call $spins
      i32.const 0
      i32.load
      (@metadata.code.branch_hint "\00")
      if (type 0) (param i32) (result i32) ;; label = @2
        local.set 1
        i32.const 0
        local.get 1
        i32.store offset=32 align=1
        i32.const 6
        i32.const 8
        call 7
        br 1 (;@1;)
      end
      drop
      return
    end
  )
  (func (;7;) (type 3) (param i32 i32)
    (local i32)
    i32.const 0
    i32.load offset=4
    i32.const 7
    i32.add
    i32.const -8
    i32.and
    local.set 2
    i32.const 0
    i32.const 2
    i32.store
    local.get 2
    local.get 0
    i32.const 1048575
    i32.and
    i32.store align=1
    local.get 2
    local.get 0
    i32.const 20
    i32.shr_u
    i32.store offset=4 align=1
    i32.const 0
    local.get 2
    local.get 1
    i32.add
    i32.const 16
    i32.add
    i32.store offset=4
    block ;; label = @1
      loop ;; label = @2
        local.get 1
        i32.eqz
        br_if 1 (;@1;)
        local.get 1
        i32.const 8
        i32.sub
        local.tee 1
        local.get 2
        i32.add
        local.get 1
        i64.load offset=32 align=1
        i64.store offset=16 align=1
        br 0 (;@2;)
      end
    end
  )
)
