//! Threads that may block in a sync.
//!
//! A sync blocks, so it must not run on the async runtime; a thread per journal would be too many for a node with
//! thousands of objects, and one thread for all would make them wait for each other's syncs. So a few threads, started
//! when needed and ended when idle, take turns: a journal that has work stands in line once and is served one batch at
//! a time.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// More would not help: the disk serialises its flushes.
const MOST_THREADS: usize = 16;
const IDLE: Duration = Duration::from_secs(10);

/// Something with work to do.
pub(crate) trait Work: Send + Sync {
    /// Does one piece. True when there is more.
    fn step(self: Arc<Self>) -> bool;
}

#[derive(Default)]
pub(crate) struct Pool {
    line: Mutex<Line>,
    arrived: Condvar,
}

#[derive(Default)]
struct Line {
    ready: VecDeque<Arc<dyn Work>>,
    threads: usize,
    idle: usize,
}

impl Pool {
    /// Has a thread take steps of `work` until it has no more.
    pub(crate) fn run(self: &Arc<Self>, work: Arc<dyn Work>) {
        let mut line = self.line.lock();
        line.ready.push_back(work);
        if line.ready.len() > line.idle && line.threads < MOST_THREADS {
            line.threads += 1;
            drop(line);
            self.start_thread();
        } else {
            drop(line);
            self.arrived.notify_one();
        }
    }

    fn start_thread(self: &Arc<Self>) {
        let pool = Arc::clone(self);
        let thread = std::thread::Builder::new().name("leap-store".to_owned());
        // A step that panics has failed its journal; the other journals go on.
        let started =
            thread.spawn(
                move || {
                    while catch_unwind(AssertUnwindSafe(|| pool.serve())).is_err() {}
                },
            );
        if let Err(error) = started {
            let mut line = self.line.lock();
            line.threads -= 1;
            assert!(
                line.threads > 0,
                "cannot start a thread that writes: {error}"
            );
        }
    }

    fn serve(&self) {
        while let Some(mut work) = self.next() {
            while Arc::clone(&work).step() {
                work = self.take_turns(work);
            }
        }
    }

    /// Gives way to whoever stands in line.
    fn take_turns(&self, work: Arc<dyn Work>) -> Arc<dyn Work> {
        let mut line = self.line.lock();
        match line.ready.pop_front() {
            None => work,
            Some(next) => {
                line.ready.push_back(work);
                next
            }
        }
    }

    fn next(&self) -> Option<Arc<dyn Work>> {
        let mut line = self.line.lock();
        loop {
            if let Some(work) = line.ready.pop_front() {
                return Some(work);
            }
            line.idle += 1;
            let timeout = self.arrived.wait_for(&mut line, IDLE);
            line.idle -= 1;
            if timeout.timed_out() && line.ready.is_empty() {
                line.threads -= 1;
                return None;
            }
        }
    }
}
