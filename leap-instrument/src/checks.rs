//! Which calls need a check.
//!
//! Those that may capture, but for calls in *tail position*: what the callee returns is at once
//! returned by the caller, and no handler of the caller's is around.
//!
//! ```wat
//! (func $f (param i32) (result i32)
//!   (if (result i32) (local.get 0)
//!     (then (call $g (local.get 0)))     ;; in tail position
//!     (else (i32.const 1))))
//! ```
//!
//! Whether such a callee has returned or is unwinding, the caller returns what it got, and the
//! check after its own call sees to the rest. So its frame leaves no record: a rebuilt stack has
//! one frame less, with nothing left to do for it. That costs no poll that anybody would wait for:
//! between two checks there is at most one way down the stack and one up.
//!
//! Calls of the host's functions are checked all the same, so that the caller of a function that
//! waits in the host has a record, which traces show. (A caller by tail call has none: it is gone.)

use crate::body::{Body, Callee, FrameId, FrameKind, Op};
use crate::capture_graph::CaptureGraph;
use crate::module::Module;

/// The answer for one body.
pub(crate) struct Checks {
    /// By place of the code.
    is_checked: Vec<bool>,
}

impl Checks {
    pub(crate) fn new(module: &Module, graph: &CaptureGraph, body: &Body) -> Self {
        let returns = at_once_returning(body);
        let mut handlers = 0_u32;
        let mut is_checked = vec![false; body.code.len()];
        for (place, inst) in body.code.iter().enumerate() {
            match inst.op {
                Op::Open(frame) if is_try(body, frame) => handlers += 1,
                Op::End(frame) if is_try(body, frame) => handlers -= 1,
                Op::Call { callee, .. } if graph.call_may_capture(module, callee) => {
                    let is_transparent = handlers == 0
                        && returns[place + 1]
                        && *module.callee_type(callee).results == *body.results()
                        && !may_enter_host(module, graph, callee);
                    is_checked[place] = !is_transparent;
                }
                _ => {}
            }
        }
        Self { is_checked }
    }

    /// Whether the call at this place is checked.
    pub(crate) fn at(&self, place: usize) -> bool {
        self.is_checked[place]
    }
}

fn is_try(body: &Body, frame: FrameId) -> bool {
    body.frame(frame).kind == FrameKind::Try
}

fn may_enter_host(module: &Module, graph: &CaptureGraph, callee: Callee) -> bool {
    match callee {
        Callee::Function(function) => function < module.imported.functions,
        Callee::Indirect { .. } => graph.may_be_import(module, callee),
    }
}

/// By place: whether control goes from before it straight to the function's end, with what lies
/// on top of the operands as results.
fn at_once_returning(body: &Body) -> Vec<bool> {
    let mut returns = vec![false; body.code.len() + 1];
    let after = |returns: &[bool], frame: FrameId| {
        let shape = body.frame(frame);
        let end = shape.end as usize + 1;
        // Behind the function's end there is its return.
        end == body.code.len() || (*shape.results == *body.results() && returns[end])
    };
    for (place, inst) in body.code.iter().enumerate().rev() {
        returns[place] = match inst.op {
            Op::Return => true,
            Op::End(frame) | Op::Else(frame) => after(&returns, frame),
            Op::Br(target) => body.frame(target).kind != FrameKind::Loop && after(&returns, target),
            _ => false,
        };
    }
    returns
}
