//! One incarnation of an object, and the driver's part of its life: it runs actions, obeys effects and
//! keeps rule P1's lock.

mod actions;
mod levels;
mod versions;

use std::collections::{BTreeMap, VecDeque};

use leap_core::message::Refusal;
use leap_core::{
    Effect, Incarnation, Input, ObjectId, OutputId, Participant, PeerMessage, ToCoordinator,
    ToParticipant, Version, VersionMetadata, WorldLine,
};

use crate::{
    checker::Fact,
    guest::{Guest, slot},
    network::Wire,
    storage::{self, Stored},
    truth::VertexId,
    world::{Event, InstanceId, ProcessId, World},
};

pub(crate) use actions::{Action, Held};
pub(crate) use levels::{Made, Message};

/// What waits for release.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    request: usize,
    depends_on: Vec<VertexId>,
}

#[derive(Debug)]
struct Delivery {
    from: ObjectId,
    payload: bytes::Bytes,
}

#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) id: InstanceId,
    pub(crate) object: ObjectId,
    pub(crate) process: ProcessId,
    pub(crate) is_alive: bool,
    /// A newer life has claimed the storage.
    pub(crate) is_superseded: bool,
    pub(crate) is_leaving: bool,
    pub(crate) participant: Participant,
    pub(crate) guest: Guest,
    /// Actions between their halves; rule P1's lock is held shared by them.
    actions: u32,
    deliveries: VecDeque<Delivery>,
    /// What the coordinator said and what waits for the exclusive side of the lock.
    inbox: VecDeque<ToParticipant>,
    seal_at_least: Option<Version>,
    held: Vec<Held>,
    outputs: BTreeMap<OutputId, Waiting>,
    /// The open version's vertex, once it has content, and the newest vertex of all.
    open: Option<VertexId>,
    last: Option<VertexId>,
    /// The state at the end of each version that a rollback may ask for.
    images: BTreeMap<Version, (Guest, Option<VertexId>)>,
    since_checkpoint: u64,
    /// The newest world-line in which it runs actions, or ran them.
    pub(crate) entered: Option<WorldLine>,
}

impl Instance {
    pub(crate) fn incarnation(&self) -> Incarnation {
        self.participant.incarnation()
    }

    /// What keeps it from being all committed.
    pub(crate) fn unsettled(&self, world_line: WorldLine) -> Option<String> {
        let participant = &self.participant;
        let reason = if !self.is_alive {
            "is not alive".to_owned()
        } else if !participant.is_active() || participant.is_frozen() {
            format!("is not active: {participant:?}")
        } else if participant.world_line() != world_line {
            format!("is in {:?}, not {world_line:?}", participant.world_line())
        } else if participant.is_dirty() || participant.committed() != participant.latest() {
            format!(
                "is at {:?}, committed {:?}, durable {:?}",
                participant.latest(),
                participant.committed(),
                participant.durable()
            )
        } else {
            return None;
        };
        Some(reason)
    }

    /// How many messages it keeps for others than these, who never come back.
    pub(crate) fn unacknowledged(&self, banned: &[bool]) -> usize {
        let to_banned = (0..banned.len())
            .filter(|&index| banned[index])
            .map(|index| self.participant.unacknowledged_to(ObjectId(index as u64)));
        self.participant.unacknowledged() - to_banned.sum::<usize>()
    }

    /// What it still has to do, though not with these.
    pub(crate) fn busy(&self, banned: &[bool]) -> Option<String> {
        let (kept, held) = (self.unacknowledged(banned), self.participant.held());
        let reason = if kept + held > 0 {
            format!("keeps {kept} sent messages and holds {held} received ones")
        } else if !self.outputs.is_empty() {
            format!("outputs wait: {:?}", self.outputs)
        } else if self.guest.levels.open() + self.guest.levels.waiting() > 0 {
            format!("is in the middle of levels: {:?}", self.guest.levels)
        } else if self.actions > 0 || !self.inbox.is_empty() || !self.held.is_empty() {
            "is busy".to_owned()
        } else {
            return None;
        };
        Some(reason)
    }
}

/// Birth and death.
impl World {
    /// Begins the next life of `object` in `process`: claims its storage and recovers from it.
    pub(crate) fn start_instance(&mut self, process: ProcessId, object: ObjectId) {
        let id = InstanceId(self.instances.len());
        let previous = self.newest[slot(object)].map(|previous| &self.instances[previous.0]);
        let failed = previous.is_some();
        let incarnation = match previous {
            Some(previous) => storage::next_life(object, previous.incarnation()),
            None => storage::first_life(object),
        };
        self.observe(&Fact::Started { object, failed });
        self.claim(object, incarnation);
        self.say(format_args!(
            "{object:?} begins life {incarnation:?} as {id:?} in {process:?}"
        ));
        let images = self.stored_images(object);
        self.instances.push(Instance {
            id,
            object,
            process,
            is_alive: true,
            is_superseded: false,
            is_leaving: false,
            participant: self.recover(object, incarnation),
            guest: Guest::new(self.rules),
            actions: 0,
            deliveries: VecDeque::new(),
            inbox: VecDeque::new(),
            seal_at_least: None,
            held: Vec::new(),
            outputs: BTreeMap::new(),
            open: None,
            last: images.last_key_value().and_then(|(_, image)| image.1),
            images,
            since_checkpoint: self.config.checkpoint_every,
            entered: None,
        });
        self.newest[slot(object)] = Some(id);
        self.processes[process.0].instances.push(id);
        let delay = self.random.between(self.config.seal_every_us);
        self.plan(delay, Event::SealTimer(id));
        self.plan_levels(id);
    }

