//! A function body as a list of instructions with a table of its frames.
//!
//! Flat on purpose: a body may nest a million blocks deep, so no pass over it may recurse.
//! Every pass is a walk along [`Body::code`], forward or backward, and finds what encloses what
//! in [`Body::frames`]. Unreachable code is gone: the instruction before an [`Op::End`] or
//! [`Op::Else`] may be one that never goes on.

use crate::types::ValType;

/// Names a frame of one body: its place in [`Body::frames`].
pub(crate) type FrameId = u32;

/// The frame of the function itself.
pub(crate) const FUNCTION: FrameId = 0;

pub(crate) struct Body {
    /// Parameters, then declared locals.
    pub(crate) locals: Vec<ValType>,
    pub(crate) code: Vec<Inst>,
    pub(crate) frames: Vec<Frame>,
    /// What the [`Span`]s of this body point into.
    pub(crate) types: Vec<ValType>,
}

/// One reachable instruction, and where it stands in the original module.
pub(crate) struct Inst {
    pub(crate) at: u32,
    pub(crate) end: u32,
    pub(crate) op: Op,
}

/// A list of types, as a range of [`Body::types`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub(crate) from: u32,
    pub(crate) to: u32,
}

pub(crate) enum Op {
    /// Anything that is copied as it stands and that no pass asks about.
    Plain,
    Get(u32),
    Set(u32),
    Tee(u32),
    Open(FrameId),
    Else(FrameId),
    End(FrameId),
    Br(FrameId),
    BrIf(FrameId),
    /// The default target is the last.
    BrTable(Box<[FrameId]>),
    Return,
    Unreachable,
    /// `throw` and `throw_ref`.
    Throw,
    /// `below`: the operands of the innermost frame that lie under the arguments.
    Call {
        callee: Callee,
        below: Span,
    },
    TailCall {
        callee: Callee,
        below: Span,
    },
    /// What continuations must ask the module to do.
    Deed(crate::abi::Deed),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Callee {
    Function(u32),
    Indirect { ty: u32, table: u32 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    Function,
    Block,
    Loop,
    If,
    Try,
}

pub(crate) struct Frame {
    pub(crate) kind: FrameKind,
    pub(crate) parent: FrameId,
    /// Places in [`Body::code`]; the function's frame opens before the first instruction.
    pub(crate) open: u32,
    pub(crate) middle: Option<u32>,
    pub(crate) end: u32,
    pub(crate) params: Box<[ValType]>,
    pub(crate) results: Box<[ValType]>,
    /// The operands of the parent frame that lie under the parameters.
    pub(crate) below: Span,
    pub(crate) catches: Box<[Catch]>,
}

/// A clause of a `try_table`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Catch {
    /// `None` catches all.
    pub(crate) tag: Option<u32>,
    pub(crate) with_reference: bool,
    pub(crate) target: FrameId,
}

impl Body {
    pub(crate) fn frame(&self, frame: FrameId) -> &Frame {
        &self.frames[frame as usize]
    }

    pub(crate) fn types(&self, span: Span) -> &[ValType] {
        &self.types[span.from as usize..span.to as usize]
    }

    pub(crate) fn results(&self) -> &[ValType] {
        &self.frame(FUNCTION).results
    }

    /// The frames that enclose `frame`, and it, outermost first, without the function's.
    pub(crate) fn path(&self, frame: FrameId) -> Vec<FrameId> {
        let mut path = Vec::new();
        let mut at = frame;
        while at != FUNCTION {
            path.push(at);
            at = self.frame(at).parent;
        }
        path.reverse();
        path
    }
}
