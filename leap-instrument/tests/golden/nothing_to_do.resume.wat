(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i32) (result i32 i32)))
  (type (;2;) (func (result i32)))
  (type (;3;) (func (param i32 i32) (result i32 i32)))
  (type (;4;) (func (param i32 i32)))
  (import "program" "leap:fetch:I32:I32" (func (;0;) (type 4)))
  (import "host" "resume" (table (;0;) 0 funcref))
  (import "program" "leap:control" (memory (;0;) 65536 65536))
  (export "c0" (func 1))
  (func (;1;) (type 2) (result i32)
    (local i32 i32 i32 i32 i32)
    block ;; label = @1
      i32.const 0
      i32.load offset=8
      local.set 1
      i32.const 0
      local.get 1
      i32.const 24
      i32.add
      i32.store offset=8
      block (result i32) ;; label = @2
        local.get 1
        i32.load offset=20 align=1
        local.get 1
        i32.load offset=8 align=1
        i32.const 1
        i32.eq
        if (type 1) (param i32) (result i32 i32) ;; label = @3
          local.get 1
          i32.load offset=16 align=1
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
          if (type 3) (param i32 i32) (result i32 i32) ;; label = @4
            local.set 4
            local.set 3
            i32.const 0
            local.get 4
            i32.store offset=32 align=1
            i32.const 0
            local.get 3
            i32.store offset=36 align=1
            i32.const 2
            i32.const 8
            call 0
            br 3 (;@1;)
          end
        end
        i32.add
      end
      return
    end
    i32.const 0
  )
)
