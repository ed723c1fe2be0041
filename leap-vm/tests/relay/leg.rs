//! One leg, in a process of its own: from a module or an image to the next image, or to the end.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use leap_instrument::Options;
use leap_memory::{Memory, MemoryOptions, Tracking};
use leap_vm::image::{Base, Chain, Compression, write_file};
use leap_vm::wasi::{Collected, Outside, Stream, WasiOptions, WasiState};
use leap_vm::{
    BackEnd, Directories, EngineOptions, Outcome, Pages, Program, ProgramEngine, Surroundings,
};
use serde::{Deserialize, Serialize};

/// Names the file with the leg that this process is to run.
pub(crate) const ASKED: &str = "LEAP_RELAY_LEG";

const BACK_ENDS: [BackEnd; 3] = [BackEnd::Optimised, BackEnd::Interpreter, BackEnd::Quick];

/// What a leg is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Leg {
    pub(crate) from: Start,
    /// Which of the back ends.
    pub(crate) back_end: u32,
    /// It stops at the check with this number.
    pub(crate) checks: u32,
    /// The image that it writes then.
    pub(crate) image: PathBuf,
    /// Whether the image holds all pages, not only those that changed.
    pub(crate) whole: bool,
    /// Where it tells what it did.
    pub(crate) report: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Start {
    Module {
        path: PathBuf,
        arguments: Vec<String>,
    },
    Image(PathBuf),
}

/// What a leg did.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) has_ended: bool,
    pub(crate) checks: u32,
    pub(crate) output: Vec<u8>,
    pub(crate) architecture: String,
    /// How the system told which pages were written.
    pub(crate) tracking: String,
}

impl Leg {
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        Ok(fs::write(path, postcard::to_stdvec(self)?)?)
    }
}

impl Report {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        Ok(postcard::from_bytes(&fs::read(path)?)?)
    }
}

/// Runs the leg that the file describes.
pub(crate) fn run(asked: &Path) -> Result<()> {
    let leg: Leg = postcard::from_bytes(&fs::read(asked)?)?;
    let options = EngineOptions {
        back_end: BACK_ENDS[leg.back_end as usize],
        instrument: Options {
            slice_instructions: 1,
            countdown: true,
            ..Options::default()
        },
        ..EngineOptions::default()
    };
    let engine = ProgramEngine::new(options, Tracking::Auto)?;
    let output = Collected::default();
    let mut program = begin(&engine, &leg.from, &output)?;
    program.process().stop_after(leg.checks);
    let outcome = std::thread::scope(|threads| {
        let thread = std::thread::Builder::new().stack_size(engine.thread_stack_bytes());
        let running = thread.spawn_scoped(threads, || program.run())?;
        let outcome = running.join().expect("the thread does not panic");
        anyhow::Ok(outcome?)
    })?;
    let has_ended = match outcome {
        Outcome::Stopped => false,
        Outcome::Returned(_) | Outcome::Exited(0) => true,
        other => bail!("{other:?}"),
    };
    if !has_ended {
        shoot(&mut program, &leg)?;
    }
    let report = Report {
        has_ended,
        checks: leg.checks.wrapping_sub(program.process().countdown()),
        output: output.bytes(Stream::Output),
        architecture: std::env::consts::ARCH.to_owned(),
        tracking: format!(
            "{:?}",
            Memory::reserve(&MemoryOptions::default())?.tracking()
        ),
    };
    Ok(fs::write(&leg.report, postcard::to_stdvec(&report)?)?)
}

fn begin(engine: &ProgramEngine, from: &Start, output: &Collected) -> Result<Program> {
    let outside = Outside::with_sink(output.clone());
    match from {
        Start::Module { path, arguments } => {
            let module = engine.compile(&fs::read(path)?)?;
            let state = WasiState::new(&WasiOptions {
                arguments: arguments.clone(),
                random_seed: Some(1),
                ..WasiOptions::default()
            });
            Ok(Program::start(engine, &module, state, outside)?)
        }
        Start::Image(path) => {
            let chain = Chain::open(path)?;
            let module = engine.compile(&chain.module()?)?;
            let surroundings = Surroundings {
                outside,
                directories: Directories::AsBefore,
                verify: true,
            };
            Ok(Program::restore(engine, &module, &chain, surroundings)?)
        }
    }
}

/// Writes the image, with the module in it or relative to the one that the leg came from.
fn shoot(program: &mut Program, leg: &Leg) -> Result<()> {
    let (module, base) = match &leg.from {
        Start::Module { path, .. } => (Some(fs::read(path)?), None),
        Start::Image(path) if leg.whole => (Some(Chain::open(path)?.module()?), None),
        Start::Image(path) => {
            let base = Base {
                id: Chain::open(path)?.newest().id(),
                name: path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into(),
            };
            (None, Some(base))
        }
    };
    let pages = match base {
        None => Pages::Whole,
        Some(_) => Pages::Changes,
    };
    let capture = program.capture(pages)?;
    let contents = capture.contents(module.as_deref(), base);
    write_file(&leg.image, &contents, Compression::default())?;
    Ok(())
}
