//! A small language for scenarios: real participants and coordinators, and nothing moves unless told.
//!
//! Every link keeps what was sent until it is delivered, kept for later, or lost; every write waits
//! until it is stored. [`Scenario::settle`] lets everything move until nothing is left to do.
//!
//! ```
//! use leap_sim::scenario::Scenario;
//! let mut s = Scenario::new(["hotel", "flight"]);
//! s.act("hotel", |hotel| hotel.send("flight", "book"));
//! s.settle();
//! assert_eq!(s.consumed("flight"), ["book"]);
//! ```

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use leap_core::{
    Coordinator, CoordinatorEffect, CoordinatorInput, Decision, Effect, Incarnation, Input, Ledger,
    LogRecord, ObjectId, OutputId, Participant, PeerMessage, PersistTicket, Speculation,
    ToCoordinator, ToParticipant, Version, VersionMetadata, WorldLine, coordinator::LinkId,
};

/// An end of a link: an object by its name, or a coordinator.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum End {
    /// An object.
    Object(&'static str),
    /// The coordinator of this term.
    Coordinator(u64),
}

impl From<&'static str> for End {
    fn from(name: &'static str) -> Self {
        Self::Object(name)
    }
}

/// Something on its way.
#[derive(Clone, Debug)]
enum Wire {
    Peer(ObjectId, PeerMessage),
    Subscribe(Option<WorldLine>),
    ToCoordinator(ToCoordinator),
    ToParticipant(Option<Incarnation>, ToParticipant),
}

/// A message taken from a link, to be delivered when its link is long gone.
#[derive(Clone, Debug)]
pub struct Late {
    from: End,
    to: End,
    wire: Wire,
}

#[derive(Debug)]
struct Object {
    participant: Participant,
    /// Payloads in the order of their actions, with the versions that consumed them.
    consumed: Vec<(Version, String)>,
    writes: VecDeque<(PersistTicket, VersionMetadata)>,
    restores: bool,
    released: Vec<OutputId>,
    ended: bool,
    has_left: bool,
}

#[derive(Debug)]
struct Seat {
    coordinator: Coordinator,
    records: VecDeque<LogRecord>,
}

/// The running action, which sends and answers.
#[derive(Debug)]
pub struct Action<'a> {
    participant: &'a mut Participant,
}

impl Action<'_> {
    /// Sends a payload.
    pub fn send(&mut self, to: &str, payload: &str) {
        let to = ObjectId::from_name(to);
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        self.participant.handle(Input::Send { to, payload });
    }

    /// Has a result for the outside world.
    pub fn output(&mut self, output: u64) {
        self.participant.handle(Input::Output(OutputId(output)));
    }
}

/// A small world under full control. See the [module documentation](self).
#[derive(Debug)]
pub struct Scenario {
    names: Vec<&'static str>,
    objects: BTreeMap<&'static str, Object>,
    incarnations: BTreeMap<&'static str, u64>,
    /// The coordinator that each object talks to.
    terms: BTreeMap<&'static str, u64>,
    stored: BTreeMap<&'static str, Vec<VersionMetadata>>,
    seats: BTreeMap<u64, Seat>,
    checkpoint: Option<Ledger>,
    log: Vec<LogRecord>,
    decisions: Vec<Decision>,
    links: BTreeMap<(End, End), VecDeque<Wire>>,
    cut: Vec<(End, End)>,
    slow_restores: Vec<&'static str>,
}

