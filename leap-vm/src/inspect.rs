//! An image for a person to read: the call stack with names and source lines, the locals, the
//! memories, the open files.
//!
//! Nothing of the program runs. Names come from the module's name section, lines from its DWARF, as
//! far as it has them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use addr2line::gimli;
use leap_instrument::{Options, StopMap, ValType, instrument};
use serde::Serialize;
use wasmparser::{KnownCustom, Name, NameSectionReader, Parser, Payload};

use crate::error::VmError;
use crate::image::{Chain, Compression};
use crate::program::ProgramError;
use crate::state::{FrameRecord, Reference, Stage, StopKind, Value};
use crate::wasi::{OpenFile, WasiState};

/// What is in an image.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// The file.
    pub image: ImageFacts,
    /// SHA-256 of the original module.
    pub module: String,
    /// The function that the process was started with.
    pub entry: String,
    /// Whether the module's start function was running, not yet the entry.
    pub is_starting: bool,
    /// The host function in which the process waits.
    pub waits_in: Option<String>,
    /// The activations, innermost first.
    pub frames: Vec<InspectedFrame>,
    /// The memories.
    pub memories: Vec<InspectedMemory>,
    /// The values of the globals.
    pub globals: Vec<String>,
    /// How many elements each table has.
    pub tables: Vec<usize>,
    /// The program's arguments.
    pub arguments: Vec<String>,
    /// Its environment.
    pub environment: Vec<String>,
    /// Its descriptors.
    pub open_files: Vec<OpenFile>,
}

/// What an image is as a file.
#[derive(Clone, Debug, Serialize)]
pub struct ImageFacts {
    /// Its name.
    pub id: String,
    /// How many images it takes to go on from it, itself included.
    pub chain: usize,
    /// Its length.
    pub file_bytes: u64,
    /// Pages in it.
    pub pages: u64,
    /// How many of them are different.
    pub different_pages: u64,
    /// Whether the pages are compressed.
    pub is_compressed: bool,
}

/// One activation.
#[derive(Clone, Debug, Serialize)]
pub struct InspectedFrame {
    /// Index of the function in the module.
    pub function: u32,
    /// Its name, if the module gives one.
    pub name: Option<String>,
    /// The stop at which it is, by its number in the function.
    pub stop: u32,
    /// The byte of the module at which that is.
    pub offset: u32,
    /// The places in the source, innermost first: more than one where functions were inlined.
    pub source: Vec<SourceLine>,
    /// Whether it is in a call that has not returned.
    pub is_in_call: bool,
    /// The locals that it still needs.
    pub locals: Vec<InspectedLocal>,
    /// The operands, outermost first.
    pub operands: Vec<String>,
}

/// A place in the source.
#[derive(Clone, Debug, Serialize)]
pub struct SourceLine {
    /// The function there.
    pub function: Option<String>,
    /// The file.
    pub file: String,
    /// The line, if it is known.
    pub line: Option<u32>,
}

/// A local of an activation.
#[derive(Clone, Debug, Serialize)]
pub struct InspectedLocal {
    /// Its index.
    pub index: u32,
    /// Its name, if the module gives one.
    pub name: Option<String>,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: &'static str,
    /// Its value.
    pub value: String,
}

/// A memory.
#[derive(Clone, Debug, Serialize)]
pub struct InspectedMemory {
    /// Its length.
    pub bytes: u64,
    /// Pages of it that are in the newest image.
    pub pages_in_image: u64,
}

