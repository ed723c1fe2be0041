//! What a program does, as far as anybody outside can tell.

use anyhow::{Result, ensure};
use leap_vm::{EngineOptions, Entry, Value};

/// The end of a run and what it left behind.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Observed {
    pub(crate) end: End,
    /// Nothing if there never was an instance.
    pub(crate) left: Option<Left>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Left {
    /// The exported memories, in the order of their export.
    pub(crate) memories: Vec<Vec<u8>>,
    /// The exported globals that hold numbers, in the order of their export.
    pub(crate) globals: Vec<(String, Value)>,
}

impl Observed {
    /// Fails, naming the difference, unless `other` is the same as far as this one was observed.
    pub(crate) fn ensure_same(&self, other: &Self, how: &str) -> Result<()> {
        ensure!(
            self.end == other.end,
            "{how}: {:?} instead of {:?}",
            other.end,
            self.end
        );
        let (Some(left), Some(other)) = (&self.left, &other.left) else {
            return Ok(());
        };
        ensure!(
            left.globals == other.globals,
            "{how}: globals {:?} instead of {:?}",
            other.globals,
            left.globals
        );
        for (index, (memory, other)) in left.memories.iter().zip(&other.memories).enumerate() {
            ensure!(
                memory == other,
                "{how}: memory {index} of {} instead of {} bytes differs at {:?}",
                other.len(),
                memory.len(),
                first_difference(memory, other)
            );
        }
        Ok(())
    }
}

fn first_difference(bytes: &[u8], others: &[u8]) -> Option<usize> {
    let mut both = bytes.iter().zip(others);
    both.position(|(byte, other)| byte != other)
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum End {
    Returned(Vec<Value>),
    /// The message.
    Trapped(String),
}

/// An engine with the settings of Leap's, for modules as they are.
pub(crate) fn plain_engine() -> Result<wasmtime::Engine> {
    let config = EngineOptions::default().config().map_err(refused)?;
    wasmtime::Engine::new(&config).map_err(refused)
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(error: wasmtime::Error) -> anyhow::Error {
    anyhow::anyhow!("{error:#}")
}

/// The call of a function that takes nothing.
pub(crate) fn call(name: &str) -> Entry {
    Entry {
        name: name.to_owned(),
        arguments: Vec::new(),
    }
}

/// Runs the original module from `entry`.
pub(crate) fn run_plain(engine: &wasmtime::Engine, wasm: &[u8], entry: &Entry) -> Result<Observed> {
    let module = wasmtime::Module::new(engine, wasm).map_err(refused)?;
    let mut store = wasmtime::Store::new(engine, ());
    let mut observed = Observed {
        end: End::Trapped(String::new()),
        left: None,
    };
    let instance = match wasmtime::Instance::new(&mut store, &module, &[]) {
        Ok(instance) => instance,
        Err(error) => {
            observed.end = End::Trapped(error.root_cause().to_string());
            return Ok(observed);
        }
    };
    let function = instance
        .get_func(&mut store, &entry.name)
        .ok_or_else(|| anyhow::anyhow!("no function {}", entry.name))?;
    let arguments: Vec<wasmtime::Val> = entry.arguments.iter().map(engine_value).collect();
    let mut results = vec![wasmtime::Val::I32(0); function.ty(&store).results().len()];
    observed.end = match function.call(&mut store, &arguments, &mut results) {
        Ok(()) => End::Returned(results.iter().filter_map(number).collect()),
        Err(error) => End::Trapped(error.root_cause().to_string()),
    };
    let mut left = Left::default();
    observe(&mut store, instance, &mut left);
    observed.left = Some(left);
    Ok(observed)
}

fn observe(store: &mut wasmtime::Store<()>, instance: wasmtime::Instance, into: &mut Left) {
    let exports: Vec<(String, wasmtime::Extern)> = instance
        .exports(&mut *store)
        .map(|export| (export.name().to_owned(), export.into_extern()))
        .collect();
    for (name, export) in exports {
        match export {
            wasmtime::Extern::Memory(memory) => into.memories.push(memory.data(&*store).to_vec()),
            wasmtime::Extern::Global(global) => {
                if let Some(value) = number(&global.get(&mut *store)) {
                    into.globals.push((name, value));
                }
            }
            _ => {}
        }
    }
}

/// An argument, which is a number.
fn engine_value(value: &Value) -> wasmtime::Val {
    match *value {
        Value::I32(value) => value.into(),
        Value::I64(value) => value.into(),
        Value::F32(bits) => wasmtime::Val::F32(bits),
        Value::F64(bits) => wasmtime::Val::F64(bits),
        Value::V128(bits) => wasmtime::Val::V128(bits.into()),
        Value::Reference(_) => panic!("no test passes references"),
    }
}

/// References mean nothing outside of their instance.
pub(crate) fn number(value: &wasmtime::Val) -> Option<Value> {
    Some(match value {
        wasmtime::Val::I32(value) => Value::I32(*value),
        wasmtime::Val::I64(value) => Value::I64(*value),
        wasmtime::Val::F32(bits) => Value::F32(*bits),
        wasmtime::Val::F64(bits) => Value::F64(*bits),
        wasmtime::Val::V128(value) => Value::V128(value.as_u128()),
        _ => return None,
    })
}