/// Setting up.
impl Scenario {
    /// These objects and a coordinator, all joined and at rest.
    pub fn new<const N: usize>(names: [&'static str; N]) -> Self {
        let mut scenario = Self::unsettled(names);
        scenario.settle();
        scenario
    }

    /// These objects, about to join, and a coordinator.
    pub fn unsettled<const N: usize>(names: [&'static str; N]) -> Self {
        let mut scenario = Self {
            names: names.to_vec(),
            objects: BTreeMap::new(),
            incarnations: BTreeMap::new(),
            terms: BTreeMap::new(),
            stored: BTreeMap::new(),
            seats: BTreeMap::new(),
            checkpoint: None,
            log: Vec::new(),
            decisions: Vec::new(),
            links: BTreeMap::new(),
            cut: Vec::new(),
            slow_restores: Vec::new(),
        };
        scenario.start_coordinator();
        for name in names {
            scenario.start(name);
        }
        scenario
    }
}

/// Faults.
impl Scenario {
    /// The object's process ends; what it has not stored is lost.
    pub fn crash(&mut self, name: &'static str) {
        self.objects.remove(name);
        self.lose_all(End::Object(name));
    }

    /// The object's next life begins, from what is stored. An older life that was not crashed cannot
    /// store anything any more, and is out of reach.
    pub fn start(&mut self, name: &'static str) {
        let incarnation = self.incarnations.entry(name).or_default();
        *incarnation += 1;
        let participant = Participant::recover(
            ObjectId::from_name(name),
            Incarnation(*incarnation),
            Speculation::On,
            None,
            self.stored.entry(name).or_default().clone(),
        )
        .expect("what was stored fits together");
        let object = Object {
            participant,
            consumed: Vec::new(),
            writes: VecDeque::new(),
            restores: false,
            released: Vec::new(),
            ended: false,
            has_left: false,
        };
        self.objects.insert(name, object);
        let newest = *self
            .seats
            .last_key_value()
            .expect("there is a coordinator")
            .0;
        self.link_to_coordinator(name, newest);
        for other in self.names.clone() {
            self.link_up(name, other);
        }
    }

    /// Both, at once.
    pub fn restart(&mut self, name: &'static str) {
        self.crash(name);
        self.start(name);
    }

    /// The link between two objects breaks and comes up again; what was under way is lost.
    pub fn relink(&mut self, a: &'static str, b: &'static str) {
        self.lose(a.into(), b.into());
        self.lose(b.into(), a.into());
        self.link_up(a, b);
    }

    /// The object's link to its coordinator breaks, and one to this coordinator comes up.
    pub fn link_to_coordinator(&mut self, name: &'static str, term: u64) {
        if let Some(old) = self.terms.insert(name, term) {
            self.lose(name.into(), End::Coordinator(old));
            self.lose(End::Coordinator(old), name.into());
        }
        if self.objects.contains_key(name) {
            let world_line = self.world_line(name);
            self.push(
                name.into(),
                End::Coordinator(term),
                Wire::Subscribe(Some(world_line)),
            );
            self.input(name, Input::CoordinatorLinkUp);
        }
    }

    /// The next coordinator starts from the log and claims it. The one before lives on, and objects
    /// talk to it until they are linked to the new one.
    pub fn start_coordinator(&mut self) -> u64 {
        let term = self.seats.last_key_value().map_or(1, |(&term, _)| term + 1);
        let coordinator = Coordinator::recover(term, self.checkpoint.clone(), self.log.clone());
        let records = VecDeque::new();
        self.seats.insert(
            term,
            Seat {
                coordinator,
                records,
            },
        );
        self.obey_coordinator(term);
        term
    }

    /// The coordinator ends, the next one starts, and all objects find it.
    pub fn restart_coordinator(&mut self) -> u64 {
        let old = *self.seats.last_key_value().expect("there is one").0;
        let term = self.start_coordinator();
        self.seats.remove(&old);
        self.lose_all(End::Coordinator(old));
        for name in self.names.clone() {
            self.link_to_coordinator(name, term);
        }
        term
    }

    /// The newest coordinator is told that the object will never come back.
    pub fn remove(&mut self, name: &'static str) {
        let &term = self
            .seats
            .keys()
            .next_back()
            .expect("there is a coordinator");
        let object = ObjectId::from_name(name);
        self.input_coordinator(term, CoordinatorInput::Remove(object));
    }

    /// Nothing is delivered from one end to the other until [`Scenario::heal`].
    pub fn hold(&mut self, from: impl Into<End>, to: impl Into<End>) {
        self.cut.push((from.into(), to.into()));
    }

    /// Links deliver again what they kept.
    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// What is under way on a link is lost.
    pub fn lose(&mut self, from: End, to: End) {
        self.links.remove(&(from, to));
    }

    /// Takes a copy of the message at the front of a link, to deliver it again when it is late.
    pub fn copy_front(&mut self, from: impl Into<End>, to: impl Into<End>) -> Late {
        let (from, to) = (from.into(), to.into());
        let link = self.links.get(&(from, to));
        let wire = link
            .and_then(VecDeque::front)
            .expect("something is under way");
        Late {
            from,
            to,
            wire: wire.clone(),
        }
    }

    /// Restores of this object take until [`Scenario::finish_restore`].
    pub fn slow_restores(&mut self, name: &'static str) {
        self.slow_restores.push(name);
    }
}

/// Moves.
impl Scenario {
    /// Runs an action.
    pub fn act(&mut self, name: &'static str, body: impl FnOnce(&mut Action<'_>)) {
        let object = self.objects.get_mut(name).expect("it lives");
        body(&mut Action {
            participant: &mut object.participant,
        });
        self.obey(name);
    }

    /// Runs an action that just changes the object's state.
    pub fn touch(&mut self, name: &'static str) {
        self.input(name, Input::Touch);
    }

    /// Seals the open version.
    pub fn seal(&mut self, name: &'static str) {
        let (at_least, complete) = (Version::ZERO, false);
        self.input(name, Input::Seal { at_least, complete });
    }

    /// The object's oldest write becomes durable.
    pub fn store(&mut self, name: &'static str) -> bool {
        let newest = Incarnation(self.incarnations[name]);
        let Some(object) = self.objects.get_mut(name) else {
            return false;
        };
        let Some((ticket, metadata)) = object.writes.pop_front() else {
            return false;
        };
        if object.participant.incarnation() == newest {
            self.stored.entry(name).or_default().push(metadata);
            self.input(name, Input::Persisted(ticket));
        }
        true
    }

    /// The oldest record of the newest coordinator becomes durable. Older coordinators are refused.
    pub fn log(&mut self) -> bool {
        let (&term, seat) = self.seats.last_key_value().expect("there is a coordinator");
        let Some(record) = seat.records.front().cloned() else {
            return false;
        };
        if let LogRecord::Decided { decision, .. } = &record {
            self.decisions.push(decision.clone());
        }
        self.log.push(record);
        self.seats
            .get_mut(&term)
            .expect("just seen")
            .records
            .pop_front();
        self.input_coordinator(term, CoordinatorInput::Logged);
        true
    }

    /// Delivers the message at the front of a link. Says whether there was one.
    pub fn deliver(&mut self, from: impl Into<End>, to: impl Into<End>) -> bool {
        let (from, to) = (from.into(), to.into());
        let link = self.links.get_mut(&(from, to));
        let Some(wire) = link.and_then(VecDeque::pop_front) else {
            return false;
        };
        self.arrive(from, to, wire);
        true
    }

    /// Delivers all that a link holds.
    pub fn deliver_all(&mut self, from: impl Into<End>, to: impl Into<End>) {
        let (from, to) = (from.into(), to.into());
        while self.deliver(from, to) {}
    }

    /// Delivers a message of a link that is long gone.
    pub fn deliver_late(&mut self, late: Late) {
        self.arrive(late.from, late.to, late.wire);
    }

    /// A restore is done.
    pub fn finish_restore(&mut self, name: &'static str) -> bool {
        let object = self.objects.get_mut(name).expect("it lives");
        let restores = std::mem::replace(&mut object.restores, false);
        if restores {
            self.input(name, Input::Restored);
        }
        restores
    }

    /// Delivers on all links that are not held, until nothing is under way there.
    pub fn deliver_everything(&mut self) -> bool {
        let mut moved = 0;
        while let Some(&(from, to)) = self
            .links
            .iter()
            .find(|(ends, link)| !link.is_empty() && !self.cut.contains(ends))
            .map(|(ends, _)| ends)
        {
            self.deliver(from, to);
            moved += 1;
            assert!(moved < 10_000, "messages go round for ever");
        }
        moved > 0
    }

    /// Everything moves, seals and stores until nothing is left to do.
    pub fn settle(&mut self) {
        loop {
            let mut moved = self.deliver_everything();
            moved |= self.log();
            for name in self.names.clone() {
                if self.objects.contains_key(name) {
                    self.seal(name);
                    moved |= self.store(name);
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// The object leaves in order.
    pub fn leave(&mut self, name: &'static str) {
        self.input(name, Input::Leave);
    }
}

/// Looking.
impl Scenario {
    /// What the object has consumed and not lost again, in order.
    pub fn consumed(&self, name: &str) -> Vec<&str> {
        let object = &self.objects[name];
        object
            .consumed
            .iter()
            .map(|(_, payload)| payload.as_str())
            .collect()
    }

    /// The object's protocol state.
    pub fn participant(&self, name: &str) -> &Participant {
        &self.objects[name].participant
    }

    /// The object's world-line.
    pub fn world_line(&self, name: &str) -> WorldLine {
        self.participant(name).world_line()
    }

    /// The outputs that the outside world has seen of this life of the object.
    pub fn released(&self, name: &str) -> &[OutputId] {
        &self.objects[name].released
    }

    /// Whether the coordinator has refused this life of the object.
    pub fn is_refused(&self, name: &str) -> bool {
        self.objects[name].ended
    }

    /// Whether the object was let go.
    pub fn has_left(&self, name: &str) -> bool {
        self.objects[name].has_left
    }

    /// A coordinator that lives.
    pub fn coordinator(&self, term: u64) -> &Coordinator {
        &self.seats[&term].coordinator
    }

    /// All decisions that are durable.
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }
}

/// Drivers.
impl Scenario {
    fn push(&mut self, from: End, to: End, wire: Wire) {
        self.links.entry((from, to)).or_default().push_back(wire);
    }

    fn lose_all(&mut self, end: End) {
        self.links.retain(|&(from, to), _| from != end && to != end);
    }

    fn link_up(&mut self, a: &'static str, b: &'static str) {
        for (here, there) in [(a, b), (b, a)] {
            if self.objects.contains_key(here) && self.objects.contains_key(there) {
                self.input(here, Input::LinkUp(ObjectId::from_name(there)));
            }
        }
    }

    fn arrive(&mut self, from: End, to: End, wire: Wire) {
        match (to, wire) {
            (End::Object(name), _) if !self.objects.contains_key(name) => {}
            (End::Object(name), Wire::Peer(from, message)) => {
                self.input(name, Input::Peer { from, message });
            }
            (End::Object(name), Wire::ToParticipant(incarnation, message)) => {
                let ours = self.participant(name).incarnation();
                if incarnation.is_none_or(|theirs| theirs == ours) {
                    self.input(name, Input::Coordinator(message));
                }
            }
            (End::Coordinator(term), wire) if self.seats.contains_key(&term) => {
                let input = match wire {
                    Wire::Subscribe(world_line) => CoordinatorInput::Subscribe {
                        link: self.link_of(from),
                        world_line,
                        boundary: BTreeMap::new(),
                    },
                    Wire::ToCoordinator(message) => CoordinatorInput::Message(message),
                    Wire::Peer(..) | Wire::ToParticipant(..) => {
                        unreachable!("coordinators are told nothing else")
                    }
                };
                self.input_coordinator(term, input);
            }
            (End::Coordinator(_), _) => {}
            (End::Object(_), wire) => unreachable!("objects are not told {wire:?}"),
        }
    }

    /// Each object has a link of its own, named after its place.
    fn link_of(&self, end: End) -> LinkId {
        let place = self.names.iter().position(|&name| End::Object(name) == end);
        LinkId(place.expect("only objects subscribe") as u64)
    }

    fn name_of(&self, object: ObjectId) -> &'static str {
        let mut names = self.names.iter().copied();
        names
            .find(|name| ObjectId::from_name(name) == object)
            .expect("one of ours")
    }

    fn input(&mut self, name: &'static str, input: Input) {
        let object = self.objects.get_mut(name).expect("it lives");
        object.participant.handle(input);
        object.participant.validate();
        self.obey(name);
    }

    fn obey(&mut self, name: &'static str) {
        let slow = self.slow_restores.contains(&name);
        let mut wanted = None;
        loop {
            let object = self.objects.get_mut(name).expect("it lives");
            let Some(effect) = object.participant.poll_effect() else {
                break;
            };
            match effect {
                Effect::ToCoordinator(message) => {
                    let to = End::Coordinator(self.terms[name]);
                    self.push(name.into(), to, Wire::ToCoordinator(message));
                }
                Effect::Transmit { to, message } => {
                    let to = self.name_of(to);
                    let from = ObjectId::from_name(name);
                    self.push(name.into(), to.into(), Wire::Peer(from, message));
                }
                Effect::Deliver { payload, .. } => {
                    let payload = String::from_utf8_lossy(&payload).into_owned();
                    let version = object.participant.open_version();
                    object.consumed.push((version, payload));
                }
                Effect::SealNeeded { at_least } => wanted = Some(at_least).max(wanted),
                Effect::Persist { ticket, metadata } => object.writes.push_back((ticket, metadata)),
                Effect::Restore { version } => {
                    object.consumed.retain(|&(consumed, _)| consumed <= version);
                    object
                        .writes
                        .retain(|(_, metadata)| metadata.version <= version);
                    object.restores = true;
                    let is_newest =
                        object.participant.incarnation() == Incarnation(self.incarnations[name]);
                    let stored = self.stored.entry(name).or_default();
                    if is_newest {
                        stored.retain(|metadata| metadata.version <= version);
                    }
                }
                Effect::Release(output) => object.released.push(output),
                Effect::Refused(_) => object.ended = true,
                Effect::Left => object.has_left = true,
                Effect::Entered(_) | Effect::Committed(_) | Effect::Discard(_) => {}
            }
        }
        if let Some(at_least) = wanted {
            let complete = false;
            self.input(name, Input::Seal { at_least, complete });
        }
        if !slow && self.objects[name].restores {
            self.finish_restore(name);
        }
    }

    fn input_coordinator(&mut self, term: u64, input: CoordinatorInput) {
        let seat = self.seats.get_mut(&term).expect("it lives");
        seat.coordinator.handle(input);
        self.obey_coordinator(term);
    }

    fn obey_coordinator(&mut self, term: u64) {
        let from = End::Coordinator(term);
        while let Some(effect) = self
            .seats
            .get_mut(&term)
            .expect("it lives")
            .coordinator
            .poll_effect()
        {
            let (to, incarnation, message) = match effect {
                CoordinatorEffect::Log(record) => {
                    let seat = self.seats.get_mut(&term).expect("it lives");
                    seat.records.push_back(record);
                    continue;
                }
                CoordinatorEffect::Checkpoint(ledger) => {
                    self.log.clear();
                    self.checkpoint = Some(ledger);
                    continue;
                }
                CoordinatorEffect::ToLink(LinkId(place), message) => {
                    let place = usize::try_from(place).expect("few");
                    (vec![self.names[place]], None, message)
                }
                CoordinatorEffect::ToObject(object, incarnation, message) => {
                    (vec![self.name_of(object)], Some(incarnation), message)
                }
                CoordinatorEffect::Broadcast(message) => (self.names.clone(), None, message),
            };
            for name in to {
                // Nothing reaches an object that talks to another coordinator.
                if self.terms.get(name) == Some(&term) {
                    let wire = Wire::ToParticipant(incarnation, message.clone());
                    self.push(from, name.into(), wire);
                }
            }
        }
    }
}
