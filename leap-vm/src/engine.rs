//! Engines: how guests are compiled and what they may take.

#![allow(
    unsafe_code,
    reason = "settings of the compiler that the engine does not name"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use leap_instrument::abi::{Export, control};
use leap_instrument::{Analysis, ModuleHash, Options, Origins, Stop, StopMap};
use parking_lot::Mutex;
use wasmtime::{Config, MemoryCreator, OptLevel};

use crate::error::{VmError, message};
use crate::limits::Limits;

/// No frame of compiled code takes less of the stack, on any machine: it has at least the caller's
/// frame pointer and the address to return to.
const FRAME_BYTES_AT_LEAST: usize = 16;

/// What turns Wasm into something that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum BackEnd {
    /// Native code, compiled for speed.
    #[default]
    Optimised,
    /// Native code, compiled quickly.
    Quick,
    /// Wasmtime's portable interpreter: starts at once, and the same on every machine.
    Interpreter,
}

/// Settings of an engine.
#[derive(Clone)]
pub struct EngineOptions {
    /// The back end.
    pub back_end: BackEnd,
    /// Stack of a guest in bytes. The thread that runs a process needs as much, and some more.
    /// A module with extremely large frames gets less: see [`Module::stack_bytes`].
    pub stack_bytes: usize,
    /// How many frames of a captured stack are rebuilt at once, the innermost ones: the others
    /// stay records until those have returned. At least 1.
    pub frames_at_once: usize,
    /// How many continuations that nobody has needed before are made and compiled at once, at about
    /// 0.2 ms each: a process with many different frames runs before all of them are. At least 1.
    pub continuations_at_once: usize,
    /// How modules are instrumented.
    pub instrument: Options,
    /// Where memories come from, if not from the engine itself.
    pub memories: Option<Arc<dyn MemoryCreator>>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            back_end: BackEnd::default(),
            stack_bytes: 1 << 20,
            frames_at_once: 128,
            continuations_at_once: 8,
            instrument: Options::default(),
            memories: None,
        }
    }
}

impl EngineOptions {
    /// The settings as Wasmtime's, for running something beside processes under the same ones, as
    /// benchmarks do. What decides over a guest's semantics is the same for all back ends, so that a
    /// process may move between them.
    ///
    /// # Errors
    ///
    /// Wasmtime does not know the back end on this machine.
    pub fn config(&self) -> wasmtime::Result<Config> {
        let mut config = Config::new();
        config
            .wasm_multi_memory(true)
            .wasm_memory64(true)
            .wasm_tail_call(true)
            .wasm_exceptions(true)
            .wasm_relaxed_simd(true)
            .relaxed_simd_deterministic(true)
            .cranelift_nan_canonicalization(true)
            .wasm_branch_hinting(true)
            // Pages are mapped by Leap; a copy-on-write image of the data segments would hide them.
            .memory_init_cow(false)
            .max_wasm_stack(self.stack_bytes)
            // Not used, but the engine wants it to be no smaller.
            .async_stack_size(self.stack_bytes);
        match self.back_end {
            BackEnd::Optimised => config.cranelift_opt_level(OptLevel::Speed),
            BackEnd::Quick => config
                .cranelift_opt_level(OptLevel::None)
                .cranelift_regalloc_algorithm(wasmtime::RegallocAlgorithm::SinglePass),
            BackEnd::Interpreter => config.target(interpreter_target())?,
        };
        // Where a function begins in its cache line can change a loop's or a recursion's time by a fifth, and
        // is otherwise left to chance.
        // SAFETY: functions may be aligned to more than they need.
        unsafe { config.cranelift_flag_set("log2_min_function_alignment", "5") };
        if let Some(memories) = &self.memories {
            config.with_host_memory(Arc::clone(memories));
        }
        Ok(config)
    }

    fn engine(&self) -> Result<wasmtime::Engine, VmError> {
        let config = self.config();
        let engine = config.and_then(|config| wasmtime::Engine::new(&config));
        engine.map_err(|error| VmError::Engine {
            message: message(&error),
        })
    }
}

