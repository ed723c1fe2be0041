//! `cargo xtask check`: all that can be said about the sources without running tests.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::steps::Steps;
use crate::workspace::{self, Workspace};
use crate::{citations, examples, files, links, metadata, rooms, wasm};

pub(crate) const HELP: &str = "\
Check everything that continuous integration checks; write nothing.

Cheapest first, and the first failure ends it:
  format        rustfmt agrees with every file               mend: cargo xtask fix
  links         links between documents lead somewhere
  rules         each rule of docs/protocol.md is cited (`// rule P4`) by code and by a test
  rooms         each crate knows only what it may know       table: xtask/src/rooms.rs
  examples      every public item for users has one          crates: xtask/src/examples.rs
  sources       licences, banned crates and registries       settings: deny.toml
  clippy        no warnings in code, tests and benches       mend: cargo xtask fix
  docs          the documentation builds without warnings
  wasm          leap-core builds for bare WebAssembly and imports nothing";

pub(crate) fn run(workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    steps.run("format", || workspace.run("cargo fmt --all --check"))?;
    steps.run("links", || check_links(workspace))?;
    steps.run("rules", || check_rules(workspace))?;
    steps.run("rooms", || check_rooms(workspace))?;
    steps.run("examples", || check_examples(workspace))?;
    steps.run("sources", || check_sources(workspace))?;
    steps.run("clippy", || {
        workspace.run("cargo clippy --locked --workspace --all-targets -- -D warnings")
    })?;
    steps.run("docs", || workspace::run(&mut docs(workspace)))?;
    steps.run("wasm", || wasm::check(workspace))
}

fn check_links(workspace: &Workspace) -> Result<()> {
    let documents = files::with_extension(workspace.root(), "md")?;
    none(
        "broken links",
        &links::findings(workspace.root(), &documents),
    )
}

/// Where the rules are written.
const PROTOCOL: &str = "docs/protocol.md";

fn check_rules(workspace: &Workspace) -> Result<()> {
    let path = workspace.path(PROTOCOL);
    if !path.exists() {
        eprintln!("  no {PROTOCOL}: no rules to cite");
        return Ok(());
    }
    let document = fs::read_to_string(&path).with_context(|| format!("cannot read {PROTOCOL}"))?;
    let rules = citations::headings(&document);
    if rules.is_empty() {
        bail!("{PROTOCOL} has no headings of rules such as `## P1 Atomic actions`");
    }
    let mut sources = files::with_extension(workspace.root(), "rs")?;
    // This crate's comments only explain what a citation is.
    sources.retain(|file| !file.path.starts_with("xtask/"));
    none(
        "gaps between rules and citations",
        &citations::findings(&rules, &sources),
    )
}

fn check_rooms(workspace: &Workspace) -> Result<()> {
    none(
        "broken limits",
        &rooms::findings(&metadata::graph(workspace)?, rooms::ROOMS),
    )
}

fn check_examples(workspace: &Workspace) -> Result<()> {
    let mut sources = files::with_extension(workspace.root(), "rs")?;
    sources.retain(|file| {
        let own = examples::CRATES.iter().any(|own| {
            let inside = file.path.strip_prefix(own);
            inside.is_some_and(|inside| inside.starts_with("/src/"))
        });
        own && !file.path.contains("/generated/")
    });
    none(
        "public items without an example",
        &examples::findings(&sources)?,
    )
}

fn check_sources(workspace: &Workspace) -> Result<()> {
    if !workspace.succeeds("cargo deny --version") {
        bail!("cargo-deny is not installed: run `cargo xtask setup`");
    }
    workspace.run("cargo deny --locked --log-level error check licenses bans sources")
}

fn docs(workspace: &Workspace) -> Command {
    let mut command = workspace.command("cargo doc --locked --no-deps --workspace");
    command.env("RUSTDOCFLAGS", "-D warnings");
    command
}

/// Fails with all `findings` when there are any.
fn none(what: &str, findings: &[String]) -> Result<()> {
    for finding in findings {
        eprintln!("  {finding}");
    }
    if findings.is_empty() {
        Ok(())
    } else {
        bail!("{} {what}, listed above", findings.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_fail_the_step_and_are_counted() {
        assert!(none("broken links", &[]).is_ok());
        let error = none("broken links", &["a".to_owned(), "b".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "2 broken links, listed above");
    }
}
