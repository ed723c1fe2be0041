//! Where every program of a scheduler stands, and how that changes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::Ending;
use crate::control::{CaptureHandle, Pause, Request};
use crate::program::Program;

/// The number of a task.
pub(super) type Id = u64;

#[derive(Default)]
pub(super) struct State {
    pub(super) tasks: BTreeMap<Id, Entry>,
    pub(super) newest: Id,
    /// By their places: who became ready earlier has a lower one.
    pub(super) ready: BTreeMap<u64, Id>,
    newest_place: u64,
    pub(super) pauses: BTreeSet<(Instant, Id)>,
    pub(super) running: BTreeMap<Id, Turn>,
    /// When the timer looks again by itself.
    pub(super) timer_at: Option<Instant>,
    pub(super) is_closing: bool,
}

pub(super) struct Entry {
    /// None while it runs or is lent.
    pub(super) program: Option<Box<Program>>,
    pub(super) capture: CaptureHandle,
    pub(super) standing: Standing,
    /// Whether it stands at a bus stop between its turns, not at its beginning.
    pub(super) has_begun: bool,
    /// How many want it stopped; it does not run before they have had it.
    pub(super) wanted: usize,
    /// Its place among those that are ready, kept until its turn: who looks at it meanwhile takes nothing from it.
    pub(super) place: Option<u64>,
    /// Whether what its next pause is for has happened already.
    pub(super) is_woken: bool,
    pub(super) used: Duration,
    pub(super) limit: Option<Duration>,
    /// Whether nobody will ask how it ended.
    pub(super) is_detached: bool,
}

pub(super) enum Standing {
    Ready,
    Running,
    Paused(Pause),
    /// Kept from running for those who want it stopped; then it has the pause, or is ready.
    Held(Option<Pause>),
    /// None when it was told.
    Ended(Option<Ending>),
}

/// A program's time on a thread.
pub(super) struct Turn {
    pub(super) since: Instant,
    /// When it has used up all that it may.
    pub(super) until: Option<Instant>,
    pub(super) is_asked_to_stop: bool,
    /// To be withdrawn if the program stops for something else.
    pub(super) request: Option<Request>,
}

impl State {
    /// Begins the turn of a program that was ready.
    pub(super) fn begin(&mut self, id: Id) -> Option<Box<Program>> {
        let entry = self.tasks.get_mut(&id)?;
        entry.standing = Standing::Running;
        entry.has_begun = true;
        entry.place = None;
        let is_wanted = entry.wanted > 0;
        let since = Instant::now();
        let left = entry.limit.map(|limit| limit.saturating_sub(entry.used));
        let turn = Turn {
            since,
            until: left.and_then(|left| since.checked_add(left)),
            is_asked_to_stop: false,
            request: None,
        };
        let program = entry.program.take();
        self.running.insert(id, turn);
        if is_wanted {
            self.interrupt(id);
        }
        program
    }

    /// Asks a program to stop that runs, unless it was asked already.
    pub(super) fn interrupt(&mut self, id: Id) {
        if let Some(turn) = self.running.get_mut(&id)
            && !turn.is_asked_to_stop
        {
            turn.is_asked_to_stop = true;
            turn.request = self.tasks[&id].capture.ask();
        }
    }

    pub(super) fn interrupt_all(&mut self) {
        let running: Vec<Id> = self.running.keys().copied().collect();
        running.into_iter().for_each(|id| self.interrupt(id));
    }

    /// Lets a program that was held take its place among those that are ready: the last one, if it has none yet.
    pub(super) fn queue(&mut self, id: Id) {
        if let Some(entry) = self.tasks.get_mut(&id) {
            entry.standing = Standing::Ready;
            let place = *entry.place.get_or_insert_with(|| {
                self.newest_place += 1;
                self.newest_place
            });
            self.ready.insert(place, id);
        }
    }

    /// Keeps a program that is ready or waits from running.
    pub(super) fn hold(&mut self, id: Id) {
        let Some(entry) = self.tasks.get_mut(&id) else {
            return;
        };
        match entry.standing {
            Standing::Ready => {
                if let Some(place) = entry.place {
                    self.ready.remove(&place);
                }
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
    pub(super) fn end(&mut self, id: Id, ending: Ending) -> Option<Entry> {
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
    pub(super) fn take_ended(&mut self, id: Id) -> Option<(Program, Ending)> {
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
    pub(super) fn end_turns(&mut self, now: Instant, time_slice: Duration) {
        let others_are_ready = !self.ready.is_empty();
        let turns = self.running.iter();
        let over = turns.filter(|(_, turn)| {
            let end = turn.end(time_slice, others_are_ready);
            end.is_some_and(|end| end <= now)
        });
        let over: Vec<Id> = over.map(|(&id, _)| id).collect();
        over.into_iter().for_each(|id| self.interrupt(id));
    }

    /// When the next pause or turn ends.
    pub(super) fn next_due(&self, time_slice: Duration) -> Option<Instant> {
        let others_are_ready = !self.ready.is_empty();
        let turns = self.running.values();
        let turns = turns.filter_map(|turn| turn.end(time_slice, others_are_ready));
        let pauses = self.pauses.first().map(|&(until, _)| until);
        turns.chain(pauses).min()
    }
}

impl Turn {
    /// When the program is to be asked to stop.
    pub(super) fn end(&self, time_slice: Duration, others_are_ready: bool) -> Option<Instant> {
        if self.is_asked_to_stop {
            return None;
        }
        let slice = self.since.checked_add(time_slice);
        let slice = slice.filter(|_| others_are_ready);
        slice.into_iter().chain(self.until).min()
    }
}
