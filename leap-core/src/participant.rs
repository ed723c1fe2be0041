//! One state object's side of the protocol.
//!
//! It knows versions and their dependencies, channels, world-lines and what waits for release. It
//! does not know the object's state, how bytes are stored or sent, or when a version should be
//! sealed: that is the driver's policy.
//!
//! # Invariants
//!
//! - `committed < pending[0] < pending[1] < … < open`, durable versions before volatile ones (rule P2).
//! - Every dependency of a version names a version of another object that is not higher (rule P4).
//! - What is consumed in a version is consumed in the participant's own world-line (rule P5).
//! - A channel's `in_next` and `out_next` are those at the end of the open version; a rollback
//!   brings back those of the kept version (rule P14).

mod channel;
mod history;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::{
    decision::{Cause, Decision},
    header::{DependencySet, Header},
    id::{Incarnation, ObjectId, OutputId, PersistTicket, Seq, Version, WorldLine},
    message::{
        ChannelMessage, Fragment, FragmentVersion, GatherId, PeerMessage, Refusal, ToCoordinator,
        ToParticipant,
    },
    metadata::VersionMetadata,
    rules::Rules,
};

use channel::Channel;
use history::History;
pub use history::RecoverError;

/// Whether an object runs ahead of its own persistence.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Speculation {
    /// Messages leave at once, naming a version that is not durable yet.
    #[default]
    On,
    /// Messages leave when the version that sent them is inside the boundary, as in systems that
    /// wait for storage at every step. Nothing then ever depends on what may be lost.
    Off,
}

/// What a participant can be told. The comment says who tells it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Input {
    /// The driver's link to the coordinator is up, for the first time or again. What was sent on an
    /// earlier link may be lost.
    CoordinatorLinkUp,
    /// The coordinator says something. No action may be running.
    Coordinator(ToParticipant),
    /// The link to a peer is up, for the first time or again. What was sent to it on an earlier link
    /// may be lost.
    LinkUp(ObjectId),
    /// A peer says something. Messages to be consumed come back as [`Effect::Deliver`].
    Peer {
        /// The sender.
        from: ObjectId,
        /// What it says.
        message: PeerMessage,
    },
    /// The running action sends a message on the channel to `to`.
    Send {
        /// The receiver.
        to: ObjectId,
        /// The application's bytes.
        payload: Bytes,
    },
    /// The running action changes the object's state.
    Touch,
    /// The running action has a result for the outside world, to be released by rule P8.
    Output(OutputId),
    /// Seal the open version if anything changed in it (rule P2). No action may be running.
    Seal {
        /// The next open version is at least this one (rule P4).
        at_least: Version,
        /// Whether the metadata must hold the whole channel state, for a checkpoint.
        complete: bool,
    },
    /// The write of a version is durable. Writes become durable in order.
    Persisted(PersistTicket),
    /// The state is what [`Effect::Restore`] asked for.
    Restored,
    /// The object ends its life in order: no further action will run and nothing more is delivered.
    /// [`Effect::Left`] follows when all is inside the boundary. Ignored before the first
    /// [`Effect::Entered`]: until then the driver may simply stop.
    Leave,
}

