;; Calls whose results are returned at once are not checked, unless a handler is around them,
;; results differ, or the host is called.
(module
  (import "env" "host" (func $host (param i32) (result i32)))
  (tag $t)
  (func $spins (param i32) (result i32)
    (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 0))
  (func (export "by_end") (param i32) (result i32)
    (if (result i32) (local.get 0)
      (then (block (result i32) (call $spins (local.get 0))))
      (else (call $host (local.get 0)))))
  (func (export "by_branch") (param i32) (result i32)
    (block $out (result i32)
      (i32.const 7)
      (br $out (call $spins (local.get 0)))))
  (func (export "by_return_in_a_loop") (param i32) (result i32)
    (loop $l
      (if (i32.eqz (local.get 0)) (then (return (call $spins (i32.const 9)))))
      (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
      (br $l))
    unreachable)
  (func (export "handled") (param i32) (result i32)
    (block $h
      (try_table (catch $t $h)
        (return (call $spins (local.get 0)))))
    (i32.const 5))
  (func (export "dropped") (param i32)
    (drop (call $spins (local.get 0)))))
