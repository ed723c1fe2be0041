//! `cargo xtask test`: everything, as continuous integration runs it.

use anyhow::Result;

use crate::steps::Steps;
use crate::workspace::Workspace;
use crate::{check, setup};

pub(crate) const HELP: &str = "\
Set up, check and run all tests: what continuous integration runs.

After `cargo xtask setup` and `cargo xtask check`:
  tests         every test, by nextest with the profile `ci` of .config/nextest.toml
  doctests      the examples in the documentation
  simulator     2000 seeds of leap-sim, optimised

While editing, `cargo nextest run -p CRATE` is quicker. The first step that fails ends the run;
its command is printed above its output, to be repeated by hand.";

/// Enough to see that the simulator is alive; the long runs are made by hand.
const SEEDS: u32 = 2000;

pub(crate) fn run(workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    setup::run(workspace, steps)?;
    check::run(workspace, steps)?;
    steps.run("tests", || {
        workspace.run("cargo nextest run --locked --workspace --profile ci")
    })?;
    steps.run("doctests", || {
        workspace.run("cargo test --locked --workspace --doc --quiet")
    })?;
    if workspace.path("leap-sim/src/main.rs").exists() {
        steps.run("simulator", || simulate(workspace))?;
    }
    Ok(())
}

fn simulate(workspace: &Workspace) -> Result<()> {
    workspace.run(&format!(
        "cargo run --locked --release --package leap-sim -- --seeds {SEEDS}"
    ))
}
