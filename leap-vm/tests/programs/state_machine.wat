;; A dispatch loop over br_table, as compilers make of irreducible control flow.
(module
  (memory (export "memory") 1)
  (table funcref (elem $double $inc $halve))
  (type $op (func (param i32) (result i32)))
  (func $double (type $op) (i32.mul (local.get 0) (i32.const 2)))
  (func $inc (type $op) (local $i i32)
    (loop $l
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $i) (i32.const 3))))
    (i32.add (local.get 0) (local.get $i)))
  (func $halve (type $op) (i32.shr_u (local.get 0) (i32.const 1)))
  (func (export "run") (result i32)
    (local $state i32) (local $x i32) (local $n i32)
    (local.set $x (i32.const 27))
    (loop $dispatch
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (i32.store (i32.shl (local.get $n) (i32.const 2)) (local.get $x))
      (block $exit
        (block $s2 (block $s1 (block $s0
          (br_table $s0 $s1 $s2 $exit (local.get $state)))
          (local.set $x (call_indirect (type $op) (local.get $x) (i32.const 0)))
          (local.set $state (select (i32.const 1) (i32.const 2)
            (i32.and (local.get $x) (i32.const 4))))
          (br $dispatch))
          (local.set $x (i32.add (local.get $x) (call_indirect (type $op) (local.get $n) (i32.const 1))))
          (local.set $state (i32.const 2))
          (br $dispatch))
        (local.set $x (call_indirect (type $op) (local.get $x) (i32.const 2)))
        (local.set $state (select (i32.const 3) (i32.const 0) (i32.gt_u (local.get $n) (i32.const 30))))
        (br $dispatch)))
    (local.get $x)))
