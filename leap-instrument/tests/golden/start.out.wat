(module $named
  (type (;0;) (func))
  (type (;1;) (func (param i32) (result i32)))
  (memory (;0;) 1)
  (memory (;1;) 65536 65536)
  (export "answer" (func $answer))
  (export "leap:control" (memory 1))
  (export "leap:f0" (func $init))
  (export "leap:m0" (memory 0))
  (func $init (;0;) (type 0)
    (local $i i32) (local i32)
    block $fill
      i32.const 90
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
              local.get $i
              local.get $i
              i32.store8
              local.get $i
              i32.const 1
              i32.add
              local.tee $i
              i32.const 256
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
            local.get $i
            i32.store 1 offset=176 align=1
            i32.const 0
            i32.const 184
            i32.store 1 offset=4
            i32.const 0
            i32.const 2
            i32.store 1
            br $fill
          end
          i32.const 91
          local.set 1
          i32.const 0
          i32.const 0
          i32.store 1 offset=24
          br 0 (;@3;)
        end
      end
      return
    end
  )
  (func $answer (;1;) (type 1) (param $question i32) (result i32)
    local.get $question
    i32.load8_u
  )
  (@custom "producers of this" (after code) "kept as it is")
)