/// What the driver must do, in order.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Effect {
    /// Send to the coordinator; drop it when the link is down.
    ToCoordinator(ToCoordinator),
    /// Send to a peer, in order per peer; drop it when the link is down.
    Transmit {
        /// The receiver.
        to: ObjectId,
        /// What to send.
        message: PeerMessage,
    },
    /// Run the handler for this message as an action of the version that is open now: nothing may
    /// be sealed between this effect and the end of that action.
    Deliver {
        /// The sender.
        from: ObjectId,
        /// Position in its channel.
        seq: Seq,
        /// The application's bytes.
        payload: Bytes,
    },
    /// A message waits for the open version to reach `at_least` (rule P4): give [`Input::Seal`] as
    /// soon as no action runs.
    SealNeeded {
        /// The version that must be open.
        at_least: Version,
    },
    /// Make the state at the end of this version durable, with its metadata, then give
    /// [`Input::Persisted`]. The content is fixed now; durability may come later.
    Persist {
        /// Names the write.
        ticket: PersistTicket,
        /// What is stored beside the state.
        metadata: VersionMetadata,
    },
    /// Bring the state back to the end of `version`, drop all later ones from storage (in order
    /// before any later write) and give [`Input::Restored`]. Until then no action may run.
    Restore {
        /// The version that survives.
        version: Version,
    },
    /// The object is now in this world-line and may run actions.
    Entered(WorldLine),
    /// This version and all before it are inside the boundary: they can never be rolled back, and
    /// what is older can be pruned (rule P13).
    Committed(Version),
    /// Give this output to the outside world.
    Release(OutputId),
    /// This output will never be released: what it depends on was rolled back.
    Discard(OutputId),
    /// The coordinator refuses this incarnation; stop.
    Refused(Refusal),
    /// The object has left; stop.
    Left,
}

/// What becomes of a message that is not on a channel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Admission {
    /// Its dependencies are recorded: run the handler in this version.
    Consumed,
    /// Give [`Input::Seal`] with this version first, then ask again (rule P4).
    SealFirst(Version),
    /// Ask again after the next change of world-line or phase (rule P5).
    Hold,
    /// Drop it and tell the sender this world-line (rule P5).
    Discard {
        /// The current world-line.
        current: WorldLine,
    },
}

/// Where a participant is in its life.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Phase {
    /// Waits to be admitted. Whoever wants to leave before is admitted first: what storage gave it is
    /// the cluster's business.
    Joining { leaving: bool },
    /// The driver brings back an old state; the world-line to enter then.
    Restoring {
        world_line: WorldLine,
        leaving: bool,
    },
    /// Runs actions. `frozen` by a gather, it consumes nothing.
    Active {
        frozen: Option<GatherId>,
        leaving: bool,
    },
    /// Refused or left. Nothing has any effect any more.
    Over,
}

/// One state object's protocol state. See the [module documentation](self).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Participant {
    id: ObjectId,
    incarnation: Incarnation,
    speculation: Speculation,
    rules: Rules,
    phase: Phase,
    world_line: WorldLine,
    history: History,
    channels: BTreeMap<ObjectId, Channel>,
    /// The boundary of the other objects, as far as it was told.
    boundary: BTreeMap<ObjectId, Version>,
    /// What the coordinator said and what is not handled yet: the driver is restoring, or more than
    /// one thing was said at once.
    deferred: VecDeque<ToParticipant>,
    /// The seal that was asked for and has not come yet.
    seal_wanted: Option<Version>,
    next_ticket: PersistTicket,
    effects: VecDeque<Effect>,
}

/// Building one, and asking it.
impl Participant {
    /// A new object with nothing in storage.
    pub fn new(id: ObjectId, incarnation: Incarnation, speculation: Speculation) -> Self {
        Self {
            id,
            incarnation,
            speculation,
            rules: Rules::default(),
            phase: Phase::Joining { leaving: false },
            world_line: WorldLine::default(),
            history: History::default(),
            channels: BTreeMap::new(),
            boundary: BTreeMap::new(),
            deferred: VecDeque::new(),
            seal_wanted: None,
            next_ticket: PersistTicket::default(),
            effects: VecDeque::new(),
        }
    }

