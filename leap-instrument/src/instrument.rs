//! From an original module to the instrumented one.

use std::collections::{BTreeMap, BTreeSet};

use wasm_encoder::{Encode as _, ExportKind, Module as Encoder, RawSection, SectionId};

use crate::abi::{CONTROL_MEMORY, Deed, Export, REFERENCE_TABLES};
use crate::body::{Body, Callee, Op};
use crate::capture_graph::{Calls, CaptureGraph};
use crate::decode::decode;
use crate::emit::Emitter;
use crate::error::Error;
use crate::function::Function;
use crate::hash::ModuleHash;
use crate::module::{Module, refine};
use crate::plan::{Plan, SaveBudget};
use crate::sections::Appended;
use crate::stop_map::{FunctionStops, StopMap};
use crate::target::Target;
use crate::types::ValType;

/// How to instrument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// About how many instructions a loop without calls runs between two polls.
    pub slice_instructions: u32,
    /// Size of the control memory in pages of 64 KiB: room for the records of the deepest stack.
    /// Pages that no record was written to take no memory, so all that can be addressed is not
    /// too much; what it suffices for is the host's to see to.
    pub control_pages: u32,
    /// Whether checks count [`control::COUNTDOWN`](crate::abi::control::COUNTDOWN) down and
    /// request a capture at zero. For tests that capture at each stop in turn.
    pub countdown: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            slice_instructions: 16_000,
            control_pages: 1 << 16,
            countdown: false,
        }
    }
}

/// What the VM runs instead of the original, and what it must know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instrumented {
    /// The instrumented module.
    pub module: Vec<u8>,
    /// Its stops.
    pub stop_map: StopMap,
    /// Where its code came from.
    pub origins: Origins,
}

/// For code offsets of the instrumented module, those of the original.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origins {
    /// From this offset of the instrumented module on, that one of the original; ascending.
    ranges: Vec<(u32, u32)>,
}

impl Origins {
    /// Where in the original the code at `offset` of the instrumented module came from. For code
    /// that was added it is somewhere behind the instruction before it.
    #[must_use]
    pub fn original(&self, offset: u32) -> Option<u32> {
        let after = self.ranges.partition_point(|&(new, _)| new <= offset);
        let (new, old) = self.ranges[..after].last()?;
        Some(old + (offset - new))
    }
}

/// Instruments a module: see the crate's documentation.
///
/// # Errors
///
/// [`Error::Invalid`], [`Error::Unsupported`], [`Error::ReservedName`], [`Error::TooLarge`].
pub fn instrument(module: &[u8], options: &Options) -> Result<Instrumented, Error> {
    Ok(Analysis::new(module, options)?.1)
}

/// What stays known of a module after it was instrumented: enough to make continuations.
pub struct Analysis {
    pub(crate) module: Module,
    pub(crate) graph: CaptureGraph,
    pub(crate) options: Options,
    pub(crate) reference_tables: Vec<ValType>,
    /// Places that the reference tables have from the start, and free whenever a program runs.
    reference_places: u64,
}

impl Analysis {
    /// Instruments a module and keeps what its continuations will need.
    ///
    /// # Errors
    ///
    /// Those of [`instrument`].
    pub fn new(bytes: &[u8], options: &Options) -> Result<(Self, Instrumented), Error> {
        let module = Module::parse(bytes)?;
        let bodies = decode_all(&module).map_err(|error| refine(error, bytes))?;
        let calls: Vec<Calls> = bodies.iter().map(Calls::of).collect();
        let graph = CaptureGraph::new(&module, &calls);
        let first = module.imported.functions;
        let mut budget = SaveBudget::new();
        let plans: Vec<Plan> = (first..)
            .zip(&bodies)
            .map(|(function, body)| Plan::new(&module, &graph, function, body, &mut budget))
            .collect::<Result<_, _>>()?;
        let analysis = Self {
            reference_tables: saved_reference_types(&bodies, &plans),
            reference_places: references_saved_in_place(&bodies, &plans),
            module,
            graph,
            options: options.clone(),
        };
        let instrumented = analysis.rewrite(&bodies, &plans);
        Ok((analysis, instrumented))
    }

