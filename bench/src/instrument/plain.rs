//! A guest under plain Wasmtime: the engine settings and the system interface of a process, no bus stops.

use std::time::Duration;

use anyhow::{anyhow, bail};
use guests::Guest;
use leap_vm::wasi::{Collected, Outcome, Outside, Stream, Wasi, WasiOptions, WasiState};
use leap_vm::{EngineOptions, Exit};
use wasmtime::{Caller, Engine, Linker, Module, Store, Val};

use super::subject::thread_time;

pub(super) fn engine() -> anyhow::Result<Engine> {
    let config = EngineOptions::default().config();
    let engine = config.and_then(|config| Engine::new(&config));
    engine.map_err(|error| refused(&error))
}

pub(super) fn compile(engine: &Engine, wasm: &[u8]) -> anyhow::Result<Module> {
    Module::new(engine, wasm).map_err(|error| refused(&error))
}

/// The engine's errors are of a type of their own.
fn refused(error: &wasmtime::Error) -> anyhow::Error {
    anyhow!("{error:#}")
}

/// How long the guest ran, and what it printed.
pub(super) fn run(module: &Module, guest: &Guest) -> anyhow::Result<(Duration, String)> {
    let output = Collected::default();
    let mut store = Store::new(module.engine(), wasi(guest, &output)?);
    let start = linker(module)
        .and_then(|linker| linker.instantiate(&mut store, module))
        .and_then(|instance| instance.get_typed_func::<(), ()>(&mut store, "_start"))
        .map_err(|error| refused(&error))?;
    let started = thread_time();
    let result = start.call(&mut store, ());
    let time = thread_time() - started;
    match result {
        Ok(()) => {}
        Err(error) if matches!(error.downcast_ref(), Some(Exit(0))) => {}
        Err(error) => bail!("the plain guest failed: {error:#}"),
    }
    let printed = output.bytes(Stream::Output);
    Ok((time, String::from_utf8(printed)?))
}

/// The system interface for one run of a guest.
pub(super) fn wasi(guest: &Guest, output: &Collected) -> anyhow::Result<Wasi> {
    Ok(Wasi::new(state(guest), Outside::with_sink(output.clone()))?)
}

pub(super) fn state(guest: &Guest) -> WasiState {
    WasiState::new(&WasiOptions {
        arguments: guest.arguments.clone(),
        ..WasiOptions::default()
    })
}

fn linker(module: &Module) -> wasmtime::Result<Linker<Wasi>> {
    let mut linker = Linker::new(module.engine());
    for import in module.imports() {
        let Some(ty) = import.ty().func().cloned() else {
            continue;
        };
        let name = import.name().to_owned();
        linker.func_new(
            import.module(),
            import.name(),
            ty,
            move |caller, arguments, results| {
                let errno = call(caller, &name, arguments)?;
                if let Some(result) = results.first_mut() {
                    *result = Val::I32(errno.into());
                }
                Ok(())
            },
        )?;
    }
    Ok(linker)
}

fn call(mut caller: Caller<'_, Wasi>, name: &str, arguments: &[Val]) -> wasmtime::Result<u16> {
    let memory = caller
        .get_export("memory")
        .and_then(wasmtime::Extern::into_memory);
    let memory = memory.ok_or_else(|| wasmtime::Error::msg("a guest without memory"))?;
    let arguments: Vec<u64> = arguments
        .iter()
        .map(|argument| match argument {
            Val::I32(value) => value.cast_unsigned().into(),
            Val::I64(value) => value.cast_unsigned(),
            _ => 0,
        })
        .collect();
    let (bytes, wasi) = memory.data_and_store_mut(&mut caller);
    match wasi.call(name, &arguments, bytes) {
        Some(Outcome::Done(errno)) => Ok(errno),
        Some(Outcome::Exit(code)) => Err(Exit(code.cast_signed()).into()),
        Some(Outcome::Wait(_)) => Err(wasmtime::Error::msg("guests of the suite do not wait")),
        None => Err(wasmtime::Error::msg(format!("there is no function {name}"))),
    }
}