    /// An object that comes back from storage: `checkpoint` is the complete metadata of a committed
    /// version, `later` that of the durable versions after it, in order.
    ///
    /// # Errors
    ///
    /// [`RecoverError`] if the metadata does not fit together.
    pub fn recover(
        id: ObjectId,
        incarnation: Incarnation,
        speculation: Speculation,
        checkpoint: Option<VersionMetadata>,
        later: Vec<VersionMetadata>,
    ) -> Result<Self, RecoverError> {
        let mut participant = Self::new(id, incarnation, speculation);
        // Tells a coordinator that knows less than our storage that it has been superseded.
        let stored = checkpoint.iter().chain(&later);
        let newest = stored.map(|metadata| metadata.world_line).max();
        participant.world_line = newest.unwrap_or_default();
        let (history, channels) = history::recover(checkpoint, later)?;
        participant.history = history;
        participant.channels = channels;
        Ok(participant)
    }

    /// Obeys `rules` instead of all; for the simulator.
    #[must_use]
    pub fn with_rules(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    /// Its object.
    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// Its life.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Its world-line.
    pub fn world_line(&self) -> WorldLine {
        self.world_line
    }

    /// Whether actions may run.
    pub fn is_active(&self) -> bool {
        matches!(self.phase, Phase::Active { .. })
    }

    /// Whether a gather keeps it from consuming.
    pub fn is_frozen(&self) -> bool {
        matches!(
            self.phase,
            Phase::Active {
                frozen: Some(_),
                ..
            }
        )
    }

    /// What is consumed during a gather would be missing from its answer; what is consumed by an
    /// object that leaves would find no action to run in; what is consumed before the coordinator's
    /// deferred messages are handled would be an action that runs under them (rule P1).
    fn may_consume(&self) -> bool {
        let is_free = matches!(
            self.phase,
            Phase::Active {
                frozen: None,
                leaving: false
            }
        );
        is_free && self.deferred.is_empty()
    }

    /// The version that actions run in.
    pub fn open_version(&self) -> Version {
        self.history.open.version
    }

    /// Whether anything changed in the open version.
    pub fn is_dirty(&self) -> bool {
        self.history.open.is_dirty
    }

    /// The newest version known to be inside the boundary.
    pub fn committed(&self) -> Version {
        self.history.committed
    }

    /// The newest durable version.
    pub fn durable(&self) -> Version {
        self.history.durable()
    }

    /// The newest version with any content, sealed or not.
    pub fn latest(&self) -> Version {
        self.history.latest()
    }

    /// How many sealed versions are on their way to storage.
    pub fn in_flight(&self) -> usize {
        self.history.in_flight()
    }

    /// How many versions with content are not inside the boundary, sealed or not.
    pub fn uncommitted_versions(&self) -> usize {
        self.history.versions().count()
    }

    /// How many messages its versions have consumed on channels since its first life began.
    pub fn consumed(&self) -> u64 {
        self.channels.values().map(Channel::consumed).sum()
    }

    /// The versions of other objects that the uncommitted versions here wait for.
    pub fn waits_for(&self) -> DependencySet {
        let mut set = DependencySet::new();
        for version in self.history.versions() {
            set.merge(version.dependencies);
        }
        self.uncommitted(&set)
    }

    /// The header of what the object sends now: its newest vertex, or nothing if that is committed.
    pub fn header(&self) -> Header {
        self.header_of(self.latest())
    }

    /// How many sent messages are kept because their receivers may still ask for them (rule P14).
    pub fn unacknowledged(&self) -> usize {
        self.channels.values().map(Channel::kept).sum()
    }

    /// How many of them went to `receiver`.
    pub fn unacknowledged_to(&self, receiver: ObjectId) -> usize {
        self.channels.get(&receiver).map_or(0, Channel::kept)
    }

    /// How many received messages wait to be consumed.
    pub fn held(&self) -> usize {
        self.channels.values().map(Channel::held).sum()
    }

    fn header_of(&self, version: Version) -> Header {
        if version <= self.history.committed {
            Header {
                world_line: self.world_line,
                dependencies: DependencySet::new(),
            }
        } else {
            Header::of(self.world_line, self.id, version)
        }
    }

    fn uncommitted(&self, set: &DependencySet) -> DependencySet {
        set.iter()
            .filter(|&(object, version)| !self.is_committed(object, version))
            .collect()
    }

    fn is_committed(&self, object: ObjectId, version: Version) -> bool {
        version == Version::ZERO
            || self
                .boundary
                .get(&object)
                .is_some_and(|&known| version <= known)
    }
}

/// Inputs and effects.
impl Participant {
    /// Takes in one input. See the driver contract in the [crate documentation](crate).
    pub fn handle(&mut self, input: Input) {
        if self.phase == Phase::Over {
            return;
        }
        match input {
            Input::CoordinatorLinkUp => self.introduce(),
            Input::Coordinator(message) => self.handle_coordinator(message),
            Input::LinkUp(peer) => self.handle_link_up(peer),
            Input::Peer { from, message } => self.handle_peer(from, message),
            Input::Send { to, payload } => self.send(to, payload),
            Input::Touch => self.history.open.touch(),
            Input::Output(output) => self.handle_output(output),
            Input::Seal { at_least, complete } => self.seal(at_least, complete),
            Input::Persisted(ticket) => self.handle_persisted(ticket),
            Input::Restored => self.handle_restored(),
            Input::Leave => self.handle_leave(),
        }
        if cfg!(debug_assertions) {
            self.validate();
        }
    }

