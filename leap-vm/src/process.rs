//! A process: one instance of a module, run, stopped, run again.
//!
//! A process is always in one of three positions: about to call a function of its life (the start
//! function, then the entry), stopped with a stack of frame records, or ended. [`Process::run`]
//! moves it on; between two runs its state is there to be read. Stopping costs a process nothing
//! but its native stack: memories, tables and globals stay where they are, and the next run
//! rebuilds the stack in the same instance. To go on elsewhere, see [`Process::capture`] and
//! [`Process::rebuild`].
//!
//! Invariants:
//! - A capture never fails for the depth of the stack. The control memory holds the records of
//!   every stack that the engine lets a guest have ([`Module::stack_bytes`]), and the tables of
//!   saved references grow.
//! - Nor does going on, under any back end, whatever its frames take: the innermost frames are
//!   rebuilt, a few at once (`resume`), and the others wait as records until those have returned.

#![allow(unsafe_code, reason = "the capture flag lies in the control memory")]

use std::collections::BTreeMap;
use std::ptr::NonNull;

use leap_instrument::abi::{CONTROL_MEMORY, Export, control};
use wasmtime::{
    ExnRef, Extern, Func, Instance, Linker, Memory, Ref, Rooted, Store, Table, ThrownException, Val,
};

use crate::control::CaptureHandle;
use crate::engine::{Module, StopName};
use crate::error::{VmError, message};
use crate::memory::give_back;
use crate::records::{self, RawRecord};
use crate::references::{References, Referents};
use crate::state::{Entry, HostFrame, Stage, Value};
use crate::system::{Asked, Exit, Host, System};
use crate::trap::Trap;

/// Bytes of records that a process keeps room for in memory between two captures.
const RECORD_BYTES_KEPT: usize = 1 << 20;

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
    /// Functions that go on with a [`Callee`] for a frame at that stop; none: for no frame at all.
    pub(crate) callees: BTreeMap<Option<StopName>, Func>,
    /// A stack of more frames is a recursion without end.
    pub(crate) frames_at_most: usize,
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
    /// Outermost first; references are places of the reference tables. There may be none where a
    /// host function was called by tail calls alone.
    pub(crate) records: Vec<RawRecord>,
    /// How many references there are: they have the first places, those of the outermost record
    /// before all others.
    pub(crate) references: u32,
    /// None if the innermost frame goes on by itself.
    pub(crate) callee: Option<Callee>,
}

impl Stopped {
    /// No frame at all, before the call of that stage.
    fn before(stage: Stage) -> Self {
        Self {
            stage,
            records: Vec::new(),
            references: 0,
            callee: None,
        }
    }
}

