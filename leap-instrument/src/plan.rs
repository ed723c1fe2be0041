//! Where a body gets its bus stops.
//!
//! - After every call that may capture, but for some ([`checks`](crate::checks)): the check of the
//!   flag there is a poll too.
//! - At the head of a loop that can go round without passing such a check.
//! - Before a tail call that may come back to its caller by tail calls alone.
//!
//! A stop is a place of [`Body::code`] and has a number: its rank among the body's stops. The
//! same original body gives the same stops with the same numbers, always, so an image and a
//! continuation agree on them without any table between them.

use crate::bits::Bits;
use crate::body::{Body, Callee, FUNCTION, FrameId, FrameKind, Op, Span};
use crate::capture_graph::CaptureGraph;
use crate::checks::Checks;
use crate::error::Error;
use crate::liveness::visit_live;
use crate::module::Module;
use crate::types::ValType;

/// The stops of one body.
pub(crate) struct Plan {
    pub(crate) function: u32,
    /// Ascending by place; a stop's number is its index.
    pub(crate) stops: Vec<Stop>,
    /// By frame: how its loop polls.
    polls: Vec<Option<Poll>>,
    /// By frame: whether a stop lies within.
    pub(crate) has_stop: Vec<bool>,
    /// Whether the cold paths that call savers leave their values in the stage.
    pub(crate) stages: bool,
}

/// What the stops of a module may have to save, all together: a module of a few hundred kilobytes
/// could otherwise have a hundred thousand stops with fifty thousand values each. Real programs have
/// some ten values at a stop, and a stop every hundred bytes.
pub(crate) struct SaveBudget {
    left: usize,
}

impl SaveBudget {
    pub(crate) const VALUES: usize = 1 << 26;

    pub(crate) fn new() -> Self {
        Self { left: Self::VALUES }
    }

    fn take(&mut self, values: usize, body: &Body, place: usize) -> Result<(), Error> {
        let left = self.left.checked_sub(values);
        self.left = left.ok_or_else(|| Error::TooLarge {
            what: "the number of values at all places where the program may be captured",
            limit: Self::VALUES,
            offset: body.code[place].at as usize,
        })?;
        Ok(())
    }
}

/// How many values a function may have to save and still have most of them in registers.
const FEW_VALUES: usize = 8;

pub(crate) struct Stop {
    /// Where in [`Body::code`].
    pub(crate) place: u32,
    pub(crate) kind: StopPlace,
    /// The innermost frame that the stop lies in.
    pub(crate) frame: FrameId,
    /// Locals to be saved, ascending.
    pub(crate) live: Box<[u32]>,
    /// The operands of the innermost frame: under the arguments, or all at a poll.
    pub(crate) operands: Box<[ValType]>,
    /// What the callee returns.
    pub(crate) results: Box<[ValType]>,
}

/// What kind of place a stop stands at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopPlace {
    /// After a call.
    Call,
    /// At the head of a loop.
    Loop,
    /// Before a tail call.
    TailCall,
}

/// How a loop polls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Poll {
    /// At each iteration.
    Each,
    /// Once per slice of many iterations, from outside of the loop.
    Sliced,
}

impl Plan {
    /// # Errors
    ///
    /// [`Error::TooLarge`].
    pub(crate) fn new(
        module: &Module,
        graph: &CaptureGraph,
        function: u32,
        body: &Body,
        budget: &mut SaveBudget,
    ) -> Result<Self, Error> {
        let mut plan = Self {
            function,
            stops: Vec::new(),
            polls: vec![None; body.frames.len()],
            has_stop: vec![false; body.frames.len()],
            stages: false,
        };
        if graph.may_capture(function) {
            let checks = Checks::new(module, graph, body);
            plan.polls = LoopWalk::new(&checks, body).polls();
            plan.place_stops(module, graph, &checks, body);
            plan.take_operands(body, budget)?;
            plan.fill_live(body, budget)?;
            plan.stages = plan.saves_few_values(body);
        }
        Ok(plan)
    }

    pub(crate) fn poll(&self, frame: FrameId) -> Option<Poll> {
        self.polls[frame as usize]
    }

    /// The number of the stop at a place of the code.
    pub(crate) fn stop_at(&self, place: usize) -> Option<u32> {
        self.stops
            .binary_search_by_key(&(place as u32), |stop| stop.place)
            .ok()
            .map(|index| index as u32)
    }

