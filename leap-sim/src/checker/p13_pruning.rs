//! Rule P13: what lies below the boundary is pruned; storage and graph do not grow with time, and the
//! coordinator's log does not grow with failures.

use super::{Checker, Fact, require};
use crate::truth::Truth;

/// Looks at what is left when everything has come to rest, and at the log whenever it is shortened.
pub(super) struct Pruning;

impl Checker for Pruning {
    fn name(&self) -> &'static str {
        "p13_pruning"
    }

    fn observe(&mut self, _truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        if let Fact::LogShortened { entries, allowed } = fact {
            require!(
                entries <= allowed,
                "the coordinator's log keeps {entries} entries, at most {allowed} can be needed"
            );
        }
        let Fact::Converged(rest) = fact else {
            return Ok(());
        };
        let (records, allowed) = rest.log;
        require!(
            records <= allowed,
            "the coordinator's log holds {records} records, {allowed} are enough for its members"
        );
        for (object, stored, allowed) in &rest.stored {
            require!(
                stored <= allowed,
                "storage of {object:?} holds {stored} versions, at most {allowed} are needed"
            );
        }
        for (object, kept, held) in &rest.kept {
            require!(
                *kept == 0 && *held == 0,
                "{object:?} still keeps {kept} sent messages and holds {held} received ones"
            );
        }
        require!(
            rest.graph == 0,
            "{} vertices are left in the graph",
            rest.graph
        );
        Ok(())
    }
}
