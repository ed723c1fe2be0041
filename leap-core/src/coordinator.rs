//! The coordinator: a cache of the dependency graph, the boundary, and rollback decisions.
//!
//! It writes nothing on the failure-free path (rule P11). Its log holds who belongs to the cluster and
//! which decisions were taken (see [`ledger`](crate::ledger)); everything else is asked for again after a restart. It does not know
//! how its log is stored, which link leads to which object, or when somebody has failed: a failure is
//! that a new incarnation asks to join, or that somebody says that none will
//! ([`CoordinatorInput::Remove`]).
//!
//! # How a failure is repaired
//!
//! ```text
//! Steady ── join of a member's next incarnation ──► Gathering ── all fragments ──► Logging
//!   ▲                                                                                │ durable
//!   └──────────────── all have acknowledged ──────── Announcing ◄────────────────────┘
//! ```
//!
//! A coordinator that starts with members in its log starts in `Gathering`, and answers no boundary
//! question until that has ended. Failures that come meanwhile wait their turn; each gets a
//! world-line of its own (rule P10).
//!
//! # How a member is removed
//!
//! As if it had failed and lost all that is not inside the boundary, but nobody is waited for: the decision has no
//! successor. From the moment of the request on, its life counts for nothing; if its next life asks to
//! join before the decision is on its way to the log, the request is void, and there is just a failure to repair.
//! If it comes back later, it joins like one that has left, with what it has that was inside the boundary.
//! So nothing that it was told or has told the outside world is taken back.
//!
//! A coordinator that starts does not know the boundary before all have answered. If a member is removed before it has,
//! whatever others have stored may be inside the boundary, and what is inside does not say what it rests on. So nothing
//! is removed that may be inside: what is stored stays, unless it depends on something volatile of somebody who was
//! heard, and what it has seen of the removed member counts as committed from then on. The member comes back only
//! if it has all of that, and if nothing that it has is in doubt because of others that were removed with it.
//!
//! # The parts
//!
//! `participants` hears what is said and answers at once, `admission` lets new lives in, `repair` gathers and decides
//! (with `cut` for what survives), and `log` acts on what is durable.
//!
//! # Invariants
//!
//! - The boundary only grows (rule P7); a decision never cuts below it.
//! - `world_line` is that of the newest durable decision, and all `Persisted` in the graph are of it.
//! - One gather or decision is under way at a time.

mod admission;
mod cut;
mod log;
mod participants;
mod repair;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    decision::Decision,
    graph::Graph,
    id::{ObjectId, Version, WorldLine},
    incarnation::Incarnation,
    ledger::{Ledger, LogRecord, REMEMBERED, Standing},
    message::{Fragment, GatherId, ToCoordinator, ToParticipant},
    rules::Rules,
};

/// The driver's own name for a link to one OS process.
///
/// ```
/// # use leap_core::*;
/// # let hotel = ObjectId::from_name("hotel");
/// # let mut coordinator = Coordinator::recover(1, None, []);
/// # while coordinator.poll_effect().is_some() {}
/// use leap_core::CoordinatorInput;
/// use leap_core::coordinator::LinkId;
///
/// // The driver counts its connections.
/// let (link, world_line) = (LinkId(1), None);
/// coordinator.handle(CoordinatorInput::Subscribe { link, world_line, boundary: Default::default() });
/// assert!(matches!(coordinator.poll_effect(), Some(CoordinatorEffect::ToLink(LinkId(1), _))));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkId(pub u64);