/// Reads the newest image of `chain`, whose module is `module`.
///
/// # Errors
///
/// [`ProgramError::Image`] if the image is damaged or of another module;
/// [`ProgramError::Process`] if the module is none.
pub fn inspect(chain: &Chain, module: &[u8]) -> Result<Inspection, ProgramError> {
    let image = chain.newest();
    let captured = image.captured();
    let instrumented = instrument(module, &Options::default()).map_err(VmError::from)?;
    image.check_stops(&instrumented.stop_map)?;
    let system = WasiState::from_bytes(&image.system()?).ok_or(ProgramError::Malformed {
        what: "system state",
    })?;
    let symbols = Symbols::of(module);
    let frames = captured.frames.iter().rev();
    let memories = captured.memories.iter().zip(image.pages_by_memory());
    Ok(Inspection {
        image: ImageFacts {
            id: image.id().to_string(),
            chain: chain.images().len(),
            file_bytes: image.file_bytes(),
            pages: image.pages(),
            different_pages: image.different_pages(),
            is_compressed: image.compression() != Compression::None,
        },
        module: captured.module.to_string(),
        entry: captured.entry.name.clone(),
        is_starting: captured.stage == Stage::Start,
        waits_in: captured
            .host
            .as_ref()
            .map(|host| format!("{}.{}", host.module, host.name)),
        frames: frames
            .map(|frame| symbols.frame(frame, &instrumented.stop_map))
            .collect::<Result<_, _>>()?,
        memories: memories
            .map(|(shape, pages_in_image)| InspectedMemory {
                bytes: shape.pages.saturating_mul(shape.page_bytes),
                pages_in_image,
            })
            .collect(),
        globals: captured
            .globals
            .iter()
            .map(|&value| symbols.value(value))
            .collect(),
        tables: captured
            .tables
            .iter()
            .map(|table| table.elements.len())
            .collect(),
        arguments: system.arguments().to_vec(),
        environment: system.environment().to_vec(),
        open_files: system.open_files(),
    })
}

/// What a module says of itself.
struct Symbols<'a> {
    functions: BTreeMap<u32, &'a str>,
    locals: BTreeMap<(u32, u32), &'a str>,
    /// Where the code section's contents begin: DWARF counts from there.
    code_start: u64,
    lines: Option<Lines<'a>>,
}

/// The module's DWARF.
struct Lines<'a>(addr2line::Context<gimli::EndianSlice<'a, gimli::LittleEndian>>);

impl<'a> Symbols<'a> {
    /// What can be understood is taken; the rest is as if it were not there.
    fn of(module: &'a [u8]) -> Self {
        let mut symbols = Self {
            functions: BTreeMap::new(),
            locals: BTreeMap::new(),
            code_start: 0,
            lines: None,
        };
        let mut sections: BTreeMap<&str, &'a [u8]> = BTreeMap::new();
        for payload in Parser::new(0).parse_all(module).map_while(Result::ok) {
            match payload {
                Payload::CodeSectionStart { range, .. } => symbols.code_start = range.start as u64,
                Payload::CustomSection(section) => {
                    if let KnownCustom::Name(names) = section.as_known() {
                        symbols.read_names(names);
                    }
                    sections.insert(section.name(), section.data());
                }
                _ => {}
            }
        }
        symbols.lines = Lines::of(&sections);
        symbols
    }

