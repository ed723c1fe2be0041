//! Images whose checksums are right and whose contents are not what a process could be: refused with a
//! reason, or, where they could be a state after all, run on; never a panic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use leap_instrument::{ModuleHash, Options, StopMap};
use leap_memory::{PAGE_BYTES, Tracking};
use leap_vm::image::{Chain, Compression, Contents, Image, MemoryPages, StopsDigest, write};
use leap_vm::wasi::{Collected, Outside, WasiOptions, WasiState};
use leap_vm::{
    BackEnd, Capture, Captured, Directories, EngineOptions, Exception, FrameRecord, HostFrame,
    MemoryShape, Module, Outcome, Pages, Program, ProgramEngine, ProgramError, Reference, Stage,
    StopKind, Surroundings, TableState, Value,
};

use crate::{on_thread, on_thread_within};

/// Hostile images in each run; `LEAP_HOSTILE_IMAGES=n` tries more, and `LEAP_HOSTILE_SEED=n` begins elsewhere.
const IMAGES: u64 = 1500;

/// A process with one of everything, stopped while it waits.
struct Victim {
    engine: ProgramEngine,
    module: Module,
    wasm: Vec<u8>,
    stops: StopMap,
    capture: Capture,
    captured: Captured,
    system: Vec<u8>,
}

impl Victim {
    fn new() -> Result<Self> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wasi/everything.wat");
        let wasm = wat::parse_file(source)?;
        let options = EngineOptions {
            // It compiles continuations at once.
            back_end: BackEnd::Quick,
            instrument: Options {
                countdown: true,
                ..Options::default()
            },
            ..EngineOptions::default()
        };
        let engine = ProgramEngine::new(options, Tracking::Auto)?;
        let module = engine.compile(&wasm)?;
        let state = WasiState::new(&WasiOptions {
            arguments: vec!["everything".into(), "else".into()],
            environment: vec![("A".into(), "b".into())],
            memory_directories: vec!["/".into()],
            random_seed: Some(1),
            ..WasiOptions::default()
        });
        let mut program = Program::start(&engine, &module, state, outside())?;
        program.process().stop_after(u32::MAX);
        // Asked before it runs, it stops when it waits for the first time, for there is no check
        // before.
        program.capture_handle().request();
        let stopped = on_thread(&engine, &mut program)?;
        ensure!(matches!(stopped, Outcome::Stopped), "{stopped:?}");
        ensure!(program.process().capture()?.host.is_some());
        let capture = program.capture(Pages::Whole)?;
        let mut file = tempfile::tempfile()?;
        write(&mut file, &capture.contents(None, None), Compression::None)?;
        let image = Image::read(file)?;
        Ok(Self {
            stops: module.stop_map().clone(),
            captured: image.captured().clone(),
            system: image.system()?,
            engine,
            module,
            wasm,
            capture,
        })
    }

    /// What is made of an image with this in it: how a run on from it ended, or why there is none.
    fn fate(&self, hostile: &Hostile) -> Result<std::result::Result<Outcome, ProgramError>> {
        let whole = self.capture.contents(None, None);
        let memories = whole.memories.iter().zip(&hostile.memories);
        let contents = Contents {
            captured: &hostile.captured,
            stops: StopsDigest::of(&self.stops),
            system: &hostile.system,
            module: Some(&self.wasm),
            memories: memories
                .map(|(sound, hostile)| hostile.pages(sound))
                .collect(),
            base: None,
        };
        let mut file = tempfile::tempfile()?;
        write(&mut file, &contents, Compression::None)?;
        let restored = Image::read(file)
            .and_then(Chain::of)
            .map_err(ProgramError::from)
            .and_then(|chain| {
                let surroundings = Surroundings {
                    outside: outside(),
                    directories: Directories::Granted(Vec::new()),
                    verify: true,
                };
                Program::restore(&self.engine, &self.module, &chain, surroundings)
            });
        let mut program = match restored {
            Ok(program) => program,
            Err(refused) => return Ok(Err(refused)),
        };
        program.process().stop_after(3000);
        let outcome = on_thread_within(&self.engine, &mut program, Duration::from_millis(3))?;
        if matches!(outcome, Outcome::Stopped) {
            // A state that the process came to by itself can be captured, whatever it was before.
            program.capture(Pages::Changes)?;
        }
        Ok(Ok(outcome))
    }
}

fn outside() -> Outside {
    Outside::with_sink(Collected::default())
}

/// What a hostile image holds.
#[derive(Clone)]
struct Hostile {
    captured: Captured,
    system: Vec<u8>,
    memories: Vec<HostileMemory>,
}

/// How the pages of a memory are not as they were.
#[derive(Clone, Default)]
struct HostileMemory {
    length_bytes: Option<u64>,
    /// The first of its pages has this number.
    first_page: Option<u64>,
    zeroed: Option<(u64, u64)>,
}

