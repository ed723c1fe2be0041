//! The emitter: a flat body and its plan become code with bus stops.
//!
//! What is not concerned is copied byte for byte. Three things are new:
//!
//! **The check.** After a call that may capture, and at polls, the flag is loaded; if it is set,
//! a cold path saves the frame ([`super::save`]) and returns. Operands of the innermost frame
//! reach the cold path as parameters of its `if`:
//!
//! ```wat
//! ;; before                    ;; after
//! local.get $a                 local.get $a
//! call $f                      call $f
//! i32.add                      i32.const 0
//!                              i32.load $control offset=0
//!                              (@metadata.code.branch_hint "\00")
//!                              if (param i32 i32) (result i32 i32)
//!                                ...save both and the live locals...
//!                                br $unwound
//!                              end
//!                              i32.add
//! ```
//!
//! `$unwound` is a block around the whole body; behind it, the function returns dummies.
//!
//! **Spills.** Operands of enclosing frames are out of reach inside a block. Where a frame that
//! holds a stop opens over operands, they are copied to locals first; as SSA values, they are
//! what they were.
//!
//! **Slices.** A loop that polls and holds no other stop must not pay for a load and a store at
//! each iteration. It runs in slices: a local counts down, and at zero the loop is left, polled
//! from outside and entered again:
//!
//! ```wat
//! ;; before                    ;; after
//! loop $l                      i32.const 1024
//!   ...                        local.set $count
//!   br_if $l                   block $exit
//! end                            loop $slices
//!                                  block $slice
//!                                    loop $l
//!                                      (br_if $slice (i32.eqz (local.tee $count
//!                                        (i32.sub (local.get $count) (i32.const 1)))))
//!                                      ...
//!                                      br_if $l
//!                                    end
//!                                    br $exit
//!                                  end
//!                                  ...check...
//!                                  i32.const 1025
//!                                  local.set $count
//!                                  (i32.store $control offset=24 (i32.const 0) (i32.const 0))
//!                                  br $slices
//!                                end
//!                              end
//! ```
//!
//! The store is read by nobody. Without a store in sight, the compiler would find that the flag
//! cannot change in the loop and load it once, before it.

use wasm_encoder::InstructionSink;

use crate::abi::{Deed, Export, control, flag};
use crate::body::{Body, Callee, FUNCTION, FrameId, FrameKind, Op};
use crate::instrument::Options;
use crate::locals::Locals;
use crate::module::Module;
use crate::plan::{Plan, Poll, Stop};
use crate::target::Target;
use crate::types::ValType;

/// One function that is being emitted.
pub(crate) struct Emitter<'e> {
    pub(crate) module: &'e Module,
    pub(crate) body: &'e Body,
    pub(crate) plan: &'e Plan,
    pub(crate) options: &'e Options,
    pub(crate) target: &'e mut Target,
    pub(crate) code: Vec<u8>,
    pub(crate) locals: Locals,
    /// The copies of the enclosing frames' operands, outermost first.
    pub(crate) spilled: Vec<(u32, ValType)>,
    /// How many labels are in scope, the function's included.
    scopes: u32,
    /// The end of the block around the body, where cold paths go.
    unwound: Label,
    /// By frame: its label, as the number of labels that were in scope around it.
    labels: Vec<u32>,
    /// The sliced loops around, innermost last.
    slices: Vec<Slices>,
    hints: Vec<(u32, bool)>,
    original_hints: &'e [(u32, bool)],
    places: Vec<(u32, u32)>,
}

/// Code of one function, without its locals.
pub(crate) struct Emitted {
    pub(crate) code: Vec<u8>,
    pub(crate) locals: Locals,
    /// Branches, by offset in `code`, and whether they are likely.
    pub(crate) hints: Vec<(u32, bool)>,
    /// Where copied code came from: from this offset in `code` on, that byte of the original.
    pub(crate) places: Vec<(u32, u32)>,
}

/// A label: how many labels were in scope around it.
#[derive(Clone, Copy)]
struct Label(u32);

struct Slices {
    count: u32,
    exit: Label,
    outer: Label,
    stop: u32,
}

impl<'e> Emitter<'e> {
    pub(crate) fn new(
        module: &'e Module,
        body: &'e Body,
        plan: &'e Plan,
        options: &'e Options,
        target: &'e mut Target,
    ) -> Self {
        Self {
            module,
            body,
            plan,
            options,
            target,
            code: Vec::new(),
            locals: Locals::after(body.locals.len()),
            spilled: Vec::new(),
            scopes: 1,
            unwound: Label(0),
            labels: vec![0; body.frames.len()],
            slices: Vec::new(),
            hints: Vec::new(),
            original_hints: module.hints(plan.function),
            places: Vec::new(),
        }
    }

