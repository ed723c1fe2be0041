//! Capture and rebuild of a stack of 100 frames.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::ensure;
use leap_memory::Tracking;
use leap_vm::wasi::{Wasi, WasiOptions, WasiState};
use leap_vm::{Captured, EngineOptions, Module, Outcome, Process, Program, ProgramEngine};

use crate::marks::{MARKING, Marks, stop};
use crate::report::{Report, median_ms};

/// Activations in the stack that is captured.
const FRAMES: usize = 100;
/// How often; the median counts.
const ROUNDS: usize = 101;

pub(super) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let recursive = wat::parse_str(recursion())?;
    let warm = Warm::measure(&recursive)?;
    let frames = format!("{FRAMES} frames");
    report.at_most(format!("capture of {frames}"), warm.capture_us, "us", 50.0);
    report.at_most(
        format!("rebuild of {frames}, warm"),
        warm.rebuild_us,
        "us",
        100.0,
    );
    report.note(
        format!("rebuild of {frames} in a new process, warm"),
        warm.elsewhere_us,
        "us",
    );
    report.at_most(
        format!("rebuild of {frames}, cold: continuations compiled"),
        cold_ms(&recursive)?,
        "ms",
        5.0,
    );
    report.at_most(
        format!("rebuild of {frames} of {FRAMES} functions, cold"),
        cold_ms(&wat::parse_str(chain())?)?,
        "ms",
        5.0,
    );
    Ok(())
}

/// A stack of one recursive function, with some live values in each frame; then marks for ever.
fn recursion() -> String {
    let depth = FRAMES - 3;
    format!(
        r#"(module {MARKING}
  (memory (export "memory") 1)
  (func $descend (param $depth i32) (param $a i64) (param $b f64) (result i64)
    (if (i32.eqz (local.get $depth))
      (then (loop $forever
        (call $mark (i32.const 99))
        (call $mark (i32.const 114))
        (br $forever))))
    (i64.add
      (call $descend
        (i32.sub (local.get $depth) (i32.const 1))
        (i64.add (local.get $a) (i64.const 1))
        (f64.add (local.get $b) (f64.const 0.5)))
      (i64.add (local.get $a) (i64.trunc_f64_s (local.get $b)))))
  (func (export "_start")
    (drop (call $descend (i32.const {depth}) (i64.const 1) (f64.const 1)))))"#
    )
}

/// The same stack of as many functions as frames.
fn chain() -> String {
    let last = FRAMES - 3;
    let mut functions = String::new();
    for depth in 0..last {
        write!(
            functions,
            r"
  (func $f{depth} (param $a i64) (param $b f64) (result i64)
    (i64.add
      (call $f{next} (i64.add (local.get $a) (i64.const 1)) (f64.add (local.get $b) (f64.const 0.5)))
      (i64.add (local.get $a) (i64.trunc_f64_s (local.get $b)))))",
            next = depth + 1
        )
        .expect("a string takes everything");
    }
    format!(
        r#"(module {MARKING}
  (memory (export "memory") 1){functions}
  (func $f{last} (param $a i64) (param $b f64) (result i64)
    (loop $forever
      (call $mark (i32.const 99))
      (call $mark (i32.const 114))
      (br $forever))
    (local.get $a))
  (func (export "_start") (drop (call $f0 (i64.const 1) (f64.const 1)))))"#
    )
}

struct Warm {
    capture_us: f64,
    rebuild_us: f64,
    elsewhere_us: f64,
}

impl Warm {
    fn measure(wasm: &[u8]) -> anyhow::Result<Self> {
        let marks = Marks::default();
        let (module, mut program) = started(wasm, &marks)?;
        let (mut captures, mut rebuilds, mut elsewhere) = (Vec::new(), Vec::new(), Vec::new());
        stop(&mut program)?;
        for _ in 0..ROUNDS {
            let resumed = Instant::now();
            stop(&mut program)?;
            let captured = program.process().capture()?;
            captures.push(marks.requested()?.elapsed());
            rebuilds.push(marks.going_on()?.saturating_duration_since(resumed));
            ensure!(
                captured.frames.len() == FRAMES,
                "{} frames",
                captured.frames.len()
            );
            elsewhere.push(rebuild(&module, &captured)?);
        }
        Ok(Self {
            capture_us: 1e3 * median_ms(captures),
            rebuild_us: 1e3 * median_ms(rebuilds),
            elsewhere_us: 1e3 * median_ms(elsewhere),
        })
    }
}

/// In an engine that has compiled the module, but no continuation yet.
fn cold_ms(wasm: &[u8]) -> anyhow::Result<f64> {
    const COLD_ROUNDS: usize = 11;
    let (_, mut program) = started(wasm, &Marks::default())?;
    stop(&mut program)?;
    let captured = program.process().capture()?;
    let mut times = Vec::new();
    for _ in 0..COLD_ROUNDS {
        let module = engine()?.compile(wasm)?;
        times.push(rebuild(&module, &captured)?);
    }
    Ok(median_ms(times))
}

/// How long it takes a new process to be where `captured` is, and to run on.
fn rebuild(module: &Module, captured: &Captured) -> anyhow::Result<Duration> {
    let marks = Marks::default();
    let begun = Instant::now();
    let wasi = Wasi::new(WasiState::new(&WasiOptions::default()), marks.outside())?;
    let mut process = Process::rebuild(module, wasi, captured)?;
    marks.request_of(process.capture_handle());
    let outcome = process.run()?;
    ensure!(
        matches!(outcome, Outcome::Stopped),
        "the guest ended with {outcome:?}"
    );
    Ok(marks.going_on()?.saturating_duration_since(begun))
}

fn engine() -> anyhow::Result<ProgramEngine> {
    Ok(ProgramEngine::new(
        EngineOptions::default(),
        Tracking::default(),
    )?)
}

fn started(wasm: &[u8], marks: &Marks) -> anyhow::Result<(Module, Program)> {
    let engine = engine()?;
    let module = engine.compile(wasm)?;
    let state = WasiState::new(&WasiOptions::default());
    let program = Program::start(&engine, &module, state, marks.outside())?;
    marks.request_of(program.capture_handle());
    Ok((module, program))
}