/// Compiles modules and keeps them while they are in use. Clones share everything.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

struct Shared {
    engine: wasmtime::Engine,
    options: EngineOptions,
    modules: Mutex<BTreeMap<ModuleHash, Weak<Compiled>>>,
}

/// A module, instrumented and compiled. Clones share everything.
#[derive(Clone)]
pub struct Module(Arc<Compiled>);

struct Compiled {
    engine: Engine,
    stack_bytes: usize,
    analysis: Analysis,
    module: wasmtime::Module,
    stop_map: StopMap,
    origins: Origins,
    continuations: Mutex<BTreeMap<StopName, Continuation>>,
}

/// A stop of a module: the function's index and the stop's number.
pub(crate) type StopName = (u32, u32);

/// A compiled continuation: one of a module of them.
#[derive(Clone)]
pub(crate) struct Continuation {
    pub(crate) module: wasmtime::Module,
    pub(crate) place: usize,
}

impl Engine {
    /// An engine with these settings.
    ///
    /// # Errors
    ///
    /// [`VmError::Engine`] if the machine or the engine does not support them.
    pub fn new(options: EngineOptions) -> Result<Self, VmError> {
        Ok(Self(Arc::new(Shared {
            engine: options.engine()?,
            options,
            modules: Mutex::default(),
        })))
    }

    /// The settings.
    #[must_use]
    pub fn options(&self) -> &EngineOptions {
        &self.0.options
    }

    /// Instruments and compiles a module, or finds it if it is in use already.
    ///
    /// # Errors
    ///
    /// [`VmError::Instrument`], [`VmError::Compile`].
    pub fn compile(&self, module: &[u8]) -> Result<Module, VmError> {
        let hash = ModuleHash::of(module);
        if let Some(module) = self.0.modules.lock().get(&hash).and_then(Weak::upgrade) {
            return Ok(Module(module));
        }
        let (analysis, instrumented) = Analysis::new(module, &self.0.options.instrument)?;
        let stack_bytes = self.stack_bytes_for(&instrumented.stop_map);
        let engine = self.engine_with_stack(stack_bytes)?;
        let compiled = Arc::new(Compiled {
            engine: self.clone(),
            stack_bytes,
            analysis,
            module: compile(&engine, &instrumented.module)?,
            stop_map: instrumented.stop_map,
            origins: instrumented.origins,
            continuations: Mutex::default(),
        });
        let mut modules = self.0.modules.lock();
        modules.retain(|_, module| module.strong_count() > 0);
        modules.insert(hash, Arc::downgrade(&compiled));
        Ok(Module(compiled))
    }

    /// The largest stack, up to the one in the settings, of which the control memory can hold
    /// every frame's record, whatever the frames are.
    fn stack_bytes_for(&self, stops: &StopMap) -> usize {
        let options = &self.0.options;
        let room = (u64::from(options.instrument.control_pages) << 16) - u64::from(control::AREA);
        let functions = stops.functions.iter();
        let stops = functions.flat_map(|function| &function.stops);
        let largest = stops.map(Stop::record_bytes).max().unwrap_or(1);
        // One frame may stand beyond the limit: a leaf's, which is not checked.
        let frames = (room / u64::from(largest)).saturating_sub(1).max(1);
        let provable = usize::try_from(frames).unwrap_or(usize::MAX);
        options
            .stack_bytes
            .min(provable.saturating_mul(FRAME_BYTES_AT_LEAST))
    }

    /// The engine whose guests have a stack of that size.
    fn engine_with_stack(&self, stack_bytes: usize) -> Result<wasmtime::Engine, VmError> {
        if stack_bytes == self.0.options.stack_bytes {
            return Ok(self.0.engine.clone());
        }
        let options = EngineOptions {
            stack_bytes,
            ..self.0.options.clone()
        };
        options.engine()
    }
}

