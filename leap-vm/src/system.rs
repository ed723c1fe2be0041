//! What a process may ask of the outside: the seam where a system interface plugs in.

use std::fmt;

use wasmtime::{Caller, Linker, Memory, Val};

use crate::control::CaptureHandle;
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
}

impl<S> Host<S> {
    pub(crate) fn new(system: S) -> Self {
        Self {
            system,
            capture: CaptureHandle::default(),
            interrupted: None,
            callee: None,
            memory: None,
        }
    }

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

    /// Called by a host function that waits and hears of a capture request: the process is
    /// captured with the function as its innermost frame. The function must return at once,
    /// with any results; it goes on in [`System::resume`].
    pub fn interrupt(&mut self, frame: HostFrame) {
        self.capture.unwind();
        self.interrupted = Some(frame);
    }
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