/// What the coordinator can be told.
///
/// ```
/// # use leap_core::*;
/// # let hotel = ObjectId::from_name("hotel");
/// # let mut coordinator = Coordinator::recover(1, None, []);
/// # while coordinator.poll_effect().is_some() {}
/// use leap_core::{CoordinatorEffect, CoordinatorInput, Fragment, Incarnation, ToCoordinator};
///
/// coordinator.handle(CoordinatorInput::Message(ToCoordinator::Join {
///     object: hotel,
///     incarnation: Incarnation(1),
///     fragment: Fragment::default(),
/// }));
/// assert!(matches!(coordinator.poll_effect(), Some(CoordinatorEffect::Log(_))));
/// // … once the record is durable:
/// coordinator.handle(CoordinatorInput::Logged);
/// assert!(coordinator.has_member(hotel));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum CoordinatorInput {
    /// A process has connected and knows all decisions up to `world_line`, or none at all.
    Subscribe {
        /// The new link.
        link: LinkId,
        /// The newest world-line that the process knows.
        world_line: Option<WorldLine>,
        /// The boundary as far as the process knows it.
        boundary: BTreeMap<ObjectId, Version>,
    },
    /// A participant says something.
    Message(ToCoordinator),
    /// A life says what only a member of another cluster can: it [shows a successor](Coordinator::shows_successor), of
    /// which the log knows nothing.
    Foreign {
        /// Who.
        object: ObjectId,
        /// Its life.
        incarnation: Incarnation,
    },
    /// The oldest log record that was not durable yet is durable.
    Logged,
    /// This member will never come back, as somebody knows who is not part of the protocol. It loses what is not
    /// inside the boundary, and is not waited for any more. Ignored for whoever is no member, or is
    /// about to come back.
    Remove(ObjectId),
}

/// What the coordinator's driver must do, in order.
///
/// ```
/// # use leap_core::*;
/// # let hotel = ObjectId::from_name("hotel");
/// # let mut coordinator = Coordinator::recover(1, None, []);
/// # while coordinator.poll_effect().is_some() {}
/// use leap_core::CoordinatorEffect;
///
/// # coordinator.handle(CoordinatorInput::Message(ToCoordinator::Join {
/// #     object: hotel,
/// #     incarnation: Incarnation(1),
/// #     fragment: Fragment::default(),
/// # }));
/// while let Some(effect) = coordinator.poll_effect() {
///     match effect {
///         CoordinatorEffect::Log(record) => println!("write {record:?}, then tell"),
///         CoordinatorEffect::Checkpoint(ledger) => println!("write {} entries at leisure", ledger.len()),
///         sent => println!("send: {sent:?}"),
///     }
/// }
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum CoordinatorEffect {
    /// Append to the log, then give [`CoordinatorInput::Logged`].
    Log(LogRecord),
    /// Store this in the place of all records that were logged so far, at leisure; nobody waits for it (rule P13).
    Checkpoint(Ledger),
    /// Send over this link.
    ToLink(LinkId, ToParticipant),
    /// Send over the link of the process that hosts this incarnation of this object.
    ToObject(ObjectId, Incarnation, ToParticipant),
    /// Send over every link whose [`CoordinatorInput::Subscribe`] was taken in before: a process must
    /// not hear of the boundary before the decisions that it missed.
    Broadcast(ToParticipant),
}

/// A new incarnation that waits to be admitted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Joiner {
    incarnation: Incarnation,
    fragment: Fragment,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Phase {
    Steady,
    /// Waits for the fragments of these members.
    Gathering {
        gather: GatherId,
        waiting: BTreeSet<ObjectId>,
        fragments: BTreeMap<ObjectId, Fragment>,
    },
    /// Waits for the decision to be durable.
    Logging,
    /// Waits for these members to enter the new world-line.
    Announcing {
        waiting: BTreeSet<ObjectId>,
    },
}

/// The coordinator's protocol state. See the [module documentation](self).
///
/// ```
/// use leap_core::{
///     Coordinator, CoordinatorEffect, CoordinatorInput, Fragment, Incarnation, ObjectId,
///     ToCoordinator, ToParticipant,
/// };
///
/// let mut coordinator = Coordinator::recover(1, None, []);
/// while coordinator.poll_effect().is_some() {}
/// coordinator.handle(CoordinatorInput::Message(ToCoordinator::Join {
///     object: ObjectId::from_name("hotel"),
///     incarnation: Incarnation(1),
///     fragment: Fragment::default(),
/// }));
/// // Nobody hears of what is not durable.
/// assert!(matches!(coordinator.poll_effect(), Some(CoordinatorEffect::Log(_))));
/// assert_eq!(coordinator.poll_effect(), None);
/// coordinator.handle(CoordinatorInput::Logged);
/// assert!(matches!(
///     coordinator.poll_effect(),
///     Some(CoordinatorEffect::ToObject(_, _, ToParticipant::Admit { .. }))
/// ));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Coordinator {
    rules: Rules,
    term: u64,
    gathers: u64,
    ledger: Ledger,
    /// How many decisions are remembered for processes that were away.
    remembered: usize,
    graph: Graph,
    /// Whether the boundary may be told: all members have answered since the start (rule P11).
    boundary_is_known: bool,
    /// What processes know of the boundary while it is not known here. Only the removal of somebody who has
    /// not answered needs it: whoever answers tells it itself.
    told: BTreeSet<(ObjectId, Version)>,
    phase: Phase,
    joiners: BTreeMap<ObjectId, Joiner>,
    /// Members that will never come back.
    removing: BTreeSet<ObjectId>,
    is_superseded: bool,
    /// Records on their way to the log, oldest first.
    logging: VecDeque<LogRecord>,
    /// How many records the log has since its checkpoint.
    records: usize,
    effects: VecDeque<CoordinatorEffect>,
}

