//! A whole cluster in memory, moved one step at a time: the real core code, and around it the simplest
//! storage, network and application that show everything the protocol has to cope with.
//!
//! One process hosts one object. Its application only counts: every send is an *event* with a name that
//! is never used twice, and every payload carries all events that its sender has seen. So a state, a
//! version and an output each say exactly what they depend on, independent of the protocol's own edges;
//! this *ground truth* is what the checks below compare the protocol with.
//!
//! The same world serves the scenarios (`protocol.rs`, steps chosen by hand) and the model checker
//! (`model.rs`, all steps).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use leap_core::{
    BarrierId, Coordinator, CoordinatorEffect, CoordinatorInput, Effect, Incarnation, Input,
    Ledger, LogRecord, ObjectId, Observer, OutputId, Participant, PeerMessage, PersistTicket,
    Rules, SThread, Speculation, ToCoordinator, ToParticipant, Version, VersionMetadata, WorldLine,
    coordinator::LinkId,
};

/// Sixteen events per object are plenty for worlds that are explored exhaustively.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Event(u8);

impl Event {
    fn new(object: ObjectId, number: u8) -> Self {
        assert!(object.0 < 16 && number < 16, "the world outgrew its names");
        Self((object.0 as u8) << 4 | number)
    }

    fn object(self) -> ObjectId {
        ObjectId(u64::from(self.0 >> 4))
    }
}

type History = BTreeSet<Event>;

/// The application's state.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct State {
    /// All events that the state depends on.
    pub(crate) seen: History,
    pub(crate) sent: BTreeMap<ObjectId, Vec<Event>>,
    pub(crate) received: BTreeMap<ObjectId, Vec<Event>>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Snapshot {
    metadata: VersionMetadata,
    state: State,
}

/// One process with its storage, which outlives it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Host {
    speculation: Speculation,
    pub(crate) participant: Participant,
    pub(crate) observer: Observer,
    pub(crate) state: State,
    /// Durable versions, oldest first.
    durable: Vec<Snapshot>,
    /// Writes under way, oldest first.
    writing: VecDeque<(PersistTicket, Snapshot)>,
    /// What outputs and barriers that wait for release depend on.
    waiting: BTreeMap<Waiting, History>,
    next_event: u8,
}

