(module
  (type (;0;) (func))
  (type (;1;) (func (param funcref externref i32) (result i32)))
  (type (;2;) (func (param funcref) (result funcref)))
  (type (;3;) (func (result i32)))
  (type (;4;) (func (result funcref)))
  (import "program" "leap:funcrefs" (table (;0;) 0 funcref))
  (import "program" "leap:externrefs" (table (;1;) 0 externref))
  (import "host" "resume" (table (;2;) 0 funcref))
  (import "program" "leap:control" (memory (;0;) 65536 65536))
  (export "c0" (func 0))
  (export "c1" (func 1))
  (func (;0;) (type 3) (result i32)
    (local funcref externref i32 i32 i32)
    block ;; label = @1
      i32.const 0
      i32.load offset=8
      local.set 3
      i32.const 0
      local.get 3
      i32.const 32
      i32.add
      i32.store offset=8
      local.get 3
      i32.load offset=16 align=1
      table.get 0
      local.set 0
      local.get 3
      i32.load offset=20 align=1
      table.get 1
      local.set 1
      local.get 3
      i32.load offset=24 align=1
      local.set 2
      block ;; label = @2
        block ;; label = @3
          local.get 2
          i32.const 1
          i32.sub
          local.tee 2
          br_if 0 (;@3;)
          br 1 (;@2;)
        end
        i32.const 166
        local.set 4
        block ;; label = @3
          loop ;; label = @4
            block ;; label = @5
              loop ;; label = @6
                local.get 4
                i32.const 1
                i32.sub
                local.tee 4
                i32.eqz
                (@metadata.code.branch_hint "\00")
                br_if 1 (;@5;)
                local.get 2
                i32.const 1
                i32.sub
                local.tee 2
                br_if 0 (;@6;)
              end
              br 2 (;@3;)
            end
            i32.const 0
            i32.load
            (@metadata.code.branch_hint "\00")
            if ;; label = @5
              i32.const 0
              i64.const 1
              i64.store offset=160 align=1
              i32.const 0
              i32.load offset=16
              i32.const 0
              i32.add
              local.get 0
              table.set 0
              i32.const 0
              i32.const 0
              i32.load offset=16
              i32.const 0
              i32.add
              i32.store offset=176 align=1
              i32.const 0
              i32.load offset=16
              i32.const 1
              i32.add
              local.get 1
              table.set 1
              i32.const 0
              i32.const 0
              i32.load offset=16
              i32.const 1
              i32.add
              i32.store offset=180 align=1
              i32.const 0
              local.get 2
              i32.store offset=184 align=1
              i32.const 0
              i32.const 0
              i32.load offset=16
              i32.const 2
              i32.add
              i32.store offset=16
              i32.const 0
              i32.const 192
              i32.store offset=4
              i32.const 0
              i32.const 2
              i32.store
              br 4 (;@1;)
            end
            i32.const 167
            local.set 4
            i32.const 0
            i32.const 0
            i32.store offset=24
            br 0 (;@4;)
          end
        end
      end
      local.get 0
      ref.is_null
      local.get 1
      ref.is_null
      i32.add
      return
    end
    i32.const 0
  )
  (func (;1;) (type 4) (result funcref)
    (local funcref i32 i32 i32 i32)
    block ;; label = @1
      i32.const 0
      i32.load offset=8
      local.set 1
      i32.const 0
      local.get 1
      i32.const 24
      i32.add
      i32.store offset=8
      local.get 1
      i32.load offset=16 align=1
      table.get 0
      local.set 0
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
        call_indirect 2 (type 0)
        i32.const 0
        i32.load
        (@metadata.code.branch_hint "\00")
        if ;; label = @3
          i32.const 0
          i32.load offset=4
          i32.const 7
          i32.add
          i32.const -8
          i32.and
          local.tee 3
          i64.const 2
          i64.store align=1
          i32.const 0
          i32.load offset=16
          local.tee 4
          table.size 0
          i32.ge_u
          if ;; label = @4
            ref.null func
            local.get 4
            i32.const 1
            i32.add
            table.grow 0
            drop
          end
          local.get 4
          local.get 0
          table.set 0
          i32.const 0
          local.get 4
          i32.const 1
          i32.add
          i32.store offset=16
          local.get 3
          local.get 4
          i32.store offset=16 align=1
          i32.const 0
          local.get 3
          i32.const 24
          i32.add
          i32.store offset=4
          i32.const 0
          i32.const 2
          i32.store
          br 2 (;@1;)
        end
      end
      local.get 0
      return
    end
    ref.null func
  )
)
