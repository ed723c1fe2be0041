//! `leap checkpoint`: asking a running program for its state.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::control::{self, Answer, Request};
use crate::process;

/// Write the whole state of a running program to a file: leap checkpoint 4711 -o prog.leap
///
/// The program is one that `leap run` or `leap restore` runs; its process id is that of the command.
/// The program pauses for as long as it takes to copy what it changed while all else was copied, and runs
/// on while the file is written; with --stop it ends instead. When the command is done, the file is safe
/// on disk.
#[derive(Args)]
#[command(after_help = "\
Examples:
  leap run app.wasm & leap checkpoint $! -o app.leap
  leap checkpoint 4711 -o app.leap --stop; scp app.leap elsewhere: && ssh elsewhere leap restore app.leap")]
pub(crate) struct Checkpoint {
    /// The process id of `leap run`
    #[arg(value_name = "PID")]
    pid: u32,
    /// Where to write the checkpoint
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// End the program once the checkpoint is written
    #[arg(long)]
    stop: bool,
    /// Leave pages uncompressed: the file is longer, but `leap restore` starts before reading it all
    #[arg(long)]
    uncompressed: bool,
    /// Print what was written as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

impl Checkpoint {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let path = std::path::absolute(&self.output).context("no such place for a checkpoint")?;
        let request = Request {
            path,
            stop: self.stop,
            uncompressed: self.uncompressed,
        };
        let progress = process::spinner(format!("checkpointing process {}", self.pid));
        let answer = control::ask(self.pid, &request);
        progress.finish_and_clear();
        match answer? {
            Answer::Refused { error } => bail!("process {}: {error}", self.pid),
            Answer::Written(written) if self.json => crate::print(&written)?,
            Answer::Written(written) => crate::say(format_args!(
                "{}: {} pages in {} KiB, paused {:.1} ms",
                self.output.display(),
                written.pages,
                written.file_bytes >> 10,
                written.pause_us as f64 / 1000.0,
            ))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