impl Host {
    /// All sealed versions, oldest first.
    fn snapshots(&self) -> impl Iterator<Item = &Snapshot> {
        let writing = self.writing.iter().map(|(_, snapshot)| snapshot);
        self.durable.iter().chain(writing)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Waiting {
    Output(OutputId),
    Barrier(BarrierId),
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Up {
    Subscribe(WorldLine, BTreeMap<ObjectId, Version>),
    Message(ToCoordinator),
}

/// What is true, whatever the protocol believes.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Truth {
    /// All that something released depends on.
    released: History,
    /// What crashes and rollbacks have taken away.
    lost: History,
    /// The furthest boundary that anybody was ever told.
    boundary: BTreeMap<ObjectId, Version>,
    /// A rollback took away what depended on nothing lost (rule P9).
    rolled_back_too_much: Option<ObjectId>,
    /// Somebody rolled back that had not failed itself.
    pub(crate) survivor_rolled_back: bool,
    /// Who was refused and ended.
    pub(crate) over: BTreeMap<ObjectId, Effect>,
}

/// What takes no time in a world, so that a larger world has few enough states. Everything else may
/// take any time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Prompt {
    /// Messages to the coordinator.
    pub(crate) up: bool,
    /// Messages of the coordinator.
    pub(crate) down: bool,
    /// The coordinator's log.
    pub(crate) log: bool,
    /// Writes of versions.
    pub(crate) disk: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct World {
    rules: Rules,
    pub(crate) prompt: Prompt,
    pub(crate) hosts: BTreeMap<ObjectId, Host>,
    pub(crate) coordinator: Coordinator,
    term: u64,
    checkpoint: Option<Ledger>,
    log: Vec<LogRecord>,
    logging: VecDeque<LogRecord>,
    up: BTreeMap<ObjectId, VecDeque<Up>>,
    down: BTreeMap<ObjectId, VecDeque<ToParticipant>>,
    /// Links whose subscription was answered; only they get broadcasts.
    welcomed: BTreeSet<ObjectId>,
    peers: BTreeMap<(ObjectId, ObjectId), VecDeque<PeerMessage>>,
    pub(crate) truth: Truth,
}

/// One thing that happens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Step {
    /// An action of `from` sends to `to` and has something to release.
    Send { from: ObjectId, to: ObjectId },
    /// An action changes the state and has something to release.
    Change(ObjectId),
    /// The object seals what changed.
    Seal(ObjectId),
    /// The oldest write under way is durable.
    Persisted(ObjectId),
    /// The oldest message from one peer to another arrives.
    Peer { from: ObjectId, to: ObjectId },
    /// The oldest message to the coordinator arrives.
    Up(ObjectId),
    /// The oldest message of the coordinator arrives.
    Down(ObjectId),
    /// The oldest log record under way is durable.
    Logged,
    /// The object's process ends, and its next incarnation starts.
    Crash(ObjectId),
    /// The coordinator ends and starts again; `logged` says whether the records under way became durable.
    RestartCoordinator { logged: bool },
    /// The link breaks, what is under way is lost, and it is up again.
    BreakPeers { a: ObjectId, b: ObjectId },
    /// The link to the coordinator breaks and is up again. What the coordinator sent is lost; what was
    /// sent to it is lost as well, or arrives `late`, before anything on the new link.
    BreakCoordinator { object: ObjectId, late: bool },
}

/// Building one, and moving it.
impl World {
    /// A settled cluster of objects 1 to `objects`.
    pub(crate) fn new(objects: u64, speculation: Speculation, rules: Rules) -> Self {
        let mut world = Self::empty(rules);
        for id in (1..=objects).map(ObjectId) {
            world.add(id, speculation);
        }
        world.settle();
        world
    }

    /// A coordinator with nobody to coordinate.
    pub(crate) fn empty(rules: Rules) -> Self {
        let mut world = Self {
            rules,
            prompt: Prompt::default(),
            hosts: BTreeMap::new(),
            coordinator: Coordinator::recover(1, None, []).with_rules(rules),
            term: 1,
            checkpoint: None,
            log: Vec::new(),
            logging: VecDeque::new(),
            up: BTreeMap::new(),
            down: BTreeMap::new(),
            welcomed: BTreeSet::new(),
            peers: BTreeMap::new(),
            truth: Truth::default(),
        };
        world.drain_coordinator();
        world
    }

    /// Starts the first incarnation of an object.
    pub(crate) fn add(&mut self, id: ObjectId, speculation: Speculation) {
        let participant = Participant::new(id, Incarnation(1), speculation).with_rules(self.rules);
        let host = Host {
            speculation,
            participant,
            observer: Observer::new(self.rules),
            state: State::default(),
            durable: Vec::new(),
            writing: VecDeque::new(),
            waiting: BTreeMap::new(),
            next_event: 0,
        };
        self.hosts.insert(id, host);
        self.connect_coordinator(id);
    }

    /// Takes one step, and whatever then takes no time. Returns whether the step was possible.
    pub(crate) fn step(&mut self, step: Step) -> bool {
        let possible = self.take(step);
        while let Some(step) = self.prompt_step() {
            self.take(step);
        }
        possible
    }

    fn prompt_step(&self) -> Option<Step> {
        let prompt = self.prompt;
        self.due().into_iter().find(|step| match step {
            Step::Up(_) => prompt.up,
            Step::Down(_) => prompt.down,
            Step::Logged => prompt.log,
            Step::Persisted(_) => prompt.disk,
            _ => false,
        })
    }

