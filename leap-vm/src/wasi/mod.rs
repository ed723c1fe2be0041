//! The system interface of a process: WASI preview 1, all 46 functions, with state that can be
//! captured. (And `leap.checkpoint`, by which a guest asks for a checkpoint of itself: `link`.)
//!
//! [`Wasi`] is a state machine: a call goes in with the guest's memory, an [`Outcome`] comes out.
//! It never waits. When the guest would have to, the outcome is a [`Wait`], which is plain data:
//! the driver waits as it says and calls [`Wasi::resume`], in this process or, after a capture, in
//! another. What the outside gives (input, time, chance) and takes (output) goes through
//! [`Outside`]; everything else is in [`WasiState`].
//!
//! It knows neither the engine (but for `link`) nor how processes are captured.
//!
//! Invariants:
//! - No call panics or traps, whatever the guest passes: what is not supported or not allowed is
//!   an error number.
//! - A call that ends in a wait has changed nothing.
//! - Input is taken from the outside when the guest asks for it, and what it has not read then is
//!   part of the state: a capture neither loses nor takes any.
//! - A guest reaches no file of the host that is not below a directory that it was given.
//!
//! ```
//! use leap_vm::wasi::{Collected, Outcome, Outside, Stream, Wasi, WasiOptions, WasiState};
//!
//! let output = Collected::default();
//! let state = WasiState::new(&WasiOptions::default());
//! let mut wasi = Wasi::new(state, Outside::with_sink(output.clone()))?;
//!
//! let mut memory = vec![0; 64];
//! memory[32..34].copy_from_slice(b"hi");
//! memory[0..8].copy_from_slice(&[32, 0, 0, 0, 2, 0, 0, 0]); // one vector: two bytes at 32
//! let outcome = wasi.call("fd_write", &[1, 0, 1, 16], &mut memory);
//! assert_eq!(outcome, Some(Outcome::Done(0)));
//! assert_eq!(output.bytes(Stream::Output), b"hi");
//! # Ok::<(), leap_vm::wasi::WasiError>(())
//! ```

mod abi;
mod bounded;
mod contents;
mod descriptors;
mod files;
mod guest;
mod host_directory;
mod link;
mod outside;
mod paths;
mod poll;
mod resolve;
mod state;
#[cfg(test)]
mod tests;
mod tree;

use std::io;
use std::path::PathBuf;
use std::task::Waker;

use serde::{Deserialize, Serialize};

use abi::{Errno, Function, clock};
use files::Files;
use guest::Guest;

pub use outside::{
    Arrived, Clock, Collected, GivenInput, NoInput, Outside, Sink, Source, StandardInput,
    StandardStreams, Stream, SystemClock,
};
pub use state::{HostMount, OpenFile, WasiOptions, WasiState};
pub use tree::HostWrites;

/// Why a process cannot have its system interface.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WasiError {
    /// A directory of the host that the process was given cannot be opened.
    #[error("cannot open the directory {}", path.display())]
    HostDirectory {
        /// The host's directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The state contradicts itself: it comes from a damaged or forged image.
    #[error("the state of the files contradicts itself")]
    Unsound,
}

/// What a call comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The function returns this error number; 0 is success.
    Done(u16),
    /// The process ends with this code.
    Exit(u32),
    /// The guest waits.
    Wait(Wait),
}

/// A call that waits: plain data, so that the waiting may go on elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    function: Function,
    arguments: Vec<u64>,
    /// When the call began, by the process's monotonic clock.
    since_ns: u64,
    /// When it ends at the latest, by that clock.
    until_ns: Option<u64>,
}

/// More than any wait takes: eleven numbers of up to ten bytes each, and what kind it is.
const WAIT_BYTES_AT_MOST: usize = 128;

impl Wait {
    /// As bytes, for an image.
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("plain data in memory can be encoded")
    }

    /// From the bytes of an image; none if they are not those of a wait.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let is_short = bytes.len() <= WAIT_BYTES_AT_MOST;
        let wait: Self = is_short.then(|| bounded::decode(bytes)).flatten()?;
        let fits = wait.arguments.len() == wait.function.parameters().len();
        fits.then_some(wait)
    }

    /// The function that waits.
    pub fn function(&self) -> &'static str {
        self.function.name()
    }
}

