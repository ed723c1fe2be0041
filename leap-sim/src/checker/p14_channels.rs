//! Rule P14: payloads between two objects are consumed exactly once and in order, as both ends' own
//! states remember.

use super::{Checker, Fact, require};
use crate::truth::Truth;

/// Judges each delivery, and at the end that nothing is missing.
pub(super) struct Channels;

impl Checker for Channels {
    fn name(&self) -> &'static str {
        "p14_channels"
    }

    fn observe(&mut self, _truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Delivered {
                from,
                to,
                expected,
                found,
            } => require!(
                expected == found,
                "{to:?} consumed payload {found} of {from:?}, but {expected} is next"
            ),
            Fact::Converged(rest) => {
                for (from, to, sent, received) in &rest.channels {
                    require!(
                        sent == received,
                        "{from:?} sent {sent} payloads to {to:?}, which received {received}"
                    );
                }
            }
            _ => {}
        }
        Ok(())
    }
}
