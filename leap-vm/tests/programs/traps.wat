;; A trap after captures: memory and globals are as far as the plain program's.
(module
  (memory (export "memory") 1)
  (global $n (export "n") (mut i64) (i64.const 0))
  (func $f (param $i i32) (result i32)
    (global.set $n (i64.add (global.get $n) (i64.const 7)))
    (loop $l
      (i32.store (i32.mul (local.get $i) (i32.const 1000)) (local.get $i))
      (local.set $i (i32.add (local.get $i) (i32.const 5)))
      (br_if $l (i32.rem_u (local.get $i) (i32.const 3))))
    (call $f (local.get $i)))
  (func (export "run") (result i32) (call $f (i32.const 1))))
