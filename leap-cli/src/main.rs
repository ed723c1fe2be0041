//! The `leap` command.

mod album;
mod call;
mod checkpoint;
mod control;
mod demo;
mod ending;
mod http;
mod inspect;
mod options;
mod process;
mod remove;
mod restore;
mod run;
mod runner;
mod serve;
mod status;

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

/// Programs that survive crashes and never wait for the disk.
///
/// `leap demo` shows it in half a minute. `leap serve` runs a node that services join by URL.
/// `leap run` runs a WebAssembly program that can be checkpointed and moved at any moment.
#[derive(Parser)]
#[command(name = "leap", version, arg_required_else_help = true)]
#[command(after_help = options::LOGGING_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Process(process::ProcessCommand),
    /// Run a node: the coordinator, the built-in services `kv` and `log`, and the APIs
    Serve(serve::Serve),
    /// Show a node's objects, versions, world-line and who holds the boundary back
    Status(status::Status),
    /// Remove an object that never comes back from the cluster
    Remove(remove::Remove),
    /// Run a handler of an object: leap call kv put '{"key": "a", "value": "1"}'
    Call(call::Call),
    /// Book trips while services are killed, with speculation and without, and check the result
    Demo(demo::Demo),
    /// Host one service of the demo (what `leap demo` starts, and kills)
    #[command(hide = true)]
    DemoService(demo::service::DemoService),
}

impl Command {
    /// Whether standard output is for a program: one JSON object, of an error too.
    fn is_for_programs(&self) -> bool {
        match self {
            Self::Process(command) => command.is_for_programs(),
            Self::Serve(serve) => serve.json,
            Self::Status(status) => status.json,
            Self::Remove(remove) => remove.json,
            Self::Call(call) => call.json,
            Self::Demo(demo) => demo.json,
            Self::DemoService(_) => false,
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let is_for_programs = cli.command.is_for_programs();
    options::start_logging();
    let done = match cli.command {
        // Its program has the thread to itself, and no use for a runtime.
        Command::Process(command) => command.run(),
        command => run_on_runtime(command).map(|()| ExitCode::SUCCESS),
    };
    match done {
        Ok(code) => code,
        // Whoever read what the command says has read enough.
        Err(error) if is_closed_output(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let error = format!("{error:#}");
            if is_for_programs {
                // If nobody hears it, there is standard error.
                let _ = print(&serde_json::json!({ "error": error }));
            }
            eprintln!("error: {}", visible(&error));
            ExitCode::FAILURE
        }
    }
}

fn run_on_runtime(command: Command) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("no runtime")?;
    let done = runtime.block_on(async {
        match command {
            Command::Process(_) => unreachable!("it needs no runtime"),
            Command::Serve(serve) => serve.run().await,
            Command::Status(status) => status.run().await,
            Command::Remove(remove) => remove.run().await,
            Command::Call(call) => call.run().await,
            Command::Demo(demo) => demo.run().await,
            Command::DemoService(service) => service.run().await,
        }
    });
    // Threads that are still busy with storage must not keep a finished command from ending.
    runtime.shutdown_background();
    done
}

/// Standard output cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
struct OutputError(#[from] io::Error);

/// Says something on standard output, which is what a command is for.
fn say(text: std::fmt::Arguments<'_>) -> Result<(), OutputError> {
    // It is line-buffered, so an error shows at the line that it is about.
    Ok(writeln!(io::stdout(), "{text}")?)
}

/// The text with escapes for what a terminal would obey: names in a file from anywhere may be anything.
fn visible(text: &str) -> String {
    let is_plain = |char: char| !char.is_control() || char == '\n' || char == '\t';
    let mut visible = String::with_capacity(text.len());
    for char in text.chars() {
        match is_plain(char) {
            true => visible.push(char),
            false => visible.extend(char.escape_default()),
        }
    }
    visible
}

fn is_closed_output(error: &anyhow::Error) -> bool {
    let output = error.downcast_ref::<OutputError>();
    output.is_some_and(|OutputError(why)| why.kind() == io::ErrorKind::BrokenPipe)
}

/// Prints `value` as one JSON object.
fn print(value: &impl serde::Serialize) -> Result<(), OutputError> {
    let json = serde_json::to_string(value).map_err(io::Error::from)?;
    say(format_args!("{json}"))
}