    /// Consumes a message that is not on a channel (a request, an sthread that merges) in the open
    /// version, recording its dependencies, or says what must happen first (rules P3, P4, P5).
    pub fn consume(&mut self, header: &Header) -> Admission {
        if self.rules.recovery_partition {
            if header.world_line < self.world_line {
                return Admission::Discard {
                    current: self.world_line,
                };
            }
            if header.world_line > self.world_line {
                return Admission::Hold;
            }
        }
        if !self.may_consume() {
            return Admission::Hold;
        }
        self.depend(&header.dependencies)
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Records dependencies in the open version, which is what consuming means to the graph.
    fn depend(&mut self, dependencies: &DependencySet) -> Admission {
        // Without allocating: every message that is consumed comes by here.
        let highest = dependencies
            .iter()
            .filter(|&(object, version)| self.must_record(object, version))
            .map(|(_, version)| version)
            .max()
            .unwrap_or_default();
        // Rule P4: seal up to the sender's version first, so that no edge ever points upwards.
        if self.rules.commit_ordering && highest > self.open_version() {
            return Admission::SealFirst(highest);
        }
        for (object, version) in dependencies.iter() {
            if self.must_record(object, version) {
                self.history.open.dependencies.insert(object, version);
            }
        }
        self.history.open.touch();
        Admission::Consumed
    }

    /// Whether a dependency says something: not on what is committed, and not on the object's own
    /// past, which is implied.
    fn must_record(&self, object: ObjectId, version: Version) -> bool {
        object != self.id && !self.is_committed(object, version)
    }

    /// Asserts the invariants of the [module documentation](self). Debug builds do it after every input.
    ///
    /// # Panics
    ///
    /// If one does not hold, which is a bug of this crate or of a driver that broke its contract.
    pub fn validate(&self) {
        self.history.validate();
        for (peer, channel) in &self.channels {
            assert!(
                channel.is_consistent(),
                "rule P14: channel with {peer:?}: {channel:?}"
            );
        }
        if self.rules.commit_ordering {
            for version in self.history.versions() {
                assert!(
                    version
                        .dependencies
                        .iter()
                        .all(|(_, n)| n <= version.version),
                    "rule P4: {:?} depends upwards: {:?}",
                    version.version,
                    version.dependencies
                );
            }
        }
    }
}

/// What the coordinator says.
impl Participant {
    fn introduce(&mut self) {
        let fragment = self.fragment();
        let (object, incarnation) = (self.id, self.incarnation);
        match self.phase {
            Phase::Joining { .. } => {
                self.tell_coordinator(ToCoordinator::Join {
                    object,
                    incarnation,
                    fragment,
                });
            }
            Phase::Active { frozen, .. } => {
                self.tell_coordinator(ToCoordinator::Report {
                    object,
                    incarnation,
                    gather: frozen,
                    fragment,
                });
                self.leave_when_done();
            }
            // The report follows when the state is back.
            Phase::Restoring { .. } | Phase::Over => {}
        }
    }

