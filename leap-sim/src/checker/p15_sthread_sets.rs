//! Rule P15: an sthread's set names at most one vertex per object.

use super::{Checker, Fact, require};
use crate::truth::Truth;

/// Judges the set after each message that an sthread consumes.
pub(super) struct SThreadSets;

impl Checker for SThreadSets {
    fn name(&self) -> &'static str {
        "p15_sthread_sets"
    }

    fn observe(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::SThreadConsumed {
            message,
            seen,
            objects,
            ..
        } = fact
        else {
            return Ok(());
        };
        require!(
            seen.len() <= *objects,
            "{} dependencies on {objects} objects: {seen:?}",
            seen.len()
        );
        for &vertex in *message {
            let vertex = &truth[vertex];
            require!(
                vertex.is_settled() || seen.version_of(vertex.object) >= Some(vertex.version),
                "an sthread consumed from {:?} at {:?}, but has seen {seen:?}",
                vertex.object,
                vertex.version
            );
        }
        Ok(())
    }
}