    fn take(&mut self, step: Step) -> bool {
        match step {
            Step::Send { from, to } => self.act(from, Some(to)),
            Step::Change(object) => self.act(object, None),
            Step::Seal(object) => self.seal(object),
            Step::Persisted(object) => self.persisted(object),
            Step::Peer { from, to } => self.deliver_peer(from, to),
            Step::Up(object) => self.deliver_up(object),
            Step::Down(object) => self.deliver_down(object),
            Step::Logged => self.logged(),
            Step::Crash(object) => self.crash(object),
            Step::RestartCoordinator { logged } => self.restart_coordinator(logged),
            Step::BreakPeers { a, b } => {
                self.break_peers(a, b);
                true
            }
            Step::BreakCoordinator { object, late } => {
                self.break_coordinator(object, late);
                true
            }
        }
    }

    /// What happens without anybody acting or failing: messages arrive, what changed is sealed,
    /// writes complete.
    pub(crate) fn due(&self) -> Vec<Step> {
        let mut due = Vec::new();
        if !self.logging.is_empty() {
            due.push(Step::Logged);
        }
        due.extend(non_empty(&self.up).map(Step::Up));
        due.extend(non_empty(&self.down).map(Step::Down));
        due.extend(non_empty(&self.peers).map(|(from, to)| Step::Peer { from, to }));
        for (&object, host) in &self.hosts {
            if !host.writing.is_empty() {
                due.push(Step::Persisted(object));
            }
            if host.participant.is_active() && host.participant.is_dirty() {
                due.push(Step::Seal(object));
            }
        }
        due
    }

    /// Lets everything happen that is due, in one fixed order.
    pub(crate) fn settle(&mut self) {
        self.settle_but(|_| false);
    }

    /// Lets everything happen that is due but for what is `held` back.
    pub(crate) fn settle_but(&mut self, held: impl Fn(Step) -> bool) {
        let mut steps = 0;
        while let Some(step) = self.due().into_iter().find(|&step| !held(step)) {
            assert!(self.step(step), "{step:?} was due");
            steps += 1;
            assert!(steps < 100_000, "never settles: {:#?}", self.due());
        }
    }
}

fn non_empty<K: Copy + Ord, T>(queues: &BTreeMap<K, VecDeque<T>>) -> impl Iterator<Item = K> + '_ {
    queues
        .iter()
        .filter(|(_, queue)| !queue.is_empty())
        .map(|(&key, _)| key)
}

/// The application.
impl World {
    fn act(&mut self, object: ObjectId, to: Option<ObjectId>) -> bool {
        let host = self.hosts.get_mut(&object).expect("it exists");
        if !host.participant.is_active() {
            return false;
        }
        let event = Event::new(object, host.next_event);
        host.next_event += 1;
        host.state.seen.insert(event);
        match to {
            Some(to) => {
                host.state.sent.entry(to).or_default().push(event);
                let payload = std::iter::once(&event).chain(&host.state.seen);
                let payload: Bytes = payload.map(|event| event.0).collect();
                host.participant.handle(Input::Send { to, payload });
            }
            None => host.participant.handle(Input::Touch),
        }
        let (output, barrier) = (OutputId(event.0.into()), BarrierId(event.0.into()));
        let seen = host.state.seen.clone();
        host.waiting.insert(Waiting::Output(output), seen.clone());
        host.waiting.insert(Waiting::Barrier(barrier), seen);
        host.participant.handle(Input::Output(output));
        let sthread = SThread::detach(host.participant.header());
        host.observer.barrier(barrier, sthread);
        self.drain(object);
        true
    }

    fn receive(state: &mut State, from: ObjectId, payload: &[u8]) {
        let mut events = payload.iter().copied().map(Event);
        let event = events.next().expect("a payload names its event");
        state.received.entry(from).or_default().push(event);
        state.seen.extend(events);
    }
}

/// What scenarios need besides steps.
impl World {
    /// An empty disk.
    pub(crate) fn lose_storage(&mut self, object: ObjectId) {
        self.host(object).durable.clear();
    }

    /// The process ends in order and a new incarnation starts from the same storage.
    pub(crate) fn come_back(&mut self, object: ObjectId) {
        let over = self.truth.over.remove(&object);
        assert_eq!(over, Some(Effect::Left));
        assert!(self.step(Step::Crash(object)));
    }

