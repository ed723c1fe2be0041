//! Many programs on few threads.

use std::io;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use leap_memory::Tracking;
use leap_vm::image::{Chain, Compression, write_file};
use leap_vm::wasi::{Arrived, Collected, Outside, Sink, Source, Stream, WasiOptions, WasiState};
use leap_vm::{
    Directories, Ending, EngineOptions, Module, Outcome, Pages, Program, ProgramEngine,
    ProgramError, Scheduler, SchedulerOptions, Surroundings, Task, Value,
};

use crate::{c, in_memory, on_thread};

/// Counts in a global for ever.
const SPIN: &str = r#"(module
    (memory (export "memory") 1)
    (global $count (export "count") (mut i64) (i64.const 0))
    (func (export "_start")
        (loop $again
            (global.set $count (i64.add (global.get $count) (i64.const 1)))
            (br $again))))"#;

/// Computes for a while, ten calls deep, and exits with 5.
const COMPUTE: &str = r#"(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func $work (param $depth i32) (result i32)
        (local $i i32) (local $sum i32)
        (if (i32.eqz (local.get $depth))
            (then
                (local.set $i (i32.const 3000000))
                (loop $again
                    (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 31)) (local.get $i)))
                    (br_if $again (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
                (return (i32.rem_u (local.get $sum) (i32.const 1)))))
        (i32.add (i32.const 0) (call $work (i32.sub (local.get $depth) (i32.const 1)))))
    (func (export "_start")
        (call $exit (i32.add (i32.const 5) (call $work (i32.const 10))))))"#;