    /// Names the original module.
    #[must_use]
    pub fn module_hash(&self) -> ModuleHash {
        self.module.hash
    }

    fn rewrite(&self, bodies: &[Body], plans: &[Plan]) -> Instrumented {
        let additions = Additions::find(self, bodies, plans);
        let mut target = Target::module(
            &self.module,
            &self.reference_tables,
            additions.dropped.clone(),
            (self.module.functions.len() + additions.deeds.len()) as u32,
        );
        let functions: Vec<Function> = bodies
            .iter()
            .zip(plans)
            .map(|(body, plan)| {
                let mut emitter =
                    Emitter::new(&self.module, body, plan, &self.options, &mut target);
                emitter.whole();
                let params = self.module.function_type(plan.function).params.len();
                Function::new(emitter.finish(), &body.locals[params..])
            })
            .collect();
        let (module, origins) = self.assemble(&additions, target, &functions);
        Instrumented {
            module,
            stop_map: self.stop_map(bodies, plans),
            origins,
        }
    }

    fn stop_map(&self, bodies: &[Body], plans: &[Plan]) -> StopMap {
        let functions = bodies
            .iter()
            .zip(plans)
            .filter(|(_, plan)| !plan.stops.is_empty())
            .map(|(body, plan)| FunctionStops::new(&self.module, body, plan))
            .collect();
        StopMap {
            module: self.module.hash,
            start: self.module.start,
            functions,
        }
    }
}

fn decode_all(module: &Module) -> Result<Vec<Body>, Error> {
    let first = module.imported.functions;
    (first..first + module.bodies.len() as u32)
        .map(|function| decode(module, function))
        .collect()
}

/// The types of reference that some stop saves.
fn saved_reference_types(bodies: &[Body], plans: &[Plan]) -> Vec<ValType> {
    let mut found = BTreeSet::new();
    for (body, plan) in bodies.iter().zip(plans) {
        for stop in &plan.stops {
            found.extend(
                stop.value_types(body)
                    .into_iter()
                    .filter(|ty| ty.is_reference()),
            );
        }
    }
    found.into_iter().collect()
}

/// How many references a stop that saves without a call saves at most: on its path no table can grow.
fn references_saved_in_place(bodies: &[Body], plans: &[Plan]) -> u64 {
    let counts = bodies.iter().zip(plans).flat_map(|(body, plan)| {
        let in_place = plan.stops.iter().filter(|stop| plan.saves_in_place(stop));
        in_place.map(|stop| {
            let types = stop.value_types(body).into_iter();
            types.filter(|ty| ty.is_reference()).count() as u64
        })
    });
    counts.max().unwrap_or(0)
}

/// What the instrumented module has and the original has not.
struct Additions {
    exports: Vec<Export>,
    /// The globals that tell of dropped segments, and their indices.
    dropped: BTreeMap<Export, u32>,
    deeds: Vec<Deed>,
}

