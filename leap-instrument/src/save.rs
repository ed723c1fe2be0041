//! Cold paths: a frame saves itself and returns.
//!
//! After a call, all that is live has survived a call already, and in a loop with calls about all has:
//! there calling [savers](crate::saver) takes the least code. In a loop without calls, a call, even on a
//! path never taken, would make the register allocator keep values out of registers on the path that
//! is: there the code is straight-line.
//!
//! Each stop saves by itself, and all share the way out, which takes no values along: where cold
//! paths met in a block with values that they brought, be it only the address of a record, these
//! tied far parts of a function together, and a large one (SQLite's interpreter) ran 8 to 25 % slower.

use wasm_encoder::{BlockType, InstructionSink, MemArg};

use crate::abi::{control, flag, record, record_bytes, value_bytes};
use crate::emit::Emitter;
use crate::saver::{Name, Saver, long_name, push_next_record, store};
use crate::types::ValType;

impl Emitter<'_> {
    /// Writes the record of the frame at `stop` and returns from the function.
    ///
    /// `operands` and `results` are locals with what lay on the operand stack.
    pub(crate) fn save(
        &mut self,
        stop: u32,
        operands: &[(u32, ValType)],
        results: &[(u32, ValType)],
    ) {
        let plan = self.plan;
        let live = plan.stops[stop as usize].live.iter();
        let live = live.map(|&local| (local, self.body.locals[local as usize]));
        let mut values: Vec<(u32, ValType)> = results.to_vec();
        values.extend(live);
        values.extend(&self.spilled);
        values.extend(operands);

        if plan.saves_in_place(&plan.stops[stop as usize]) {
            self.save_in_place(stop, &values);
        } else if values.iter().any(|(_, ty)| ty.is_reference()) {
            self.save_with_references(stop, &values);
        } else if plan.stages {
            self.save_by_stage(stop, &values);
        } else {
            self.save_by_series(stop, &values);
        }
        self.br_to_unwound();
    }

    /// Leaves the values in the stage, for a [saver](crate::saver) to fetch.
    fn save_by_stage(&mut self, stop: u32, values: &[(u32, ValType)]) {
        let places: Vec<MemArg> = offsets(values)
            .map(|offset| self.target.record(control::STAGE + offset - record::VALUES))
            .collect();
        for (&(local, ty), at) in values.iter().zip(places) {
            self.sink().i32_const(0).local_get(local);
            store(&mut self.sink(), ty, at);
        }
        let name = self.push_name(stop);
        let bytes = record_bytes(values.iter().map(|&(_, ty)| ty)) - record::VALUES;
        let saver = self.target.saver(Saver::Fetch(name));
        self.sink().i32_const(bytes as i32).call(saver);
    }

    /// Hands the values over to a series of [savers](crate::saver).
    fn save_by_series(&mut self, stop: u32, values: &[(u32, ValType)]) {
        let types: Vec<ValType> = values.iter().map(|&(_, ty)| ty).collect();
        let name = self.push_name(stop);
        let mut rest = values;
        for (saver, count) in Saver::series(name, &types) {
            let (saved, left) = rest.split_at(count);
            for &(local, _) in saved {
                self.sink().local_get(local);
            }
            let saver = self.target.saver(saver);
            self.sink().call(saver);
            rest = left;
        }
    }

    /// Saves without savers: see there.
    fn save_with_references(&mut self, stop: u32, values: &[(u32, ValType)]) {
        let at = self.locals.take(ValType::I32);
        let name = long_name(self.plan.function, stop);
        let save = self.control(control::SAVE);
        let at_flag = self.control(control::FLAG);
        let at_name = self.record_argument(record::FUNCTION);
        push_next_record(&mut self.sink(), save);
        self.sink().local_tee(at).i64_const(name).i64_store(at_name);
        let places = self.save_references(values);
        for (&(local, ty), offset) in values.iter().zip(offsets(values)) {
            let argument = self.record_argument(offset);
            let value = places.iter().find(|(reference, _)| *reference == local);
            let value = value.map_or(local, |&(_, place)| place);
            self.sink().local_get(at).local_get(value);
            store(&mut self.sink(), ty, argument);
        }
        for (_, place) in places {
            self.locals.give_back(place, ValType::I32);
        }
        let bytes = record_bytes(values.iter().map(|&(_, ty)| ty));
        self.sink()
            .i32_const(0)
            .local_get(at)
            .i32_const(bytes as i32)
            .i32_add()
            .i32_store(save)
            .i32_const(0)
            .i32_const(flag::UNWINDING as i32)
            .i32_store(at_flag);
        self.locals.give_back(at, ValType::I32);
    }

    /// Puts the references among the values into their tables; gives, for the local with each, one
    /// with its place. Places are shared by the tables, to keep one counter. A stack of any depth must
    /// find room, so the tables grow; at least twofold, so that a deep stack seldom does it.
    fn save_references(&mut self, values: &[(u32, ValType)]) -> Vec<(u32, u32)> {
        let counter = self.control(control::REFERENCES);
        let references = values.iter().filter(|(_, ty)| ty.is_reference());
        let mut places = Vec::new();
        for &(local, ty) in references {
            let table = self.target.reference_table(ty);
            let place = self.locals.take(ValType::I32);
            self.sink()
                .i32_const(0)
                .i32_load(counter)
                .local_tee(place)
                .table_size(table)
                .i32_ge_u()
                .if_(BlockType::Empty)
                .ref_null(ty.heap())
                .local_get(place)
                .i32_const(1)
                .i32_add()
                .table_grow(table)
                .drop()
                .end()
                .local_get(place)
                .local_get(local)
                .table_set(table)
                .i32_const(0)
                .local_get(place)
                .i32_const(1)
                .i32_add()
                .i32_store(counter);
            places.push((local, place));
        }
        places
    }

    fn push_name(&mut self, stop: u32) -> Name {
        let function = self.plan.function;
        Name::push(&mut self.sink(), function, stop)
    }

    /// Saves without any call. Where a loop polls, and before a tail call, no other frame has been
    /// saved yet, so the record is the first. Its references go behind those of the frames that wait as
    /// records: how many these are, the counter says, and the host sees to it that the tables have
    /// room.
    fn save_in_place(&mut self, stop: u32, values: &[(u32, ValType)]) {
        let name = long_name(self.plan.function, stop);
        let first_record = |offset| self.target.record(control::AREA + offset);
        let at_name = first_record(record::FUNCTION);
        let places: Vec<MemArg> = offsets(values).map(first_record).collect();
        let save = self.control(control::SAVE);
        let counter = self.control(control::REFERENCES);
        let at_flag = self.control(control::FLAG);
        self.sink().i32_const(0).i64_const(name).i64_store(at_name);
        let mut references = 0;
        for (&(local, ty), at) in values.iter().zip(places) {
            if ty.is_reference() {
                let table = self.target.reference_table(ty);
                let mut sink = self.sink();
                push_place(&mut sink, counter, references);
                sink.local_get(local).table_set(table).i32_const(0);
                push_place(&mut sink, counter, references);
                references += 1;
            } else {
                self.sink().i32_const(0).local_get(local);
            }
            store(&mut self.sink(), ty, at);
        }
        let bytes = record_bytes(values.iter().map(|&(_, ty)| ty));
        let mut sink = self.sink();
        if references > 0 {
            sink.i32_const(0);
            push_place(&mut sink, counter, references);
            sink.i32_store(counter);
        }
        sink.i32_const(0)
            .i32_const((control::AREA + bytes) as i32)
            .i32_store(save)
            .i32_const(0)
            .i32_const(flag::UNWINDING as i32)
            .i32_store(at_flag);
    }

    pub(crate) fn push_dummies(&mut self) {
        let body = self.body;
        let mut sink = self.sink();
        for &ty in body.results() {
            match ty {
                ValType::I32 => sink.i32_const(0),
                ValType::I64 => sink.i64_const(0),
                ValType::F32 => sink.f32_const(0.0.into()),
                ValType::F64 => sink.f64_const(0.0.into()),
                ValType::V128 => sink.v128_const(0),
                ValType::FuncRef | ValType::ExternRef | ValType::ExnRef => sink.ref_null(ty.heap()),
            };
        }
    }

    /// Pushes the value of type `ty` at `offset` of the record whose address is in `at`.
    pub(crate) fn load(&mut self, at: u32, offset: u32, ty: ValType) {
        let argument = self.record_argument(offset);
        let table = ty.is_reference().then(|| self.target.reference_table(ty));
        let mut sink = self.sink();
        sink.local_get(at);
        match ty {
            ValType::I64 => sink.i64_load(argument),
            ValType::F32 => sink.f32_load(argument),
            ValType::F64 => sink.f64_load(argument),
            ValType::V128 => sink.v128_load(argument),
            ValType::I32 | ValType::FuncRef | ValType::ExternRef | ValType::ExnRef => {
                sink.i32_load(argument)
            }
        };
        if let Some(table) = table {
            sink.table_get(table);
        }
    }

    pub(crate) fn record_argument(&self, offset: u32) -> MemArg {
        self.target.record(offset)
    }
}

/// Pushes the `nth` free place of the reference tables.
fn push_place(sink: &mut InstructionSink<'_>, counter: MemArg, nth: i32) {
    sink.i32_const(0).i32_load(counter);
    sink.i32_const(nth).i32_add();
}

/// Where in a record the values stand.
fn offsets(values: &[(u32, ValType)]) -> impl Iterator<Item = u32> {
    values.iter().scan(record::VALUES, |next, &(_, ty)| {
        let here = *next;
        *next += value_bytes(ty);
        Some(here)
    })
}
