//! Going on from a captured stack.
//!
//! The innermost frames are rebuilt, by a continuation for each in the resume table; the callee that
//! the innermost waits for is a function of the host there. All other frames stay records. When
//! the rebuilt ones have returned (or thrown), what they returned is the callee that the next
//! innermost frames wait for, and these are rebuilt in turn. So a stack that was as deep as one back
//! end allows goes on under another whose frames are larger, and in continuations, which may be
//! larger as well; and a deep stack, or one for which much has to be compiled, runs again before all
//! of it is rebuilt.

use std::collections::{BTreeMap, BTreeSet};

use leap_instrument::abi::{HOST, PROGRAM, REFERENCE_TABLES};
use leap_instrument::{ValType, continuation_name};
use wasmtime::{
    AsContextMut as _, Caller, Extern, Func, FuncType, Instance, Ref, RootScope, Table, Val,
};

use crate::engine::StopName;
use crate::error::{VmError, message};
use crate::process::{Callee, Process, Stopped};
use crate::records::{self, RawRecord};
use crate::references::engine_type;
use crate::system::{Host, System};

impl<S: System> Process<S> {
    /// Rebuilds the innermost frames and runs them to their end. The others are left in `stopped`.
    pub(crate) fn resume(
        &mut self,
        stopped: &mut Stopped,
    ) -> Result<wasmtime::Result<Vec<Val>>, VmError> {
        if stopped.records.is_empty() {
            return self.resume_callee(stopped);
        }
        let mut at_once = self.frames_at_once(&stopped.records);
        loop {
            let waiting = stopped.records.len().saturating_sub(at_once);
            let inner = &stopped.records[waiting..];
            let rebuilt: usize = inner.iter().map(|record| record.references().count()).sum();
            let kept = stopped.references - rebuilt as u32;
            let result = self.resume_frames(kept, inner, stopped.callee.as_ref())?;
            if inner.len() > 1 && self.has_no_stack_for(inner, &result) {
                // Nothing of the guest's own code has run.
                at_once = inner.len() / 2;
                continue;
            }
            stopped.records.truncate(waiting);
            stopped.references = kept;
            return Ok(result);
        }
    }

    /// How many of the innermost of these frames are to be rebuilt at once, at least 1.
    fn frames_at_once(&self, records: &[RawRecord]) -> usize {
        let options = self.module.engine().options();
        let most = options.frames_at_once.max(1);
        let mut to_compile = BTreeSet::new();
        let innermost = records.iter().rev().take(most);
        let fit = innermost.take_while(|record| {
            let stop = (record.function, record.stop);
            let is_known =
                self.continuations.contains_key(&stop) || self.module.has_continuation(stop);
            if !is_known {
                to_compile.insert(stop);
            }
            to_compile.len() <= options.continuations_at_once
        });
        fit.count().max(1)
    }

    /// Goes on with a host function that the entry called by tail calls alone.
    fn resume_callee(&mut self, stopped: &Stopped) -> Result<wasmtime::Result<Vec<Val>>, VmError> {
        let results = self.stage_results(stopped.stage)?;
        let function = self.callee_function(None, results);
        records::ready(self.control_mut(), 0);
        self.store.data_mut().callee.clone_from(&stopped.callee);
        Ok(self.call_function(function, &[]))
    }

    /// A frame that saves itself where it may call nothing finds places for its references behind
    /// the first `kept` ones, as many as the tables had from the start.
    fn make_room_for_references(&mut self, kept: u32) -> Result<(), VmError> {
        for (_, name) in REFERENCE_TABLES {
            let Some(table) = self.instance.get_table(&mut self.store, name) else {
                continue;
            };
            let ty = table.ty(&self.store);
            let wanted = u64::from(kept) + ty.minimum();
            let missing = wanted.saturating_sub(table.size(&self.store));
            let null = Ref::null(ty.element().heap_type());
            table
                .grow(&mut self.store, missing, null)
                .map_err(|_| VmError::Uncapturable {
                    what: "more references than a table can hold",
                })?;
        }
        Ok(())
    }

    /// Rebuilds `inner`, of which the references are those behind the first `kept` ones.
    fn resume_frames(
        &mut self,
        kept: u32,
        inner: &[RawRecord],
        callee: Option<&Callee>,
    ) -> Result<wasmtime::Result<Vec<Val>>, VmError> {
        self.load_continuations(inner, callee)?;
        self.make_room_for_references(kept)?;
        let module = self.module.clone();
        let stops = module.stop_map();
        let layouts = inner
            .iter()
            .filter_map(|record| Some((record, stops.stop(record.function, record.stop)?)));
        records::write(self.control_mut(), layouts, kept)?;
        let outermost = self.resume.get(self.store.as_context_mut(), 0);
        let Some(Ref::Func(Some(outermost))) = outermost else {
            unreachable!("a stopped process has a frame");
        };
        Ok(self.call_function(outermost, &[]))
    }

