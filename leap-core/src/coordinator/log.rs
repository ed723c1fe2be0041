//! The log: what is durable, and only then known (rules P10, P11, P13).

use std::collections::BTreeSet;

use super::{Coordinator, CoordinatorEffect, Phase};
use crate::{
    decision::{Cause, Decision},
    ledger::{Ledger, LogRecord},
    message::{Refusal, ToParticipant},
};

impl Coordinator {
    pub(super) fn log(&mut self, record: LogRecord) {
        self.logging.push_back(record.clone());
        self.effects
            .push_back(CoordinatorEffect::Log(record.clone()));
        if !self.rules.log_before_release {
            self.act_on(record);
        }
    }

    pub(super) fn apply(&mut self, record: &LogRecord) {
        self.ledger.apply(record, self.remembered);
        self.records += 1;
    }

    /// A record is durable: only now may anyone learn of it (rule P10).
    pub(super) fn act_on(&mut self, record: LogRecord) {
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
    pub(super) fn is_log_long(&self) -> bool {
        self.phase == Phase::Steady
            && self.logging.is_empty()
            && self.records > 2 * self.ledger.members().len()
    }

    pub(super) fn shorten_log(&mut self) -> Ledger {
        self.ledger.forget(|object| self.graph.committed(object));
        self.records = 0;
        self.ledger.clone()
    }
}