    fn place_stops(&mut self, module: &Module, graph: &CaptureGraph, checks: &Checks, body: &Body) {
        let mut innermost = FUNCTION;
        for (place, inst) in body.code.iter().enumerate() {
            match &inst.op {
                Op::Open(frame) => {
                    innermost = *frame;
                    if self.poll(*frame).is_some() {
                        let params = body.frame(*frame).params.clone();
                        self.push(
                            body,
                            place,
                            StopPlace::Loop,
                            innermost,
                            params,
                            Box::default(),
                        );
                    }
                }
                Op::End(frame) => innermost = body.frame(*frame).parent,
                Op::Call { callee, below } if checks.at(place) => {
                    let results = module.callee_type(*callee).results.clone();
                    let operands = body.types(*below).into();
                    self.push(body, place, StopPlace::Call, innermost, operands, results);
                }
                Op::TailCall { callee, below } if graph.is_tail_loop(self.function, *callee) => {
                    let mut operands = body.types(*below).to_vec();
                    operands.extend(&module.callee_type(*callee).params);
                    if let Callee::Indirect { table, .. } = *callee {
                        operands.push(module.index_type(table));
                    }
                    let kind = StopPlace::TailCall;
                    self.push(
                        body,
                        place,
                        kind,
                        innermost,
                        operands.into(),
                        Box::default(),
                    );
                }
                _ => {}
            }
        }
    }

    fn push(
        &mut self,
        body: &Body,
        place: usize,
        kind: StopPlace,
        frame: FrameId,
        operands: Box<[ValType]>,
        results: Box<[ValType]>,
    ) {
        self.stops.push(Stop {
            place: place as u32,
            kind,
            frame,
            live: Box::default(),
            operands,
            results,
        });
        let mut around = frame;
        while !std::mem::replace(&mut self.has_stop[around as usize], true) {
            around = body.frame(around).parent;
        }
    }

    /// Whether the cold path at the stop calls nothing.
    pub(crate) fn saves_in_place(&self, stop: &Stop) -> bool {
        match stop.kind {
            StopPlace::Call => false,
            StopPlace::Loop => self.poll(stop.frame) == Some(Poll::Sliced),
            StopPlace::TailCall => true,
        }
    }

    fn saves_few_values(&self, body: &Body) -> bool {
        let mut saved_by_calls = self.stops.iter().filter(|stop| !self.saves_in_place(stop));
        saved_by_calls.all(|stop| {
            let types = stop.value_types(body);
            types.len() <= FEW_VALUES && !types.iter().any(|ty| ty.is_reference())
        })
    }

    /// Takes what the stops save beside locals from the budget, and the blocks around them, which are
    /// gone through for each.
    fn take_operands(&self, body: &Body, budget: &mut SaveBudget) -> Result<(), Error> {
        let size = |frame: FrameId| 1 + body.types(body.frame(frame).below).len();
        let mut around = 0;
        let mut stops = self.stops.iter().peekable();
        for (place, inst) in body.code.iter().enumerate() {
            match inst.op {
                Op::Open(frame) => around += size(frame),
                Op::End(frame) if frame != FUNCTION => around -= size(frame),
                _ => {}
            }
            if let Some(stop) = stops.next_if(|stop| stop.place as usize == place) {
                let own = stop.operands.len() + stop.results.len();
                budget.take(around + own, body, place)?;
            }
        }
        Ok(())
    }

    fn fill_live(&mut self, body: &Body, budget: &mut SaveBudget) -> Result<(), Error> {
        let mut live = vec![Box::default(); self.stops.len()];
        let mut fits = Ok(());
        visit_live(
            body,
            |place| self.stop_at(place).is_some(),
            |place, found: &Bits| {
                if let (Some(stop), Ok(())) = (self.stop_at(place), &fits) {
                    fits = budget.take(found.members().count(), body, place);
                    if fits.is_ok() {
                        live[stop as usize] = found.members().collect();
                    }
                }
            },
        );
        for (stop, live) in self.stops.iter_mut().zip(live) {
            stop.live = live;
        }
        fits
    }
}

impl Stop {
    /// The operands that are saved at the stop, outermost first.
    pub(crate) fn all_operands<'b>(&'b self, body: &'b Body) -> Vec<ValType> {
        let below: Vec<Span> = body
            .path(self.frame)
            .into_iter()
            .map(|frame| body.frame(frame).below)
            .collect();
        let below = below.into_iter().flat_map(|span| body.types(span));
        below.chain(&self.operands).copied().collect()
    }

    /// The types of the record's values, in order.
    pub(crate) fn value_types(&self, body: &Body) -> Vec<ValType> {
        let mut types = self.results.to_vec();
        types.extend(self.live.iter().map(|&local| body.locals[local as usize]));
        types.extend(self.all_operands(body));
        types
    }
}

/// A loop's nesting depth, 1 for an outermost one.
type Depth = u32;
/// No loop can be gone round from its head to here without a check.
const CHECKED: Depth = Depth::MAX;

/// Finds the loops that can go round without passing a check.
///
/// A forward walk carries one number: the depth of the outermost loop from whose head control
/// may have come here unchecked. A check sets it to [`CHECKED`]; where paths meet, the smaller
/// one holds.
struct LoopWalk<'p> {
    checks: &'p Checks,
    body: &'p Body,
    unchecked: Depth,
    /// By frame: the number that flows to its end (or to its `else`).
    at_end: Vec<Depth>,
    at_else: Vec<Depth>,
    /// By frame, if it is a `try_table`: the number that flows to its clauses.
    at_throw: Vec<Depth>,
    /// By frame, if it is a loop.
    depth: Vec<Depth>,
    goes_round_unchecked: Vec<bool>,
    /// By frame, if it is a loop: whether it holds a stop other than its own.
    holds_stop: Vec<bool>,
    loops: Vec<FrameId>,
    tries: Vec<FrameId>,
}

