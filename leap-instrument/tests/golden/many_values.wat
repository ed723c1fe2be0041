;; More live values than one saver takes: savers in a series.
(module
  (import "env" "f" (func $f))
  (func (export "g") (param $p0 i32) (param $p1 i64) (param $p2 f64) (param $p3 i32) (param $p4 i64) (param $p5 f64) (param $p6 i32) (param $p7 i64) (param $p8 f64) (param $p9 i32) (param $p10 i64) (param $p11 f64) (param $p12 i32) (param $p13 i64) (param $p14 f64) (param $p15 i32) (param $p16 i64) (param $p17 f64) (param $p18 i32) (param $p19 i64) (param $p20 f64)
    (call $f)
    (drop (local.get $p0)) (drop (local.get $p1)) (drop (local.get $p2)) (drop (local.get $p3)) (drop (local.get $p4)) (drop (local.get $p5)) (drop (local.get $p6)) (drop (local.get $p7)) (drop (local.get $p8)) (drop (local.get $p9)) (drop (local.get $p10)) (drop (local.get $p11)) (drop (local.get $p12)) (drop (local.get $p13)) (drop (local.get $p14)) (drop (local.get $p15)) (drop (local.get $p16)) (drop (local.get $p17)) (drop (local.get $p18)) (drop (local.get $p19)) (drop (local.get $p20))))
