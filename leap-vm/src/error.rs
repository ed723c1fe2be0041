use leap_instrument::ModuleHash;

/// Why a process cannot be started, run, captured or rebuilt. What the guest itself does wrong
/// is no such error: see [`Outcome::Trapped`](crate::Outcome::Trapped).
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// The engine refuses its settings.
    #[error("the engine cannot be set up: {message}")]
    Engine {
        /// What the engine says.
        message: String,
    },
    /// The module is no module, or uses what cannot be captured.
    #[error(transparent)]
    Instrument(#[from] leap_instrument::Error),
    /// The engine cannot compile the module.
    #[error("the module cannot be compiled: {message}")]
    Compile {
        /// What the engine says.
        message: String,
    },
    /// An import is missing or of another type, or a segment does not fit.
    #[error("the module cannot be instantiated: {message}")]
    Instantiate {
        /// What the engine says.
        message: String,
    },
    /// The process would begin with more memory than it may have.
    #[error("the program has {needed_bytes} bytes of memory here, and may have {limit_bytes}")]
    Memory {
        /// What it has at that point, of all its memories together.
        needed_bytes: u64,
        /// The limit: [`Limits::memory_bytes`](crate::Limits::memory_bytes).
        limit_bytes: u64,
    },
    /// The module has no function of that name that takes these arguments.
    #[error("no exported function {name:?} that takes the given arguments")]
    Entry {
        /// The name.
        name: String,
    },
    /// The state holds something that has no machine-independent form.
    #[error("the process holds {what}, which cannot be captured")]
    Uncapturable {
        /// What it is.
        what: &'static str,
    },
    /// The captured state is of another module.
    #[error("the state is of module {captured}, not of {module}")]
    OtherModule {
        /// The module that the state is of.
        captured: ModuleHash,
        /// The module that was given.
        module: ModuleHash,
    },
    /// The captured state cannot be one of its module.
    #[error("the captured state does not fit its module: {what}")]
    Misfit {
        /// What does not fit.
        what: String,
    },
    /// The process was asked for something that it cannot do any more, or not yet.
    #[error("the process {state}")]
    State {
        /// What state it is in.
        state: &'static str,
    },
}

/// The engine's error with all its causes, on one line.
pub(crate) fn message(error: &wasmtime::Error) -> String {
    format!("{error:#}")
}