    fn handle_coordinator(&mut self, message: ToParticipant) {
        match message {
            ToParticipant::Refused {
                incarnation,
                refusal,
            } if incarnation == self.incarnation => {
                self.end(Effect::Refused(refusal));
            }
            message if matches!(self.phase, Phase::Restoring { .. }) => {
                self.deferred.push_back(message);
            }
            ToParticipant::Admit {
                incarnation,
                world_line,
                keep,
                boundary,
            } => {
                if incarnation == self.incarnation && self.is_joining() {
                    self.merge_boundary(boundary);
                    self.roll_back(keep, world_line);
                }
            }
            // The answer to our join will say all of this.
            _ if self.is_joining() => {}
            // A member is never more than one decision behind, and that one is not forgotten before it
            // has entered. Whoever is further behind is no member any more, and what is said is not about its life.
            ToParticipant::Welcome { world_line, .. } if world_line > self.world_line => {
                self.end(Effect::Refused(Refusal::LeftBehind { world_line }));
            }
            ToParticipant::Welcome {
                decisions,
                boundary,
                ..
            } => {
                self.deferred.push_front(ToParticipant::Boundary(boundary));
                let decisions = decisions.into_iter().rev().map(ToParticipant::Decide);
                decisions.for_each(|decision| self.deferred.push_front(decision));
                self.handle_deferred();
            }
            ToParticipant::Decide(decision) => self.handle_decision(&decision),
            ToParticipant::Boundary(advanced) => {
                self.merge_boundary(advanced);
                self.commit();
            }
            ToParticipant::Gather { gather } => {
                self.freeze(gather);
                self.introduce();
            }
            ToParticipant::GatherDone { gather } => {
                if matches!(self.phase, Phase::Active { frozen: Some(ours), .. } if ours == gather)
                {
                    self.thaw();
                    self.deliver_all();
                    self.leave_when_done();
                }
            }
            ToParticipant::Left { incarnation } if incarnation == self.incarnation => {
                self.end(Effect::Left);
            }
            ToParticipant::Refused { .. } | ToParticipant::Left { .. } => {}
        }
    }

    fn handle_decision(&mut self, decision: &Decision) {
        if let Some(refusal) = self.ended_by(decision) {
            self.end(Effect::Refused(refusal));
        } else if decision.world_line == self.world_line.next() {
            decision.limit(&mut self.boundary);
            match decision.cut.get(&self.id) {
                Some(&keep) if keep < self.latest() => self.roll_back(keep, decision.world_line),
                _ => self.enter(decision.world_line),
            }
        } else if decision.world_line > self.world_line {
            // One in between is missing; our report asks for it.
            self.introduce();
        }
    }

    /// Rule P12: another life takes the place of this one, or nobody does.
    fn ended_by(&self, decision: &Decision) -> Option<Refusal> {
        if !self.rules.fencing {
            return None;
        }
        match &decision.cause {
            &Cause::Failed { object, successor } => (object == self.id
                && successor > self.incarnation)
                .then_some(Refusal::Fenced { by: successor }),
            Cause::Removed(objects) => (objects.contains(&self.id)
                && decision.world_line > self.world_line)
                .then_some(Refusal::Removed),
        }
    }

    fn roll_back(&mut self, keep: Version, world_line: WorldLine) {
        let undone = self.history.roll_back(keep);
        for peer in undone.touched {
            let mark = self.history.mark(peer);
            self.channel(peer).roll_back(mark);
        }
        self.effects
            .extend(undone.outputs.into_iter().map(Effect::Discard));
        self.seal_wanted = None;
        let leaving = self.is_leaving();
        self.phase = Phase::Restoring {
            world_line,
            leaving,
        };
        self.effects.push_back(Effect::Restore { version: keep });
    }

