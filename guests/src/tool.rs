//! Running compilers.

use std::process::{Command, Output};

use crate::BuildError;

/// Runs a compiler for a guest; what it wrote to its output.
pub(crate) fn run(guest: &str, command: &mut Command) -> Result<Vec<u8>, BuildError> {
    let refused = |message| BuildError::Compile {
        guest: guest.to_owned(),
        message,
    };
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .output()
        .map_err(|error| refused(format!("cannot run {command:?}: {error}")))?;
    if status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&stderr);
    Err(refused(format!("{command:?}: {status}\n{stderr}")))
}

/// What a program prints, if it is there and ends well.
pub(crate) fn answer(command: &mut Command) -> Option<String> {
    let output = command
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}
