//! Processes.
mod memory;
mod state;
pub use state::{
    Captured, Exception, FrameRecord, HostFrame, MemoryShape, Reference, Stage, StopKind,
    TableState, Value,
};
