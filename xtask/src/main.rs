//! Project tasks: `cargo xtask setup | check | fix | test | test-aarch64`.
//!
//! `check` is exactly what continuous integration checks and never writes a file of the
//! repository; `fix` writes; `setup` installs what tests need; `test` does all of it.
//! Besides running cargo, `check` holds the project to four promises of its own:
//!
//! - every rule of `docs/protocol.md` is cited by code and by a test ([`citations`]),
//! - each crate knows only what it may know ([`rooms`], and [`wasm`] for `leap-core`),
//! - links between documents lead somewhere ([`links`]),
//! - every public item that users write against has an example ([`examples`]).
//!
//! What this crate does not know: the crates of Leap. It only reads their files, so it builds
//! within seconds and runs when they do not compile. (Which compilers guests need, [`setup`] asks
//! `guests`, which knows none of them either.)

mod aarch64;
mod check;
mod citations;
mod examples;
mod files;
mod fix;
mod links;
mod metadata;
mod rooms;
mod setup;
mod steps;
mod test;
mod wasm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::steps::Steps;
use crate::workspace::Workspace;

/// Tasks of the Leap project.
///
/// A first day: `cargo xtask setup`, then edit, `cargo xtask fix`, `cargo xtask test`.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what checks and tests need; quick when all is there.
    #[command(long_about = setup::HELP)]
    Setup,
    /// Check everything that continuous integration checks; write nothing.
    #[command(long_about = check::HELP)]
    Check,
    /// Format the code and apply what clippy can mend by itself.
    #[command(long_about = fix::HELP)]
    Fix,
    /// Set up, check and run all tests: what continuous integration runs.
    #[command(long_about = test::HELP)]
    Test,
    /// Move processes between this machine and an emulated aarch64: longer, by hand.
    #[command(long_about = aarch64::HELP)]
    TestAarch64,
}

fn main() -> ExitCode {
    let task = Arguments::parse().task;
    let workspace = Workspace::of_this_crate();
    let mut steps = Steps::default();
    let outcome = match task {
        Task::Setup => setup::run(&workspace, &mut steps),
        Task::Check => check::run(&workspace, &mut steps),
        Task::Fix => fix::run(&workspace, &mut steps),
        Task::Test => test::run(&workspace, &mut steps),
        Task::TestAarch64 => aarch64::run(&workspace, &mut steps),
    };
    steps.summarise();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}
