//! The oracle: plain run = instrumented run = run captured at stops, rebuilt under another back
//! end, continued. Same results, same traps, same memories.
//!
//! What it is applied to; `.wat` files are in `programs`, each captured at every one of its stops:
//!
//! | what | where |
//! |---|---|
//! | recursion, mutual recursion | `fib`, `mutual_recursion` |
//! | stacks of 100,000 frames | [`deep`] |
//! | state machines over `br_table`, loops with two ways in | `state_machine`, `jumps` |
//! | loops with parameters and results, breaks over several levels | `loops`, `jumps`, `vectors` |
//! | endless loops | [`threads`] |
//! | calls through tables, tables that change | `state_machine`, `references`, `bulk` |
//! | exceptions, kept and thrown again; `longjmp` over many frames | `exceptions`; `escapes` of the crate `guests` in `tests/wasi` |
//! | operands under calls, payloads of NaNs | `operands`, `bulk`; `machines` in `tests/relay` |
//! | vectors | `vectors` |
//! | memories that grow, several, of 64 bits | `vectors`, `references`, `bulk` |
//! | start functions | `start` |
//! | passive segments, bulk operations | `references`, `bulk` |
//! | tail calls | `tail_calls` |
//! | traps, and how they are told | `traps`, [`traces`] |
//! | C, C++ | `tests/wasi` |
//! | whatever else | [`fuzz`] |

mod deep;
mod every_stop;
mod fuzz;
mod misfits;
mod observe;
mod threads;
mod traces;
mod vm;