/// Why a function does not simply succeed.
enum Stop {
    Fail(Errno),
    Exit(u32),
    Wait {
        /// By the process's monotonic clock.
        until_ns: Option<u64>,
    },
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Fail(errno)
    }
}

/// The system interface of one process.
#[derive(Debug)]
pub struct Wasi {
    /// All but the tree, which is in `files`, and the clock, which is in `clock_base_ns`.
    state: WasiState,
    files: Files,
    outside: Outside,
    /// What the outside's monotonic clock showed when the process's showed 0.
    clock_base_ns: i128,
    /// Called when input arrives.
    waker: Waker,
    has_waker: bool,
}

impl Wasi {
    /// Goes on from `state`.
    pub fn new(state: WasiState, outside: Outside) -> Result<Self, WasiError> {
        let mut wasi = Self {
            state: WasiState::new(&WasiOptions::default()),
            files: Files::default(),
            outside,
            clock_base_ns: 0,
            waker: Waker::noop().clone(),
            has_waker: false,
        };
        wasi.set_state(state)?;
        Ok(wasi)
    }

    /// Goes back to an earlier state, or on to another; the outside stays as it is.
    ///
    /// # Errors
    ///
    /// All of them; then nothing has changed.
    pub fn set_state(&mut self, mut state: WasiState) -> Result<(), WasiError> {
        if !state.make_sound() {
            return Err(WasiError::Unsound);
        }
        let tree = std::mem::take(&mut state.tree);
        self.files = Files::open(tree, self.outside.limits.file_bytes)
            .map_err(|(path, source)| WasiError::HostDirectory { path, source })?;
        let now_ns = self.outside.clock.monotonic_ns();
        self.clock_base_ns = i128::from(now_ns) - i128::from(state.monotonic_ns);
        self.state = state;
        Ok(())
    }

    /// The state as it is now. Input that the guest has not asked for is no part of it: it is still
    /// where it comes from.
    pub fn state(&self) -> WasiState {
        WasiState {
            monotonic_ns: self.monotonic_ns(),
            tree: self.files.tree().clone(),
            ..self.state.clone()
        }
    }

    /// Has `waker` called when input arrives for a call that waits for it.
    pub fn set_waker(&mut self, waker: Waker) {
        self.waker = waker;
        self.has_waker = true;
    }

