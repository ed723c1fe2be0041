//! Rule P9: a decision removes what the failed object lost and, to the least fixpoint, what depends on
//! it; it keeps all else.
//!
//! With one failure at a time the two halves below meet, and the cut must be exactly the fixpoint. With
//! several, the first decision may or may not see what only the second is about; then it must lie
//! between both.

use leap_core::{Decision, LogRecord};

use super::{Checker, Fact, require};
use crate::truth::Truth;

/// Judges each decision when it becomes durable, before anyone acts on it.
pub(super) struct ExactRollback;

impl Checker for ExactRollback {
    fn name(&self) -> &'static str {
        "p09_exact_rollback"
    }

    fn observe(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        if let Fact::Logged {
            record: LogRecord::Decided(decision),
        } = fact
        {
            removes_enough(truth, decision)?;
            removes_nothing_else(truth, decision)?;
        }
        Ok(())
    }
}

/// Whatever depends on what the failed object lost, over what lives, must go.
fn removes_enough(truth: &Truth, decision: &Decision) -> Result<(), String> {
    let tainted = truth.tainted(
        |vertex| {
            vertex.lost
                && vertex.object == decision.failed
                && vertex.incarnation < decision.incarnation
        },
        |vertex| !vertex.lost,
    );
    for (id, vertex) in truth.all() {
        require!(
            vertex.lost
                || !Truth::is_tainted(&tainted, id)
                || decision.removes(vertex.object, vertex.version),
            "{:?} keeps {vertex:?}, which depends on what {:?} lost",
            decision.world_line,
            decision.failed
        );
    }
    Ok(())
}

/// Whatever goes must depend on something that is lost.
fn removes_nothing_else(truth: &Truth, decision: &Decision) -> Result<(), String> {
    let tainted = truth.tainted(|vertex| vertex.lost, |_| true);
    for (id, vertex) in truth.all() {
        require!(
            vertex.lost
                || Truth::is_tainted(&tainted, id)
                || !decision.removes(vertex.object, vertex.version),
            "{:?} removes {vertex:?}, which depends on nothing that is lost",
            decision.world_line
        );
    }
    Ok(())
}