/// What the innermost frame of a stack waits for.
#[derive(Clone, Debug)]
pub(crate) enum Callee {
    /// A host function that was interrupted.
    Host(HostFrame),
    /// Nothing any more: the frames that were rebuilt before it have returned this.
    Returned(Vec<Val>),
    /// The same, but they have thrown this.
    Threw(Rooted<ExnRef>),
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
        let engine = module.compiled().engine();
        let mut linker = Linker::new(engine);
        S::link(&mut linker).map_err(failed)?;
        module.check_memory(&system.limits())?;
        let control_pages = module.engine().options().instrument.control_pages;
        let host = Host::new(system, u64::from(control_pages) << 16);
        let mut store = Store::new(engine, host);
        store.limiter(|host| &mut host.limiter);
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
            callees: BTreeMap::new(),
            frames_at_most: module.frames_at_most(),
        };
        records::ready(process.control_mut(), 0);
        process.attach_flag();
        Ok(process)
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

    /// The control memory but for the flag, which others write at any time.
    #[must_use]
    pub fn control(&self) -> &[u8] {
        let (start, len) = self.behind_the_flag();
        // SAFETY: the control memory is of fixed size and lives as long as the store, which is
        // borrowed. Other threads access nothing of it but the flag, which lies before. (The test
        // `a_process_that_spins_stops_when_asked_and_goes_on` asks from one.)
        unsafe { std::slice::from_raw_parts(start, len) }
    }

    pub(crate) fn control_mut(&mut self) -> &mut [u8] {
        let (start, len) = self.behind_the_flag();
        // SAFETY: as in `control`; the store is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(start, len) }
    }

    fn behind_the_flag(&self) -> (*mut u8, usize) {
        let first = records::FIRST as usize;
        let start = self.control.data_ptr(&self.store).wrapping_add(first);
        (start, self.control.data_size(&self.store) - first)
    }

    /// Requests captures of this process, from any thread.
    #[must_use]
    pub fn capture_handle(&self) -> CaptureHandle {
        self.store.data().capture.clone()
    }

    /// Lets the process stop itself at the `polls`-th check from here. Only for modules that
    /// were instrumented with [`countdown`](leap_instrument::Options::countdown).
    pub fn stop_after(&mut self, polls: u32) {
        records::set_word(self.control_mut(), control::COUNTDOWN, polls);
    }

    /// What is left of a countdown.
    #[must_use]
    pub fn countdown(&self) -> u32 {
        records::word(self.control(), control::COUNTDOWN)
    }

    /// Whether the guest has stopped the process itself, for a checkpoint that is to be taken now.
    #[must_use]
    pub fn asks_for_checkpoint(&self) -> bool {
        self.store.data().asked == Asked::Yes
    }

    /// Has the guest be told, when it goes on, that the checkpoint that it asked for is kept. It
    /// hears otherwise that it is not.
    pub fn checkpoint_is_kept(&mut self) {
        let host = self.store.data_mut();
        if host.asked == Asked::Yes {
            host.asked = Asked::Kept;
        }
    }

    /// Whether it has run: what has not cannot be captured.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        !matches!(self.position, Position::Before(_))
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

    /// The bytes of an exported memory; for the control memory, see [`control`](Self::control).
    #[must_use]
    pub fn exported_memory(&mut self, name: &str) -> Option<&[u8]> {
        if name == CONTROL_MEMORY {
            return None;
        }
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
            let (waiting, result) = match position {
                Position::Ended => {
                    return Err(VmError::State { state: "has ended" });
                }
                Position::Before(stage) => (Stopped::before(stage), self.call(stage)?),
                Position::Stopped(mut stopped) => {
                    let result = self.resume(&mut stopped)?;
                    (stopped, result)
                }
            };
            if let Some(outcome) = self.after_call(waiting, result)? {
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
        self.store.data_mut().limiter.set_for_host(false);
        let called = function.call(&mut self.store, arguments, &mut results);
        self.store.data_mut().limiter.set_for_host(true);
        called?;
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

    /// What a call's return means, with the frames that wait for it still being records; `None`
    /// if they are to go on, or the next call of the process's life is due.
    fn after_call(
        &mut self,
        waiting: Stopped,
        result: wasmtime::Result<Vec<Val>>,
    ) -> Result<Option<Outcome>, VmError> {
        let host = self.store.data_mut().interrupted.take();
        let has_unwound = self.store.data().capture.take_unwound();
        let results = match result {
            Ok(results) => results,
            Err(error) => return Ok(self.after_error(waiting, &error)),
        };
        if has_unwound {
            return self.after_unwinding(waiting, host).map(Some);
        }
        if !waiting.records.is_empty() {
            self.position = Position::Stopped(Stopped {
                callee: Some(Callee::Returned(results)),
                ..waiting
            });
            return Ok(None);
        }
        if waiting.stage == Stage::Start {
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

    fn after_error(&mut self, waiting: Stopped, error: &wasmtime::Error) -> Option<Outcome> {
        if let Some(Exit(code)) = error.downcast_ref::<Exit>() {
            return Some(Outcome::Exited(*code));
        }
        if error.is::<ThrownException>() && !waiting.records.is_empty() {
            let thrown = self.store.take_pending_exception();
            self.position = Position::Stopped(Stopped {
                callee: thrown.map(Callee::Threw),
                ..waiting
            });
            return None;
        }
        let trap = Trap::new(error, &self.module);
        Some(Outcome::Trapped(trap.below(&waiting.records, &self.module)))
    }

    /// A deep stack leaves much behind in the control memory.
    fn give_records_back(&mut self) {
        let control = self.control_mut();
        let end = records::word(control, control::SAVE) as usize;
        if let Some(read) = control.get_mut(RECORD_BYTES_KEPT..end) {
            give_back(read);
        }
    }

    fn after_unwinding(
        &mut self,
        mut waiting: Stopped,
        host: Option<HostFrame>,
    ) -> Result<Outcome, VmError> {
        let stops = self.module.stop_map();
        let mut unwound = records::read(self.control(), stops, host.is_some())?;
        self.give_records_back();
        waiting.references = self.compact_references(waiting.references, &mut unwound)?;
        waiting.records.append(&mut unwound);
        waiting.callee = host.map(Callee::Host);
        // Frames that are records take no stack, but a recursion without end shall have one.
        if waiting.records.len() > self.frames_at_most {
            let exhausted = wasmtime::Trap::StackOverflow.to_string();
            let trap = Trap::without_frames(exhausted);
            return Ok(Outcome::Trapped(trap.below(&waiting.records, &self.module)));
        }
        self.position = Position::Stopped(waiting);
        Ok(Outcome::Stopped)
    }
}

impl<S: System> Drop for Process<S> {
    fn drop(&mut self) {
        self.store.data().capture.detach();
    }
}
