//! What one OS process knows of the cluster: the boundary, and the decisions since it started.
//!
//! # Invariants
//!
//! - `boundary` only grows (rule P7), but for that of an object that is removed.
//! - Decisions are taken in without a gap. If there is one, because the process was away for too long, it
//!   starts anew behind it, and what its sthreads have seen before counts as rolled back.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    decision::{Decision, Recent},
    header::{DependencySet, Header},
    id::{ObjectId, Version, WorldLine},
    message::ToParticipant,
    participant::Admission,
    rules::Rules,
    sthread::{RolledBack, SThread},
};

/// How many decisions are kept for sthreads that have not looked for long.
const REMEMBERED: usize = 1024;

/// The driver's own name for a barrier that waits.
///
/// ```
/// use leap_core::{BarrierId, Observer, SThread, WorldLine};
///
/// let mut observer = Observer::default();
/// observer.barrier(BarrierId(17), SThread::new(WorldLine(0)));
/// assert_eq!(observer.poll_outcome().unwrap().barrier, BarrierId(17));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BarrierId(pub u64);

/// How a barrier ended.
///
/// ```
/// use leap_core::{BarrierId, BarrierOutcome, Observer, SThread, WorldLine};
///
/// let mut observer = Observer::default();
/// observer.barrier(BarrierId(1), SThread::new(WorldLine(0)));
/// // It had seen nothing, so there was nothing to wait for.
/// let done = BarrierOutcome { barrier: BarrierId(1), result: Ok(()) };
/// assert_eq!(observer.poll_outcome(), Some(done));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BarrierOutcome {
    /// Which barrier.
    pub barrier: BarrierId,
    /// Whether all that it waited for is inside the boundary, or was rolled back.
    pub result: Result<(), RolledBack>,
}

/// Boundary and decisions as one OS process knows them; judges its sthreads and barriers.
///
/// ```
/// use leap_core::{
///     Admission, BarrierId, Header, ObjectId, Observer, SThread, ToParticipant, Version,
/// };
///
/// let hotel = ObjectId::from_name("hotel");
/// let mut observer = Observer::default();
/// let mut sthread = SThread::new(observer.world_line());
/// let header = Header::of(observer.world_line(), hotel, Version(3));
/// assert_eq!(observer.consume(&mut sthread, &header), Ok(Admission::Consumed));
/// observer.barrier(BarrierId(1), sthread);
/// assert_eq!(observer.poll_outcome(), None);
/// observer.handle(&ToParticipant::Boundary([(hotel, Version(3))].into()));
/// let outcome = observer.poll_outcome().expect("all it has seen is inside the boundary");
/// assert_eq!(outcome.result, Ok(()));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Observer {
    rules: Rules,
    decisions: Recent,
    boundary: BTreeMap<ObjectId, Version>,
    waiting: BTreeMap<BarrierId, SThread>,
    outcomes: VecDeque<BarrierOutcome>,
}

