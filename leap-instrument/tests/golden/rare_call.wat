;; A loop with a call on some ways only is polled at its head too.
(module
  (import "env" "f" (func $f (param i32)))
  (func (export "g") (param $n i32)
    (loop $l
      (if (i32.and (local.get $n) (i32.const 1)) (then (call $f (local.get $n))))
      (br_if $l (local.tee $n (i32.shr_u (local.get $n) (i32.const 1)))))))
