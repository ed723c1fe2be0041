//! Processes.
mod capture;
mod control;
mod engine;
mod error;
pub mod image;
pub mod inspect;
mod memory;
mod process;
mod program;
mod rebuild;
mod records;
mod references;
mod resume;
mod state;
mod system;
mod trap;
pub mod wasi;

pub use control::CaptureHandle;
pub use engine::{BackEnd, Engine, EngineOptions, Module};
pub use error::VmError;
pub use process::{Outcome, Process};
pub use program::{
    Capture, Directories, Pages, Program, ProgramEngine, ProgramError, Surroundings,
};
pub use state::{
    Captured, Entry, Exception, FrameRecord, HostFrame, MemoryShape, Reference, Stage, StopKind,
    TableState, Value,
};
pub use system::{Exit, Host, NoSystem, System};
pub use trap::{Trap, TrapFrame};