    pub(crate) fn finish(self) -> Emitted {
        Emitted {
            code: self.code,
            locals: self.locals,
            hints: self.hints,
            places: self.places,
        }
    }

    pub(crate) fn sink(&mut self) -> InstructionSink<'_> {
        InstructionSink::new(&mut self.code)
    }

    /// Emits the whole body of the function.
    pub(crate) fn whole(&mut self) {
        self.open_body();
        self.emit(0..self.body.code.len() - 1);
        self.close_body();
    }

    /// Opens the block that cold paths leave when they have saved the frame: they share one way
    /// out. It takes no values along, so it ties nothing together.
    pub(crate) fn open_body(&mut self) {
        if !self.plan.stops.is_empty() {
            self.sink().block(wasm_encoder::BlockType::Empty);
            self.unwound = self.push_label();
        }
    }

    /// Ends the function, the instruction before its `end` having been emitted.
    pub(crate) fn close_body(&mut self) {
        if !self.plan.stops.is_empty() {
            self.sink().return_();
            self.end();
            self.push_dummies();
        }
        self.end();
    }

    pub(crate) fn br_to_unwound(&mut self) {
        let depth = self.depth_of(self.unwound);
        self.sink().br(depth);
    }

    /// Emits the instructions at these places of the body.
    pub(crate) fn emit(&mut self, places: std::ops::Range<usize>) {
        for place in places {
            self.step(place);
        }
    }

    fn step(&mut self, place: usize) {
        let inst = &self.body.code[place];
        match &inst.op {
            Op::Plain
            | Op::Get(_)
            | Op::Set(_)
            | Op::Tee(_)
            | Op::Return
            | Op::Unreachable
            | Op::Throw
            | Op::Else(_) => self.copy(place),
            Op::Open(frame) => {
                self.spill(*frame);
                self.open(*frame);
            }
            Op::End(frame) => {
                self.close(*frame);
                self.unspill(*frame);
            }
            Op::Br(target) => {
                let depth = self.depth(*target);
                self.sink().br(depth);
            }
            Op::BrIf(target) => {
                self.hint_as_original(place);
                let depth = self.depth(*target);
                self.sink().br_if(depth);
            }
            Op::BrTable(targets) => {
                let mut depths: Vec<u32> = targets.iter().map(|&to| self.depth(to)).collect();
                let default = depths.pop().unwrap_or_default();
                self.sink().br_table(depths, default);
            }
            Op::Call { callee, .. } => {
                self.call(place, *callee);
                if let Some(stop) = self.plan.stop_at(place) {
                    let plan = self.plan;
                    self.check(stop, &plan.stops[stop as usize].results);
                }
            }
            Op::TailCall { callee, .. } => {
                if let Some(stop) = self.plan.stop_at(place) {
                    self.check(stop, &[]);
                }
                self.tail_call(*callee);
            }
            Op::Deed(deed) => self.deed(place, *deed),
        }
    }

    /// Copies an instruction as it stands.
    fn copy(&mut self, place: usize) {
        self.mark(place);
        let inst = &self.body.code[place];
        let bytes = &self.module.bytes[inst.at as usize..inst.end as usize];
        self.code.extend_from_slice(bytes);
    }

    /// Notes where the code that follows comes from.
    fn mark(&mut self, place: usize) {
        let here = (self.code.len() as u32, self.body.code[place].at);
        let goes_on = self
            .places
            .last()
            .is_some_and(|last| here.0 - last.0 == here.1.wrapping_sub(last.1));
        if !goes_on {
            self.places.push(here);
        }
    }

    fn call(&mut self, place: usize, callee: Callee) {
        self.mark(place);
        match callee {
            Callee::Function(function) => {
                let function = self.target.function(function);
                self.sink().call(function);
            }
            Callee::Indirect { ty, table } => {
                self.sink().call_indirect(table, ty);
            }
        }
    }

    pub(crate) fn tail_call(&mut self, callee: Callee) {
        match callee {
            Callee::Function(function) => {
                let function = self.target.function(function);
                self.sink().return_call(function);
            }
            Callee::Indirect { ty, table } => {
                self.sink().return_call_indirect(table, ty);
            }
        }
    }

    fn deed(&mut self, place: usize, deed: Deed) {
        if let Some(function) = self.target.deed(deed) {
            self.mark(place);
            self.sink().call(function);
            return;
        }
        self.copy(place);
        let dropped = match deed {
            Deed::DataDrop { data } => Export::DroppedData(data),
            Deed::ElementDrop { element } => Export::DroppedElement(element),
            Deed::MemoryInit { .. } | Deed::TableInit { .. } | Deed::RefFunc { .. } => return,
        };
        if let Some(global) = self.target.dropped(dropped) {
            self.sink().i32_const(1).global_set(global);
        }
    }

    // Labels.

    fn push_label(&mut self) -> Label {
        self.scopes += 1;
        Label(self.scopes - 1)
    }

    pub(crate) fn name_label(&mut self, frame: FrameId) {
        self.labels[frame as usize] = self.push_label().0;
    }

    pub(crate) fn anonymous_label(&mut self) -> u32 {
        self.push_label().0
    }

    pub(crate) fn end(&mut self) {
        self.scopes -= 1;
        self.sink().end();
    }

    fn depth(&self, frame: FrameId) -> u32 {
        self.depth_of(Label(self.labels[frame as usize]))
    }

    fn depth_of(&self, label: Label) -> u32 {
        self.scopes - 1 - label.0
    }

    pub(crate) fn br_to_label(&mut self, label: u32) {
        let depth = self.depth_of(Label(label));
        self.sink().br(depth);
    }

    // Frames.

    /// Copies the operands under a frame to locals, if a stop within will ask for them.
    fn spill(&mut self, frame: FrameId) {
        let shape = self.body.frame(frame);
        let body = self.body;
        let below = body.types(shape.below);
        if below.is_empty() || !self.plan.has_stop[frame as usize] {
            return;
        }
        let mut above: Vec<ValType> = shape.params.to_vec();
        if shape.kind == FrameKind::If {
            above.push(ValType::I32);
        }
        let above = self.set_all(&above);
        let first = self.spilled.len();
        for &ty in below {
            let local = self.locals.take(ty);
            self.spilled.push((local, ty));
        }
        for place in (first..self.spilled.len()).rev() {
            let local = self.spilled[place].0;
            self.sink().local_set(local);
        }
        for place in first..self.spilled.len() {
            let local = self.spilled[place].0;
            self.sink().local_get(local);
        }
        for (local, ty) in above {
            self.sink().local_get(local);
            self.locals.give_back(local, ty);
        }
    }

    /// Forgets the copies of the operands under a frame that has ended.
    pub(crate) fn unspill(&mut self, frame: FrameId) {
        if !self.plan.has_stop[frame as usize] || frame == FUNCTION {
            return;
        }
        let below = self.body.frame(frame).below;
        for _ in below.from..below.to {
            if let Some((local, ty)) = self.spilled.pop() {
                self.locals.give_back(local, ty);
            }
        }
    }

    /// Moves the topmost operands, of these types, to fresh locals.
    fn set_all(&mut self, types: &[ValType]) -> Vec<(u32, ValType)> {
        let locals: Vec<(u32, ValType)> =
            types.iter().map(|&ty| (self.locals.take(ty), ty)).collect();
        for &(local, _) in locals.iter().rev() {
            self.sink().local_set(local);
        }
        locals
    }

    pub(crate) fn open(&mut self, frame: FrameId) {
        let shape = self.body.frame(frame);
        let place = shape.open as usize;
        match shape.kind {
            FrameKind::Function | FrameKind::Block => self.copy(place),
            FrameKind::If => {
                self.hint_as_original(place);
                self.copy(place);
            }
            FrameKind::Try => self.open_try(frame, &shape.params),
            FrameKind::Loop => return self.open_loop(frame),
        }
        self.name_label(frame);
    }

    pub(crate) fn open_try(&mut self, frame: FrameId, params: &[ValType]) {
        let shape = self.body.frame(frame);
        let ty = self.target.types.block(params, &shape.results);
        let catches: Vec<wasm_encoder::Catch> = shape
            .catches
            .iter()
            .map(|catch| {
                let label = self.depth(catch.target);
                match (catch.tag, catch.with_reference) {
                    (Some(tag), false) => wasm_encoder::Catch::One { tag, label },
                    (Some(tag), true) => wasm_encoder::Catch::OneRef { tag, label },
                    (None, false) => wasm_encoder::Catch::All { label },
                    (None, true) => wasm_encoder::Catch::AllRef { label },
                }
            })
            .collect();
        self.sink().try_table(ty, catches);
    }

    fn open_loop(&mut self, frame: FrameId) {
        let shape = self.body.frame(frame);
        let place = shape.open as usize;
        let stop = self.plan.stop_at(place);
        match (self.plan.poll(frame), stop) {
            (Some(Poll::Each), Some(stop)) => {
                self.copy(place);
                self.name_label(frame);
                self.check(stop, &[]);
            }
            (Some(Poll::Sliced), Some(stop)) => self.open_sliced(frame, stop),
            _ => {
                self.copy(place);
                self.name_label(frame);
            }
        }
    }

    fn open_sliced(&mut self, frame: FrameId, stop: u32) {
        let shape = self.body.frame(frame);
        let (params, results) = (&shape.params, &shape.results);
        let whole = self.target.types.block(params, results);
        let slice = self.target.types.block(params, params);
        let count = self.locals.take(ValType::I32);
        let budget = self.budget(frame);
        self.sink().i32_const(budget).local_set(count);
        self.sink().block(whole);
        let exit = self.push_label();
        self.sink().loop_(whole);
        let outer = self.push_label();
        self.sink().block(slice);
        let slice = self.push_label();
        self.copy(shape.open as usize);
        self.name_label(frame);
        let leave = self.depth_of(slice);
        self.sink()
            .local_get(count)
            .i32_const(1)
            .i32_sub()
            .local_tee(count)
            .i32_eqz();
        self.hint(false);
        self.sink().br_if(leave);
        self.slices.push(Slices {
            count,
            exit,
            outer,
            stop,
        });
    }

    pub(crate) fn close(&mut self, frame: FrameId) {
        let place = self.body.frame(frame).end as usize;
        let is_sliced = self.plan.poll(frame) == Some(Poll::Sliced);
        self.scopes -= 1;
        self.copy(place);
        if is_sliced {
            self.close_sliced(frame);
        }
    }

    fn close_sliced(&mut self, frame: FrameId) {
        let Some(slices) = self.slices.pop() else {
            unreachable!("a sliced loop that ends has begun");
        };
        let budget = self.budget(frame);
        self.br_to_label(slices.exit.0);
        self.end();
        self.check(slices.stop, &[]);
        let control = self.control(control::SINK);
        self.sink()
            .i32_const(budget + 1)
            .local_set(slices.count)
            .i32_const(0)
            .i32_const(0)
            .i32_store(control);
        self.br_to_label(slices.outer.0);
        self.end();
        self.end();
        self.locals.give_back(slices.count, ValType::I32);
    }

    /// Iterations of a slice: fewer of a long body, so that slices take about the same time.
    fn budget(&self, frame: FrameId) -> i32 {
        let shape = self.body.frame(frame);
        let instructions = (shape.end - shape.open).max(1);
        let iterations = (self.options.slice_instructions / instructions).max(1);
        i32::try_from(iterations).unwrap_or(i32::MAX - 1)
    }

    // Checks.

    /// The check at a stop; on top of the operands lie `results`.
    pub(crate) fn check(&mut self, stop: u32, results: &[ValType]) {
        let plan = self.plan;
        let at: &Stop = &plan.stops[stop as usize];
        let on_stack: Vec<ValType> = at.operands.iter().chain(results).copied().collect();
        if self.options.countdown {
            self.count_down();
        }
        let control = self.control(control::FLAG);
        let ty = self.target.types.block(&on_stack, &on_stack);
        self.sink().i32_const(0).i32_load(control);
        self.hint(false);
        self.sink().if_(ty);
        self.scopes += 1;
        let values = self.set_all(&on_stack);
        let (operands, results) = values.split_at(at.operands.len());
        self.save(stop, operands, results);
        for (local, ty) in values {
            self.locals.give_back(local, ty);
        }
        self.end();
    }

    /// Requests a capture when so many checks were passed as the host asked for.
    fn count_down(&mut self) {
        let countdown = self.control(control::COUNTDOWN);
        let at_flag = self.control(control::FLAG);
        self.sink()
            .i32_const(0)
            .i32_const(0)
            .i32_load(countdown)
            .i32_const(1)
            .i32_sub()
            .i32_store(countdown)
            .i32_const(0)
            .i32_load(countdown)
            .i32_const(0)
            .i32_load(at_flag)
            .i32_or()
            .i32_eqz()
            .if_(wasm_encoder::BlockType::Empty)
            .i32_const(0)
            .i32_const(flag::REQUESTED as i32)
            .i32_store(at_flag)
            .end();
    }

    /// A word of the control memory, to be addressed with 0.
    pub(crate) fn control(&self, address: u32) -> wasm_encoder::MemArg {
        self.target.control(address)
    }

    /// Hints about the branch that is emitted next.
    fn hint(&mut self, likely: bool) {
        self.hints.push((self.code.len() as u32, likely));
    }

    /// Passes the original's hint about the branch at `place` on.
    fn hint_as_original(&mut self, place: usize) {
        if self.original_hints.is_empty() {
            return;
        }
        let defined = self.plan.function - self.module.imported.functions;
        let start = self.module.bodies[defined as usize].start as u32;
        let offset = self.body.code[place].at - start;
        let known = self
            .original_hints
            .binary_search_by_key(&offset, |&(offset, _)| offset);
        if let Ok(known) = known {
            self.hint(self.original_hints[known].1);
        }
    }
}
