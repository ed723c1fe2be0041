//! The capture flag, from any thread.

#![allow(
    unsafe_code,
    reason = "the flag is a word of guest memory, written while the guest runs"
)]

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Wake, Waker};
use std::time::Instant;

use leap_instrument::abi::flag;
use parking_lot::{Condvar, Mutex};

/// Requests captures of one process. Clones request captures of the same one.
#[derive(Debug, Clone, Default)]
pub struct CaptureHandle(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    requested: Condvar,
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.state.lock().is_woken = true;
        self.requested.notify_all();
    }
}

#[derive(Debug, Default)]
struct State {
    flag: Option<Flag>,
    is_requested: bool,
    /// Whether something else has happened that a host function may wait for.
    is_woken: bool,
}

/// Address of the flag, which stays valid until it is taken back under the lock.
#[derive(Debug)]
struct Flag(NonNull<u32>);

// SAFETY: the word is only accessed atomically, and the memory that it lies in may be accessed
// from any thread.
unsafe impl Send for Flag {}

impl Flag {
    fn word(&self) -> &AtomicU32 {
        // SAFETY: the address is valid and aligned while the flag is attached (`attach`).
        unsafe { AtomicU32::from_ptr(self.0.as_ptr()) }
    }
}

impl CaptureHandle {
    /// Asks the process to stop at the next bus stop. A request of a process that has ended, or
    /// that is asked already, changes nothing.
    pub fn request(&self) {
        let mut state = self.0.state.lock();
        state.is_requested = true;
        if let Some(at) = &state.flag {
            // If the process is unwinding already, that answers this request too.
            let _ = at.word().compare_exchange(
                flag::RUN,
                flag::REQUESTED,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
        }
        self.0.requested.notify_all();
    }

    /// Whether a capture is requested and has not happened yet.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.state.lock().is_requested
    }

    /// Blocks until a capture is requested, the [waker](Self::waker) is called, or `deadline` has
    /// come; tells whether a capture is requested. For host functions that wait: see
    /// [`Host::interrupt`](crate::Host::interrupt). A call of the waker is never lost: it ends
    /// the next wait at once.
    #[must_use]
    pub fn wait(&self, deadline: Option<Instant>) -> bool {
        let mut state = self.0.state.lock();
        while !state.is_requested && !state.is_woken {
            match deadline {
                Some(deadline) => {
                    if self
                        .0
                        .requested
                        .wait_until(&mut state, deadline)
                        .timed_out()
                    {
                        break;
                    }
                }
                None => self.0.requested.wait(&mut state),
            }
        }
        state.is_woken = false;
        state.is_requested
    }

    /// Ends a wait of the process's host functions, from any thread: what they wait for may have
    /// happened.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.0))
    }

    /// Makes requests reach the guest.
    ///
    /// # Safety
    ///
    /// `flag` is valid and aligned until [`Self::detach`], and is accessed by nobody but the
    /// guest and through this handle.
    pub(crate) unsafe fn attach(&self, flag: NonNull<u32>) {
        self.0.state.lock().flag = Some(Flag(flag));
    }

    pub(crate) fn detach(&self) {
        self.0.state.lock().flag = None;
    }

    /// Begins to unwind, on behalf of a host function that the guest has called.
    pub(crate) fn unwind(&self) {
        if let Some(at) = &self.0.state.lock().flag {
            at.word().store(flag::UNWINDING, Ordering::Relaxed);
        }
    }

    /// Whether the guest has unwound; if so, it may run again after this.
    pub(crate) fn take_unwound(&self) -> bool {
        let mut state = self.0.state.lock();
        let has_unwound = state.flag.as_ref().is_some_and(|at| {
            at.word()
                .compare_exchange(
                    flag::UNWINDING,
                    flag::RUN,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok()
        });
        if has_unwound {
            state.is_requested = false;
        }
        has_unwound
    }
}
