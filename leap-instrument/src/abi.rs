//! What an instrumented module and its host agree on: names, the control memory, the records.
//!
//! An instrumented module defines one memory more than the original, the last, exported as
//! [`CONTROL_MEMORY`]. Its first words are drawn here; frame records follow from
//! [`control::AREA`] on, each at a multiple of 8.
//!
//! ```text
//!   byte  word        written by                 meaning
//!      0  FLAG        host, guest                0 run, 1 capture requested, 2 unwinding
//!      4  SAVE        guest while unwinding      address of the next record to be written
//!      8  RESTORE     continuations              address of the next record to be read
//!     12  RESUMED     continuations              number of the record that was read last
//!     16  REFERENCES  guest, continuations       next free place of the reference tables
//!     20  COUNTDOWN   guest                      polls until a capture; only with Options::countdown
//!     24  SINK        guest                      never read: a store that keeps polls alive
//!     32  STAGE       guest while unwinding      values on their way to a record, 128 bytes
//! ```
//!
//! A record ([`record`]) is what one activation saves, innermost first:
//!
//! ```text
//!      0  function   u32
//!      4  stop       u32
//!      8  kind       u32   1 after the call, 2 in it; for continuations, written by the host
//!     16  values           results of the callee, live locals, operands; in this order, packed:
//!                          i32 f32 4 bytes, i64 f64 8, v128 16, a reference 4 (its place in the
//!                          table of its type)
//! ```
//!
//! Everything is little-endian, as Wasm is.

use crate::saver::Saver;
use crate::types::ValType;

/// Export names that begin so belong to the instrumenter.
pub const RESERVED_PREFIX: &str = "leap:";
/// The export name of the control memory.
pub const CONTROL_MEMORY: &str = "leap:control";
/// The export names of the tables that hold saved references, by the type of their elements.
pub const REFERENCE_TABLES: [(ValType, &str); 3] = [
    (ValType::FuncRef, "leap:funcrefs"),
    (ValType::ExternRef, "leap:externrefs"),
    (ValType::ExnRef, "leap:exnrefs"),
];
/// The module name under which continuations import from the instrumented module.
pub const PROGRAM: &str = "program";
/// The module name under which continuations import [`RESUME_TABLE`].
pub const HOST: &str = "host";
/// The table, provided by the host, whose element `i` resumes the frame record `i`.
pub const RESUME_TABLE: &str = "resume";

/// Byte addresses in the control memory.
pub mod control {
    /// The capture flag.
    pub const FLAG: u32 = 0;
    /// Address of the next record to be written.
    pub const SAVE: u32 = 4;
    /// Address of the next record to be read.
    pub const RESTORE: u32 = 8;
    /// Number of the record that was read last.
    pub const RESUMED: u32 = 12;
    /// Next free place of the reference tables.
    pub const REFERENCES: u32 = 16;
    /// Polls until the guest requests a capture of itself.
    pub const COUNTDOWN: u32 = 20;
    /// Where polls store what nobody reads.
    pub const SINK: u32 = 24;
    /// Where cold paths put values for a saver to fetch.
    pub const STAGE: u32 = 32;
    /// The first record.
    pub const AREA: u32 = 160;
}

/// Values of the word at [`control::FLAG`].
pub mod flag {
    /// Nothing to do.
    pub const RUN: u32 = 0;
    /// The next poll shall begin to unwind. The host sets it, from any thread, if it was `RUN`.
    pub const REQUESTED: u32 = 1;
    /// Activations save themselves and return.
    pub const UNWINDING: u32 = 2;
}

/// Values of the word at [`record::KIND`].
pub mod kind {
    /// At a poll, or after a call whose results are in the record.
    pub const AFTER: u32 = 1;
    /// In a call whose results come from the next record.
    pub const IN_CALL: u32 = 2;
}

/// Byte offsets in a frame record.
pub mod record {
    /// Index of the function.
    pub const FUNCTION: u32 = 0;
    /// Number of the stop.
    pub const STOP: u32 = 4;
    /// Where at the stop the activation stands: a value of [`kind`](super::kind). The host knows it
    /// without being told: all but the innermost are in a call, and that one is if it has called a
    /// host function that was interrupted.
    pub const KIND: u32 = 8;
    /// The first value.
    pub const VALUES: u32 = 16;
}

/// Bytes that a value of type `ty` takes in a record.
#[must_use]
pub const fn value_bytes(ty: ValType) -> u32 {
    match ty {
        ValType::I64 | ValType::F64 => 8,
        ValType::V128 => 16,
        ValType::I32 | ValType::F32 | ValType::FuncRef | ValType::ExternRef | ValType::ExnRef => 4,
    }
}

/// Bytes of a record with `values`.
pub fn record_bytes(values: impl Iterator<Item = ValType>) -> u32 {
    let end = values.fold(record::VALUES, |at, ty| at.saturating_add(value_bytes(ty)));
    end.saturating_add(7) & !7
}

/// Something of the instrumented module that continuations import, by its export name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Export {
    /// A function of the original module.
    Function(u32),
    /// A table of the original module.
    Table(u32),
    /// A memory of the original module.
    Memory(u32),
    /// A global of the original module.
    Global(u32),
    /// A tag of the original module.
    Tag(u32),
    /// The global that is 1 once the data segment is dropped.
    DroppedData(u32),
    /// The global that is 1 once the element segment is dropped.
    DroppedElement(u32),
    /// A function that does what one operator of the original does, for code outside the module.
    Deed(Deed),
    /// A function that saves values in records.
    Saver(Saver),
}

/// An operator that works on what only the module itself can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Deed {
    /// `memory.init`
    MemoryInit {
        /// The segment.
        data: u32,
        /// The memory.
        memory: u32,
    },
    /// `data.drop`
    DataDrop {
        /// The segment.
        data: u32,
    },
    /// `table.init`
    TableInit {
        /// The segment.
        element: u32,
        /// The table.
        table: u32,
    },
    /// `elem.drop`
    ElementDrop {
        /// The segment.
        element: u32,
    },
    /// `ref.func`
    RefFunc {
        /// The function.
        function: u32,
    },
}

impl Export {
    /// The reserved name of the export.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Function(index) => format!("leap:f{index}"),
            Self::Table(index) => format!("leap:t{index}"),
            Self::Memory(index) => format!("leap:m{index}"),
            Self::Global(index) => format!("leap:g{index}"),
            Self::Tag(index) => format!("leap:e{index}"),
            Self::DroppedData(index) => format!("leap:dropped-data{index}"),
            Self::DroppedElement(index) => format!("leap:dropped-element{index}"),
            Self::Saver(saver) => format!("leap:{}", saver.name()),
            Self::Deed(Deed::MemoryInit { data, memory }) => {
                format!("leap:memory.init:{data}:{memory}")
            }
            Self::Deed(Deed::DataDrop { data }) => format!("leap:data.drop:{data}"),
            Self::Deed(Deed::TableInit { element, table }) => {
                format!("leap:table.init:{element}:{table}")
            }
            Self::Deed(Deed::ElementDrop { element }) => format!("leap:elem.drop:{element}"),
            Self::Deed(Deed::RefFunc { function }) => format!("leap:ref.func:{function}"),
        }
    }
}
