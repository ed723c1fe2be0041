;; A loop of tail calls is polled before the call; a tail call that leads away is not.
(module
  (func $leaf (result i32) (i32.const 1))
  (func $again (export "again") (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then (return_call $leaf)))
    (return_call $again (i32.sub (local.get 0) (i32.const 1)))))
