(module
  (type (;0;) (func))
  (type (;1;) (func (param i32)))
  (type (;2;) (func (param i32) (result i32)))
  (type (;3;) (func (result i32)))
  (type (;4;) (func (param i32 i32 i32)))
  (import "program" "leap:memory.init:0:0" (func (;0;) (type 4)))
  (import "program" "leap:data.drop:0" (func (;1;) (type 0)))
  (import "program" "leap:funcrefs" (table (;0;) 0 funcref))
  (import "host" "resume" (table (;1;) 0 funcref))
  (import "program" "leap:m0" (memory (;0;) 1))
  (import "program" "leap:control" (memory (;1;) 65536 65536))
  (import "program" "leap:e0" (tag (;0;) (type 1) (param i32)))
  (export "c0" (func 2))
  (func (;2;) (type 3) (result i32)
    (local i32 funcref i32 i32 i32 i32)
    block ;; label = @1
      i32.const 0
      i32.load 1 offset=8
      local.set 2
      i32.const 0
      local.get 2
      i32.const 24
      i32.add
      i32.store 1 offset=8
      local.get 2
      i32.load 1 offset=16 align=1
      local.set 0
      local.get 2
      i32.load 1 offset=20 align=1
      table.get 0
      local.set 1
      block (result i32) ;; label = @2
        try_table (catch 0 0 (;@2;)) ;; label = @3
          local.get 2
          i32.load 1 offset=8 align=1
          i32.const 1
          i32.eq
          if ;; label = @4
          else
            i32.const 0
            i32.const 0
            i32.load 1 offset=12
            i32.const 1
            i32.add
            local.tee 3
            i32.store 1 offset=12
            local.get 3
            call_indirect 1 (type 0)
            i32.const 0
            i32.load 1
            (@metadata.code.branch_hint "\00")
            if ;; label = @5
              i32.const 0
              i32.load 1 offset=4
              i32.const 7
              i32.add
              i32.const -8
              i32.and
              local.tee 4
              i64.const 1
              i64.store 1 align=1
              i32.const 0
              i32.load 1 offset=16
              local.tee 5
              table.size 0
              i32.ge_u
              if ;; label = @6
                ref.null func
                local.get 5
                i32.const 1
                i32.add
                table.grow 0
                drop
              end
              local.get 5
              local.get 1
              table.set 0
              i32.const 0
              local.get 5
              i32.const 1
              i32.add
              i32.store 1 offset=16
              local.get 4
              local.get 0
              i32.store 1 offset=16 align=1
              local.get 4
              local.get 5
              i32.store 1 offset=20 align=1
              i32.const 0
              local.get 4
              i32.const 24
              i32.add
              i32.store 1 offset=4
              i32.const 0
              i32.const 2
              i32.store 1
              br 4 (;@1;)
            end
          end
        end
        i32.const 0
        i32.const 0
        i32.const 4
        call 0
        call 1
        local.get 1
        ref.is_null
        return
      end
      local.get 0
      i32.add
      return
    end
    i32.const 0
  )
)
