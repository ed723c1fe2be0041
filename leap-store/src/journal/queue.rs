//! What is appended but not yet acknowledged.
//!
//! Appenders push, one writer takes batches, and acknowledgements come back in the order in which batches were taken.
//! The queue knows nothing of files or objects.
//!
//! Invariants:
//! - `waiting[..taken]` was handed to the writer in `in_flight` batches, `waiting[taken..]` was not;
//! - the entry `waiting[i]` has ticket `acknowledged + i + 1`;
//! - while `scheduled` is set, the writer will call [`Queue::take`]; nobody needs to wake it;
//! - after a failure nothing waits, and `acknowledged` never moves again.

use std::collections::{BTreeMap, VecDeque};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{JournalState, Statistics};
use crate::format::batch::{Entry, Mark};
use crate::{GroupCommit, JournalError};

pub(crate) type Callback = Box<dyn FnOnce(Result<(), JournalError>) + Send>;

/// A batch is cut once it has this many bytes.
const BATCH_BYTES: usize = 8 << 20;

/// The end of what is acknowledged, in the medium's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) sequence: u64,
    pub(crate) length: u64,
}

pub(crate) struct Queue {
    group_commit: GroupCommit,
    max_in_flight: usize,
    /// The clock that the writer waits by.
    now: fn() -> Instant,
    inner: Mutex<Inner>,
}

struct Inner {
    waiting: VecDeque<Waiting>,
    taken: usize,
    in_flight: usize,
    acknowledged: u64,
    /// What futures may know: it follows `acknowledged` once the callbacks have run.
    told: u64,
    scheduled: bool,
    /// When the first entry that was not taken arrived; kept for a fixed group commit only.
    since: Option<Instant>,
    /// Who waits for a ticket; several may wait for one, and are numbered.
    wakers: BTreeMap<(Ticket, usize), Waker>,
    failure: Option<JournalError>,
    closed: bool,
    /// The newest version queued, truncations applied.
    version: Option<u64>,
    position: Position,
    checkpoints: Checkpoints,
    statistics: Statistics,
}

struct Waiting {
    entry: Entry,
    done: Option<Callback>,
}

/// The checkpoints of a journal.
#[derive(Default)]
pub(crate) struct Checkpoints {
    next_number: u64,
    /// Image numbers being written, with their versions. A truncation takes those out that it makes void.
    pending: BTreeMap<u64, u64>,
    /// Acknowledged and not truncated away, in journal order.
    pub(crate) live: Vec<Mark>,
    /// Truncated away or never marked; their images can be deleted.
    pub(crate) dead: Vec<(u64, u64)>,
}

/// What the writer does next.
pub(crate) enum Take {
    /// Write this.
    Batch(Vec<Entry>),
    /// Come back at this instant.
    Later(Instant),
    /// Nothing to do; whoever adds something wakes the writer.
    Idle,
}

/// A journal at one moment.
pub(crate) struct Snapshot {
    /// The end of what is acknowledged.
    pub(crate) position: Position,
    /// The checkpoints that can be read.
    pub(crate) live: Vec<Mark>,
    /// What is not acknowledged.
    pub(crate) queued: Vec<Entry>,
}

/// The writer must be woken after this long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) struct Wake(pub(crate) Duration);

/// The place of an entry in line.
pub(crate) type Ticket = u64;

impl Queue {
    pub(crate) fn new(
        group_commit: GroupCommit,
        max_in_flight: usize,
        now: fn() -> Instant,
        version: Option<u64>,
        position: Position,
        live: Vec<Mark>,
    ) -> Self {
        Self {
            group_commit,
            max_in_flight: max_in_flight.max(1),
            now,
            inner: Mutex::new(Inner {
                waiting: VecDeque::new(),
                taken: 0,
                in_flight: 0,
                acknowledged: 0,
                told: 0,
                scheduled: false,
                since: None,
                wakers: BTreeMap::new(),
                failure: None,
                closed: false,
                version,
                position,
                checkpoints: Checkpoints {
                    live,
                    ..Checkpoints::default()
                },
                statistics: Statistics::default(),
            }),
        }
    }

    /// Queues an entry. On refusal the callback has been called.
    pub(crate) fn push(
        &self,
        entry: Entry,
        done: Option<Callback>,
    ) -> Result<(Ticket, Option<Wake>), JournalError> {
        let mut inner = self.inner.lock();
        if let Some(error) = inner.refusal() {
            drop(inner);
            if let Some(done) = done {
                done(Err(error.clone()));
            }
            return Err(error);
        }
        inner.note(&entry);
        if self.group_commit != GroupCommit::Adaptive && inner.since.is_none() {
            inner.since = Some((self.now)());
        }
        inner.waiting.push_back(Waiting { entry, done });
        let ticket = inner.last_ticket();
        Ok((ticket, self.wake(&mut inner)))
    }