    /// How many events the state of `object` depends on.
    pub(crate) fn seen(&self, object: ObjectId) -> usize {
        self.hosts[&object].state.seen.len()
    }

    pub(crate) fn participant(&self, object: ObjectId) -> &Participant {
        &self.hosts[&object].participant
    }

    /// How many events something released depends on.
    pub(crate) fn released(&self) -> usize {
        self.truth.released.len()
    }
}

/// The driver of an object.
impl World {
    fn seal(&mut self, object: ObjectId) -> bool {
        self.input(
            object,
            Input::Seal {
                at_least: Version::ZERO,
                complete: false,
            },
        );
        true
    }

    fn persisted(&mut self, object: ObjectId) -> bool {
        let host = self.hosts.get_mut(&object).expect("it exists");
        let Some((ticket, snapshot)) = host.writing.pop_front() else {
            return false;
        };
        host.durable.push(snapshot);
        self.input(object, Input::Persisted(ticket));
        true
    }

    pub(crate) fn input(&mut self, object: ObjectId, input: Input) {
        let host = self.hosts.get_mut(&object).expect("it exists");
        host.participant.handle(input);
        self.drain(object);
    }

    /// Obeys effects until there are none, then does what they demand of the next inputs.
    fn drain(&mut self, object: ObjectId) {
        loop {
            let mut next = None;
            while let Some(effect) = self.poll(object) {
                self.obey(object, effect, &mut next);
            }
            self.settle_barriers(object);
            let Some(input) = next else { return };
            self.host(object).participant.handle(input);
        }
    }

    fn poll(&mut self, object: ObjectId) -> Option<Effect> {
        self.host(object).participant.poll_effect()
    }

    fn host(&mut self, object: ObjectId) -> &mut Host {
        self.hosts.get_mut(&object).expect("it exists")
    }

    fn obey(&mut self, object: ObjectId, effect: Effect, next: &mut Option<Input>) {
        match effect {
            Effect::ToCoordinator(message) => {
                self.up
                    .entry(object)
                    .or_default()
                    .push_back(Up::Message(message));
            }
            Effect::Transmit { to, message } => {
                if self.hosts.contains_key(&to) {
                    let link = self.peers.entry((object, to)).or_default();
                    link.push_back(message);
                }
            }
            Effect::Deliver { from, payload, .. } => {
                Self::receive(&mut self.host(object).state, from, &payload);
            }
            Effect::SealNeeded { at_least } => {
                let complete = false;
                *next = Some(Input::Seal { at_least, complete });
            }
            Effect::Persist { ticket, metadata } => {
                let host = self.host(object);
                let state = host.state.clone();
                host.writing
                    .push_back((ticket, Snapshot { metadata, state }));
            }
            Effect::Restore { version } => {
                self.restore(object, version);
                *next = Some(Input::Restored);
            }
            Effect::Entered(_) => {}
            Effect::Committed(version) => {
                self.advance_boundary(object, version);
                self.host(object)
                    .observer
                    .handle_local_commit(object, version);
            }
            Effect::Release(output) => self.release(object, Waiting::Output(output)),
            Effect::Discard(output) => {
                self.host(object).waiting.remove(&Waiting::Output(output));
            }
            Effect::Refused(_) | Effect::Left => {
                self.truth.over.insert(object, effect);
            }
        }
    }

    fn restore(&mut self, object: ObjectId, version: Version) {
        let lost = self.lost();
        let host = self.host(object);
        let first_removed = host
            .snapshots()
            .find(|snapshot| snapshot.metadata.version > version)
            .map_or(&host.state, |snapshot| &snapshot.state)
            .seen
            .clone();
        host.durable.retain(|s| s.metadata.version <= version);
        host.writing.retain(|(_, s)| s.metadata.version <= version);
        let writing = host.writing.back().map(|(_, snapshot)| snapshot);
        let newest = writing.or(host.durable.last());
        let restored = newest.map_or_else(State::default, |snapshot| snapshot.state.clone());
        let before = std::mem::replace(&mut host.state, restored);
        let removed: Vec<Event> = before.seen.difference(&host.state.seen).copied().collect();
        let is_survivor = host.participant.incarnation() == Incarnation(1);
        self.truth.survivor_rolled_back |= is_survivor && !removed.is_empty();
        if !removed.is_empty() && first_removed.is_disjoint(&lost) {
            self.truth.rolled_back_too_much = Some(object);
        }
        let own = removed.into_iter().filter(|event| event.object() == object);
        self.truth.lost.extend(own);
    }

