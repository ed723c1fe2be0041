//! `cargo xtask test-aarch64`: processes on another architecture, by an emulator of its
//! instructions.
//!
//! Compiling the engine for it takes minutes, so this is no part of `cargo xtask test`, where
//! the interpreter is the other architecture.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::setup::ensure_system_package;
use crate::steps::Steps;
use crate::workspace::{self, Workspace};

pub(crate) const HELP: &str = "\
Move processes between this machine and aarch64, which qemu emulates.

  Rust for aarch64      with rustup
  compiler, emulator    gcc-aarch64-linux-gnu, libc6-dev-arm64-cross, qemu-user-static: with apt-get when
                        they are missing and the user is root; otherwise one line says what to install
  tests there           those of leap-memory and leap-vm, but for what no emulator of system calls has
  relay                 programs run here for a while and go on there from their image, and back

The first time takes ten minutes and more: the engine is compiled for aarch64. Not part of
`cargo xtask test`.";

const TARGET: &str = "aarch64-unknown-linux-gnu";
/// Debian's packages: a linker, a C library to link with, and the emulator.
const PACKAGES: &str = "gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static";
const LINKER: &str = "aarch64-linux-gnu-gcc";
/// Loader and C library must be of one build: a machine may have another for aarch64 installed. And
/// a small address space, for the emulator never forgets a page that it has seen.
const EMULATOR: &str = "qemu-aarch64-static -R 0x2000000000 -L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH=/usr/aarch64-linux-gnu/lib";
/// Tests of WASI are left out, for they compile guests; the relay has their like.
const TESTS: &str = "--package leap-memory --package leap-vm --lib --test model --test pages --test oracle --test relay";

/// Tests of what the emulator has not, each with what that is.
const SKIPPED: &[&str] = &[
    // userfaultfd
    "userfault_is_like_a_vector",
    // the resident pages of a mapping
    "pages_that_were_not_touched_take_no_memory",
    "a_deep_stack_gives_its_pages_back",
    // more than its address space
    "address_space_comes_back",
    // starting another program for aarch64
    "faults_of_others_go_to_their_handler",
    // openat2
    "a_direct_mount_is_the_host",
    "an_overlay_never_writes_to_the_host",
    "no_path_leaves_the_directory",
    // a `memset` that is whole when it was interrupted by a protected page: qemu 7.2 loses some bytes
    "full_images_and_deltas_come_back",
    // `/proc/self/mem` at the guest's addresses: with `-R` they are not the system's, and what is read is something
    // else, unless all of it is written again meanwhile
    "a_copy_of_a_memory_in_use_is_whole_with_what_changed_since",
];

/// The emulator compiles modules slowly.
const FUZZED_MODULES: &str = "30";

pub(crate) fn run(workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    steps.run("aarch64: Rust", || ensure_target(workspace))?;
    steps.run("aarch64: compiler and emulator", || {
        ensure_emulator(workspace)
    })?;
    let mut relay = PathBuf::new();
    steps.run("aarch64: build", || {
        relay = build(workspace)?;
        Ok(())
    })?;
    steps.run("aarch64: tests there", || {
        let line = format!("cargo test --locked {TESTS} --target {TARGET} --");
        let mut tests = cargo(workspace, &line);
        tests.env("LEAP_FUZZ_MODULES", FUZZED_MODULES);
        // The relay comes by itself.
        let skipped = SKIPPED.iter().chain(&["relayed"]);
        tests.args(skipped.flat_map(|test| ["--skip", test]));
        // Beside each other they want more address space.
        tests.arg("--test-threads=1");
        workspace::run(&mut tests)
    })?;
    steps.run("aarch64: relay", || {
        let line = "cargo test --locked --package leap-vm --test relay -- --nocapture";
        let elsewhere = format!("{EMULATOR} {}", relay.display());
        workspace::run(
            workspace
                .command(line)
                .env("LEAP_RELAY_ELSEWHERE", elsewhere),
        )
    })
}

fn ensure_target(workspace: &Workspace) -> Result<()> {
    let folder = workspace.read(&format!("rustc --print target-libdir --target {TARGET}"))?;
    if Path::new(folder.trim()).exists() {
        return Ok(());
    }
    workspace
        .run(&format!("rustup target add {TARGET}"))
        .with_context(|| format!("install Rust's standard library for {TARGET}"))
}

fn ensure_emulator(workspace: &Workspace) -> Result<()> {
    let is_there = || {
        workspace.succeeds(&format!("{LINKER} --version"))
            && workspace.succeeds("qemu-aarch64-static --version")
            && Path::new("/usr/aarch64-linux-gnu/lib/libc.so.6").exists()
    };
    if is_there() {
        return Ok(());
    }
    ensure_system_package(workspace, PACKAGES)?;
    if !is_there() {
        bail!(
            "{PACKAGES} are installed, but do not bring {LINKER}, qemu-aarch64-static and /usr/aarch64-linux-gnu"
        );
    }
    Ok(())
}

/// Cargo, told how to link and run programs for aarch64. Optimised a little: the emulator makes up for
/// the time that it takes.
fn cargo(workspace: &Workspace, line: &str) -> Command {
    let mut cargo = workspace.command(line);
    cargo
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER)
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", EMULATOR)
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_DEV_DEBUG", "false");
    cargo
}

/// Builds the tests; gives the program that runs a leg of the relay.
fn build(workspace: &Workspace) -> Result<PathBuf> {
    let line = format!(
        "cargo test --no-run --locked {TESTS} --target {TARGET} --message-format json-render-diagnostics"
    );
    let mut build = cargo(workspace, &line);
    let output = build
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` failed ({})", output.status);
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    executable("relay", &messages).context("cargo does not tell where the test `relay` is")
}

/// A message of cargo's, as far as it matters here.
#[derive(Deserialize)]
struct Message {
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

/// Where cargo says that it put the executable of that name.
fn executable(name: &str, messages: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| {
            message
                .target
                .as_ref()
                .is_some_and(|target| target.name == name)
        })
        .find_map(|message| message.executable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_found_among_the_messages() {
        let messages = r#"{"reason":"build-script-executed","package_id":"a"}
{"reason":"compiler-artifact","target":{"name":"relay","kind":["lib"]},"executable":null}
{"reason":"compiler-artifact","target":{"name":"oracle","kind":["test"]},"executable":"/t/oracle-1"}
{"reason":"compiler-artifact","target":{"name":"relay","kind":["test"]},"executable":"/t/relay-2"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(
            executable("relay", messages).as_deref(),
            Some(Path::new("/t/relay-2"))
        );
        assert_eq!(executable("wasi", messages), None);
    }
}
