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
//! whatever others have stored may be inside the boundary, and what is inside does not say what it rests on. So what is
//! stored stays, and what it has seen of the removed member counts as committed from then on. The member comes back only
//! if it has all of that, and if nothing that it has is in doubt because of others that were removed with it.
//!
//! # Invariants
//!
//! - The boundary only grows (rule P7); a decision never cuts below it.
//! - `world_line` is that of the newest durable decision, and all `Persisted` in the graph are of it.
//! - One gather or decision is under way at a time.

mod cut;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    decision::{Cause, Decision},
    graph::Graph,
    id::{Incarnation, ObjectId, Version, WorldLine},
    ledger::{Ledger, LogRecord, REMEMBERED, Standing},
    message::{Fragment, GatherId, Refusal, ToCoordinator, ToParticipant},
    rules::Rules,
};

/// The driver's own name for a link to one OS process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkId(pub u64);

/// What the coordinator can be told.
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
    /// The oldest log record that was not durable yet is durable.
    Logged,
    /// This member will never come back, as somebody knows who is not part of the protocol. It loses what is not
    /// inside the boundary, and is not waited for any more. Ignored for whoever is no member, or is
    /// about to come back.
    Remove(ObjectId),
}

/// What the coordinator's driver must do, in order.
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
    #[must_use]
    pub fn with_rules(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    /// Remembers so many decisions for processes that were away, and at least one. What they have seen
    /// before the oldest of these counts as rolled back.
    #[must_use]
    pub fn with_remembered(mut self, decisions: usize) -> Self {
        self.remembered = decisions;
        self.ledger.trim(decisions);
        self
    }

    /// The world-line of the newest decision.
    pub fn world_line(&self) -> WorldLine {
        self.ledger.world_line()
    }

    /// The newest decisions, oldest first.
    pub fn decisions(&self) -> impl Iterator<Item = &Decision> {
        self.ledger.recent().iter()
    }

    /// The boundary, once it is known.
    pub fn boundary(&self) -> Option<BTreeMap<ObjectId, Version>> {
        self.boundary_is_known.then(|| self.graph.boundary())
    }

    /// How many vertices are persisted and not inside the boundary.
    pub fn uncommitted(&self) -> usize {
        self.graph.uncommitted()
    }

    /// Who holds the boundary back: objects with the oldest version that is awaited of them, and how
    /// many persisted vertices wait for it.
    pub fn awaited(&self) -> impl Iterator<Item = (ObjectId, Version, usize)> + '_ {
        self.graph.awaited()
    }

    /// The members that a gather or an announcement waits for; empty when nothing is being repaired.
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
    pub fn is_superseded(&self) -> bool {
        self.is_superseded
    }

    /// The members that take part, with their newest admitted incarnations.
    pub fn members(&self) -> impl Iterator<Item = (ObjectId, Incarnation)> + '_ {
        self.ledger.present()
    }

    /// Whether `object` is a member that takes part, and nobody has asked to remove it.
    pub fn has_member(&self, object: ObjectId) -> bool {
        !self.removing.contains(&object)
            && self
                .ledger
                .members()
                .get(&object)
                .is_some_and(|member| member.standing == Standing::Present)
    }

    /// Takes in one input. See the driver contract in the [crate documentation](crate); inputs may
    /// be taken in several at a time before effects are drained, which bundles boundary news.
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
            CoordinatorInput::Remove(object) => self.handle_remove(object),
        }
    }

    /// The next thing to do. News of the boundary comes last, so that it comes in few pieces.
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

