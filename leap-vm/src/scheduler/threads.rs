//! The threads of a scheduler: those that run programs, and the timer.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::task::Wake;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::Ending;
use super::state::{Entry, Id, Standing, State};
use crate::process::Outcome;
use crate::program::{Program, ProgramError};

/// What the threads, the scheduler and its tasks share.
pub(super) struct Shared {
    pub(super) time_slice: Duration,
    pub(super) state: Mutex<State>,
    /// For threads that have nothing to run: something is ready.
    pub(super) work: Condvar,
    /// For the timer: something is due earlier than what it sleeps for.
    pub(super) earlier: Condvar,
    /// For whoever waits for a task: one has stopped or ended.
    pub(super) settled: Condvar,
}

/// Wakes a program that has given its thread up.
pub(super) struct Alarm {
    pub(super) id: Id,
    pub(super) scheduler: Weak<Shared>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        if let Some(shared) = self.scheduler.upgrade() {
            shared.wake(&mut shared.state.lock(), self.id);
        }
    }
}

impl Shared {
    /// The life of a thread that runs programs.
    pub(super) fn work(&self) {
        let mut state = self.state.lock();
        while !state.is_closing {
            let Some((_, id)) = state.ready.pop_first() else {
                self.work.wait(&mut state);
                continue;
            };
            let Some(mut program) = state.begin(id) else {
                continue;
            };
            self.watch(&mut state);
            let result = MutexGuard::unlocked(&mut state, || {
                catch_unwind(AssertUnwindSafe(|| program.run()))
            });
            let dropped = self.after_turn(&mut state, id, program, result);
            self.settled.notify_all();
            MutexGuard::unlocked(&mut state, || drop(dropped));
        }
    }

    /// Puts a program back after its turn; gives what is to be dropped.
    fn after_turn(
        &self,
        state: &mut State,
        id: Id,
        program: Box<Program>,
        result: Result<Result<Outcome, ProgramError>, Box<dyn Any + Send>>,
    ) -> Option<Entry> {
        let turn = state.running.remove(&id)?;
        let entry = state.tasks.get_mut(&id)?;
        entry.used += turn.since.elapsed();
        entry.program = Some(program);
        let pause = entry.capture.take_pause();
        if let Some(request) = turn.request {
            // It may have been asked when it had just stopped, and must not stop again for that.
            entry.capture.withdraw(request);
        }
        let ending = match result {
            Ok(Ok(Outcome::Stopped)) => {
                if entry.limit.is_none_or(|limit| entry.used < limit) {
                    let is_woken = std::mem::take(&mut entry.is_woken);
                    entry.standing = Standing::Held(pause.filter(|_| !is_woken));
                    self.release(state, id);
                    return None;
                }
                Ending::TimedOut
            }
            Ok(Ok(outcome)) => Ending::Ended(outcome),
            Ok(Err(error)) => Ending::Failed(error),
            Err(panic) => Ending::Panicked(panic_message(panic.as_ref())),
        };
        state.end(id, ending)
    }

    /// Lets a program that was held go on, unless somebody wants it stopped.
    pub(super) fn release(&self, state: &mut State, id: Id) {
        let Some(entry) = state.tasks.get_mut(&id) else {
            return;
        };
        let Standing::Held(pause) = entry.standing else {
            return;
        };
        if entry.wanted > 0 {
            return;
        }
        match pause {
            None => {
                state.queue(id);
                self.work.notify_one();
            }
            Some(pause) => {
                entry.standing = Standing::Paused(pause);
                state.pauses.extend(pause.until.map(|until| (until, id)));
            }
        }
        self.watch(state);
    }

    /// What a program waits for, or will, has happened.
    fn wake(&self, state: &mut State, id: Id) {
        let Some(entry) = state.tasks.get_mut(&id) else {
            return;
        };
        match &mut entry.standing {
            Standing::Paused(_) => {
                state.hold(id);
                self.wake(state, id);
                self.release(state, id);
            }
            Standing::Held(pause) => *pause = None,
            Standing::Running => entry.is_woken = true,
            Standing::Ready | Standing::Ended(_) => {}
        }
    }

    /// The life of the timer: ends pauses and turns.
    pub(super) fn keep_time(&self) {
        let mut state = self.state.lock();
        while !state.is_closing {
            let now = Instant::now();
            while let Some(&(until, id)) = state.pauses.first()
                && until <= now
            {
                self.wake(&mut state, id);
            }
            state.end_turns(now, self.time_slice);
            state.timer_at = state.next_due(self.time_slice);
            match state.timer_at {
                Some(at) => drop(self.earlier.wait_until(&mut state, at)),
                None => self.earlier.wait(&mut state),
            }
        }
    }

    /// Has the timer look earlier if need be.
    fn watch(&self, state: &mut State) {
        let due = state.next_due(self.time_slice);
        if let Some(due) = due
            && state.timer_at.is_none_or(|at| due < at)
        {
            state.timer_at = Some(due);
            self.earlier.notify_one();
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "of unknown kind".to_owned())
}
