//! Simulated durable storage: one journal per object, one log for the coordinator. Both take writes
//! in order and refuse whoever has been superseded (rule P12).

use std::collections::VecDeque;

use leap_core::{
    Incarnation, Ledger, LogRecord, ObjectId, PersistTicket, Version, VersionMetadata,
};

use crate::{guest::Guest, truth::VertexId, world::InstanceId};

/// One durable version of an object.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) metadata: VersionMetadata,
    pub(crate) guest: Guest,
    pub(crate) vertex: VertexId,
}

/// Something on its way into a journal.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) by: InstanceId,
    pub(crate) incarnation: Incarnation,
    pub(crate) due: u64,
    pub(crate) change: Change,
}

/// What a write does.
#[derive(Debug)]
pub(crate) enum Change {
    Append(PersistTicket, Box<Stored>),
    /// Drops all versions after this one.
    Truncate(Version),
}

/// The durable form of one object.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// The newest incarnation that claimed it.
    pub(crate) owner: Incarnation,
    /// A committed version with its whole channel state; recovery starts here.
    pub(crate) checkpoint: Option<Stored>,
    pub(crate) versions: Vec<Stored>,
    pub(crate) pending: VecDeque<Write>,
    pub(crate) slow_until: u64,
    last_due: u64,
}

impl Journal {
    /// Puts a write in line.
    pub(crate) fn submit(&mut self, mut write: Write) -> u64 {
        write.due = write.due.max(self.last_due);
        self.last_due = write.due;
        let due = write.due;
        self.pending.push_back(write);
        due
    }

    pub(crate) fn take_due(&mut self, now: u64) -> Option<Write> {
        let is_due = self.pending.front().is_some_and(|write| write.due <= now);
        is_due.then(|| self.pending.pop_front()).flatten()
    }

    /// Drops what lies before the newest complete version up to `committed` (rule P13).
    pub(crate) fn prune(&mut self, committed: Version) {
        let newest = self
            .versions
            .iter()
            .rposition(|stored| stored.metadata.complete && stored.metadata.version <= committed);
        if let Some(index) = newest {
            self.checkpoint = self.versions.drain(..=index).next_back();
        }
    }
}

/// The coordinator's log.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// The newest coordinator that claimed it.
    pub(crate) owner: u64,
    /// Stands for all records before the first of `records`.
    pub(crate) checkpoint: Option<Ledger>,
    pub(crate) records: Vec<LogRecord>,
    /// By which coordinator, when due, what.
    pub(crate) pending: VecDeque<(u64, u64, LogRecord)>,
    pub(crate) last_due: u64,
    /// A checkpoint that is being written: by which coordinator, and for how many of `records` it stands.
    pub(crate) writing: Option<(u64, usize, Ledger)>,
}

impl Log {
    pub(crate) fn take_due(&mut self, now: u64) -> Option<(u64, LogRecord)> {
        let is_due = self.pending.front().is_some_and(|&(_, due, _)| due <= now);
        let (term, _, record) = is_due.then(|| self.pending.pop_front()).flatten()?;
        Some((term, record))
    }

    /// The checkpoint that is being written is durable, if this coordinator wrote it.
    pub(crate) fn take_checkpoint(&mut self, by: u64) {
        if let Some((_, records, ledger)) = self.writing.take_if(|(term, ..)| *term == by) {
            self.records.drain(..records);
            self.checkpoint = Some(ledger);
        }
    }
}

/// A token says less by its number than one would think, so that here each life has another mark.
fn mark_of(life: u64) -> u64 {
    life * 0x9e5
}

fn token(object: ObjectId, mark: u64, life: u64) -> Incarnation {
    Incarnation::of(object.0, mark, life).expect("lives are few")
}

pub(crate) fn first_life(object: ObjectId) -> Incarnation {
    life_of(object, 1)
}

/// The life of `object` that follows `previous` in the same storage.
pub(crate) fn next_life(object: ObjectId, previous: Incarnation) -> Incarnation {
    life_of(object, previous.life() + 1)
}

fn life_of(object: ObjectId, life: u64) -> Incarnation {
    token(object, mark_of(life), life)
}

/// Whether the object's storage, and no copy of it, has counted this life.
pub(crate) fn is_of(life: Incarnation, object: ObjectId) -> bool {
    life_of(object, life.life()) == life
}

/// Beside `life`, one in another storage, or in a copy: that counts for another life by its mark only.
pub(crate) fn stranger(object: ObjectId, life: Incarnation, draw: u64) -> Incarnation {
    match draw % 3 {
        0 => token(object, mark_of(life.life()) + 1, life.life()),
        1 => token(ObjectId(object.0 + 100), 0, life.life()),
        _ => token(ObjectId(object.0 + 100), 0, life.life() + 1),
    }
}
