//! One emitted function as the bytes of a code section.

use wasm_encoder::Encode as _;

use crate::emit::Emitted;
use crate::types::ValType;

/// A body with its locals; offsets are from its first byte.
pub(crate) struct Function {
    pub(crate) bytes: Vec<u8>,
    /// Branches, and whether they are likely; ascending.
    pub(crate) hints: Vec<(u32, bool)>,
    /// From here on, that byte of the original; ascending.
    pub(crate) origins: Vec<(u32, u32)>,
}

impl Function {
    /// `declared`: the locals before those that the emitter added, without parameters.
    pub(crate) fn new(emitted: Emitted, declared: &[ValType]) -> Self {
        let mut bytes = encode_locals(declared.iter().chain(emitted.locals.added()).copied());
        let start = bytes.len() as u32;
        bytes.extend_from_slice(&emitted.code);
        let mut hints = emitted.hints;
        hints.iter_mut().for_each(|(at, _)| *at += start);
        let mut origins = emitted.places;
        origins.iter_mut().for_each(|(at, _)| *at += start);
        Self {
            bytes,
            hints,
            origins,
        }
    }

    pub(crate) fn encoded_hints(&self) -> Vec<wasm_encoder::BranchHint> {
        self.hints
            .iter()
            .map(|&(at, likely)| wasm_encoder::BranchHint {
                branch_func_offset: at,
                branch_hint_value: likely.into(),
            })
            .collect()
    }
}

/// Locals are declared in runs of one type.
fn encode_locals(types: impl Iterator<Item = ValType>) -> Vec<u8> {
    let mut runs: Vec<(u32, ValType)> = Vec::new();
    for ty in types {
        match runs.last_mut() {
            Some((count, of)) if *of == ty => *count += 1,
            _ => runs.push((1, ty)),
        }
    }
    let mut bytes = Vec::new();
    runs.len().encode(&mut bytes);
    for (count, ty) in runs {
        count.encode(&mut bytes);
        ty.encoded().encode(&mut bytes);
    }
    bytes
}
