//! Modules of continuations.
//!
//! Such a module imports, in the order of their indices:
//! - from [`PROGRAM`]: the functions and deeds that its code calls;
//! - from [`PROGRAM`]: all tables, the reference tables, from [`HOST`] the resume table;
//! - from [`PROGRAM`]: all memories and the control memory, all globals, all tags;
//!
//! each under its reserved name, and exports a function `continuation_name(i)` of type
//! `[] -> results of the function` for the `i`-th stop that was asked for.

use wasm_encoder::{
    CodeSection, EntityType, ExportKind, ExportSection, FunctionSection, ImportSection,
    Module as Encoder, RawSection, SectionId, TableType, TagKind, TagType,
};

use crate::abi::{CONTROL_MEMORY, Deed, Export, HOST, PROGRAM, REFERENCE_TABLES, RESUME_TABLE};
use crate::decode::decode;
use crate::emit::Emitter;
use crate::error::Error;
use crate::function::Function;
use crate::instrument::{Analysis, control_memory, encode_function_type, reference_table};
use crate::plan::{Plan, SaveBudget};
use crate::sections::Appended;
use crate::target::Target;

/// The export name of the continuation for the stop that was asked for at this place.
#[must_use]
pub fn continuation_name(place: usize) -> String {
    format!("c{place}")
}

impl Analysis {
    /// A module with a continuation for each of `stops`, given as (function, stop).
    ///
    /// # Errors
    ///
    /// [`Error::UnknownStop`].
    pub fn continuations(&self, stops: &[(u32, u32)]) -> Result<Vec<u8>, Error> {
        let mut target = Target::continuations(&self.module, &self.reference_tables);
        let mut functions = Vec::with_capacity(stops.len());
        let mut types = Vec::with_capacity(stops.len());
        for &(function, stop) in stops {
            functions.push(self.continuation(&mut target, function, stop)?);
            let results = &self.module.function_type(function).results;
            types.push(target.types.index(&[], results));
        }
        Ok(self.assemble_continuations(target, &types, &functions))
    }

    fn continuation(
        &self,
        target: &mut Target,
        function: u32,
        stop: u32,
    ) -> Result<Function, Error> {
        let unknown = || Error::UnknownStop {
            module: self.module.hash,
            function,
            stop,
        };
        let is_defined = (self.module.imported.functions..self.module.functions.len() as u32)
            .contains(&function);
        if !is_defined {
            return Err(unknown());
        }
        let body = decode(&self.module, function)?;
        let plan = Plan::new(
            &self.module,
            &self.graph,
            function,
            &body,
            &mut SaveBudget::new(),
        )?;
        if plan.stops.get(stop as usize).is_none() {
            return Err(unknown());
        }
        let mut emitter = Emitter::new(&self.module, &body, &plan, &self.options, target);
        emitter.resume_at(stop);
        Ok(Function::new(emitter.finish(), &body.locals))
    }

    fn assemble_continuations(
        &self,
        mut target: Target,
        types: &[u32],
        functions: &[Function],
    ) -> Vec<u8> {
        let imports = self.imports(&mut target);
        let imported = target.imported_functions().len() as u32;
        let mut function_section = FunctionSection::new();
        let mut exports = ExportSection::new();
        let mut code = CodeSection::new();
        let mut hints = wasm_encoder::BranchHints::new();
        for (place, (&ty, function)) in types.iter().zip(functions).enumerate() {
            let index = imported + place as u32;
            function_section.function(ty);
            exports.export(&continuation_name(place), ExportKind::Func, index);
            code.raw(&function.bytes);
            if !function.hints.is_empty() {
                hints.function_hints(index, function.encoded_hints());
            }
        }
        let mut added = Appended::new();
        for ty in target.types.added() {
            added.add(|sink| encode_function_type(ty, sink));
        }
        let original = self
            .module
            .sections
            .iter()
            .find(|(id, _)| *id == SectionId::Type as u8)
            .map(|(_, range)| &self.module.bytes[range.clone()]);

        let mut out = Encoder::new();
        if let Some(data) = added.contents(original) {
            let data = &data;
            let id = SectionId::Type as u8;
            out.section(&RawSection { id, data });
        }
        out.section(&imports);
        out.section(&function_section);
        out.section(&exports);
        out.section(&hints);
        out.section(&code);
        out.finish()
    }

    fn imports(&self, target: &mut Target) -> ImportSection {
        let module = &self.module;
        let mut imports = ImportSection::new();
        for export in target.imported_functions() {
            let ty = match export {
                Export::Function(function) => module.functions[function as usize],
                Export::Deed(deed) => deed_type(target, deed, module),
                Export::Saver(saver) => target.types.index(&saver.params(), &[]),
                _ => unreachable!("only functions are imported as functions"),
            };
            imports.import(PROGRAM, &export.name(), EntityType::Function(ty));
        }
        for (index, table) in (0..).zip(&module.tables) {
            imports.import(PROGRAM, &Export::Table(index).name(), table.encoded);
        }
        for &ty in &self.reference_tables {
            let name = REFERENCE_TABLES.iter().find(|(of, _)| *of == ty);
            let (_, name) = name.expect("every type of reference has a table's name");
            imports.import(PROGRAM, name, reference_table(ty, 0));
        }
        let resume = TableType {
            element_type: wasm_encoder::RefType::FUNCREF,
            table64: false,
            minimum: 0,
            maximum: None,
            shared: false,
        };
        imports.import(HOST, RESUME_TABLE, resume);
        for (index, memory) in (0..).zip(&module.memories) {
            let memory = wasm_encoder::MemoryType {
                minimum: memory.initial,
                maximum: memory.maximum,
                memory64: memory.memory64,
                shared: memory.shared,
                page_size_log2: memory.page_size_log2,
            };
            imports.import(PROGRAM, &Export::Memory(index).name(), memory);
        }
        imports.import(PROGRAM, CONTROL_MEMORY, control_memory(&self.options));
        for (index, global) in (0..).zip(&module.globals) {
            let global = wasm_encoder::GlobalType {
                val_type: global.ty.encoded(),
                mutable: global.mutable,
                shared: false,
            };
            imports.import(PROGRAM, &Export::Global(index).name(), global);
        }
        for (index, &func_type_idx) in (0..).zip(&module.tags) {
            let kind = TagKind::Exception;
            let tag = TagType {
                kind,
                func_type_idx,
            };
            imports.import(PROGRAM, &Export::Tag(index).name(), tag);
        }
        imports
    }
}

fn deed_type(target: &mut Target, deed: Deed, module: &crate::module::Module) -> u32 {
    let (params, results) = deed.signature(module);
    target.types.index(&params, &results)
}
