//! Rule P1: persist and restore never interleave with an action of the same object.

use super::{Checker, Fact, require};
use crate::truth::Truth;

/// No version holds an action's first half without its second, and no state is exchanged under a
/// running action.
pub(super) struct AtomicActions;

impl Checker for AtomicActions {
    fn name(&self) -> &'static str {
        "p01_atomic_actions"
    }

    fn observe(&mut self, _truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Sealed {
                object,
                metadata,
                unfinished_actions,
                ..
            } => require!(
                *unfinished_actions == 0,
                "{object:?} sealed {:?} in the middle of {unfinished_actions} actions",
                metadata.version
            ),
            Fact::Restored {
                object,
                version,
                unfinished_actions,
                running_actions,
                ..
            } => require!(
                *unfinished_actions == 0 && *running_actions == 0,
                "{object:?} was brought back to {version:?}, which holds {unfinished_actions} half actions, \
                 under {running_actions} running ones"
            ),
            _ => {}
        }
        Ok(())
    }
}
