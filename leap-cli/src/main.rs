//! The `leap` command.

mod album;
mod call;
mod checkpoint;
mod control;
mod demo;
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
        Err(error) => {
            let error = format!("{error:#}");
            if is_for_programs {
                say(format_args!("{}", serde_json::json!({ "error": error })));
            }
            eprintln!("error: {error}");
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

/// Says something to the person at the terminal.
#[allow(
    clippy::print_stdout,
    reason = "standard output is what a command is for"
)]
fn say(text: std::fmt::Arguments<'_>) {
    println!("{text}");
}

/// Prints `value` as one JSON object.
fn print(value: &impl serde::Serialize) -> anyhow::Result<()> {
    say(format_args!("{}", serde_json::to_string(value)?));
    Ok(())
}
