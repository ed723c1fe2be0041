(module
  (type (;0;) (func (param i32)))
  (import "env" "f" (func $f (;0;) (type 0)))
  (memory (;0;) 65536 65536)
  (export "g" (func 1))
  (export "leap:control" (memory 0))
  (export "leap:f0" (func $f))
  (func (;1;) (type 0) (param $n i32)
    (local i32)
    loop $l
      i32.const 0
      i32.load
      (@metadata.code.branch_hint "\00")
      if ;; label = @2
        i32.const 0
        i32.load offset=4
        local.tee 1
        i64.const 1
        i64.store align=1
        local.get 1
        local.get $n
        i32.store offset=16 align=1
        i32.const 0
        local.get 1
        i32.const 24
        i32.add
        i32.store offset=4
        i32.const 0
        i32.const 2
        i32.store
        return
      end
      local.get $n
      i32.const 1
      i32.and
      if ;; label = @2
        local.get $n
        call $f
        i32.const 0
        i32.load
        (@metadata.code.branch_hint "\00")
        if ;; label = @3
          i32.const 0
          i32.load offset=4
          local.tee 1
          i64.const 4294967297
          i64.store align=1
          local.get 1
          local.get $n
          i32.store offset=16 align=1
          i32.const 0
          local.get 1
          i32.const 24
          i32.add
          i32.store offset=4
          i32.const 0
          i32.const 2
          i32.store
          return
        end
      end
      local.get $n
      i32.const 1
      i32.shr_u
      local.tee $n
      br_if $l
    end
  )
)