/// Sleeps for 100 ms, three calls deep, twice; then exits with 7.
const SLEEP: &str = r#"(module
    (import "wasi_snapshot_preview1" "poll_oneoff"
        (func $poll (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func $sleep (param $depth i32) (result i32)
        (if (i32.eqz (local.get $depth)) (then
            (i32.store8 (i32.const 8) (i32.const 0))
            (i32.store (i32.const 16) (i32.const 1))
            (i64.store (i32.const 24) (i64.const 100000000))
            (return (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))
        (i32.add (i32.const 1) (call $sleep (i32.sub (local.get $depth) (i32.const 1)))))
    (func (export "_start")
        (call $exit (i32.add (i32.const 1)
            (i32.add (call $sleep (i32.const 3)) (call $sleep (i32.const 3)))))))"#;

/// Reads bytes until the input ends; exits with their sum.
const READ: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_read"
        (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start") (local $sum i32)
        (i32.store (i32.const 0) (i32.const 64))
        (i32.store (i32.const 4) (i32.const 1))
        (loop $next
            (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
            (if (i32.load (i32.const 8)) (then
                (local.set $sum (i32.add (local.get $sum) (i32.load8_u (i32.const 64))))
                (br $next))))
        (call $exit (local.get $sum))))"#;

struct Stage {
    engine: ProgramEngine,
    module: Module,
}

impl Stage {
    fn new(wat: &str) -> Result<Self> {
        Self::of(&wat::parse_str(wat)?)
    }

    fn of(module: &[u8]) -> Result<Self> {
        let options = EngineOptions {
            stack_bytes: 256 << 10,
            ..EngineOptions::default()
        };
        let engine = ProgramEngine::new(options, Tracking::Auto)?;
        let module = engine.compile(module)?;
        Ok(Self { engine, module })
    }

    fn program(&self) -> Result<Program> {
        self.program_with(Outside::with_sink(Collected::default()))
    }

    fn program_with(&self, outside: Outside) -> Result<Program> {
        let state = WasiState::new(&WasiOptions::default());
        Ok(Program::start(&self.engine, &self.module, state, outside)?)
    }

    fn scheduler(&self, threads: usize, time_slice: Duration) -> Result<Scheduler> {
        Ok(Scheduler::new(&SchedulerOptions {
            threads,
            stack_bytes: self.engine.thread_stack_bytes(),
            time_slice,
        })?)
    }
}

const SLICE: Duration = Duration::from_millis(2);

fn exit_code(task: Task) -> Result<i32> {
    match task.join() {
        (_, Ending::Ended(Outcome::Exited(code))) => Ok(code),
        (_, other) => anyhow::bail!("{other:?}"),
    }
}

fn count(program: &mut Program) -> Result<i64> {
    match program.process().exported_global("count") {
        Some(Value::I64(count)) => Ok(count),
        other => anyhow::bail!("{other:?}"),
    }
}

#[test]
fn programs_that_spin_starve_nobody() -> Result<()> {
    let (spin, compute) = (Stage::new(SPIN)?, Stage::new(COMPUTE)?);
    let scheduler = spin.scheduler(1, SLICE)?;
    let spinning: Vec<Task> = (0..3)
        .map(|_| Ok(scheduler.spawn(spin.program()?)?))
        .collect::<Result<_>>()?;
    let working: Vec<Task> = (0..3)
        .map(|_| Ok(scheduler.spawn(compute.program()?)?))
        .collect::<Result<_>>()?;
    for task in working {
        assert_eq!(exit_code(task)?, 5);
    }
    for task in &spinning {
        let before = count(&mut *task.stop().context("it never ends")?)?;
        assert!(before > 0);
        // It runs on, in turns with the others.
        let patience = Instant::now();
        while count(&mut *task.stop().context("it never ends")?)? == before {
            assert!(patience.elapsed() < Duration::from_secs(20));
            std::thread::yield_now();
        }
        assert!(!task.has_ended());
        assert!(task.run_time() > Duration::ZERO);
    }
    Ok(())
}

#[test]
fn a_thousand_programs_sleep_on_two_threads() -> Result<()> {
    let stage = Stage::new(SLEEP)?;
    let scheduler = stage.scheduler(2, SLICE)?;
    let began = Instant::now();
    let tasks: Vec<Task> = (0..1000)
        .map(|_| Ok(scheduler.spawn(stage.program()?)?))
        .collect::<Result<_>>()?;
    for task in tasks {
        assert_eq!(exit_code(task)?, 7);
    }
    // One after the other, on each of two threads: 100 s.
    let taken = began.elapsed();
    assert!(taken >= Duration::from_millis(200), "{taken:?}");
    assert!(taken < Duration::from_secs(50), "{taken:?}");
    Ok(())
}

/// An input to which bytes are added later.
#[derive(Clone, Default)]
struct Later(Arc<Mutex<(Vec<Arrived>, Option<Waker>)>>);

impl Later {
    fn arrive(&self, what: Arrived) {
        let mut state = self.0.lock().expect("nobody panics with it");
        state.0.insert(0, what);
        let waker = state.1.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Source for Later {
    fn read(&mut self, _: usize, waker: &Waker) -> Arrived {
        let mut state = self.0.lock().expect("nobody panics with it");
        if state.0.is_empty() {
            state.1 = Some(waker.clone());
        }
        state.0.pop().unwrap_or(Arrived::Nothing)
    }
}

#[test]
fn input_wakes_a_program_that_waits() -> Result<()> {
    let (read, spin) = (Stage::new(READ)?, Stage::new(SPIN)?);
    let scheduler = read.scheduler(1, SLICE)?;
    let _spinning = scheduler.spawn(spin.program()?)?;
    let inputs: Vec<Later> = (0..50).map(|_| Later::default()).collect();
    let tasks: Vec<Task> = inputs
        .iter()
        .map(|input| {
            let mut outside = Outside::with_sink(Collected::default());
            outside.source = Box::new(input.clone());
            Ok(scheduler.spawn(read.program_with(outside)?)?)
        })
        .collect::<Result<_>>()?;
    // While they wait, run, are being stopped, are lent: no wake-up is lost.
    for round in 0..20 {
        for (input, task) in inputs.iter().zip(&tasks) {
            let lent = (round % 3 == 0).then(|| task.stop());
            input.arrive(Arrived::Bytes(vec![1]));
            drop(lent);
        }
    }
    for input in &inputs {
        input.arrive(Arrived::End);
    }
    for task in tasks {
        assert_eq!(exit_code(task)?, 20);
    }
    Ok(())
}

#[test]
fn a_program_that_waits_for_its_turn_or_sleeps_is_captured_and_goes_on() -> Result<()> {
    let directory = tempfile::tempdir()?;
    for (wat, wanted) in [(SLEEP, 7), (COMPUTE, 5)] {
        let (stage, spin) = (Stage::new(wat)?, Stage::new(SPIN)?);
        let scheduler = stage.scheduler(1, SLICE)?;
        let _spinning = scheduler.spawn(spin.program()?)?;
        let task = scheduler.spawn(stage.program()?)?;
        let capture = task
            .stop()
            .context("it has ended already")?
            .capture(Pages::Whole)?;
        let path = directory.path().join("image.leap");
        write_file(&path, &capture.contents(None, None), Compression::None)?;
        let surroundings = Surroundings {
            outside: Outside::with_sink(Collected::default()),
            directories: Directories::AsBefore,
            verify: true,
        };
        let chain = Chain::open(&path)?;
        let restored = Program::restore(&stage.engine, &stage.module, &chain, surroundings)?;
        let restored = scheduler.spawn(restored)?;
        assert_eq!(exit_code(task)?, wanted);
        assert_eq!(exit_code(restored)?, wanted);
    }
    Ok(())
}

#[test]
fn time_is_limited_and_nothing_is_lost_by_that() -> Result<()> {
    let (spin, compute) = (Stage::new(SPIN)?, Stage::new(COMPUTE)?);
    let scheduler = spin.scheduler(1, SLICE)?;
    // Alone on its thread, and with company.
    for company in [false, true] {
        let other = company.then(|| scheduler.spawn(spin.program().expect("it starts")));
        let limit = Duration::from_millis(20);
        let task = scheduler.spawn_for(spin.program()?, limit)?;
        let (mut program, ending) = task.join();
        assert!(matches!(ending, Ending::TimedOut), "{ending:?}");
        let before = count(&mut program)?;
        program.capture(Pages::Whole)?;
        let (mut program, ending) = scheduler.spawn_for(program, limit)?.join();
        assert!(matches!(ending, Ending::TimedOut), "{ending:?}");
        assert!(count(&mut program)? > before);
        drop(other.transpose()?);
    }
    // Waiting is no computing.
    let sleep = Stage::new(SLEEP)?;
    let began = Instant::now();
    let task = scheduler.spawn_for(sleep.program()?, Duration::from_secs(60))?;
    while !task.has_ended() {
        std::thread::yield_now();
    }
    assert!(task.run_time() + Duration::from_millis(200) <= began.elapsed());
    assert_eq!(exit_code(task)?, 7);
    // What is stopped again and again comes to its end.
    let mut program = compute.program()?;
    let code = loop {
        let task = scheduler.spawn_for(program, Duration::from_millis(1))?;
        match task.join() {
            (stopped, Ending::TimedOut) => program = stopped,
            (_, Ending::Ended(Outcome::Exited(code))) => break code,
            (_, other) => anyhow::bail!("{other:?}"),
        }
    };
    assert_eq!(code, 5);
    Ok(())
}

#[test]
fn programs_of_a_scheduler_that_is_gone_run_elsewhere() -> Result<()> {
    let (spin, sleep) = (Stage::new(SPIN)?, Stage::new(SLEEP)?);
    let scheduler = spin.scheduler(2, SLICE)?;
    let spinning: Vec<Task> = (0..4)
        .map(|_| Ok(scheduler.spawn(spin.program()?)?))
        .collect::<Result<_>>()?;
    let sleeping = scheduler.spawn(sleep.program()?)?;
    let taken = scheduler.spawn(sleep.program()?)?;
    // All have begun.
    for task in spinning.iter().chain([&sleeping, &taken]) {
        drop(task.stop().context("it has ended already")?);
    }
    let (mut taken, ending) = taken.take();
    assert!(ending.is_none(), "{ending:?}");
    drop(scheduler);
    for task in spinning {
        assert!(task.has_ended());
        assert!(task.stop().is_none());
        let (mut program, ending) = task.join();
        assert!(matches!(ending, Ending::Closed), "{ending:?}");
        assert!(count(&mut program)? > 0);
    }
    let (mut sleeping, ending) = sleeping.join();
    assert!(matches!(ending, Ending::Closed), "{ending:?}");
    // Without a scheduler they block their threads again.
    for program in [&mut sleeping, &mut taken] {
        let outcome = on_thread(&sleep.engine, program)?;
        assert!(matches!(outcome, Outcome::Exited(7)), "{outcome:?}");
    }
    Ok(())
}

struct Panics;

impl Sink for Panics {
    fn write(&mut self, _: Stream, _: &[u8]) -> io::Result<()> {
        panic!("the sink is full");
    }
}

#[test]
fn a_panic_is_one_programs_affair() -> Result<()> {
    let guest = c::build("compute.c")?;
    let stage = Stage::of(&guest)?;
    let scheduler = stage.scheduler(1, SLICE)?;
    let state = WasiState::new(&in_memory());
    let outside = Outside::with_sink(Panics);
    let panics = Program::start(&stage.engine, &stage.module, state, outside)?;
    let task = scheduler.spawn(panics)?;
    let (_, ending) = task.join();
    let Ending::Panicked(message) = ending else {
        anyhow::bail!("{ending:?}");
    };
    assert_eq!(message, "the sink is full");
    let compute = Stage::new(COMPUTE)?;
    assert_eq!(exit_code(scheduler.spawn(compute.program()?)?)?, 5);
    Ok(())
}

#[test]
fn a_program_that_needs_more_stack_than_there_is_is_refused() -> Result<()> {
    let stage = Stage::new(SPIN)?;
    let scheduler = Scheduler::new(&SchedulerOptions {
        threads: 1,
        stack_bytes: stage.engine.thread_stack_bytes() - 1,
        time_slice: SLICE,
    })?;
    let refused = scheduler.spawn(stage.program()?);
    assert!(matches!(refused, Err(ProgramError::Stack { .. })));
    Ok(())
}

/// Stopped every fraction of a millisecond, programs show what they show alone.
#[test]
fn turns_change_nothing() -> Result<()> {
    let stage = Stage::of(&c::build("compute.c")?)?;
    let start = |output: &Collected| {
        let state = WasiState::new(&in_memory());
        let outside = Outside::with_sink(output.clone());
        Program::start(&stage.engine, &stage.module, state, outside)
    };
    let alone = Collected::default();
    on_thread(&stage.engine, &mut start(&alone)?)?;
    let scheduler = stage.scheduler(2, Duration::from_micros(200))?;
    let outputs: Vec<Collected> = (0..6).map(|_| Collected::default()).collect();
    let tasks: Vec<Task> = outputs
        .iter()
        .map(|output| Ok(scheduler.spawn(start(output)?)?))
        .collect::<Result<_>>()?;
    for (task, output) in tasks.into_iter().zip(&outputs) {
        let (_, ending) = task.join();
        let is_over = matches!(
            ending,
            Ending::Ended(Outcome::Returned(_) | Outcome::Exited(0))
        );
        assert!(is_over, "{ending:?}");
        assert_eq!(output.bytes(Stream::Output), alone.bytes(Stream::Output));
    }
    Ok(())
}
