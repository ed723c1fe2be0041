//! Traps are told in terms of the original module, wherever the process was captured before.

use anyhow::{Context as _, Result, bail, ensure};
use leap_vm::{Entry, Outcome, Process, Trap, Value};

use crate::vm::{Engines, Program, relocate};

/// What goes wrong in `fail`, by its argument, and how that is told.
const KINDS: [(i32, &str); 8] = [
    (0, "unreachable"),
    (1, "out of bounds memory access"),
    (2, "undefined element: out of bounds table access"),
    (3, "uninitialized element"),
    (4, "indirect call type mismatch"),
    (5, "integer divide by zero"),
    (6, "integer overflow"),
    (7, "invalid conversion to integer"),
];

const FAILS: &str = r#"(module
  (memory 1)
  (type $op (func (result i32)))
  (type $other (func (param i64)))
  (table $t 3 funcref)
  (elem (table $t) (i32.const 0) func $other)
  (func $other (type $other))
  (func $spin (param $n i32) (result i32)
    (loop $l
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $l (i32.gt_s (local.get $n) (i32.const 0))))
    (local.get $n))
  (func $fail (param $kind i32) (result i32)
    (local $zero i32)
    (local.set $zero (call $spin (i32.const 3)))
    (block $7 (block $6 (block $5 (block $4 (block $3 (block $2 (block $1 (block $0
      (br_table $0 $1 $2 $3 $4 $5 $6 $7 (local.get $kind)))
      (unreachable))
      (return (i32.load offset=65533 (local.get $zero))))
      (return (call_indirect $t (type $op) (i32.const 9))))
      (return (call_indirect $t (type $op) (i32.const 1))))
      (return (call_indirect $t (type $op) (local.get $zero))))
      (return (i32.div_u (i32.const 1) (local.get $zero))))
      (return (i32.div_s (i32.const 0x80000000) (i32.sub (local.get $zero) (i32.const 1)))))
      (i32.trunc_f64_s (f64.div (f64.convert_i32_s (local.get $zero)) (f64.convert_i32_s (local.get $zero)))))
  (func $middle (param $kind i32) (result i32)
    (i32.const 5)
    (loop (result i32)
      (call $fail (i32.add (local.get $kind) (call $spin (i32.const 2)))))
    (i32.add))
  (func $run (export "run") (param $kind i32) (result i32)
    (i32.add (call $middle (local.get $kind)) (i32.const 1)))
  (func $sink (param $n i64) (result i64)
    (drop (call $spin (i32.const 1)))
    (i64.add (call $sink (i64.add (local.get $n) (i64.const 1))) (i64.const 1)))
  (func $overflow (export "overflow") (result i64)
    (call $sink (i64.const 0))))"#;

/// Runs the program from back end to back end, captured at the checks with these distances, to its
/// trap; tells how often it was captured.
fn trap(program: &Program, entry: &Entry, stops: &[u32]) -> Result<(Trap, usize)> {
    let mut process = Process::start(program.module(0), leap_vm::NoSystem, entry.clone())?;
    for captures in 0.. {
        process.stop_after(stops.get(captures).copied().unwrap_or(u32::MAX));
        match process.run()? {
            Outcome::Trapped(trap) => return Ok((trap, captures)),
            Outcome::Stopped => {
                process = relocate(&mut process, program.module((captures + 1) % 3))?;
            }
            other => bail!("no trap: {other:?}"),
        }
    }
    unreachable!("a process ends")
}

fn names(trap: &Trap) -> Vec<&str> {
    let names = trap.frames.iter().map(|frame| frame.name.as_deref());
    names.map(|name| name.unwrap_or("?")).collect()
}

#[test]
fn a_trap_names_the_functions_of_the_original_at_every_stop() -> Result<()> {
    let wasm = wat::parse_str(FAILS)?;
    let engines = Engines::new()?;
    for (kind, message) in KINDS {
        let entry = Entry {
            name: "run".to_owned(),
            arguments: vec![Value::I32(kind)],
        };
        let program = engines.compile(&wasm, &entry)?;
        let (plain, _) = trap(&program, &entry, &[])?;
        ensure!(plain.message.contains(message), "{plain}");
        ensure!(names(&plain) == ["fail", "middle", "run"], "{plain}");
        ensure!(
            plain.frames.iter().all(|frame| frame.offset.is_some()),
            "{plain}"
        );
        let mut stop = 1;
        loop {
            let (trap, captures) = trap(&program, &entry, &[stop])
                .with_context(|| format!("{message} after stop {stop}"))?;
            if captures == 0 {
                break;
            }
            ensure!(trap.message == plain.message, "stop {stop}: {trap}");
            ensure!(names(&trap) == names(&plain), "stop {stop}: {trap}");
            stop += 1;
        }
        ensure!(stop > 4, "{} stops only", stop - 1);
        let (trap, captures) = trap(&program, &entry, &[1; 100])?;
        ensure!(captures > 3 && names(&trap) == names(&plain), "{trap}");
    }
    Ok(())
}

#[test]
fn a_stack_without_end_is_told_so_before_and_after_a_capture() -> Result<()> {
    let entry = Entry {
        name: "overflow".to_owned(),
        arguments: Vec::new(),
    };
    let program = Engines::new()?.compile(&wat::parse_str(FAILS)?, &entry)?;
    for stops in [&[][..], &[100], &[40, 40, 40]] {
        let (trap, captures) = trap(&program, &entry, stops)?;
        ensure!(captures == stops.len());
        ensure!(trap.message.contains("call stack exhausted"), "{trap}");
        // Where it met the end is chance; that it was on its way down is not.
        let names = names(&trap);
        ensure!(
            names[..10].iter().filter(|&&name| name == "sink").count() >= 9,
            "{names:?}"
        );
    }
    Ok(())
}
