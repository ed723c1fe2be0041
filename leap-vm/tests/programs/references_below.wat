;; References in a loop that saves in place, above a frame that waits with references of its own.
(module
  (type $op (func (result i32)))
  (table $t (export "table") 4 funcref)
  (elem (table $t) (i32.const 0) func $one $two $three)
  (func $one (type $op) (i32.const 1))
  (func $two (type $op) (i32.const 2))
  (func $three (type $op) (i32.const 3))
  (func $inner (result i32) (local $r funcref) (local $s funcref) (local $i i32)
    (local.set $r (table.get $t (i32.const 1)))
    (local.set $s (table.get $t (i32.const 2)))
    (loop $l
      (br_if $l (i32.lt_s
        (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 7))))
    (table.set $t (i32.const 3) (local.get $s))
    (drop (ref.is_null (local.get $r)))
    (call_indirect $t (type $op) (i32.const 3)))
  (func $middle (result i32) (local $k funcref) (local $inner i32)
    (local.set $k (table.get $t (i32.const 1)))
    (local.set $inner (call $inner))
    (table.set $t (i32.const 3) (local.get $k))
    (i32.add
      (i32.mul (local.get $inner) (i32.const 10))
      (call_indirect $t (type $op) (i32.const 3))))
  (func (export "run") (result i32) (local $k funcref) (local $middle i32)
    (local.set $k (table.get $t (i32.const 0)))
    (local.set $middle (call $middle))
    (table.set $t (i32.const 3) (local.get $k))
    (i32.add
      (i32.mul (local.get $middle) (i32.const 10))
      (call_indirect $t (type $op) (i32.const 3)))))
