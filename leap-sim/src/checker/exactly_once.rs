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
        for request in &rest.requests {
            let once = request.answered && request.found == 1;
            // Who never comes back has taken it along.
            let taken = request.found == 0 && request.is_banned;
            require!(
                once || taken,
                "request {}: answered: {}, carried out {} times",
                request.number,
                request.answered,
                request.found
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