    fn handle_restored(&mut self) {
        let Phase::Restoring { world_line, .. } = self.phase else {
            panic!("restored without having been asked to, in {:?}", self.phase);
        };
        self.enter(world_line);
        self.handle_deferred();
    }

    /// Handles what has to wait, as far as it need not wait for a restore; only then are messages
    /// consumed again.
    fn handle_deferred(&mut self) {
        while self.is_active() {
            let Some(message) = self.deferred.pop_front() else {
                return self.deliver_all();
            };
            self.handle_coordinator(message);
        }
    }

    /// Begins the life in `world_line`: tells the coordinator, sends again what is not acknowledged
    /// (what was under way carries a world-line that is over) and looks at what was held.
    fn enter(&mut self, world_line: WorldLine) {
        let leaving = self.is_leaving();
        self.phase = Phase::Active {
            frozen: None,
            leaving,
        };
        self.world_line = world_line;
        self.history.rename(world_line);
        self.effects.push_back(Effect::Entered(world_line));
        self.introduce();
        let peers: Vec<_> = self.channels.keys().copied().collect();
        for peer in peers {
            self.channel(peer).enter(world_line);
            if self.channel(peer).acknowledged() > Seq::default() {
                self.acknowledge(peer);
            }
            self.retransmit(peer);
        }
        self.commit();
        self.deliver_all();
    }

    fn end(&mut self, effect: Effect) {
        self.phase = Phase::Over;
        self.effects.push_back(effect);
    }

    fn handle_leave(&mut self) {
        match &mut self.phase {
            Phase::Joining { leaving }
            | Phase::Active { leaving, .. }
            | Phase::Restoring { leaving, .. } => *leaving = true,
            Phase::Over => {}
        }
        self.leave_when_done();
    }

    fn is_leaving(&self) -> bool {
        matches!(
            self.phase,
            Phase::Joining { leaving: true }
                | Phase::Active { leaving: true, .. }
                | Phase::Restoring { leaving: true, .. }
        )
    }

    fn is_joining(&self) -> bool {
        matches!(self.phase, Phase::Joining { .. })
    }

    fn leave_when_done(&mut self) {
        if matches!(self.phase, Phase::Active { leaving: true, .. })
            && self.history.is_all_committed()
        {
            let (object, incarnation) = (self.id, self.incarnation);
            let version = self.history.committed;
            self.tell_coordinator(ToCoordinator::Leave {
                object,
                incarnation,
                version,
            });
        }
    }

    /// A gather that is older than the one it answered comes from a coordinator that was superseded,
    /// whose word could end what its successor still counts on.
    fn freeze(&mut self, gather: GatherId) {
        if let Phase::Active { frozen, .. } = &mut self.phase {
            *frozen = Some(gather).max(*frozen);
        }
    }

    fn thaw(&mut self) {
        if let Phase::Active { frozen, .. } = &mut self.phase {
            *frozen = None;
        }
    }

    /// All versions above the committed one, volatile ones and the open one included (rule P9).
    fn fragment(&self) -> Fragment {
        Fragment {
            world_line: self.world_line,
            committed: self.history.committed,
            versions: self
                .history
                .versions()
                .map(|version| FragmentVersion {
                    version: version.version,
                    world_line: version.world_line.unwrap_or(self.world_line),
                    dependencies: self.uncommitted(version.dependencies),
                    durable: version.durable,
                })
                .collect(),
        }
    }