    /// The names of all functions, in the order of their numbers.
    pub fn functions() -> impl Iterator<Item = &'static str> {
        Function::ALL.iter().map(|function| function.name())
    }

    /// Runs a function by its name; none if there is no such function or it does not have that
    /// many parameters.
    pub fn call(&mut self, name: &str, arguments: &[u64], memory: &mut [u8]) -> Option<Outcome> {
        let function = Function::ALL
            .iter()
            .find(|function| function.name() == name)?;
        let fits = arguments.len() == function.parameters().len();
        fits.then(|| self.begin(*function, arguments, memory))
    }

    /// Runs a function.
    pub(crate) fn begin(
        &mut self,
        function: Function,
        arguments: &[u64],
        memory: &mut [u8],
    ) -> Outcome {
        let since_ns = self.monotonic_ns();
        self.run(function, arguments, since_ns, memory)
    }

    /// Runs a function that waited once more.
    pub fn resume(&mut self, wait: &Wait, memory: &mut [u8]) -> Outcome {
        self.run(wait.function, &wait.arguments, wait.since_ns, memory)
    }

    /// How long to wait at most before [`Wasi::resume`] has something to say, in nanoseconds from
    /// now; none: until input arrives.
    pub fn remaining_ns(&self, wait: &Wait) -> Option<u64> {
        wait.until_ns
            .map(|until_ns| until_ns.saturating_sub(self.monotonic_ns()))
    }

    fn run(
        &mut self,
        function: Function,
        arguments: &[u64],
        since_ns: u64,
        memory: &mut [u8],
    ) -> Outcome {
        let guest = &mut Guest::new(memory);
        match self.dispatch(function, arguments, since_ns, guest) {
            Ok(()) => Outcome::Done(Errno::Success as u16),
            Err(Stop::Fail(errno)) => Outcome::Done(errno as u16),
            Err(Stop::Exit(code)) => Outcome::Exit(code),
            Err(Stop::Wait { until_ns }) => Outcome::Wait(Wait {
                function,
                arguments: arguments.to_vec(),
                since_ns,
                until_ns,
            }),
        }
    }

    fn dispatch(
        &mut self,
        function: Function,
        arguments: &[u64],
        since_ns: u64,
        guest: &mut Guest<'_>,
    ) -> Result<(), Stop> {
        // The low half is the value of an `i32`.
        let a = |index: usize| arguments[index] as u32;
        let long = |index: usize| arguments[index];
        match function {
            Function::ArgsGet => strings_get(guest, &self.state.arguments, a(0), a(1))?,
            Function::ArgsSizesGet => strings_sizes(guest, &self.state.arguments, a(0), a(1))?,
            Function::EnvironGet => strings_get(guest, &self.state.environment, a(0), a(1))?,
            Function::EnvironSizesGet => strings_sizes(guest, &self.state.environment, a(0), a(1))?,
            Function::ClockResGet => self.clock_resolution(guest, a(0), a(1))?,
            Function::ClockTimeGet => self.clock_time(guest, a(0), a(2))?,
            Function::FdAdvise => self.fd_advise(a(0), a(3))?,
            Function::FdAllocate => self.fd_allocate(a(0), long(1), long(2))?,
            Function::FdClose => self.fd_close(a(0))?,
            Function::FdDatasync => self.fd_sync(a(0), abi::rights::FD_DATASYNC)?,
            Function::FdFdstatGet => self.fd_fdstat_get(guest, a(0), a(1))?,
            Function::FdFdstatSetFlags => self.fd_fdstat_set_flags(a(0), a(1))?,
            Function::FdFdstatSetRights => self.fd_fdstat_set_rights(a(0), long(1), long(2))?,
            Function::FdFilestatGet => self.fd_filestat_get(guest, a(0), a(1))?,
            Function::FdFilestatSetSize => self.fd_filestat_set_size(a(0), long(1))?,
            Function::FdFilestatSetTimes => {
                self.fd_filestat_set_times(a(0), long(1), long(2), a(3))?;
            }
            Function::FdPread => self.fd_pread(guest, a(0), (a(1), a(2)), long(3), a(4))?,
            Function::FdPrestatGet => self.fd_prestat_get(guest, a(0), a(1))?,
            Function::FdPrestatDirName => self.fd_prestat_dir_name(guest, a(0), a(1), a(2))?,
            Function::FdPwrite => self.fd_pwrite(guest, a(0), (a(1), a(2)), long(3), a(4))?,
            Function::FdRead => self.fd_read(guest, a(0), (a(1), a(2)), a(3))?,
            Function::FdReaddir => self.fd_readdir(guest, a(0), (a(1), a(2)), long(3), a(4))?,
            Function::FdRenumber => self.fd_renumber(a(0), a(1))?,
            Function::FdSeek => self.fd_seek(guest, a(0), long(1) as i64, a(2), a(3))?,
            Function::FdSync => self.fd_sync(a(0), abi::rights::FD_SYNC)?,
            Function::FdTell => self.fd_tell(guest, a(0), a(1))?,
            Function::FdWrite => self.fd_write(guest, a(0), (a(1), a(2)), a(3))?,
            Function::PathCreateDirectory => {
                self.path_create_directory(guest, a(0), (a(1), a(2)))?;
            }
            Function::PathFilestatGet => {
                self.path_filestat_get(guest, a(0), a(1), (a(2), a(3)), a(4))?;
            }
            Function::PathFilestatSetTimes => {
                let times = (long(4), long(5), a(6));
                self.path_filestat_set_times(guest, a(0), a(1), (a(2), a(3)), times)?;
            }
            Function::PathLink => {
                self.path_link(guest, (a(0), a(1), a(2), a(3)), (a(4), a(5), a(6)))?;
            }
            Function::PathOpen => self.path_open(guest, &paths::Open::from_arguments(arguments))?,
            Function::PathReadlink => {
                self.path_readlink(guest, a(0), (a(1), a(2)), (a(3), a(4)), a(5))?;
            }
            Function::PathRemoveDirectory => {
                self.path_remove_directory(guest, a(0), (a(1), a(2)))?;
            }
            Function::PathRename => {
                self.path_rename(guest, (a(0), a(1), a(2)), (a(3), a(4), a(5)))?;
            }
            Function::PathSymlink => self.path_symlink(guest, (a(0), a(1)), (a(2), a(3), a(4)))?,
            Function::PathUnlinkFile => self.path_unlink_file(guest, a(0), (a(1), a(2)))?,
            Function::PollOneoff => self.poll_oneoff(guest, since_ns, a(0), a(1), (a(2), a(3)))?,
            Function::ProcExit => return Err(Stop::Exit(a(0))),
            // A guest that raises a signal wants to die or to be handled; neither exists here.
            Function::ProcRaise => return Err(Errno::Nosys.into()),
            Function::SchedYield => {}
            Function::RandomGet => self.random_get(guest, a(0), a(1))?,
            Function::SockAccept
            | Function::SockRecv
            | Function::SockSend
            | Function::SockShutdown => {
                self.descriptor(a(0), 0)?;
                return Err(Errno::Notsock.into());
            }
        }
        Ok(())
    }

    /// The process's monotonic clock.
    fn monotonic_ns(&self) -> u64 {
        let now = i128::from(self.outside.clock.monotonic_ns()) - self.clock_base_ns;
        u64::try_from(now).unwrap_or(0)
    }

    fn realtime_ns(&self) -> u64 {
        self.outside.clock.realtime_ns()
    }

    fn clock_resolution(&self, guest: &mut Guest<'_>, id: u32, at: u32) -> Result<(), Errno> {
        match id {
            clock::REALTIME | clock::MONOTONIC => guest.write_u64(at, 1),
            _ => Err(Errno::Inval),
        }
    }

    fn clock_time(&self, guest: &mut Guest<'_>, id: u32, at: u32) -> Result<(), Errno> {
        match id {
            clock::REALTIME => guest.write_u64(at, self.realtime_ns()),
            clock::MONOTONIC => guest.write_u64(at, self.monotonic_ns()),
            // What a process uses of a processor is no part of what moves with it.
            _ => Err(Errno::Inval),
        }
    }

    fn random_get(&mut self, guest: &mut Guest<'_>, at: u32, len: u32) -> Result<(), Errno> {
        let into = guest.slice_mut(at, len)?;
        // Through a buffer: no system call may write guest memory.
        let mut buffer = [0; 4096];
        for part in into.chunks_mut(buffer.len()) {
            let bytes = &mut buffer[..part.len()];
            self.state.random.fill(bytes).map_err(|_| Errno::Io)?;
            part.copy_from_slice(bytes);
        }
        Ok(())
    }

    /// Moves input that has arrived into the state; false when there is none.
    fn take_input(&mut self, up_to: usize) -> bool {
        if self.state.input_ended {
            return false;
        }
        match self.outside.source.read(up_to, &self.waker) {
            Arrived::Bytes(bytes) => {
                self.state.input.extend_from_slice(&bytes);
                true
            }
            Arrived::Nothing => false,
            Arrived::End => {
                self.state.input_ended = true;
                false
            }
        }
    }
}

/// Writes `strings` one after the other to `buffer`, each with a zero, and their places to `places`.
fn strings_get(
    guest: &mut Guest<'_>,
    strings: &[String],
    places: u32,
    buffer: u32,
) -> Result<(), Errno> {
    let mut at = buffer;
    for (index, string) in (0_u32..).zip(strings) {
        let place = index
            .checked_mul(4)
            .and_then(|offset| places.checked_add(offset));
        guest.write_u32(place.ok_or(Errno::Fault)?, at)?;
        guest.write(at, string.as_bytes())?;
        let end = at.checked_add(string.len() as u32).ok_or(Errno::Fault)?;
        guest.write(end, &[0])?;
        at = end.checked_add(1).ok_or(Errno::Fault)?;
    }
    Ok(())
}

/// Writes how many `strings` there are, and how many bytes they take with their zeros.
fn strings_sizes(
    guest: &mut Guest<'_>,
    strings: &[String],
    count: u32,
    bytes: u32,
) -> Result<(), Errno> {
    let all: usize = strings.iter().map(|string| string.len() + 1).sum();
    guest.write_u32(count, strings.len() as u32)?;
    guest.write_u32(bytes, u32::try_from(all).map_err(|_| Errno::Overflow)?)
}
