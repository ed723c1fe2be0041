(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i32 i32) (result i32 i32)))
  (type (;2;) (func (param i32 i32)))
  (memory (;0;) 65536 65536)
  (export "caller" (func $caller))
  (export "recursive" (func $recursive))
  (export "leap:control" (memory 0))
  (export "leap:f2" (func $recursive))
  (export "leap:fetch:I32:I32" (func 3))
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
  (func $recursive (;2;) (type 0) (param i32) (result i32)
    (local i32 i32)
    block ;; label = @1
      local.get 0
      if (result i32) ;; label = @2
        local.get 0
        local.get 0
        i32.const 1
        i32.sub
        call $recursive
        i32.const 0
        i32.load
        (@metadata.code.branch_hint "\00")
        if (type 1) (param i32 i32) (result i32 i32) ;; label = @3
          local.set 2
          local.set 1
          i32.const 0
          local.get 2
          i32.store offset=32 align=1
          i32.const 0
          local.get 1
          i32.store offset=36 align=1
          i32.const 2
          i32.const 8
          call 3
          br 2 (;@1;)
        end
        i32.add
      else
        i32.const 0
      end
      return
    end
    i32.const 0
  )
  (func (;3;) (type 2) (param i32 i32)
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
