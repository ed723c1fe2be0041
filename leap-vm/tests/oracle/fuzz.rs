//! Random modules, captured at random stops, moved at each.
//!
//! A few hundred in each run. A longer one tells how far it is, and ends at the first seed that fails:
//!
//! ```text
//! LEAP_FUZZ_MODULES=10000 cargo test -p leap-vm --test oracle random_modules -- --nocapture
//! LEAP_FUZZ_MODULES=1 LEAP_FUZZ_SEED=n LEAP_FUZZ_SAVE=n.wasm cargo test …    that seed alone, its module kept
//! ```

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use leap_vm::{Entry, Value};
use wasm_smith::{Config, Module};

use crate::observe::{End, plain_engine, run_plain};
use crate::vm::Engines;

const MODULES: u64 = 300;
/// Loop iterations and calls until a module traps. (Deep recursion must not meet the end of the
/// stack first: where that is depends on the back end.)
const FUEL: u32 = 120;

#[test]
fn random_modules_are_the_same_captured_at_random_stops() -> Result<()> {
    let first = number("LEAP_FUZZ_SEED").unwrap_or(0);
    let count = number("LEAP_FUZZ_MODULES").unwrap_or(MODULES);
    let plain = plain_engine()?;
    let engines = Engines::new()?;
    let mut seen = Seen::default();
    let mut progress = Progress::new();
    for seed in first..first + count {
        check(&plain, &engines, seed, &mut seen)
            .with_context(|| format!("LEAP_FUZZ_MODULES=1 LEAP_FUZZ_SEED={seed}"))?;
        progress.tell(seed, &seen);
    }
    progress.tell_end(&seen);
    ensure!(
        count < MODULES || seen.captures > count / 2,
        "too few captures to mean anything: {seen:?}"
    );
    Ok(())
}

/// What was exercised.
#[derive(Debug, Default)]
struct Seen {
    modules: u64,
    /// Functions that were called, each four times and more.
    functions: u64,
    traps: u64,
    polls: u64,
    /// As many moves from one back end to another.
    captures: u64,
}

/// Says now and then how far a long run is.
struct Progress {
    start: Instant,
    told: Instant,
}

impl Progress {
    const EVERY: Duration = Duration::from_secs(10);

    fn new() -> Self {
        let start = Instant::now();
        Self { start, told: start }
    }

    fn tell(&mut self, seed: u64, seen: &Seen) {
        if self.told.elapsed() >= Self::EVERY {
            self.told = Instant::now();
            eprintln!("up to seed {seed}: {}", self.line(seen));
        }
    }

    fn tell_end(&self, seen: &Seen) {
        eprintln!("no seed failed: {}", self.line(seen));
    }

