//! Locals that the emitter adds behind those of the original.

use crate::types::ValType;

/// The added locals of one function. One that was given back is taken again, by type.
pub(crate) struct Locals {
    first: u32,
    added: Vec<ValType>,
    free: [Vec<u32>; ValType::ALL.len()],
}

impl Locals {
    pub(crate) fn after(originals: usize) -> Self {
        Self {
            first: originals as u32,
            added: Vec::new(),
            free: Default::default(),
        }
    }

    pub(crate) fn take(&mut self, ty: ValType) -> u32 {
        if let Some(local) = self.free[ty as usize].pop() {
            return local;
        }
        self.added.push(ty);
        self.first + self.added.len() as u32 - 1
    }

    pub(crate) fn give_back(&mut self, local: u32, ty: ValType) {
        self.free[ty as usize].push(local);
    }

    pub(crate) fn added(&self) -> &[ValType] {
        &self.added
    }
}