    /// Whether the stack was exhausted before the frames were all there again.
    fn has_no_stack_for(&self, frames: &[RawRecord], result: &wasmtime::Result<Vec<Val>>) -> bool {
        let Err(error) = result else {
            return false;
        };
        if error.downcast_ref() != Some(&wasmtime::Trap::StackOverflow) {
            return false;
        }
        let stops = self.module.stop_map();
        let layouts = frames
            .iter()
            .filter_map(|record| stops.stop(record.function, record.stop));
        !records::are_all_read(self.control(), layouts)
    }

    /// Gives the references of `records`, which have just been saved, the places behind the first
    /// `kept` ones, those of the outermost frame first. Answers how many are taken then.
    pub(crate) fn compact_references(
        &mut self,
        kept: u32,
        records: &mut [RawRecord],
    ) -> Result<u32, VmError> {
        if records
            .iter()
            .all(|record| record.references().next().is_none())
        {
            return Ok(kept);
        }
        let mut tables = BTreeMap::<ValType, Table>::new();
        for (ty, name) in REFERENCE_TABLES {
            let table = self.instance.get_table(&mut self.store, name);
            tables.extend(table.map(|table| (ty, table)));
        }
        let lost = || VmError::Uncapturable {
            what: "a reference outside of its table",
        };
        let mut scope = RootScope::new(&mut self.store);
        let mut elements = Vec::new();
        for value in records.iter().flat_map(RawRecord::references) {
            let table = *tables.get(&value.ty).ok_or_else(lost)?;
            let element = table.get(&mut scope, value.bits as u64);
            elements.push((table, element.ok_or_else(lost)?));
        }
        let values = records.iter_mut().flat_map(RawRecord::references_mut);
        let mut taken = kept;
        for (value, (table, element)) in values.zip(elements) {
            let place = u64::from(taken);
            let missing = (place + 1).saturating_sub(table.size(&scope));
            table
                .grow(&mut scope, missing, element.clone())
                .and_then(|_| table.set(&mut scope, place, element))
                .map_err(|_| lost())?;
            value.bits = place.into();
            taken += 1;
        }
        Ok(taken)
    }

    /// Makes element `i` of the resume table resume record `i`.
    fn load_continuations(
        &mut self,
        records: &[RawRecord],
        callee: Option<&Callee>,
    ) -> Result<(), VmError> {
        let names = || records.iter().map(|record| (record.function, record.stop));
        self.instantiate_continuations(names())?;
        let mut functions: Vec<Func> = names()
            .filter_map(|name| self.continuations.get(&name).copied())
            .collect();
        if let (Some(callee), Some(innermost)) = (callee, names().next_back()) {
            let (function, stop) = innermost;
            let stop = self.module.stop_map().stop(function, stop);
            let results = stop.map(|stop| stop.results.clone()).unwrap_or_default();
            functions.push(self.callee_function(Some(innermost), results));
            self.store.data_mut().callee = Some(callee.clone());
        }
        let failed = |error: wasmtime::Error| VmError::Instantiate {
            message: message(&error),
        };
        let size = self.resume.size(&self.store);
        let missing = (functions.len() as u64).saturating_sub(size);
        self.resume
            .grow(&mut self.store, missing, Ref::Func(None))
            .map_err(failed)?;
        for (place, function) in functions.into_iter().enumerate() {
            let function = Ref::Func(Some(function));
            self.resume
                .set(&mut self.store, place as u64, function)
                .map_err(failed)?;
        }
        Ok(())
    }

    fn instantiate_continuations(
        &mut self,
        stops: impl Iterator<Item = StopName>,
    ) -> Result<(), VmError> {
        let mut missing: Vec<StopName> = stops
            .filter(|stop| !self.continuations.contains_key(stop))
            .collect();
        missing.sort_unstable();
        missing.dedup();
        if missing.is_empty() {
            return Ok(());
        }
        let mut instances = BTreeMap::<usize, Instance>::new();
        for (stop, continuation) in self.module.continuations(missing)? {
            // One instance of each module that holds some of them.
            let identity = continuation.module.image_range().start.addr();
            let instance = match instances.get(&identity) {
                Some(instance) => *instance,
                None => {
                    let instance = self.instantiate_beside(&continuation.module)?;
                    instances.insert(identity, instance);
                    instance
                }
            };
            let name = continuation_name(continuation.place);
            let function = instance.get_func(&mut self.store, &name);
            let function = function.expect("the module exports each of its continuations");
            self.continuations.insert(stop, function);
        }
        Ok(())
    }

