(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i32 i64) (result i32)))
  (type (;2;) (func (param i32 i32) (result i32 i32)))
  (type (;3;) (func (param i32 i32)))
  (import "env" "f" (func $f (;0;) (type 0)))
  (memory (;0;) 65536 65536)
  (export "g" (func 1))
  (export "leap:control" (memory 0))
  (export "leap:f0" (func $f))
  (export "leap:fetch:I32:I32" (func 2))
  (func (;1;) (type 1) (param $live i32) (param $dead i64) (result i32)
    (local i32 i32)
    block ;; label = @1
      i32.const 10
      local.get $dead
      i32.wrap_i64
      call $f
      i32.const 0
      i32.load
      (@metadata.code.branch_hint "\00")
      if (type 2) (param i32 i32) (result i32 i32) ;; label = @2
        local.set 3
        local.set 2
        i32.const 0
        local.get 3
        i32.store offset=32 align=1
        i32.const 0
        local.get $live
        i32.store offset=36 align=1
        i32.const 0
        local.get 2
        i32.store offset=40 align=1
        i32.const 1
        i32.const 16
        call 2
        br 1 (;@1;)
      end
      i32.add
      local.get $live
      i32.mul
      return
    end
    i32.const 0
  )
  (func (;2;) (type 3) (param i32 i32)
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
