//! Random modules, captured at random stops, moved at each.
//!
//! A few hundred in each run. `LEAP_FUZZ_MODULES=10000` tries more, `LEAP_FUZZ_SEED=n` begins at
//! another seed. A failure names its seed; with `LEAP_FUZZ_MODULES=1` that one runs alone, and
//! `LEAP_FUZZ_SAVE=file` keeps its module.

use anyhow::{Context as _, Result, ensure};
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
    for seed in first..first + count {
        check(&plain, &engines, seed, &mut seen).with_context(|| format!("seed {seed}"))?;
    }
    eprintln!("{seen:?}");
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
    runs: u64,
    traps: u64,
    polls: u64,
    captures: u64,
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
    for entry in entries(&wasm)? {
        let expected = run_plain(plain, &wasm, &entry)?;
        if is_beyond_comparison(&expected.end) {
            continue;
        }
        let program = engines.compile(&wasm, &entry)?;
        let first = random.next() as usize;
        let whole = match program.run(first, []) {
            Ok(whole) => whole,
            Err(_) if expected.left.is_none() => continue,
            Err(error) => return Err(error.context(entry)),
        };
        expected.ensure_same(&whole.observed, &format!("{entry}, instrumented"))?;
        seen.runs += 1;
        seen.traps += u64::from(matches!(expected.end, End::Trapped(_)));
        seen.polls += u64::from(whole.polls);
        for _ in 0..3 {
            let mean = 1 + random.next() % (1 + u64::from(whole.polls) / 2);
            let mut stops = Random(random.next());
            let stops = std::iter::repeat_with(move || 1 + (stops.next() % (2 * mean)) as u32);
            let run = program
                .run(random.next() as usize, stops)
                .with_context(|| entry.clone())?;
            expected.ensure_same(&run.observed, &format!("{entry}, moved"))?;
            seen.captures += u64::from(run.captures);
        }
    }
    Ok(())
}

/// Where the stack ends is no property of the module.
fn is_beyond_comparison(end: &End) -> bool {
    matches!(end, End::Trapped(message) if message.contains("stack") || message.contains("memory"))
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
        max_instructions: 300,
        max_nesting_depth: 12,
        ..Config::default()
    };
    config.canonicalize_nans = false;
    let mut module = Module::new(config, &mut input).ok()?;
    module.ensure_termination(FUEL).ok()?;
    Some(module.to_bytes())
}

/// The exported functions that take nothing.
fn entries(wasm: &[u8]) -> Result<Vec<String>> {
    let engine = plain_engine()?;
    let module = wasmtime::Module::new(&engine, wasm).map_err(|e| anyhow::anyhow!("{e:#}"))?;
    Ok(module
        .exports()
        .filter(|export| export.ty().func().is_some_and(|ty| ty.params().len() == 0))
        .map(|export| export.name().to_owned())
        .take(4)
        .collect())
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
