//! Instrumented against plain: run time, compile time, code size, for WASI programs.
//!
//! ```text
//! cargo run --release -p leap-vm --example ratio -- 7 a.wasm b.wasm
//! ```
//!
//! Runs are interleaved, and the fastest of each counts. The programs get just enough of a
//! system to print and to end.

#![allow(clippy::print_stdout, reason = "it prints a table")]

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use leap_instrument::{Options, instrument};
use wasmtime::{Caller, Config, Engine, Extern, ExternType, Linker, Module, Store, Val};

/// What WASI calls a bad file descriptor.
const EBADF: i32 = 8;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let runs: u32 = arguments.next().context("how many runs")?.parse()?;
    println!(
        "{:14} {:>9} {:>9} {:>6} {:>6} {:>8} {:>6}",
        "program", "plain", "leap", "time", "code", "compile", "wasm"
    );
    let mut product = 0.0;
    let mut count = 0.0;
    for path in arguments {
        let wasm = std::fs::read(&path)?;
        let name = path.rsplit('/').next().unwrap_or(&path).to_owned();
        let compared = Compared::of(&wasm, runs).with_context(|| path)?;
        println!("{name:14} {compared}");
        product += compared.time().ln();
        count += 1.0;
    }
    println!("geometric mean {:.3}", f64::exp(product / count));
    Ok(())
}

struct Compared {
    plain: Side,
    leap: Side,
}

struct Side {
    module: Module,
    compile: Duration,
    run: Duration,
    bytes: usize,
}

impl Compared {
    fn of(wasm: &[u8], runs: u32) -> Result<Self> {
        let mut config = Config::new();
        config
            .wasm_exceptions(true)
            .wasm_branch_hinting(true)
            .cranelift_nan_canonicalization(true)
            .memory_init_cow(false);
        let engine = Engine::new(&config).map_err(refused)?;
        let started = Instant::now();
        let instrumented = instrument(wasm, &Options::default())?.module;
        let instrumenting = started.elapsed();
        if let Ok(file) = std::env::var("LEAP_SAVE") {
            std::fs::write(&file, &instrumented)?;
            let text = |wasm: &[u8]| Module::new(&engine, wasm).map_err(refused);
            std::fs::write(format!("{file}.plain"), text(wasm)?.text())?;
            std::fs::write(format!("{file}.leap"), text(&instrumented)?.text())?;
        }
        let mut compared = Self {
            plain: Side::new(&engine, wasm)?,
            leap: Side::new(&engine, &instrumented)?,
        };
        compared.leap.compile += instrumenting;
        for _ in 0..runs {
            compared.plain.run_once(&engine)?;
            compared.leap.run_once(&engine)?;
        }
        Ok(compared)
    }

    fn time(&self) -> f64 {
        self.leap.run.as_secs_f64() / self.plain.run.as_secs_f64()
    }
}

impl std::fmt::Display for Compared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (plain, leap) = (&self.plain, &self.leap);
        write!(
            f,
            "{:7.1}ms {:7.1}ms {:6.3} {:6.2} {:8.2} {:6.2}",
            plain.run.as_secs_f64() * 1e3,
            leap.run.as_secs_f64() * 1e3,
            self.time(),
            leap.module.text().len() as f64 / plain.module.text().len() as f64,
            leap.compile.as_secs_f64() / plain.compile.as_secs_f64(),
            leap.bytes as f64 / plain.bytes as f64,
        )
    }
}

impl Side {
    fn new(engine: &Engine, wasm: &[u8]) -> Result<Self> {
        let started = Instant::now();
        let module = Module::new(engine, wasm).map_err(refused)?;
        Ok(Self {
            module,
            compile: started.elapsed(),
            run: Duration::MAX,
            bytes: wasm.len(),
        })
    }

    fn run_once(&mut self, engine: &Engine) -> Result<()> {
        let module = "wasi_snapshot_preview1";
        let mut store = Store::new(engine, -1);
        let mut linker = Linker::<i32>::new(engine);
        for import in self.module.imports() {
            if let ExternType::Func(ty) = import.ty() {
                // There is nothing to be had; what has no arguments or environment says so.
                let is_empty = ["args_", "environ_", "clock_"]
                    .iter()
                    .any(|known| import.name().starts_with(known));
                let answer = if is_empty { 0 } else { EBADF };
                linker
                    .func_new(import.module(), import.name(), ty, move |_, _, results| {
                        results.fill(Val::I32(answer));
                        Ok(())
                    })
                    .map_err(refused)?;
            }
        }
        linker.allow_shadowing(true);
        linker
            .func_wrap(module, "fd_write", write)
            .and_then(|linker| linker.func_wrap(module, "proc_exit", exit))
            .map_err(refused)?;
        let instance = linker
            .instantiate(&mut store, &self.module)
            .map_err(refused)?;
        let start = instance
            .get_typed_func::<(), ()>(&mut store, "_start")
            .map_err(refused)?;
        let started = thread_time();
        let result = start.call(&mut store, ());
        self.run = self.run.min(thread_time() - started);
        match result {
            Err(error) if *store.data() != 0 => Err(refused(error)),
            _ => Ok(()),
        }
    }
}

/// Time that this thread has run: others on the machine count less.
fn thread_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}

/// Swallows what is written.
fn write(mut caller: Caller<'_, i32>, _: i32, vectors: i32, count: i32, written: i32) -> i32 {
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        return 8;
    };
    let bytes = memory.data_mut(&mut caller);
    let word = |bytes: &[u8], at: i32| {
        let at = at as usize;
        bytes.get(at..at + 4).map_or(0, |word| {
            i32::from_le_bytes([word[0], word[1], word[2], word[3]])
        })
    };
    let total: i32 = (0..count).map(|i| word(bytes, vectors + 8 * i + 4)).sum();
    let at = written as usize;
    bytes[at..at + 4].copy_from_slice(&total.to_le_bytes());
    0
}

fn exit(mut caller: Caller<'_, i32>, code: i32) -> wasmtime::Result<()> {
    *caller.data_mut() = code;
    Err(wasmtime::Error::msg(format!("exit {code}")))
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(error: wasmtime::Error) -> anyhow::Error {
    anyhow::anyhow!("{error:#}")
}
