//! The types of values that can be captured.

use crate::error::Error;

/// The type of a value. Those of the garbage collection proposal are missing: modules that use
/// them are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValType {
    /// A 32-bit integer.
    I32,
    /// A 64-bit integer.
    I64,
    /// A 32-bit float.
    F32,
    /// A 64-bit float.
    F64,
    /// A 128-bit vector.
    V128,
    /// A reference to a function, or null.
    FuncRef,
    /// A reference to something of the host, or null.
    ExternRef,
    /// A reference to an exception, or null.
    ExnRef,
}

impl ValType {
    /// All of them.
    pub(crate) const ALL: [Self; 8] = [
        Self::I32,
        Self::I64,
        Self::F32,
        Self::F64,
        Self::V128,
        Self::FuncRef,
        Self::ExternRef,
        Self::ExnRef,
    ];

    /// Whether values of the type are references, which are saved to tables.
    #[must_use]
    pub const fn is_reference(self) -> bool {
        matches!(self, Self::FuncRef | Self::ExternRef | Self::ExnRef)
    }

    pub(crate) fn parse(ty: wasmparser::ValType, offset: usize) -> Result<Self, Error> {
        match ty {
            wasmparser::ValType::I32 => Ok(Self::I32),
            wasmparser::ValType::I64 => Ok(Self::I64),
            wasmparser::ValType::F32 => Ok(Self::F32),
            wasmparser::ValType::F64 => Ok(Self::F64),
            wasmparser::ValType::V128 => Ok(Self::V128),
            wasmparser::ValType::Ref(ty) => Self::parse_reference(ty, offset),
        }
    }

    pub(crate) fn parse_reference(ty: wasmparser::RefType, offset: usize) -> Result<Self, Error> {
        use wasmparser::{AbstractHeapType, HeapType};
        match ty.heap_type() {
            // Operands may have a finer type than any declaration can name without the refused
            // proposals: `ref.func` pushes a reference to the function's own type.
            HeapType::Concrete(_)
            | HeapType::Abstract {
                shared: false,
                ty: AbstractHeapType::Func,
            } => Ok(Self::FuncRef),
            HeapType::Abstract {
                shared: false,
                ty: AbstractHeapType::Extern,
            } => Ok(Self::ExternRef),
            HeapType::Abstract {
                shared: false,
                ty: AbstractHeapType::Exn,
            } => Ok(Self::ExnRef),
            _ => Err(Error::Unsupported {
                construct: format!("the reference type {ty}"),
                offset,
            }),
        }
    }

    pub(crate) const fn encoded(self) -> wasm_encoder::ValType {
        match self {
            Self::I32 => wasm_encoder::ValType::I32,
            Self::I64 => wasm_encoder::ValType::I64,
            Self::F32 => wasm_encoder::ValType::F32,
            Self::F64 => wasm_encoder::ValType::F64,
            Self::V128 => wasm_encoder::ValType::V128,
            Self::FuncRef => wasm_encoder::ValType::Ref(wasm_encoder::RefType::FUNCREF),
            Self::ExternRef => wasm_encoder::ValType::Ref(wasm_encoder::RefType::EXTERNREF),
            Self::ExnRef => wasm_encoder::ValType::Ref(wasm_encoder::RefType::EXNREF),
        }
    }

    /// The heap type of a reference type.
    pub(crate) fn heap(self) -> wasm_encoder::HeapType {
        match self.encoded() {
            wasm_encoder::ValType::Ref(ty) => ty.heap_type,
            _ => unreachable!("only references have a heap type"),
        }
    }
}

/// Parameters and results of a function, block or stop.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct FuncType {
    pub(crate) params: Box<[ValType]>,
    pub(crate) results: Box<[ValType]>,
}

impl FuncType {
    pub(crate) fn parse(ty: &wasmparser::FuncType, offset: usize) -> Result<Self, Error> {
        let parse = |types: &[wasmparser::ValType]| -> Result<Box<[ValType]>, Error> {
            types.iter().map(|&ty| ValType::parse(ty, offset)).collect()
        };
        Ok(Self {
            params: parse(ty.params())?,
            results: parse(ty.results())?,
        })
    }
}
