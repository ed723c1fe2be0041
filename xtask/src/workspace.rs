//! The repository on disk, and commands run in it.
//!
//! Every command runs in the root, without standard input (nothing may wait for an answer) and
//! with `target/tools/bin` in front of `PATH`, where [`crate::setup`] puts cargo's subcommands.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// The repository, known by its root folder.
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The workspace that this crate was compiled in.
    pub(crate) fn of_this_crate() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("xtask is a folder of the workspace");
        Self {
            root: root.to_owned(),
        }
    }

    #[cfg(test)]
    pub(crate) fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// `path` inside the repository.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The folder of installed tools; deleting it is safe, `setup` fills it again.
    pub(crate) fn tools(&self) -> PathBuf {
        self.path("target/tools")
    }

    /// `line` as a command: words separated by spaces, no quoting.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut words = line.split_whitespace();
        let mut command = Command::new(words.next().expect("a command names its program"));
        command
            .args(words)
            .current_dir(&self.root)
            .stdin(Stdio::null());
        command.env("PATH", self.search_path());
        command
    }

    /// Runs `line` with its output shown.
    ///
    /// # Errors
    /// When it cannot be started or exits with anything but success.
    pub(crate) fn run(&self, line: &str) -> Result<()> {
        run(&mut self.command(line))
    }

    /// What `line` prints on its standard output; its complaints are shown.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub(crate) fn read(&self, line: &str) -> Result<String> {
        let mut command = self.command(line);
        let output = command
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("cannot start `{line}`"))?;
        if !output.status.success() {
            bail!("`{line}` failed ({})", output.status);
        }
        String::from_utf8(output.stdout).with_context(|| format!("`{line}` printed no UTF-8"))
    }

    /// Whether `line` runs and succeeds; nothing of it is shown.
    pub(crate) fn succeeds(&self, line: &str) -> bool {
        let status = self
            .command(line)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|status| status.success())
    }

    fn search_path(&self) -> OsString {
        let inherited = env::var_os("PATH").unwrap_or_default();
        let own = self.tools().join("bin");
        env::join_paths([own].into_iter().chain(env::split_paths(&inherited)))
            .expect("the repository's path contains no path separator")
    }
}

/// Runs `command` with its output shown, after printing it so that it can be repeated by hand.
///
/// # Errors
/// When it cannot be started or exits with anything but success.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = line_of(command);
    eprintln!("  $ {line}");
    let status = command
        .status()
        .with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}

fn line_of(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_named_in_the_error() {
        let error = Workspace::of_this_crate()
            .run("cargo no-such-subcommand")
            .unwrap_err();
        assert!(
            format!("{error:#}").contains("`cargo no-such-subcommand` failed"),
            "{error:#}"
        );
    }

    #[test]
    fn a_missing_program_is_named_in_the_error() {
        let error = Workspace::of_this_crate()
            .run("no-such-program")
            .unwrap_err();
        assert!(
            format!("{error:#}").contains("cannot start `no-such-program`"),
            "{error:#}"
        );
    }
}