    /// All that cannot survive what was lost so far: to a fixpoint, the own events of every version
    /// that has seen something lost, and of all later ones. A version survives or is lost as a whole.
    fn lost(&self) -> History {
        let mut lost = self.truth.lost.clone();
        loop {
            let before = lost.len();
            for (&object, host) in &self.hosts {
                let states = host.snapshots().map(|snapshot| &snapshot.state);
                let mut kept = &History::new();
                for state in states.chain([&host.state]) {
                    if state.seen.is_disjoint(&lost) {
                        kept = &state.seen;
                    }
                }
                let removed = host.state.seen.difference(kept);
                lost.extend(removed.copied().filter(|event| event.object() == object));
            }
            if lost.len() == before {
                return lost;
            }
        }
    }

    fn settle_barriers(&mut self, object: ObjectId) {
        while let Some(outcome) = self.host(object).observer.poll_outcome() {
            let waiting = Waiting::Barrier(outcome.barrier);
            match outcome.result {
                Ok(()) => self.release(object, waiting),
                Err(_) => {
                    self.host(object).waiting.remove(&waiting);
                }
            }
        }
    }

    fn release(&mut self, object: ObjectId, waiting: Waiting) {
        let seen = self.host(object).waiting.remove(&waiting);
        self.truth
            .released
            .extend(seen.expect("nothing is released twice"));
    }
}

/// The network.
impl World {
    fn deliver_peer(&mut self, from: ObjectId, to: ObjectId) -> bool {
        let queue = self.peers.entry((from, to)).or_default();
        let Some(message) = queue.pop_front() else {
            return false;
        };
        self.input(to, Input::Peer { from, message });
        true
    }

    fn deliver_up(&mut self, object: ObjectId) -> bool {
        let queue = self.up.entry(object).or_default();
        let Some(message) = queue.pop_front() else {
            return false;
        };
        match message {
            Up::Subscribe(world_line, boundary) => {
                self.coordinator.handle(CoordinatorInput::Subscribe {
                    link: LinkId(object.0),
                    world_line: Some(world_line),
                    boundary,
                });
                self.welcomed.insert(object);
            }
            Up::Message(message) => self.coordinator.handle(CoordinatorInput::Message(message)),
        }
        self.drain_coordinator();
        true
    }

    fn deliver_down(&mut self, object: ObjectId) -> bool {
        let queue = self.down.entry(object).or_default();
        let Some(message) = queue.pop_front() else {
            return false;
        };
        if let ToParticipant::Boundary(boundary) = &message {
            for (&object, &version) in boundary {
                self.advance_boundary(object, version);
            }
        }
        // The observer learns first: a local commit of the new world-line means nothing to it before.
        self.host(object).observer.handle(&message);
        self.input(object, Input::Coordinator(message));
        true
    }

    fn logged(&mut self) -> bool {
        let Some(record) = self.logging.pop_front() else {
            return false;
        };
        self.log.push(record);
        self.coordinator.handle(CoordinatorInput::Logged);
        self.drain_coordinator();
        true
    }

