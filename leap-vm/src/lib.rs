//! Processes: WebAssembly programs that run at native speed, stop at a bus stop when asked, and go
//! on from there: in the same place, under another back end, on another machine.
//!
//! A [`Process`] is an instance of an instrumented [`Module`]. [`Process::run`] runs it until it
//! ends or stops; a [`CaptureHandle`] asks it to stop, from any thread. Stopped, it has no native
//! stack any more: its frames are records, its memories, globals and tables lie still.
//! [`Process::capture`] gives all but the memories' bytes as plain data, in terms of the original
//! module ([`Captured`]); [`Process::rebuild`] makes a process of that, which runs on as if nothing
//! had happened. Running a stopped process again rebuilds its stack where it is: so preemption is
//! a capture too, and a process that spins starves nobody.
//!
//! The outside plugs in as a [`System`]. A host function that waits can be interrupted by a capture
//! ([`Host::interrupt`]); it is then the innermost frame, and goes on in [`System::resume`].
//!
//! This is the only crate that knows the engine (Wasmtime). It knows neither network nor protocol.
//!
//! Invariants:
//! - What runs under one back end runs under each: settings that decide over a guest's semantics
//!   are the same, NaNs are canonical, relaxed vector instructions deterministic.
//! - A [`Captured`] from outside is checked against its module before anything runs. What does not
//!   fit is refused; what fits cannot do more than the module's own code could.
//! - Nothing that a guest does is an error of this crate: see [`Outcome`].
//!
//! ```
//! use leap_vm::{Engine, EngineOptions, Entry, NoSystem, Outcome, Process, Value};
//!
//! let spin = wat::parse_str(r#"(module (func (export "spin") (loop (br 0))))"#)?;
//! let engine = Engine::new(EngineOptions::default())?;
//! let module = engine.compile(&spin)?;
//! let entry = Entry { name: "spin".to_owned(), arguments: vec![] };
//! let mut process = Process::start(&module, NoSystem, entry)?;
//! process.capture_handle().request();
//! assert!(matches!(process.run()?, Outcome::Stopped));
//! let captured = process.capture()?;
//! let mut elsewhere = Process::rebuild(&module, NoSystem, &captured)?;
//! elsewhere.capture_handle().request();
//! assert!(matches!(elsewhere.run()?, Outcome::Stopped));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The rooms: `engine` compiles, `process` runs, `records` reads and writes frames in the control
//! memory, `capture` and `rebuild` turn a stopped process into data and back, `resume` supplies
//! continuations, `references` names what references refer to, `control` is the capture flag,
//! `limits` counts what a process takes, `scheduler` runs many programs on few threads, `trap` tells of
//! traps in terms of the original module. `memory` puts memories on Leap's pages,
//! [`image`] writes states to bytes, [`wasi`] is the system interface.

mod capture;
mod control;
mod engine;
mod error;
pub mod image;
pub mod inspect;
mod limits;
mod memory;
mod process;
mod program;
mod rebuild;
mod records;
mod references;
mod resume;
mod scheduler;
mod state;
mod system;
mod trap;
pub mod wasi;

pub use control::CaptureHandle;
pub use engine::{BackEnd, Engine, EngineOptions, Module};
pub use error::VmError;
pub use limits::Limits;
pub use process::{Outcome, Process};
pub use program::{
    Capture, CopiedPages, Directories, PageCopier, Pages, Program, ProgramEngine, ProgramError,
    Surroundings,
};
pub use scheduler::{Ending, Scheduler, SchedulerOptions, StoppedProgram, Task};
pub use state::{
    Captured, Entry, Exception, FrameRecord, HostFrame, MemoryShape, Reference, Stage, StopKind,
    TableState, Value,
};
pub use system::{CheckpointAnswer, Exit, Host, NoSystem, System};
pub use trap::{Trap, TrapFrame};
