//! One incarnation of an object, and the driver's part of its life: it runs actions, obeys effects and
//! keeps rule P1's lock.

use std::collections::{BTreeMap, VecDeque};

use leap_core::message::Refusal;
use leap_core::{
    Admission, Effect, Header, Incarnation, Input, ObjectId, OutputId, Participant, PeerMessage,
    PersistTicket, ToCoordinator, ToParticipant, Version, VersionMetadata, WorldLine,
};

use crate::{
    checker::Fact,
    guest::{Account, Transfer, slot},
    network::{ConnectionId, Wire},
    storage::{Change, Stored, Write},
    truth::VertexId,
    world::{Event, InstanceId, ProcessId, SThreadId, World},
};

/// An action between its two halves.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Action {
    /// A payload came.
    Receive(Transfer),
    /// An outsider asks for something.
    Request(usize),
    /// An sthread asks for something; the answer goes back over this link in this epoch.
    Visit {
        sthread: SThreadId,
        over: ConnectionId,
        epoch: u32,
        side: usize,
    },
    /// An sthread of this process merges.
    Merge(SThreadId),
}

/// A message that is not on a channel and waits for its admission.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) header: Header,
    pub(crate) seen: Vec<VertexId>,
    pub(crate) action: Action,
}

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
    pub(crate) account: Account,
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
    images: BTreeMap<Version, (Account, Option<VertexId>)>,
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
        let incarnation = previous.map_or(Incarnation(1), |previous| previous.incarnation().next());
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
            account: Account::default(),
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
    fn stored_images(&self, object: ObjectId) -> BTreeMap<Version, (Account, Option<VertexId>)> {
        let journal = &self.journals[slot(object)];
        let stored = journal.checkpoint.iter().chain(&journal.versions);
        let stored = stored.map(|stored| {
            let image = (stored.account.clone(), Some(stored.vertex));
            (stored.metadata.version, image)
        });
        let initial = (Version::ZERO, (Account::default(), None));
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

/// Actions.
impl World {
    /// The vertex of the open version, which gets its first content now.
    fn open(&mut self, id: InstanceId) -> VertexId {
        let instance = &self.instances[id.0];
        if let Some(open) = instance.open {
            return open;
        }
        let participant = &instance.participant;
        let open = self.truth.open(
            instance.object,
            instance.incarnation(),
            participant.open_version(),
            participant.world_line(),
            instance.last,
            instance.is_superseded,
        );
        let instance = &mut self.instances[id.0];
        instance.open = Some(open);
        instance.last = Some(open);
        open
    }

    fn consume(&mut self, id: InstanceId, message: &[VertexId]) {
        let consumer = self.open(id);
        let world_line = self.instances[id.0].participant.world_line();
        self.observe(&Fact::Consumed {
            consumer,
            world_line,
            message,
        });
        self.truth.depend(consumer, message);
    }

    /// What the object's newest state depends on, itself included.
    pub(crate) fn newest_vertex(&self, id: InstanceId) -> Vec<VertexId> {
        self.instances[id.0].last.into_iter().collect()
    }

    fn receive(&mut self, id: InstanceId, delivery: &Delivery) {
        let transfer = Transfer::decode(&delivery.payload);
        self.consume(id, &[transfer.vertex]);
        let instance = &mut self.instances[id.0];
        let received = &mut instance.account.received[slot(delivery.from)];
        let expected = *received;
        *received += 1;
        instance.account.passed[slot(delivery.from)] -= i64::from(transfer.amount);
        let (from, to) = (delivery.from, instance.object);
        self.observe(&Fact::Delivered {
            from,
            to,
            expected,
            found: transfer.number,
        });
        self.begin_action(id, Action::Receive(transfer));
    }

    /// The first half of an action that the lock admits already.
    fn begin_action(&mut self, id: InstanceId, action: Action) {
        self.instances[id.0].account.halves += 1;
        if self.random.chance(self.config.slow_action_permille) {
            let duration = self.random.between(self.config.action_us);
            self.plan(duration, Event::EndAction(id, Box::new(action)));
        } else {
            self.end_action(id, &action);
        }
    }

    /// The second half of an action.
    pub(crate) fn end_action(&mut self, id: InstanceId, action: &Action) {
        let instance = &mut self.instances[id.0];
        if !instance.is_alive {
            return;
        }
        instance.account.halves -= 1;
        match *action {
            Action::Receive(transfer) => {
                instance.account.balance += i64::from(transfer.amount);
                if transfer.hops > 0 {
                    let to = self.any_object();
                    self.pay(id, to, transfer.amount, transfer.hops - 1);
                }
            }
            Action::Request(request) => self.carry_out(id, request),
            Action::Visit {
                sthread,
                over,
                epoch,
                side,
            } => {
                instance.account.visits += 1;
                let header = instance.participant.header();
                let seen = self.newest_vertex(id);
                if self.connections[over.0].epoch == epoch {
                    let reply = Wire::Reply {
                        sthread,
                        header,
                        seen,
                    };
                    self.send(over, side, reply);
                }
            }
            Action::Merge(_) => instance.account.visits += 1,
        }
        self.instances[id.0].actions -= 1;
        if self.instances[id.0].actions == 0 {
            self.pump(id);
        }
    }

    pub(crate) fn any_object(&mut self) -> ObjectId {
        ObjectId(self.random.below(self.newest.len() as u64))
    }

    fn pay(&mut self, id: InstanceId, to: ObjectId, amount: u32, hops: u32) {
        let vertex = self.open(id);
        let account = &mut self.instances[id.0].account;
        account.balance -= i64::from(amount);
        let number = account.sent[slot(to)];
        account.sent[slot(to)] += 1;
        account.passed[slot(to)] += i64::from(amount);
        let transfer = Transfer {
            number,
            amount,
            hops,
            vertex,
        };
        let payload = transfer.encode();
        self.input(id, Input::Send { to, payload });
    }

    /// An outsider's request reaches the object.
    pub(crate) fn arrive_request(&mut self, request: usize, id: InstanceId) {
        let instance = &mut self.instances[id.0];
        if instance.is_alive && instance.participant.is_active() && !instance.is_leaving {
            instance.actions += 1;
            // The first half touches the account, though a repeated request will change nothing more.
            let number = u32::try_from(request).expect("runs are short");
            if instance.account.requests.contains(&number) {
                self.answer(id, request);
                self.instances[id.0].actions -= 1;
                self.pump(id);
            } else {
                self.open(id);
                self.input(id, Input::Touch);
                self.begin_action(id, Action::Request(request));
            }
        }
    }

    fn carry_out(&mut self, id: InstanceId, number: usize) {
        let wanted = &self.requests[number];
        let (to, amount, hops) = (wanted.to, wanted.amount, wanted.hops);
        let known = u32::try_from(number).expect("runs are short");
        // Two of the same may run at once.
        if self.instances[id.0].account.requests.insert(known) {
            self.pay(id, to, amount, hops);
        }
        self.answer(id, number);
    }

    fn answer(&mut self, id: InstanceId, request: usize) {
        self.next_output += 1;
        let output = OutputId(self.next_output);
        let depends_on = self.newest_vertex(id);
        let waiting = Waiting {
            request,
            depends_on,
        };
        self.instances[id.0].outputs.insert(output, waiting);
        self.input(id, Input::Output(output));
    }

    /// A message that is not on a channel asks for its admission.
    pub(crate) fn visit(&mut self, id: InstanceId, held: Held) {
        let instance = &mut self.instances[id.0];
        if !instance.is_alive || instance.is_leaving {
            return self.end_merge(id, &held.action);
        }
        match instance.participant.consume(&held.header) {
            Admission::Consumed => {
                instance.actions += 1;
                self.consume(id, &held.seen);
                self.end_merge(id, &held.action);
                self.begin_action(id, held.action);
            }
            Admission::SealFirst(at_least) => {
                instance.held.push(held);
                self.want_seal(id, at_least);
                self.plan(0, Event::RetryHeld(id));
            }
            Admission::Hold => instance.held.push(held),
            Admission::Discard { .. } => self.end_merge(id, &held.action),
        }
    }

    /// An sthread that merges is over, whatever became of it.
    fn end_merge(&mut self, id: InstanceId, action: &Action) {
        if let Action::Merge(sthread) = action {
            let process = self.instances[id.0].process;
            self.processes[process.0].sthreads.remove(sthread);
        }
    }
}

/// Versions.
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

    fn seal(&mut self, id: InstanceId, at_least: Version) {
        let instance = &mut self.instances[id.0];
        let complete = instance.since_checkpoint + 1 >= self.config.checkpoint_every;
        self.input(id, Input::Seal { at_least, complete });
    }

    fn persist(&mut self, id: InstanceId, ticket: PersistTicket, metadata: VersionMetadata) {
        let instance = &mut self.instances[id.0];
        instance.since_checkpoint = match metadata.complete {
            true => 0,
            false => instance.since_checkpoint + 1,
        };
        let (object, version) = (instance.object, metadata.version);
        let vertex = instance.open.take();
        let account = instance.account.clone();
        let unfinished_actions = account.halves;
        instance.images.insert(version, (account.clone(), vertex));
        self.observe(&Fact::Sealed {
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
            account,
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
    fn land(&mut self, object: ObjectId, now: u64) -> Option<(InstanceId, Option<PersistTicket>)> {
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

    fn committed(&mut self, id: InstanceId, version: Version) {
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

    fn restore(&mut self, id: InstanceId, version: Version) {
        let instance = &mut self.instances[id.0];
        let image = instance.images.get(&version);
        let (account, kept) = image.expect("an image of what may be kept").clone();
        let mut removed = Vec::new();
        let mut next = instance.last;
        while let Some(vertex) = next.filter(|_| next != kept) {
            removed.push(vertex);
            next = self.truth[vertex].previous;
        }
        let fact = Fact::Restored {
            object: instance.object,
            version,
            unfinished_actions: account.halves,
            running_actions: instance.actions,
        };
        instance.images.split_off(&version.next());
        instance.account = account;
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