fn compile(engine: &wasmtime::Engine, module: &[u8]) -> Result<wasmtime::Module, VmError> {
    wasmtime::Module::new(engine, module).map_err(|error| VmError::Compile {
        message: message(&error),
    })
}

impl Module {
    /// Names the original module.
    #[must_use]
    pub fn hash(&self) -> ModuleHash {
        self.0.stop_map.module
    }

    /// The module's stops.
    #[must_use]
    pub fn stop_map(&self) -> &StopMap {
        &self.0.stop_map
    }

    /// For code offsets of the instrumented module, those of the original.
    #[must_use]
    pub fn origins(&self) -> &Origins {
        &self.0.origins
    }

    /// The engine that it was compiled by.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// Stack that a guest of this module has, in bytes: that of the engine, or less where its
    /// control memory could not hold the records of the deepest stack. That takes a frame record of
    /// more than 8 KiB with a stack of 8 MiB.
    #[must_use]
    pub fn stack_bytes(&self) -> usize {
        self.0.stack_bytes
    }

    /// More frames than fit on any stack of a guest of this module.
    pub(crate) fn frames_at_most(&self) -> usize {
        self.0.stack_bytes / FRAME_BYTES_AT_LEAST + 1
    }

    /// Refuses a module whose memories are larger from the start than all may be.
    pub(crate) fn check_memory(&self, limits: &Limits) -> Result<(), VmError> {
        let exports = (0..).map_while(|index| {
            let export = self.0.module.get_export(&Export::Memory(index).name());
            export?.memory().cloned()
        });
        let bytes = exports.map(|memory| memory.minimum().saturating_mul(memory.page_size()));
        limits.check_memory(bytes)
    }

    pub(crate) fn compiled(&self) -> &wasmtime::Module {
        &self.0.module
    }

    /// The function that the function with this index in a module of continuations continues.
    pub(crate) fn continued_function(&self, module: &wasmtime::Module, index: u32) -> Option<u32> {
        let is_function = |import: &wasmtime::ImportType<'_>| import.ty().func().is_some();
        let imported = module.imports().filter(is_function).count();
        let place = (index as usize).checked_sub(imported)?;
        let known = self.0.continuations.lock();
        let (&(function, _), _) = known.iter().find(|(_, continuation)| {
            continuation.place == place && wasmtime::Module::same(&continuation.module, module)
        })?;
        Some(function)
    }

    /// Whether somebody has asked for the continuation for that stop.
    pub(crate) fn has_continuation(&self, stop: StopName) -> bool {
        self.0.continuations.lock().contains_key(&stop)
    }

    /// The continuations for these stops; those that were never asked for are made and compiled,
    /// as one module.
    pub(crate) fn continuations(
        &self,
        stops: impl IntoIterator<Item = StopName>,
    ) -> Result<BTreeMap<StopName, Continuation>, VmError> {
        let wanted: Vec<StopName> = stops.into_iter().collect();
        // The lock is held while compiling: another process that wants the same ones waits.
        let mut known = self.0.continuations.lock();
        let mut missing: Vec<StopName> = wanted
            .iter()
            .copied()
            .filter(|stop| !known.contains_key(stop))
            .collect();
        missing.sort_unstable();
        missing.dedup();
        if !missing.is_empty() {
            let bytes = self.0.analysis.continuations(&missing)?;
            let module = compile(self.0.module.engine(), &bytes)?;
            for (place, stop) in missing.into_iter().enumerate() {
                let module = module.clone();
                known.insert(stop, Continuation { module, place });
            }
        }
        Ok(wanted
            .into_iter()
            .filter_map(|stop| Some((stop, known.get(&stop)?.clone())))
            .collect())
    }
}

const fn interpreter_target() -> &'static str {
    match (
        cfg!(target_pointer_width = "64"),
        cfg!(target_endian = "little"),
    ) {
        (true, true) => "pulley64",
        (true, false) => "pulley64be",
        (false, true) => "pulley32",
        (false, false) => "pulley32be",
    }
}
