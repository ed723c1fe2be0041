(module
  (type (;0;) (func (param i32)))
  (type (;1;) (func (param i32 i32)))
  (import "env" "f" (func $f (;0;) (type 0)))
  (memory (;0;) 65536 65536)
  (export "g" (func 1))
  (export "leap:control" (memory 0))
  (export "leap:f0" (func $f))
  (export "leap:fetch:I32:I32" (func 2))
  (func (;1;) (type 0) (param $n i32)
    block $l
      loop ;; label = @2
        i32.const 0
        i32.load
        (@metadata.code.branch_hint "\00")
        if ;; label = @3
          i32.const 0
          local.get $n
          i32.store offset=32 align=1
          i32.const 1
          i32.const 8
          call 2
          br $l
        end
        local.get $n
        i32.const 1
        i32.and
        if ;; label = @3
          local.get $n
          call $f
          i32.const 0
          i32.load
          (@metadata.code.branch_hint "\00")
          if ;; label = @4
            i32.const 0
            local.get $n
            i32.store offset=32 align=1
            i32.const 1048577
            i32.const 8
            call 2
            br $l
          end
        end
        local.get $n
        i32.const 1
        i32.shr_u
        local.tee $n
        br_if 0 (;@2;)
      end
      return
    end
  )
  (func (;2;) (type 1) (param i32 i32)
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
