;; Operands of enclosing frames are copied to locals; a loop with a call on each way needs no poll.
(module
  (import "env" "f" (func $f (result i32)))
  (func (export "g") (result i64 i32)
    (i64.const 7)
    (i32.const 8)
    (block (param i32) (result i32)
      (drop)
      (loop $l (result i32)
        (br_if $l (call $f))
        (call $f)))))
