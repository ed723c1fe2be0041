//! `cargo xtask setup`: what checks and tests need besides Rust.
//!
//! Tools go below `target/tools`, so that nothing of the user's own is touched and deleting the
//! folder undoes everything. What is already on `PATH` is used as it is.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::steps::Steps;
use crate::wasm;
use crate::workspace::{self, Workspace};

pub(crate) const HELP: &str = "\
Install what checks and tests need; quick when all is there.

  rustfmt, clippy             with rustup
  wasm32-unknown-unknown      bare WebAssembly, for which leap-core must build
  cargo-nextest, cargo-deny   from source, minutes each the first time
  moto, azurite               an S3 and an Azure Blob server for tests of leap-store and leap-node
  clang, lld, wasi-libc       compile guests in C, for tests and benchmarks of processes
  libc++, clang 22            compile guests in C++ and with setjmp, for tests of processes
  Rust's wasm32-wasip1        compiles guests in Rust, for benchmarks alone: may stay missing

Tools and servers go to target/tools; delete that folder to undo. Python 3 with venv, npm, and
the compiler for C are installed with apt-get when they are missing and the user is root;
otherwise one line says what to install. Never asks a question.";

/// Leaves out nextest's own downloader with its HTTP and TLS stack.
const WITHOUT_SELF_UPDATE: &str = "--no-default-features --features default-no-update";

pub(crate) fn run(workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    steps.run("setup: rustfmt", || {
        ensure_component(workspace, "rustfmt", "fmt")
    })?;
    steps.run("setup: clippy", || {
        ensure_component(workspace, "clippy", "clippy")
    })?;
    steps.run("setup: bare WebAssembly", || ensure_bare_wasm(workspace))?;
    steps.run("setup: cargo-nextest", || {
        ensure_subcommand(workspace, "nextest", WITHOUT_SELF_UPDATE)
    })?;
    steps.run("setup: cargo-deny", || {
        ensure_subcommand(workspace, "deny", "")
    })?;
    steps.run("setup: moto", || ensure_moto(workspace))?;
    steps.run("setup: azurite", || ensure_azurite(workspace))?;
    for (kind, packages) in COMPILERS {
        let step = format!("setup: compiler for guests {}", kind.phrase());
        steps.run(&step, || ensure_compiler(workspace, kind, packages))?;
    }
    steps.run("setup: Rust for guests", || {
        ensure_rust_for_guests(workspace);
        Ok(())
    })
}

fn ensure_component(workspace: &Workspace, component: &str, subcommand: &str) -> Result<()> {
    if workspace.succeeds(&format!("cargo {subcommand} --version")) {
        return Ok(());
    }
    workspace
        .run(&format!("rustup component add {component}"))
        .with_context(|| format!("install {component}, as it came with your Rust"))
}

fn ensure_bare_wasm(workspace: &Workspace) -> Result<()> {
    if wasm::is_target_installed(workspace) {
        return Ok(());
    }
    workspace
        .run(&format!("rustup target add {}", wasm::TARGET))
        .with_context(|| format!("install Rust's target {}", wasm::TARGET))
}

/// Installs `cargo-NAME` into `target/tools` unless cargo already knows the subcommand.
///
/// Unoptimised: for nextest that is less than half of the build, and its work is to start others.
fn ensure_subcommand(workspace: &Workspace, name: &str, features: &str) -> Result<()> {
    if workspace.succeeds(&format!("cargo {name} --version")) {
        return Ok(());
    }
    eprintln!("  cargo-{name} is missing: building it from source takes minutes");
    let mut install = workspace.command(&format!(
        "cargo install --quiet --debug --locked {features} cargo-{name} --root"
    ));
    workspace::run(install.arg(workspace.tools()))
}

/// A tool that a foreign package manager installs below `target/tools`.
struct Package<'a> {
    /// Its folder below `target/tools`.
    name: &'a str,
    /// What to ask the package manager for.
    requirement: &'a str,
}

impl Package<'_> {
    fn folder(&self, workspace: &Workspace) -> PathBuf {
        workspace.tools().join(self.name)
    }

    /// Runs `install` on an empty folder unless exactly this requirement was installed there before.
    ///
    /// A note left in the folder at the end says so: an installation that was interrupted starts over.
    fn ensure(
        &self,
        workspace: &Workspace,
        install: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        let folder = self.folder(workspace);
        let note = folder.join("installed");
        if fs::read_to_string(&note).is_ok_and(|installed| installed == self.requirement) {
            return Ok(());
        }
        if folder.exists() {
            fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        install(&folder)?;
        fs::write(&note, self.requirement)
            .with_context(|| format!("cannot write {}", note.display()))
    }
}

