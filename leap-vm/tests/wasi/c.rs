//! Builds the guests: C with clang and wasi-libc, as `cargo xtask setup` installs them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

const COMPILER: &str = "clang-19";

/// The module that `leap-vm/tests/guests/<name>` becomes.
pub(crate) fn build(name: &str) -> Result<Vec<u8>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/guests")
        .join(name);
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    // One file per caller: tests run beside each other.
    let module = tempfile::Builder::new()
        .suffix(".wasm")
        .tempfile_in(directory)?;
    let output = Command::new(COMPILER)
        .args(["--target=wasm32-wasi", "--sysroot=/usr", "-O1", "-g", "-o"])
        .arg(module.path())
        .arg(&source)
        .arg("-lm")
        .output()
        .with_context(|| format!("{COMPILER} with wasi-libc is needed: cargo xtask setup"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{} cannot be compiled:\n{errors}",
        source.display()
    );
    Ok(fs::read(module.path())?)
}
