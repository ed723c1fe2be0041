//! The glue to the engine: the 46 functions as imports of a guest. Nothing else of the system
//! interface knows that there is an engine.

#![allow(
    unsafe_code,
    reason = "arguments come as the engine keeps them: one function serves all signatures"
)]

use std::mem::MaybeUninit;

use wasmtime::{AsContextMut, Caller, FuncType, Linker, Result, ValRaw, ValType};

use super::abi::{Function, MODULE, Type};
use super::{Outcome, Wait, Wasi};

/// The most parameters that a function has.
const PARAMETERS_AT_MOST: usize = 9;

/// The guest has ended itself by `proc_exit`: how its stack is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the guest exits with code {0}")]
pub struct Exit(pub u32);

/// What the data of a store must offer, so that its guest can have the system interface.
pub(crate) trait Wired: Sized + 'static {
    /// The guest's memory and its system interface. None before the guest has a memory.
    fn parts<'a>(
        store: &'a mut impl AsContextMut<Data = Self>,
    ) -> Option<(&'a mut [u8], &'a mut Wasi)>;

    /// Waits as `wait` says, unless the process is to be captured: then it keeps `wait` as the
    /// state of the host frame `name` and sets the flag that has the guest unwind.
    fn wait(
        store: &mut impl AsContextMut<Data = Self>,
        name: &'static str,
        wait: &Wait,
    ) -> Result<Waited>;
}

/// How a wait has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// It is time to see whether the call can go on.
    Enough,
    /// The process is being captured: the call returns anything.
    Captured,
}

/// Defines all functions in `linker`.
pub(crate) fn define<T: Wired>(linker: &mut Linker<T>) -> Result<()> {
    for &function in Function::ALL {
        let engine = linker.engine().clone();
        let parameters = function
            .parameters()
            .iter()
            .map(|parameter| match parameter {
                Type::I32 => ValType::I32,
                Type::I64 => ValType::I64,
            });
        let results = (function != Function::ProcExit).then_some(ValType::I32);
        let ty = FuncType::new(&engine, parameters, results);
        let call = move |mut caller: Caller<'_, T>, values: &mut [MaybeUninit<ValRaw>]| {
            // SAFETY: the engine calls with as many initialised values as `ty` has parameters,
            // of those types. (Every test guest passes arguments of both types.)
            let arguments = unsafe { arguments(function, values) };
            let arguments = &arguments[..function.parameters().len()];
            let errno = call(&mut caller, function, arguments)?;
            if let Some(result) = values.first_mut() {
                result.write(ValRaw::u32(errno.into()));
            }
            Ok(())
        };
        // SAFETY: `call` reads no more than the parameters of `ty`, and writes one `i32` where
        // `ty` has that result. (`proc_exit`, which has none, never comes that far; `sched_yield`
        // has no parameter and the engine gives room for its result.)
        unsafe { linker.func_new_unchecked(MODULE, function.name(), ty, call) }?;
    }
    Ok(())
}

/// # Safety
/// `values` must begin with initialised values of the types of the function's parameters.
unsafe fn arguments(
    function: Function,
    values: &[MaybeUninit<ValRaw>],
) -> [u64; PARAMETERS_AT_MOST] {
    let mut arguments = [0; PARAMETERS_AT_MOST];
    let parameters = function.parameters().iter().zip(values);
    for (argument, (parameter, value)) in arguments.iter_mut().zip(parameters) {
        // SAFETY: the caller's promise.
        let value = unsafe { value.assume_init_ref() };
        *argument = match parameter {
            Type::I32 => value.get_u32().into(),
            Type::I64 => value.get_u64(),
        };
    }
    arguments
}

fn call<T: Wired>(
    store: &mut impl AsContextMut<Data = T>,
    function: Function,
    arguments: &[u64],
) -> Result<u16> {
    let outcome = match T::parts(store) {
        Some((memory, wasi)) => wasi.begin(function, arguments, memory),
        // A guest without a memory can pass no address.
        None => return Ok(super::abi::Errno::Fault as u16),
    };
    finish(store, outcome)
}

/// Goes on with a call that waited when its process was captured; answers what the import
/// returns. The guest must be there again, with its memory.
pub(crate) fn resume<T: Wired>(
    store: &mut impl AsContextMut<Data = T>,
    wait: &Wait,
) -> Result<u16> {
    let (memory, wasi) = T::parts(store).expect("a guest that waits has a memory");
    let outcome = wasi.resume(wait, memory);
    finish(store, outcome)
}

fn finish<T: Wired>(store: &mut impl AsContextMut<Data = T>, mut outcome: Outcome) -> Result<u16> {
    loop {
        match outcome {
            Outcome::Done(errno) => return Ok(errno),
            Outcome::Exit(code) => return Err(Exit(code).into()),
            Outcome::Wait(wait) => match T::wait(store, wait.function(), &wait)? {
                Waited::Captured => return Ok(0),
                Waited::Enough => {
                    let (memory, wasi) = T::parts(store).expect("a guest that waits has a memory");
                    outcome = wasi.resume(&wait, memory);
                }
            },
        }
    }
}