impl Additions {
    fn find(analysis: &Analysis, bodies: &[Body], plans: &[Plan]) -> Self {
        let module = &analysis.module;
        let mut functions: BTreeSet<u32> = module.start.into_iter().collect();
        let referenced = module.referenced.iter().enumerate();
        functions.extend(
            referenced
                .filter(|(_, is)| **is)
                .map(|(index, _)| index as u32),
        );
        let mut drops = BTreeSet::new();
        let mut deeds = BTreeSet::new();
        for (body, plan) in bodies.iter().zip(plans) {
            let has_stops = !plan.stops.is_empty();
            for inst in &body.code {
                match inst.op {
                    Op::Deed(deed) => {
                        if has_stops {
                            deeds.insert(deed);
                        }
                        match deed {
                            // A host that rebuilds a process drops segments by these deeds.
                            Deed::DataDrop { data } => {
                                deeds.insert(deed);
                                drops.insert(Export::DroppedData(data));
                            }
                            Deed::ElementDrop { element } => {
                                deeds.insert(deed);
                                drops.insert(Export::DroppedElement(element));
                            }
                            Deed::RefFunc { function } => {
                                functions.insert(function);
                            }
                            Deed::MemoryInit { .. } | Deed::TableInit { .. } => {}
                        }
                    }
                    Op::Call {
                        callee: Callee::Function(function),
                        ..
                    }
                    | Op::TailCall {
                        callee: Callee::Function(function),
                        ..
                    } if has_stops => {
                        functions.insert(function);
                    }
                    _ => {}
                }
            }
        }
        let first = module.globals.len() as u32;
        let indices = |count: usize| 0..count as u32;
        let exports = functions
            .into_iter()
            .map(Export::Function)
            .chain(indices(module.tables.len()).map(Export::Table))
            .chain(indices(module.memories.len()).map(Export::Memory))
            .chain(indices(module.globals.len()).map(Export::Global))
            .chain(indices(module.tags.len()).map(Export::Tag))
            .collect();
        Self {
            exports,
            dropped: drops.into_iter().zip(first..).collect(),
            deeds: deeds.into_iter().collect(),
        }
    }
}

impl Analysis {
    /// Puts the instrumented module together, section by section.
    fn assemble(
        &self,
        additions: &Additions,
        mut target: Target,
        functions: &[Function],
    ) -> (Vec<u8>, Origins) {
        let module = &self.module;
        let first_deed = module.functions.len() as u32;
        let deed_types: Vec<u32> = additions
            .deeds
            .iter()
            .map(|deed| {
                let (params, results) = deed.signature(module);
                target.types.index(&params, &results)
            })
            .collect();
        let savers = target.savers();
        let saver_types: Vec<u32> = savers
            .iter()
            .map(|(_, saver)| target.types.index(&saver.params(), &[]))
            .collect();

        let mut added = BTreeMap::<u8, Appended>::new();
        let mut add = |id: SectionId, encode: &dyn Fn(&mut Vec<u8>)| {
            added
                .entry(id as u8)
                .or_insert_with(Appended::new)
                .add(encode);
        };
        for ty in target.types.added() {
            add(SectionId::Type, &|sink| encode_function_type(ty, sink));
        }
        for ty in deed_types.iter().chain(&saver_types) {
            add(SectionId::Function, &|sink| ty.encode(sink));
        }
        for &ty in &self.reference_tables {
            add(SectionId::Table, &|sink| {
                reference_table(ty, self.reference_places).encode(sink);
            });
        }
        add(SectionId::Memory, &|sink| {
            control_memory(&self.options).encode(sink);
        });
        for _ in &additions.dropped {
            add(SectionId::Global, &|sink| {
                wasm_encoder::GlobalType {
                    val_type: wasm_encoder::ValType::I32,
                    mutable: true,
                    shared: false,
                }
                .encode(sink);
                wasm_encoder::ConstExpr::i32_const(0).encode(sink);
            });
        }
        let savers_exported = savers
            .iter()
            .map(|&(index, saver)| (Export::Saver(saver).name(), ExportKind::Func, index));
        let exported = self.exported(additions, first_deed);
        for (name, kind, index) in exported.into_iter().chain(savers_exported) {
            add(SectionId::Export, &|sink| {
                name.as_str().encode(sink);
                kind.encode(sink);
                index.encode(sink);
            });
        }
        for deed in &additions.deeds {
            let dropped = match *deed {
                Deed::DataDrop { data } => target.dropped(Export::DroppedData(data)),
                Deed::ElementDrop { element } => target.dropped(Export::DroppedElement(element)),
                _ => None,
            };
            add(SectionId::Code, &|sink| {
                deed.function(module, dropped).encode(sink);
            });
        }
        for (_, saver) in savers {
            add(SectionId::Code, &|sink| {
                saver.function(&target).encode(sink);
            });
        }
        let mut out = Assembly::new(&module.bytes, functions, module.imported.functions);
        out.copy_with(&module.sections, &added);
        out.finish()
    }

