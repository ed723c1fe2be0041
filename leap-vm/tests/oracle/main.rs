//! The oracle: plain run = instrumented run = run captured at stops, rebuilt under another back
//! end, continued. Same results, same traps, same memories.

mod deep;
mod every_stop;
mod fuzz;
mod misfits;
mod observe;

mod threads;
mod vm;
