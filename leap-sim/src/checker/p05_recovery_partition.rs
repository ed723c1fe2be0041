//! Rule P5: a message is consumed only in the world-line that it was sent in, so nothing that a
//! decision removed is ever consumed behind it, and nothing from behind a decision before it.

use leap_core::WorldLine;

use super::{Checker, Fact, require};
use crate::truth::{Truth, VertexId};

/// Judges each message when it is consumed.
pub(super) struct RecoveryPartition;

impl Checker for RecoveryPartition {
    fn name(&self) -> &'static str {
        "p05_recovery_partition"
    }

    fn observe(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Consumed {
                world_line,
                message,
                ..
            }
            | Fact::SThreadConsumed {
                world_line,
                message,
                ..
            } => judge(truth, *world_line, message),
            _ => Ok(()),
        }
    }
}

fn judge(truth: &Truth, world_line: WorldLine, message: &[VertexId]) -> Result<(), String> {
    for &vertex in message {
        let sender = &truth[vertex];
        require!(
            sender
                .removed_by
                .is_none_or(|removed_by| removed_by > world_line),
            "in {world_line:?} somebody consumed from {:?} at {:?}, which was removed by {:?}",
            sender.object,
            sender.version,
            sender.removed_by
        );
        require!(
            sender.is_settled() || sender.world_line <= world_line,
            "in {world_line:?} somebody consumed from {:?} at {:?}, which belongs to {:?}",
            sender.object,
            sender.version,
            sender.world_line
        );
    }
    Ok(())
}
