(module
  (type (;0;) (func (param i32 i32) (result i32)))
  (memory (;0;) 1)
  (memory (;1;) 65536 65536)
  (export "sum" (func 0))
  (export "leap:control" (memory 1))
  (export "leap:m0" (memory 0))
  (func (;0;) (type 0) (param $at i32) (param $end i32) (result i32)
    (local $sum i32) (local i32)
    block $l
      i32.const 76
      local.set 3
      block ;; label = @2
        loop ;; label = @3
          block ;; label = @4
            loop ;; label = @5
              local.get 3
              i32.const 1
              i32.sub
              local.tee 3
              i32.eqz
              (@metadata.code.branch_hint "\00")
              br_if 1 (;@4;)
              local.get $sum
              local.get $at
              i32.load
              i32.add
              local.set $sum
              local.get $at
              i32.const 4
              i32.add
              local.tee $at
              local.get $end
              i32.lt_u
              br_if 0 (;@5;)
            end
            br 2 (;@2;)
          end
          i32.const 0
          i32.load 1
          (@metadata.code.branch_hint "\00")
          if ;; label = @4
            i32.const 0
            i64.const 0
            i64.store 1 offset=160 align=1
            i32.const 0
            local.get $at
            i32.store 1 offset=176 align=1
            i32.const 0
            local.get $end
            i32.store 1 offset=180 align=1
            i32.const 0
            local.get $sum
            i32.store 1 offset=184 align=1
            i32.const 0
            i32.const 192
            i32.store 1 offset=4
            i32.const 0
            i32.const 2
            i32.store 1
            br $l
          end
          i32.const 77
          local.set 3
          i32.const 0
          i32.const 0
          i32.store 1 offset=24
          br 0 (;@3;)
        end
      end
      local.get $sum
      return
    end
    i32.const 0
  )
)