impl<'p> LoopWalk<'p> {
    fn new(checks: &'p Checks, body: &'p Body) -> Self {
        let frames = body.frames.len();
        Self {
            checks,
            body,
            unchecked: CHECKED,
            at_end: vec![CHECKED; frames],
            at_else: vec![CHECKED; frames],
            at_throw: vec![CHECKED; frames],
            depth: vec![0; frames],
            goes_round_unchecked: vec![false; frames],
            holds_stop: vec![false; frames],
            loops: Vec::new(),
            tries: Vec::new(),
        }
    }

    fn polls(mut self) -> Vec<Option<Poll>> {
        for (place, inst) in self.body.code.iter().enumerate() {
            self.step(place, &inst.op);
        }
        (0..self.body.frames.len())
            .map(
                |frame| match (self.goes_round_unchecked[frame], self.holds_stop[frame]) {
                    (false, _) => None,
                    (true, true) => Some(Poll::Each),
                    (true, false) => Some(Poll::Sliced),
                },
            )
            .collect()
    }

    fn step(&mut self, place: usize, op: &Op) {
        match op {
            Op::Plain | Op::Get(_) | Op::Set(_) | Op::Tee(_) | Op::Deed(_) => {}
            Op::Open(frame) => self.open(*frame),
            Op::Else(frame) => {
                self.flow_to_end(*frame);
                self.unchecked = self.at_else[*frame as usize];
            }
            Op::End(frame) => self.end(*frame),
            Op::Br(target) => {
                self.branch(*target, self.unchecked);
                self.unchecked = CHECKED;
            }
            Op::BrIf(target) => self.branch(*target, self.unchecked),
            Op::BrTable(targets) => {
                for &target in targets {
                    self.branch(target, self.unchecked);
                }
                self.unchecked = CHECKED;
            }
            Op::Return | Op::Unreachable | Op::TailCall { .. } => self.unchecked = CHECKED,
            Op::Throw => {
                self.throw();
                self.unchecked = CHECKED;
            }
            Op::Call { .. } => {
                self.throw();
                if self.checks.at(place) {
                    self.unchecked = CHECKED;
                    if let Some(&innermost) = self.loops.last() {
                        self.holds_stop[innermost as usize] = true;
                    }
                }
            }
        }
    }

    fn open(&mut self, frame: FrameId) {
        let at = frame as usize;
        match self.body.frame(frame).kind {
            FrameKind::Loop => {
                self.loops.push(frame);
                self.depth[at] = self.loops.len() as Depth;
                self.unchecked = self.unchecked.min(self.depth[at]);
            }
            FrameKind::If => self.at_else[at] = self.unchecked,
            FrameKind::Try => self.tries.push(frame),
            FrameKind::Block | FrameKind::Function => {}
        }
    }

    fn end(&mut self, frame: FrameId) {
        let shape = self.body.frame(frame);
        self.flow_to_end(frame);
        if shape.kind == FrameKind::If && shape.middle.is_none() {
            let at = frame as usize;
            self.at_end[at] = self.at_end[at].min(self.at_else[at]);
        }
        if shape.kind == FrameKind::Try {
            self.tries.pop();
            let thrown = self.at_throw[frame as usize];
            for catch in &shape.catches {
                self.branch(catch.target, thrown);
            }
            if let Some(&outer) = self.tries.last() {
                let outer = &mut self.at_throw[outer as usize];
                *outer = (*outer).min(thrown);
            }
        }
        if shape.kind == FrameKind::Loop {
            self.loops.pop();
            let at = frame as usize;
            let stops = self.holds_stop[at] || self.goes_round_unchecked[at];
            if let Some(&outer) = self.loops.last() {
                self.holds_stop[outer as usize] |= stops;
            }
        }
        self.unchecked = self.at_end[frame as usize];
    }

    fn flow_to_end(&mut self, frame: FrameId) {
        let end = &mut self.at_end[frame as usize];
        *end = (*end).min(self.unchecked);
    }

    fn branch(&mut self, target: FrameId, unchecked: Depth) {
        let at = target as usize;
        if self.body.frame(target).kind == FrameKind::Loop {
            self.goes_round_unchecked[at] |= unchecked <= self.depth[at];
        } else {
            self.at_end[at] = self.at_end[at].min(unchecked);
        }
    }

    fn throw(&mut self) {
        if let Some(&innermost) = self.tries.last() {
            let thrown = &mut self.at_throw[innermost as usize];
            *thrown = (*thrown).min(self.unchecked);
        }
    }
}
