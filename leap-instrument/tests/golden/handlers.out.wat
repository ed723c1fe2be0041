(module
  (type (;0;) (func))
  (type (;1;) (func (param i32)))
  (type (;2;) (func (param i32) (result i32)))
  (type (;3;) (func (param i32 i32 i32)))
  (type (;4;) (func (result funcref)))
  (import "env" "f" (func $f (;0;) (type 0)))
  (table (;0;) 0 funcref)
  (memory (;0;) 1)
  (memory (;1;) 65536 65536)
  (tag $t (;0;) (type 1) (param i32))
  (global (;0;) (mut i32) i32.const 0)
  (export "g" (func 1))
  (export "h" (func $h))
  (export "leap:control" (memory 1))
  (export "leap:funcrefs" (table 0))
  (export "leap:f0" (func $f))
  (export "leap:f2" (func $h))
  (export "leap:m0" (memory 0))
  (export "leap:e0" (tag 0))
  (export "leap:dropped-data0" (global 0))
  (export "leap:memory.init:0:0" (func 3))
  (export "leap:data.drop:0" (func 4))
  (export "leap:ref.func:2" (func 5))
  (func (;1;) (type 2) (param $kept i32) (result i32)
    (local $r funcref) (local i32 i32)
    block $caught
      ref.func $h
      local.set $r
      block (result i32) ;; label = @2
        try_table (catch $t 0 (;@2;)) ;; label = @3
          call $f
          i32.const 0
          i32.load 1
          (@metadata.code.branch_hint "\00")
          if ;; label = @4
            i32.const 0
            i32.load 1 offset=4
            i32.const 7
            i32.add
            i32.const -8
            i32.and
            local.tee 2
            i64.const 1
            i64.store 1 align=1
            i32.const 0
            i32.load 1 offset=16
            local.tee 3
            table.size 0
            i32.ge_u
            if ;; label = @5
              ref.null func
              local.get 3
              i32.const 1
              i32.add
              table.grow 0
              drop
            end
            local.get 3
            local.get $r
            table.set 0
            i32.const 0
            local.get 3
            i32.const 1
            i32.add
            i32.store 1 offset=16
            local.get 2
            local.get $kept
            i32.store 1 offset=16 align=1
            local.get 2
            local.get 3
            i32.store 1 offset=20 align=1
            i32.const 0
            local.get 2
            i32.const 24
            i32.add
            i32.store 1 offset=4
            i32.const 0
            i32.const 2
            i32.store 1
            br $caught
          end
        end
        i32.const 0
        i32.const 0
        i32.const 4
        memory.init $d
        data.drop $d
        i32.const 1
        global.set 0
        local.get $r
        ref.is_null
        return
      end
      local.get $kept
      i32.add
      return
    end
    i32.const 0
  )
  (func $h (;2;) (type 0))
  (func (;3;) (type 3) (param i32 i32 i32)
    local.get 0
    local.get 1
    local.get 2
    memory.init $d
  )
  (func (;4;) (type 0)
    data.drop $d
    i32.const 1
    global.set 0
  )
  (func (;5;) (type 4) (result funcref)
    ref.func $h
  )
  (data $d (;0;) "leap")
)