    fn tell_coordinator(&mut self, message: ToCoordinator) {
        self.effects.push_back(Effect::ToCoordinator(message));
    }
}

/// Sealing, durability, commit, release.
impl Participant {
    fn seal(&mut self, at_least: Version, complete: bool) {
        if !self.is_active() {
            return;
        }
        self.seal_wanted = None;
        if self.history.open.is_dirty {
            self.next_ticket = self.next_ticket.next();
            let ticket = self.next_ticket;
            // Rule P6: the edges are stored with the version.
            let metadata = VersionMetadata {
                version: self.open_version(),
                world_line: self.world_line,
                committed: self.history.committed,
                dependencies: self.uncommitted(&self.history.open.dependencies),
                channels: self.channel_record(complete),
                complete,
            };
            let marks = self
                .history
                .open
                .touched
                .iter()
                .map(|&peer| (peer, self.channels[&peer].mark()));
            let marks = marks.collect();
            self.history.seal(ticket, self.world_line, marks);
            self.effects.push_back(Effect::Persist { ticket, metadata });
        }
        self.history.open.raise(at_least);
        self.deliver_all();
    }

    fn channel_record(&self, complete: bool) -> crate::metadata::ChannelRecord {
        if complete {
            self.channels
                .iter()
                .map(|(&peer, channel)| (peer, channel.complete_record()))
                .collect()
        } else {
            let version = self.open_version();
            let touched = self.history.open.touched.iter();
            touched
                .map(|&peer| (peer, self.channels[&peer].delta_record(version)))
                .collect()
        }
    }

    fn handle_persisted(&mut self, ticket: PersistTicket) {
        // A ticket that is not known any more belongs to a version that was rolled back.
        if let Some((version, dependencies)) = self.history.persisted(ticket) {
            let message = ToCoordinator::Persisted {
                object: self.id,
                incarnation: self.incarnation,
                world_line: self.world_line,
                version,
                dependencies: self.uncommitted(&dependencies),
            };
            self.tell_coordinator(message);
            self.commit();
        }
    }

    fn merge_boundary(&mut self, advanced: BTreeMap<ObjectId, Version>) {
        for (object, version) in advanced {
            let known = self.boundary.entry(object).or_default();
            *known = version.max(*known);
        }
    }

    /// Moves the committed point as far as the coordinator's boundary, or what is known here alone
    /// (rule P7), allows; releases what waited for it (rule P8) and acknowledges what was consumed.
    fn commit(&mut self) {
        if !self.is_active() {
            return;
        }
        let before = self.history.committed;
        let told = self.boundary.get(&self.id).copied().unwrap_or_default();
        while let Some(next) = self.history.next_durable() {
            if next.version > told && !self.uncommitted(&next.dependencies).is_empty() {
                break;
            }
            let committed = self.history.commit_next();
            for (peer, mark) in committed.marks {
                if let Some(acknowledged) = self.channel(peer).commit(mark) {
                    self.transmit_to(peer, PeerMessage::Acknowledge(acknowledged));
                }
            }
            self.effects
                .extend(committed.outputs.into_iter().map(Effect::Release));
        }
        if self.history.committed > before {
            self.boundary
                .insert(self.id, self.history.committed.max(told));
            self.effects
                .push_back(Effect::Committed(self.history.committed));
            if self.speculation == Speculation::Off {
                let peers: Vec<_> = self.channels.keys().copied().collect();
                peers.into_iter().for_each(|peer| self.transmit_ready(peer));
            }
            self.leave_when_done();
        }
    }

    fn handle_output(&mut self, output: OutputId) {
        if !self.rules.release || !self.history.attach(output) {
            self.effects.push_back(Effect::Release(output));
        }
    }
}

/// Channels.
impl Participant {
    fn channel(&mut self, peer: ObjectId) -> &mut Channel {
        self.channels.entry(peer).or_default()
    }

    fn transmit_to(&mut self, to: ObjectId, message: PeerMessage) {
        self.effects.push_back(Effect::Transmit { to, message });
    }

