//! Rule P9: a decision removes what the failed object lost and, to the least fixpoint, what depends on
//! it; it keeps all else.
//!
//! With one failure at a time the two halves below meet, and the cut must be exactly the fixpoint. With
//! several, the first decision may or may not see what only the second is about; then it must lie
//! between both.
//!
//! An object that is removed cannot be asked what it has, so all of it that is not known to be inside the boundary, or
//! trusted, is given up: what depends on that may go, and must if it was not inside the boundary in truth either.

use leap_core::{Decision, LogRecord, decision::Cause};

use super::{Checker, Fact, require};
use crate::truth::{TrueVertex, Truth};

/// Judges each decision when it becomes durable, before anyone acts on it.
pub(super) struct ExactRollback;

impl Checker for ExactRollback {
    fn name(&self) -> &'static str {
        "p09_exact_rollback"
    }

    fn observe(&mut self, truth: &Truth, fact: &Fact<'_>) -> Result<(), String> {
        if let Fact::Logged {
            record: LogRecord::Decided { decision, .. },
            ..
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
    let removed = truth.not_closed(|vertex| decision.is_removal_of(vertex.object));
    let tainted = truth.tainted(
        |id, vertex| match decision.cause {
            Cause::Failed { object, successor } => {
                vertex.lost && vertex.object == object && successor.supersedes(vertex.incarnation)
            }
            Cause::Removed(_) => removed.contains(&id) && is_cut(vertex, decision),
        },
        |vertex| !vertex.lost,
    );
    for (id, vertex) in truth.all() {
        require!(
            vertex.lost
                || !Truth::is_tainted(&tainted, id)
                || is_cut(vertex, decision)
                || truth.is_removed(vertex.object),
            "{:?} keeps {vertex:?}, which depends on what is lost with {:?}",
            decision.world_line,
            decision.cause
        );
    }
    Ok(())
}

/// Whatever goes must depend on something that is lost.
fn removes_nothing_else(truth: &Truth, decision: &Decision) -> Result<(), String> {
    let is_given_up =
        |vertex: &TrueVertex| decision.is_removal_of(vertex.object) && is_cut(vertex, decision);
    let tainted = truth.tainted(|_, vertex| vertex.lost || is_given_up(vertex), |_| true);
    for (id, vertex) in truth.all() {
        require!(
            vertex.lost || Truth::is_tainted(&tainted, id) || !is_cut(vertex, decision),
            "{:?} removes {vertex:?}, which depends on nothing that is lost",
            decision.world_line
        );
    }
    Ok(())
}

fn is_cut(vertex: &TrueVertex, decision: &Decision) -> bool {
    decision.removes(vertex.object, vertex.version)
}
