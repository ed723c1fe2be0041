(module
  (type (;0;) (func))
  (type (;1;) (func (param funcref externref i32) (result i32)))
  (type (;2;) (func (param funcref) (result funcref)))
  (import "env" "f" (func $f (;0;) (type 0)))
  (table (;0;) 2 funcref)
  (table (;1;) 2 externref)
  (memory (;0;) 65536 65536)
  (export "in_place" (func 1))
  (export "after_call" (func 2))
  (export "leap:control" (memory 0))
  (export "leap:funcrefs" (table 0))
  (export "leap:externrefs" (table 1))
  (export "leap:f0" (func $f))
  (func (;1;) (type 1) (param $a funcref) (param $b externref) (param $n i32) (result i32)
    (local i32)
    block $l
      i32.const 166
      local.set 3
      block ;; label = @2
        loop ;; label = @3
          block ;; label = @4
            loop ;; label = @5
              local.get 3
              i32.const 1
              i32.sub
              local.tee 3
              i32.eqz
              (@metadata.code.branch_hint "\00")
              br_if 1 (;@4;)
              local.get $n
              i32.const 1
              i32.sub
              local.tee $n
              br_if 0 (;@5;)
            end
            br 2 (;@2;)
          end
          i32.const 0
          i32.load
          (@metadata.code.branch_hint "\00")
          if ;; label = @4
            i32.const 0
            i64.const 1
            i64.store offset=160 align=1
            i32.const 0
            i32.load offset=16
            i32.const 0
            i32.add
            local.get $a
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
            local.get $b
            table.set 1
            i32.const 0
            i32.const 0
            i32.load offset=16
            i32.const 1
            i32.add
            i32.store offset=180 align=1
            i32.const 0
            local.get $n
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
            br $l
          end
          i32.const 167
          local.set 3
          i32.const 0
          i32.const 0
          i32.store offset=24
          br 0 (;@3;)
        end
      end
      local.get $a
      ref.is_null
      local.get $b
      ref.is_null
      i32.add
      return
    end
    i32.const 0
  )
  (func (;2;) (type 2) (param $a funcref) (result funcref)
    (local i32 i32)
    block ;; label = @1
      call $f
      i32.const 0
      i32.load
      (@metadata.code.branch_hint "\00")
      if ;; label = @2
        i32.const 0
        i32.load offset=4
        i32.const 7
        i32.add
        i32.const -8
        i32.and
        local.tee 1
        i64.const 2
        i64.store align=1
        i32.const 0
        i32.load offset=16
        local.tee 2
        table.size 0
        i32.ge_u
        if ;; label = @3
          ref.null func
          local.get 2
          i32.const 1
          i32.add
          table.grow 0
          drop
        end
        local.get 2
        local.get $a
        table.set 0
        i32.const 0
        local.get 2
        i32.const 1
        i32.add
        i32.store offset=16
        local.get 1
        local.get 2
        i32.store offset=16 align=1
        i32.const 0
        local.get 1
        i32.const 24
        i32.add
        i32.store offset=4
        i32.const 0
        i32.const 2
        i32.store
        br 1 (;@1;)
      end
      local.get $a
      return
    end
    ref.null func
  )
)
