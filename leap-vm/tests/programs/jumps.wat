;; Loops with two ways in, as a dispatch makes them; jumps over several levels that carry values; loops that give results.
(module
  (memory (export "memory") 1)
  (global $trail (export "trail") (mut i64) (i64.const 1))
  (func $note (param $x i32)
    (global.set $trail (i64.add (i64.mul (global.get $trail) (i64.const 31)) (i64.extend_i32_s (local.get $x)))))
  (func $spin (param $n i32) (result i32)
    (loop $l
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $l (i32.gt_s (local.get $n) (i32.const 0))))
    (local.get $n))

  ;; A and B go round, and either can be the first: control flow that no loop of Wasm has, by a label variable.
  (func $two_ways_in (param $at i32) (result i32)
    (local $n i32)
    (loop $again
      (block $out
        (block $b
          (block $a
            (br_table $a $b $out (local.get $at)))
          (call $note (i32.const 1))
          (local.set $n (i32.add (local.get $n) (i32.const 2)))
          (local.set $at (i32.const 1))
          (br_if $again (i32.and (local.get $n) (i32.const 4)))
          (local.set $at (i32.add (i32.const 1) (i32.gt_s (local.get $n) (i32.const 15))))
          (br $again))
        (call $note (i32.const 2))
        (local.set $n (i32.add (local.get $n) (i32.const 3)))
        (local.set $at (select (i32.const 2) (i32.const 0) (i32.gt_s (local.get $n) (i32.const 20))))
        (br $again)))
    (local.get $n))

  ;; One table for the rest of a loop, its next turn, and the outer loop's; each takes two values along.
  (func $levels (param $seed i32) (result i32 i64)
    (local $turns i32)
    (i32.const 40)
    (i64.const 7)
    (loop $outer (param i32 i64) (result i32 i64)
      (local.set $turns (i32.add (local.get $turns) (i32.const 1)))
      (loop $inner (param i32 i64) (result i32 i64)
        (block $rest (param i32 i64) (result i32 i64)
          (i64.add (i64.const 11))
          (local.set $seed (i32.add (i32.mul (local.get $seed) (i32.const 5)) (i32.const 3)))
          (i64.add (i64.extend_i32_s (call $spin (i32.const 2))))
          (br_if 3 (i32.gt_s (local.get $turns) (i32.const 8)))
          (br_table $inner $rest $outer $rest
            (select (i32.rem_u (i32.shr_u (local.get $seed) (i32.const 3)) (i32.const 4)) (i32.const 1)
              (i32.lt_s (local.tee $turns (i32.add (local.get $turns) (i32.const 1))) (i32.const 9)))))
        (i64.xor (i64.const 5)))
      (i64.mul (i64.const 3))))

  ;; Out of three loops at once, with what was found; and on with the second.
  (func $search (param $wanted i32) (result i32)
    (local $x i32) (local $y i32) (local $z i32)
    (block $found (result i32)
      (loop $xs
        (local.set $y (i32.const 0))
        (loop $ys
          (local.set $z (i32.const 0))
          (loop $zs
            (br_if $found (i32.add (i32.mul (local.get $x) (i32.const 100)) (i32.add (i32.mul (local.get $y) (i32.const 10)) (local.get $z)))
              (i32.eq (local.get $wanted) (i32.add (i32.mul (local.get $x) (local.get $x)) (i32.mul (local.get $y) (local.get $z)))))
            (drop)
            (i32.store8 (i32.add (i32.mul (local.get $x) (i32.const 16)) (i32.add (i32.mul (local.get $y) (i32.const 4)) (local.get $z))) (i32.const 1))
            (local.set $z (i32.add (local.get $z) (i32.const 1)))
            (if (i32.gt_s (local.get $z) (local.get $y)) (then
              (local.set $y (i32.add (local.get $y) (i32.const 1)))
              (br_if $ys (i32.lt_s (local.get $y) (i32.const 4)))))
            (br_if $zs (i32.lt_s (local.get $z) (i32.const 3)))))
        (local.set $x (i32.add (local.get $x) (i32.const 1)))
        (br_if $xs (i32.lt_s (local.get $x) (i32.const 4))))
      (i32.const -1)))

  (func (export "run") (result i32 i32 i32 i64 i32 i32)
    (call $two_ways_in (i32.const 0))
    (call $two_ways_in (i32.const 1))
    (call $levels (i32.const 9))
    (call $search (i32.const 8))
    (call $search (i32.const 999))))