    fn drain_coordinator(&mut self) {
        while let Some(effect) = self.coordinator.poll_effect() {
            match effect {
                CoordinatorEffect::Log(record) => self.logging.push_back(record),
                CoordinatorEffect::Checkpoint(ledger) => {
                    self.log.clear();
                    self.checkpoint = Some(ledger);
                }
                CoordinatorEffect::ToLink(link, message) => {
                    self.send_down(ObjectId(link.0), message);
                }
                CoordinatorEffect::ToObject(object, incarnation, message) => {
                    let host = self.hosts.get(&object);
                    if host.is_some_and(|host| host.participant.incarnation() == incarnation) {
                        self.send_down(object, message);
                    }
                }
                CoordinatorEffect::Broadcast(message) => {
                    for object in self.welcomed.clone() {
                        self.send_down(object, message.clone());
                    }
                }
            }
        }
    }

    fn send_down(&mut self, object: ObjectId, message: ToParticipant) {
        self.down.entry(object).or_default().push_back(message);
    }

    fn connect_coordinator(&mut self, object: ObjectId) {
        self.down.remove(&object);
        self.welcomed.remove(&object);
        // A subscription is about the link that it came over.
        let late = self.up.entry(object).or_default();
        late.retain(|message| matches!(message, Up::Message(_)));
        let observer = &self.host(object).observer;
        let subscribe = Up::Subscribe(observer.world_line(), observer.boundary().clone());
        self.up.entry(object).or_default().push_back(subscribe);
        self.input(object, Input::CoordinatorLinkUp);
    }
}

/// Failures.
impl World {
    fn crash(&mut self, object: ObjectId) -> bool {
        let rules = self.rules;
        let host = self.hosts.get_mut(&object).expect("it exists");
        if self.truth.over.contains_key(&object) {
            return false;
        }
        let newest = host.durable.last().map(|snapshot| &snapshot.state);
        let restored = newest.cloned().unwrap_or_default();
        let lost = host.state.seen.difference(&restored.seen);
        let own = lost.filter(|event| event.object() == object);
        self.truth.lost.extend(own.copied());
        let later = host.durable.iter().map(|s| s.metadata.clone()).collect();
        let incarnation = Incarnation(host.participant.incarnation().0 + 1);
        host.participant = Participant::recover(object, incarnation, host.speculation, None, later)
            .expect("storage keeps what it was given")
            .with_rules(rules);
        host.observer = Observer::new(rules);
        host.state = restored;
        host.writing.clear();
        host.waiting.clear();
        // What it sent is still under way; what was under way to it is lost.
        self.connect_coordinator(object);
        let peers: Vec<_> = self
            .hosts
            .keys()
            .copied()
            .filter(|&p| p != object)
            .collect();
        for peer in peers {
            self.peers.remove(&(peer, object));
            self.link_up(object, peer);
        }
        true
    }

    fn restart_coordinator(&mut self, logged: bool) -> bool {
        if logged {
            self.log.extend(self.logging.drain(..));
        }
        self.logging.clear();
        self.term += 1;
        self.up.clear();
        self.down.clear();
        self.welcomed.clear();
        let (checkpoint, log) = (self.checkpoint.clone(), self.log.iter().cloned());
        self.coordinator = Coordinator::recover(self.term, checkpoint, log).with_rules(self.rules);
        self.drain_coordinator();
        let objects: Vec<_> = self.hosts.keys().copied().collect();
        objects
            .into_iter()
            .for_each(|object| self.connect_coordinator(object));
        true
    }

    fn break_peers(&mut self, a: ObjectId, b: ObjectId) {
        self.peers.remove(&(a, b));
        self.peers.remove(&(b, a));
        self.link_up(a, b);
    }

    fn link_up(&mut self, a: ObjectId, b: ObjectId) {
        self.input(a, Input::LinkUp(b));
        self.input(b, Input::LinkUp(a));
    }

    fn break_coordinator(&mut self, object: ObjectId, late: bool) {
        if !late {
            self.up.remove(&object);
        }
        self.connect_coordinator(object);
    }
}

/// The checks.
impl World {
    fn advance_boundary(&mut self, object: ObjectId, version: Version) {
        let known = self.truth.boundary.entry(object).or_default();
        *known = version.max(*known);
    }

