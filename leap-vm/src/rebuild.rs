//! From a state as data to a process that goes on from it.
//!
//! The state may come from anywhere, so everything in it is checked against the module before
//! anything runs; what does not fit is refused as [`VmError::Misfit`].

use leap_instrument::abi::{Deed, Export, REFERENCE_TABLES};
use leap_instrument::{StopMap, ValType};
use wasmtime::{AsContextMut as _, Ref, Val};

use crate::engine::Module;
use crate::error::{VmError, message};
use crate::process::{Callee, Position, Process, Stopped};
use crate::records::{self, RawRecord, RawValue};
use crate::references::{Referents, misfit};
use crate::state::{Captured, FrameRecord, Reference, Stage, Value};
use crate::system::{Asked, System};

/// Where the next saved reference goes.
#[derive(Default)]
struct Places {
    next: u64,
}

impl<S: System> Process<S> {
    /// A stopped process in the state `captured`. Its memories have the right sizes, but not yet
    /// the right bytes: the caller writes all of them ([`Process::memory_mut`]) before it runs.
    ///
    /// # Errors
    ///
    /// [`VmError::OtherModule`], [`VmError::Misfit`], [`VmError::Instantiate`].
    pub fn rebuild(module: &Module, system: S, captured: &Captured) -> Result<Self, VmError> {
        if captured.module != module.hash() {
            return Err(VmError::OtherModule {
                captured: captured.module,
                module: module.hash(),
            });
        }
        let shapes = captured.memories.iter();
        let bytes = shapes.map(|shape| shape.pages.saturating_mul(shape.page_bytes));
        system.limits().check_memory(bytes)?;
        let mut process = Self::instantiate(module, system, captured.entry.clone())?;
        let results = process.stage_results(captured.stage)?;
        let stops = module.stop_map();
        records::validate(stops, &captured.frames, captured.host.is_some(), &results)?;
        let referents = Referents::of(&mut process.store, process.instance, captured)?;
        process.rebuild_memories(captured)?;
        process.rebuild_globals(captured, &referents)?;
        process.rebuild_tables(captured, &referents)?;
        // What is left is for its stack, not its own.
        process.store.data_mut().limiter.set_for_host(true);
        process.drop_segments(captured)?;
        process.store.data_mut().asked = Asked::GoingOn;
        // Another engine may have allowed it more than this one does.
        process.frames_at_most += captured.frames.len();
        let (records, references) = process.rebuild_records(stops, captured, &referents)?;
        process.position = Position::Stopped(Stopped {
            stage: captured.stage,
            records,
            references,
            callee: captured.host.clone().map(Callee::Host),
        });
        Ok(process)
    }

    pub(crate) fn stage_results(&mut self, stage: Stage) -> Result<Vec<ValType>, VmError> {
        let function = match stage {
            Stage::Start if self.module.stop_map().start.is_none() => {
                return Err(misfit("a start function that the module has not"));
            }
            Stage::Start => self.start_function()?,
            Stage::Entry => self.entry_function()?.0,
        };
        let ty = function.ty(&self.store);
        ty.results()
            .map(|ty| instrument_type(&ty).ok_or_else(|| misfit("an entry of unknown type")))
            .collect()
    }

    fn rebuild_memories(&mut self, captured: &Captured) -> Result<(), VmError> {
        for (index, shape) in (0..).zip(&captured.memories) {
            let memory = self
                .engine_memory(index)
                .filter(|memory| memory.page_size(&self.store) == shape.page_bytes)
                .ok_or_else(|| misfit("a memory that the module has not"))?;
            let missing = shape.pages.checked_sub(memory.size(&self.store));
            let missing = missing.ok_or_else(|| misfit("a memory smaller than its minimum"))?;
            memory
                .grow(&mut self.store, missing)
                .map_err(|error| VmError::Misfit {
                    what: message(&error),
                })?;
        }
        match self.engine_memory(captured.memories.len() as u32) {
            Some(_) => Err(misfit("fewer memories than the module has")),
            None => Ok(()),
        }
    }

    fn rebuild_globals(
        &mut self,
        captured: &Captured,
        referents: &Referents,
    ) -> Result<(), VmError> {
        for (index, &value) in (0..).zip(&captured.globals) {
            let name = Export::Global(index).name();
            let global = self.instance.get_global(&mut self.store, &name);
            let global = global.ok_or_else(|| misfit("a global that the module has not"))?;
            let ty = global.ty(&self.store);
            let value = referents.value(value, ty.content())?;
            if ty.mutability() == wasmtime::Mutability::Var {
                global
                    .set(&mut self.store, value)
                    .map_err(|error| VmError::Misfit {
                        what: message(&error),
                    })?;
            }
        }
        let next = Export::Global(captured.globals.len() as u32).name();
        match self.instance.get_global(&mut self.store, &next) {
            Some(_) => Err(misfit("fewer globals than the module has")),
            None => Ok(()),
        }
    }