/// What participants say.
impl Coordinator {
    /// Whether somebody knows a gather or a decision that is not ours. All of ours are durable before
    /// anybody knows them, so only a successor can be behind it. Our word is worth nothing then: we
    /// would end its gathers, and take a version that was named after its decision for one of the same
    /// number that was removed by it.
    fn shows_successor(&self, input: &CoordinatorInput) -> bool {
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

    fn welcome(
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

    fn handle_message(&mut self, message: ToCoordinator) {
        let (object, incarnation) = message.sender();
        if self.has_removed(object, incarnation) {
            return self.refuse(object, incarnation, Refusal::Removed);
        }
        let newest = self.newest_incarnation(object);
        // Rule P12: from the moment that the next life asks to join, the old one counts for nothing.
        if self.rules.fencing && incarnation < newest {
            return self.refuse(object, incarnation, Refusal::Fenced { by: newest });
        }
        if self.removing.contains(&object) && incarnation == newest {
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
        self.joiners.insert(object, joiner);
        if !self.is_logging_removal_of(object) {
            self.removing.remove(&object);
        }
        // Whatever the old life would have answered is lost with it.
        self.wait_no_more_for(object);
        self.proceed();
    }

    fn handle_remove(&mut self, object: ObjectId) {
        if self.has_member(object) && !self.joiners.contains_key(&object) {
            self.removing.insert(object);
            self.wait_no_more_for(object);
            self.proceed();
        }
    }

    fn wait_no_more_for(&mut self, object: ObjectId) {
        if let Phase::Gathering { waiting, .. } | Phase::Announcing { waiting } = &mut self.phase {
            waiting.remove(&object);
        }
    }

    fn is_logging_removal_of(&self, object: ObjectId) -> bool {
        self.logging.iter().any(|record| {
            matches!(record, LogRecord::Decided { decision, .. } if decision.is_removal_of(object))
        })
    }

    /// Whether this life of an object ended with its removal.
    fn has_removed(&self, object: ObjectId, incarnation: Incarnation) -> bool {
        self.ledger.members().get(&object).is_some_and(|member| {
            matches!(member.standing, Standing::Removed { .. }) && incarnation <= member.incarnation
        })
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

    fn newest_incarnation(&self, object: ObjectId) -> Incarnation {
        let admitted = self.ledger.members().get(&object);
        let admitted = admitted.map(|member| member.incarnation);
        let joining = self.joiners.get(&object).map(|joiner| joiner.incarnation);
        admitted.max(joining).unwrap_or_default()
    }

    /// Takes durable vertices and what is known to be committed into the graph.
    fn learn<'a>(&mut self, fragments: impl IntoIterator<Item = (ObjectId, &'a Fragment)> + Clone) {
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

    fn tell(&mut self, object: ObjectId, incarnation: Incarnation, message: ToParticipant) {
        self.effects
            .push_back(CoordinatorEffect::ToObject(object, incarnation, message));
    }

    fn refuse(&mut self, object: ObjectId, incarnation: Incarnation, refusal: Refusal) {
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

/// The repair of failures.
impl Coordinator {
    /// Moves on as far as nothing has to be waited for.
    fn proceed(&mut self) {
        loop {
            match &self.phase {
                Phase::Gathering { waiting, .. } if waiting.is_empty() => self.finish_gather(),
                Phase::Announcing { waiting } if waiting.is_empty() => self.phase = Phase::Steady,
                Phase::Gathering { .. } | Phase::Announcing { .. } | Phase::Logging => return,
                Phase::Steady => {
                    if !self.admit_joiners() && self.removing.is_empty() {
                        return;
                    }
                    self.start_gather();
                }
            }
        }
    }

    /// Admits whoever lost nothing. Returns whether somebody remains who did.
    fn admit_joiners(&mut self) -> bool {
        let mut failed = false;
        for (object, joiner) in self.joiners.clone() {
            let incarnation = joiner.incarnation;
            match self.ledger.members().get(&object) {
                Some(member) if member.is_present(incarnation) => self.admit(object),
                Some(member) if member.standing == Standing::Present => {
                    failed |= member.incarnation < incarnation;
                }
                Some(_) | None => self.log_join(object, joiner),
            }
        }
        failed
    }

    /// Puts on record that an object is a member, for the first time or again.
    fn log_join(&mut self, object: ObjectId, joiner: Joiner) {
        let incarnation = joiner.incarnation;
        if self.ledger.is_in_doubt(object, &joiner.fragment) {
            self.joiners.remove(&object);
            return self.refuse(object, incarnation, Refusal::Removed);
        }
        let keep = newest(&self.ledger.surviving(object, joiner.fragment));
        if self.refuse_loss(object, incarnation, keep) {
            self.joiners.remove(&object);
            return;
        }
        let record = LogRecord::Joined {
            object,
            incarnation,
            keep,
        };
        if !self.logging.contains(&record) {
            self.log(record);
        }
    }

    /// Refuses an object whose storage has lost what was committed.
    fn refuse_loss(&mut self, object: ObjectId, incarnation: Incarnation, found: Version) -> bool {
        let committed = self.graph.committed(object);
        let is_lost = found < committed;
        if is_lost {
            self.refuse(
                object,
                incarnation,
                Refusal::LostCommitted { committed, found },
            );
        }
        is_lost
    }

    fn admit(&mut self, object: ObjectId) {
        let joiner = self
            .joiners
            .remove(&object)
            .expect("only joiners are admitted");
        let incarnation = joiner.incarnation;
        let fragment = self.ledger.surviving(object, joiner.fragment);
        let keep = newest(&fragment);
        if self.refuse_loss(object, incarnation, keep) {
            return;
        }
        self.learn([(object, &fragment)]);
        self.tell_admission(object, incarnation, keep);
    }

    /// Either its admission was lost on the way, or this question is a late copy from an old link and
    /// the object lives and has perhaps committed more since. So it is not taken for a joiner: a gather
    /// still waits for its report, and what it would lose by starting again is no loss.
    fn admit_again(&mut self, object: ObjectId, joiner: Joiner) {
        let incarnation = joiner.incarnation;
        let keep = newest(&self.ledger.surviving(object, joiner.fragment));
        if keep >= self.graph.committed(object) {
            self.tell_admission(object, incarnation, keep);
        }
    }

    /// Not while a decision is on its way to the log. Who is removed must not hear of more than the
    /// decision says; and a coordinator that was superseded, and asks lives that began after a decision that it does
    /// not know, learns of its end by that record.
    fn may_tell_boundary(&self) -> bool {
        self.boundary_is_known && self.phase != Phase::Logging
    }

    /// The whole boundary; nothing while it must not be told, and then it comes as news.
    fn boundary_to_tell(&self) -> BTreeMap<ObjectId, Version> {
        let boundary = self.may_tell_boundary().then(|| self.graph.boundary());
        boundary.unwrap_or_default()
    }

    fn tell_admission(&mut self, object: ObjectId, incarnation: Incarnation, keep: Version) {
        let message = ToParticipant::Admit {
            incarnation,
            world_line: self.world_line(),
            keep,
            boundary: self.boundary_to_tell(),
        };
        self.tell(object, incarnation, message);
    }

    fn start_gather(&mut self) {
        self.gathers += 1;
        let gather = GatherId {
            term: self.term,
            number: self.gathers,
        };
        let waiting = self.present().collect();
        self.phase = Phase::Gathering {
            gather,
            waiting,
            fragments: BTreeMap::new(),
        };
        self.effects
            .push_back(CoordinatorEffect::Broadcast(ToParticipant::Gather {
                gather,
            }));
    }

    /// The members that live on: neither gone nor about to begin a new life.
    fn present(&self) -> impl Iterator<Item = ObjectId> + '_ {
        self.ledger
            .present()
            .map(|(object, _)| object)
            .filter(|object| !self.joiners.contains_key(object) && !self.removing.contains(object))
    }

    fn finish_gather(&mut self) {
        let Phase::Gathering {
            gather,
            mut fragments,
            ..
        } = std::mem::replace(&mut self.phase, Phase::Steady)
        else {
            unreachable!("only a gather is finished");
        };
        for (object, joiner) in self.joiners.clone() {
            // Who has left or was removed is heard when its return is on record.
            let member = self.ledger.members().get(&object);
            if member.is_some_and(|member| member.standing == Standing::Present) {
                let fragment = self.ledger.surviving(object, joiner.fragment);
                fragments.insert(object, fragment);
            }
        }
        self.learn(
            fragments
                .iter()
                .map(|(&object, fragment)| (object, fragment)),
        );
        let cause = self.next_cause();
        match &cause {
            // Who is removed without having answered is a member until that is on record.
            Some(Cause::Removed(objects)) if !self.boundary_is_known => {
                self.trust_what_rests_on(objects, &fragments);
            }
            _ => self.know_boundary(),
        }
        match cause {
            Some(cause) => self.decide(cause, fragments),
            None => {
                self.effects
                    .push_back(CoordinatorEffect::Broadcast(ToParticipant::GatherDone {
                        gather,
                    }));
            }
        }
    }

    /// Of an object that is removed and cannot be asked, nobody knows what was inside the boundary. What others have in
    /// storage may have been, and then outsiders may have seen it: it must stay, whatever becomes of what it rests on.
    fn trust_what_rests_on(
        &mut self,
        removed: &BTreeSet<ObjectId>,
        fragments: &BTreeMap<ObjectId, Fragment>,
    ) {
        let told = std::mem::take(&mut self.told);
        let rested_on = cut::rested_on(removed, fragments);
        self.graph
            .remember_committed(told.into_iter().chain(rested_on));
    }

    fn know_boundary(&mut self) {
        self.boundary_is_known = true;
        self.told.clear();
    }

    fn decide(&mut self, cause: Cause, mut fragments: BTreeMap<ObjectId, Fragment>) {
        let keep = match &cause {
            Cause::Failed { object, .. } => BTreeMap::from([(*object, newest(&fragments[object]))]),
            Cause::Removed(objects) => {
                fragments.retain(|object, _| !objects.contains(object));
                let keep = objects.iter().map(|&o| (o, self.graph.committed(o)));
                keep.collect()
            }
        };
        for (&object, fragment) in &mut fragments {
            forget_committed(fragment, self.graph.committed(object));
        }
        let cut = cut::consistent(keep, &fragments);
        self.graph.roll_back(&cut);
        self.phase = Phase::Logging;
        let boundary = match cause {
            Cause::Failed { .. } => BTreeMap::new(),
            Cause::Removed(_) => self.graph.boundary(),
        };
        let world_line = self.world_line().next();
        let decision = Decision {
            world_line,
            cause,
            cut,
        };
        let blindly = !self.boundary_is_known;
        self.log(LogRecord::Decided {
            decision,
            boundary,
            blindly,
        });
    }

    /// What is to be repaired next. Removals first: what the removed would lose by any other decision nobody
    /// can know, so that must not be taken while they are members.
    fn next_cause(&mut self) -> Option<Cause> {
        if self.removing.is_empty() {
            self.next_failed()
        } else {
            Some(Cause::Removed(self.removing.clone()))
        }
    }

    /// The first of the members whose next life waits, after refusing those whose storage has lost
    /// what was committed.
    fn next_failed(&mut self) -> Option<Cause> {
        for (object, joiner) in self.joiners.clone() {
            let successor = joiner.incarnation;
            let member = self.ledger.members().get(&object);
            if !member.is_some_and(|member| {
                member.standing == Standing::Present && member.incarnation < successor
            }) {
                continue;
            }
            let found = newest(&self.ledger.surviving(object, joiner.fragment));
            if !self.refuse_loss(object, successor, found) {
                return Some(Cause::Failed { object, successor });
            }
            self.joiners.remove(&object);
        }
        None
    }
}

/// The log.
impl Coordinator {
    fn log(&mut self, record: LogRecord) {
        self.logging.push_back(record.clone());
        self.effects
            .push_back(CoordinatorEffect::Log(record.clone()));
        if !self.rules.log_before_release {
            self.act_on(record);
        }
    }

    fn apply(&mut self, record: &LogRecord) {
        self.ledger.apply(record, self.remembered);
        self.records += 1;
    }

    /// A record is durable: only now may anyone learn of it (rule P10).
    fn act_on(&mut self, record: LogRecord) {
        self.apply(&record);
        match record {
            // It waits among the joiners and is admitted as soon as nothing is being repaired.
            LogRecord::Joined { .. } => {}
            LogRecord::Left {
                object,
                incarnation,
                version,
            } => {
                self.graph.remember_committed([(object, version)]);
                self.removing.remove(&object);
                self.wait_no_more_for(object);
                self.tell(object, incarnation, ToParticipant::Left { incarnation });
            }
            LogRecord::Decided { decision, .. } => self.announce(decision),
        }
        self.proceed();
    }

    fn announce(&mut self, decision: Decision) {
        // The log is done with: from here on the boundary is told again, all of it.
        self.phase = Phase::Steady;
        self.graph.tell_all();
        let cause = decision.cause.clone();
        self.effects
            .push_back(CoordinatorEffect::Broadcast(ToParticipant::Decide(
                decision,
            )));
        match cause {
            Cause::Failed { object, successor } => {
                let joiner = self.joiners.get(&object);
                if joiner.is_some_and(|joiner| joiner.incarnation == successor) {
                    self.admit(object);
                }
            }
            Cause::Removed(objects) => {
                self.removing.retain(|object| !objects.contains(object));
                // One that waits to be admitted does not listen to decisions.
                for object in objects {
                    let incarnation = self.ledger.members()[&object].incarnation;
                    self.refuse(object, incarnation, Refusal::Removed);
                }
                self.know_boundary();
            }
        }
        let waiting = match self.rules.acknowledgement {
            true => self.present().collect(),
            false => BTreeSet::new(),
        };
        self.phase = Phase::Announcing { waiting };
    }

    /// Whether one checkpoint should take the place of the records: the log grows neither with work nor with
    /// failures, only with members (rule P13).
    fn is_log_long(&self) -> bool {
        self.phase == Phase::Steady
            && self.logging.is_empty()
            && self.records > 2 * self.ledger.members().len()
    }

    fn shorten_log(&mut self) -> Ledger {
        self.ledger.forget(|object| self.graph.committed(object));
        self.records = 0;
        self.ledger.clone()
    }
}

/// What is inside the boundary is nothing that a decision could remove (rule P7).
fn forget_committed(fragment: &mut Fragment, committed: Version) {
    fragment.committed = fragment.committed.max(committed);
    fragment.versions.retain(|entry| entry.version > committed);
}

/// The newest version of a fragment.
fn newest(fragment: &Fragment) -> Version {
    fragment
        .versions
        .last()
        .map_or(fragment.committed, |entry| entry.version)
}