    fn exported(&self, additions: &Additions, first_deed: u32) -> Vec<(String, ExportKind, u32)> {
        let module = &self.module;
        let mut exported = vec![(
            CONTROL_MEMORY.to_owned(),
            ExportKind::Memory,
            module.control_memory(),
        )];
        for (index, ty) in (module.tables.len() as u32..).zip(&self.reference_tables) {
            let name = REFERENCE_TABLES.iter().find(|(of, _)| of == ty);
            if let Some((_, name)) = name {
                exported.push(((*name).to_owned(), ExportKind::Table, index));
            }
        }
        exported.extend(additions.exports.iter().map(|&export| {
            let (kind, index) = match export {
                Export::Function(index) => (ExportKind::Func, index),
                Export::Table(index) => (ExportKind::Table, index),
                Export::Memory(index) => (ExportKind::Memory, index),
                Export::Global(index) => (ExportKind::Global, index),
                Export::Tag(index) => (ExportKind::Tag, index),
                Export::DroppedData(_)
                | Export::DroppedElement(_)
                | Export::Deed(_)
                | Export::Saver(_) => {
                    unreachable!("these have lists of their own")
                }
            };
            (export.name(), kind, index)
        }));
        let dropped = additions.dropped.iter();
        exported.extend(dropped.map(|(name, &index)| (name.name(), ExportKind::Global, index)));
        let deeds = (first_deed..).zip(&additions.deeds);
        exported.extend(
            deeds.map(|(index, &deed)| (Export::Deed(deed).name(), ExportKind::Func, index)),
        );
        exported
    }
}

pub(crate) fn encode_function_type(ty: &crate::types::FuncType, sink: &mut Vec<u8>) {
    let encoded = |types: &[ValType]| -> Vec<wasm_encoder::ValType> {
        types.iter().map(|ty| ty.encoded()).collect()
    };
    sink.push(0x60);
    encoded(&ty.params).as_slice().encode(sink);
    encoded(&ty.results).as_slice().encode(sink);
}

/// A table for saved references, with so many places at first. Whoever saves one makes it larger.
pub(crate) fn reference_table(ty: ValType, places: u64) -> wasm_encoder::TableType {
    let wasm_encoder::ValType::Ref(element_type) = ty.encoded() else {
        unreachable!("only references have tables");
    };
    wasm_encoder::TableType {
        element_type,
        table64: false,
        minimum: places,
        maximum: None,
        shared: false,
    }
}

/// Its size is fixed: no frame can grow it on a path that calls nothing.
pub(crate) fn control_memory(options: &Options) -> wasm_encoder::MemoryType {
    wasm_encoder::MemoryType {
        minimum: u64::from(options.control_pages),
        maximum: Some(u64::from(options.control_pages)),
        memory64: false,
        shared: false,
        page_size_log2: None,
    }
}

/// The instrumented module while it is written.
struct Assembly<'a> {
    original: &'a [u8],
    functions: &'a [Function],
    imported: u32,
    out: Encoder,
    origins: Vec<(u32, u32)>,
}

/// The order of the sections that are not custom, by id.
const ORDER: [SectionId; 13] = [
    SectionId::Type,
    SectionId::Import,
    SectionId::Function,
    SectionId::Table,
    SectionId::Memory,
    SectionId::Tag,
    SectionId::Global,
    SectionId::Export,
    SectionId::Start,
    SectionId::Element,
    SectionId::DataCount,
    SectionId::Code,
    SectionId::Data,
];

