use crate::hash::ModuleHash;

/// Why a module cannot be instrumented, or a stop cannot be entered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are no valid module.
    #[error("not a valid WebAssembly module: {message} (at byte {offset:#x})")]
    Invalid {
        /// What is wrong.
        message: String,
        /// Where, in bytes from the start of the module.
        offset: usize,
    },
    /// The module is valid, but uses a construct whose state cannot be captured.
    #[error("{construct} cannot be captured (at byte {offset:#x})")]
    Unsupported {
        /// The construct.
        construct: String,
        /// Where, in bytes from the start of the module.
        offset: usize,
    },
    /// The module exports a name that belongs to the instrumenter.
    #[error("the export name {name:?} is reserved")]
    ReservedName {
        /// The name.
        name: String,
    },
    /// A limit that keeps the work in proportion to the size of the module.
    #[error("too large: {what} exceeds {limit} (at byte {offset:#x})")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// Where, in bytes from the start of the module.
        offset: usize,
    },
    /// A continuation was asked for at a place that is no stop.
    #[error("module {module} has no stop {stop} in function {function}")]
    UnknownStop {
        /// The module.
        module: ModuleHash,
        /// Index of the function.
        function: u32,
        /// Number of the stop within the function.
        stop: u32,
    },
}

impl From<wasmparser::Error> for Error {
    fn from(error: wasmparser::Error) -> Self {
        Self::Invalid {
            message: error.message().to_owned(),
            offset: error.offset(),
        }
    }
}
