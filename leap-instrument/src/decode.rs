//! Function bodies: validated, decoded, rid of unreachable code.

use wasmparser::{BlockType, FuncValidator, Operator, ValidatorResources};

use crate::abi::Deed;
use crate::body::{Body, Callee, Catch, FUNCTION, Frame, FrameId, FrameKind, Inst, Op, Span};
use crate::error::Error;
use crate::module::Module;
use crate::types::ValType;

/// Bound on the operands listed in one body: a million calls over a million operands would
/// otherwise take a million million.
const MAX_LISTED_OPERANDS: usize = 1 << 24;

/// Bound on frames times locals (in words of 64): what the analysis of liveness may have to keep.
const MAX_LIVENESS_WORDS: usize = 1 << 25;

/// Decodes the body of the defined function `function`.
pub(crate) fn decode(module: &Module, function: u32) -> Result<Body, Error> {
    let defined = (function - module.imported.functions) as usize;
    let source = module.body(defined);
    let mut decoder = Decoder {
        module,
        validator: module.validator(function),
        body: Body {
            locals: module.function_type(function).params.to_vec(),
            code: Vec::new(),
            frames: Vec::new(),
            types: Vec::new(),
        },
        open: vec![FUNCTION],
        dead: 0,
    };
    decoder.body.frames.push(Frame {
        kind: FrameKind::Function,
        parent: FUNCTION,
        open: 0,
        middle: None,
        end: 0,
        params: Box::default(),
        results: module.function_type(function).results.clone(),
        below: Span::default(),
        catches: Box::default(),
    });
    let mut locals = source.get_binary_reader();
    decoder.validator.read_locals(&mut locals)?;
    for item in source.get_locals_reader()? {
        let (count, ty) = item?;
        let ty = ValType::parse(ty, source.range().start)?;
        decoder
            .body
            .locals
            .extend(std::iter::repeat_n(ty, count as usize));
    }
    let mut reader = source.get_operators_reader()?;
    while !reader.eof() {
        let at = reader.original_position();
        let operator = reader.read()?;
        decoder.step(&operator, at, reader.original_position())?;
    }
    reader.finish()?;
    let body = decoder.body;
    if body.frames.len() * body.locals.len().div_ceil(64) > MAX_LIVENESS_WORDS {
        return Err(Error::TooLarge {
            what: "the number of blocks times the number of locals of one function",
            limit: MAX_LIVENESS_WORDS * 64,
            offset: source.range().start,
        });
    }
    Ok(body)
}

struct Decoder<'m> {
    module: &'m Module,
    validator: FuncValidator<ValidatorResources>,
    body: Body,
    /// The frames that are open here, the function's first.
    open: Vec<FrameId>,
    /// How many frames were opened in unreachable code and are still open.
    dead: u32,
}