    fn read_names(&mut self, names: NameSectionReader<'a>) {
        for name in names.into_iter().map_while(Result::ok) {
            match name {
                Name::Function(functions) => {
                    let functions = functions.into_iter().map_while(Result::ok);
                    self.functions
                        .extend(functions.map(|naming| (naming.index, naming.name)));
                }
                Name::Local(functions) => {
                    for function in functions.into_iter().map_while(Result::ok) {
                        let locals = function.names.into_iter().map_while(Result::ok);
                        let named = |naming: wasmparser::Naming<'a>| {
                            ((function.index, naming.index), naming.name)
                        };
                        self.locals.extend(locals.map(named));
                    }
                }
                _ => {}
            }
        }
    }

    fn frame(&self, frame: &FrameRecord, stops: &StopMap) -> Result<InspectedFrame, VmError> {
        let misfit = |what: &str| VmError::Misfit {
            what: what.to_owned(),
        };
        let stop = stops
            .stop(frame.function, frame.stop)
            .ok_or_else(|| misfit("a frame at an unknown stop"))?;
        let expected = stop.values().count();
        if frame.values.len() != expected {
            return Err(misfit("a frame with more or fewer values than its stop"));
        }
        let (_, values) = frame.values.split_at(stop.results.len());
        let (locals, operands) = values.split_at(stop.locals.len());
        let locals = stop.locals.iter().zip(locals);
        Ok(InspectedFrame {
            function: frame.function,
            name: self.name(frame.function),
            stop: frame.stop,
            offset: stop.offset,
            source: self.source(stop.offset),
            is_in_call: frame.kind == StopKind::InCall,
            locals: locals
                .map(|(&(index, ty), &value)| InspectedLocal {
                    index,
                    name: self
                        .locals
                        .get(&(frame.function, index))
                        .map(|name| (*name).to_owned()),
                    ty: type_name(ty),
                    value: self.value(value),
                })
                .collect(),
            operands: operands.iter().map(|&value| self.value(value)).collect(),
        })
    }

    fn name(&self, function: u32) -> Option<String> {
        self.functions.get(&function).map(|name| (*name).to_owned())
    }

    fn source(&self, offset: u32) -> Vec<SourceLine> {
        let address = u64::from(offset).checked_sub(self.code_start);
        let lines = self.lines.as_ref().zip(address);
        lines.map_or_else(Vec::new, |(lines, address)| lines.at(address))
    }

    fn value(&self, value: Value) -> String {
        match value {
            Value::I32(value) => value.to_string(),
            Value::I64(value) => value.to_string(),
            Value::F32(bits) => float(f32::from_bits(bits).into(), u64::from(bits)),
            Value::F64(bits) => float(f64::from_bits(bits), bits),
            Value::V128(bits) => format!("{bits:#034x}"),
            Value::Reference(Reference::Null) => "null".to_owned(),
            Value::Reference(Reference::Function(function)) => match self.name(function) {
                Some(name) => format!("function {name}"),
                None => format!("function {function}"),
            },
            Value::Reference(Reference::Exception(exception)) => format!("exception {exception}"),
        }
    }
}

impl<'a> Lines<'a> {
    fn of(sections: &BTreeMap<&str, &'a [u8]>) -> Option<Self> {
        let load = |id: gimli::SectionId| {
            let bytes = sections.get(id.name()).copied().unwrap_or_default();
            Ok::<_, gimli::Error>(gimli::EndianSlice::new(bytes, gimli::LittleEndian))
        };
        sections.get(".debug_info")?;
        let dwarf = gimli::Dwarf::load(load).ok()?;
        addr2line::Context::from_dwarf(dwarf).ok().map(Self)
    }

    /// The lines of the instruction at `address`. One that the compiler made up, such as the head
    /// of a loop, has none: then those of the next that has.
    fn at(&self, address: u64) -> Vec<SourceLine> {
        const NEAR_BYTES: u64 = 32;
        let has_line = |lines: &Vec<SourceLine>| lines.iter().any(|line| line.line.is_some());
        (address..address.saturating_add(NEAR_BYTES))
            .map(|near| self.exactly_at(near))
            .find(has_line)
            .unwrap_or_else(|| self.exactly_at(address))
    }

    fn exactly_at(&self, address: u64) -> Vec<SourceLine> {
        let mut lines = Vec::new();
        let Ok(mut frames) = self.0.find_frames(address).skip_all_loads() else {
            return lines;
        };
        while let Ok(Some(frame)) = frames.next() {
            let Some(location) = frame.location else {
                continue;
            };
            let function = frame.function.and_then(|function| {
                let name = function.raw_name().ok()?;
                Some(name.into_owned())
            });
            lines.push(SourceLine {
                function,
                file: location.file.unwrap_or("?").to_owned(),
                line: location.line,
            });
        }
        lines
    }
}

/// A number, and its bits where a number does not say all.
fn float(value: f64, bits: u64) -> String {
    let mut text = value.to_string();
    if value.is_nan() {
        let _ = write!(text, " ({bits:#x})");
    }
    text
}

fn type_name(ty: ValType) -> &'static str {
    match ty {
        ValType::I32 => "i32",
        ValType::I64 => "i64",
        ValType::F32 => "f32",
        ValType::F64 => "f64",
        ValType::V128 => "v128",
        ValType::FuncRef => "funcref",
        ValType::ExternRef => "externref",
        ValType::ExnRef => "exnref",
    }
}