    /// Instantiates a module of continuations over the process's own instance.
    fn instantiate_beside(&mut self, module: &wasmtime::Module) -> Result<Instance, VmError> {
        let imports: Vec<Extern> = module
            .imports()
            .map(|import| match import.module() {
                HOST => Extern::from(self.resume),
                PROGRAM => self
                    .instance
                    .get_export(self.store.as_context_mut(), import.name())
                    .expect("the instrumented module exports what continuations import"),
                other => unreachable!("continuations import nothing from {other}"),
            })
            .collect();
        Instance::new(&mut self.store, module, &imports).map_err(|error| VmError::Instantiate {
            message: message(&error),
        })
    }

    /// A function that goes on with the callee of a frame at that stop, or of none, in the place of a
    /// continuation. The engine keeps functions as long as the process, so there is one for each.
    fn callee_function(&mut self, caller: Option<StopName>, results: Vec<ValType>) -> Func {
        if let Some(known) = self.callees.get(&caller) {
            return *known;
        }
        let results = results.into_iter().map(engine_type);
        let ty = FuncType::new(self.module.compiled().engine(), [], results);
        let function = Func::new(&mut self.store, ty, |caller, _, results| {
            go_on(caller, results)
        });
        self.callees.insert(caller, function);
        function
    }
}

/// Goes on with what the innermost frame waits for.
fn go_on<S: System>(mut caller: Caller<'_, Host<S>>, results: &mut [Val]) -> wasmtime::Result<()> {
    match caller.data_mut().callee.take() {
        Some(Callee::Host(frame)) => S::resume(caller, frame, results),
        Some(Callee::Returned(values)) if values.len() == results.len() => {
            results.copy_from_slice(&values);
            Ok(())
        }
        Some(Callee::Threw(exception)) => caller.as_context_mut().throw(exception),
        Some(Callee::Returned(_)) | None => Err(wasmtime::Error::msg("a frame waits for nothing")),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Result, ensure};
    use leap_instrument::Options;

    use super::*;
    use crate::{Engine, EngineOptions, Entry, NoSystem, Outcome, Value};

    /// So many functions, each with one stop, call the next; the innermost loops.
    const FUNCTIONS: usize = 10;

    fn chain() -> String {
        let calls = (0..FUNCTIONS - 1).map(|at| {
            let next = at + 1;
            format!("(func $f{at} (result i32) (i32.add (call $f{next}) (i32.const 1)))")
        });
        let calls: String = calls.collect();
        let last = FUNCTIONS - 1;
        format!(
            r#"(module {calls}
                (func $f{last} (result i32) (local $turns i32)
                  (loop $again
                    (local.set $turns (i32.add (local.get $turns) (i32.const 1)))
                    (br_if $again (i32.lt_u (local.get $turns) (i32.const 100))))
                  (local.get $turns))
                (export "run" (func $f0)))"#
        )
    }

    #[test]
    fn a_process_runs_before_all_its_continuations_are_compiled() -> Result<()> {
        let module = wat::parse_str(chain())?;
        let engine = || {
            Engine::new(EngineOptions {
                continuations_at_once: 3,
                instrument: Options {
                    slice_instructions: 1,
                    countdown: true,
                    ..Options::default()
                },
                ..EngineOptions::default()
            })
        };
        let first = engine()?.compile(&module)?;
        let entry = Entry {
            name: "run".to_owned(),
            arguments: Vec::new(),
        };
        let mut process = Process::start(&first, NoSystem, entry)?;
        process.stop_after(1);
        ensure!(matches!(process.run()?, Outcome::Stopped));
        let captured = process.capture()?;
        assert_eq!(captured.frames.len(), FUNCTIONS);

        let elsewhere = engine()?.compile(&module)?;
        let mut process = Process::rebuild(&elsewhere, NoSystem, &captured)?;
        process.stop_after(1);
        ensure!(matches!(process.run()?, Outcome::Stopped));
        assert_eq!(process.continuations.len(), 3);
        assert_eq!(process.capture()?.frames.len(), FUNCTIONS);
        process.stop_after(u32::MAX);
        let outcome = process.run()?;
        let expected = 100 + FUNCTIONS as i32 - 1;
        ensure!(matches!(&outcome, Outcome::Returned(values) if *values == [Value::I32(expected)]));
        assert_eq!(process.continuations.len(), FUNCTIONS);
        Ok(())
    }
}