/// Building one, and asking it.
impl Coordinator {
    /// A coordinator whose log holds `checkpoint`, the newest, and then `records`. `term` must be higher than that of
    /// any coordinator that ever wrote to this log; the incarnation of the log's owner will do.
    ///
    /// ```
    /// use leap_core::{Coordinator, Incarnation, LogRecord, ObjectId, Version};
    ///
    /// let (object, incarnation) = (ObjectId::from_name("hotel"), Incarnation(1));
    /// let log = [LogRecord::Joined { object, incarnation, keep: Version::ZERO }];
    /// let coordinator = Coordinator::recover(2, None, log);
    /// assert_eq!(coordinator.waiting_for(), [object], "nothing is known before it has reported");
    /// ```
    pub fn recover(
        term: u64,
        checkpoint: Option<Ledger>,
        records: impl IntoIterator<Item = LogRecord>,
    ) -> Self {
        let mut coordinator = Self {
            rules: Rules::default(),
            term,
            gathers: 0,
            ledger: checkpoint.unwrap_or_default(),
            remembered: REMEMBERED,
            graph: Graph::default(),
            boundary_is_known: false,
            told: BTreeSet::new(),
            phase: Phase::Steady,
            joiners: BTreeMap::new(),
            removing: BTreeSet::new(),
            is_superseded: false,
            logging: VecDeque::new(),
            records: 0,
            effects: VecDeque::new(),
        };
        for record in records {
            coordinator.apply(&record);
        }
        let committed = coordinator.ledger.committed();
        coordinator.graph.remember_committed(committed);
        coordinator.start_gather();
        coordinator.proceed();
        coordinator
    }

    /// Obeys `rules` instead of all; for the simulator.
    ///
    /// ```
    /// use leap_core::{Coordinator, Rules};
    ///
    /// let coordinator = Coordinator::recover(1, None, []);
    /// assert_eq!(coordinator.clone().with_rules(Rules::default()), coordinator);
    /// ```
    #[must_use]
    pub fn with_rules(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    /// Remembers so many decisions for processes that were away, and at least one. What they have seen
    /// before the oldest of these counts as rolled back.
    ///
    /// ```
    /// use leap_core::Coordinator;
    ///
    /// let coordinator = Coordinator::recover(1, None, []).with_remembered(100);
    /// assert_eq!(coordinator.decisions().count(), 0);
    /// ```
    #[must_use]
    pub fn with_remembered(mut self, decisions: usize) -> Self {
        self.remembered = decisions;
        self.ledger.trim(decisions);
        self
    }

    /// The world-line of the newest decision.
    ///
    /// ```
    /// # use leap_core::*;
    /// # let hotel = ObjectId::from_name("hotel");
    /// # let mut coordinator = Coordinator::recover(1, None, []);
    /// # while coordinator.poll_effect().is_some() {}
    /// assert_eq!(coordinator.world_line(), WorldLine(0));
    /// ```
    pub fn world_line(&self) -> WorldLine {
        self.ledger.world_line()
    }

    /// The newest decisions, oldest first.
    ///
    /// ```
    /// # use leap_core::*;
    /// # let hotel = ObjectId::from_name("hotel");
    /// # let mut coordinator = Coordinator::recover(1, None, []);
    /// # while coordinator.poll_effect().is_some() {}
    /// assert_eq!(coordinator.decisions().count(), 0, "nothing has failed yet");
    /// ```
    pub fn decisions(&self) -> impl Iterator<Item = &Decision> {
        self.ledger.recent().iter()
    }

    /// The boundary, once it is known.
    ///
    /// ```
    /// # use leap_core::*;
    /// # let hotel = ObjectId::from_name("hotel");
    /// # let mut coordinator = Coordinator::recover(1, None, []);
    /// # while coordinator.poll_effect().is_some() {}
    /// assert_eq!(coordinator.boundary(), Some(Default::default()), "known, and empty");
    /// ```
    pub fn boundary(&self) -> Option<BTreeMap<ObjectId, Version>> {
        self.boundary_is_known.then(|| self.graph.boundary())
    }

    /// How many vertices are persisted and not inside the boundary.
    ///
    /// ```
    /// # use leap_core::*;
    /// # let hotel = ObjectId::from_name("hotel");
    /// # let mut coordinator = Coordinator::recover(1, None, []);
    /// # while coordinator.poll_effect().is_some() {}
    /// assert_eq!(coordinator.uncommitted(), 0);
    /// ```
    pub fn uncommitted(&self) -> usize {
        self.graph.uncommitted()
    }

    /// Who holds the boundary back: objects with the oldest version that is awaited of them, and how
    /// many persisted vertices wait for it.
    ///
    /// ```
    /// # use leap_core::*;
    /// # let hotel = ObjectId::from_name("hotel");
    /// # let mut coordinator = Coordinator::recover(1, None, []);
    /// # while coordinator.poll_effect().is_some() {}
    /// assert_eq!(coordinator.awaited().count(), 0);
    /// ```
    pub fn awaited(&self) -> impl Iterator<Item = (ObjectId, Version, usize)> + '_ {
        self.graph.awaited()
    }

