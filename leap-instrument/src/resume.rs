//! The body of a continuation: enter a function's code at a stop.
//!
//! Emerald called it bridging code. The original's locals come back from the frame record, the
//! operand stack is built up again frame by frame, the callee's results come from resuming the
//! next record, and then follows the rest of the original. Structured control flow has no way
//! into the middle of a frame, so each frame around the stop is *peeled*: a block stands for the
//! rest of it, and for a loop, the rest of the current iteration comes first, in a block that
//! carries the loop's label, and then the loop as it was:
//!
//! ```wat
//! ;; original                  ;; continuation after `call $f`
//! loop $l                      block $after
//!   call $f                      block $l
//!   call $g                        ...result of $f...
//!   br_if $l                       call $g
//! end                              br_if $l
//!                                  br $after
//!                                end
//!                                loop $l
//!                                  call $f
//!                                  call $g
//!                                  br_if $l
//!                                end
//!                              end
//! ```
//!
//! So after at most one iteration of each loop the program runs in code like the original's.
//! Everything is emitted with the checks and polls of the original, under the same names: what
//! was captured in a continuation cannot be told from what was captured in the original.

use crate::abi::{control, kind, record, record_bytes, value_bytes};
use crate::body::{FUNCTION, FrameId, FrameKind, Op};
use crate::emit::Emitter;
use crate::plan::StopPlace;
use crate::types::ValType;

impl Emitter<'_> {
    /// Emits the whole body of the continuation at `stop`. It takes no parameters: what would be
    /// the original's are locals like the others.
    pub(crate) fn resume_at(&mut self, stop: u32) {
        let plan = self.plan;
        let body = self.body;
        let at = &plan.stops[stop as usize];
        let path = body.path(at.frame);

        self.open_body();
        let record = self.locals.take(ValType::I32);
        let mut offset = self.restore_locals(stop, record);
        let mut labels = Vec::with_capacity(path.len());
        for &frame in &path {
            offset = self.restore_operands_below(frame, record, offset);
            labels.push(self.open_rest(frame));
        }
        for &ty in &at.operands {
            self.load(record, offset, ty);
            offset += value_bytes(ty);
        }
        let place = at.place as usize;
        match (at.kind, &body.code[place].op) {
            (StopPlace::Call, _) => self.obtain_results(stop, record),
            (StopPlace::TailCall, Op::TailCall { callee, .. }) => self.tail_call(*callee),
            (StopPlace::TailCall | StopPlace::Loop, _) => {}
        }
        let mut from = place + 1;
        for (&frame, label) in path.iter().zip(labels).rev() {
            self.emit(from..self.arm_end(frame, from));
            self.close_rest(frame, label);
            self.unspill(frame);
            from = body.frame(frame).end as usize + 1;
        }
        self.emit(from..body.frame(FUNCTION).end as usize);
        self.close_body();
    }

    /// Takes the next record: its address to `record`, its live locals to themselves. Gives the
    /// offset of the first operand.
    fn restore_locals(&mut self, stop: u32, record: u32) -> u32 {
        let plan = self.plan;
        let body = self.body;
        let at = &plan.stops[stop as usize];
        let bytes = record_bytes(at.value_types(body).into_iter());
        let restore = self.control(control::RESTORE);
        self.sink()
            .i32_const(0)
            .i32_load(restore)
            .local_set(record)
            .i32_const(0)
            .local_get(record)
            .i32_const(bytes as i32)
            .i32_add()
            .i32_store(restore);
        let results = at.results.iter().map(|&ty| value_bytes(ty));
        let mut offset = record::VALUES + results.sum::<u32>();
        for &local in &at.live {
            let ty = body.locals[local as usize];
            self.load(record, offset, ty);
            self.sink().local_set(local);
            offset += value_bytes(ty);
        }
        offset
    }

    /// Pushes the operands under a frame, and copies them where stops within look for them.
    fn restore_operands_below(&mut self, frame: FrameId, record: u32, mut offset: u32) -> u32 {
        let body = self.body;
        for &ty in body.types(body.frame(frame).below) {
            self.load(record, offset, ty);
            let copy = self.locals.take(ty);
            self.sink().local_tee(copy);
            self.spilled.push((copy, ty));
            offset += value_bytes(ty);
        }
        offset
    }

    /// Opens what stands for the rest of a frame; of a loop, gives the label after it.
    fn open_rest(&mut self, frame: FrameId) -> Option<u32> {
        let body = self.body;
        let shape = body.frame(frame);
        let rest = self.target.types.block(&[], &shape.results);
        match shape.kind {
            FrameKind::Try => {
                self.open_try(frame, &[]);
                self.name_label(frame);
                None
            }
            FrameKind::Loop => {
                self.sink().block(rest);
                let after = self.anonymous_label();
                let again = self.target.types.block(&[], &shape.params);
                self.sink().block(again);
                self.name_label(frame);
                Some(after)
            }
            FrameKind::Block | FrameKind::If | FrameKind::Function => {
                self.sink().block(rest);
                self.name_label(frame);
                None
            }
        }
    }

    fn close_rest(&mut self, frame: FrameId, after: Option<u32>) {
        let Some(after) = after else {
            self.end();
            return;
        };
        self.br_to_label(after);
        self.end();
        let shape = self.body.frame(frame);
        self.open(frame);
        self.emit(shape.open as usize + 1..shape.end as usize);
        self.close(frame);
        self.end();
    }

    /// Where the arm of the frame ends that holds the place `from`.
    fn arm_end(&self, frame: FrameId, from: usize) -> usize {
        let shape = self.body.frame(frame);
        match shape.middle {
            Some(middle) if from <= middle as usize => middle as usize,
            _ => shape.end as usize,
        }
    }

    /// Pushes the callee's results: from the record, or by resuming the next one.
    fn obtain_results(&mut self, stop: u32, record: u32) {
        let plan = self.plan;
        let at = &plan.stops[stop as usize];
        let after: Vec<ValType> = at.operands.iter().chain(&at.results).copied().collect();
        let block = self.target.types.block(&at.operands, &after);
        let resume = self.target.types.index(&[], &at.results);
        let table = self.target.resume_table();
        let at_kind = self.record_argument(record::KIND);
        let resumed = self.control(control::RESUMED);
        let next = self.locals.take(ValType::I32);

        self.sink()
            .local_get(record)
            .i32_load(at_kind)
            .i32_const(kind::AFTER as i32)
            .i32_eq()
            .if_(block);
        self.anonymous_label();
        let mut offset = record::VALUES;
        for &ty in &at.results {
            self.load(record, offset, ty);
            offset += value_bytes(ty);
        }
        self.sink()
            .else_()
            .i32_const(0)
            .i32_const(0)
            .i32_load(resumed)
            .i32_const(1)
            .i32_add()
            .local_tee(next)
            .i32_store(resumed)
            .local_get(next)
            .call_indirect(table, resume);
        self.check(stop, &at.results);
        self.end();
        self.locals.give_back(next, ValType::I32);
    }
}
