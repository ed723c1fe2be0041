//! An original module, parsed and validated but for its function bodies.
//!
//! The bytes are kept, and everything else points into them: bodies are decoded one at a time,
//! when they are instrumented and again when a continuation is made of one.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use wasmparser::{
    ElementItems, ElementKind, FuncToValidate, KnownCustom, Operator, Parser, Payload, TypeRef,
    ValidPayload, Validator, ValidatorResources, WasmFeatures,
};

use crate::abi::RESERVED_PREFIX;
use crate::body::Callee;
use crate::error::Error;
use crate::hash::ModuleHash;
use crate::types::{FuncType, ValType};

/// What a module may use. Everything else is refused.
pub(crate) const FEATURES: WasmFeatures = WasmFeatures::WASM2
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::MEMORY64)
    .union(WasmFeatures::EXCEPTIONS)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::GC_TYPES);

/// Function bodies are addressed by `u32`s.
const MAX_MODULE_BYTES: usize = u32::MAX as usize;

/// The parsed module. Index spaces begin with the imports, as in Wasm.
pub(crate) struct Module {
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) hash: ModuleHash,
    /// All sections, custom ones too, in their order: id and contents.
    pub(crate) sections: Vec<(u8, Range<usize>)>,
    pub(crate) types: Vec<FuncType>,
    /// The type of each function.
    pub(crate) functions: Vec<u32>,
    pub(crate) tables: Vec<Table>,
    pub(crate) memories: Vec<wasmparser::MemoryType>,
    pub(crate) globals: Vec<Global>,
    /// The type of each tag.
    pub(crate) tags: Vec<u32>,
    pub(crate) imported: Imported,
    pub(crate) start: Option<u32>,
    /// The defined functions' bodies, locals included.
    pub(crate) bodies: Vec<Range<usize>>,
    /// Functions that references may point to, as far as seen outside of bodies.
    pub(crate) referenced: Vec<bool>,
    /// Whether a global brings a function reference in.
    pub(crate) imported_function_reference: bool,
    /// Branch hints by function: offset in its body, and whether the branch is likely.
    hints: BTreeMap<u32, Vec<(u32, bool)>>,
    resources: Option<ValidatorResources>,
}

/// How many of each index space are imported.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Imported {
    pub(crate) functions: u32,
    pub(crate) tables: u32,
}

pub(crate) struct Table {
    pub(crate) encoded: wasm_encoder::TableType,
}

pub(crate) struct Global {
    pub(crate) ty: ValType,
    pub(crate) mutable: bool,
}