    fn send(&mut self, to: ObjectId, payload: Bytes) {
        assert!(self.is_active(), "an action runs in {:?}", self.phase);
        let version = self.open_version();
        self.history.open.touch_peer(to);
        self.channel(to).send(version, payload);
        self.transmit_ready(to);
    }

    fn handle_link_up(&mut self, peer: ObjectId) {
        if self.is_active() && self.channels.contains_key(&peer) {
            self.acknowledge(peer);
            self.retransmit(peer);
        }
    }

    /// Says again what was said on an earlier link, or could not be said while restoring.
    fn acknowledge(&mut self, peer: ObjectId) {
        let acknowledged = self.channel(peer).acknowledged();
        self.transmit_to(peer, PeerMessage::Acknowledge(acknowledged));
    }

    fn retransmit(&mut self, peer: ObjectId) {
        self.channel(peer).rewind();
        self.transmit_ready(peer);
    }

    /// Transmits what is in the channel and has not been transmitted, as far as it may leave.
    fn transmit_ready(&mut self, to: ObjectId) {
        let limit = match self.speculation {
            Speculation::On => Version::MAX,
            Speculation::Off => self.history.committed,
        };
        while let Some((seq, version, payload)) = self.channel(to).next_to_transmit(limit) {
            let header = self.header_of(version);
            self.transmit_to(
                to,
                PeerMessage::Channel(ChannelMessage {
                    seq,
                    header,
                    payload,
                }),
            );
        }
    }

    fn handle_peer(&mut self, from: ObjectId, message: PeerMessage) {
        match message {
            PeerMessage::Channel(message) => self.handle_channel_message(from, message),
            PeerMessage::Acknowledge(upto) => {
                if let Some(channel) = self.channels.get_mut(&from) {
                    channel.handle_acknowledge(upto);
                }
            }
            PeerMessage::WorldLine(current) => {
                if current > self.world_line && self.is_active() {
                    self.introduce();
                }
            }
            PeerMessage::Resend(current) => {
                if current == self.world_line
                    && self.is_active()
                    && self.channels.contains_key(&from)
                {
                    self.retransmit(from);
                }
            }
        }
    }

    fn handle_channel_message(&mut self, from: ObjectId, message: ChannelMessage) {
        let (theirs, ours) = (message.header.world_line, self.world_line);
        let knows_world_line = !self.is_joining();
        if self.rules.recovery_partition && knows_world_line && theirs < ours {
            self.transmit_to(from, PeerMessage::WorldLine(ours));
            return;
        }
        if let Some(acknowledged) = self
            .channel(from)
            .receive(message, !knows_world_line || theirs > ours)
        {
            self.transmit_to(from, PeerMessage::Acknowledge(acknowledged));
        }
        self.deliver(from);
    }

    fn deliver_all(&mut self) {
        let peers: Vec<_> = self.channels.keys().copied().collect();
        peers.into_iter().for_each(|peer| self.deliver(peer));
    }

    /// Consumes what can be consumed from `peer`, in order.
    fn deliver(&mut self, peer: ObjectId) {
        while let Some(message) = self.channel(peer).take_next() {
            match self.consume(&message.header) {
                Admission::Consumed => {
                    self.channel(peer).advance();
                    self.history.open.touch_peer(peer);
                    let ChannelMessage { seq, payload, .. } = message;
                    self.effects.push_back(Effect::Deliver {
                        from: peer,
                        seq,
                        payload,
                    });
                }
                Admission::SealFirst(at_least) => {
                    self.channel(peer).put_back(message);
                    if self.seal_wanted < Some(at_least) {
                        self.seal_wanted = Some(at_least);
                        self.effects.push_back(Effect::SealNeeded { at_least });
                    }
                    return;
                }
                Admission::Hold | Admission::Discard { .. } => {
                    self.channel(peer).put_back(message);
                    return;
                }
            }
        }
        if self.may_consume() && self.channel(peer).take_overflow() {
            self.transmit_to(peer, PeerMessage::Resend(self.world_line));
        }
    }
}
