//! Many programs on few threads.
//!
//! A program has a thread only while it computes. Where it would wait, it gives the thread up: its
//! stack is saved as for a capture, and rebuilt when what it waits for has happened. One that
//! computes for longer than a time slice while others are ready is stopped at its next bus stop and
//! takes its turn again: so a program that spins starves nobody, and ten thousand that sleep take
//! nothing but their memory.
//!
//! The whole state is behind one lock, which is never held while a program runs or is dropped.
//!
//! Invariants:
//! - A task is in the queue exactly if its standing is [`Standing::Ready`], among the pauses exactly if
//!   it is [`Standing::Paused`] with an end, and among the running exactly if it is
//!   [`Standing::Running`].
//! - A wake-up that comes while a program runs, is being stopped or is lent is not lost: the
//!   program's next pause is none.
//! - Programs that are ready run in the order in which they became so.

mod state;
mod threads;

use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::task::Waker;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use self::state::{Entry, Id, Standing};
use self::threads::{Alarm, Shared};
use crate::process::Outcome;
use crate::program::{Program, ProgramError};

/// Settings of a scheduler.
#[derive(Debug, Clone)]
pub struct SchedulerOptions {
    /// How many programs compute at the same time, at least 1.
    pub threads: usize,
    /// Stack of each thread in bytes: what the engine of the programs says
    /// ([`ProgramEngine::thread_stack_bytes`](crate::ProgramEngine::thread_stack_bytes)).
    pub stack_bytes: usize,
    /// How long a program computes at a stretch while others are ready.
    pub time_slice: Duration,
}

impl SchedulerOptions {
    /// As many threads as the machine has processors, slices of 10 ms.
    #[must_use]
    pub fn new(stack_bytes: usize) -> Self {
        Self {
            threads: thread::available_parallelism().map_or(1, usize::from),
            stack_bytes,
            time_slice: Duration::from_millis(10),
        }
    }
}

/// Runs programs by turns on a few threads of its own.
///
/// Dropping it stops all programs at their next bus stops and waits for that. They are still there
/// with their tasks, and can be captured or run elsewhere.
///
/// ```
/// use std::time::Duration;
/// use leap_vm::wasi::{Outside, WasiOptions, WasiState};
/// use leap_vm::{EngineOptions, Ending, Pages, Program, ProgramEngine, Scheduler, SchedulerOptions};
///
/// let spin = wat::parse_str(r#"(module
///     (memory (export "memory") 1)
///     (func (export "_start") (loop (br 0))))"#)?;
/// let engine = ProgramEngine::new(EngineOptions::default(), Default::default())?;
/// let module = engine.compile(&spin)?;
/// let program = || {
///     let state = WasiState::new(&WasiOptions::default());
///     Program::start(&engine, &module, state, Outside::standard())
/// };
/// let options = SchedulerOptions::new(engine.thread_stack_bytes());
/// let scheduler = Scheduler::new(&SchedulerOptions { threads: 1, ..options })?;
/// let endless = scheduler.spawn(program()?)?;
/// let limited = scheduler.spawn_for(program()?, Duration::from_millis(20))?;
/// // It ends, though it never gives its thread up, and nor does the other.
/// let (_, ending) = limited.join();
/// assert!(matches!(ending, Ending::TimedOut));
/// // A running program is stopped for as long as one looks at it.
/// let image = endless.stop().map(|mut program| program.capture(Pages::Whole));
/// assert!(image.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Scheduler {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    stack_bytes: usize,
}

/// A program that was given to a scheduler. Dropping it leaves the program to itself: it runs on,
/// and is dropped when it ends.
pub struct Task {
    id: Id,
    shared: Arc<Shared>,
}

/// Why a program runs no more.
#[derive(Debug)]
pub enum Ending {
    /// It returned, exited or trapped.
    Ended(Outcome),
    /// It has computed for as long as it may. It stands at a bus stop, and could run on.
    TimedOut,
    /// The scheduler was dropped. It stands at a bus stop or has not begun, and could run on.
    Closed,
    /// It could not be run on.
    Failed(ProgramError),
    /// Something of the host that it called panicked, with this message. It cannot run on.
    Panicked(String),
}

/// A program at a bus stop, lent by its scheduler; it runs on when this is dropped.
pub struct StoppedProgram<'a> {
    /// None only while it is dropped.
    program: Option<Box<Program>>,
    task: &'a Task,
}