impl HostileMemory {
    fn pages<'a>(&self, sound: &MemoryPages<'a>) -> MemoryPages<'a> {
        let mut pages = sound.pages.clone();
        if let (Some(number), Some(first)) = (self.first_page, pages.first_mut()) {
            first.0 = number;
        }
        MemoryPages {
            length_bytes: self.length_bytes.unwrap_or(sound.length_bytes),
            pages,
            zeroed: match self.zeroed {
                Some((start, end)) => std::iter::once(start..end).collect(),
                None => sound.zeroed.clone(),
            },
        }
    }
}

#[test]
fn hostile_images_are_refused_or_run_on() -> Result<()> {
    let victim = Victim::new()?;
    let sound = Hostile {
        captured: victim.captured.clone(),
        system: victim.system.clone(),
        memories: vec![HostileMemory::default(); victim.captured.memories.len()],
    };
    ensure!(sound.captured.host.is_some() && sound.captured.exceptions.len() > 3);
    ensure!(sound.captured.frames.len() > 4 && sound.captured.tables.len() == 2);
    let fate = victim.fate(&sound)?;
    ensure!(fate.is_ok(), "the sound image: {fate:?}");

    let first = number("LEAP_HOSTILE_SEED").unwrap_or(0);
    let count = number("LEAP_HOSTILE_IMAGES").unwrap_or(IMAGES);
    let (mut refused, mut run) = (0, 0);
    for seed in first..first + count {
        let mut hostile = sound.clone();
        let mut random = Random(seed);
        let changes: Vec<&str> = (0..1 + random.below(3))
            .map(|_| change(&mut hostile, &mut random))
            .collect();
        let fate = catch_unwind(AssertUnwindSafe(|| victim.fate(&hostile)));
        let Ok(fate) = fate else {
            anyhow::bail!(
                "LEAP_HOSTILE_SEED={seed} LEAP_HOSTILE_IMAGES=1: panic after {changes:?}"
            );
        };
        let fate = fate.with_context(|| format!("LEAP_HOSTILE_SEED={seed}: {changes:?}"))?;
        match fate {
            Ok(_) => run += 1,
            Err(_) => refused += 1,
        }
    }
    eprintln!("{refused} refused, {run} run on");
    ensure!(count < IMAGES || (refused > count / 4 && run > count / 20));
    Ok(())
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Changes something, and says what.
fn change(hostile: &mut Hostile, random: &mut Random) -> &'static str {
    let captured = &mut hostile.captured;
    match random.below(12) {
        0..4 => change_frames(&mut captured.frames, random),
        4 => change_host(captured, random),
        5 => {
            change_memory(captured, &mut hostile.memories, random);
            "a memory"
        }
        6 => {
            change_values(&mut captured.globals, random);
            "a global"
        }
        7 => {
            change_tables(&mut captured.tables, random);
            "a table"
        }
        8 => {
            let dropped = match random.below(2) {
                0 => &mut captured.dropped_data,
                _ => &mut captured.dropped_elements,
            };
            match random.below(2) {
                0 => dropped.clear(),
                _ => dropped.push(random.index()),
            }
            "dropped segments"
        }
        9 => {
            change_exceptions(&mut captured.exceptions, random);
            "an exception"
        }
        10 => change_life(captured, random),
        _ => {
            let at = random.below(hostile.system.len() as u64) as usize;
            match random.below(3) {
                0 => hostile.system.truncate(at),
                1 => hostile.system.insert(at, random.next() as u8),
                _ => hostile.system[at] ^= 1 << random.below(8),
            }
            "the system's state"
        }
    }
}

fn change_frames(frames: &mut Vec<FrameRecord>, random: &mut Random) -> &'static str {
    if frames.is_empty() {
        return "no frames";
    }
    let at = random.below(frames.len() as u64) as usize;
    match random.below(8) {
        0 => frames[at].function = random.index(),
        1 => frames[at].stop = random.index(),
        2 => {
            frames[at].kind = match frames[at].kind {
                StopKind::After => StopKind::InCall,
                StopKind::InCall => StopKind::After,
            }
        }
        3 => drop(frames.remove(at)),
        4 => frames.insert(at, frames[at].clone()),
        5 => {
            let other = random.below(frames.len() as u64) as usize;
            frames.swap(at, other);
        }
        6 => {
            let repeated: Vec<_> = std::iter::repeat_n(frames[at].clone(), 2000).collect();
            frames.splice(at..at, repeated);
        }
        _ => change_values(&mut frames[at].values, random),
    }
    "a frame"
}