impl Module {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_MODULE_BYTES {
            return Err(Error::TooLarge {
                what: "the module's size in bytes",
                limit: MAX_MODULE_BYTES,
                offset: MAX_MODULE_BYTES,
            });
        }
        let mut module = Self::empty(bytes);
        module.read(bytes).map_err(|error| refine(error, bytes))?;
        Ok(module)
    }

    fn empty(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.into(),
            hash: ModuleHash::of(bytes),
            sections: Vec::new(),
            types: Vec::new(),
            functions: Vec::new(),
            tables: Vec::new(),
            memories: Vec::new(),
            globals: Vec::new(),
            tags: Vec::new(),
            imported: Imported::default(),
            start: None,
            bodies: Vec::new(),
            referenced: Vec::new(),
            imported_function_reference: false,
            hints: BTreeMap::new(),
            resources: None,
        }
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut validator = Validator::new_with_features(FEATURES);
        let mut parser = Parser::new(0);
        parser.set_features(FEATURES);
        for payload in parser.parse_all(bytes) {
            let payload = payload?;
            if let Payload::Version {
                encoding: wasmparser::Encoding::Component,
                ..
            } = payload
            {
                return Err(Error::Unsupported {
                    construct: "a component".to_owned(),
                    offset: 0,
                });
            }
            if let ValidPayload::Func(function, body) = validator.payload(&payload)? {
                self.resources.get_or_insert(function.resources);
                self.bodies.push(body.range());
            }
            if let Some((id, range)) = payload.as_section() {
                self.sections.push((id, range));
            }
            self.read_payload(payload)?;
        }
        self.referenced.resize(self.functions.len(), false);
        Ok(())
    }

    fn read_payload(&mut self, payload: Payload<'_>) -> Result<(), Error> {
        match payload {
            Payload::TypeSection(reader) => self.read_types(reader),
            Payload::ImportSection(reader) => self.read_imports(reader),
            Payload::FunctionSection(reader) => {
                for ty in reader {
                    self.functions.push(ty?);
                }
                Ok(())
            }
            Payload::TableSection(reader) => {
                for item in reader.into_iter_with_offsets() {
                    let (offset, table) = item?;
                    self.push_table(table.ty, offset)?;
                }
                Ok(())
            }
            Payload::MemorySection(reader) => {
                for item in reader.into_iter_with_offsets() {
                    let (offset, memory) = item?;
                    self.push_memory(memory, offset)?;
                }
                Ok(())
            }
            Payload::TagSection(reader) => {
                for tag in reader {
                    self.tags.push(tag?.func_type_idx);
                }
                Ok(())
            }
            Payload::GlobalSection(reader) => {
                for item in reader.into_iter_with_offsets() {
                    let (offset, global) = item?;
                    self.push_global(global.ty, offset)?;
                    self.see_references(&global.init_expr)?;
                }
                Ok(())
            }
            Payload::ExportSection(reader) => {
                for export in reader {
                    let name = export?.name;
                    if name.starts_with(RESERVED_PREFIX) {
                        return Err(Error::ReservedName {
                            name: name.to_owned(),
                        });
                    }
                }
                Ok(())
            }
            Payload::StartSection { func, .. } => {
                self.start = Some(func);
                Ok(())
            }
            Payload::ElementSection(reader) => self.read_elements(reader),
            Payload::CustomSection(section) => {
                if let KnownCustom::BranchHints(reader) = section.as_known() {
                    self.hints = read_hints(reader).unwrap_or_default();
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn read_types(&mut self, reader: wasmparser::TypeSectionReader<'_>) -> Result<(), Error> {
        for item in reader.into_iter_with_offsets() {
            let (offset, group) = item?;
            for ty in group.into_types() {
                let wasmparser::CompositeInnerType::Func(ty) = &ty.composite_type.inner else {
                    return Err(Error::Unsupported {
                        construct: "a type of the garbage collection proposal".to_owned(),
                        offset,
                    });
                };
                self.types.push(FuncType::parse(ty, offset)?);
            }
        }
        Ok(())
    }

    fn read_imports(&mut self, reader: wasmparser::ImportSectionReader<'_>) -> Result<(), Error> {
        for item in reader.into_imports_with_offsets() {
            let (offset, import) = item?;
            match import.ty {
                TypeRef::Func(ty) | TypeRef::FuncExact(ty) => {
                    self.functions.push(ty);
                    self.imported.functions += 1;
                }
                TypeRef::Table(ty) => {
                    self.push_table(ty, offset)?;
                    self.imported.tables += 1;
                }
                TypeRef::Memory(ty) => self.push_memory(ty, offset)?,
                TypeRef::Global(ty) => {
                    self.push_global(ty, offset)?;
                    self.imported_function_reference |=
                        self.globals.last().map(|global| global.ty) == Some(ValType::FuncRef);
                }
                TypeRef::Tag(ty) => self.tags.push(ty.func_type_idx),
            }
        }
        Ok(())
    }

    fn read_elements(&mut self, reader: wasmparser::ElementSectionReader<'_>) -> Result<(), Error> {
        for element in reader {
            let element = element?;
            // Declared segments only allow `ref.func` in bodies, where it is seen.
            if matches!(element.kind, ElementKind::Declared) {
                continue;
            }
            match element.items {
                ElementItems::Functions(functions) => {
                    for function in functions {
                        self.see_reference(function?);
                    }
                }
                ElementItems::Expressions(_, expressions) => {
                    for expression in expressions {
                        self.see_references(&expression?)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn push_table(&mut self, ty: wasmparser::TableType, offset: usize) -> Result<(), Error> {
        let element = ValType::parse_reference(ty.element_type, offset)?;
        let wasm_encoder::ValType::Ref(element_type) = element.encoded() else {
            unreachable!("tables hold references");
        };
        self.tables.push(Table {
            encoded: wasm_encoder::TableType {
                element_type,
                table64: ty.table64,
                minimum: ty.initial,
                maximum: ty.maximum,
                shared: ty.shared,
            },
        });
        Ok(())
    }

    fn push_memory(&mut self, ty: wasmparser::MemoryType, offset: usize) -> Result<(), Error> {
        if ty.shared {
            return Err(Error::Unsupported {
                construct: "a shared memory".to_owned(),
                offset,
            });
        }
        self.memories.push(ty);
        Ok(())
    }

    fn push_global(&mut self, ty: wasmparser::GlobalType, offset: usize) -> Result<(), Error> {
        self.globals.push(Global {
            ty: ValType::parse(ty.content_type, offset)?,
            mutable: ty.mutable,
        });
        Ok(())
    }

    fn see_references(&mut self, expression: &wasmparser::ConstExpr<'_>) -> Result<(), Error> {
        for operator in expression.get_operators_reader() {
            if let Operator::RefFunc { function_index } = operator? {
                self.see_reference(function_index);
            }
        }
        Ok(())
    }

    fn see_reference(&mut self, function: u32) {
        let function = function as usize;
        if self.referenced.len() <= function {
            self.referenced.resize(function + 1, false);
        }
        self.referenced[function] = true;
    }

    /// The type of a function.
    pub(crate) fn function_type(&self, function: u32) -> &FuncType {
        &self.types[self.functions[function as usize] as usize]
    }

    /// The type that a call names.
    pub(crate) fn callee_type(&self, callee: Callee) -> &FuncType {
        match callee {
            Callee::Function(function) => self.function_type(function),
            Callee::Indirect { ty, .. } => &self.types[ty as usize],
        }
    }

    /// The type of the indices of a table.
    pub(crate) fn index_type(&self, table: u32) -> ValType {
        if self.tables[table as usize].encoded.table64 {
            ValType::I64
        } else {
            ValType::I32
        }
    }

    /// Index of the control memory.
    pub(crate) fn control_memory(&self) -> u32 {
        self.memories.len() as u32
    }

    /// The body of a defined function, by its place among them.
    pub(crate) fn body(&self, defined: usize) -> wasmparser::FunctionBody<'_> {
        let range = self.bodies[defined].clone();
        let reader = wasmparser::BinaryReader::new_features(
            &self.bytes[range.clone()],
            range.start,
            FEATURES,
        );
        wasmparser::FunctionBody::new(reader)
    }

    /// A validator for the body of a defined function.
    pub(crate) fn validator(&self, function: u32) -> wasmparser::FuncValidator<ValidatorResources> {
        let resources = self.resources.clone();
        FuncToValidate {
            resources: resources.expect("a module with a body has seen the resources"),
            index: function,
            ty: self.functions[function as usize],
            features: FEATURES,
        }
        .into_validator(wasmparser::FuncValidatorAllocations::default())
    }

    /// The original's branch hints for a function, by offset in its body.
    pub(crate) fn hints(&self, function: u32) -> &[(u32, bool)] {
        self.hints.get(&function).map_or(&[], Vec::as_slice)
    }
}

/// Hints are advice: a broken section counts as none.
fn read_hints(
    reader: wasmparser::BranchHintSectionReader<'_>,
) -> Result<BTreeMap<u32, Vec<(u32, bool)>>, wasmparser::Error> {
    let mut hints = BTreeMap::new();
    for function in reader {
        let function = function?;
        let list = function
            .hints
            .into_iter()
            .map(|hint| hint.map(|hint| (hint.func_offset, hint.taken)))
            .collect::<Result<Vec<_>, _>>()?;
        hints.insert(function.func, list);
    }
    Ok(hints)
}

/// Tells a construct that is not supported from bytes that are no module at all.
pub(crate) fn refine(error: Error, bytes: &[u8]) -> Error {
    let Error::Invalid { message, offset } = error else {
        return error;
    };
    let valid_elsewhere = Validator::new_with_features(WasmFeatures::all())
        .validate_all(bytes)
        .is_ok();
    if valid_elsewhere {
        Error::Unsupported {
            construct: format!("a construct of a refused proposal ({message})"),
            offset,
        }
    } else {
        Error::Invalid { message, offset }
    }
}
