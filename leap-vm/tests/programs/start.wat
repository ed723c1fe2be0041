;; A start function that can be captured, and leaves state for the entry.
(module
  (memory (export "memory") 1)
  (global $n (export "n") (mut i32) (i32.const 0))
  (func $start
    (loop $l
      (global.set $n (i32.add (global.get $n) (i32.const 3)))
      (br_if $l (i32.lt_s (global.get $n) (i32.const 20)))))
  (start $start)
  (func (export "run") (result i32) (local $i i32)
    (loop $l
      (local.set $i (i32.add (local.get $i) (global.get $n)))
      (i32.store (local.get $i) (local.get $i))
      (br_if $l (i32.lt_s (local.get $i) (i32.const 200))))
    (local.get $i)))
