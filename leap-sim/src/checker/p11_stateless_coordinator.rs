//! Rule P11: the coordinator writes nothing on the failure-free path, and after a restart answers no
//! boundary question until all members have answered.

use std::collections::{BTreeMap, BTreeSet};

use leap_core::{LogRecord, ObjectId, decision::Cause};

use super::{Checker, Fact, require};
use crate::truth::Truth;

/// Counts what is logged against what gave cause, and watches a new coordinator's first boundary.
#[derive(Default)]
pub(super) struct StatelessCoordinator {
    failures: BTreeMap<ObjectId, u32>,
    decided: BTreeMap<ObjectId, u32>,
    told: BTreeSet<u64>,
}

impl Checker for StatelessCoordinator {
    fn name(&self) -> &'static str {
        "p11_stateless_coordinator"
    }

    fn observe(&mut self, _truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Started {
                object,
                failed: true,
            } => *self.failures.entry(*object).or_default() += 1,
            Fact::Logged {
                record: LogRecord::Decided { decision, .. },
                ..
            } => {
                // A removal has another cause.
                let Cause::Failed { object, .. } = decision.cause else {
                    return Ok(());
                };
                let decided = self.decided.entry(object).or_default();
                *decided += 1;
                let failures = self.failures.get(&object).copied().unwrap_or(0);
                require!(
                    *decided <= failures,
                    "{decided} decisions about {object:?}, which failed {failures} times"
                );
            }
            Fact::Published {
                term,
                boundary,
                members,
                heard,
                ..
            } if !boundary.is_empty() && self.told.insert(*term) => {
                let silent: Vec<_> = members.difference(heard).collect();
                require!(
                    silent.is_empty(),
                    "the coordinator of term {term} told a boundary before {silent:?} had answered"
                );
            }
            _ => {}
        }
        Ok(())
    }
}