impl<'a> Assembly<'a> {
    fn new(original: &'a [u8], functions: &'a [Function], imported: u32) -> Self {
        Self {
            original,
            functions,
            imported,
            out: Encoder::new(),
            origins: Vec::new(),
        }
    }

    /// Copies the original's sections in their order, with the additions; a section that only
    /// exists by additions goes to its place among them.
    fn copy_with(
        &mut self,
        sections: &[(u8, std::ops::Range<usize>)],
        added: &BTreeMap<u8, Appended>,
    ) {
        let rank = |id: u8| ORDER.iter().position(|&known| known as u8 == id);
        let mut next = 0;
        for (id, range) in sections {
            if *id == SectionId::Custom as u8 {
                self.custom(range.clone());
                continue;
            }
            let Some(rank) = rank(*id) else { continue };
            for &missing in &ORDER[next..rank] {
                self.section(missing, None, added);
            }
            self.section(ORDER[rank], Some(range.clone()), added);
            next = rank + 1;
        }
        for &missing in &ORDER[next..] {
            self.section(missing, None, added);
        }
    }

    fn custom(&mut self, range: std::ops::Range<usize>) {
        let data = &self.original[range];
        // Offsets in the code have changed; the hints are written anew before the code.
        let is_hints = data.get(1..).is_some_and(|rest| {
            usize::from(data[0]) == HINTS.len() && rest.starts_with(HINTS.as_bytes())
        });
        if !is_hints {
            self.out.section(&RawSection {
                id: SectionId::Custom as u8,
                data,
            });
        }
    }

    fn section(
        &mut self,
        id: SectionId,
        original: Option<std::ops::Range<usize>>,
        added: &BTreeMap<u8, Appended>,
    ) {
        let original = original.map(|range| &self.original[range]);
        match id {
            // The host calls it, so that it can be captured too.
            SectionId::Start => {}
            SectionId::Code => self.code(added.get(&(id as u8))),
            _ => {
                let contents = match added.get(&(id as u8)) {
                    Some(added) => added.contents(original),
                    None => original.map(<[u8]>::to_vec),
                };
                if let Some(data) = contents {
                    let data = &data;
                    self.out.section(&RawSection { id: id as u8, data });
                }
            }
        }
    }

    fn code(&mut self, deeds: Option<&Appended>) {
        let hinted = self
            .functions
            .iter()
            .any(|function| !function.hints.is_empty());
        if hinted {
            let mut hints = wasm_encoder::BranchHints::new();
            for (index, function) in (self.imported..).zip(self.functions) {
                if !function.hints.is_empty() {
                    hints.function_hints(index, function.encoded_hints());
                }
            }
            self.out.section(&hints);
        }
        let mut bodies = Vec::new();
        let mut starts = Vec::with_capacity(self.functions.len());
        for function in self.functions {
            function.bytes.len().encode(&mut bodies);
            starts.push(bodies.len());
            bodies.extend_from_slice(&function.bytes);
        }
        let mut count = Vec::new();
        let own = Appended::new();
        let deeds = deeds.unwrap_or(&own);
        (self.functions.len() as u32 + deeds.count()).encode(&mut count);
        let total = deeds.count() as usize + self.functions.len();
        if total == 0 {
            return;
        }
        let mut data = count;
        let head = data.len();
        data.extend_from_slice(&bodies);
        data.extend_from_slice(deeds.items());
        self.out.section(&RawSection {
            id: SectionId::Code as u8,
            data: &data,
        });
        let section_start = self.out.as_slice().len() - data.len() + head;
        for (start, function) in starts.into_iter().zip(self.functions) {
            let start = (section_start + start) as u32;
            let origins = function.origins.iter();
            self.origins
                .extend(origins.map(|&(new, original)| (start + new, original)));
        }
    }

    fn finish(self) -> (Vec<u8>, Origins) {
        let origins = Origins {
            ranges: self.origins,
        };
        (self.out.finish(), origins)
    }
}

const HINTS: &str = "metadata.code.branch_hint";
