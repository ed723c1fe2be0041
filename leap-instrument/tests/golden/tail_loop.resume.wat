(module
  (type (;0;) (func (result i32)))
  (type (;1;) (func (param i32) (result i32)))
  (import "program" "leap:f1" (func (;0;) (type 1)))
  (import "host" "resume" (table (;0;) 0 funcref))
  (import "program" "leap:control" (memory (;0;) 65536 65536))
  (export "c0" (func 1))
  (func (;1;) (type 0) (result i32)
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
      return_call 0
      return
    end
    i32.const 0
  )
)
