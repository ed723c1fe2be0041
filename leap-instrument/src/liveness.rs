//! Which locals are live where a frame may be captured.
//!
//! Exactness pays twice: a dead local that reached a cold path would have its life stretched
//! over the hot one, and would be saved for nothing. The walk goes backward over the flat body,
//! again and again until the loops' heads stand still: twice, or once more per level of nesting
//! in the worst case. Code that asks for more than [`MAX_PASSES`] was made to ask for it, and gets
//! the safe answer that all locals are live at its loops' heads.

use crate::bits::Bits;
use crate::body::{Body, FrameId, FrameKind, Op};

const MAX_PASSES: usize = 64;

/// Calls `visit(place, live)` for every place of [`Body::code`] at which `wanted` holds, with
/// the locals that must be restored when a frame is entered there again: after a call, at the
/// head of a loop, before a tail call.
pub(crate) fn visit_live(
    body: &Body,
    wanted: impl Fn(usize) -> bool,
    mut visit: impl FnMut(usize, &Bits),
) {
    let mut walk = Walk::new(body);
    if !(0..MAX_PASSES).any(|_| !walk.pass(&wanted, &mut |_, _| {})) {
        walk.give_up();
    }
    walk.pass(&wanted, &mut visit);
}

struct Walk<'b> {
    body: &'b Body,
    live: Bits,
    /// By frame: what is live at its end, where branches to it go (but for loops).
    at_end: Vec<Option<Bits>>,
    /// By frame: what is live at the head of a loop, as far as is known yet.
    at_head: Vec<Option<Bits>>,
    heads_are_final: bool,
    /// Of the `if`s with an `else` around the place of the walk: live at the start of the `else`.
    else_starts: Vec<Bits>,
    /// What a throw may need, innermost `try_table` last: all clauses around the place.
    handlers: Vec<Bits>,
}

impl<'b> Walk<'b> {
    fn new(body: &'b Body) -> Self {
        Self {
            body,
            live: Bits::none(body.locals.len()),
            at_end: vec![None; body.frames.len()],
            at_head: vec![None; body.frames.len()],
            heads_are_final: false,
            else_starts: Vec::new(),
            handlers: Vec::new(),
        }
    }

    fn give_up(&mut self) {
        self.heads_are_final = true;
        for head in self.at_head.iter_mut().flatten() {
            *head = Bits::all(self.body.locals.len());
        }
    }

    /// Walks once; tells whether a loop's head has changed.
    fn pass(
        &mut self,
        wanted: &impl Fn(usize) -> bool,
        visit: &mut impl FnMut(usize, &Bits),
    ) -> bool {
        let mut changed = false;
        self.live.clear();
        for (place, inst) in self.body.code.iter().enumerate().rev() {
            match &inst.op {
                Op::Plain | Op::Deed(_) => {}
                Op::Get(local) => self.live.insert(*local),
                Op::Set(local) | Op::Tee(local) => self.live.remove(*local),
                Op::End(frame) => self.enter_from_end(*frame),
                Op::Else(frame) => {
                    self.else_starts.push(self.live.clone());
                    self.become_end(*frame);
                }
                Op::Open(frame) => {
                    changed |= self.leave_by_start(*frame);
                    if wanted(place) {
                        visit(place, &self.live);
                    }
                }
                Op::Br(target) => {
                    self.live.clear();
                    self.add_target(*target);
                }
                Op::BrIf(target) => self.add_target(*target),
                Op::BrTable(targets) => {
                    self.live.clear();
                    targets.iter().for_each(|&target| self.add_target(target));
                }
                Op::Return | Op::Unreachable => self.live.clear(),
                Op::TailCall { .. } => {
                    self.live.clear();
                    if wanted(place) {
                        visit(place, &self.live);
                    }
                }
                Op::Throw => {
                    self.live.clear();
                    self.add_handlers();
                }
                Op::Call { .. } => {
                    self.add_handlers();
                    if wanted(place) {
                        visit(place, &self.live);
                    }
                }
            }
        }
        changed
    }

    fn enter_from_end(&mut self, frame: FrameId) {
        let kept = &mut self.at_end[frame as usize];
        match kept {
            Some(kept) => kept.copy_from(&self.live),
            None => *kept = Some(self.live.clone()),
        }
        if self.body.frame(frame).kind == FrameKind::Try {
            let mut needed = self
                .handlers
                .last()
                .cloned()
                .unwrap_or_else(|| Bits::none(self.body.locals.len()));
            for catch in &self.body.frame(frame).catches {
                if let Some(live) = self.target(catch.target) {
                    needed.extend(live);
                }
            }
            self.handlers.push(needed);
        }
    }

    /// Leaves the frame over its opening instruction; tells whether a loop's head has changed.
    fn leave_by_start(&mut self, frame: FrameId) -> bool {
        let shape = self.body.frame(frame);
        match shape.kind {
            FrameKind::If => {
                if shape.middle.is_some() {
                    if let Some(other) = self.else_starts.pop() {
                        self.live.extend(&other);
                    }
                } else if let Some(end) = &self.at_end[frame as usize] {
                    self.live.extend(end);
                }
                false
            }
            FrameKind::Try => {
                self.handlers.pop();
                false
            }
            FrameKind::Loop => {
                let head = &mut self.at_head[frame as usize];
                if let (true, Some(head)) = (self.heads_are_final, &head) {
                    self.live.copy_from(head);
                    return false;
                }
                let changed = head.as_ref() != Some(&self.live);
                *head = Some(self.live.clone());
                changed
            }
            FrameKind::Block | FrameKind::Function => false,
        }
    }

    fn become_end(&mut self, frame: FrameId) {
        if let Some(end) = &self.at_end[frame as usize] {
            self.live.copy_from(end);
        }
    }

    fn target(&self, frame: FrameId) -> Option<&Bits> {
        let is_loop = self.body.frame(frame).kind == FrameKind::Loop;
        let known = if is_loop { &self.at_head } else { &self.at_end };
        known[frame as usize].as_ref()
    }

    fn add_target(&mut self, frame: FrameId) {
        let is_loop = self.body.frame(frame).kind == FrameKind::Loop;
        let known = if is_loop { &self.at_head } else { &self.at_end };
        if let Some(live) = &known[frame as usize] {
            self.live.extend(live);
        }
    }

    fn add_handlers(&mut self) {
        if let Some(needed) = self.handlers.last() {
            self.live.extend(needed);
        }
    }
}
