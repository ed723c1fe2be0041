//! `cargo xtask fix`: the mechanical part of making `check` pass.

use anyhow::Result;

use crate::steps::Steps;
use crate::workspace::Workspace;

pub(crate) const HELP: &str = "\
Format the code and apply what clippy can mend by itself.

Writes into the work tree, also when it has uncommitted changes: look at the result with
`git diff`. What is left for a human shows in `cargo xtask check`.";

pub(crate) fn run(workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    steps.run("clippy", || {
        workspace.run("cargo clippy --fix --allow-dirty --allow-staged --workspace --all-targets")
    })?;
    // Last, for clippy does not format what it writes.
    steps.run("format", || workspace.run("cargo fmt --all"))
}