impl Decoder<'_> {
    fn step(&mut self, operator: &Operator<'_>, at: usize, end: usize) -> Result<(), Error> {
        let op = if self.is_unreachable() {
            self.skip(operator)
        } else {
            Some(self.translate(operator, at)?)
        };
        if let Some(op) = op {
            self.body.code.push(Inst {
                at: at as u32,
                end: end as u32,
                op,
            });
        }
        self.validator.op(at, operator)?;
        Ok(())
    }

    fn is_unreachable(&self) -> bool {
        self.dead > 0
            || self
                .validator
                .get_control_frame(0)
                .is_some_and(|frame| frame.unreachable)
    }

    /// What remains of an instruction that is never reached.
    fn skip(&mut self, operator: &Operator<'_>) -> Option<Op> {
        match operator {
            Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::TryTable { .. } => {
                self.dead += 1;
                None
            }
            Operator::End if self.dead > 0 => {
                self.dead -= 1;
                None
            }
            Operator::Else if self.dead == 0 => self.middle(),
            Operator::End => self.end(),
            _ => None,
        }
    }

    fn translate(&mut self, operator: &Operator<'_>, at: usize) -> Result<Op, Error> {
        Ok(match *operator {
            Operator::LocalGet { local_index } => Op::Get(local_index),
            Operator::LocalSet { local_index } => Op::Set(local_index),
            Operator::LocalTee { local_index } => Op::Tee(local_index),
            Operator::Block { blockty } => self.open(FrameKind::Block, blockty, at)?,
            Operator::Loop { blockty } => self.open(FrameKind::Loop, blockty, at)?,
            Operator::If { blockty } => self.open(FrameKind::If, blockty, at)?,
            Operator::TryTable { ref try_table } => self.open_try(try_table, at)?,
            Operator::Else => self.middle().unwrap_or(Op::Plain),
            Operator::End => self.end().unwrap_or(Op::Plain),
            Operator::Br { relative_depth } => Op::Br(self.label(relative_depth)),
            Operator::BrIf { relative_depth } => Op::BrIf(self.label(relative_depth)),
            Operator::BrTable { ref targets } => self.table(targets)?,
            Operator::Return => Op::Return,
            Operator::Unreachable => Op::Unreachable,
            Operator::Throw { .. } | Operator::ThrowRef => Op::Throw,
            Operator::Call { function_index } => self.call(Callee::Function(function_index), at)?,
            Operator::CallIndirect {
                type_index,
                table_index,
            } => self.call(indirect(type_index, table_index), at)?,
            Operator::ReturnCall { function_index } => {
                self.tail_call(Callee::Function(function_index), at)?
            }
            Operator::ReturnCallIndirect {
                type_index,
                table_index,
            } => self.tail_call(indirect(type_index, table_index), at)?,
            Operator::MemoryInit { data_index, mem } => Op::Deed(Deed::MemoryInit {
                data: data_index,
                memory: mem,
            }),
            Operator::DataDrop { data_index } => Op::Deed(Deed::DataDrop { data: data_index }),
            Operator::TableInit { elem_index, table } => Op::Deed(Deed::TableInit {
                element: elem_index,
                table,
            }),
            Operator::ElemDrop { elem_index } => Op::Deed(Deed::ElementDrop {
                element: elem_index,
            }),
            Operator::RefFunc { function_index } => Op::Deed(Deed::RefFunc {
                function: function_index,
            }),
            _ => Op::Plain,
        })
    }

    fn open(&mut self, kind: FrameKind, ty: BlockType, at: usize) -> Result<Op, Error> {
        let (params, results) = self.block_type(ty, at)?;
        let above = params.len() + usize::from(kind == FrameKind::If);
        let below = self.operands_below(above, at)?;
        let id = self.body.frames.len() as FrameId;
        self.body.frames.push(Frame {
            kind,
            parent: self.innermost(),
            open: self.body.code.len() as u32,
            middle: None,
            end: 0,
            params,
            results,
            below,
            catches: Box::default(),
        });
        self.open.push(id);
        Ok(Op::Open(id))
    }

    fn open_try(&mut self, ty: &wasmparser::TryTable, at: usize) -> Result<Op, Error> {
        // The labels of the clauses count from outside of the frame.
        let catches = ty.catches.iter().map(|&catch| self.catch(catch)).collect();
        let op = self.open(FrameKind::Try, ty.ty, at)?;
        let id = self.innermost();
        self.body.frames[id as usize].catches = catches;
        Ok(op)
    }

    fn catch(&self, catch: wasmparser::Catch) -> Catch {
        let (tag, with_reference, label) = match catch {
            wasmparser::Catch::One { tag, label } => (Some(tag), false, label),
            wasmparser::Catch::OneRef { tag, label } => (Some(tag), true, label),
            wasmparser::Catch::All { label } => (None, false, label),
            wasmparser::Catch::AllRef { label } => (None, true, label),
        };
        Catch {
            tag,
            with_reference,
            target: self.label(label),
        }
    }

    fn middle(&mut self) -> Option<Op> {
        let id = self.innermost();
        self.body.frames[id as usize].middle = Some(self.body.code.len() as u32);
        Some(Op::Else(id))
    }

    fn end(&mut self) -> Option<Op> {
        let id = self.open.pop()?;
        self.body.frames[id as usize].end = self.body.code.len() as u32;
        Some(Op::End(id))
    }

    fn call(&mut self, callee: Callee, at: usize) -> Result<Op, Error> {
        let below = self.below_arguments(callee, at)?;
        Ok(Op::Call { callee, below })
    }

    fn tail_call(&mut self, callee: Callee, at: usize) -> Result<Op, Error> {
        let below = self.below_arguments(callee, at)?;
        Ok(Op::TailCall { callee, below })
    }

    fn below_arguments(&mut self, callee: Callee, at: usize) -> Result<Span, Error> {
        let arguments = match callee {
            Callee::Function(index) => self
                .module
                .functions
                .get(index as usize)
                .map_or(0, |_| self.module.function_type(index).params.len()),
            Callee::Indirect { ty, .. } => {
                let ty = self.module.types.get(ty as usize);
                1 + ty.map_or(0, |ty| ty.params.len())
            }
        };
        self.operands_below(arguments, at)
    }

    fn table(&self, targets: &wasmparser::BrTable<'_>) -> Result<Op, Error> {
        let mut labels = Vec::with_capacity(targets.len() as usize + 1);
        for depth in targets.targets() {
            labels.push(self.label(depth?));
        }
        labels.push(self.label(targets.default()));
        Ok(Op::BrTable(labels.into()))
    }

    /// The operands of the innermost frame without the topmost `above`.
    ///
    /// An invalid body may have fewer; the validator says so right after.
    fn operands_below(&mut self, above: usize, at: usize) -> Result<Span, Error> {
        let height = self.validator.operand_stack_height() as usize;
        let base = self.validator.get_control_frame(0).map_or(0, |f| f.height);
        let from = self.body.types.len();
        let count = height.saturating_sub(base).saturating_sub(above);
        if from + count > MAX_LISTED_OPERANDS {
            return Err(Error::TooLarge {
                what: "the number of operands under calls and blocks of one function",
                limit: MAX_LISTED_OPERANDS,
                offset: at,
            });
        }
        for place in (0..count).rev() {
            let ty = self.validator.get_operand_type(above + place).flatten();
            // In reachable code, every operand that lies there has a type.
            let ty = ty.unwrap_or(wasmparser::ValType::I32);
            let ty = ValType::parse(ty, at)?;
            self.body.types.push(ty);
        }
        Ok(Span {
            from: from as u32,
            to: self.body.types.len() as u32,
        })
    }

    fn block_type(&self, ty: BlockType, at: usize) -> Result<(Types, Types), Error> {
        Ok(match ty {
            BlockType::Empty => (Box::default(), Box::default()),
            BlockType::Type(ty) => (Box::default(), Box::new([ValType::parse(ty, at)?])),
            BlockType::FuncType(index) => {
                let ty = self.module.types.get(index as usize);
                ty.map_or_else(Default::default, |ty| {
                    (ty.params.clone(), ty.results.clone())
                })
            }
        })
    }

    fn innermost(&self) -> FrameId {
        *self.open.last().unwrap_or(&FUNCTION)
    }

    /// The frame at a relative depth; the validator rejects a depth that has none.
    fn label(&self, depth: u32) -> FrameId {
        let depth = depth as usize;
        let place = self.open.len().checked_sub(depth + 1);
        place.map_or(FUNCTION, |place| self.open[place])
    }
}

type Types = Box<[ValType]>;

fn indirect(ty: u32, table: u32) -> Callee {
    Callee::Indirect { ty, table }
}
