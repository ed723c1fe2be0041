//! The suite of guest programs: what benchmarks and tests run.
//!
//! A guest is compiled from its source when it is first asked for, and kept below `target/guests`
//! under a name that tells its source, its flags and its compiler; so a changed guest is another
//! guest, and nothing is ever out of date. What is in the suite, and what a new guest must keep to,
//! says `guests/README.md`.
//!
//! It does not know who runs the guests, nor how.
//!
//! Invariants:
//! - A guest prints one line, its checksum, and ends with code 0; it prints the same everywhere.
//! - [`build`] gives the same bytes for the same source, flags and compiler, however many tests ask at once.
//!
//! ```no_run
//! let guest = guests::build("fib", guests::Size::Small)?;
//! assert_eq!(&guest.wasm[..4], b"\0asm");
//! println!("{:?} prints {}", guest.arguments, guest.output);
//! # Ok::<(), guests::BuildError>(())
//! ```

mod cache;
mod clang;
mod dialect;
mod program;
mod rust;
mod tool;

use std::io;
use std::path::PathBuf;

pub use clang::build_native;
pub use program::{CORPUS, Kind, Program, SUITE, program};

/// How much work a guest does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Size {
    /// A few milliseconds: for tests.
    Small,
    /// Some 20 to 200 milliseconds of optimised native code: for benchmarks.
    Full,
}

/// A program, ready to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// The module: a WASI preview 1 command, to be entered at `_start`.
    pub wasm: Vec<u8>,
    /// Its arguments, its own name first.
    pub arguments: Vec<String>,
    /// What it prints.
    pub output: String,
}

/// Why a guest could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The suite has no such program.
    #[error("there is no guest {name}")]
    Unknown {
        /// The name that was asked for.
        name: String,
    },
    /// Something that compiles guests is not installed.
    #[error("guest {guest} needs {what}: {remedy}")]
    Missing {
        /// The guest.
        guest: String,
        /// What is missing.
        what: &'static str,
        /// What to do, in one line.
        remedy: &'static str,
    },
    /// A compiler refused.
    #[error("guest {guest} does not compile:\n{message}")]
    Compile {
        /// The guest.
        guest: String,
        /// What the compiler said.
        message: String,
    },
    /// A file could not be read or written.
    #[error("cannot access {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Whether programs of this kind can be compiled here.
///
/// # Errors
///
/// [`BuildError::Missing`], with what to install.
pub fn ready(kind: Kind) -> Result<(), BuildError> {
    match kind.dialect() {
        Some(dialect) => clang::ready(kind.phrase(), dialect),
        None => rust::ready(),
    }
}

/// Compiles the program of this name, or finds it compiled.
///
/// The first time, a program in C takes a second, those in Rust half a minute together, SQLite half a minute.
///
/// # Errors
///
/// [`BuildError`]; [`BuildError::Missing`] when a compiler is not there, with what to install.
pub fn build(name: &str, size: Size) -> Result<Guest, BuildError> {
    let program = program(name).ok_or_else(|| BuildError::Unknown {
        name: name.to_owned(),
    })?;
    let wasm = match (program.kind, program.kind.dialect()) {
        (Kind::Sqlite, _) => clang::build_sqlite(program)?,
        (_, Some(dialect)) => clang::build_wasm(program, dialect, size)?,
        (_, None) => rust::build_wasm(program)?,
    };
    let mut arguments = vec![program.name.to_owned()];
    if size == Size::Small && program.is_sized_by_argument() {
        arguments.push("small".to_owned());
    }
    Ok(Guest {
        wasm,
        arguments,
        output: program.output(size),
    })
}
