//! Sealing, storing, committing and bringing back the versions of an object.

use leap_core::{Input, ObjectId, PersistTicket, Version, VersionMetadata};

use crate::{
    checker::Fact,
    guest::slot,
    storage::{Change, Stored, Write},
    world::{Event, InstanceId, World},
};

impl World {
    pub(crate) fn want_seal(&mut self, id: InstanceId, at_least: Version) {
        let wanted = &mut self.instances[id.0].seal_at_least;
        *wanted = Some(at_least).max(*wanted);
        self.plan(0, Event::RetryHeld(id));
    }

    pub(crate) fn seal_timer(&mut self, id: InstanceId) {
        let instance = &self.instances[id.0];
        if !instance.is_alive {
            return;
        }
        let has_room = instance.participant.in_flight() < self.config.max_in_flight;
        if has_room && instance.participant.is_dirty() {
            self.want_seal(id, Version::ZERO);
        }
        let delay = self.random.between(self.config.seal_every_us);
        self.plan(delay, Event::SealTimer(id));
    }

    pub(super) fn seal(&mut self, id: InstanceId, at_least: Version) {
        let instance = &mut self.instances[id.0];
        let complete = instance.since_checkpoint + 1 >= self.config.checkpoint_every;
        self.input(id, Input::Seal { at_least, complete });
    }

    pub(super) fn persist(
        &mut self,
        id: InstanceId,
        ticket: PersistTicket,
        metadata: VersionMetadata,
    ) {
        let instance = &mut self.instances[id.0];
        instance.since_checkpoint = match metadata.complete {
            true => 0,
            false => instance.since_checkpoint + 1,
        };
        let (object, version) = (instance.object, metadata.version);
        let vertex = instance.open.take();
        let guest = instance.guest.clone();
        let unfinished_actions = guest.account.halves;
        instance.images.insert(version, (guest.clone(), vertex));
        self.observe(&Fact::Sealed {
            life: id,
            object,
            vertex,
            metadata: &metadata,
            unfinished_actions,
        });
        let Some(vertex) = vertex else {
            return;
        };
        let stored = Stored {
            metadata,
            guest,
            vertex,
        };
        self.write(id, Change::Append(ticket, Box::new(stored)));
    }

    fn write(&mut self, id: InstanceId, change: Change) {
        let instance = &self.instances[id.0];
        let (object, incarnation) = (instance.object, instance.incarnation());
        if instance.is_superseded && self.is_fencing {
            return self.learn_of_fence(id);
        }
        let mut due = self.now + self.random.between(self.config.write_us);
        let journal = &mut self.journals[slot(object)];
        due = due.max(journal.slow_until);
        if self.config.group_commit_us > 0 {
            due = due.next_multiple_of(self.config.group_commit_us);
        }
        let due = journal.submit(Write {
            by: id,
            incarnation,
            due,
            change,
        });
        self.plan(due - self.now, Event::JournalDue(object));
    }

    pub(crate) fn journal_due(&mut self, object: ObjectId) {
        if let Some((by, Some(ticket))) = self.land(object, self.now) {
            self.persisted(by, ticket);
        }
    }

    /// Storage takes the write in front, if it is due. Answers who wrote it, and what it completes.
    pub(super) fn land(
        &mut self,
        object: ObjectId,
        now: u64,
    ) -> Option<(InstanceId, Option<PersistTicket>)> {
        let journal = &mut self.journals[slot(object)];
        let write = journal.take_due(now)?;
        match write.change {
            Change::Append(ticket, stored) => {
                let last = journal.versions.last().or(journal.checkpoint.as_ref());
                let previous = last.map_or(Version::ZERO, |stored| stored.metadata.version);
                let owner = journal.owner;
                journal.versions.push(*stored.clone());
                self.truth.set_durable(stored.vertex, true);
                self.observe(&Fact::Stored {
                    object,
                    by: write.incarnation,
                    owner,
                    previous,
                    vertex: stored.vertex,
                    metadata: &stored.metadata,
                });
                Some((write.by, Some(ticket)))
            }
            Change::Truncate(keep) => {
                let kept = journal
                    .versions
                    .partition_point(|stored| stored.metadata.version <= keep);
                for stored in journal.versions.drain(kept..) {
                    self.truth.set_durable(stored.vertex, false);
                }
                Some((write.by, None))
            }
        }
    }

    pub(crate) fn persisted(&mut self, id: InstanceId, ticket: PersistTicket) {
        self.input(id, Input::Persisted(ticket));
    }

    pub(super) fn committed(&mut self, id: InstanceId, version: Version) {
        let instance = &mut self.instances[id.0];
        let object = instance.object;
        let vertex = instance.images.get(&version).and_then(|image| image.1);
        // Nothing older is ever asked for again.
        instance.images = instance.images.split_off(&version);
        let process = instance.process;
        if !instance.is_superseded {
            self.journals[slot(object)].prune(version);
        }
        self.observe(&Fact::Committed {
            object,
            version,
            vertex,
        });
        self.truth.commit(vertex.as_slice());
        self.processes[process.0]
            .observer
            .handle_local_commit(object, version);
        self.settle_barriers(process);
    }

    pub(super) fn restore(&mut self, id: InstanceId, version: Version) {
        let instance = &mut self.instances[id.0];
        let image = instance.images.get(&version);
        let (guest, kept) = image.expect("an image of what may be kept").clone();
        let mut removed = Vec::new();
        let mut next = instance.last;
        while let Some(vertex) = next.filter(|_| next != kept) {
            removed.push(vertex);
            next = self.truth[vertex].previous;
        }
        let fact = Fact::Restored {
            life: id,
            object: instance.object,
            version,
            vertex: kept,
            unfinished_actions: guest.account.halves,
            running_actions: instance.actions,
        };
        instance.images.split_off(&version.next());
        instance.guest = guest;
        instance.open = None;
        instance.last = kept;
        instance.seal_at_least = None;
        // The newest checkpoint may be among what is removed.
        instance.since_checkpoint = self.config.checkpoint_every;
        self.observe(&fact);
        self.lose(removed);
        self.write(id, Change::Truncate(version));
        let delay = self.random.between(self.config.restore_us);
        self.plan(delay, Event::EndRestore(id));
    }

    pub(crate) fn end_restore(&mut self, id: InstanceId) {
        self.input(id, Input::Restored);
        self.pump(id);
    }
}
