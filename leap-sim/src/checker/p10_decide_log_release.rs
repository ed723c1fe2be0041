//! Rule P10: a decision is durable before anyone acts on it, each opens the next world-line, and the next
//! repair does not begin before all have acknowledged the last.

use leap_core::{LogRecord, WorldLine};

use super::{Checker, Fact, require};
use crate::truth::Truth;

/// Compares the world-lines that participants enter with those in the log, and with those being decided.
#[derive(Default)]
pub(super) struct DecideLogRelease {
    newest: WorldLine,
}

impl Checker for DecideLogRelease {
    fn name(&self) -> &'static str {
        "p10_decide_log_release"
    }

    fn observe(&mut self, _truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Logged {
                record: LogRecord::Decided { decision, .. },
                ..
            } => {
                require!(
                    decision.world_line == self.newest.next(),
                    "{:?} was decided after {:?}",
                    decision.world_line,
                    self.newest
                );
                self.newest = decision.world_line;
            }
            Fact::Repairs { world_line, behind } => require!(
                behind.is_empty(),
                "the next repair goes on before {behind:?} have entered {world_line:?}"
            ),
            Fact::Entered { object, world_line } => require!(
                *world_line <= self.newest,
                "{object:?} entered {world_line:?}, which is not in the log"
            ),
            _ => {}
        }
        Ok(())
    }
}
