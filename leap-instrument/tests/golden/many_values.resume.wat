(module
  (type (;0;) (func))
  (type (;1;) (func (param i32 i64 f64 i32 i64 f64 i32 i64 f64 i32 i64 f64 i32 i64 f64 i32 i64 f64 i32 i64 f64)))
  (type (;2;) (func (param i32 i32 i64 f64)))
  (type (;3;) (func (param i32 i64 f64 i32)))
  (type (;4;) (func (param i64 f64 i32 i64)))
  (type (;5;) (func (param f64 i32 i64 f64)))
  (type (;6;) (func (param i64 f64)))
  (import "program" "leap:open:I32:I32:I64:F64" (func (;0;) (type 2)))
  (import "program" "leap:append:I32:I64:F64:I32" (func (;1;) (type 3)))
  (import "program" "leap:append:I64:F64:I32:I64" (func (;2;) (type 4)))
  (import "program" "leap:append:F64:I32:I64:F64" (func (;3;) (type 5)))
  (import "program" "leap:append:I64:F64" (func (;4;) (type 6)))
  (import "host" "resume" (table (;0;) 0 funcref))
  (import "program" "leap:control" (memory (;0;) 65536 65536))
  (export "c0" (func 5))
  (func (;5;) (type 0)
    (local i32 i64 f64 i32 i64 f64 i32 i64 f64 i32 i64 f64 i32 i64 f64 i32 i64 f64 i32 i64 f64 i32 i32)
    block ;; label = @1
      i32.const 0
      i32.load offset=8
      local.set 21
      i32.const 0
      local.get 21
      i32.const 160
      i32.add
      i32.store offset=8
      local.get 21
      i32.load offset=16 align=1
      local.set 0
      local.get 21
      i64.load offset=20 align=1
      local.set 1
      local.get 21
      f64.load offset=28 align=1
      local.set 2
      local.get 21
      i32.load offset=36 align=1
      local.set 3
      local.get 21
      i64.load offset=40 align=1
      local.set 4
      local.get 21
      f64.load offset=48 align=1
      local.set 5
      local.get 21
      i32.load offset=56 align=1
      local.set 6
      local.get 21
      i64.load offset=60 align=1
      local.set 7
      local.get 21
      f64.load offset=68 align=1
      local.set 8
      local.get 21
      i32.load offset=76 align=1
      local.set 9
      local.get 21
      i64.load offset=80 align=1
      local.set 10
      local.get 21
      f64.load offset=88 align=1
      local.set 11
      local.get 21
      i32.load offset=96 align=1
      local.set 12
      local.get 21
      i64.load offset=100 align=1
      local.set 13
      local.get 21
      f64.load offset=108 align=1
      local.set 14
      local.get 21
      i32.load offset=116 align=1
      local.set 15
      local.get 21
      i64.load offset=120 align=1
      local.set 16
      local.get 21
      f64.load offset=128 align=1
      local.set 17
      local.get 21
      i32.load offset=136 align=1
      local.set 18
      local.get 21
      i64.load offset=140 align=1
      local.set 19
      local.get 21
      f64.load offset=148 align=1
      local.set 20
      local.get 21
      i32.load offset=8 align=1
      i32.const 1
      i32.eq
      if ;; label = @2
      else
        i32.const 0
        i32.const 0
        i32.load offset=12
        i32.const 1
        i32.add
        local.tee 22
        i32.store offset=12
        local.get 22
        call_indirect (type 0)
        i32.const 0
        i32.load
        (@metadata.code.branch_hint "\00")
        if ;; label = @3
          i32.const 1
          local.get 0
          local.get 1
          local.get 2
          call 0
          local.get 3
          local.get 4
          local.get 5
          local.get 6
          call 1
          local.get 7
          local.get 8
          local.get 9
          local.get 10
          call 2
          local.get 11
          local.get 12
          local.get 13
          local.get 14
          call 3
          local.get 15
          local.get 16
          local.get 17
          local.get 18
          call 1
          local.get 19
          local.get 20
          call 4
          br 2 (;@1;)
        end
      end
      local.get 0
      drop
      local.get 1
      drop
      local.get 2
      drop
      local.get 3
      drop
      local.get 4
      drop
      local.get 5
      drop
      local.get 6
      drop
      local.get 7
      drop
      local.get 8
      drop
      local.get 9
      drop
      local.get 10
      drop
      local.get 11
      drop
      local.get 12
      drop
      local.get 13
      drop
      local.get 14
      drop
      local.get 15
      drop
      local.get 16
      drop
      local.get 17
      drop
      local.get 18
      drop
      local.get 19
      drop
      local.get 20
      drop
      return
    end
  )
)
