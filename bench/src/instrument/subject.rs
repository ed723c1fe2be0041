//! One guest, compiled each way and run each way.

use std::time::Duration;

use anyhow::ensure;
use guests::Guest;
use leap_instrument::Options;
use leap_memory::Tracking;
use leap_vm::wasi::{Collected, Outside, Stream};
use leap_vm::{Engine, EngineOptions, Entry, Module, Outcome, Process, Program, ProgramEngine};

use super::plain;

/// How often a guest is compiled each way; the shortest time counts.
const COMPILATIONS: u32 = 3;

/// One engine for each way to run.
pub(super) struct Engines {
    plain: wasmtime::Engine,
    process: Engine,
    program: ProgramEngine,
}

impl Engines {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            plain: plain::engine()?,
            process: Engine::new(EngineOptions::default())?,
            program: ProgramEngine::new(EngineOptions::default(), Tracking::default())?,
        })
    }
}

/// A guest, compiled each way.
pub(super) struct Subject<'a> {
    guest: &'a Guest,
    plain: wasmtime::Module,
    process: Module,
    program: Module,
    program_engine: &'a ProgramEngine,
    /// The instrumented module, as plain Wasmtime sees it.
    instrumented: Vec<u8>,
    instrumented_code_bytes: usize,
    plain_compile: Duration,
    process_compile: Duration,
}

impl<'a> Subject<'a> {
    pub(super) fn compile(engines: &'a Engines, guest: &'a Guest) -> anyhow::Result<Self> {
        let (mut plain_compile, mut process_compile) = (Duration::MAX, Duration::MAX);
        for _ in 0..COMPILATIONS {
            let started = thread_time();
            plain::compile(&engines.plain, &guest.wasm)?;
            plain_compile = plain_compile.min(thread_time() - started);
            let started = thread_time();
            engines.process.compile(&guest.wasm)?;
            process_compile = process_compile.min(thread_time() - started);
        }
        let instrumented = leap_instrument::instrument(&guest.wasm, &Options::default())?.module;
        let code = plain::compile(&engines.plain, &instrumented)?;
        Ok(Self {
            guest,
            plain: plain::compile(&engines.plain, &guest.wasm)?,
            process: engines.process.compile(&guest.wasm)?,
            program: engines.program.compile(&guest.wasm)?,
            program_engine: &engines.program,
            instrumented,
            instrumented_code_bytes: code_bytes(&code),
            plain_compile,
            process_compile,
        })
    }

    /// How much larger the engine's machine code became.
    pub(super) fn code_size(&self) -> f64 {
        self.instrumented_code_bytes as f64 / code_bytes(&self.plain) as f64
    }

    /// How much longer it takes to compile, instrumenting included.
    pub(super) fn compile_time(&self) -> f64 {
        self.process_compile.as_secs_f64() / self.plain_compile.as_secs_f64()
    }

    /// How much larger the module became.
    pub(super) fn wasm_size(&self) -> f64 {
        self.instrumented.len() as f64 / self.guest.wasm.len() as f64
    }

    pub(super) fn run_plain(&self) -> anyhow::Result<Duration> {
        let (time, printed) = plain::run(&self.plain, self.guest)?;
        self.check("plain", &printed)?;
        Ok(time)
    }

    /// Instrumented, on the engine's memories.
    pub(super) fn run_process(&self) -> anyhow::Result<Duration> {
        let output = Collected::default();
        let entry = Entry {
            name: "_start".to_owned(),
            arguments: Vec::new(),
        };
        let wasi = plain::wasi(self.guest, &output)?;
        let mut process = Process::start(&self.process, wasi, entry)?;
        let started = thread_time();
        let outcome = process.run()?;
        let time = thread_time() - started;
        self.check_ended("process", &outcome, &output)?;
        Ok(time)
    }

    /// Instrumented, on Leap's pages.
    pub(super) fn run_program(&self) -> anyhow::Result<Duration> {
        let output = Collected::default();
        let outside = Outside::with_sink(output.clone());
        let state = plain::state(self.guest);
        let mut program = Program::start(self.program_engine, &self.program, state, outside)?;
        let started = thread_time();
        let outcome = program.run()?;
        let time = thread_time() - started;
        self.check_ended("program", &outcome, &output)?;
        Ok(time)
    }

    fn check_ended(&self, way: &str, outcome: &Outcome, output: &Collected) -> anyhow::Result<()> {
        let is_well = matches!(outcome, Outcome::Returned(_) | Outcome::Exited(0));
        ensure!(is_well, "the guest as a {way} ended with {outcome:?}");
        self.check(way, &String::from_utf8(output.bytes(Stream::Output))?)
    }

    fn check(&self, way: &str, printed: &str) -> anyhow::Result<()> {
        let expected = &self.guest.output;
        ensure!(
            printed == expected,
            "as a {way}, the guest printed {printed:?}, not {expected:?}"
        );
        Ok(())
    }
}

/// Bytes of machine code of the functions: the text section itself is rounded to pages.
fn code_bytes(module: &wasmtime::Module) -> usize {
    module.functions().map(|function| function.len).sum()
}

/// Time that this thread has run: that of others on the machine does not count.
pub(super) fn thread_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}
