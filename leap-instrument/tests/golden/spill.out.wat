(module
  (type (;0;) (func (result i32)))
  (type (;1;) (func (result i64 i32)))
  (type (;2;) (func (param i32) (result i32)))
  (import "env" "f" (func $f (;0;) (type 0)))
  (memory (;0;) 65536 65536)
  (export "g" (func 1))
  (export "leap:control" (memory 0))
  (export "leap:f0" (func $f))
  (func (;1;) (type 1) (result i64 i32)
    (local i32 i64 i32)
    i64.const 7
    i32.const 8
    local.set 0
    local.set 1
    local.get 1
    local.get 0
    block (type 2) (param i32) (result i32) ;; label = @1
      drop
      loop $l (result i32)
        call $f
        i32.const 0
        i32.load
        (@metadata.code.branch_hint "\00")
        if (type 2) (param i32) (result i32) ;; label = @3
          local.set 0
          i32.const 0
          i32.load offset=4
          local.tee 2
          i64.const 1
          i64.store align=1
          local.get 2
          local.get 0
          i32.store offset=16 align=1
          local.get 2
          local.get 1
          i64.store offset=20 align=1
          i32.const 0
          local.get 2
          i32.const 32
          i32.add
          i32.store offset=4
          i32.const 0
          i32.const 2
          i32.store
          i64.const 0
          i32.const 0
          return
        end
        br_if $l
        call $f
        i32.const 0
        i32.load
        (@metadata.code.branch_hint "\00")
        if (type 2) (param i32) (result i32) ;; label = @3
          local.set 0
          i32.const 0
          i32.load offset=4
          local.tee 2
          i64.const 4294967297
          i64.store align=1
          local.get 2
          local.get 0
          i32.store offset=16 align=1
          local.get 2
          local.get 1
          i64.store offset=20 align=1
          i32.const 0
          local.get 2
          i32.const 32
          i32.add
          i32.store offset=4
          i32.const 0
          i32.const 2
          i32.store
          i64.const 0
          i32.const 0
          return
        end
      end
    end
  )
)
