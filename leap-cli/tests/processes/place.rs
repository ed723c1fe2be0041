//! A directory for the files of a test, and a guest to talk to.

use super::*;

pub(crate) const LEAP: &str = env!("CARGO_BIN_EXE_leap");

/// A directory with the guest, for the files of one test.
pub(crate) struct Place {
    directory: TempDir,
}

impl Place {
    pub(crate) fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests/talk.c");
        let output = Command::new("clang-19")
            .args(["--target=wasm32-wasi", "--sysroot=/usr", "-O1", "-g", "-o"])
            .arg(directory.path().join("talk.wasm"))
            .arg(source)
            .output()
            .context("clang-19 with wasi-libc is needed: cargo xtask setup")?;
        ensure!(output.status.success(), "{output:?}");
        Ok(Self { directory })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The command, with a place of its own for its sockets.
    pub(crate) fn leap(&self) -> Command {
        let mut command = Command::new(LEAP);
        command
            .current_dir(self.directory.path())
            .env("XDG_RUNTIME_DIR", self.directory.path());
        command
    }

    pub(crate) fn output(&self, arguments: &[&str]) -> Result<Output> {
        Ok(self.leap().args(arguments).output()?)
    }

    /// What the command prints when all is well.
    pub(crate) fn printed(&self, arguments: &[&str]) -> Result<String> {
        let output = self.output(arguments)?;
        ensure!(output.status.success(), "{arguments:?}: {output:?}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What the command complains of.
    pub(crate) fn complaint(&self, arguments: &[&str]) -> Result<String> {
        let output = self.output(arguments)?;
        ensure!(output.status.code() == Some(1), "{arguments:?}: {output:?}");
        Ok(String::from_utf8(output.stderr)?)
    }

    pub(crate) fn talk(&self, arguments: &[&str]) -> Result<Talk> {
        let mut child = self
            .leap()
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().context("it is piped")?;
        let output = BufReader::new(child.stdout.take().context("it is piped")?);
        Ok(Talk {
            child,
            input,
            output,
        })
    }

    /// Ends the guest at a checkpoint in that file.
    pub(crate) fn stop(&self, talk: Talk, file: &str) -> Result<()> {
        self.printed(&["checkpoint", &talk.pid(), "--stop", "-o", file])?;
        let code = talk.end()?;
        ensure!(code == Some(75), "it ended with {code:?}");
        Ok(())
    }
}

/// A guest that answers.
pub(crate) struct Talk {
    pub(crate) child: Child,
    pub(crate) input: ChildStdin,
    pub(crate) output: BufReader<ChildStdout>,
}

impl Talk {
    pub(crate) fn hear(&mut self) -> Result<String> {
        let mut line = String::new();
        let read = self.output.read_line(&mut line)?;
        ensure!(read > 0, "the guest says nothing any more");
        Ok(line.trim_end().to_owned())
    }

    /// The line at once: a checkpoint of a guest that has read half of it would wait for a rest that
    /// went down with the first life's pipe.
    pub(crate) fn say(&mut self, line: &str) -> Result<()> {
        Ok(self.input.write_all(format!("{line}\n").as_bytes())?)
    }

    pub(crate) fn ask(&mut self, line: &str) -> Result<String> {
        self.say(line)?;
        self.hear()
    }

    pub(crate) fn pid(&self) -> String {
        self.child.id().to_string()
    }

    pub(crate) fn end(mut self) -> Result<Option<i32>> {
        drop(self.input);
        Ok(self.child.wait()?.code())
    }

    /// As a crash of the machine would.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}
