;; A check after a call: an operand waits under it, one local is live, one is dead.
(module
  (import "env" "f" (func $f (param i32) (result i32)))
  (func (export "g") (param $live i32) (param $dead i64) (result i32)
    (i32.mul
      (i32.add (i32.const 10) (call $f (i32.wrap_i64 (local.get $dead))))
      (local.get $live))))
