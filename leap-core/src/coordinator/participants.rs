//! What processes and participants say to the coordinator, and what it answers at once.

use std::collections::BTreeMap;

use super::{Coordinator, CoordinatorEffect, CoordinatorInput, Joiner, LinkId, Phase, cut::newest};
use crate::{
    id::{ObjectId, Version, WorldLine},
    incarnation::Incarnation,
    ledger::{LogRecord, Member, Standing},
    message::{Fragment, GatherId, Refusal, ToCoordinator, ToParticipant},
};

impl Coordinator {
    /// Whether somebody knows a gather or a decision that is not ours. All of ours are durable before
    /// anybody knows them, so only a successor can be behind it. Our word is worth nothing then: we
    /// would end its gathers, and take a version that was named after its decision for one of the same
    /// number that was removed by it. [`Coordinator::handle`] falls silent then.
    ///
    /// A successor has claimed the log. So who can ask the log, and finds that nobody has, knows that the sender is a
    /// stranger, and gives [`CoordinatorInput::Foreign`] instead.
    ///
    /// ```
    /// use leap_core::{Coordinator, CoordinatorInput, Fragment, Incarnation, ObjectId, ToCoordinator, WorldLine};
    ///
    /// let new = Coordinator::recover(1, None, []);
    /// let join = ToCoordinator::Join {
    ///     object: ObjectId::from_name("hotel"),
    ///     incarnation: Incarnation(1),
    ///     fragment: Fragment { world_line: WorldLine(7), ..Fragment::default() },
    /// };
    /// assert!(new.shows_successor(&CoordinatorInput::Message(join)));
    /// ```
    pub fn shows_successor(&self, input: &CoordinatorInput) -> bool {
        let (gather, known) = match input {
            CoordinatorInput::Subscribe { world_line, .. } => (None, *world_line),
            CoordinatorInput::Message(ToCoordinator::Join { fragment, .. }) => {
                (None, Some(fragment.world_line))
            }
            CoordinatorInput::Message(ToCoordinator::Report {
                gather, fragment, ..
            }) => (*gather, Some(fragment.world_line)),
            CoordinatorInput::Message(ToCoordinator::Persisted { world_line, .. }) => {
                (None, Some(*world_line))
            }
            CoordinatorInput::Message(ToCoordinator::Leave { .. })
            | CoordinatorInput::Foreign { .. }
            | CoordinatorInput::Logged
            | CoordinatorInput::Remove(_) => (None, None),
        };
        gather.is_some_and(|gather| gather.term > self.term)
            || known > Some(self.world_line())
            || self.shows_admission(input)
    }

    /// Whether a life that waits for us to admit it speaks like one that was admitted.
    fn shows_admission(&self, input: &CoordinatorInput) -> bool {
        let CoordinatorInput::Message(message) = input else {
            return false;
        };
        let (object, incarnation) = message.sender();
        let joiner = self.joiners.get(&object);
        !matches!(message, ToCoordinator::Join { .. })
            && joiner.is_some_and(|joiner| joiner.incarnation == incarnation)
    }

    pub(super) fn welcome(
        &mut self,
        link: LinkId,
        known: Option<WorldLine>,
        boundary: BTreeMap<ObjectId, Version>,
    ) {
        let recent = self.ledger.recent();
        let known = known.unwrap_or(self.world_line());
        let missed: Option<Vec<_>> = recent.after(known).map(|missed| missed.cloned().collect());
        let first = known.max(recent.first());
        if let Some(missed) = &missed
            && self.is_learning()
            && !self.boundary_is_known
        {
            let mut boundary = boundary;
            missed
                .iter()
                .for_each(|decision| decision.limit(&mut boundary));
            self.told.extend(boundary);
        }
        let decisions = missed.unwrap_or_else(|| recent.iter().cloned().collect());
        let message = ToParticipant::Welcome {
            world_line: first,
            decisions,
            boundary: self.boundary_to_tell(),
        };
        self.effects
            .push_back(CoordinatorEffect::ToLink(link, message));
    }

