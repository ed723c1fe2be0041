(module
  (type (;0;) (func (result i32)))
  (type (;1;) (func (param i32) (result i32)))
  (memory (;0;) 65536 65536)
  (export "again" (func $again))
  (export "leap:control" (memory 0))
  (export "leap:f0" (func $leaf))
  (export "leap:f1" (func $again))
  (func $leaf (;0;) (type 0) (result i32)
    i32.const 1
  )
  (func $again (;1;) (type 1) (param i32) (result i32)
    (local i32)
    block ;; label = @1
      local.get 0
      i32.eqz
      if ;; label = @2
        return_call $leaf
      end
      local.get 0
      i32.const 1
      i32.sub
      i32.const 0
      i32.load
      (@metadata.code.branch_hint "\00")
      if (type 1) (param i32) (result i32) ;; label = @2
        local.set 1
        i32.const 0
        i64.const 1
        i64.store offset=160 align=1
        i32.const 0
        local.get 1
        i32.store offset=176 align=1
        i32.const 0
        i32.const 184
        i32.store offset=4
        i32.const 0
        i32.const 2
        i32.store
        br 1 (;@1;)
      end
      return_call $again
      return
    end
    i32.const 0
  )
)