    fn rebuild_tables(
        &mut self,
        captured: &Captured,
        referents: &Referents,
    ) -> Result<(), VmError> {
        let refused = |error: wasmtime::Error| VmError::Misfit {
            what: message(&error),
        };
        for (index, state) in (0..).zip(&captured.tables) {
            let name = Export::Table(index).name();
            let table = self.instance.get_table(&mut self.store, &name);
            let table = table.ok_or_else(|| misfit("a table that the module has not"))?;
            let ty = table.ty(&self.store);
            let missing = (state.elements.len() as u64).checked_sub(table.size(&self.store));
            let missing = missing.ok_or_else(|| misfit("a table smaller than its minimum"))?;
            let null = Ref::null(ty.element().heap_type());
            table
                .grow(&mut self.store, missing, null)
                .map_err(refused)?;
            for (place, &element) in (0..).zip(&state.elements) {
                let element = referents.reference(element, ty.element())?;
                table
                    .set(&mut self.store, place, element)
                    .map_err(refused)?;
            }
        }
        let next = Export::Table(captured.tables.len() as u32).name();
        match self.instance.get_table(&mut self.store, &next) {
            Some(_) => Err(misfit("fewer tables than the module has")),
            None => Ok(()),
        }
    }

    fn drop_segments(&mut self, captured: &Captured) -> Result<(), VmError> {
        let data = captured.dropped_data.iter();
        let data = data.map(|&data| Deed::DataDrop { data });
        let elements = captured.dropped_elements.iter();
        let elements = elements.map(|&element| Deed::ElementDrop { element });
        for deed in data.chain(elements) {
            let name = Export::Deed(deed).name();
            let function = self.instance.get_func(&mut self.store, &name);
            let function = function.ok_or_else(|| misfit("a segment that is never dropped"))?;
            self.call_function(function, &[])
                .map_err(|error| VmError::Misfit {
                    what: message(&error),
                })?;
        }
        Ok(())
    }

    fn rebuild_records(
        &mut self,
        stops: &StopMap,
        captured: &Captured,
        referents: &Referents,
    ) -> Result<(Vec<RawRecord>, u32), VmError> {
        let mut places = Places::default();
        let frames = captured.frames.iter();
        let records = frames
            .map(|frame| self.rebuild_record(stops, frame, referents, &mut places))
            .collect::<Result<_, _>>()?;
        Ok((records, places.next as u32))
    }

    fn rebuild_record(
        &mut self,
        stops: &StopMap,
        frame: &FrameRecord,
        referents: &Referents,
        places: &mut Places,
    ) -> Result<RawRecord, VmError> {
        let stop = stops.stop(frame.function, frame.stop);
        let stop = stop.ok_or_else(|| misfit("a frame at an unknown stop"))?;
        let mut values = Vec::with_capacity(frame.values.len());
        for (ty, &value) in stop.values().zip(&frame.values) {
            let bits = match (ty, value) {
                (ValType::I32, Value::I32(value)) => u128::from(value.cast_unsigned()),
                (ValType::I64, Value::I64(value)) => u128::from(value.cast_unsigned()),
                (ValType::F32, Value::F32(bits)) => u128::from(bits),
                (ValType::F64, Value::F64(bits)) => u128::from(bits),
                (ValType::V128, Value::V128(value)) => value,
                (_, Value::Reference(reference)) if ty.is_reference() => {
                    u128::from(self.save_reference(ty, reference, referents, places)?)
                }
                _ => {
                    return Err(misfit(
                        "a frame with a value of another type than its stop's",
                    ));
                }
            };
            values.push(RawValue { ty, bits });
        }
        Ok(RawRecord {
            function: frame.function,
            stop: frame.stop,
            kind: frame.kind,
            values,
        })
    }

    /// Puts a reference into the table of its type; gives its place.
    fn save_reference(
        &mut self,
        ty: ValType,
        reference: Reference,
        referents: &Referents,
        places: &mut Places,
    ) -> Result<u64, VmError> {
        let name = REFERENCE_TABLES.iter().find(|(of, _)| *of == ty);
        let table =
            name.and_then(|(_, name)| self.instance.get_table(self.store.as_context_mut(), name));
        let table = table.ok_or_else(|| misfit("a reference where there are none"))?;
        let element_type = table.ty(&self.store);
        let element = referents.reference(reference, element_type.element())?;
        let place = places.next;
        places.next += 1;
        let missing = (place + 1).saturating_sub(table.size(&self.store));
        table
            .grow(&mut self.store, missing, element.clone())
            .and_then(|_| table.set(&mut self.store, place, element))
            .map_err(|_| misfit("more references than a table can hold"))?;
        Ok(place)
    }
}

fn instrument_type(ty: &wasmtime::ValType) -> Option<ValType> {
    Some(match Val::default_for_ty(ty)? {
        Val::I32(_) => ValType::I32,
        Val::I64(_) => ValType::I64,
        Val::F32(_) => ValType::F32,
        Val::F64(_) => ValType::F64,
        Val::V128(_) => ValType::V128,
        Val::FuncRef(_) => ValType::FuncRef,
        Val::ExternRef(_) => ValType::ExternRef,
        Val::ExnRef(_) => ValType::ExnRef,
        _ => return None,
    })
}
