//! From a stopped process to its state as data.

use leap_instrument::ValType;
use leap_instrument::abi::{Export, REFERENCE_TABLES};
use wasmtime::{AsContextMut as _, Val};

use crate::error::VmError;
use crate::process::{Callee, Position, Process};
use crate::records::{RawRecord, RawValue};
use crate::references::References;
use crate::state::{Captured, FrameRecord, HostFrame, MemoryShape, Stage, TableState, Value};
use crate::system::System;

impl<S: System> Process<S> {
    /// The state of the process, but for the bytes of its memories and the system's state, which
    /// stay in it to be read.
    ///
    /// # Errors
    ///
    /// [`VmError::State`] if it has ended or has not begun to run; [`VmError::Uncapturable`].
    pub fn capture(&mut self) -> Result<Captured, VmError> {
        let mut references = References::of(self.instance);
        let (stage, frames, host) = self.captured_stack(&mut references)?;
        let memories = self.captured_memories();
        let globals = self.captured_globals(&mut references)?;
        let tables = self.captured_tables(&mut references)?;
        Ok(Captured {
            module: self.module.hash(),
            entry: self.entry.clone(),
            stage,
            frames,
            host,
            memories,
            globals,
            tables,
            dropped_data: self.dropped(Export::DroppedData),
            dropped_elements: self.dropped(Export::DroppedElement),
            exceptions: references.exceptions,
        })
    }

    fn captured_stack(
        &mut self,
        references: &mut References,
    ) -> Result<(Stage, Vec<FrameRecord>, Option<HostFrame>), VmError> {
        // Taken out, for reading references needs the whole process.
        let position = std::mem::replace(&mut self.position, Position::Ended);
        let Position::Stopped(stopped) = position else {
            self.position = position;
            return Err(VmError::State {
                state: "is not stopped",
            });
        };
        let frames = stopped
            .records
            .iter()
            .map(|record| self.captured_frame(references, record))
            .collect::<Result<_, _>>();
        let host = match &stopped.callee {
            Some(Callee::Host(frame)) => Some(frame.clone()),
            // The others never outlast a run.
            _ => None,
        };
        let stage = stopped.stage;
        self.position = Position::Stopped(stopped);
        Ok((stage, frames?, host))
    }

    fn captured_frame(
        &mut self,
        references: &mut References,
        record: &RawRecord,
    ) -> Result<FrameRecord, VmError> {
        let values = record.values.iter();
        Ok(FrameRecord {
            function: record.function,
            stop: record.stop,
            kind: record.kind,
            values: values
                .map(|value| self.captured_value(references, *value))
                .collect::<Result<_, _>>()?,
        })
    }

    fn captured_value(
        &mut self,
        references: &mut References,
        value: RawValue,
    ) -> Result<Value, VmError> {
        Ok(match value.ty {
            ValType::I32 => Value::I32(value.bits as i32),
            ValType::I64 => Value::I64(value.bits as i64),
            ValType::F32 => Value::F32(value.bits as u32),
            ValType::F64 => Value::F64(value.bits as u64),
            ValType::V128 => Value::V128(value.bits),
            ValType::FuncRef | ValType::ExternRef | ValType::ExnRef => {
                let place = value.bits as u64;
                let table = REFERENCE_TABLES.iter().find(|(ty, _)| *ty == value.ty);
                let table = table.and_then(|(_, name)| {
                    self.instance.get_table(self.store.as_context_mut(), name)
                });
                let reference = table
                    .and_then(|table| table.get(self.store.as_context_mut(), place))
                    .ok_or(VmError::Uncapturable {
                        what: "a reference outside of its table",
                    })?;
                references.value(&mut self.store, &Val::from(reference))?
            }
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

    fn captured_globals(&mut self, references: &mut References) -> Result<Vec<Value>, VmError> {
        let mut globals = Vec::new();
        loop {
            let name = Export::Global(globals.len() as u32).name();
            let Some(global) = self.instance.get_global(&mut self.store, &name) else {
                return Ok(globals);
            };
            let value = global.get(&mut self.store);
            globals.push(references.value(&mut self.store, &value)?);
        }
    }

    fn captured_tables(&mut self, references: &mut References) -> Result<Vec<TableState>, VmError> {
        let mut tables = Vec::new();
        loop {
            let name = Export::Table(tables.len() as u32).name();
            let Some(table) = self.instance.get_table(&mut self.store, &name) else {
                return Ok(tables);
            };
            let mut elements = Vec::new();
            for place in 0..table.size(&self.store) {
                if let Some(element) = table.get(&mut self.store, place) {
                    elements.push(references.reference(&mut self.store, element)?);
                }
            }
            tables.push(TableState { elements });
        }
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
