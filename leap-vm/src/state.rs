//! The machine-independent state of a process, as plain data.
//!
//! [`Captured`] is everything of a process except the bytes of its memories: those may be
//! gigabytes, and whoever writes an image wants only the pages that changed, so they stay where
//! they are and are read from the stopped process. Nothing here knows an engine, an address of
//! the host or a byte of machine code.
//!
//! Invariants of a [`Captured`] that came from a process:
//! - `frames` runs from the outermost activation to the innermost.
//! - A frame's `values` have the number, types and order that the stop map gives for its stop:
//!   the callee's results, then the live locals, then the operands.
//! - All frames but the innermost are [`StopKind::InCall`]; the innermost is so exactly when
//!   `host` is there (the callee is then a host function that was interrupted).

use leap_instrument::ModuleHash;

/// The state of a stopped process but for the bytes of its memories.
#[derive(Debug, Clone, PartialEq)]
pub struct Captured {
    /// The original module (not the instrumented one).
    pub module: ModuleHash,
    /// The call that the process lives for.
    pub entry: Entry,
    /// Which of the process's calls was running.
    pub stage: Stage,
    /// The activations, outermost first.
    pub frames: Vec<FrameRecord>,
    /// The host function in which the innermost frame waits, when it waits in one.
    pub host: Option<HostFrame>,
    /// The memories of the module's index space, the control memory excluded.
    pub memories: Vec<MemoryShape>,
    /// The globals of the module's index space, immutable ones too.
    pub globals: Vec<Value>,
    /// The tables of the module's index space.
    pub tables: Vec<TableState>,
    /// The data segments that `data.drop` has dropped, ascending.
    pub dropped_data: Vec<u32>,
    /// The element segments that `elem.drop` has dropped, ascending.
    pub dropped_elements: Vec<u32>,
    /// The exceptions that values of this state refer to by [`Reference::Exception`].
    pub exceptions: Vec<Exception>,
}

impl Captured {
    /// Whether any reference is one to a function.
    pub(crate) fn mentions_functions(&self) -> bool {
        let frames = self.frames.iter().flat_map(|frame| &frame.values);
        let fields = self
            .exceptions
            .iter()
            .flat_map(|exception| &exception.fields);
        let elements = self.tables.iter().flat_map(|table| &table.elements);
        let is_function = |reference: &Reference| matches!(reference, Reference::Function(_));
        frames
            .chain(&self.globals)
            .chain(fields)
            .any(|value| matches!(value, Value::Reference(of) if is_function(of)))
            || elements.into_iter().any(is_function)
    }
}

/// The exported function that a process is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name among the module's exports.
    pub name: String,
    /// What it is called with: numbers only.
    pub arguments: Vec<Value>,
}

/// The calls that make up a process's life, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The module's start function.
    Start,
    /// The entry function that the process was started with.
    Entry,
}

/// One captured activation.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameRecord {
    /// Index of the function in the original module.
    pub function: u32,
    /// The stop, by its number within the function.
    pub stop: u32,
    /// Where at the stop the activation stands.
    pub kind: StopKind,
    /// Results of the callee, live locals and operands; the stop map tells which is which.
    pub values: Vec<Value>,
}

/// Where at its stop an activation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopKind {
    /// At a poll, or just after a call that has returned: the results are among the values.
    After,
    /// In a call whose results come from the next frame: those among the values mean nothing.
    InCall,
}

/// A host function that was interrupted by a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFrame {
    /// The module name that it was imported under.
    pub module: String,
    /// Its name in that module.
    pub name: String,
    /// What the host function needs to go on; only it knows the meaning.
    pub state: Vec<u8>,
}

/// A memory's size; its bytes stay in the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryShape {
    /// Size in Wasm pages.
    pub pages: u64,
    /// Size of a page in bytes.
    pub page_bytes: u64,
}

/// A table's elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableState {
    /// One per element.
    pub elements: Vec<Reference>,
}

/// A value of the guest. Floats are kept as bits: the payload of a NaN is state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// An `i32`.
    I32(i32),
    /// An `i64`.
    I64(i64),
    /// The bits of an `f32`.
    F32(u32),
    /// The bits of an `f64`.
    F64(u64),
    /// A vector, lane 0 in the low bits.
    V128(u128),
    /// A reference.
    Reference(Reference),
}

/// A reference-typed value, by what it refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference {
    /// Null, of the type that its place has.
    Null,
    /// A function of the original module, by index.
    Function(u32),
    /// An exception, by its place in [`Captured::exceptions`].
    Exception(u32),
}

/// An exception that the guest holds a reference to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// Index of the tag in the original module.
    pub tag: u32,
    /// The payload. A reference to another exception has a lower number than this one's.
    pub fields: Vec<Value>,
}