    fn recover(&self, object: ObjectId, incarnation: Incarnation) -> Participant {
        let journal = &self.journals[slot(object)];
        let metadata = |stored: &Stored| match self.config.encoded {
            true => VersionMetadata::decode(&stored.metadata.encode()).expect("what was encoded"),
            false => stored.metadata.clone(),
        };
        let checkpoint = journal.checkpoint.as_ref().map(metadata);
        let later = journal.versions.iter().map(metadata).collect();
        let speculation = self.config.speculation[slot(object)];
        Participant::recover(object, incarnation, speculation, checkpoint, later)
            .expect("storage holds what was written")
            .with_rules(self.rules)
    }

    /// The states that storage holds, and the initial one.
    fn stored_images(&self, object: ObjectId) -> BTreeMap<Version, (Guest, Option<VertexId>)> {
        let journal = &self.journals[slot(object)];
        let stored = journal.checkpoint.iter().chain(&journal.versions);
        let stored = stored.map(|stored| {
            let image = (stored.guest.clone(), Some(stored.vertex));
            (stored.metadata.version, image)
        });
        let initial = (Version::ZERO, (Guest::new(self.rules), None));
        std::iter::once(initial).chain(stored).collect()
    }

    /// The storage of `object` belongs to `incarnation` from now on: of what is under way a prefix
    /// still lands, the rest is refused.
    fn claim(&mut self, object: ObjectId, incarnation: Incarnation) {
        if let Some(previous) = self.newest[slot(object)] {
            if self.is_fencing {
                self.land_some(object);
                if self.instances[previous.0].is_alive {
                    self.learn_of_fence(previous);
                }
            }
            self.instances[previous.0].is_superseded = true;
            self.lose_volatile(previous);
        }
        self.journals[slot(object)].owner = incarnation;
    }

    /// A prefix of what is under way to storage lands, the rest never does.
    fn land_some(&mut self, object: ObjectId) {
        let count = self.journals[slot(object)].pending.len();
        let landing = self.random.index(count + 1);
        let delay = self.random.between(self.config.latency_us);
        for _ in 0..landing {
            if let Some((by, Some(ticket))) = self.land(object, u64::MAX) {
                self.plan(delay, Event::Persisted(by, ticket));
            }
        }
        self.journals[slot(object)].pending.clear();
    }

    /// Sooner or later a superseded life tries to write, learns of it and stops.
    fn learn_of_fence(&mut self, instance: InstanceId) {
        let delay = 100 + self.random.below(6_000);
        let downtime_us = None;
        self.plan(
            delay,
            Event::Kill {
                instance,
                downtime_us,
            },
        );
    }

    /// Ends a life; what it has not in storage is lost.
    pub(crate) fn kill(&mut self, id: InstanceId) {
        let instance = &mut self.instances[id.0];
        if !instance.is_alive {
            return;
        }
        instance.is_alive = false;
        instance.outputs.clear();
        let held = std::mem::take(&mut instance.held);
        let (object, process, is_superseded) =
            (instance.object, instance.process, instance.is_superseded);
        self.say(format_args!("{id:?} ({object:?}) ends"));
        for held in held {
            self.end_merge(id, &held.action);
        }
        if !is_superseded {
            self.land_some(object);
        }
        self.lose_volatile(id);
        let process = &mut self.processes[process.0];
        process.instances.retain(|&other| other != id);
        if process.instances.is_empty() && process.is_superseded {
            let process = process.id;
            self.kill_process(process);
        }
    }

    pub(crate) fn kill_and_restart(&mut self, id: InstanceId, downtime_us: Option<u64>) {
        self.kill(id);
        if let Some(downtime_us) = downtime_us {
            let object = self.instances[id.0].object;
            self.plan(downtime_us, Event::StartObject(object));
        }
    }

    fn lose_volatile(&mut self, id: InstanceId) {
        let mut next = self.instances[id.0].last;
        let mut lost = Vec::new();
        while let Some(vertex) = next.filter(|&vertex| !self.truth[vertex].durable) {
            lost.push(vertex);
            next = self.truth[vertex].previous;
        }
        self.lose(lost);
    }
}

/// Inputs and effects.
impl World {
    pub(crate) fn input(&mut self, id: InstanceId, input: Input) {
        let instance = &mut self.instances[id.0];
        if !instance.is_alive {
            return;
        }
        instance.participant.handle(input);
        instance.participant.validate();
        self.obey(id);
    }

