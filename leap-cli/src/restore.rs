//! `leap restore`: going on from a checkpoint.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use leap_vm::image::{Chain, ImageError};
use leap_vm::wasi::{HostWrites, Outside};
use leap_vm::{Directories, Program, ProgramError, Surroundings};

use crate::album;
use crate::process::{self, Allowance, Execution, Periodic};
use crate::run;
use crate::runner::Runner;

/// Go on with a program from a checkpoint, here or on any other machine
///
/// It does not matter where the checkpoint was written: another machine, another processor, another
/// back end. Directories that the program was given (`leap run --dir`) must be granted again. Given a directory of periodic checkpoints, it takes the newest that is whole.
#[derive(Args)]
#[command(after_help = "\
Examples:
  leap restore app.leap
  leap restore --back-end interpreter app.leap
  leap restore /tmp/app --checkpoint-every 10s --checkpoint-dir /tmp/app")]
pub(crate) struct Restore {
    #[command(flatten)]
    execution: Execution,
    #[command(flatten)]
    periodic: Periodic,
    #[command(flatten)]
    allowance: Allowance,
    /// Grant the program a directory that it had, here under another path or the same
    #[arg(long = "dir", value_name = "HOST[::GUEST]")]
    overlays: Vec<String>,
    /// The same for one that it writes to directly
    #[arg(long = "dir-direct", value_name = "HOST[::GUEST]")]
    direct: Vec<String>,
    /// Grant the program all directories that it had: for checkpoints that you trust
    #[arg(long, conflicts_with_all = ["overlays", "direct"])]
    same_dirs: bool,
    /// The program, if the checkpoint does not hold it
    #[arg(long, value_name = "PROGRAM")]
    module: Option<PathBuf>,
    /// Start at once and do not look for damage first in pages that are mapped
    #[arg(long)]
    no_verify: bool,
    /// The checkpoint, or a directory of periodic ones
    #[arg(value_name = "FILE")]
    checkpoint: PathBuf,
}

impl Restore {
    pub(crate) fn run(self) -> Result<ExitCode> {
        // Of a single checkpoint, what is read is checked as it is read; of a directory's, another can
        // be taken.
        let verify = !self.no_verify && self.checkpoint.is_dir();
        let (path, chain) = open(&self.checkpoint, verify)?;
        let cannot = || format!("cannot go on from {}", path.display());
        let module = module_of(&chain, self.module.as_deref()).with_context(cannot)?;
        let engine = self.execution.engine()?;
        let compiled = process::compile(&engine, &module, "the program")?;
        let surroundings = Surroundings {
            outside: Outside::standard().limited(self.allowance.limits()),
            directories: self.directories()?,
            verify: !self.no_verify,
        };
        let progress = process::spinner(format!("restoring {}", path.display()));
        let program = Program::restore(&engine, &compiled, &chain, surroundings);
        progress.finish_and_clear();
        let program = program.map_err(hinted).with_context(cannot)?;
        Runner::new(
            engine,
            program,
            module,
            &self.periodic,
            self.allowance.timeout,
        )?
        .run()
    }
}

impl Restore {
    fn directories(&self) -> Result<Directories> {
        if self.same_dirs {
            return Ok(Directories::AsBefore);
        }
        let mounts = run::mounts(&self.overlays, &self.direct)?;
        Ok(Directories::Granted(mounts))
    }
}

/// Says what to do about what a person can do something about.
fn hinted(error: ProgramError) -> anyhow::Error {
    let hint = match &error {
        ProgramError::NotGranted { name, writes, .. } => {
            let option = match writes {
                HostWrites::Overlay => "--dir",
                HostWrites::Direct => "--dir-direct",
            };
            format!("grant it with {option} HOST::{name}, or all as they were with --same-dirs")
        }
        _ => return error.into(),
    };
    anyhow::anyhow!("{error}; {hint}")
}

/// Opens a checkpoint, or the newest of a directory that can be used; with its own path. All of it
/// is read first to look for damage if `verify` says so.
pub(crate) fn open(path: &Path, verify: bool) -> Result<(PathBuf, Chain)> {
    if path.is_dir() {
        return album::newest(path, verify);
    }
    let chain = open_file(path, verify);
    let chain = chain.with_context(|| format!("cannot use {}", path.display()))?;
    Ok((path.to_owned(), chain))
}

pub(crate) fn open_file(path: &Path, verify: bool) -> Result<Chain, ImageError> {
    let chain = Chain::open(path)?;
    if verify {
        let progress = process::spinner(format!("reading {}", path.display()));
        let verified = chain.verify();
        progress.finish_and_clear();
        verified?;
    }
    Ok(chain)
}

/// The program of a checkpoint, or the one that was given for it.
pub(crate) fn module_of(chain: &Chain, given: Option<&Path>) -> Result<Vec<u8>> {
    match given {
        Some(path) => process::read_module(path),
        None => Ok(chain.module()?),
    }
}