    pub(super) fn handle_message(&mut self, message: ToCoordinator) {
        let (object, incarnation) = message.sender();
        let refusal = self.refusal_of(object, incarnation);
        if let Some(refusal) = refusal.filter(|it| self.rules.fencing || *it == Refusal::Removed) {
            return self.refuse(object, incarnation, refusal);
        }
        let newest = self.life_of(object);
        if self.removing.contains(&object) && newest == Some(incarnation) {
            // It will be told when the decision is durable.
            return;
        }
        match message {
            ToCoordinator::Join { fragment, .. } => self.handle_join(
                object,
                Joiner {
                    incarnation,
                    fragment,
                },
            ),
            ToCoordinator::Report {
                gather, fragment, ..
            } => self.handle_report(object, incarnation, gather, fragment),
            ToCoordinator::Persisted {
                world_line,
                version,
                dependencies,
                ..
            } => {
                if self.is_member(object, incarnation)
                    && world_line == self.world_line()
                    && self.is_learning()
                {
                    self.graph.persist(object, version, &dependencies);
                }
            }
            ToCoordinator::Leave { version, .. } => self.handle_leave(object, incarnation, version),
        }
    }

    pub(super) fn refuse_foreign(&mut self, object: ObjectId, incarnation: Incarnation) {
        let world_line = self.world_line();
        self.refuse(object, incarnation, Refusal::OtherCluster { world_line });
    }

    fn handle_join(&mut self, object: ObjectId, joiner: Joiner) {
        let incarnation = joiner.incarnation;
        if let Some(member) = self.ledger.members().get(&object)
            && member.incarnation == incarnation
            && !self.joiners.contains_key(&object)
        {
            // It was admitted or has left before.
            if member.is_present(incarnation) {
                self.admit_again(object, joiner);
            }
            return;
        }
        // Before it displaces anybody: a copy may lack what the object has done since. While a decision is on its way, what
        // is committed may be part of that.
        if self.has_member(object) && self.may_tell_boundary() {
            let found = newest(&self.ledger.surviving(object, joiner.fragment.clone()));
            if self.refuse_loss(object, incarnation, found) {
                return;
            }
        }
        self.joiners.insert(object, joiner);
        if !self.is_logging_removal_of(object) {
            self.removing.remove(&object);
        }
        // Whatever the old life would have answered is lost with it.
        self.wait_no_more_for(object);
        self.proceed();
    }

    pub(super) fn handle_remove(&mut self, object: ObjectId) {
        if self.has_member(object) && !self.joiners.contains_key(&object) {
            self.removing.insert(object);
            self.wait_no_more_for(object);
            self.proceed();
        }
    }

    pub(super) fn wait_no_more_for(&mut self, object: ObjectId) {
        if let Phase::Gathering { waiting, .. } | Phase::Announcing { waiting } = &mut self.phase {
            waiting.remove(&object);
        }
    }

    fn is_logging_removal_of(&self, object: ObjectId) -> bool {
        self.logging.iter().any(|record| {
            matches!(record, LogRecord::Decided { decision, .. } if decision.is_removal_of(object))
        })
    }

    /// Why this life of an object would be refused, if it would (rule P12): another one has its place, or it was removed.
    ///
    /// ```
    /// # use leap_core::*;
    /// # let hotel = ObjectId::from_name("hotel");
    /// # let mut coordinator = Coordinator::recover(1, None, []);
    /// # while coordinator.poll_effect().is_some() {}
    /// # let join = |incarnation| CoordinatorInput::Message(ToCoordinator::Join {
    /// #     object: hotel,
    /// #     incarnation,
    /// #     fragment: Fragment::default(),
    /// # });
    /// let (home, other) = (Incarnation::of(1, 0, 1).unwrap(), Incarnation::of(2, 0, 5).unwrap());
    /// coordinator.handle(join(home));
    /// assert_eq!(coordinator.refusal_of(hotel, home), None);
    /// assert!(coordinator.refusal_of(hotel, other).is_some(), "it is in another storage");
    /// ```
    pub fn refusal_of(&self, object: ObjectId, incarnation: Incarnation) -> Option<Refusal> {
        let member = self.ledger.members().get(&object);
        if let Some(Member {
            incarnation: last,
            standing: Standing::Removed { committed },
        }) = member
        {
            if incarnation == *last || last.supersedes(incarnation) {
                return Some(Refusal::Removed);
            }
            // Its version numbers would pass for those of what is lost.
            if *committed > Version::ZERO && !incarnation.may_hold_what_was_of(*last) {
                return Some(Refusal::OtherStorage { by: *last });
            }
        }
        let by = self.life_of(object).filter(|&by| by != incarnation)?;
        // From the moment that the next life asks to join, the old one counts for nothing.
        if by.supersedes(incarnation) {
            return Some(Refusal::Fenced { by });
        }
        // Nothing of it is in any storage.
        let is_nothing = !self.joiners.contains_key(&object)
            && member.is_some_and(|member| member.standing == Standing::Left(Version::ZERO));
        // However many lives another storage counts, it does not know what the object has done.
        (!incarnation.supersedes(by) && !is_nothing).then_some(Refusal::OtherStorage { by })
    }

