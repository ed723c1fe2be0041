//! End to end: what outsiders asked for was done exactly once, and no token was lost or made.

use super::{Checker, Fact, require};
use crate::truth::Truth;

/// Looks at the accounts when everything has come to rest.
pub(super) struct ExactlyOnce;

impl Checker for ExactlyOnce {
    fn name(&self) -> &'static str {
        "exactly_once"
    }

    fn observe(&mut self, _truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Converged(rest) = fact else {
            return Ok(());
        };
        for (request, answered, found) in &rest.requests {
            require!(
                *answered && *found == 1,
                "request {request}: answered: {answered}, carried out {found} times"
            );
        }
        require!(
            rest.tokens == rest.tokens_at_start,
            "{} tokens at the end, {} at the start",
            rest.tokens,
            rest.tokens_at_start
        );
        Ok(())
    }
}