    /// Executes effects in order, then runs the actions that they ask for.
    fn obey(&mut self, id: InstanceId) {
        while let Some(effect) = self.instances[id.0].participant.poll_effect() {
            self.trace.mix(&effect);
            if self.instances[id.0].is_alive {
                self.execute(id, effect);
            }
        }
        while let Some(delivery) = self.instances[id.0].deliveries.pop_front() {
            self.receive(id, &delivery);
        }
    }

    fn execute(&mut self, id: InstanceId, effect: Effect) {
        let object = self.instances[id.0].object;
        if !matches!(effect, Effect::Transmit { .. } | Effect::ToCoordinator(_)) {
            self.say(format_args!("{id:?} ({object:?}) {effect:?}"));
        }
        match effect {
            Effect::ToCoordinator(message) => self.tell_coordinator(id, message),
            Effect::Transmit { to, message } => self.transmit(id, to, message),
            Effect::Deliver { from, payload, .. } => {
                let instance = &mut self.instances[id.0];
                // From here on nothing may be sealed until the action has ended.
                instance.actions += 1;
                instance.deliveries.push_back(Delivery { from, payload });
            }
            Effect::SealNeeded { at_least } => self.want_seal(id, at_least),
            Effect::Persist { ticket, metadata } => self.persist(id, ticket, metadata),
            Effect::Restore { version } => self.restore(id, version),
            Effect::Entered(world_line) => {
                self.instances[id.0].entered = Some(world_line);
                self.observe(&Fact::Entered { object, world_line });
            }
            Effect::Committed(version) => self.committed(id, version),
            Effect::Release(output) => {
                let output = self.instances[id.0].outputs.remove(&output);
                let output = output.expect("outputs are released or discarded once");
                self.release(&output.depends_on);
                let request = &mut self.requests[output.request];
                request.answered = true;
            }
            Effect::Discard(output) => {
                let output = self.instances[id.0].outputs.remove(&output);
                assert!(output.is_some(), "outputs are released or discarded once");
            }
            Effect::Refused(Refusal::Removed | Refusal::LeftBehind { .. }) => self.removed(id),
            Effect::Refused(Refusal::LostCommitted { .. }) => {
                self.banned[slot(object)] |= self.truth.is_beyond_return(object);
                self.kill(id);
            }
            Effect::Refused(Refusal::Fenced { .. }) => self.kill(id),
            Effect::Refused(Refusal::OtherCluster { world_line }) => {
                unreachable!("{id:?} is of the cluster that is in {world_line:?}")
            }
            Effect::Refused(Refusal::OtherStorage { by }) => {
                unreachable!("{id:?} is of the storage that it is in, not of that of {by:?}")
            }
            Effect::Left => self.left(id),
        }
    }

    fn tell_coordinator(&mut self, id: InstanceId, message: ToCoordinator) {
        let process = &self.processes[self.instances[id.0].process.0];
        if let Some(connection) = process.coordinator {
            self.send(connection, 0, Wire::ToCoordinator(message));
        }
    }

    fn transmit(&mut self, id: InstanceId, to: ObjectId, message: PeerMessage) {
        let instance = &self.instances[id.0];
        let from = instance.object;
        if let Some(&(connection, side)) = self.processes[instance.process.0].routes.get(&to) {
            self.send(connection, side, Wire::Peer { from, to, message });
        }
    }

    /// The coordinator says something to this object; it must wait until no action runs.
    pub(crate) fn told(&mut self, id: InstanceId, message: ToParticipant) {
        self.instances[id.0].inbox.push_back(message);
        self.pump(id);
    }

    /// Takes the exclusive side of the lock for whatever waits for it, then looks at what was held.
    pub(crate) fn pump(&mut self, id: InstanceId) {
        loop {
            let instance = &mut self.instances[id.0];
            if !instance.is_alive || instance.actions > 0 {
                return;
            }
            if let Some(message) = instance.inbox.pop_front() {
                self.input(id, Input::Coordinator(message));
            } else if let Some(at_least) = instance.seal_at_least.take() {
                self.seal(id, at_least);
            } else {
                break;
            }
        }
        for held in std::mem::take(&mut self.instances[id.0].held) {
            self.visit(id, held);
        }
    }

    /// It lived, and was removed all the same; its next life comes later, unless there is no way back.
    fn removed(&mut self, id: InstanceId) {
        let back_after_us = self.random.below(3_000);
        let instance = &self.instances[id.0];
        let (object, is_newest) = (instance.object, !instance.is_superseded);
        self.banned[slot(object)] |= is_newest && self.truth.is_beyond_return(object);
        self.kill_and_restart(id, is_newest.then_some(back_after_us));
    }

    fn left(&mut self, id: InstanceId) {
        let object = self.instances[id.0].object;
        let away_us = self.random.below(3_000);
        self.away[slot(object)] = true;
        self.kill(id);
        self.plan(away_us, Event::StartObject(object));
    }
}
