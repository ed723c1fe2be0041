(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i32)))
  (type (;2;) (func))
  (import "host" "resume" (table (;0;) 0 funcref))
  (import "program" "leap:control" (memory (;0;) 65536 65536))
  (export "c0" (func 0))
  (func (;0;) (type 2)
    (local i32 i32 i32 i32)
    i32.const 0
    i32.load offset=8
    local.set 1
    i32.const 0
    local.get 1
    i32.const 16
    i32.add
    i32.store offset=8
    block ;; label = @1
      local.get 1
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
        local.tee 2
        i32.store offset=12
        local.get 2
        call_indirect (type 2)
        i32.const 0
        i32.load
        (@metadata.code.branch_hint "\00")
        if ;; label = @3
          i32.const 0
          i32.load offset=4
          local.tee 3
          i64.const 2
          i64.store align=1
          i32.const 0
          local.get 3
          i32.const 16
          i32.add
          i32.store offset=4
          i32.const 0
          i32.const 2
          i32.store
          return
        end
      end
    end
  )
)
