(module
  (type (;0;) (func))
  (type (;1;) (func (param i32) (result i32)))
  (import "host" "resume" (table (;0;) 0 funcref))
  (import "program" "leap:m0" (memory (;0;) 1))
  (import "program" "leap:control" (memory (;1;) 65536 65536))
  (export "c0" (func 0))
  (func (;0;) (type 0)
    (local i32 i32 i32)
    block ;; label = @1
      i32.const 0
      i32.load 1 offset=8
      local.set 1
      i32.const 0
      local.get 1
      i32.const 24
      i32.add
      i32.store 1 offset=8
      local.get 1
      i32.load 1 offset=16 align=1
      local.set 0
      block ;; label = @2
        block ;; label = @3
          local.get 0
          local.get 0
          i32.store8
          local.get 0
          i32.const 1
          i32.add
          local.tee 0
          i32.const 256
          i32.lt_u
          br_if 0 (;@3;)
          br 1 (;@2;)
        end
        i32.const 90
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
                local.get 0
                i32.store8
                local.get 0
                i32.const 1
                i32.add
                local.tee 0
                i32.const 256
                i32.lt_u
                br_if 0 (;@6;)
              end
              br 2 (;@3;)
            end
            i32.const 0
            i32.load 1
            (@metadata.code.branch_hint "\00")
            if ;; label = @5
              i32.const 0
              i64.const 0
              i64.store 1 offset=160 align=1
              i32.const 0
              local.get 0
              i32.store 1 offset=176 align=1
              i32.const 0
              i32.const 184
              i32.store 1 offset=4
              i32.const 0
              i32.const 2
              i32.store 1
              br 4 (;@1;)
            end
            i32.const 91
            local.set 2
            i32.const 0
            i32.const 0
            i32.store 1 offset=24
            br 0 (;@4;)
          end
        end
      end
      return
    end
  )
)
