(module
  (type (;0;) (func))
  (type (;1;) (func (param i32 i64 f64 i32 i64 f64 i32 i64 f64 i32 i64 f64 i32 i64 f64 i32 i64 f64 i32 i64 f64)))
  (type (;2;) (func (param i32 i32 i64 f64)))
  (type (;3;) (func (param i32 i64 f64 i32)))
  (type (;4;) (func (param i64 f64 i32 i64)))
  (type (;5;) (func (param f64 i32 i64 f64)))
  (type (;6;) (func (param i64 f64)))
  (import "env" "f" (func $f (;0;) (type 0)))
  (memory (;0;) 65536 65536)
  (export "g" (func 1))
  (export "leap:control" (memory 0))
  (export "leap:f0" (func $f))
  (export "leap:open:I32:I32:I64:F64" (func 2))
  (export "leap:append:I32:I64:F64:I32" (func 3))
  (export "leap:append:I64:F64:I32:I64" (func 4))
  (export "leap:append:F64:I32:I64:F64" (func 5))
  (export "leap:append:I64:F64" (func 6))
  (func (;1;) (type 1) (param $p0 i32) (param $p1 i64) (param $p2 f64) (param $p3 i32) (param $p4 i64) (param $p5 f64) (param $p6 i32) (param $p7 i64) (param $p8 f64) (param $p9 i32) (param $p10 i64) (param $p11 f64) (param $p12 i32) (param $p13 i64) (param $p14 f64) (param $p15 i32) (param $p16 i64) (param $p17 f64) (param $p18 i32) (param $p19 i64) (param $p20 f64)
    block ;; label = @1
      call $f
      i32.const 0
      i32.load
      (@metadata.code.branch_hint "\00")
      if ;; label = @2
        i32.const 1
        local.get $p0
        local.get $p1
        local.get $p2
        call 2
        local.get $p3
        local.get $p4
        local.get $p5
        local.get $p6
        call 3
        local.get $p7
        local.get $p8
        local.get $p9
        local.get $p10
        call 4
        local.get $p11
        local.get $p12
        local.get $p13
        local.get $p14
        call 5
        local.get $p15
        local.get $p16
        local.get $p17
        local.get $p18
        call 3
        local.get $p19
        local.get $p20
        call 6
        br 1 (;@1;)
      end
      local.get $p0
      drop
      local.get $p1
      drop
      local.get $p2
      drop
      local.get $p3
      drop
      local.get $p4
      drop
      local.get $p5
      drop
      local.get $p6
      drop
      local.get $p7
      drop
      local.get $p8
      drop
      local.get $p9
      drop
      local.get $p10
      drop
      local.get $p11
      drop
      local.get $p12
      drop
      local.get $p13
      drop
      local.get $p14
      drop
      local.get $p15
      drop
      local.get $p16
      drop
      local.get $p17
      drop
      local.get $p18
      drop
      local.get $p19
      drop
      local.get $p20
      drop
      return
    end
  )
  (func (;2;) (type 2) (param i32 i32 i64 f64)
    (local i32)
    i32.const 0
    i32.load offset=4
    i32.const 7
    i32.add
    i32.const -8
    i32.and
    local.set 4
    i32.const 0
    i32.const 2
    i32.store
    local.get 4
    local.get 0
    i32.const 1048575
    i32.and
    i32.store align=1
    local.get 4
    local.get 0
    i32.const 20
    i32.shr_u
    i32.store offset=4 align=1
    local.get 4
    local.get 1
    i32.store offset=16 align=1
    local.get 4
    local.get 2
    i64.store offset=20 align=1
    local.get 4
    local.get 3
    f64.store offset=28 align=1
    i32.const 0
    local.get 4
    i32.const 36
    i32.add
    i32.store offset=4
  )
  (func (;3;) (type 3) (param i32 i64 f64 i32)
    (local i32)
    i32.const 0
    i32.load offset=4
    local.set 4
    local.get 4
    local.get 0
    i32.store align=1
    local.get 4
    local.get 1
    i64.store offset=4 align=1
    local.get 4
    local.get 2
    f64.store offset=12 align=1
    local.get 4
    local.get 3
    i32.store offset=20 align=1
    i32.const 0
    local.get 4
    i32.const 24
    i32.add
    i32.store offset=4
  )
  (func (;4;) (type 4) (param i64 f64 i32 i64)
    (local i32)
    i32.const 0
    i32.load offset=4
    local.set 4
    local.get 4
    local.get 0
    i64.store align=1
    local.get 4
    local.get 1
    f64.store offset=8 align=1
    local.get 4
    local.get 2
    i32.store offset=16 align=1
    local.get 4
    local.get 3
    i64.store offset=20 align=1
    i32.const 0
    local.get 4
    i32.const 28
    i32.add
    i32.store offset=4
  )
  (func (;5;) (type 5) (param f64 i32 i64 f64)
    (local i32)
    i32.const 0
    i32.load offset=4
    local.set 4
    local.get 4
    local.get 0
    f64.store align=1
    local.get 4
    local.get 1
    i32.store offset=8 align=1
    local.get 4
    local.get 2
    i64.store offset=12 align=1
    local.get 4
    local.get 3
    f64.store offset=20 align=1
    i32.const 0
    local.get 4
    i32.const 28
    i32.add
    i32.store offset=4
  )
  (func (;6;) (type 6) (param i64 f64)
    (local i32)
    i32.const 0
    i32.load offset=4
    local.set 2
    local.get 2
    local.get 0
    i64.store align=1
    local.get 2
    local.get 1
    f64.store offset=8 align=1
    i32.const 0
    local.get 2
    i32.const 16
    i32.add
    i32.store offset=4
  )
)
