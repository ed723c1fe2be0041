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

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::control::{CaptureHandle, Pause};
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

type Id = u64;

struct Shared {
    time_slice: Duration,
    state: Mutex<State>,
    /// For threads that have nothing to run: something is ready.
    work: Condvar,
    /// For the timer: something is due earlier than what it sleeps for.
    earlier: Condvar,
    /// For whoever waits for a task: one has stopped or ended.
    settled: Condvar,
}

#[derive(Default)]
struct State {
    tasks: BTreeMap<Id, Entry>,
    newest: Id,
    ready: VecDeque<Id>,
    pauses: BTreeSet<(Instant, Id)>,
    running: BTreeMap<Id, Turn>,
    /// When the timer looks again by itself.
    timer_at: Option<Instant>,
    is_closing: bool,
}

struct Entry {
    /// None while it runs or is lent.
    program: Option<Box<Program>>,
    capture: CaptureHandle,
    standing: Standing,
    /// Whether it stands at a bus stop between its turns, not at its beginning.
    has_begun: bool,
    /// How many want it stopped; it does not run before they have had it.
    wanted: usize,
    /// Whether what its next pause is for has happened already.
    is_woken: bool,
    used: Duration,
    limit: Option<Duration>,
    /// Whether nobody will ask how it ended.
    is_detached: bool,
}

enum Standing {
    Ready,
    Running,
    Paused(Pause),
    /// Kept from running for those who want it stopped; then it has the pause, or is ready.
    Held(Option<Pause>),
    /// None when it was told.
    Ended(Option<Ending>),
}

/// A program's time on a thread.
struct Turn {
    since: Instant,
    /// When it has used up all that it may.
    until: Option<Instant>,
    is_asked_to_stop: bool,
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
        for id in state.running.keys() {
            state.tasks[id].capture.request();
        }
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
                Standing::Running => entry.capture.request(),
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

/// Wakes a program that has given its thread up.
struct Alarm {
    id: Id,
    scheduler: Weak<Shared>,
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
    fn work(&self) {
        let mut state = self.state.lock();
        while !state.is_closing {
            let Some(id) = state.ready.pop_front() else {
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
    fn release(&self, state: &mut State, id: Id) {
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
                entry.standing = Standing::Ready;
                state.ready.push_back(id);
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
    fn keep_time(&self) {
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

impl State {
    /// Begins the turn of a program that was ready.
    fn begin(&mut self, id: Id) -> Option<Box<Program>> {
        let entry = self.tasks.get_mut(&id)?;
        entry.standing = Standing::Running;
        entry.has_begun = true;
        if entry.wanted > 0 {
            entry.capture.request();
        }
        let since = Instant::now();
        let left = entry.limit.map(|limit| limit.saturating_sub(entry.used));
        let turn = Turn {
            since,
            until: left.and_then(|left| since.checked_add(left)),
            is_asked_to_stop: false,
        };
        self.running.insert(id, turn);
        entry.program.take()
    }

    /// Keeps a program that is ready or waits from running.
    fn hold(&mut self, id: Id) {
        let Some(entry) = self.tasks.get_mut(&id) else {
            return;
        };
        match entry.standing {
            Standing::Ready => {
                self.ready.retain(|&ready| ready != id);
                entry.standing = Standing::Held(None);
            }
            Standing::Paused(pause) => {
                if let Some(until) = pause.until {
                    self.pauses.remove(&(until, id));
                }
                entry.standing = Standing::Held(Some(pause));
            }
            Standing::Running | Standing::Held(_) | Standing::Ended(_) => {}
        }
    }

    /// Ends a program that does not run and has not ended; gives it if nobody will ask for it.
    fn end(&mut self, id: Id, ending: Ending) -> Option<Entry> {
        self.hold(id);
        let entry = self.tasks.get_mut(&id)?;
        if !matches!(entry.standing, Standing::Ended(_)) {
            entry.standing = Standing::Ended(Some(ending));
        }
        match entry.is_detached {
            true => self.tasks.remove(&id),
            false => None,
        }
    }

    /// A program that has ended and that nobody borrows.
    fn take_ended(&mut self, id: Id) -> Option<(Program, Ending)> {
        let entry = self.tasks.get_mut(&id)?;
        let Standing::Ended(ending) = &mut entry.standing else {
            return None;
        };
        let program = entry.program.take()?;
        let ending = ending.take()?;
        self.tasks.remove(&id);
        program.capture_handle().schedule(None);
        Some((*program, ending))
    }

    /// Asks the programs to stop whose turns are over.
    fn end_turns(&mut self, now: Instant, time_slice: Duration) {
        let others_are_ready = !self.ready.is_empty();
        for (id, turn) in &mut self.running {
            if turn
                .end(time_slice, others_are_ready)
                .is_some_and(|end| end <= now)
            {
                turn.is_asked_to_stop = true;
                self.tasks[id].capture.request();
            }
        }
    }

    /// When the next pause or turn ends.
    fn next_due(&self, time_slice: Duration) -> Option<Instant> {
        let others_are_ready = !self.ready.is_empty();
        let turns = self.running.values();
        let turns = turns.filter_map(|turn| turn.end(time_slice, others_are_ready));
        let pauses = self.pauses.first().map(|&(until, _)| until);
        turns.chain(pauses).min()
    }
}

impl Turn {
    /// When the program is to be asked to stop.
    fn end(&self, time_slice: Duration, others_are_ready: bool) -> Option<Instant> {
        if self.is_asked_to_stop {
            return None;
        }
        let slice = self.since.checked_add(time_slice);
        let slice = slice.filter(|_| others_are_ready);
        slice.into_iter().chain(self.until).min()
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "of unknown kind".to_owned())
}
