//! End to end: nothing that was released ever depends on lost state.

use super::{Checker, Fact, require};
use crate::truth::Truth;

/// Judges each loss against all that was ever released.
pub(super) struct FailureTransparency;

impl Checker for FailureTransparency {
    fn name(&self) -> &'static str {
        "failure_transparency"
    }

    fn observe(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        if let Fact::Lost { vertex } = fact {
            let vertex = &truth[*vertex];
            require!(
                !vertex.released,
                "{:?} at {:?} is lost, but something released depends on it",
                vertex.object,
                vertex.version
            );
        }
        Ok(())
    }
}
