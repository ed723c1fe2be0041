//! Functions that save values: what the cold paths after calls consist of.
//!
//! A call on a cold path that *goes on* would make the register allocator spill around it on the
//! hot path. Here nothing goes on: the frame saves itself and returns, and everything that it
//! saves has survived a call already. There are two kinds:
//!
//! - Where a function holds more values than registers do, a *series* of savers takes them as
//!   arguments, few at a time, so that they travel in registers and few savers serve a whole
//!   module. That is the least code. The first opens the record:
//!
//!   ```wat
//!   (func $open_i32_i64 (param $name i32) (param i32 i64) (local $at i32)
//!     ;; the record begins at the next multiple of eight
//!     (local.set $at (i32.and (i32.const -8)
//!       (i32.add (i32.const 7) (i32.load $control offset=4 (i32.const 0)))))
//!     (i32.store $control (local.get $at) (i32.and (local.get $name) (i32.const 0xfffff)))
//!     (i32.store $control offset=4 (local.get $at) (i32.shr_u (local.get $name) (i32.const 20)))
//!     (i32.store $control offset=16 (local.get $at) (local.get 1))
//!     (i64.store $control offset=20 (local.get $at) (local.get 2))
//!     (i32.store $control offset=4 (i32.const 0) (i32.add (local.get $at) (i32.const 28)))
//!     (i32.store $control (i32.const 0) (i32.const 2)))
//!   ```
//!
//! - Arguments have registers of their own, and a small function whose values live in others
//!   would move them about on its hot path already (`fib` by a tenth). It puts them into the
//!   *stage* of the control memory, and one saver fetches them from there.
//!
//! A saver calls nothing, and keeps nothing on the stack: so the engine does not ask whether there is
//! room for it, and the deepest frame that the stack has room for can be saved. References are not
//! handed to savers, since to put them into tables may take a call.

use wasm_encoder::{BlockType, InstructionSink};

use crate::abi::{control, flag, record, value_bytes};
use crate::target::Target;
use crate::types::ValType;

/// How many integers a saver takes: as many as every machine passes in registers.
const MAX_ARGUMENTS: usize = 4;

/// What a call hands over in arguments.
type Values = [Option<ValType>; MAX_ARGUMENTS];

/// One such function, named by what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Saver {
    /// Begins a record: takes the stop's name and the first values.
    Open(Name, Values),
    /// Puts values behind those saved before.
    Append(Values),
    /// Makes a record of the stage: takes the stop's name and how many bytes the values take
    /// there, a multiple of 8.
    Fetch(Name),
}

/// How a stop is named to a saver: by function and number, as far as they fit in one word. Cold
/// paths are many, and a long constant is long code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// The function in the low 20 bits, the stop above.
    Short,
    /// The function in the low half, the stop in the high one, as in the record.
    Long,
}

const FUNCTION_BITS: u32 = 20;

impl Name {
    /// Pushes the name of a stop.
    pub(crate) fn push(sink: &mut InstructionSink<'_>, function: u32, stop: u32) -> Self {
        if function < 1 << FUNCTION_BITS && stop < 1 << (32 - FUNCTION_BITS) {
            sink.i32_const((function | stop << FUNCTION_BITS).cast_signed());
            Self::Short
        } else {
            sink.i64_const(long_name(function, stop));
            Self::Long
        }
    }

    fn ty(self) -> ValType {
        match self {
            Self::Short => ValType::I32,
            Self::Long => ValType::I64,
        }
    }
}

/// The first eight bytes of a record.
pub(crate) fn long_name(function: u32, stop: u32) -> i64 {
    i64::from(function) | i64::from(stop) << 32
}

impl Saver {
    /// The savers that together save a record's values: how many each takes, in order.
    pub(crate) fn series(name: Name, types: &[ValType]) -> Vec<(Self, usize)> {
        let first = types.len().min(MAX_ARGUMENTS - 1);
        let (opening, rest) = types.split_at(first);
        let mut series = vec![(Self::Open(name, values(opening)), first)];
        let rest = rest.chunks(MAX_ARGUMENTS);
        series.extend(rest.map(|chunk| (Self::Append(values(chunk)), chunk.len())));
        series
    }

    /// What tells it from other savers in its export's name.
    pub(crate) fn name(self) -> String {
        let verb = match self {
            Self::Open(..) => "open",
            Self::Append(_) => "append",
            Self::Fetch(_) => "fetch",
        };
        let params = self.params().into_iter();
        params.fold(verb.to_owned(), |name, ty| format!("{name}:{ty:?}"))
    }

    /// Its parameters; it has no results.
    pub(crate) fn params(self) -> Vec<ValType> {
        let (first, values) = match self {
            Self::Open(name, values) => (Some(name.ty()), values),
            Self::Append(values) => (None, values),
            Self::Fetch(name) => (Some(name.ty()), values(&[ValType::I32])),
        };
        first
            .into_iter()
            .chain(values.into_iter().flatten())
            .collect()
    }

