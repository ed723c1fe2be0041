//! The commands on processes: what they share.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use leap_vm::{BackEnd, EngineOptions, Limits, Module, ProgramEngine};

use crate::{checkpoint, inspect, restore, run};

/// The commands that run WebAssembly programs here, without a node.
#[derive(Subcommand)]
pub(crate) enum ProcessCommand {
    // What `--help` says of each is in its own file.
    Run(run::Run),
    Checkpoint(checkpoint::Checkpoint),
    Restore(restore::Restore),
    Inspect(inspect::Inspect),
}

impl ProcessCommand {
    /// Whether standard output is one JSON object.
    pub(crate) fn is_for_programs(&self) -> bool {
        match self {
            Self::Run(_) | Self::Restore(_) => false,
            Self::Checkpoint(checkpoint) => checkpoint.json,
            Self::Inspect(inspect) => inspect.json,
        }
    }

    pub(crate) fn run(self) -> Result<ExitCode> {
        match self {
            Self::Run(run) => run.run(),
            Self::Checkpoint(checkpoint) => checkpoint.run(),
            Self::Restore(restore) => restore.run(),
            Self::Inspect(inspect) => inspect.run(),
        }
    }
}

/// How a program is executed. It may be another way after each restore.
#[derive(Args, Clone, Debug)]
pub(crate) struct Execution {
    /// What turns the program into something that runs
    #[arg(long, value_enum, default_value = "optimised")]
    back_end: BackEndName,
    /// Stack of the program's calls in KiB; a checkpoint of a deeper stack goes on all the same
    #[arg(long, default_value_t = 8192, value_name = "KIB")]
    #[arg(value_parser = clap::value_parser!(u32).range(64..=16 << 20))]
    stack_kib: u32,
}

/// The back ends by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum BackEndName {
    /// Native code that took its time to compile
    Optimised,
    /// Native code, compiled quickly
    Quick,
    /// A portable interpreter: starts at once
    Interpreter,
}

impl From<BackEndName> for BackEnd {
    fn from(name: BackEndName) -> Self {
        match name {
            BackEndName::Optimised => Self::Optimised,
            BackEndName::Quick => Self::Quick,
            BackEndName::Interpreter => Self::Interpreter,
        }
    }
}

impl Execution {
    pub(crate) fn engine(&self) -> Result<ProgramEngine> {
        let options = EngineOptions {
            back_end: self.back_end.into(),
            stack_bytes: (self.stack_kib as usize) << 10,
            ..EngineOptions::default()
        };
        // Dirty pages are tracked as the system can, or as LEAP_MEMORY_TRACKING says.
        Ok(ProgramEngine::new(options, Default::default())?)
    }
}

/// What a program may take.
#[derive(Args, Clone, Debug)]
pub(crate) struct Allowance {
    /// End the program when it has run this long, such as 500ms, 10s or 1m, with exit code 124; with
    /// --checkpoint-dir, after a last checkpoint
    #[arg(long, value_parser = parse_duration, value_name = "TIME")]
    pub(crate) timeout: Option<Duration>,
    /// Give the program no more memory than this, such as 512k, 64m or 2g
    #[arg(long, value_parser = parse_bytes, value_name = "SIZE")]
    memory_limit: Option<u64>,
    /// Let the files that the program holds itself take no more memory than this [default: 1008m, which
    /// a checkpoint can hold]
    #[arg(long, value_parser = parse_bytes, value_name = "SIZE")]
    files_limit: Option<u64>,
}

impl Allowance {
    pub(crate) fn limits(&self) -> Limits {
        let all = Limits::default();
        Limits {
            memory_bytes: self.memory_limit.unwrap_or(all.memory_bytes),
            file_bytes: self.files_limit.unwrap_or(all.file_bytes),
            ..all
        }
    }
}

/// Whether and where a running program is checkpointed by itself.
#[derive(Args, Clone, Debug)]
pub(crate) struct Periodic {
    /// Checkpoint the program this often while it runs, such as 500ms, 10s or 1m
    #[arg(long, value_parser = parse_duration, value_name = "TIME", requires = "checkpoint_dir")]
    pub(crate) checkpoint_every: Option<Duration>,
    /// Where those checkpoints go; `leap restore DIR` goes on from the newest
    #[arg(long, value_name = "DIR", requires = "checkpoint_every")]
    pub(crate) checkpoint_dir: Option<PathBuf>,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    match number_with_unit(text, &[("ms", 1), ("s", 1000), ("m", 60_000)]) {
        Some(ms @ 1..) => Ok(Duration::from_millis(ms)),
        _ => Err("give a number above zero and a unit: ms, s or m".to_owned()),
    }
}

fn parse_bytes(text: &str) -> Result<u64, String> {
    number_with_unit(text, &[("k", 1 << 10), ("m", 1 << 20), ("g", 1 << 30)])
        .ok_or_else(|| "give a number and a unit: k, m or g".to_owned())
}

/// The number, times what its unit stands for.
fn number_with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let &(_, factor) = units.iter().find(|&&(name, _)| name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

pub(crate) fn read_module(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Compiles with something to look at, for large programs take seconds.
pub(crate) fn compile(engine: &ProgramEngine, module: &[u8], name: &str) -> Result<Module> {
    let progress = spinner(format!("compiling {name}"));
    let compiled = engine.compile(module);
    progress.finish_and_clear();
    compiled.with_context(|| format!("cannot run {name}"))
}

/// Something that turns on a terminal's standard error while work is done.
pub(crate) fn spinner(message: String) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
    let progress = ProgressBar::new_spinner()
        .with_style(style)
        .with_message(message);
    progress.enable_steady_tick(Duration::from_millis(120));
    progress
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_bytes("512k"), Ok(512 << 10));
        assert_eq!(parse_bytes("2g"), Ok(2 << 30));
        for wrong in ["", "7", "m", "1t", "-1k", "99999999999g", "1 k"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_have_units() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in [
            "",
            "7",
            "s",
            "0s",
            "1h",
            "-1s",
            "99999999999999999999s",
            "1 s",
        ] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
