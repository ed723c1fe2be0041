//! Who is let in, with what, and what it is told of the boundary.

use std::collections::BTreeMap;

use super::{Coordinator, Joiner, Phase, cut::newest};
use crate::{
    id::{ObjectId, Version},
    incarnation::Incarnation,
    ledger::{LogRecord, Standing},
    message::{Refusal, ToParticipant},
};

impl Coordinator {
    /// Admits whoever lost nothing. Returns whether somebody remains who did.
    pub(super) fn admit_joiners(&mut self) -> bool {
        let mut failed = false;
        for (object, joiner) in self.joiners.clone() {
            let incarnation = joiner.incarnation;
            match self.ledger.members().get(&object) {
                Some(member) if member.is_present(incarnation) => self.admit(object),
                Some(member) if member.standing == Standing::Present => {
                    failed |= incarnation.supersedes(member.incarnation);
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
    pub(super) fn refuse_loss(
        &mut self,
        object: ObjectId,
        incarnation: Incarnation,
        found: Version,
    ) -> bool {
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

    pub(super) fn admit(&mut self, object: ObjectId) {
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
    pub(super) fn admit_again(&mut self, object: ObjectId, joiner: Joiner) {
        let incarnation = joiner.incarnation;
        let keep = newest(&self.ledger.surviving(object, joiner.fragment));
        if keep >= self.graph.committed(object) {
            self.tell_admission(object, incarnation, keep);
        }
    }

    /// Not while a decision is on its way to the log. Who is removed must not hear of more than the
    /// decision says; and a coordinator that was superseded, and asks lives that began after a decision that it does
    /// not know, learns of its end by that record.
    pub(super) fn may_tell_boundary(&self) -> bool {
        self.boundary_is_known && self.phase != Phase::Logging
    }

    /// The whole boundary; nothing while it must not be told, and then it comes as news.
    pub(super) fn boundary_to_tell(&self) -> BTreeMap<ObjectId, Version> {
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
}
