//! What a guest did wrong, in terms of the original module.

use std::fmt;

use wasmtime::WasmBacktrace;

use crate::engine::Module;
use crate::records::RawRecord;

/// A trace holds no more frames than this, as the engine's own.
const FRAMES_AT_MOST: usize = 20;

/// The end of a guest that did what Wasm forbids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trap {
    /// What happened.
    pub message: String,
    /// The activations, innermost first. Those that ran in continuations are among them, under
    /// the name of their function.
    pub frames: Vec<TrapFrame>,
}

/// An activation at the time of a trap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrapFrame {
    /// Index of the function in the original module.
    pub function: Option<u32>,
    /// Its name, if the module gives one.
    pub name: Option<String>,
    /// The byte of the original module that was executed; `None` in a continuation.
    pub offset: Option<u32>,
}

impl Trap {
    pub(crate) fn new(error: &wasmtime::Error, module: &Module) -> Self {
        let frames = error.downcast_ref::<WasmBacktrace>();
        let frames = frames.map_or(&[][..], WasmBacktrace::frames);
        Self {
            message: error.root_cause().to_string(),
            frames: frames
                .iter()
                .map(|frame| TrapFrame::new(frame, module))
                .collect(),
        }
    }
}

impl Trap {
    pub(crate) fn without_frames(message: String) -> Self {
        Self {
            message,
            frames: Vec::new(),
        }
    }

    /// The same with the frames, outermost first, that waited as records for those that ran.
    pub(crate) fn below(mut self, waiting: &[RawRecord], module: &Module) -> Self {
        let more = FRAMES_AT_MOST.saturating_sub(self.frames.len());
        let frames = waiting.iter().rev().take(more);
        self.frames
            .extend(frames.map(|record| TrapFrame::of_record(record, module)));
        self
    }
}

impl TrapFrame {
    fn of_record(record: &RawRecord, module: &Module) -> Self {
        let stop = module.stop_map().stop(record.function, record.stop);
        Self {
            function: Some(record.function),
            name: name_of(record.function, module),
            offset: stop.map(|stop| stop.offset),
        }
    }

    fn new(frame: &wasmtime::FrameInfo, module: &Module) -> Self {
        if !wasmtime::Module::same(frame.module(), module.compiled()) {
            return Self::in_continuation(frame, module);
        }
        let offset = frame.module_offset().and_then(|at| u32::try_from(at).ok());
        Self {
            function: Some(frame.func_index()),
            name: frame.func_name().map(str::to_owned),
            offset: offset.and_then(|at| module.origins().original(at)),
        }
    }

    /// Modules of continuations have no names of their own.
    fn in_continuation(frame: &wasmtime::FrameInfo, module: &Module) -> Self {
        let function = module.continued_function(frame.module(), frame.func_index());
        Self {
            function,
            name: function.and_then(|function| name_of(function, module)),
            offset: None,
        }
    }
}

/// The name of a function of the original module, if that gives one.
fn name_of(function: u32, module: &Module) -> Option<String> {
    let mut functions = module.compiled().functions();
    functions
        .find(|named| named.index.as_u32() == function)?
        .name
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for frame in &self.frames {
            write!(f, "\n  in {frame}")?;
        }
        Ok(())
    }
}

impl fmt::Display for TrapFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, self.function) {
            (Some(name), _) => write!(f, "{name}")?,
            (None, Some(function)) => write!(f, "function {function}")?,
            (None, None) => write!(f, "a continuation")?,
        }
        self.offset
            .map_or(Ok(()), |at| write!(f, " at byte {at:#x}"))
    }
}
