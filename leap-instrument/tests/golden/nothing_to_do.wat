;; Functions that cannot be captured are copied; a bounded recursion does not exist, so one polls.
(module
  (func $leaf (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (func $caller (export "caller") (param i32) (result i32) (call $leaf (call $leaf (local.get 0))))
  (func $recursive (export "recursive") (param i32) (result i32)
    (if (result i32) (local.get 0)
      (then (i32.add (local.get 0) (call $recursive (i32.sub (local.get 0) (i32.const 1)))))
      (else (i32.const 0)))))