    fn wake(&self, inner: &mut Inner) -> Option<Wake> {
        let work = inner.taken < inner.waiting.len() && inner.in_flight < self.max_in_flight;
        if !work || inner.scheduled {
            return None;
        }
        inner.scheduled = true;
        Some(Wake(match self.due(inner) {
            Some(due) => due.saturating_duration_since((self.now)()),
            None => Duration::ZERO,
        }))
    }

    fn due(&self, inner: &Inner) -> Option<Instant> {
        match self.group_commit {
            GroupCommit::Adaptive => None,
            GroupCommit::Fixed(delay) => inner.since.map(|since| since + delay),
        }
    }

    /// The writer's question. After [`Take::Idle`] it may not ask again before it is woken.
    pub(crate) fn take(&self) -> Take {
        let mut inner = self.inner.lock();
        if inner.taken == inner.waiting.len() || inner.in_flight == self.max_in_flight {
            inner.scheduled = false;
            return Take::Idle;
        }
        if let Some(due) = self.due(&inner)
            && due > (self.now)()
        {
            return Take::Later(due);
        }
        inner.in_flight += 1;
        let batch = inner.cut();
        inner.since = (self.group_commit != GroupCommit::Adaptive
            && inner.taken < inner.waiting.len())
        .then(|| (self.now)());
        Take::Batch(batch)
    }

    /// A batch reached the medium; it is not acknowledged yet.
    pub(crate) fn count_write(&self, records: usize, bytes: usize) {
        let statistics = &mut self.inner.lock().statistics;
        statistics.records += records as u64;
        statistics.bytes += bytes as u64;
        statistics.syncs += 1;
    }

    /// The oldest batch, written as `batch`, is durable and the incarnation was still the newest afterwards.
    pub(crate) fn acknowledge(&self, batch: &[Entry], position: Position) -> Option<Wake> {
        let mut inner = self.inner.lock();
        if inner.failure.is_some() {
            return None;
        }
        assert!(batch.len() <= inner.taken && inner.in_flight > 0 && position >= inner.position);
        inner.in_flight -= 1;
        inner.taken -= batch.len();
        inner.acknowledged += batch.len() as u64;
        inner.position = position;
        batch
            .iter()
            .for_each(|entry| inner.checkpoints.apply(entry));
        let callbacks = inner
            .waiting
            .drain(..batch.len())
            .filter_map(|waiting| waiting.done);
        let callbacks: Vec<_> = callbacks.collect();
        let wake = self.wake(&mut inner);
        if !callbacks.is_empty() {
            drop(inner);
            callbacks.into_iter().for_each(|done| done(Ok(())));
            inner = self.inner.lock();
        }
        inner.told = inner.acknowledged;
        let first_later = (inner.told + 1, 0);
        let later = inner.wakers.split_off(&first_later);
        let wakers = std::mem::replace(&mut inner.wakers, later);
        drop(inner);
        wakers.into_values().for_each(Waker::wake);
        wake
    }

    /// Nothing is acknowledged from now on. The first failure is the one that is told.
    pub(crate) fn fail(&self, error: &JournalError) {
        let mut inner = self.inner.lock();
        if inner.failure.is_some() {
            return;
        }
        inner.failure = Some(error.clone());
        inner.taken = 0;
        let waiting = std::mem::take(&mut inner.waiting);
        let wakers = std::mem::take(&mut inner.wakers);
        drop(inner);
        wakers.into_values().for_each(Waker::wake);
        let callbacks = waiting.into_iter().filter_map(|waiting| waiting.done);
        callbacks.for_each(|done| done(Err(error.clone())));
    }

    pub(crate) fn poll(
        &self,
        ticket: Ticket,
        context: &Context<'_>,
    ) -> Poll<Result<(), JournalError>> {
        let mut inner = self.inner.lock();
        if inner.told >= ticket {
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = &inner.failure {
            return Poll::Ready(Err(error.clone()));
        }
        let mut same = inner.wakers.range((ticket, 0)..=(ticket, usize::MAX));
        if !same
            .clone()
            .any(|(_, waker)| waker.will_wake(context.waker()))
        {
            let number = same.next_back().map_or(0, |(&(_, newest), _)| newest + 1);
            inner
                .wakers
                .insert((ticket, number), context.waker().clone());
        }
        Poll::Pending
    }

    /// The ticket of the newest entry.
    pub(crate) fn last_ticket(&self) -> Result<Ticket, JournalError> {
        let inner = self.inner.lock();
        inner
            .failure
            .clone()
            .map_or_else(|| Ok(inner.last_ticket()), Err)
    }

    /// Refuses everything that is pushed from now on.
    pub(crate) fn close(&self) {
        self.inner.lock().closed = true;
    }

    pub(crate) fn last_word(&self) -> LastWord<'_> {
        LastWord(Some(self))
    }

