//! Bus stops.
mod hash;
pub use hash::ModuleHash;