    fn handle_report(
        &mut self,
        object: ObjectId,
        incarnation: Incarnation,
        answers: Option<GatherId>,
        fragment: Fragment,
    ) {
        if !self.is_member(object, incarnation) {
            return;
        }
        if fragment.world_line < self.world_line() {
            let missed = self.ledger.recent().after(fragment.world_line);
            let missed: Vec<_> = missed.into_iter().flatten().cloned().collect();
            for decision in missed {
                self.tell(object, incarnation, ToParticipant::Decide(decision));
            }
            return;
        }
        if self.is_learning() {
            self.learn([(object, &fragment)]);
        }
        match &mut self.phase {
            Phase::Gathering {
                gather,
                waiting,
                fragments,
            } => {
                if answers == Some(*gather) {
                    waiting.remove(&object);
                    fragments.insert(object, fragment);
                } else if waiting.contains(&object) {
                    let gather = *gather;
                    self.tell(object, incarnation, ToParticipant::Gather { gather });
                }
            }
            Phase::Announcing { waiting } => {
                waiting.remove(&object);
                self.end_gather_of(object, incarnation, answers);
            }
            Phase::Steady => self.end_gather_of(object, incarnation, answers),
            // The gather that it answers ends with the decision.
            Phase::Logging => {}
        }
        self.proceed();
    }

    /// A participant that was away when a gather ended still believes in it.
    fn end_gather_of(
        &mut self,
        object: ObjectId,
        incarnation: Incarnation,
        gather: Option<GatherId>,
    ) {
        if let Some(gather) = gather {
            self.tell(object, incarnation, ToParticipant::GatherDone { gather });
        }
    }

    fn handle_leave(&mut self, object: ObjectId, incarnation: Incarnation, version: Version) {
        let record = LogRecord::Left {
            object,
            incarnation,
            version,
        };
        let member = self.ledger.members().get(&object);
        if member.is_some_and(|m| {
            m.incarnation == incarnation && matches!(m.standing, Standing::Left(_))
        }) {
            // The answer was lost on the way.
            self.tell(object, incarnation, ToParticipant::Left { incarnation });
        } else if self.is_member(object, incarnation) && !self.logging.contains(&record) {
            // Whatever is being repaired, an object with everything committed loses nothing.
            self.log(record);
        }
    }

    fn is_member(&self, object: ObjectId, incarnation: Incarnation) -> bool {
        self.ledger.members().get(&object).is_some_and(|member| {
            member.is_present(incarnation)
                || !self.rules.fencing && member.standing == Standing::Present
        })
    }

    /// While a decision is being logged the graph already lacks what it removes, and participants do
    /// not know yet; each reports again when it has entered the new world-line.
    fn is_learning(&self) -> bool {
        self.phase != Phase::Logging
    }

    /// Takes durable vertices and what is known to be committed into the graph.
    pub(super) fn learn<'a>(
        &mut self,
        fragments: impl IntoIterator<Item = (ObjectId, &'a Fragment)> + Clone,
    ) {
        let committed = fragments
            .clone()
            .into_iter()
            .map(|(object, fragment)| (object, fragment.committed));
        self.graph.remember_committed(committed);
        for (object, fragment) in fragments {
            for version in fragment.versions.iter().filter(|version| version.durable) {
                self.graph
                    .persist(object, version.version, &version.dependencies);
            }
        }
    }

    pub(super) fn tell(
        &mut self,
        object: ObjectId,
        incarnation: Incarnation,
        message: ToParticipant,
    ) {
        self.effects
            .push_back(CoordinatorEffect::ToObject(object, incarnation, message));
    }

    pub(super) fn refuse(&mut self, object: ObjectId, incarnation: Incarnation, refusal: Refusal) {
        self.tell(
            object,
            incarnation,
            ToParticipant::Refused {
                incarnation,
                refusal,
            },
        );
    }
}
