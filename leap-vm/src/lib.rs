//! Processes.
mod memory;
mod state;
pub mod wasi;
pub use state::{
    Captured, Entry, Exception, FrameRecord, HostFrame, MemoryShape, Reference, Stage, StopKind,
    TableState, Value,
};
