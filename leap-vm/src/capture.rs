//! From a stopped process to its state as data.

use leap_instrument::ValType;
use leap_instrument::abi::{Export, REFERENCE_TABLES};
use wasmtime::{AsContextMut, Instance, RootScope, Val};

use crate::error::VmError;
use crate::process::{Callee, Position, Process};
use crate::records::{RawRecord, RawValue};
use crate::references::References;
use crate::state::{Captured, FrameRecord, MemoryShape, TableState, Value};
use crate::system::System;

impl<S: System> Process<S> {
    /// The state of the process, but for the bytes of its memories and the system's state, which
    /// stay in it to be read.
    ///
    /// # Errors
    ///
    /// [`VmError::State`] if it has ended or has not begun to run; [`VmError::Uncapturable`].
    pub fn capture(&mut self) -> Result<Captured, VmError> {
        let Position::Stopped(stopped) = &self.position else {
            return Err(VmError::State {
                state: "is not stopped",
            });
        };
        let host = match &stopped.callee {
            Some(Callee::Host(frame)) => Some(frame.clone()),
            // The others never outlast a run.
            _ => None,
        };
        let stage = stopped.stage;
        // What the engine hands out for that is kept no longer.
        let mut capturing = Capturing {
            store: RootScope::new(&mut self.store),
            instance: self.instance,
            references: References::of(self.instance),
        };
        let records = stopped.records.iter();
        let frames = records.map(|record| capturing.frame(record));
        let frames = frames.collect::<Result<_, _>>()?;
        let globals = capturing.globals()?;
        let tables = capturing.tables()?;
        let exceptions = std::mem::take(&mut capturing.references.exceptions);
        drop(capturing);
        Ok(Captured {
            module: self.module.hash(),
            entry: self.entry.clone(),
            stage,
            frames,
            host,
            memories: self.captured_memories(),
            globals,
            tables,
            dropped_data: self.dropped(Export::DroppedData),
            dropped_elements: self.dropped(Export::DroppedElement),
            exceptions,
        })
    }

    fn captured_memories(&mut self) -> Vec<MemoryShape> {
        let mut memories = Vec::new();
        while let Some(memory) = self.engine_memory(memories.len() as u32) {
            memories.push(MemoryShape {
                pages: memory.size(&self.store),
                page_bytes: memory.page_size(&self.store),
            });
        }
        memories
    }

    /// The segments whose dropped-global says so.
    fn dropped(&mut self, export: fn(u32) -> Export) -> Vec<u32> {
        let prefix = export(0).name();
        let prefix = prefix.trim_end_matches('0').to_owned();
        let names: Vec<u32> = self
            .instance
            .exports(&mut self.store)
            .filter_map(|export| export.name().strip_prefix(&prefix)?.parse().ok())
            .collect();
        let mut dropped: Vec<u32> = names
            .into_iter()
            .filter(|&segment| {
                let global = self
                    .instance
                    .get_global(&mut self.store, &export(segment).name());
                let value = global.map(|global| global.get(&mut self.store));
                matches!(value, Some(Val::I32(1)))
            })
            .collect();
        dropped.sort_unstable();
        dropped
    }
}

/// A capture under way: everything in which there may be references.
struct Capturing<C: AsContextMut> {
    store: C,
    instance: Instance,
    references: References,
}

impl<C: AsContextMut> Capturing<C> {
    fn frame(&mut self, record: &RawRecord) -> Result<FrameRecord, VmError> {
        let values = record.values.iter();
        Ok(FrameRecord {
            function: record.function,
            stop: record.stop,
            kind: record.kind,
            values: values
                .map(|value| self.value(*value))
                .collect::<Result<_, _>>()?,
        })
    }

    fn value(&mut self, value: RawValue) -> Result<Value, VmError> {
        Ok(match value.ty {
            ValType::I32 => Value::I32(value.bits as i32),
            ValType::I64 => Value::I64(value.bits as i64),
            ValType::F32 => Value::F32(value.bits as u32),
            ValType::F64 => Value::F64(value.bits as u64),
            ValType::V128 => Value::V128(value.bits),
            ValType::FuncRef | ValType::ExternRef | ValType::ExnRef => {
                let place = value.bits as u64;
                let table = REFERENCE_TABLES.iter().find(|(ty, _)| *ty == value.ty);
                let table =
                    table.and_then(|(_, name)| self.instance.get_table(&mut self.store, name));
                let reference = table
                    .and_then(|table| table.get(&mut self.store, place))
                    .ok_or(VmError::Uncapturable {
                        what: "a reference outside of its table",
                    })?;
                let value = Val::from(reference);
                self.references.value(&mut self.store, &value)?
            }
        })
    }

    fn globals(&mut self) -> Result<Vec<Value>, VmError> {
        let mut globals = Vec::new();
        loop {
            let name = Export::Global(globals.len() as u32).name();
            let Some(global) = self.instance.get_global(&mut self.store, &name) else {
                return Ok(globals);
            };
            let value = global.get(&mut self.store);
            globals.push(self.references.value(&mut self.store, &value)?);
        }
    }

    fn tables(&mut self) -> Result<Vec<TableState>, VmError> {
        let mut tables = Vec::new();
        loop {
            let name = Export::Table(tables.len() as u32).name();
            let Some(table) = self.instance.get_table(&mut self.store, &name) else {
                return Ok(tables);
            };
            let mut elements = Vec::new();
            for place in 0..table.size(&self.store) {
                if let Some(element) = table.get(&mut self.store, place) {
                    elements.push(self.references.reference(&mut self.store, element)?);
                }
            }
            tables.push(TableState { elements });
        }
    }
}