    /// Its code.
    pub(crate) fn function(self, target: &Target) -> wasm_encoder::Function {
        let mut function = wasm_encoder::Function::new([(1, wasm_encoder::ValType::I32)]);
        let mut body = SaverBody {
            at: self.params().len() as u32,
            target,
            sink: function.instructions(),
        };
        match self {
            Self::Open(name, values) => {
                body.open(name);
                body.append(1, record::VALUES, values);
            }
            Self::Append(values) => {
                body.find_end();
                body.append(0, 0, values);
            }
            Self::Fetch(name) => {
                body.open(name);
                body.fetch();
            }
        }
        body.sink.end();
        function
    }
}

fn values(types: &[ValType]) -> Values {
    let mut values = Values::default();
    for (place, &ty) in values.iter_mut().zip(types) {
        *place = Some(ty);
    }
    values
}

struct SaverBody<'s> {
    /// The local with the address to save to.
    at: u32,
    target: &'s Target,
    sink: InstructionSink<'s>,
}

impl SaverBody<'_> {
    /// Points `at` to the end of what is saved.
    fn find_end(&mut self) {
        let save = self.target.control(control::SAVE);
        self.sink.i32_const(0).i32_load(save).local_set(self.at);
    }

    /// Points `at` to a new record, names it and begins to unwind.
    fn open(&mut self, name: Name) {
        let save = self.target.control(control::SAVE);
        let at_function = self.target.record(record::FUNCTION);
        let at_stop = self.target.record(record::STOP);
        let at_flag = self.target.control(control::FLAG);
        push_next_record(&mut self.sink, save);
        self.sink
            .local_set(self.at)
            .i32_const(0)
            .i32_const(flag::UNWINDING as i32)
            .i32_store(at_flag)
            .local_get(self.at)
            .local_get(0);
        match name {
            Name::Short => self
                .sink
                .i32_const((1 << FUNCTION_BITS) - 1)
                .i32_and()
                .i32_store(at_function)
                .local_get(self.at)
                .local_get(0)
                .i32_const(FUNCTION_BITS as i32)
                .i32_shr_u()
                .i32_store(at_stop),
            Name::Long => self.sink.i64_store(at_function),
        };
    }

    /// Stores parameters from `param` on, the first one `offset` bytes behind `at`.
    fn append(&mut self, mut param: u32, mut offset: u32, values: Values) {
        for ty in values.into_iter().flatten() {
            self.value(param, ty, offset);
            param += 1;
            offset += value_bytes(ty);
        }
        let save = self.target.control(control::SAVE);
        self.sink
            .i32_const(0)
            .local_get(self.at)
            .i32_const(offset as i32)
            .i32_add()
            .i32_store(save);
    }

    /// Copies the stage, its end first: parameter 1 counts down.
    fn fetch(&mut self) {
        let save = self.target.control(control::SAVE);
        let from = self.target.record(control::STAGE);
        let to = self.target.record(record::VALUES);
        self.sink
            .i32_const(0)
            .local_get(self.at)
            .local_get(1)
            .i32_add()
            .i32_const(record::VALUES as i32)
            .i32_add()
            .i32_store(save)
            .block(BlockType::Empty)
            .loop_(BlockType::Empty)
            .local_get(1)
            .i32_eqz()
            .br_if(1)
            .local_get(1)
            .i32_const(8)
            .i32_sub()
            .local_tee(1)
            .local_get(self.at)
            .i32_add()
            .local_get(1)
            .i64_load(from)
            .i64_store(to)
            .br(0)
            .end()
            .end();
    }

    fn value(&mut self, param: u32, ty: ValType, offset: u32) {
        let at = self.target.record(offset);
        self.sink.local_get(self.at).local_get(param);
        store(&mut self.sink, ty, at);
    }
}

/// Pushes the address of the next record, a multiple of eight; `save` is the word that tells where the last
/// one ended.
pub(crate) fn push_next_record(sink: &mut InstructionSink<'_>, save: wasm_encoder::MemArg) {
    sink.i32_const(0)
        .i32_load(save)
        .i32_const(7)
        .i32_add()
        .i32_const(-8)
        .i32_and();
}

/// Stores a value, or the place of a reference.
pub(crate) fn store(sink: &mut InstructionSink<'_>, ty: ValType, at: wasm_encoder::MemArg) {
    match ty {
        ValType::I64 => sink.i64_store(at),
        ValType::F32 => sink.f32_store(at),
        ValType::F64 => sink.f64_store(at),
        ValType::V128 => sink.v128_store(at),
        ValType::I32 | ValType::FuncRef | ValType::ExternRef | ValType::ExnRef => {
            sink.i32_store(at)
        }
    };
}
