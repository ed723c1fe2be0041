//! Wasm to Wasm: bus stops, at which a running program can be captured, and continuations, which
//! enter it there again.
//!
//! The call stack of compiled code is nobody's business but the compiler's: no engine tells where
//! it keeps which local, and no two do it alike. This crate rewrites a module so that the program
//! itself can put its stack into memory, frame by frame, and later be called back into it. The
//! state that it writes is that of the *original* module (function, place in it, locals,
//! operands), so it means the same under every engine and on every machine. Between two stops the
//! compiler remains free, and that is what keeps the program at nearly its native speed.
//!
//! What the crate does not know: engines, memories' contents, images, the outside. [`abi`] is all
//! that a host has to agree on with an instrumented module.
//!
//! # Capture: return-flag unwinding
//!
//! A host that wants a program captured sets a flag in a small memory of its own (the *control
//! memory*). The program looks at the flag at its *bus stops*; if it is set, the frame saves its
//! live values in a record and returns dummies. Its caller looks at the flag just after the call,
//! saves itself, returns; and so on until the host has control, with the stack laid out in records.
//!
//! - **After calls.** The check after a call serves two purposes: it lets unwinding go on, and it
//!   is a poll. The innermost frame finds the flag *requested*: its callee has returned, its results
//!   are live. All others find it *unwinding*: the results are dummies. So functions need no poll
//!   at their start, and loops need none where every way round passes a check.
//! - **Not after calls in tail position**, whose results the caller returns at once: it returns
//!   what it gets, dummies or not. Such a frame leaves no record, and a rebuilt stack is without it.
//! - **In loops** that can go round without passing a check. If there is no other stop within, the
//!   loop is *sliced*: it counts down a local, and polls from outside when that reaches zero.
//! - **Before tail calls** that may come back by tail calls alone.
//! - **Nowhere else.** Functions that hold no loop, take part in no recursion and call no import,
//!   nor anything that does, stay as they are, and so do the calls of them.
//!
//! # Rebuild: continuations
//!
//! Nothing is executed again. For each record there is a function that enters the original's code
//! at the record's stop: it loads the locals, builds up the operand stack, obtains the callee's
//! result by calling the next record's continuation, and goes on with the rest of the function.
//! [`Analysis::continuations`] makes them on demand, in a module that imports everything from the
//! instrumented one. They hold the same stops under the same names, so a process that runs in
//! continuations can be captured at once, and its records look as if it never had been.
//!
//! # The rooms
//!
//! | file | does |
//! |---|---|
//! | `module` | parses and validates all but the bodies |
//! | `decode`, `body` | a body as a flat list of instructions with a table of frames |
//! | `capture_graph` | which functions may be captured at all |
//! | `liveness` | which locals a stop must save |
//! | `checks` | which calls need a check |
//! | `plan` | where the stops are, and which loops are sliced |
//! | `emit` | code with checks |
//! | `save`, `saver` | cold paths; the functions that they call |
//! | `resume`, `continuation` | the code of continuations; modules of them |
//! | `instrument`, `sections`, `deed` | the instrumented module as bytes |
//! | `stop_map` | what the records hold, for the host |
//!
//! `tests/golden` shows each of them at work: a module, what it becomes, its continuations.
//!
//! # Invariants
//!
//! - An instrumented module validates (but where what is added passes one of Wasm's limits, such as
//!   50,000 locals, which the engine then names), behaves as the original while the flag is 0, and keeps all
//!   of its indices, exports, names and custom sections. (DWARF is kept too, but tells of the
//!   original's bytes: ask [`Origins`] for those.) Only the start function is not called any more;
//!   [`StopMap::start`] names it for the host to call.
//! - No value reaches a cold path that its stop does not save. Cold paths of sliced loops and of
//!   tail calls call nothing; the others call savers only, or the engine to grow a table of saved
//!   references, and go on nowhere but out.
//! - No cold path needs room on the stack.
//! - Where a function of the host is interrupted, its caller has a record, unless it called it by a
//!   tail call.
//! - The same module always gets the same stops with the same numbers.
//! - Any bytes give a module or an [`Error`], never a panic, and take time and memory in
//!   proportion to their length.
//!
//! # Limits
//!
//! Shared memories and atomics, the types of the garbage collection and typed function references
//! proposals, stack switching, legacy exceptions, custom page sizes and components are refused, by
//! name and place. A call that throws while a capture is requested is seen by the next check only.
//!
//! ```
//! use leap_instrument::{Analysis, Options};
//!
//! let module = wat::parse_str(r#"
//!     (module
//!       (import "env" "f" (func $f (result i32)))
//!       (func (export "g") (param i32) (result i32)
//!         (i32.add (local.get 0) (call $f))))
//! "#)?;
//! let (analysis, instrumented) = Analysis::new(&module, &Options::default())?;
//! let stop = instrumented.stop_map.stop(1, 0).expect("the call is a stop");
//! assert_eq!(stop.operands.len(), 1);
//! let continuation = analysis.continuations(&[(1, 0)])?;
//! assert_eq!(&continuation[..4], b"\0asm");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod abi;
mod bits;
mod body;
mod capture_graph;
mod checks;
mod continuation;
mod decode;
mod deed;
mod emit;
mod error;
mod function;
mod hash;
mod instrument;
mod liveness;
mod locals;
mod module;
mod plan;
mod resume;
mod save;
mod saver;
mod sections;
mod stop_map;
mod target;
mod types;

pub use continuation::continuation_name;
pub use error::Error;
pub use hash::ModuleHash;
pub use instrument::{Analysis, Instrumented, Options, Origins, instrument};
pub use plan::StopPlace;
pub use saver::{Name as SaverName, Saver};
pub use stop_map::{FunctionStops, Stop, StopMap, StopMapError};
pub use types::ValType;
