(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i32 i64) (result i32)))
  (type (;2;) (func (param i32 i32) (result i32 i32)))
  (import "env" "f" (func $f (;0;) (type 0)))
  (memory (;0;) 65536 65536)
  (export "g" (func 1))
  (export "leap:control" (memory 0))
  (export "leap:f0" (func $f))
  (func (;1;) (type 1) (param $live i32) (param $dead i64) (result i32)
    (local i32 i32 i32)
    i32.const 10
    local.get $dead
    i32.wrap_i64
    call $f
    i32.const 0
    i32.load
    (@metadata.code.branch_hint "\00")
    if (type 2) (param i32 i32) (result i32 i32) ;; label = @1
      local.set 3
      local.set 2
      i32.const 0
      i32.load offset=4
      local.tee 4
      i64.const 1
      i64.store align=1
      local.get 4
      local.get 3
      i32.store offset=16 align=1
      local.get 4
      local.get $live
      i32.store offset=20 align=1
      local.get 4
      local.get 2
      i32.store offset=24 align=1
      i32.const 0
      local.get 4
      i32.const 32
      i32.add
      i32.store offset=4
      i32.const 0
      i32.const 2
      i32.store
      i32.const 0
      return
    end
    i32.add
    local.get $live
    i32.mul
  )
)
