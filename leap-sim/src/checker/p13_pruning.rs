//! Rule P13: what lies below the boundary is pruned; storage and graph do not grow with time.

use super::{Checker, Fact, require};
use crate::truth::Truth;

/// Looks at what is left when everything has come to rest.
pub(super) struct Pruning;

impl Checker for Pruning {
    fn name(&self) -> &'static str {
        "p13_pruning"
    }

    fn observe(&mut self, _truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Converged(rest) = fact else {
            return Ok(());
        };
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
