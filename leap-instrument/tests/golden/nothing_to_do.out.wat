(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i32)))
  (memory (;0;) 65536 65536)
  (export "caller" (func $caller))
  (export "recursive" (func $recursive))
  (export "leap:control" (memory 0))
  (export "leap:f2" (func $recursive))
  (func $leaf (;0;) (type 0) (param i32) (result i32)
    local.get 0
    i32.const 1
    i32.add
  )
  (func $caller (;1;) (type 0) (param i32) (result i32)
    local.get 0
    call $leaf
    call $leaf
  )
  (func $recursive (;2;) (type 1) (param i32)
    (local i32)
    local.get 0
    if ;; label = @1
      local.get 0
      i32.const 1
      i32.sub
      call $recursive
      i32.const 0
      i32.load
      (@metadata.code.branch_hint "\00")
      if ;; label = @2
        i32.const 0
        i32.load offset=4
        local.tee 1
        i64.const 2
        i64.store align=1
        i32.const 0
        local.get 1
        i32.const 16
        i32.add
        i32.store offset=4
        i32.const 0
        i32.const 2
        i32.store
        return
      end
    end
  )
)
