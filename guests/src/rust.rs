//! Programs in Rust.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::BuildError;
use crate::cache::{self, Inputs};
use crate::program::Program;
use crate::tool::{answer, run};

const TARGET: &str = "wasm32-wasip1";

const REMEDY: &str =
    "run `rustup target add wasm32-wasip1` (Debian's Rust: see guests/rust/debian-std.sh)";

/// A toolchain that compiles for WASI: what cargo is told to use it.
struct Toolchain {
    /// Such as `+debian`; nothing for the usual one.
    choice: Option<&'static str>,
    version: String,
}

impl Toolchain {
    fn find(guest: &str) -> Result<Self, BuildError> {
        let found = [None, Some("+debian")].into_iter().find_map(|choice| {
            let library = answer(Command::new("rustc").args(choice).args([
                "--print",
                "target-libdir",
                "--target",
                TARGET,
            ]))?;
            if !Path::new(library.trim()).exists() {
                return None;
            }
            let version = answer(Command::new("rustc").args(choice).arg("-vV"))?;
            Some(Self { choice, version })
        });
        found.ok_or_else(|| BuildError::Missing {
            guest: guest.to_owned(),
            what: "Rust's standard library for WASI",
            remedy: REMEDY,
        })
    }

    fn cargo(&self) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.args(self.choice);
        // Those of whoever builds this crate are not meant for guests.
        for name in [
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "RUSTC",
            "RUSTC_WRAPPER",
        ] {
            cargo.env_remove(name);
        }
        cargo
    }
}

pub(crate) fn ready() -> Result<(), BuildError> {
    Toolchain::find("in Rust").map(drop)
}

pub(crate) fn build_wasm(program: &Program) -> Result<Vec<u8>, BuildError> {
    let toolchain = Toolchain::find(program.name)?;
    let package = program.source();
    let mut inputs = Inputs::default();
    inputs.word(&toolchain.version);
    for folder in ["", "src", "src/bin"] {
        inputs.files(&package.join(folder))?;
    }
    let path = cache::made_once(program.name, inputs, |made| {
        let target = cache::directory().join("rust");
        let mut cargo = toolchain.cargo();
        cargo
            .args([
                "build",
                "--release",
                "--locked",
                "--quiet",
                "--target",
                TARGET,
            ])
            .args(["--bin", program.name, "--target-dir"])
            .arg(&target)
            .arg("--manifest-path")
            .arg(package.join("Cargo.toml"));
        run(program.name, &mut cargo)?;
        let built = target
            .join(TARGET)
            .join("release")
            .join(format!("{}.wasm", program.name));
        fs::copy(&built, made)
            .map(drop)
            .map_err(|source| BuildError::File {
                path: built,
                source,
            })
    })?;
    cache::read(&path)
}
