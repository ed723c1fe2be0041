//! The control socket of a running program: how `leap checkpoint` reaches it.
//!
//! A program listens at `PID.sock` in a directory that only its user can enter: `leap` in
//! `$XDG_RUNTIME_DIR`, or `leap-UID` in the directory for temporary files if there is no such directory. A
//! connection carries one request and one answer, each a line of JSON.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

/// A program that was asked and is silent this long has lost its way.
const PATIENCE: Duration = Duration::from_secs(600);

/// No request and no answer is longer: paths are, at most, some thousand bytes.
const LINE_BYTES_AT_MOST: u64 = 1 << 16;

/// Asks for a checkpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    /// Where to write it: an absolute path.
    pub(crate) path: PathBuf,
    /// Whether the program shall end then.
    pub(crate) stop: bool,
    /// Whether pages shall stay uncompressed.
    pub(crate) uncompressed: bool,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// The checkpoint is on disk.
    Written(Written),
    /// There is none.
    Refused {
        /// Why.
        error: String,
    },
}

/// A checkpoint that was written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Written {
    /// Where.
    pub(crate) path: PathBuf,
    /// The image's name.
    pub(crate) id: String,
    /// Pages in it, before equal ones were found.
    pub(crate) pages: usize,
    /// Bytes of the file.
    pub(crate) file_bytes: u64,
    /// From the request until the program had stopped.
    pub(crate) stop_us: u64,
    /// From then until it ran on or, if it was to end, until all was written.
    pub(crate) pause_us: u64,
}

/// The socket of this process; dropping it removes it, once all requests are answered.
pub(crate) struct ControlSocket {
    path: PathBuf,
    pending: Arc<Pending>,
}

/// How many requests were read and not answered yet.
#[derive(Default)]
struct Pending {
    requests: Mutex<usize>,
    fewer: Condvar,
}

impl Pending {
    fn change(&self, change: impl FnOnce(&mut usize)) {
        change(&mut self.requests.lock().unwrap_or_else(PoisonError::into_inner));
        self.fewer.notify_all();
    }

    fn wait_for_none(&self) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        while *requests > 0 {
            requests = self
                .fewer
                .wait(requests)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl ControlSocket {
    /// Listens, and answers each request by `answer`, on threads of its own.
    pub(crate) fn listen(
        answer: impl Fn(Request) -> Answer + Send + Sync + 'static,
    ) -> Result<Self> {
        let directory = directory()?;
        remove_abandoned(&directory);
        let path = directory.join(format!("{}.sock", std::process::id()));
        // Whoever had our process id before us is gone.
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path)
            .with_context(|| format!("cannot listen at {}", path.display()))?;
        let answer = Arc::new(answer);
        let pending = Arc::new(Pending::default());
        let socket = Self {
            path,
            pending: Arc::clone(&pending),
        };
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let answer = Arc::clone(&answer);
                let pending = Arc::clone(&pending);
                thread::spawn(move || {
                    if let Err(error) = serve(&connection, &pending, answer.as_ref()) {
                        tracing::warn!("a control connection failed: {error:#}");
                    }
                });
            }
        });
        Ok(socket)
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // If it is gone already, all is well.
        let _ = fs::remove_file(&self.path);
        // Whoever has asked shall hear what came of it before this process ends.
        self.pending.wait_for_none();
    }
}

fn serve(
    connection: &UnixStream,
    pending: &Pending,
    answer: &dyn Fn(Request) -> Answer,
) -> Result<()> {
    let mut line = String::new();
    BufReader::new(connection.take(LINE_BYTES_AT_MOST)).read_line(&mut line)?;
    if line.is_empty() {
        // Somebody only wanted to know whether we are here.
        return Ok(());
    }
    pending.change(|requests| *requests += 1);
    let answered = respond(connection, &line, answer);
    pending.change(|requests| *requests -= 1);
    answered
}

fn respond(
    mut connection: &UnixStream,
    line: &str,
    answer: &dyn Fn(Request) -> Answer,
) -> Result<()> {
    let answer = match serde_json::from_str(line) {
        Ok(request) => answer(request),
        Err(error) => Answer::Refused {
            error: format!("the request cannot be understood: {error}"),
        },
    };
    let mut line = serde_json::to_string(&answer)?;
    line.push('\n');
    Ok(connection.write_all(line.as_bytes())?)
}

/// Asks the program with that process id, and waits for what comes of it.
pub(crate) fn ask(pid: u32, request: &Request) -> Result<Answer> {
    let directory = directory()?;
    let Ok(connection) = UnixStream::connect(directory.join(format!("{pid}.sock"))) else {
        bail!(
            "no program that `leap run` started runs as process {pid}; {}",
            running(&directory)
        );
    };
    connection.set_read_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    (&connection).write_all(line.as_bytes())?;
    let mut answer = String::new();
    BufReader::new((&connection).take(LINE_BYTES_AT_MOST)).read_line(&mut answer)?;
    ensure!(
        !answer.is_empty(),
        "process {pid} has ended before it was checkpointed"
    );
    serde_json::from_str(&answer).context("the program's answer cannot be understood")
}

/// Which programs there are, for a person who mistook the process id.
fn running(directory: &Path) -> String {
    let mut pids: Vec<i32> = sockets(directory)
        .filter(|(_, path)| UnixStream::connect(path).is_ok())
        .map(|(pid, _)| pid)
        .collect();
    pids.sort_unstable();
    match pids.as_slice() {
        [] => "none does at all".to_owned(),
        pids => {
            let pids: Vec<String> = pids.iter().map(i32::to_string).collect();
            format!("these do: {}", pids.join(", "))
        }
    }
}

/// The sockets in the directory, with the process ids that they are for.
fn sockets(directory: &Path) -> impl Iterator<Item = (i32, PathBuf)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let path = entry.path();
        let pid = path.file_stem()?.to_str()?.parse().ok()?;
        path.extension()
            .is_some_and(|extension| extension == "sock")
            .then_some((pid, path))
    })
}

/// Removes the sockets of programs that were killed.
fn remove_abandoned(directory: &Path) {
    for (pid, path) in sockets(directory) {
        let pid = rustix::process::Pid::from_raw(pid);
        let is_gone = pid.is_none_or(|pid| {
            rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH)
        });
        // One that has just begun refuses connections as well, and one that answers may be in another container.
        if is_gone && UnixStream::connect(&path).is_err() {
            let _ = fs::remove_file(path);
        }
    }
}

/// The directory of the sockets, made if need be; refused if others could enter it.
fn directory() -> Result<PathBuf> {
    let user = rustix::process::getuid().as_raw();
    // It may name what was never made, or was another user's: then it counts for nothing.
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let path = match runtime.filter(|runtime| runtime.is_absolute() && runtime.is_dir()) {
        Some(runtime) => runtime.join("leap"),
        None => std::env::temp_dir().join(format!("leap-{user}")),
    };
    // If it is there already, it is looked at below.
    let _ = fs::DirBuilder::new().mode(0o700).create(&path);
    let found =
        fs::symlink_metadata(&path).with_context(|| format!("cannot use {}", path.display()))?;
    let is_ours = found.is_dir() && found.uid() == user && found.permissions().mode() & 0o077 == 0;
    ensure!(is_ours, "{} is open to others: remove it", path.display());
    Ok(path)
}
