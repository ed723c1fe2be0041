//! Rule P4: a version consumes only from versions that are not higher, so {vertices with version <= k}
//! is closed for every k. What is committed can never be lost and needs no order.

use super::{Checker, Fact, require};
use crate::truth::Truth;

/// Judges each edge when it is made.
pub(super) struct CommitOrdering;

impl Checker for CommitOrdering {
    fn name(&self) -> &'static str {
        "p04_commit_ordering"
    }

    fn observe(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        let Fact::Consumed {
            consumer, message, ..
        } = fact
        else {
            return Ok(());
        };
        let consumer = &truth[*consumer];
        for &vertex in *message {
            let sender = &truth[vertex];
            require!(
                sender.version <= consumer.version
                    || sender.is_settled()
                    || sender.object == consumer.object,
                "{:?} at {:?} consumed from {:?} at {:?}, which is not committed",
                consumer.object,
                consumer.version,
                sender.object,
                sender.version
            );
        }
        Ok(())
    }
}
