//! One state object's side of the protocol.
//!
//! It knows versions and their dependencies, channels, world-lines and what waits for release. It
//! does not know the object's state, how bytes are stored or sent, or when a version should be
//! sealed: that is the driver's policy.
//!
//! # The parts
//!
//! `coordination` is its life, from admission to end; `versions` seals, commits and releases; `messages` sends and
//! consumes. What they keep is in `history` and, per peer, in `channel`.
//!
//! # Invariants
//!
//! - `committed < pending[0] < pending[1] < … < open`, durable versions before volatile ones (rule P2).
//! - Every dependency of a version names a version of another object that is not higher (rule P4).
//! - What is consumed in a version is consumed in the participant's own world-line (rule P5).
//! - A channel's `in_next` and `out_next` are those at the end of the open version; a rollback
//!   brings back those of the kept version (rule P14).

mod channel;
mod coordination;
mod history;
mod interface;
mod messages;
mod versions;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use crate::{
    header::{DependencySet, Header},
    id::{ObjectId, PersistTicket, Version, WorldLine},
    incarnation::Incarnation,
    message::{GatherId, ToParticipant},
    metadata::VersionMetadata,
    rules::Rules,
};

use channel::Channel;
use history::History;
pub use history::RecoverError;
pub use interface::{Admission, Effect, Input, Speculation};

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
///
/// ```
/// use leap_core::{
///     Effect, Incarnation, Input, ObjectId, OutputId, Participant, Speculation, ToParticipant,
///     Version, WorldLine,
/// };
///
/// let mut hotel = Participant::new(ObjectId::from_name("hotel"), Incarnation(1), Speculation::On);
/// hotel.handle(Input::Coordinator(ToParticipant::Admit {
///     incarnation: Incarnation(1),
///     world_line: WorldLine(0),
///     keep: Version::ZERO,
///     boundary: Default::default(),
/// }));
/// hotel.handle(Input::Restored);
/// // An action changes something and has a result for the outside world; then its version is sealed.
/// hotel.handle(Input::Touch);
/// hotel.handle(Input::Output(OutputId(7)));
/// hotel.handle(Input::Seal { at_least: Version::ZERO, complete: true });
/// let mut effects: Vec<_> = std::iter::from_fn(|| hotel.poll_effect()).collect();
/// let Some(Effect::Persist { ticket, .. }) = effects.pop() else {
///     panic!("there is something to store: {effects:?}");
/// };
/// // It leaves only when the version is durable, since it depends on nothing else.
/// assert!(!effects.contains(&Effect::Release(OutputId(7))));
/// hotel.handle(Input::Persisted(ticket));
/// let mut effects = std::iter::from_fn(|| hotel.poll_effect());
/// assert!(effects.any(|effect| effect == Effect::Release(OutputId(7))));
/// ```
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
    ///
    /// ```
    /// use leap_core::{Incarnation, ObjectId, Participant, Speculation};
    ///
    /// let hotel = Participant::new(ObjectId::from_name("hotel"), Incarnation(1), Speculation::On);
    /// assert!(!hotel.is_active(), "it waits to be admitted");
    /// ```
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
    /// ```
    /// use leap_core::{Incarnation, ObjectId, Participant, Speculation, Version, VersionMetadata, WorldLine};
    ///
    /// let version = |number| VersionMetadata {
    ///     version: Version(number),
    ///     world_line: WorldLine(0),
    ///     committed: Version::ZERO,
    ///     dependencies: Default::default(),
    ///     channels: Default::default(),
    ///     complete: false,
    /// };
    /// let hotel = ObjectId::from_name("hotel");
    /// let stored = vec![version(1), version(2)];
    /// let hotel = Participant::recover(hotel, Incarnation(2), Speculation::On, None, stored).unwrap();
    /// assert_eq!(hotel.durable(), Version(2));
    /// ```
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
    ///
    /// ```
    /// # use leap_core::*;
    /// # let mut hotel = Participant::new(ObjectId::from_name("hotel"), Incarnation(1), Speculation::On);
    /// use leap_core::Rules;
    ///
    /// let same = hotel.clone().with_rules(Rules::default());
    /// assert_eq!(same, hotel, "all rules are obeyed anyway");
    /// ```
    #[must_use]
    pub fn with_rules(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    /// Its object.
    ///
    /// ```
    /// # use leap_core::*;
    /// # let mut hotel = Participant::new(ObjectId::from_name("hotel"), Incarnation(1), Speculation::On);
    /// assert_eq!(hotel.id(), ObjectId::from_name("hotel"));
    /// ```
    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// Its life.
    ///
    /// ```
    /// # use leap_core::*;
    /// # let mut hotel = Participant::new(ObjectId::from_name("hotel"), Incarnation(1), Speculation::On);
    /// assert_eq!(hotel.incarnation(), Incarnation(1));
    /// ```
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Its world-line.
    ///
    /// ```
    /// # use leap_core::*;
    /// # let mut hotel = Participant::new(ObjectId::from_name("hotel"), Incarnation(1), Speculation::On);
    /// # let (incarnation, world_line) = (Incarnation(1), WorldLine(0));
    /// # let admit = ToParticipant::Admit { incarnation, world_line, keep: Version::ZERO, boundary: Default::default() };
    /// # hotel.handle(Input::Coordinator(admit));
    /// # hotel.handle(Input::Restored);
    /// # while hotel.poll_effect().is_some() {}
    /// assert_eq!(hotel.world_line(), WorldLine(0));
    /// ```
    pub fn world_line(&self) -> WorldLine {
        self.world_line
    }

    /// Whether actions may run.
    ///
    /// ```
    /// # use leap_core::*;
    /// # let mut hotel = Participant::new(ObjectId::from_name("hotel"), Incarnation(1), Speculation::On);
    /// # let (incarnation, world_line) = (Incarnation(1), WorldLine(0));
    /// # let admit = ToParticipant::Admit { incarnation, world_line, keep: Version::ZERO, boundary: Default::default() };
    /// # hotel.handle(Input::Coordinator(admit));
    /// # hotel.handle(Input::Restored);
    /// # while hotel.poll_effect().is_some() {}
    /// assert!(hotel.is_active(), "it was admitted, and its state is there");
    /// ```
    pub fn is_active(&self) -> bool {
        matches!(self.phase, Phase::Active { .. })
    }

    /// Whether a gather keeps it from consuming.
    ///
    /// ```
    /// # use leap_core::*;
    /// # let mut hotel = Participant::new(ObjectId::from_name("hotel"), Incarnation(1), Speculation::On);
    /// # let (incarnation, world_line) = (Incarnation(1), WorldLine(0));
    /// # let admit = ToParticipant::Admit { incarnation, world_line, keep: Version::ZERO, boundary: Default::default() };
    /// # hotel.handle(Input::Coordinator(admit));
    /// # hotel.handle(Input::Restored);
    /// # while hotel.poll_effect().is_some() {}
    /// assert!(!hotel.is_frozen(), "no failure is being repaired");
    /// ```
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
    ///
    /// ```
    /// # use leap_core::*;
    /// # let mut hotel = Participant::new(ObjectId::from_name("hotel"), Incarnation(1), Speculation::On);
    /// # let (incarnation, world_line) = (Incarnation(1), WorldLine(0));
    /// # let admit = ToParticipant::Admit { incarnation, world_line, keep: Version::ZERO, boundary: Default::default() };
    /// # hotel.handle(Input::Coordinator(admit));
    /// # hotel.handle(Input::Restored);
    /// # while hotel.poll_effect().is_some() {}
    /// let before = hotel.open_version();
    /// hotel.handle(Input::Touch);
    /// hotel.handle(Input::Seal { at_least: Version::ZERO, complete: false });
    /// assert_eq!(hotel.open_version(), before.next());
    /// ```
    pub fn open_version(&self) -> Version {
        self.history.open.version
    }

    /// Whether anything changed in the open version.
    ///
    /// ```
    /// # use leap_core::*;
    /// # let mut hotel = Participant::new(ObjectId::from_name("hotel"), Incarnation(1), Speculation::On);
    /// # let (incarnation, world_line) = (Incarnation(1), WorldLine(0));
    /// # let admit = ToParticipant::Admit { incarnation, world_line, keep: Version::ZERO, boundary: Default::default() };
    /// # hotel.handle(Input::Coordinator(admit));
    /// # hotel.handle(Input::Restored);
    /// # while hotel.poll_effect().is_some() {}
    /// assert!(!hotel.is_dirty());
    /// hotel.handle(Input::Touch);
    /// assert!(hotel.is_dirty());
    /// ```
    pub fn is_dirty(&self) -> bool {
        self.history.open.is_dirty
    }

    /// The newest version known to be inside the boundary.
    ///
    /// ```
    /// # use leap_core::*;
    /// # let mut hotel = Participant::new(ObjectId::from_name("hotel"), Incarnation(1), Speculation::On);
    /// # let (incarnation, world_line) = (Incarnation(1), WorldLine(0));
    /// # let admit = ToParticipant::Admit { incarnation, world_line, keep: Version::ZERO, boundary: Default::default() };
    /// # hotel.handle(Input::Coordinator(admit));
    /// # hotel.handle(Input::Restored);
    /// # while hotel.poll_effect().is_some() {}
    /// # let sealed = hotel.open_version();
    /// hotel.handle(Input::Touch);
    /// hotel.handle(Input::Seal { at_least: Version::ZERO, complete: false });
    /// let Some(Effect::Persist { ticket, .. }) = hotel.poll_effect() else { panic!() };
    /// hotel.handle(Input::Persisted(ticket));
    /// // It depends on nothing else, so what is durable is inside the boundary.
    /// assert_eq!(hotel.committed(), sealed);
    /// ```
    pub fn committed(&self) -> Version {
        self.history.committed
    }

    /// The newest durable version.
    ///
    /// ```
    /// # use leap_core::*;
    /// # let mut hotel = Participant::new(ObjectId::from_name("hotel"), Incarnation(1), Speculation::On);
    /// # let (incarnation, world_line) = (Incarnation(1), WorldLine(0));
    /// # let admit = ToParticipant::Admit { incarnation, world_line, keep: Version::ZERO, boundary: Default::default() };
    /// # hotel.handle(Input::Coordinator(admit));
    /// # hotel.handle(Input::Restored);
    /// # while hotel.poll_effect().is_some() {}
    /// # let sealed = hotel.open_version();
    /// hotel.handle(Input::Touch);
    /// hotel.handle(Input::Seal { at_least: Version::ZERO, complete: false });
    /// let Some(Effect::Persist { ticket, .. }) = hotel.poll_effect() else { panic!() };
    /// hotel.handle(Input::Persisted(ticket));
    /// assert_eq!(hotel.durable(), sealed);
    /// ```
    pub fn durable(&self) -> Version {
        self.history.durable()
    }

    /// The newest version with any content, sealed or not.
    ///
    /// ```
    /// # use leap_core::*;
    /// # let mut hotel = Participant::new(ObjectId::from_name("hotel"), Incarnation(1), Speculation::On);
    /// # let (incarnation, world_line) = (Incarnation(1), WorldLine(0));
    /// # let admit = ToParticipant::Admit { incarnation, world_line, keep: Version::ZERO, boundary: Default::default() };
    /// # hotel.handle(Input::Coordinator(admit));
    /// # hotel.handle(Input::Restored);
    /// # while hotel.poll_effect().is_some() {}
    /// hotel.handle(Input::Touch);
    /// assert_eq!(hotel.latest(), hotel.open_version());
    /// ```
    pub fn latest(&self) -> Version {
        self.history.latest()
    }

    /// How many sealed versions are on their way to storage.
    ///
    /// ```
    /// # use leap_core::*;
    /// # let mut hotel = Participant::new(ObjectId::from_name("hotel"), Incarnation(1), Speculation::On);
    /// # let (incarnation, world_line) = (Incarnation(1), WorldLine(0));
    /// # let admit = ToParticipant::Admit { incarnation, world_line, keep: Version::ZERO, boundary: Default::default() };
    /// # hotel.handle(Input::Coordinator(admit));
    /// # hotel.handle(Input::Restored);
    /// # while hotel.poll_effect().is_some() {}
    /// hotel.handle(Input::Touch);
    /// hotel.handle(Input::Seal { at_least: Version::ZERO, complete: false });
    /// assert_eq!(hotel.in_flight(), 1, "until `Input::Persisted`");
    /// ```
    pub fn in_flight(&self) -> usize {
        self.history.in_flight()
    }

    /// How many versions with content are not inside the boundary, sealed or not.
    ///
    /// ```
    /// # use leap_core::*;
    /// # let mut hotel = Participant::new(ObjectId::from_name("hotel"), Incarnation(1), Speculation::On);
    /// # let (incarnation, world_line) = (Incarnation(1), WorldLine(0));
    /// # let admit = ToParticipant::Admit { incarnation, world_line, keep: Version::ZERO, boundary: Default::default() };
    /// # hotel.handle(Input::Coordinator(admit));
    /// # hotel.handle(Input::Restored);
    /// # while hotel.poll_effect().is_some() {}
    /// hotel.handle(Input::Touch);
    /// hotel.handle(Input::Seal { at_least: Version::ZERO, complete: false });
    /// hotel.handle(Input::Touch);
    /// assert_eq!(hotel.uncommitted_versions(), 2, "one that is sealed, and the open one");
    /// ```
    pub fn uncommitted_versions(&self) -> usize {
        self.history.versions().count()
    }

    /// How many messages its versions have consumed on channels since its first life began.
    ///
    /// ```
    /// # use leap_core::*;
    /// # let mut hotel = Participant::new(ObjectId::from_name("hotel"), Incarnation(1), Speculation::On);
    /// # let (incarnation, world_line) = (Incarnation(1), WorldLine(0));
    /// # let admit = ToParticipant::Admit { incarnation, world_line, keep: Version::ZERO, boundary: Default::default() };
    /// # hotel.handle(Input::Coordinator(admit));
    /// # hotel.handle(Input::Restored);
    /// # while hotel.poll_effect().is_some() {}
    /// assert_eq!(hotel.consumed(), 0);
    /// ```
    pub fn consumed(&self) -> u64 {
        self.channels.values().map(Channel::consumed).sum()
    }

    /// The versions of other objects that the uncommitted versions here wait for.
    ///
    /// ```
    /// # use leap_core::*;
    /// # let mut hotel = Participant::new(ObjectId::from_name("hotel"), Incarnation(1), Speculation::On);
    /// # let (incarnation, world_line) = (Incarnation(1), WorldLine(0));
    /// # let admit = ToParticipant::Admit { incarnation, world_line, keep: Version::ZERO, boundary: Default::default() };
    /// # hotel.handle(Input::Coordinator(admit));
    /// # hotel.handle(Input::Restored);
    /// # while hotel.poll_effect().is_some() {}
    /// # let flight = ObjectId::from_name("flight");
    /// let message = Header::of(WorldLine(0), flight, Version(1));
    /// assert_eq!(hotel.consume(&message), Admission::Consumed);
    /// assert_eq!(hotel.waits_for().version_of(flight), Some(Version(1)));
    /// ```
    pub fn waits_for(&self) -> DependencySet {
        let mut set = DependencySet::new();
        for version in self.history.versions() {
            set.merge(version.dependencies);
        }
        self.uncommitted(&set)
    }

    /// The header of what the object sends now: its newest vertex, or nothing if that is committed.
    ///
    /// ```
    /// # use leap_core::*;
    /// # let mut hotel = Participant::new(ObjectId::from_name("hotel"), Incarnation(1), Speculation::On);
    /// # let (incarnation, world_line) = (Incarnation(1), WorldLine(0));
    /// # let admit = ToParticipant::Admit { incarnation, world_line, keep: Version::ZERO, boundary: Default::default() };
    /// # hotel.handle(Input::Coordinator(admit));
    /// # hotel.handle(Input::Restored);
    /// # while hotel.poll_effect().is_some() {}
    /// assert!(hotel.header().dependencies.is_empty(), "all is inside the boundary");
    /// hotel.handle(Input::Touch);
    /// assert_eq!(hotel.header().dependencies.version_of(hotel.id()), Some(hotel.open_version()));
    /// ```
    pub fn header(&self) -> Header {
        self.header_of(self.latest())
    }

    /// How many sent messages are kept because their receivers may still ask for them (rule P14).
    ///
    /// ```
    /// # use leap_core::*;
    /// # let mut hotel = Participant::new(ObjectId::from_name("hotel"), Incarnation(1), Speculation::On);
    /// # let (incarnation, world_line) = (Incarnation(1), WorldLine(0));
    /// # let admit = ToParticipant::Admit { incarnation, world_line, keep: Version::ZERO, boundary: Default::default() };
    /// # hotel.handle(Input::Coordinator(admit));
    /// # hotel.handle(Input::Restored);
    /// # while hotel.poll_effect().is_some() {}
    /// hotel.handle(Input::Send { to: ObjectId::from_name("kitchen"), payload: "cook".into() });
    /// assert_eq!(hotel.unacknowledged(), 1);
    /// ```
    pub fn unacknowledged(&self) -> usize {
        self.channels.values().map(Channel::kept).sum()
    }

    /// How many of them went to `receiver`.
    ///
    /// ```
    /// # use leap_core::*;
    /// # let mut hotel = Participant::new(ObjectId::from_name("hotel"), Incarnation(1), Speculation::On);
    /// # let (incarnation, world_line) = (Incarnation(1), WorldLine(0));
    /// # let admit = ToParticipant::Admit { incarnation, world_line, keep: Version::ZERO, boundary: Default::default() };
    /// # hotel.handle(Input::Coordinator(admit));
    /// # hotel.handle(Input::Restored);
    /// # while hotel.poll_effect().is_some() {}
    /// let kitchen = ObjectId::from_name("kitchen");
    /// hotel.handle(Input::Send { to: kitchen, payload: "cook".into() });
    /// assert_eq!(hotel.unacknowledged_to(kitchen), 1);
    /// ```
    pub fn unacknowledged_to(&self, receiver: ObjectId) -> usize {
        self.channels.get(&receiver).map_or(0, Channel::kept)
    }

    /// How many received messages wait to be consumed.
    ///
    /// ```
    /// # use leap_core::*;
    /// # let mut hotel = Participant::new(ObjectId::from_name("hotel"), Incarnation(1), Speculation::On);
    /// # let (incarnation, world_line) = (Incarnation(1), WorldLine(0));
    /// # let admit = ToParticipant::Admit { incarnation, world_line, keep: Version::ZERO, boundary: Default::default() };
    /// # hotel.handle(Input::Coordinator(admit));
    /// # hotel.handle(Input::Restored);
    /// # while hotel.poll_effect().is_some() {}
    /// assert_eq!(hotel.held(), 0, "nothing waits for a seal or another world-line");
    /// ```
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
    ///
    /// ```
    /// # use leap_core::*;
    /// # let mut hotel = Participant::new(ObjectId::from_name("hotel"), Incarnation(1), Speculation::On);
    /// # let (incarnation, world_line) = (Incarnation(1), WorldLine(0));
    /// # let admit = ToParticipant::Admit { incarnation, world_line, keep: Version::ZERO, boundary: Default::default() };
    /// # hotel.handle(Input::Coordinator(admit));
    /// # hotel.handle(Input::Restored);
    /// # while hotel.poll_effect().is_some() {}
    /// hotel.handle(Input::Touch);
    /// hotel.handle(Input::Seal { at_least: Version::ZERO, complete: false });
    /// while let Some(effect) = hotel.poll_effect() {
    ///     println!("to be done: {effect:?}");
    /// }
    /// ```
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
    ///
    /// ```
    /// # use leap_core::*;
    /// # let mut hotel = Participant::new(ObjectId::from_name("hotel"), Incarnation(1), Speculation::On);
    /// # let (incarnation, world_line) = (Incarnation(1), WorldLine(0));
    /// # let admit = ToParticipant::Admit { incarnation, world_line, keep: Version::ZERO, boundary: Default::default() };
    /// # hotel.handle(Input::Coordinator(admit));
    /// # hotel.handle(Input::Restored);
    /// # while hotel.poll_effect().is_some() {}
    /// # let flight = ObjectId::from_name("flight");
    /// let message = Header::of(WorldLine(0), flight, Version(5));
    /// // Rule P4: the open version is 1 and may not depend on a higher one.
    /// assert_eq!(hotel.consume(&message), Admission::SealFirst(Version(5)));
    /// hotel.handle(Input::Seal { at_least: Version(5), complete: false });
    /// assert_eq!(hotel.consume(&message), Admission::Consumed);
    /// ```
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
    ///
    /// ```
    /// # use leap_core::*;
    /// # let mut hotel = Participant::new(ObjectId::from_name("hotel"), Incarnation(1), Speculation::On);
    /// # let (incarnation, world_line) = (Incarnation(1), WorldLine(0));
    /// # let admit = ToParticipant::Admit { incarnation, world_line, keep: Version::ZERO, boundary: Default::default() };
    /// # hotel.handle(Input::Coordinator(admit));
    /// # hotel.handle(Input::Restored);
    /// # while hotel.poll_effect().is_some() {}
    /// assert_eq!(hotel.poll_effect(), None, "nothing to do");
    /// hotel.handle(Input::Touch);
    /// hotel.handle(Input::Seal { at_least: Version::ZERO, complete: false });
    /// assert!(matches!(hotel.poll_effect(), Some(Effect::Persist { .. })));
    /// ```
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
    /// ```
    /// # use leap_core::*;
    /// # let mut hotel = Participant::new(ObjectId::from_name("hotel"), Incarnation(1), Speculation::On);
    /// # let (incarnation, world_line) = (Incarnation(1), WorldLine(0));
    /// # let admit = ToParticipant::Admit { incarnation, world_line, keep: Version::ZERO, boundary: Default::default() };
    /// # hotel.handle(Input::Coordinator(admit));
    /// # hotel.handle(Input::Restored);
    /// # while hotel.poll_effect().is_some() {}
    /// hotel.validate();
    /// ```
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