impl Observer {
    /// An observer that knows nothing yet. `rules` is [`Rules::default`] everywhere but in the simulator.
    ///
    /// ```
    /// use leap_core::{Observer, Rules};
    ///
    /// assert_eq!(Observer::new(Rules::default()), Observer::default());
    /// ```
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            ..Self::default()
        }
    }

    /// The current world-line as far as it is known here.
    ///
    /// ```
    /// use leap_core::{Observer, WorldLine};
    ///
    /// assert_eq!(Observer::default().world_line(), WorldLine(0));
    /// ```
    pub fn world_line(&self) -> WorldLine {
        self.decisions.world_line()
    }

    /// The boundary as far as it is known here.
    ///
    /// ```
    /// use leap_core::{ObjectId, Observer, ToParticipant, Version};
    ///
    /// let hotel = ObjectId::from_name("hotel");
    /// let mut observer = Observer::default();
    /// observer.handle(&ToParticipant::Boundary([(hotel, Version(3))].into()));
    /// assert_eq!(observer.boundary()[&hotel], Version(3));
    /// ```
    pub fn boundary(&self) -> &BTreeMap<ObjectId, Version> {
        &self.boundary
    }

    /// Takes in what the coordinator broadcasts. What concerns single participants is ignored.
    ///
    /// ```
    /// use leap_core::{ObjectId, Observer, ToParticipant, Version};
    ///
    /// let hotel = ObjectId::from_name("hotel");
    /// let mut observer = Observer::default();
    /// observer.handle(&ToParticipant::Boundary([(hotel, Version(3))].into()));
    /// assert!(observer.is_committed(hotel, Version(3)));
    /// ```
    pub fn handle(&mut self, message: &ToParticipant) {
        match message {
            ToParticipant::Welcome {
                world_line,
                decisions,
                boundary,
            } => {
                if self.decisions.jump(*world_line) {
                    // It may be about what was removed meanwhile.
                    self.boundary.clear();
                }
                for decision in decisions {
                    self.decide(decision);
                }
                self.advance(boundary);
            }
            ToParticipant::Decide(decision) => self.decide(decision),
            ToParticipant::Boundary(advanced) => self.advance(advanced),
            ToParticipant::Admit { .. }
            | ToParticipant::Gather { .. }
            | ToParticipant::GatherDone { .. }
            | ToParticipant::Refused { .. }
            | ToParticipant::Left { .. } => {}
        }
    }

    /// Takes in that `object` knows itself to be committed up to `version` (rule P7, local commit).
    ///
    /// A number means nothing without its world-line, so whatever the coordinator says must reach the
    /// process's observer before its participants.
    ///
    /// ```
    /// use leap_core::{ObjectId, Observer, Version};
    ///
    /// let hotel = ObjectId::from_name("hotel");
    /// let mut observer = Observer::default();
    /// observer.handle_local_commit(hotel, Version(3));
    /// assert!(observer.is_committed(hotel, Version(2)));
    /// assert!(!observer.is_committed(hotel, Version(4)));
    /// ```
    pub fn handle_local_commit(&mut self, object: ObjectId, version: Version) {
        self.advance(&BTreeMap::from([(object, version)]));
    }

    /// Whether `version` of `object` is known to be inside the boundary.
    ///
    /// ```
    /// use leap_core::{ObjectId, Observer, Version};
    ///
    /// let hotel = ObjectId::from_name("hotel");
    /// let mut observer = Observer::default();
    /// assert!(observer.is_committed(hotel, Version::ZERO), "the initial state always is");
    /// observer.handle_local_commit(hotel, Version(3));
    /// assert!(observer.is_committed(hotel, Version(3)));
    /// ```
    pub fn is_committed(&self, object: ObjectId, version: Version) -> bool {
        version == Version::ZERO
            || self
                .boundary
                .get(&object)
                .is_some_and(|&committed| version <= committed)
    }

    /// Brings `sthread` into the current world-line and drops what is committed from its set.
    ///
    /// ```
    /// use leap_core::{Header, ObjectId, Observer, SThread, Version, WorldLine};
    ///
    /// let hotel = ObjectId::from_name("hotel");
    /// let mut observer = Observer::default();
    /// let mut sthread = SThread::detach(Header::of(WorldLine(0), hotel, Version(3)));
    /// observer.handle_local_commit(hotel, Version(3));
    /// observer.refresh(&mut sthread)?;
    /// assert!(sthread.seen().is_empty(), "what it has seen can never be lost any more");
    /// # Ok::<_, leap_core::RolledBack>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`RolledBack`] if a decision removed something that it has seen; the sthread is over.
    pub fn refresh(&self, sthread: &mut SThread) -> Result<(), RolledBack> {
        let Some(decisions) = self.decisions.after(sthread.world_line()) else {
            return self.refresh_blindly(sthread);
        };
        for decision in decisions {
            if decision.removes_any(sthread.seen()) {
                return Err(RolledBack {
                    world_line: decision.world_line,
                });
            }
            sthread.rename(decision.world_line);
        }
        sthread.forget(|object, version| self.is_committed(object, version));
        Ok(())
    }

    /// Lets `sthread` consume a message with `header` (rules P5, P15). An sthread has no version, so
    /// nothing is ever sealed first.
    ///
    /// ```
    /// use leap_core::{Admission, Header, ObjectId, Observer, SThread, Version, WorldLine};
    ///
    /// let observer = Observer::default();
    /// let mut sthread = SThread::new(WorldLine(0));
    /// let message = Header::of(WorldLine(0), ObjectId::from_name("hotel"), Version(3));
    /// assert_eq!(observer.consume(&mut sthread, &message), Ok(Admission::Consumed));
    /// let early = Header { world_line: WorldLine(1), ..message };
    /// assert_eq!(observer.consume(&mut sthread, &early), Ok(Admission::Hold));
    /// ```
    ///
    /// # Errors
    ///
    /// [`RolledBack`] as in [`Observer::refresh`].
    pub fn consume(&self, sthread: &mut SThread, header: &Header) -> Result<Admission, RolledBack> {
        self.refresh(sthread)?;
        if self.rules.recovery_partition {
            if header.world_line < sthread.world_line() {
                return Ok(Admission::Discard {
                    current: sthread.world_line(),
                });
            }
            if header.world_line > sthread.world_line() {
                return Ok(Admission::Hold);
            }
        }
        sthread.absorb(&header.dependencies);
        sthread.forget(|object, version| self.is_committed(object, version));
        Ok(Admission::Consumed)
    }

    /// Starts to wait until all that `sthread` has seen is inside the boundary; the outcome comes
    /// from [`Observer::poll_outcome`], perhaps at once.
    ///
    /// ```
    /// use leap_core::{BarrierId, Header, ObjectId, Observer, SThread, Version, WorldLine};
    ///
    /// let hotel = ObjectId::from_name("hotel");
    /// let mut observer = Observer::default();
    /// observer.barrier(BarrierId(1), SThread::detach(Header::of(WorldLine(0), hotel, Version(3))));
    /// assert_eq!(observer.poll_outcome(), None);
    /// observer.handle_local_commit(hotel, Version(3));
    /// assert_eq!(observer.poll_outcome().map(|outcome| outcome.result), Some(Ok(())));
    /// ```
    pub fn barrier(&mut self, barrier: BarrierId, sthread: SThread) {
        self.waiting.insert(barrier, sthread);
        self.settle();
    }

    /// Gives up waiting.
    ///
    /// ```
    /// use leap_core::{BarrierId, Header, ObjectId, Observer, SThread, Version, WorldLine};
    ///
    /// let hotel = ObjectId::from_name("hotel");
    /// let mut observer = Observer::default();
    /// observer.barrier(BarrierId(1), SThread::detach(Header::of(WorldLine(0), hotel, Version(3))));
    /// observer.cancel(BarrierId(1));
    /// observer.handle_local_commit(hotel, Version(3));
    /// assert_eq!(observer.poll_outcome(), None);
    /// ```
    pub fn cancel(&mut self, barrier: BarrierId) {
        self.waiting.remove(&barrier);
    }

    /// The next barrier that ended.
    ///
    /// ```
    /// use leap_core::{BarrierId, Observer, SThread, WorldLine};
    ///
    /// let mut observer = Observer::default();
    /// observer.barrier(BarrierId(1), SThread::new(WorldLine(0)));
    /// while let Some(outcome) = observer.poll_outcome() {
    ///     println!("{:?}: {:?}", outcome.barrier, outcome.result);
    /// }
    /// ```
    pub fn poll_outcome(&mut self) -> Option<BarrierOutcome> {
        self.outcomes.pop_front()
    }

    /// The dependencies of `set` that are not known to be committed.
    ///
    /// ```
    /// use leap_core::{DependencySet, ObjectId, Observer, Version};
    ///
    /// let hotel = ObjectId::from_name("hotel");
    /// let mut observer = Observer::default();
    /// observer.handle_local_commit(hotel, Version(3));
    /// let seen = DependencySet::from_iter([(hotel, Version(3)), (ObjectId::from_name("flight"), Version(1))]);
    /// assert_eq!(observer.uncommitted(&seen).len(), 1, "the flight's");
    /// ```
    pub fn uncommitted(&self, set: &DependencySet) -> DependencySet {
        set.iter()
            .filter(|&(object, version)| !self.is_committed(object, version))
            .collect()
    }

    /// What was rolled back since this sthread last looked is forgotten here: if it has seen anything, that counts as
    /// rolled back.
    fn refresh_blindly(&self, sthread: &mut SThread) -> Result<(), RolledBack> {
        let world_line = self.decisions.first();
        if !sthread.seen().is_empty() {
            return Err(RolledBack { world_line });
        }
        sthread.rename(world_line);
        self.refresh(sthread)
    }

    fn decide(&mut self, decision: &Decision) {
        if self.decisions.push(decision, REMEMBERED) {
            decision.limit(&mut self.boundary);
            self.settle();
        }
    }

    fn advance(&mut self, advanced: &BTreeMap<ObjectId, Version>) {
        for (&object, &version) in advanced {
            let committed = self.boundary.entry(object).or_default();
            *committed = version.max(*committed);
        }
        self.settle();
    }

    fn settle(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|&barrier, sthread| {
            let result = self.refresh(sthread);
            // Rule P8. An sthread that is ahead of us waits for the decision that it already knows.
            let released = sthread.seen().is_empty() && sthread.world_line() <= self.world_line();
            if result.is_ok() && !released && self.rules.release {
                return true;
            }
            self.outcomes.push_back(BarrierOutcome { barrier, result });
            false
        });
        self.waiting = waiting;
    }
}
