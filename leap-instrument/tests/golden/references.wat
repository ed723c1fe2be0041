;; References: where a sliced loop saves, behind those of frames that wait; after a call, in tables that grow.
(module
  (import "env" "f" (func $f))
  (func (export "in_place") (param $a funcref) (param $b externref) (param $n i32) (result i32)
    (loop $l
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.add (ref.is_null (local.get $a)) (ref.is_null (local.get $b))))
  (func (export "after_call") (param $a funcref) (result funcref)
    (call $f)
    (local.get $a)))
