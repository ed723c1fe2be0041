//! Where code is emitted to, the instrumented module or one of continuations: what its indices are.
//!
//! A module of continuations imports the tables, memories, globals and tags of the instrumented
//! module in their order, so that their indices hold in both and most instructions are copied
//! byte for byte. Functions are many, so only those that are called are imported, under new indices.

use std::collections::BTreeMap;

use wasm_encoder::MemArg;

use crate::abi::{Deed, Export};
use crate::module::Module;
use crate::saver::Saver;
use crate::types::{FuncType, ValType};

pub(crate) struct Target {
    pub(crate) types: Types,
    indices: Indices,
    /// The types of reference that have a table, which follow the original's tables in this order.
    reference_tables: Vec<ValType>,
    first_reference_table: u32,
    control_memory: u32,
}

enum Indices {
    /// Those of the original, with the dropped-segment globals and the savers at its end.
    Module {
        dropped: BTreeMap<Export, u32>,
        /// By the order of their first use.
        savers: BTreeMap<Saver, u32>,
        first_saver: u32,
    },
    /// Functions by the order of their first use.
    Continuations { functions: BTreeMap<Export, u32> },
}

impl Target {
    pub(crate) fn module(
        module: &Module,
        reference_tables: &[ValType],
        dropped: BTreeMap<Export, u32>,
        first_saver: u32,
    ) -> Self {
        let indices = Indices::Module {
            dropped,
            savers: BTreeMap::new(),
            first_saver,
        };
        Self::new(module, reference_tables, indices)
    }

    pub(crate) fn continuations(module: &Module, reference_tables: &[ValType]) -> Self {
        let functions = BTreeMap::new();
        Self::new(
            module,
            reference_tables,
            Indices::Continuations { functions },
        )
    }

    fn new(module: &Module, reference_tables: &[ValType], indices: Indices) -> Self {
        Self {
            types: Types::new(&module.types),
            indices,
            reference_tables: reference_tables.to_vec(),
            first_reference_table: module.tables.len() as u32,
            control_memory: module.control_memory(),
        }
    }

    /// The index of an original function.
    pub(crate) fn function(&mut self, function: u32) -> u32 {
        match &mut self.indices {
            Indices::Module { .. } => function,
            Indices::Continuations { functions } => import(functions, Export::Function(function)),
        }
    }

    /// The function that does the deed, where the operator itself is out of place.
    pub(crate) fn deed(&mut self, deed: Deed) -> Option<u32> {
        match &mut self.indices {
            Indices::Module { .. } => None,
            Indices::Continuations { functions } => Some(import(functions, Export::Deed(deed))),
        }
    }

    /// The function that saves such values.
    pub(crate) fn saver(&mut self, saver: Saver) -> u32 {
        match &mut self.indices {
            Indices::Module {
                savers,
                first_saver,
                ..
            } => {
                let next = *first_saver + savers.len() as u32;
                *savers.entry(saver).or_insert(next)
            }
            Indices::Continuations { functions } => import(functions, Export::Saver(saver)),
        }
    }

    /// The savers that the module needs, in the order of their indices.
    pub(crate) fn savers(&self) -> Vec<(u32, Saver)> {
        let Indices::Module { savers, .. } = &self.indices else {
            return Vec::new();
        };
        let mut savers: Vec<(u32, Saver)> = savers
            .iter()
            .map(|(&saver, &index)| (index, saver))
            .collect();
        savers.sort_unstable();
        savers
    }

    /// The global that tells of a segment that it is dropped.
    pub(crate) fn dropped(&self, export: Export) -> Option<u32> {
        match &self.indices {
            Indices::Module { dropped, .. } => dropped.get(&export).copied(),
            Indices::Continuations { .. } => None,
        }
    }

    pub(crate) fn reference_table(&self, ty: ValType) -> u32 {
        let place = self.reference_tables.iter().position(|&table| table == ty);
        let place = place.expect("every type of reference that a stop saves has a table");
        self.first_reference_table + place as u32
    }

    /// The table through which continuations resume the next frame.
    pub(crate) fn resume_table(&self) -> u32 {
        self.first_reference_table + self.reference_tables.len() as u32
    }

    /// A word of the control memory, to be addressed with 0.
    pub(crate) fn control(&self, address: u32) -> MemArg {
        MemArg {
            offset: u64::from(address),
            align: 2,
            memory_index: self.control_memory,
        }
    }

    /// A place in the record whose address is given. Values are packed, so nothing is promised
    /// about alignment.
    pub(crate) fn record(&self, offset: u32) -> MemArg {
        MemArg {
            offset: u64::from(offset),
            align: 0,
            memory_index: self.control_memory,
        }
    }

    /// The imported functions in the order of their indices.
    pub(crate) fn imported_functions(&self) -> Vec<Export> {
        let Indices::Continuations { functions } = &self.indices else {
            return Vec::new();
        };
        let mut exports: Vec<(u32, Export)> = functions
            .iter()
            .map(|(&export, &index)| (index, export))
            .collect();
        exports.sort_unstable();
        exports.into_iter().map(|(_, export)| export).collect()
    }
}

fn import(functions: &mut BTreeMap<Export, u32>, export: Export) -> u32 {
    let next = functions.len() as u32;
    *functions.entry(export).or_insert(next)
}

/// The types of a module: the original's, and those added, each distinct one once.
pub(crate) struct Types {
    by_type: BTreeMap<FuncType, u32>,
    original: u32,
    added: Vec<FuncType>,
}

impl Types {
    fn new(original: &[FuncType]) -> Self {
        let mut by_type = BTreeMap::new();
        for (index, ty) in original.iter().enumerate() {
            by_type.entry(ty.clone()).or_insert(index as u32);
        }
        Self {
            by_type,
            original: original.len() as u32,
            added: Vec::new(),
        }
    }

    pub(crate) fn index(&mut self, params: &[ValType], results: &[ValType]) -> u32 {
        let ty = FuncType {
            params: params.into(),
            results: results.into(),
        };
        if let Some(&index) = self.by_type.get(&ty) {
            return index;
        }
        let index = self.original + self.added.len() as u32;
        self.by_type.insert(ty.clone(), index);
        self.added.push(ty);
        index
    }

    /// The type of a block, in its shortest form.
    pub(crate) fn block(
        &mut self,
        params: &[ValType],
        results: &[ValType],
    ) -> wasm_encoder::BlockType {
        match (params, results) {
            ([], []) => wasm_encoder::BlockType::Empty,
            ([], [one]) => wasm_encoder::BlockType::Result(one.encoded()),
            _ => wasm_encoder::BlockType::FunctionType(self.index(params, results)),
        }
    }

    pub(crate) fn added(&self) -> &[FuncType] {
        &self.added
    }
}
