//! Bus stops.

pub mod abi;
mod bits;
mod body;
mod capture_graph;
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
mod sections;
mod stop_map;
mod target;
mod types;

pub use continuation::continuation_name;
pub use error::Error;
pub use hash::ModuleHash;
pub use instrument::{Analysis, Instrumented, Options, Origins, instrument};
pub use plan::StopPlace;
pub use stop_map::{FunctionStops, Stop, StopMap, StopMapError};
pub use types::ValType;