fn change_host(captured: &mut Captured, random: &mut Random) -> &'static str {
    match (&mut captured.host, random.below(4)) {
        (host @ Some(_), 0) => *host = None,
        (Some(host), 1) => host.name = "fd_read".to_owned(),
        (Some(host), 2) => {
            host.state = (0..random.below(40)).map(|_| random.next() as u8).collect();
        }
        (Some(host), _) => {
            let at = random.below(host.state.len().max(1) as u64) as usize;
            if let Some(byte) = host.state.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        (host @ None, _) => {
            *host = Some(HostFrame {
                module: "wasi_snapshot_preview1".to_owned(),
                name: "proc_exit".to_owned(),
                state: vec![random.next() as u8; 8],
            });
        }
    }
    "the host frame"
}

/// Pages, sizes and lengths that agree with each other are worse than those that do not.
fn change_memory(captured: &mut Captured, memories: &mut [HostileMemory], random: &mut Random) {
    let Some(shape) = captured.memories.first_mut() else {
        return;
    };
    match random.below(6) {
        0 => shape.pages = random.size(),
        1 => shape.page_bytes = random.size(),
        2 => {
            shape.pages = random.size() >> 16;
            memories[0].length_bytes = Some(shape.pages.wrapping_mul(shape.page_bytes));
        }
        3 => memories[0].first_page = Some(random.size()),
        4 => {
            let start = random.size() / PAGE_BYTES as u64;
            memories[0].zeroed = Some((start, start.saturating_add(random.below(1 << 20))));
        }
        _ => captured.memories.push(MemoryShape {
            pages: 1,
            page_bytes: 65536,
        }),
    }
}

fn change_tables(tables: &mut Vec<TableState>, random: &mut Random) {
    let at = random.below(tables.len().max(1) as u64) as usize;
    match (tables.get_mut(at), random.below(4)) {
        (Some(table), 0) => table
            .elements
            .resize(random.below(100_000) as usize, Reference::Null),
        (Some(table), 1) => table.elements.push(random.reference()),
        (Some(table), 2) => {
            if let Some(element) = table.elements.first_mut() {
                *element = random.reference();
            }
        }
        _ => tables.push(TableState {
            elements: vec![random.reference()],
        }),
    }
}

fn change_exceptions(exceptions: &mut Vec<Exception>, random: &mut Random) {
    let at = random.below(exceptions.len().max(1) as u64) as usize;
    match (exceptions.get_mut(at), random.below(4)) {
        (Some(exception), 0) => exception.tag = random.index(),
        (Some(exception), 1) => change_values(&mut exception.fields, random),
        (Some(_), 2) => drop(exceptions.remove(at)),
        _ => exceptions.push(Exception {
            tag: random.index(),
            fields: vec![random.value()],
        }),
    }
}

fn change_life(captured: &mut Captured, random: &mut Random) -> &'static str {
    match random.below(4) {
        0 => captured.stage = Stage::Start,
        1 => {
            captured.entry.name =
                ["", "memory", "leap:f3", "leap:control"][random.below(4) as usize].into();
        }
        2 => captured.entry.arguments.push(random.value()),
        _ => captured.module = ModuleHash::of(b"another"),
    }
    "the entry"
}

fn change_values(values: &mut Vec<Value>, random: &mut Random) {
    let at = random.below(values.len().max(1) as u64) as usize;
    match (values.get_mut(at), random.below(6)) {
        (Some(_), 0) => drop(values.remove(at)),
        (_, 1) => values.push(random.value()),
        (Some(value), 2) => *value = random.value(),
        // Of the same type: such a state can be.
        (Some(value), _) => {
            *value = match *value {
                Value::I32(_) => Value::I32(random.next() as i32),
                Value::I64(_) => Value::I64(random.next().cast_signed()),
                Value::F32(_) => Value::F32(random.next() as u32),
                Value::F64(_) => Value::F64(random.next()),
                Value::V128(_) => Value::V128(random.next().into()),
                Value::Reference(_) => Value::Reference(random.reference()),
            }
        }
        (None, _) => {}
    }
}

/// The generator `splitmix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Mostly one that there is.
    fn index(&mut self) -> u32 {
        match self.below(4) {
            0 => self.next() as u32,
            _ => self.below(12) as u32,
        }
    }

    /// Of any magnitude.
    fn size(&mut self) -> u64 {
        let shift = self.below(64);
        self.next() >> shift
    }

    fn reference(&mut self) -> Reference {
        match self.below(3) {
            0 => Reference::Null,
            1 => Reference::Function(self.index()),
            _ => Reference::Exception(self.index()),
        }
    }

    fn value(&mut self) -> Value {
        match self.below(6) {
            0 => Value::I32(self.next() as i32),
            1 => Value::I64(self.next().cast_signed()),
            2 => Value::F32(self.next() as u32),
            3 => Value::F64(self.next()),
            4 => Value::V128(self.next().into()),
            _ => Value::Reference(self.reference()),
        }
    }
}