    /// Whether nothing waits and nothing can come any more.
    pub(crate) fn is_finished(&self) -> bool {
        let inner = self.inner.lock();
        inner.failure.is_some() || inner.closed && inner.waiting.is_empty()
    }

    /// The end of what is acknowledged.
    pub(crate) fn position(&self) -> Position {
        self.inner.lock().position
    }

    pub(crate) fn state(&self) -> JournalState {
        match self.inner.lock().failure.clone() {
            None => JournalState::Open,
            Some(JournalError::Fenced { by }) => JournalState::Fenced { by },
            Some(error) => JournalState::Poisoned {
                reason: match error {
                    JournalError::Poisoned { reason } => reason,
                    error => error.to_string().into(),
                },
            },
        }
    }

    pub(crate) fn statistics(&self) -> Statistics {
        let inner = self.inner.lock();
        Statistics {
            unacknowledged: inner.waiting.len() as u64,
            ..inner.statistics
        }
    }

    /// What is acknowledged and what follows it, at one moment.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, JournalError> {
        let inner = self.inner.lock();
        match &inner.failure {
            Some(error) => Err(error.clone()),
            None => Ok(Snapshot {
                position: inner.position,
                live: inner.checkpoints.live.clone(),
                queued: inner
                    .waiting
                    .iter()
                    .map(|waiting| waiting.entry.clone())
                    .collect(),
            }),
        }
    }

    /// Names a new checkpoint image.
    pub(crate) fn begin_checkpoint(&self, version: u64) -> Result<u64, JournalError> {
        let mut inner = self.inner.lock();
        if let Some(error) = inner.refusal() {
            return Err(error);
        }
        let number = inner.checkpoints.next_number;
        inner.checkpoints.next_number += 1;
        inner.checkpoints.pending.insert(number, version);
        Ok(number)
    }

    /// Whether the image still counts; a truncation may have made it void since it was begun.
    pub(crate) fn end_checkpoint(&self, incarnation: u64, number: u64) -> bool {
        let checkpoints = &mut self.inner.lock().checkpoints;
        let counts = checkpoints.pending.remove(&number).is_some();
        if !counts {
            checkpoints.dead.push((incarnation, number));
        }
        counts
    }

    /// Lends the acknowledged checkpoints.
    pub(crate) fn with_checkpoints<T>(&self, f: impl FnOnce(&mut Checkpoints) -> T) -> T {
        f(&mut self.inner.lock().checkpoints)
    }
}

/// Fails the queue when the writer ends without having said why: by a panic, or with the runtime it ran on.
pub(crate) struct LastWord<'a>(Option<&'a Queue>);

impl LastWord<'_> {
    pub(crate) fn withhold(mut self) {
        self.0 = None;
    }
}

impl Drop for LastWord<'_> {
    fn drop(&mut self) {
        if let Some(queue) = self.0 {
            queue.fail(&JournalError::Poisoned {
                reason: "the writer ended".into(),
            });
        }
    }
}

impl Inner {
    fn refusal(&self) -> Option<JournalError> {
        let closed = self.closed.then_some(JournalError::Closed);
        self.failure.clone().or(closed)
    }

    fn last_ticket(&self) -> Ticket {
        self.acknowledged + self.waiting.len() as u64
    }

    fn note(&mut self, entry: &Entry) {
        match entry {
            Entry::Record(record) => {
                let goes_up = self.version.is_none_or(|last| record.version > last);
                assert!(
                    goes_up,
                    "version {} after {:?}",
                    record.version, self.version
                );
                self.version = Some(record.version);
            }
            Entry::Truncation { version } => {
                self.version = self.version.map(|last| last.min(*version));
                self.checkpoints
                    .pending
                    .retain(|_, pending| *pending <= *version);
            }
            Entry::Checkpoint(_) => {}
        }
    }

    fn cut(&mut self) -> Vec<Entry> {
        let mut bytes = 0;
        let mut batch = Vec::with_capacity(self.waiting.len() - self.taken);
        for waiting in self.waiting.range(self.taken..) {
            if bytes > 0 && bytes + waiting.entry.encoded_length() > BATCH_BYTES {
                break;
            }
            bytes += waiting.entry.encoded_length();
            batch.push(waiting.entry.clone());
        }
        self.taken += batch.len();
        batch
    }
}

impl Checkpoints {
    fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::Record(_) => {}
            Entry::Truncation { version } => {
                let void = self.live.extract_if(.., |mark| mark.version > *version);
                self.dead
                    .extend(void.map(|mark| (mark.incarnation, mark.number)));
            }
            Entry::Checkpoint(mark) => self.live.push(*mark),
        }
    }
}
