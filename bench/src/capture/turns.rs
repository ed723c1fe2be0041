//! What turns cost: programs that compute on one thread, by turns and one after the other; and what
//! a wait costs that gives the thread up.

use std::time::{Duration, Instant};

use anyhow::ensure;
use leap_memory::Tracking;
use leap_vm::wasi::{Collected, Outside, WasiOptions, WasiState};
use leap_vm::{
    Ending, EngineOptions, Module, Outcome, Program, ProgramEngine, Scheduler, SchedulerOptions,
    Task,
};

use crate::report::Report;

/// Programs that share the thread.
const PROGRAMS: usize = 8;
/// How often; the minimum counts.
const ROUNDS: usize = 7;
/// Shorter than anybody would have it, to see what a turn costs.
const SLICE: Duration = Duration::from_millis(1);
/// A slice that no program uses up.
const ENDLESS: Duration = Duration::from_secs(3600);
/// Frames on the stack of a program that computes or sleeps.
const FRAMES: usize = 50;
/// Sleeps of a program that sleeps.
const SLEEPS: u32 = 200;

pub(super) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let engine = ProgramEngine::new(EngineOptions::default(), Tracking::Auto)?;
    let module = engine.compile(&wat::parse_str(computes())?)?;
    let (mut by_turns, mut in_a_row) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        by_turns = by_turns.min(run_all(&engine, &module, PROGRAMS, SLICE)?);
        in_a_row = in_a_row.min(run_all(&engine, &module, PROGRAMS, ENDLESS)?);
    }
    report.note(
        format!("{PROGRAMS} programs by turns of 1 ms / one after the other"),
        by_turns.as_secs_f64() / in_a_row.as_secs_f64(),
        "ratio",
    );
    let turns = in_a_row.as_secs_f64() / SLICE.as_secs_f64();
    report.note(
        format!("a turn with {FRAMES} frames: stop, next program, rebuild"),
        by_turns.saturating_sub(in_a_row).as_secs_f64() * 1e6 / turns,
        "us",
    );

    let module = engine.compile(&wat::parse_str(sleeps())?)?;
    let (mut given_up, mut blocked) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        given_up = given_up.min(run_all(&engine, &module, 1, SLICE)?);
        blocked = blocked.min(run_alone(&engine, &module)?);
    }
    report.note(
        format!(
            "a wait with {FRAMES} frames that gives the thread up, more than one that blocks it"
        ),
        (given_up.as_secs_f64() - blocked.as_secs_f64()) * 1e6 / f64::from(SLEEPS),
        "us",
    );
    Ok(())
}

/// How long so many programs take on one thread.
fn run_all(
    engine: &ProgramEngine,
    module: &Module,
    programs: usize,
    time_slice: Duration,
) -> anyhow::Result<Duration> {
    let scheduler = Scheduler::new(&SchedulerOptions {
        threads: 1,
        stack_bytes: engine.thread_stack_bytes(),
        time_slice,
    })?;
    let programs = (0..programs).map(|_| program(engine, module));
    let programs: Vec<Program> = programs.collect::<Result<_, _>>()?;
    let began = Instant::now();
    let tasks = programs.into_iter().map(|program| scheduler.spawn(program));
    let tasks: Vec<Task> = tasks.collect::<Result<_, _>>()?;
    for task in tasks {
        let (_, ending) = task.join();
        let returned = matches!(ending, Ending::Ended(Outcome::Returned(_)));
        ensure!(returned, "{ending:?}");
    }
    Ok(began.elapsed())
}

fn run_alone(engine: &ProgramEngine, module: &Module) -> anyhow::Result<Duration> {
    let mut program = program(engine, module)?;
    let began = Instant::now();
    let outcome = program.run()?;
    ensure!(matches!(outcome, Outcome::Returned(_)), "{outcome:?}");
    Ok(began.elapsed())
}

fn program(engine: &ProgramEngine, module: &Module) -> anyhow::Result<Program> {
    let state = WasiState::new(&WasiOptions::default());
    let outside = Outside::with_sink(Collected::default());
    Ok(Program::start(engine, module, state, outside)?)
}

/// Computes for some tens of milliseconds on top of the frames.
fn computes() -> String {
    deep(
        "",
        "(local.set $i (i32.const 40000000))
      (loop $again
        (local.set $x (i32.add (i32.mul (local.get $x) (i32.const 1664525)) (local.get $i)))
        (br_if $again (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))",
    )
}

/// Sleeps for 100 us again and again on top of the frames.
fn sleeps() -> String {
    deep(
        r#"(import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll (param i32 i32 i32 i32) (result i32)))"#,
        &format!(
            "(local.set $i (i32.const {SLEEPS}))
      (i32.store (i32.const 16) (i32.const 1))
      (i64.store (i32.const 24) (i64.const 100000))
      (loop $again
        (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))
        (br_if $again (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))"
        ),
    )
}

fn deep(imports: &str, work: &str) -> String {
    format!(
        r#"(module
  {imports}
  (memory (export "memory") 1)
  (func $descend (param $depth i32) (result i32) (local $i i32) (local $x i32)
    (if (i32.eqz (local.get $depth)) (then
      {work}
      (return (local.get $x))))
    (i32.add (local.get $depth) (call $descend (i32.sub (local.get $depth) (i32.const 1)))))
  (func (export "_start")
    (i32.store (i32.const 512) (call $descend (i32.const {FRAMES})))))"#
    )
}
