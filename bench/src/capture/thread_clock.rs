//! The processor time of a thread, read by any other.
//!
//! The clock of the whole process does not serve: of threads that run on other processors it knows
//! only what they had used at the scheduler's last tick, milliseconds ago.

#![allow(
    unsafe_code,
    reason = "no safe library asks for another thread's clock"
)]

use std::io;
use std::time::Duration;

/// The processor time of the thread that made it.
#[derive(Clone, Copy)]
pub(super) struct ThreadClock(libc::clockid_t);

impl ThreadClock {
    /// That of the calling thread.
    pub(super) fn of_this_thread() -> io::Result<Self> {
        let mut id = 0;
        // SAFETY: the calling thread exists, and `id` can be written to.
        match unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut id) } {
            0 => Ok(Self(id)),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    /// What the thread has used; an error once it has ended.
    pub(super) fn now(self) -> io::Result<Duration> {
        let mut now = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: a number that names no clock is refused; `now` can be written to.
        match unsafe { libc::clock_gettime(self.0, &raw mut now) } {
            0 => Ok(Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::channel;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_thread_that_runs_is_seen_to_run() {
        let (sender, receiver) = channel();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                sender.send(ThreadClock::of_this_thread().unwrap()).unwrap();
                while !is_over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
            let clock = receiver.recv().unwrap();
            let (begun, before) = (Instant::now(), clock.now().unwrap());
            while clock.now().unwrap() < before + Duration::from_millis(5) {}
            assert!(begun.elapsed() >= Duration::from_millis(4));
            is_over.store(true, Ordering::Relaxed);
        });
    }
}