    /// The members that a gather or an announcement waits for; empty when nothing is being repaired.
    ///
    /// ```
    /// # use leap_core::*;
    /// # let hotel = ObjectId::from_name("hotel");
    /// # let mut coordinator = Coordinator::recover(1, None, []);
    /// # while coordinator.poll_effect().is_some() {}
    /// assert!(coordinator.waiting_for().is_empty(), "nothing is being repaired");
    /// ```
    pub fn waiting_for(&self) -> Vec<ObjectId> {
        match &self.phase {
            Phase::Gathering { waiting, .. } | Phase::Announcing { waiting } => {
                waiting.iter().copied().collect()
            }
            Phase::Steady | Phase::Logging => Vec::new(),
        }
    }

    /// Whether a later coordinator has been at work. This one then says nothing any more, and its
    /// driver should close all links, so that participants look for the successor.
    ///
    /// ```
    /// # use leap_core::*;
    /// # let hotel = ObjectId::from_name("hotel");
    /// # let mut coordinator = Coordinator::recover(1, None, []);
    /// # while coordinator.poll_effect().is_some() {}
    /// assert!(!coordinator.is_superseded());
    /// ```
    pub fn is_superseded(&self) -> bool {
        self.is_superseded
    }

    /// The members that take part, with their newest admitted incarnations.
    ///
    /// ```
    /// # use leap_core::*;
    /// # let hotel = ObjectId::from_name("hotel");
    /// # let mut coordinator = Coordinator::recover(1, None, []);
    /// # while coordinator.poll_effect().is_some() {}
    /// # coordinator.handle(CoordinatorInput::Message(ToCoordinator::Join {
    /// #     object: hotel,
    /// #     incarnation: Incarnation(1),
    /// #     fragment: Fragment::default(),
    /// # }));
    /// # coordinator.handle(CoordinatorInput::Logged);
    /// assert_eq!(coordinator.members().collect::<Vec<_>>(), [(hotel, Incarnation(1))]);
    /// ```
    pub fn members(&self) -> impl Iterator<Item = (ObjectId, Incarnation)> + '_ {
        self.ledger.present()
    }

    /// Whether `object` is a member that takes part, and nobody has asked to remove it.
    ///
    /// ```
    /// # use leap_core::*;
    /// # let hotel = ObjectId::from_name("hotel");
    /// # let mut coordinator = Coordinator::recover(1, None, []);
    /// # while coordinator.poll_effect().is_some() {}
    /// # coordinator.handle(CoordinatorInput::Message(ToCoordinator::Join {
    /// #     object: hotel,
    /// #     incarnation: Incarnation(1),
    /// #     fragment: Fragment::default(),
    /// # }));
    /// # coordinator.handle(CoordinatorInput::Logged);
    /// assert!(coordinator.has_member(hotel));
    /// coordinator.handle(CoordinatorInput::Remove(hotel));
    /// assert!(!coordinator.has_member(hotel));
    /// ```
    pub fn has_member(&self, object: ObjectId) -> bool {
        !self.removing.contains(&object)
            && self
                .ledger
                .members()
                .get(&object)
                .is_some_and(|member| member.standing == Standing::Present)
    }

    /// The newest life of `object`, whether it was admitted or only asks for it. Nothing if there never was one, or it was
    /// removed and has not asked to come back.
    ///
    /// ```
    /// # use leap_core::*;
    /// # let hotel = ObjectId::from_name("hotel");
    /// # let mut coordinator = Coordinator::recover(1, None, []);
    /// # while coordinator.poll_effect().is_some() {}
    /// assert_eq!(coordinator.life_of(hotel), None);
    /// coordinator.handle(CoordinatorInput::Message(ToCoordinator::Join {
    ///     object: hotel,
    ///     incarnation: Incarnation(1),
    ///     fragment: Fragment::default(),
    /// }));
    /// assert_eq!(coordinator.life_of(hotel), Some(Incarnation(1)));
    /// ```
    pub fn life_of(&self, object: ObjectId) -> Option<Incarnation> {
        let joining = self.joiners.get(&object).map(|joiner| joiner.incarnation);
        joining.or_else(|| {
            let member = self.ledger.members().get(&object)?;
            (!matches!(member.standing, Standing::Removed { .. })).then_some(member.incarnation)
        })
    }

    /// Takes in one input. See the driver contract in the [crate documentation](crate); inputs may
    /// be taken in several at a time before effects are drained, which bundles boundary news.
    ///
    /// ```
    /// # use leap_core::*;
    /// # let hotel = ObjectId::from_name("hotel");
    /// # let mut coordinator = Coordinator::recover(1, None, []);
    /// # while coordinator.poll_effect().is_some() {}
    /// coordinator.handle(CoordinatorInput::Message(ToCoordinator::Join {
    ///     object: hotel,
    ///     incarnation: Incarnation(1),
    ///     fragment: Fragment::default(),
    /// }));
    /// while let Some(effect) = coordinator.poll_effect() {
    ///     println!("to be done: {effect:?}");
    /// }
    /// ```
    pub fn handle(&mut self, input: CoordinatorInput) {
        self.is_superseded |= self.shows_successor(&input);
        if self.is_superseded {
            return self.effects.clear();
        }
        match input {
            CoordinatorInput::Subscribe {
                link,
                world_line,
                boundary,
            } => self.welcome(link, world_line, boundary),
            CoordinatorInput::Message(message) => self.handle_message(message),
            CoordinatorInput::Logged => {
                let record = self.logging.pop_front().expect("a record was being logged");
                if self.rules.log_before_release {
                    self.act_on(record);
                }
            }
            CoordinatorInput::Foreign {
                object,
                incarnation,
            } => self.refuse_foreign(object, incarnation),
            CoordinatorInput::Remove(object) => self.handle_remove(object),
        }
    }

    /// The next thing to do. News of the boundary comes last, so that it comes in few pieces.
    ///
    /// ```
    /// # use leap_core::*;
    /// # let hotel = ObjectId::from_name("hotel");
    /// # let mut coordinator = Coordinator::recover(1, None, []);
    /// # while coordinator.poll_effect().is_some() {}
    /// assert_eq!(coordinator.poll_effect(), None, "nothing to do");
    /// coordinator.handle(CoordinatorInput::Message(ToCoordinator::Join {
    ///     object: hotel,
    ///     incarnation: Incarnation(1),
    ///     fragment: Fragment::default(),
    /// }));
    /// assert!(matches!(coordinator.poll_effect(), Some(CoordinatorEffect::Log(_))));
    /// ```
    pub fn poll_effect(&mut self) -> Option<CoordinatorEffect> {
        if let Some(effect) = self.effects.pop_front() {
            return Some(effect);
        }
        if self.is_log_long() && !self.is_superseded {
            return Some(CoordinatorEffect::Checkpoint(self.shorten_log()));
        }
        if self.may_tell_boundary() && self.graph.has_advanced() && !self.is_superseded {
            let advanced = self.graph.take_advanced();
            return Some(CoordinatorEffect::Broadcast(ToParticipant::Boundary(
                advanced,
            )));
        }
        None
    }
}
