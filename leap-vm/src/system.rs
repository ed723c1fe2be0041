//! What a process may ask of the outside: the seam where a system interface plugs in.

use std::fmt;

use wasmtime::{Caller, Linker, Memory, Val};

use crate::control::CaptureHandle;
use crate::limits::{Limiter, Limits};
use crate::process::Callee;
use crate::state::HostFrame;

/// A system interface: the functions that modules import, and their state.
pub trait System: Sized + Send + 'static {
    /// Defines the functions.
    ///
    /// # Errors
    ///
    /// Those of the linker.
    fn link(linker: &mut Linker<Host<Self>>) -> wasmtime::Result<()>;

    /// What a process with this system may take.
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// Goes on with a function that was interrupted, here or on another machine, and gives its
    /// results. It may be interrupted again.
    ///
    /// # Errors
    ///
    /// As the function itself: the error ends the process.
    fn resume(
        caller: Caller<'_, Host<Self>>,
        frame: HostFrame,
        results: &mut [Val],
    ) -> wasmtime::Result<()>;
}

/// No system at all, for modules that import nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSystem;

impl System for NoSystem {
    fn link(_: &mut Linker<Host<Self>>) -> wasmtime::Result<()> {
        Ok(())
    }

    fn resume(_: Caller<'_, Host<Self>>, frame: HostFrame, _: &mut [Val]) -> wasmtime::Result<()> {
        Err(wasmtime::Error::msg(format!(
            "there is no function {}.{} to resume",
            frame.module, frame.name
        )))
    }
}

/// What host functions find with their caller.
#[derive(Debug)]
pub struct Host<S> {
    /// The system's state.
    pub system: S,
    pub(crate) capture: CaptureHandle,
    pub(crate) interrupted: Option<HostFrame>,
    /// What the innermost frame finds when it is rebuilt.
    pub(crate) callee: Option<Callee>,
    pub(crate) memory: Option<Memory>,
    pub(crate) limiter: Limiter,
    pub(crate) asked: Asked,
}

/// How it stands with a checkpoint that the guest has asked for itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Asked {
    /// There is none.
    #[default]
    No,
    /// It is to be taken, now.
    Yes,
    /// It was taken, and whoever runs the process has kept it.
    Kept,
    /// The process is what was kept.
    GoingOn,
}

impl<S: System> Host<S> {
    /// `control_bytes`: the size of the control memory.
    pub(crate) fn new(system: S, control_bytes: u64) -> Self {
        let capture = CaptureHandle::default();
        Self {
            limiter: Limiter::new(system.limits(), control_bytes, capture.clone()),
            system,
            capture,
            interrupted: None,
            callee: None,
            memory: None,
            asked: Asked::No,
        }
    }
}

impl<S> Host<S> {
    /// Tells a host function that waits of capture requests.
    #[must_use]
    pub fn capture(&self) -> &CaptureHandle {
        &self.capture
    }

    /// The memory that the guest exports as `memory`, to which its addresses belong. (Asking the
    /// caller for it is not enough: a continuation may be the caller.)
    #[must_use]
    pub fn memory(&self) -> Option<Memory> {
        self.memory
    }

    /// Called by a host function by which the guest asks for a checkpoint of itself: the process
    /// stops with the function as its innermost frame, as by [`interrupt`](Self::interrupt). When
    /// it goes on, [`answer`](Self::answer) says what came of it.
    pub fn ask_for_checkpoint(&mut self, frame: HostFrame) {
        self.asked = Asked::Yes;
        self.interrupt(frame);
    }

    /// What came of the checkpoint that the guest has asked for.
    pub fn answer(&mut self) -> CheckpointAnswer {
        match std::mem::take(&mut self.asked) {
            Asked::Kept => CheckpointAnswer::Kept,
            Asked::GoingOn => CheckpointAnswer::GoingOn,
            Asked::No | Asked::Yes => CheckpointAnswer::NotKept,
        }
    }

    /// Called by a host function that waits and hears of a capture request: the process is
    /// captured with the function as its innermost frame. The function must return at once,
    /// with any results; it goes on in [`System::resume`].
    pub fn interrupt(&mut self, frame: HostFrame) {
        self.capture.unwind();
        self.interrupted = Some(frame);
    }
}

/// What a guest that has asked for a checkpoint of itself is told: it sees the call return twice if
/// the checkpoint is ever used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointAnswer {
    /// The checkpoint was kept.
    Kept = 0,
    /// This is the process that goes on from it.
    GoingOn = 1,
    /// Nobody keeps checkpoints here, or it could not be kept.
    NotKept = 2,
}

/// Returned as an error by a host function, ends the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit(
    /// The exit code.
    pub i32,
);

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit with code {}", self.0)
    }
}

impl std::error::Error for Exit {}
