//! Programs of `guests`, captured at checks that are spread all over them: into an image each
//! time, from which they go on under the next back end.
//!
//! They print one line, at their end, which is the same however often they were moved.

use std::fs::File;

use anyhow::{Context as _, Result, ensure};
use guests::{Guest, Size};
use leap_instrument::Options;
use leap_memory::Tracking;
use leap_vm::image::{Chain, Compression, Image, write};
use leap_vm::wasi::{Collected, Outside, Stream, WasiOptions, WasiState};
use leap_vm::{
    BackEnd, Directories, EngineOptions, Module, Outcome, Pages, Program, ProgramEngine,
    Surroundings,
};

use crate::{BACK_ENDS, on_thread};

const NEVER: u32 = u32::MAX;

/// A guest, compiled by each back end with a countdown and polls as dense as they can be.
struct Compiled {
    guest: Guest,
    engines: Vec<ProgramEngine>,
    modules: Vec<Module>,
}

/// What a run came to.
struct Run {
    output: String,
    checks: u32,
    captures: u32,
    /// Frames of the deepest stack that was captured.
    deepest: usize,
}

impl Compiled {
    fn new(name: &str, back_ends: &[BackEnd]) -> Result<Self> {
        let guest = guests::build(name, Size::Small)?;
        let engines = back_ends.iter().map(|&back_end| {
            let options = EngineOptions {
                back_end,
                instrument: Options {
                    slice_instructions: 1,
                    countdown: true,
                    ..Options::default()
                },
                ..EngineOptions::default()
            };
            ProgramEngine::new(options, Tracking::Auto)
        });
        let engines = engines.collect::<Result<Vec<_>, _>>()?;
        let modules = engines.iter().map(|engine| engine.compile(&guest.wasm));
        Ok(Self {
            modules: modules.collect::<Result<_, _>>()?,
            engines,
            guest,
        })
    }

    /// Runs the guest, moving it at the checks whose distances `stops` gives.
    fn run(&self, stops: impl IntoIterator<Item = u32>) -> Result<Run> {
        let output = Collected::default();
        let mut run = Run {
            output: String::new(),
            checks: 0,
            captures: 0,
            deepest: 0,
        };
        let state = WasiState::new(&WasiOptions {
            arguments: self.guest.arguments.clone(),
            random_seed: Some(1),
            ..WasiOptions::default()
        });
        let outside = || Outside::with_sink(output.clone());
        let mut stops = stops.into_iter();
        let mut at = 0;
        let mut program = Program::start(&self.engines[at], &self.modules[at], state, outside())?;
        loop {
            let distance = stops.next().unwrap_or(NEVER);
            program.process().stop_after(distance);
            let outcome = on_thread(&self.engines[at], &mut program)?;
            let passed = distance.wrapping_sub(program.process().countdown());
            run.checks = run.checks.wrapping_add(passed);
            match outcome {
                Outcome::Stopped => {}
                Outcome::Returned(_) | Outcome::Exited(0) => break,
                other => anyhow::bail!("{other:?} after {} checks", run.checks),
            }
            let capture = program.capture(Pages::Whole)?;
            run.captures += 1;
            run.deepest = run.deepest.max(capture.captured().frames.len());
            let mut file = tempfile::tempfile()?;
            write(&mut file, &capture.contents(None, None), Compression::None)?;
            at = (at + 1) % self.engines.len();
            program = self.restored(at, file, outside())?;
        }
        run.output = String::from_utf8(output.bytes(Stream::Output))?;
        Ok(run)
    }

    fn restored(&self, at: usize, image: File, outside: Outside) -> Result<Program> {
        let chain = Chain::of(Image::read(image)?)?;
        let surroundings = Surroundings {
            outside,
            directories: Directories::AsBefore,
            verify: true,
        };
        let (engine, module) = (&self.engines[at], &self.modules[at]);
        Ok(Program::restore(engine, module, &chain, surroundings)?)
    }
}

/// The guest prints what it should, left alone and moved: here and there from its beginning to
/// its end, and at each check of one part after another.
fn moved_all_over(name: &str, spread: u32, dense: u32) -> Result<Vec<Run>> {
    moved_between(&BACK_ENDS, name, spread, dense)
}

fn moved_between(back_ends: &[BackEnd], name: &str, spread: u32, dense: u32) -> Result<Vec<Run>> {
    let compiled = Compiled::new(name, back_ends)?;
    let whole = compiled.run([])?;
    let expected = &compiled.guest.output;
    ensure!(whole.output == *expected, "unmoved: {}", whole.output);
    let step = whole.checks / spread;
    ensure!(step > dense, "{name} has {} checks only", whole.checks);
    let evenly = vec![step; spread as usize];
    // `dense` checks one after the other, then far from there.
    let in_places = [vec![1; dense as usize], vec![step * 3 - dense]].concat();
    let in_places: Vec<u32> = in_places.repeat(spread as usize / 3);
    let mut runs = Vec::new();
    for (how, stops) in [("evenly", evenly), ("in places", in_places)] {
        let run = compiled
            .run(stops)
            .with_context(|| format!("{name} moved {how}"))?;
        ensure!(
            run.captures >= spread - 1,
            "moved {how}: {} captures",
            run.captures
        );
        ensure!(
            run.output == *expected,
            "moved {how}: {} instead of {expected}",
            run.output
        );
        runs.push(run);
    }
    Ok(runs)
}

#[test]
fn cxx_moves() -> Result<()> {
    let runs = moved_all_over("ledger", 60, 20)?;
    // Virtual functions, lambdas and the C++ library below them.
    assert!(runs.iter().any(|run| run.deepest > 5));
    Ok(())
}

#[test]
fn jumps_over_many_frames_move() -> Result<()> {
    let runs = moved_all_over("escapes", 60, 20)?;
    for run in &runs {
        assert!(
            run.deepest > 60,
            "no capture of more than {} frames",
            run.deepest
        );
    }
    Ok(())
}

/// For the programs that take the interpreter minutes.
const NATIVE: [BackEnd; 2] = [BackEnd::Optimised, BackEnd::Quick];

/// As `cargo xtask setup` has it, Rust for guests may stay missing where it cannot be had.
#[test]
fn rust_moves() -> Result<()> {
    if let Err(missing) = guests::ready(guests::Kind::Rust) {
        eprintln!("not run: {missing}");
        return Ok(());
    }
    for name in ["regex-log", "word-maps"] {
        moved_between(&NATIVE, name, 9, 10)?;
    }
    Ok(())
}

/// Loops in loops over doubles, and a recursion that is nothing but calls.
#[test]
fn numbers_move() -> Result<()> {
    for name in ["gramschmidt", "nussinov", "floyd-warshall", "ackermann"] {
        moved_all_over(name, 30, 20)?;
    }
    Ok(())
}

/// The largest program: functions of thousands of instructions, calls through tables.
#[test]
fn sqlite_moves() -> Result<()> {
    moved_between(&NATIVE, "sqlite", 6, 8)?;
    Ok(())
}
