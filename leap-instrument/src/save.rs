//! Cold paths: a frame saves itself and returns.
//!
//! The code calls nothing (but to grow the tables of saved references where there are any): a call, even on a path never taken, would make
//! the register allocator keep values out of registers on the path that is. Each stop does all of
//! it by itself, down to the `return`: where cold paths met in a block that they shared, the
//! values that they brought along, be it only the address of a record, tied far parts of a function
//! together, and a large one (SQLite's interpreter) ran 8 to 25 % slower, for a tenth less code.

use std::collections::BTreeSet;

use wasm_encoder::{BlockType, MemArg};

use crate::abi::{control, flag, record, record_bytes, value_bytes};
use crate::emit::Emitter;
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

        let at = self.locals.take(ValType::I32);
        let name = i64::from(self.plan.function) | i64::from(stop) << 32;
        let save = self.control(control::SAVE);
        let at_flag = self.control(control::FLAG);
        let at_name = self.record_argument(record::FUNCTION);
        self.sink()
            .i32_const(0)
            .i32_load(save)
            .local_tee(at)
            .i64_const(name)
            .i64_store(at_name);
        let references = self.save_references(&values);
        let mut offset = record::VALUES;
        for (place, &(local, ty)) in values.iter().enumerate() {
            let argument = self.record_argument(offset);
            self.sink().local_get(at);
            match references {
                Some(first) if ty.is_reference() => self.reference_place(first, &values[..place]),
                _ => {
                    self.sink().local_get(local);
                }
            }
            self.store(ty, argument);
            offset += value_bytes(ty);
        }
        let bytes = record_bytes(values.iter().map(|&(_, ty)| ty));
        if let Some(first) = references {
            self.locals.give_back(first, ValType::I32);
        }
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
        self.push_dummies();
        self.sink().return_();
    }

    /// Puts the references among the values into their tables; gives a local with the place of
    /// the first. Places are shared by the tables, to keep one counter. A stack of any depth must
    /// find room, so the tables grow here: the one call on a cold path, only where references live.
    fn save_references(&mut self, values: &[(u32, ValType)]) -> Option<u32> {
        let references: Vec<(u32, ValType)> = values
            .iter()
            .copied()
            .filter(|(_, ty)| ty.is_reference())
            .collect();
        if references.is_empty() {
            return None;
        }
        let first = self.locals.take(ValType::I32);
        let counter = self.control(control::REFERENCES);
        self.sink().i32_const(0).i32_load(counter).local_set(first);
        self.make_room_for_references(first, &references);
        for (place, &(local, ty)) in references.iter().enumerate() {
            let table = self.target.reference_table(ty);
            self.sink()
                .local_get(first)
                .i32_const(place as i32)
                .i32_add()
                .local_get(local)
                .table_set(table);
        }
        self.sink()
            .i32_const(0)
            .local_get(first)
            .i32_const(references.len() as i32)
            .i32_add()
            .i32_store(counter);
        Some(first)
    }

    /// Grows the tables of `references` until they have as many places from `first` on; at least
    /// twofold, so that a deep stack seldom does it.
    fn make_room_for_references(&mut self, first: u32, references: &[(u32, ValType)]) {
        let count = references.len() as i32;
        let types: BTreeSet<ValType> = references.iter().map(|&(_, ty)| ty).collect();
        for ty in types {
            let table = self.target.reference_table(ty);
            self.sink()
                .local_get(first)
                .i32_const(count)
                .i32_add()
                .table_size(table)
                .i32_gt_u()
                .if_(BlockType::Empty)
                .ref_null(ty.heap())
                .local_get(first)
                .i32_const(count)
                .i32_add()
                .table_grow(table)
                .drop()
                .end();
        }
    }

    /// Pushes the place of the reference that comes after `earlier` values.
    fn reference_place(&mut self, first: u32, earlier: &[(u32, ValType)]) {
        let place = earlier.iter().filter(|(_, ty)| ty.is_reference()).count();
        self.sink()
            .local_get(first)
            .i32_const(place as i32)
            .i32_add();
    }

    fn push_dummies(&mut self) {
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

    fn store(&mut self, ty: ValType, argument: MemArg) {
        let mut sink = self.sink();
        match ty {
            ValType::I64 => sink.i64_store(argument),
            ValType::F32 => sink.f32_store(argument),
            ValType::F64 => sink.f64_store(argument),
            ValType::V128 => sink.v128_store(argument),
            ValType::I32 | ValType::FuncRef | ValType::ExternRef | ValType::ExnRef => {
                sink.i32_store(argument)
            }
        };
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

    /// Values are packed, so nothing is promised about alignment.
    pub(crate) fn record_argument(&self, offset: u32) -> MemArg {
        MemArg {
            offset: u64::from(offset),
            align: 0,
            memory_index: self.target.control_memory(),
        }
    }
}
