//! `leap run`: a WebAssembly program that can be checkpointed.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use leap_vm::Program;
use leap_vm::wasi::{HostMount, HostWrites, Outside, WasiOptions, WasiState};

use crate::process::{self, Allowance, Execution, Periodic};
use crate::runner::Runner;

/// Run a WebAssembly program that can be checkpointed: leap run prog.wasm arguments
///
/// Any program for WASI preview 1 will do (from Rust, C, C++ and others). While it runs, `leap checkpoint PID -o FILE` writes its whole state to a file: call stack,
/// memory, open files and all. `leap restore FILE` goes on from there, on this machine or another.
/// The program's exit code becomes the command's; 134 means that it trapped, 75 that it was stopped
/// by `leap checkpoint --stop`, 124 that it ran longer than `--timeout`.
///
/// A program can also ask for a checkpoint itself, for `--checkpoint-dir`, by the import
/// `leap.checkpoint`: it gives 0 when the checkpoint is on disk, 1 in the program that goes on from
/// it, 2 when there is none.
#[derive(Args)]
#[command(after_help = "\
Examples:
  leap run hello.wasm world
  leap run --dir .::/ --env HOME=/ tool.wasm --verbose in.txt
  leap run --checkpoint-every 10s --checkpoint-dir /tmp/app app.wasm; leap restore /tmp/app")]
pub(crate) struct Run {
    /// Let the program see a directory, by its name or another: --dir data, --dir data::/work.
    /// What it writes there stays with the program; the directory is never changed
    #[arg(long = "dir", value_name = "HOST[::GUEST]")]
    directories: Vec<String>,
    /// The same, but what the program writes is written there at once; no checkpoint holds it
    #[arg(long = "dir-direct", value_name = "HOST[::GUEST]")]
    direct_directories: Vec<String>,
    /// Give the program a variable, or ours of that name
    #[arg(long = "env", value_name = "NAME[=VALUE]")]
    environment: Vec<String>,
    /// Make random numbers depend on this alone
    #[arg(long, value_name = "NUMBER")]
    random_seed: Option<u64>,
    #[command(flatten)]
    execution: Execution,
    #[command(flatten)]
    periodic: Periodic,
    #[command(flatten)]
    allowance: Allowance,
    /// The program, a WebAssembly module
    #[arg(value_name = "PROGRAM")]
    program: PathBuf,
    /// What the program gets as its arguments
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGUMENTS"
    )]
    arguments: Vec<String>,
}

impl Run {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let module = process::read_module(&self.program)?;
        let options = self.options()?;
        let engine = self.execution.engine()?;
        let name = self.program.display().to_string();
        let compiled = process::compile(&engine, &module, &name)?;
        let state = WasiState::new(&options);
        let outside = Outside::standard().limited(self.allowance.limits());
        let program = Program::start(&engine, &compiled, state, outside)
            .with_context(|| format!("cannot run {name}"))?;
        Runner::new(
            engine,
            program,
            module,
            &self.periodic,
            self.allowance.timeout,
        )?
        .run()
    }

    fn options(&self) -> Result<WasiOptions> {
        let name = self.program.display().to_string();
        let arguments = std::iter::once(name).chain(self.arguments.clone());
        let directories = mounts(&self.directories, &self.direct_directories)?;
        // Without any directory, one to write to that goes along with the program.
        let memory_directories = match directories.is_empty() {
            true => vec!["/".to_owned()],
            false => Vec::new(),
        };
        let environment = self.environment.iter().map(|text| variable(text));
        Ok(WasiOptions {
            arguments: arguments.collect(),
            environment: environment.collect::<Result<_>>()?,
            directories,
            memory_directories,
            terminals: [
                std::io::stdin().is_terminal(),
                std::io::stdout().is_terminal(),
                std::io::stderr().is_terminal(),
            ],
            random_seed: self.random_seed,
        })
    }
}

/// The directories that options name.
pub(crate) fn mounts(overlays: &[String], direct: &[String]) -> Result<Vec<HostMount>> {
    let overlays = overlays.iter().map(|text| mount(text, HostWrites::Overlay));
    let direct = direct.iter().map(|text| mount(text, HostWrites::Direct));
    overlays.chain(direct).collect()
}

fn mount(text: &str, writes: HostWrites) -> Result<HostMount> {
    let (host, guest) = text.split_once("::").unwrap_or((text, text));
    // As it will be found after a restore from another working directory.
    let path = std::path::absolute(host).with_context(|| format!("no directory {host}"))?;
    Ok(HostMount {
        name: guest.to_owned(),
        path,
        writes,
    })
}

fn variable(text: &str) -> Result<(String, String)> {
    if let Some((name, value)) = text.split_once('=') {
        return Ok((name.to_owned(), value.to_owned()));
    }
    let value = std::env::var(text)
        .with_context(|| format!("there is no variable {text} to give to the program"))?;
    Ok((text.to_owned(), value))
}