    /// Failure transparency (rule P8): all that something released depends on is there for good.
    pub(crate) fn is_transparent(&self) -> bool {
        self.truth.released.iter().all(|event| {
            let host = &self.hosts[&event.object()];
            !host.participant.is_active() || host.state.seen.contains(event)
        })
    }

    /// Exactly once and in order (rule P14): a sender's events are numbered, and no state has one
    /// twice or a later one first.
    pub(crate) fn is_in_order(&self) -> bool {
        let states = self.hosts.values().map(|host| &host.state);
        states
            .flat_map(|state| state.received.values())
            .all(|events| events.is_sorted_by(|a, b| a < b))
    }

    /// Rule P7: what was ever told to be inside the boundary is durable, and so is all it depends on.
    pub(crate) fn is_boundary_closed(&self) -> bool {
        let inside: BTreeMap<ObjectId, Option<&State>> = self
            .truth
            .boundary
            .iter()
            .filter(|(_, version)| **version > Version::ZERO)
            .map(|(&object, &version)| {
                let durable = &self.hosts[&object].durable;
                let snapshot = durable.iter().find(|s| s.metadata.version == version);
                (object, snapshot.map(|snapshot| &snapshot.state))
            })
            .collect();
        let has = |event: &Event| {
            let state = inside.get(&event.object()).copied().flatten();
            state.is_some_and(|state| state.seen.contains(event))
        };
        inside
            .values()
            .all(|state| state.is_some_and(|state| state.seen.iter().all(has)))
    }

    /// Rule P7: whoever knows the boundary knows at least as much as was ever told before, once
    /// nothing is under way any more.
    fn is_boundary_whole(&self) -> bool {
        self.coordinator.boundary().is_some_and(|boundary| {
            self.truth
                .boundary
                .iter()
                .all(|(o, v)| boundary.get(o) >= Some(v))
        })
    }

    /// Rule P4: no version depends on a higher one.
    pub(crate) fn is_commit_ordered(&self) -> bool {
        let snapshots = self.hosts.values().flat_map(Host::snapshots);
        snapshots
            .map(|snapshot| &snapshot.metadata)
            .all(|metadata| {
                let mut needs = metadata.dependencies.iter();
                needs.all(|(_, version)| version <= metadata.version)
            })
    }

    /// Rule P9: a rollback takes away only what depends on something lost.
    pub(crate) fn is_rollback_exact(&self) -> bool {
        self.truth.rolled_back_too_much.is_none()
    }

    /// Liveness: whenever nothing is due, everything is repaired, committed, released, consumed and
    /// acknowledged.
    pub(crate) fn is_converged(&self) -> bool {
        self.coordinator.waiting_for().is_empty()
            && self.coordinator.uncommitted() == 0
            && self.is_boundary_whole()
            && self.hosts.iter().all(|(&object, host)| {
                let participant = &host.participant;
                participant.is_active()
                    && !participant.is_frozen()
                    && participant.world_line() == self.coordinator.world_line()
                    && host.observer.world_line() == self.coordinator.world_line()
                    && participant.committed() == participant.latest()
                    && participant.unacknowledged() == 0
                    && participant.held() == 0
                    && host.waiting.is_empty()
                    && host
                        .state
                        .sent
                        .iter()
                        .all(|(to, sent)| self.hosts[to].state.received.get(&object) == Some(sent))
                    && host.state.received.iter().all(|(from, received)| {
                        self.hosts[from].state.sent.get(&object) == Some(received)
                    })
            })
    }

    /// All of the above, for scenarios.
    #[track_caller]
    pub(crate) fn check(&self) {
        assert!(self.is_transparent(), "released what was lost: {self:#?}");
        assert!(self.is_in_order(), "twice or out of order: {self:#?}");
        assert!(self.is_boundary_closed(), "rule P7: {self:#?}");
        assert!(self.is_rollback_exact(), "rule P9: {self:#?}");
        assert!(self.is_commit_ordered(), "rule P4: {self:#?}");
        if self.due().is_empty() && self.truth.over.is_empty() {
            assert!(self.is_converged(), "does not converge: {self:#?}");
        }
    }
}
