//! A process: one instance of a module, run, stopped, run again.
//!
//! A process is always in one of three positions: about to call a function of its life (the start
//! function, then the entry), stopped with a stack of frame records, or ended. [`Process::run`]
//! moves it on; between two runs its state is there to be read. Stopping costs a process nothing
//! but its native stack: memories, tables and globals stay where they are, and the next run
//! rebuilds the stack in the same instance. To go on elsewhere, see [`Process::capture`] and
//! [`Process::rebuild`].

#![allow(unsafe_code, reason = "hands the address of the capture flag out")]

use std::collections::BTreeMap;
use std::ptr::NonNull;

use leap_instrument::abi::{CONTROL_MEMORY, Export, REFERENCE_TABLES, control};
use wasmtime::{AsContextMut as _, Extern, Func, Instance, Linker, Memory, Ref, Store, Table, Val};

use crate::control::CaptureHandle;
use crate::engine::{Module, StopName};
use crate::error::{VmError, message};
use crate::records::{self, RawRecord};
use crate::references::{References, Referents};
use crate::state::{Entry, HostFrame, Stage, Value};
use crate::system::{Exit, Host, System};
use crate::trap::Trap;

/// A running program, or one that could run on.
pub struct Process<S: System> {
    pub(crate) module: Module,
    pub(crate) store: Store<Host<S>>,
    pub(crate) instance: Instance,
    pub(crate) control: Memory,
    pub(crate) entry: Entry,
    pub(crate) position: Position,
    /// Table through which continuations resume the next frame.
    pub(crate) resume: Table,
    /// The continuations that this process has instantiated.
    pub(crate) continuations: BTreeMap<StopName, Func>,
}

/// Where a process stands between two runs.
pub(crate) enum Position {
    /// Before a call.
    Before(Stage),
    /// In a call.
    Stopped(Stopped),
    /// The last call has returned, or the guest has trapped.
    Ended,
}

/// A captured stack.
pub(crate) struct Stopped {
    pub(crate) stage: Stage,
    /// Outermost first; references are places of the reference tables.
    pub(crate) records: Vec<RawRecord>,
    pub(crate) host: Option<HostFrame>,
}

/// How a run ended.
#[derive(Debug)]
pub enum Outcome {
    /// A capture was requested: the process has stopped and can be captured or run again.
    Stopped,
    /// The entry function returned these numbers. (References mean nothing outside.)
    Returned(Vec<Value>),
    /// The guest ended itself with this code.
    Exited(i32),
    /// The guest did what Wasm forbids.
    Trapped(Trap),
}

impl<S: System> Process<S> {
    /// A process that is about to run the module's start function, if it has one, and then
    /// `entry`.
    ///
    /// # Errors
    ///
    /// [`VmError::Instantiate`], [`VmError::Entry`].
    pub fn start(module: &Module, system: S, entry: Entry) -> Result<Self, VmError> {
        let mut process = Self::instantiate(module, system, entry)?;
        process.entry_function()?;
        Ok(process)
    }

    pub(crate) fn instantiate(module: &Module, system: S, entry: Entry) -> Result<Self, VmError> {
        let failed = |error: wasmtime::Error| VmError::Instantiate {
            message: message(&error),
        };
        let engine = module.engine().wasmtime();
        let mut linker = Linker::new(engine);
        S::link(&mut linker).map_err(failed)?;
        let mut store = Store::new(engine, Host::new(system));
        let instance = linker
            .instantiate(&mut store, module.compiled())
            .map_err(failed)?;
        store.data_mut().memory = instance.get_memory(&mut store, "memory");
        let control = instance
            .get_memory(&mut store, CONTROL_MEMORY)
            .expect("an instrumented module exports its control memory");
        let resume_type = wasmtime::TableType::new(wasmtime::RefType::FUNCREF, 0, None);
        let resume = Table::new(&mut store, resume_type, Ref::Func(None)).map_err(failed)?;
        let stage = match module.stop_map().start {
            Some(_) => Stage::Start,
            None => Stage::Entry,
        };
        let mut process = Self {
            module: module.clone(),
            store,
            instance,
            control,
            entry,
            position: Position::Before(stage),
            resume,
            continuations: BTreeMap::new(),
        };
        process.make_room_for_references().map_err(failed)?;
        records::ready(process.control.data_mut(&mut process.store));
        process.attach_flag();
        Ok(process)
    }