impl Scheduler {
    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// The system has no thread for us.
    pub fn new(options: &SchedulerOptions) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            time_slice: options.time_slice,
            state: Mutex::default(),
            work: Condvar::new(),
            earlier: Condvar::new(),
            settled: Condvar::new(),
        });
        let mut scheduler = Self {
            shared,
            threads: Vec::new(),
            stack_bytes: options.stack_bytes,
        };
        for _ in 0..options.threads.max(1) {
            let thread = thread::Builder::new().stack_size(options.stack_bytes);
            scheduler.start(thread.name("leap-programs".to_owned()), Shared::work)?;
        }
        let timer = thread::Builder::new().name("leap-timer".to_owned());
        scheduler.start(timer, Shared::keep_time)?;
        Ok(scheduler)
    }

    fn start(&mut self, thread: thread::Builder, run: fn(&Shared)) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        self.threads.push(thread.spawn(move || run(&shared))?);
        Ok(())
    }

    /// Runs a program, new or stopped, until it ends.
    ///
    /// # Errors
    ///
    /// [`ProgramError::Stack`] if the threads' stack is too small for it.
    pub fn spawn(&self, program: Program) -> Result<Task, ProgramError> {
        self.admit(program, None)
    }

    /// As [`spawn`](Self::spawn), but for no longer than `run_time` in all, not counting when it
    /// waits: then it is stopped at its next bus stop.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn spawn_for(&self, program: Program, run_time: Duration) -> Result<Task, ProgramError> {
        self.admit(program, Some(run_time))
    }

    fn admit(&self, program: Program, limit: Option<Duration>) -> Result<Task, ProgramError> {
        let needed_bytes = program.thread_stack_bytes();
        if needed_bytes > self.stack_bytes {
            return Err(ProgramError::Stack {
                needed_bytes,
                thread_bytes: self.stack_bytes,
            });
        }
        let capture = program.capture_handle();
        let has_begun = program.has_begun();
        let mut state = self.shared.state.lock();
        state.newest += 1;
        let id = state.newest;
        let scheduler = Arc::downgrade(&self.shared);
        capture.schedule(Some(Waker::from(Arc::new(Alarm { id, scheduler }))));
        let entry = Entry {
            program: Some(Box::new(program)),
            capture,
            standing: Standing::Held(None),
            has_begun,
            wanted: 0,
            place: None,
            is_woken: false,
            used: Duration::ZERO,
            limit,
            is_detached: false,
        };
        state.tasks.insert(id, entry);
        self.shared.release(&mut state, id);
        Ok(Task {
            id,
            shared: Arc::clone(&self.shared),
        })
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.is_closing = true;
        state.interrupt_all();
        drop(state);
        self.shared.work.notify_all();
        self.shared.earlier.notify_all();
        for thread in self.threads.drain(..) {
            // It catches what programs panic with.
            let _ = thread.join();
        }
        let mut state = self.shared.state.lock();
        let ids: Vec<Id> = state.tasks.keys().copied().collect();
        let dropped: Vec<_> = ids
            .into_iter()
            .filter_map(|id| state.end(id, Ending::Closed))
            .collect();
        drop(state);
        drop(dropped);
        self.shared.settled.notify_all();
    }
}

impl Task {
    /// Stops the program at its next bus stop and lends it; none if it has ended. Waits for its first
    /// turn, and for others who have it.
    #[must_use]
    pub fn stop(&self) -> Option<StoppedProgram<'_>> {
        let program = Some(self.borrow()?);
        Some(StoppedProgram {
            program,
            task: self,
        })
    }

    /// Waits until the program has ended, and gives it back.
    #[must_use]
    pub fn join(self) -> (Program, Ending) {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state.lock();
        loop {
            if let Some(ended) = state.take_ended(self.id) {
                return ended;
            }
            shared.settled.wait(&mut state);
        }
    }

    /// Takes the program, which stands at a bus stop then or has ended, from the scheduler.
    #[must_use]
    pub fn take(self) -> (Program, Option<Ending>) {
        let borrowed = self.borrow();
        let mut state = self.shared.state.lock();
        let Some(program) = borrowed else {
            let ended = state.take_ended(self.id);
            let (program, ending) = ended.expect("what cannot be borrowed has ended");
            return (program, Some(ending));
        };
        state.tasks.remove(&self.id);
        program.capture_handle().schedule(None);
        (*program, None)
    }

    /// Whether the program runs no more.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let state = self.shared.state.lock();
        matches!(state.tasks[&self.id].standing, Standing::Ended(_))
    }

    /// For how long the program has computed, up to its last stop.
    #[must_use]
    pub fn run_time(&self) -> Duration {
        self.shared.state.lock().tasks[&self.id].used
    }

    /// The program, once nobody else has it; none if it has ended.
    fn borrow(&self) -> Option<Box<Program>> {
        let mut state = self.shared.state.lock();
        state.tasks.get_mut(&self.id)?.wanted += 1;
        loop {
            // What has not begun gets its turn first.
            if state.tasks.get(&self.id)?.has_begun {
                state.hold(self.id);
            }
            let entry = state.tasks.get_mut(&self.id)?;
            match &entry.standing {
                Standing::Ended(_) => {
                    entry.wanted -= 1;
                    return None;
                }
                Standing::Running => state.interrupt(self.id),
                Standing::Ready => {}
                Standing::Paused(_) | Standing::Held(_) => {
                    if let Some(program) = entry.program.take() {
                        return Some(program);
                    }
                }
            }
            self.shared.settled.wait(&mut state);
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        if let Some(entry) = state.tasks.get_mut(&self.id) {
            entry.is_detached = true;
            if matches!(entry.standing, Standing::Ended(_)) {
                let ended = state.tasks.remove(&self.id);
                drop(state);
                drop(ended);
            }
        }
    }
}

impl Deref for StoppedProgram<'_> {
    type Target = Program;

    fn deref(&self) -> &Program {
        self.program.as_ref().expect("it is here until the drop")
    }
}

impl DerefMut for StoppedProgram<'_> {
    fn deref_mut(&mut self) -> &mut Program {
        self.program.as_mut().expect("it is here until the drop")
    }
}

impl Drop for StoppedProgram<'_> {
    fn drop(&mut self) {
        let shared = &self.task.shared;
        let mut state = shared.state.lock();
        if let Some(entry) = state.tasks.get_mut(&self.task.id) {
            entry.program = self.program.take();
            entry.wanted -= 1;
        }
        shared.release(&mut state, self.task.id);
        shared.settled.notify_all();
    }
}