    fn line(&self, seen: &Seen) -> String {
        let seconds = self.start.elapsed().as_secs_f64();
        format!("{seen:?}, {:.1} modules/s", seen.modules as f64 / seconds)
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn check(plain: &wasmtime::Engine, engines: &Engines, seed: u64, seen: &mut Seen) -> Result<()> {
    let mut random = Random(seed);
    let Some(wasm) = module(&mut random) else {
        return Ok(());
    };
    if let Ok(file) = std::env::var("LEAP_FUZZ_SAVE") {
        std::fs::write(file, &wasm)?;
    }
    seen.modules += 1;
    for entry in entries(&wasm, &mut random)? {
        let name = &entry.name;
        let expected = run_plain(plain, &wasm, &entry)?;
        if is_beyond_comparison(&expected.end) {
            continue;
        }
        let program = engines.compile(&wasm, &entry)?;
        let first = random.next() as usize;
        let whole = match program.run(first, []) {
            Ok(whole) => whole,
            Err(_) if expected.left.is_none() => continue,
            Err(error) => return Err(error.context(name.clone())),
        };
        expected.ensure_same(&whole.observed, &format!("{name}, instrumented"))?;
        seen.functions += 1;
        seen.traps += u64::from(matches!(expected.end, End::Trapped(_)));
        seen.polls += u64::from(whole.polls);
        for _ in 0..3 {
            let mean = 1 + random.next() % (1 + u64::from(whole.polls) / 2);
            let mut stops = Random(random.next());
            let stops = std::iter::repeat_with(move || 1 + (stops.next() % (2 * mean)) as u32);
            let run = program
                .run(random.next() as usize, stops)
                .with_context(|| name.clone())?;
            expected.ensure_same(&run.observed, &format!("{name}, moved"))?;
            seen.captures += u64::from(run.captures);
        }
    }
    Ok(())
}

/// Where the stack ends is no property of the module, nor is what the engine has room for.
fn is_beyond_comparison(end: &End) -> bool {
    let End::Trapped(message) = end else {
        return false;
    };
    message.contains("stack") || message.contains("memory limits") || message.contains("mmap")
}

fn module(random: &mut Random) -> Option<Vec<u8>> {
    let length = 1000 + random.next() % 6000;
    let bytes: Vec<u8> = std::iter::repeat_with(|| random.next() as u8)
        .take(length as usize)
        .collect();
    let mut input = arbitrary::Unstructured::new(&bytes);
    let mut config = Config {
        available_imports: None,
        max_imports: 0,
        allow_start_export: true,
        export_everything: true,
        gc_enabled: false,
        threads_enabled: false,
        wide_arithmetic_enabled: false,
        custom_page_sizes_enabled: false,
        custom_descriptors_enabled: false,
        shared_everything_threads_enabled: false,
        exceptions_enabled: true,
        tail_call_enabled: true,
        multi_value_enabled: true,
        reference_types_enabled: true,
        simd_enabled: true,
        relaxed_simd_enabled: true,
        memory64_enabled: random.next().is_multiple_of(4),
        max_memories: 3,
        max_tables: 3,
        min_funcs: 2,
        max_funcs: 12,
        max_memory32_bytes: 1 << 20,
        max_memory64_bytes: 1 << 20,
        max_table_elements: 1000,
        // Else one grows by gigabytes now and then, which are moved and compared for nothing.
        memory_max_size_required: true,
        table_max_size_required: true,
        max_instructions: 300,
        max_nesting_depth: 12,
        ..Config::default()
    };
    config.canonicalize_nans = false;
    let mut module = Module::new(config, &mut input).ok()?;
    module.ensure_termination(FUEL).ok()?;
    Some(module.to_bytes())
}

/// Calls of exported functions that take nothing but numbers.
fn entries(wasm: &[u8], random: &mut Random) -> Result<Vec<Entry>> {
    let engine = plain_engine()?;
    let module = wasmtime::Module::new(&engine, wasm).map_err(|e| anyhow::anyhow!("{e:#}"))?;
    let calls = module.exports().filter_map(|export| {
        let ty = export.ty();
        let parameters = ty.func()?.params();
        let arguments = parameters.map(|ty| argument(&ty, random));
        Some(Entry {
            name: export.name().to_owned(),
            arguments: arguments.collect::<Option<_>>()?,
        })
    });
    Ok(calls.take(4).collect())
}

/// A number of that type: small ones are as likely as any.
fn argument(ty: &wasmtime::ValType, random: &mut Random) -> Option<Value> {
    let bits = random.next() >> (random.next() % 64);
    Some(match ty {
        wasmtime::ValType::I32 => Value::I32(bits as i32),
        wasmtime::ValType::I64 => Value::I64(bits.cast_signed()),
        wasmtime::ValType::F32 => Value::F32(bits as u32),
        wasmtime::ValType::F64 => Value::F64(bits),
        wasmtime::ValType::V128 => Value::V128(u128::from(bits) << 64 | u128::from(random.next())),
        wasmtime::ValType::Ref(_) => return None,
    })
}

/// The generator `splitmix64`: the same seed, the same module, for ever.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