    fn make_room_for_references(&mut self) -> wasmtime::Result<()> {
        let places = u64::from(self.module.engine().options().saved_references);
        for (_, name) in REFERENCE_TABLES {
            if let Some(table) = self.instance.get_table(&mut self.store, name) {
                let null = Ref::null(table.ty(&self.store).element().heap_type());
                table.grow(&mut self.store, places, null)?;
            }
        }
        Ok(())
    }

    fn attach_flag(&self) {
        let address = self
            .control
            .data_ptr(&self.store)
            .wrapping_add(control::FLAG as usize);
        if let Some(flag) = NonNull::new(address.cast::<u32>()) {
            // SAFETY: the control memory is of fixed size, so it never moves, and the handle is
            // detached before the store that holds it is dropped. It is page-aligned, so the
            // word is aligned. Only the guest and the handle access the word: the host's own
            // access to the control memory leaves it out.
            unsafe { self.store.data().capture.attach(flag) };
        }
    }

    /// Requests captures of this process, from any thread.
    #[must_use]
    pub fn capture_handle(&self) -> CaptureHandle {
        self.store.data().capture.clone()
    }

    /// Lets the process stop itself at the `polls`-th check from here. Only for modules that
    /// were instrumented with [`countdown`](leap_instrument::Options::countdown).
    pub fn stop_after(&mut self, polls: u32) {
        let control = self.control.data_mut(&mut self.store);
        records::set_word(control, control::COUNTDOWN, polls);
    }

    /// What is left of a countdown.
    #[must_use]
    pub fn countdown(&self) -> u32 {
        records::word(self.control.data(&self.store), control::COUNTDOWN)
    }

    /// The module that the process runs.
    #[must_use]
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// The system's state.
    #[must_use]
    pub fn system(&self) -> &S {
        &self.store.data().system
    }

    /// The system's state, to be changed between two runs.
    #[must_use]
    pub fn system_mut(&mut self) -> &mut S {
        &mut self.store.data_mut().system
    }

    /// The bytes of the memory with this index.
    #[must_use]
    pub fn memory(&mut self, index: u32) -> Option<&[u8]> {
        let memory = self.engine_memory(index)?;
        Some(memory.data(&self.store))
    }

    /// The bytes of the memory with this index, to be changed between two runs.
    #[must_use]
    pub fn memory_mut(&mut self, index: u32) -> Option<&mut [u8]> {
        let memory = self.engine_memory(index)?;
        Some(memory.data_mut(&mut self.store))
    }

    /// The names of the instance's exports, the instrumenter's among them.
    pub fn exports(&mut self) -> Vec<String> {
        let exports = self.instance.exports(&mut self.store);
        exports.map(|export| export.name().to_owned()).collect()
    }

    /// The bytes of an exported memory.
    #[must_use]
    pub fn exported_memory(&mut self, name: &str) -> Option<&[u8]> {
        let memory = self.instance.get_memory(&mut self.store, name)?;
        Some(memory.data(&self.store))
    }

    /// The value of an exported global, if it can be captured.
    #[must_use]
    pub fn exported_global(&mut self, name: &str) -> Option<Value> {
        let global = self.instance.get_global(&mut self.store, name)?;
        let value = global.get(&mut self.store);
        let mut references = References::of(self.instance);
        references.value(&mut self.store, &value).ok()
    }

    pub(crate) fn engine_memory(&mut self, index: u32) -> Option<Memory> {
        self.instance
            .get_memory(&mut self.store, &Export::Memory(index).name())
    }

    /// Runs until the process ends or stops.
    ///
    /// The thread needs as much stack as the engine gives guests
    /// ([`stack_bytes`](crate::EngineOptions::stack_bytes)), and some more.
    ///
    /// # Errors
    ///
    /// [`VmError::State`] if it has ended; others if a stopped process cannot be resumed.
    pub fn run(&mut self) -> Result<Outcome, VmError> {
        loop {
            let position = std::mem::replace(&mut self.position, Position::Ended);
            let (stage, result) = match position {
                Position::Ended => {
                    return Err(VmError::State { state: "has ended" });
                }
                Position::Before(stage) => (stage, self.call(stage)?),
                Position::Stopped(stopped) => (stopped.stage, self.resume(&stopped)?),
            };
            if let Some(outcome) = self.after_call(stage, result)? {
                return Ok(outcome);
            }
        }
    }

