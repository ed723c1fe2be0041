//! The repair of failures: gathers, decisions and removals (rules P9, P10).

use std::collections::{BTreeMap, BTreeSet};

use super::{Coordinator, CoordinatorEffect, Phase, cut, cut::newest};
use crate::{
    decision::{Cause, Decision},
    id::{ObjectId, Version},
    ledger::{LogRecord, Standing},
    message::{Fragment, GatherId, ToParticipant},
};

impl Coordinator {
    /// Moves on as far as nothing has to be waited for.
    pub(super) fn proceed(&mut self) {
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

    pub(super) fn start_gather(&mut self) {
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
    pub(super) fn present(&self) -> impl Iterator<Item = ObjectId> + '_ {
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
    /// storage may have been, unless it depends on something volatile, and then outsiders may have seen it: it must
    /// stay, whatever becomes of what it rests on.
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

    pub(super) fn know_boundary(&mut self) {
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
                member.standing == Standing::Present && successor.supersedes(member.incarnation)
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

/// What is inside the boundary is nothing that a decision could remove (rule P7).
fn forget_committed(fragment: &mut Fragment, committed: Version) {
    fragment.committed = fragment.committed.max(committed);
    fragment.versions.retain(|entry| entry.version > committed);
}
