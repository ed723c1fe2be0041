//! Functions that do what one operator does, for code outside of the module.
//!
//! Segments cannot be imported, and `ref.func` of an import would make a reference of another
//! identity than that of the module's own. So continuations call these.

use crate::abi::Deed;
use crate::module::Module;
use crate::types::ValType;

impl Deed {
    /// Parameters and results of the function.
    pub(crate) fn signature(self, module: &Module) -> (Vec<ValType>, Vec<ValType>) {
        match self {
            Self::MemoryInit { memory, .. } => {
                let address = if module.memories[memory as usize].memory64 {
                    ValType::I64
                } else {
                    ValType::I32
                };
                (vec![address, ValType::I32, ValType::I32], Vec::new())
            }
            Self::TableInit { table, .. } => (
                vec![module.index_type(table), ValType::I32, ValType::I32],
                Vec::new(),
            ),
            Self::DataDrop { .. } | Self::ElementDrop { .. } => (Vec::new(), Vec::new()),
            Self::RefFunc { .. } => (Vec::new(), vec![ValType::FuncRef]),
        }
    }

    /// The function; `dropped` is the global to be set when a segment is dropped.
    pub(crate) fn function(self, module: &Module, dropped: Option<u32>) -> wasm_encoder::Function {
        let mut function = wasm_encoder::Function::new([]);
        let (params, _) = self.signature(module);
        let mut sink = function.instructions();
        for place in 0..params.len() {
            sink.local_get(place as u32);
        }
        match self {
            Self::MemoryInit { data, memory } => sink.memory_init(memory, data),
            Self::DataDrop { data } => sink.data_drop(data),
            Self::TableInit { element, table } => sink.table_init(table, element),
            Self::ElementDrop { element } => sink.elem_drop(element),
            Self::RefFunc { function } => sink.ref_func(function),
        };
        if let Some(dropped) = dropped {
            sink.i32_const(1).global_set(dropped);
        }
        sink.end();
        function
    }
}