    fn call(&mut self, stage: Stage) -> Result<wasmtime::Result<Vec<Val>>, VmError> {
        let (function, arguments) = match stage {
            Stage::Start => (self.start_function()?, Vec::new()),
            Stage::Entry => self.entry_function()?,
        };
        Ok(self.call_function(function, &arguments))
    }

    pub(crate) fn call_function(
        &mut self,
        function: Func,
        arguments: &[Val],
    ) -> wasmtime::Result<Vec<Val>> {
        let count = function.ty(&self.store).results().len();
        let mut results = vec![Val::I32(0); count];
        function.call(&mut self.store, arguments, &mut results)?;
        Ok(results)
    }

    pub(crate) fn start_function(&mut self) -> Result<Func, VmError> {
        let index = self.module.stop_map().start.unwrap_or_default();
        let name = Export::Function(index).name();
        let function = self.instance.get_func(&mut self.store, &name);
        function.ok_or(VmError::Entry { name })
    }

    /// The entry function and what it is called with.
    pub(crate) fn entry_function(&mut self) -> Result<(Func, Vec<Val>), VmError> {
        let missing = || VmError::Entry {
            name: self.entry.name.clone(),
        };
        let export = self.instance.get_export(&mut self.store, &self.entry.name);
        let function = export.and_then(Extern::into_func).ok_or_else(missing)?;
        let ty = function.ty(&self.store);
        let types: Vec<wasmtime::ValType> = ty.params().collect();
        if types.len() != self.entry.arguments.len() {
            return Err(missing());
        }
        // Numbers only: no reference has a meaning from outside.
        let referents = Referents::none();
        let arguments = types
            .iter()
            .zip(&self.entry.arguments)
            .map(|(ty, argument)| referents.value(*argument, ty))
            .collect::<Result<_, _>>()
            .map_err(|_| missing())?;
        Ok((function, arguments))
    }

    /// What a call's return means; `None` if the next call of the process's life is due.
    fn after_call(
        &mut self,
        stage: Stage,
        result: wasmtime::Result<Vec<Val>>,
    ) -> Result<Option<Outcome>, VmError> {
        let host = self.store.data_mut().interrupted.take();
        let has_unwound = self.store.data().capture.take_unwound();
        let results = match result {
            Ok(results) => results,
            Err(error) => {
                return Ok(Some(match error.downcast_ref::<Exit>() {
                    Some(Exit(code)) => Outcome::Exited(*code),
                    None => Outcome::Trapped(Trap::new(&error, &self.module)),
                }));
            }
        };
        if has_unwound {
            let control = self.control.data(&self.store);
            self.position = Position::Stopped(Stopped {
                stage,
                records: records::read(control, self.module.stop_map(), host.is_some())?,
                host,
            });
            return Ok(Some(Outcome::Stopped));
        }
        if stage == Stage::Start {
            self.position = Position::Before(Stage::Entry);
            return Ok(None);
        }
        let mut references = References::of(self.instance);
        let results = results
            .iter()
            .map(|result| references.value(&mut self.store, result))
            .collect::<Result<_, _>>()?;
        Ok(Some(Outcome::Returned(results)))
    }

    /// Goes on from a captured stack.
    fn resume(&mut self, stopped: &Stopped) -> Result<wasmtime::Result<Vec<Val>>, VmError> {
        self.load_continuations(stopped)?;
        let module = self.module.clone();
        let stops = module.stop_map();
        let layouts = stopped
            .records
            .iter()
            .filter_map(|record| Some((record, stops.stop(record.function, record.stop)?)));
        records::write(self.control.data_mut(&mut self.store), layouts)?;
        let outermost = self.resume.get(self.store.as_context_mut(), 0);
        let Some(Ref::Func(Some(outermost))) = outermost else {
            unreachable!("a stopped process has a frame");
        };
        Ok(self.call_function(outermost, &[]))
    }
}

impl<S: System> Drop for Process<S> {
    fn drop(&mut self) {
        self.store.data().capture.detach();
    }
}
