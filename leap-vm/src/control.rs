//! The capture flag, from any thread, and what a host function waits for.

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
        let mut state = self.state.lock();
        state.is_woken = true;
        let scheduler = state.scheduler.clone();
        drop(state);
        self.requested.notify_all();
        if let Some(scheduler) = scheduler {
            scheduler.wake();
        }
    }
}

#[derive(Debug, Default)]
struct State {
    flag: Option<Flag>,
    is_requested: bool,
    /// How many times anybody has asked.
    requests: u64,
    /// Whether something else has happened that a host function may wait for.
    is_woken: bool,
    /// Called as well when it has, if the process gives up its thread where it would wait.
    scheduler: Option<Waker>,
    /// What it gave it up for.
    pause: Option<Pause>,
}

impl State {
    /// Sets the flag to `to` if it is attached and is `from`.
    fn turn_flag(&self, from: u32, to: u32) {
        if let Some(at) = &self.flag {
            let (set, found) = (Ordering::Relaxed, Ordering::Relaxed);
            let _ = at.word().compare_exchange(from, to, set, found);
        }
    }
}

/// A request that nobody had made before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request(u64);

/// What a stopped process waits for: its waker is called, or this moment comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pause {
    /// None: however long it takes.
    pub(crate) until: Option<Instant>,
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
        self.ask();
    }

    /// [Requests](Self::request) a capture that may be [withdrawn](Self::withdraw), unless one was requested before.
    pub(crate) fn ask(&self) -> Option<Request> {
        let mut state = self.0.state.lock();
        state.requests += 1;
        let request = (!state.is_requested).then_some(Request(state.requests));
        state.is_requested = true;
        // If the process is unwinding already, that answers this request too.
        state.turn_flag(flag::RUN, flag::REQUESTED);
        self.0.requested.notify_all();
        request
    }

    /// Takes back a request that the process, which has stopped, has not answered, since it came when it had; unless
    /// somebody else has asked as well.
    pub(crate) fn withdraw(&self, request: Request) {
        let mut state = self.0.state.lock();
        if state.requests != request.0 {
            return;
        }
        state.is_requested = false;
        state.turn_flag(flag::REQUESTED, flag::RUN);
    }

    /// Whether a capture is requested and has not happened yet.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.state.lock().is_requested
    }

    /// Blocks until a capture is requested, the [waker](Self::waker) is called, or `deadline` has
    /// come; tells whether the host function that waits is to be interrupted: see
    /// [`Host::interrupt`](crate::Host::interrupt). A call of the waker is never lost: it ends
    /// the next wait at once.
    ///
    /// A process of a [`Scheduler`](crate::Scheduler) never blocks its thread: it is interrupted
    /// at once, and goes on when what it waits for has happened.
    #[must_use]
    pub fn wait(&self, deadline: Option<Instant>) -> bool {
        let mut state = self.0.state.lock();
        if state.scheduler.is_some() && !state.is_woken && !state.is_requested {
            let is_over = deadline.is_some_and(|deadline| deadline <= Instant::now());
            state.pause = (!is_over).then_some(Pause { until: deadline });
            return !is_over;
        }
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

    /// Has the process give up its thread where it would wait, and `scheduler` be called when that
    /// wait may be over; with none, it blocks its thread again.
    pub(crate) fn schedule(&self, scheduler: Option<Waker>) {
        self.0.state.lock().scheduler = scheduler;
    }

    /// What the process gave up its thread for, if it did so since this was asked last.
    pub(crate) fn take_pause(&self) -> Option<Pause> {
        self.0.state.lock().pause.take()
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

    /// Whether the guest's frames are being saved just now.
    pub(crate) fn is_unwinding(&self) -> bool {
        let state = self.0.state.lock();
        let word = state
            .flag
            .as_ref()
            .map(|at| at.word().load(Ordering::Relaxed));
        word == Some(flag::UNWINDING)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_else_asked_for_is_withdrawn() {
        let handle = CaptureHandle::default();
        let request = handle.ask().expect("nobody has asked");
        handle.withdraw(request);
        assert!(!handle.is_requested());

        let request = handle.ask().expect("it was withdrawn");
        handle.request();
        handle.withdraw(request);
        assert!(handle.is_requested(), "somebody asked later");
        assert_eq!(handle.ask(), None, "somebody asked before");
    }
}