fn ensure_moto(workspace: &Workspace) -> Result<()> {
    let moto = Package {
        name: "moto",
        requirement: "moto[server]==5.2.5",
    };
    moto.ensure(workspace, |folder| {
        // Debian ships `venv` without `ensurepip`, which the new environment needs.
        if !workspace.succeeds("python3 -m ensurepip --version") {
            ensure_system_package(workspace, "python3-venv")?;
        }
        workspace::run(workspace.command("python3 -m venv").arg(folder))?;
        let pip = folder.join("bin/pip");
        let mut install = workspace.command(&pip.to_string_lossy());
        workspace::run(install.args([
            "install",
            "--quiet",
            "--disable-pip-version-check",
            moto.requirement,
        ]))
    })
}

fn ensure_azurite(workspace: &Workspace) -> Result<()> {
    let azurite = Package {
        name: "azurite",
        requirement: "azurite@3.35.0",
    };
    azurite.ensure(workspace, |folder| {
        if !workspace.succeeds("npm --version") {
            ensure_system_package(workspace, "npm")?;
        }
        let mut install = workspace.command("npm install --silent --no-audit --no-fund --prefix");
        workspace::run(install.arg(folder).arg(azurite.requirement))
    })
}

/// For each kind of guest that clang compiles: the compiler, its linker, its run-time library for
/// WebAssembly, and the libraries of the language.
const COMPILERS: [(guests::Kind, &str); 3] = [
    (
        guests::Kind::C,
        "clang-19 lld-19 libclang-rt-19-dev-wasm32 wasi-libc",
    ),
    (
        guests::Kind::Cxx,
        "clang-19 lld-19 libclang-rt-19-dev-wasm32 wasi-libc libc++-19-dev-wasm32 libc++abi-19-dev-wasm32",
    ),
    (
        guests::Kind::Setjmp,
        "clang-22 lld-22 libclang-rt-22-dev-wasm32 wasi-libc",
    ),
];

fn ensure_compiler(workspace: &Workspace, kind: guests::Kind, packages: &str) -> Result<()> {
    if guests::ready(kind).is_ok() {
        return Ok(());
    }
    ensure_system_package(workspace, packages)?;
    Ok(guests::ready(kind)?)
}

/// Says what is missing when it cannot be had: nothing but benchmarks needs it.
fn ensure_rust_for_guests(workspace: &Workspace) {
    if guests::ready(guests::Kind::Rust).is_ok()
        || workspace.succeeds("rustup target add wasm32-wasip1")
    {
        return;
    }
    if let Err(error) = guests::ready(guests::Kind::Rust) {
        eprintln!("  benchmarks will lack guests in Rust: {error}");
    }
}

/// Installs packages of Debian's, or says in one line what to install.
pub(crate) fn ensure_system_package(workspace: &Workspace, package: &str) -> Result<()> {
    let is_root = workspace.read("id -u").is_ok_and(|id| id.trim() == "0");
    if !is_root || !workspace.succeeds("apt-get --version") {
        bail!(
            "{package} is missing: install it with your system's package manager (Debian: `sudo apt-get install {package}`)"
        );
    }
    workspace.run("apt-get update -q")?;
    let mut install = workspace.command("apt-get install -q -y --no-install-recommends");
    workspace::run(
        install
            .args(package.split(' '))
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is installed is not installed again; another requirement starts from an empty folder.
    #[test]
    fn a_package_is_installed_once_per_requirement() {
        let root = tempfile::tempdir().unwrap();
        let workspace = Workspace::at(root.path());
        let installs = |requirement: &str| {
            let mut calls = 0;
            let package = Package {
                name: "tool",
                requirement,
            };
            let install = |folder: &Path| {
                calls += 1;
                Ok(fs::write(folder.join(requirement), "")?)
            };
            package.ensure(&workspace, install).unwrap();
            calls
        };
        assert_eq!(
            [installs("tool@1"), installs("tool@1"), installs("tool@2")],
            [1, 0, 1]
        );
        assert!(!root.path().join("target/tools/tool/tool@1").exists());
    }

    #[test]
    fn an_interrupted_installation_starts_over() {
        let root = tempfile::tempdir().unwrap();
        let workspace = Workspace::at(root.path());
        let package = Package {
            name: "tool",
            requirement: "tool@1",
        };
        package
            .ensure(&workspace, |_| bail!("no network"))
            .unwrap_err();
        let mut calls = 0;
        package
            .ensure(&workspace, |_| {
                calls += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(calls, 1);
    }
}
