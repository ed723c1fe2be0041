//! The glue to the engine: the 46 functions as imports of a guest, and one of Leap's own. Nothing
//! else of the system interface knows that there is an engine.

#![allow(
    unsafe_code,
    reason = "arguments come as the engine keeps them: one function serves all signatures"
)]

use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

use wasmtime::{Caller, FuncType, Linker, Result, Val, ValRaw, ValType};

use super::abi::{Errno, Function, MODULE, Type};
use super::{Outcome, Wait, Wasi};
use crate::limits::Limits;
use crate::state::HostFrame;
use crate::system::{Exit, Host, System};

/// The module and the function by which a guest asks for a checkpoint of itself: it takes nothing
/// and gives a [`CheckpointAnswer`](crate::CheckpointAnswer) as an `i32`.
const LEAP: &str = "leap";
const CHECKPOINT: &str = "checkpoint";

/// The most parameters that a function has.
const PARAMETERS_AT_MOST: usize = 9;

impl System for Wasi {
    fn link(linker: &mut Linker<Host<Self>>) -> Result<()> {
        Function::ALL
            .iter()
            .try_for_each(|&function| define(linker, function))?;
        linker.func_wrap(LEAP, CHECKPOINT, |mut caller: Caller<'_, Host<Self>>| {
            caller.data_mut().ask_for_checkpoint(HostFrame {
                module: LEAP.to_owned(),
                name: CHECKPOINT.to_owned(),
                state: Vec::new(),
            });
            0_i32
        })?;
        Ok(())
    }

    fn limits(&self) -> Limits {
        self.outside.limits
    }

    fn resume(
        mut caller: Caller<'_, Host<Self>>,
        frame: HostFrame,
        results: &mut [Val],
    ) -> Result<()> {
        if frame.module == LEAP && frame.name == CHECKPOINT {
            if let Some(result) = results.first_mut() {
                *result = Val::I32(caller.data_mut().answer() as i32);
            }
            return Ok(());
        }
        let wait = Wait::from_bytes(&frame.state)
            .filter(|wait| frame.module == MODULE && frame.name == wait.function())
            .ok_or_else(|| wasmtime::Error::msg("the host frame is none of WASI's"))?;
        let Some((memory, wasi)) = parts(&mut caller) else {
            return Err(wasmtime::Error::msg(
                "a process without memory waits in WASI",
            ));
        };
        let outcome = wasi.resume(&wait, memory);
        let errno = finish(&mut caller, outcome)?;
        if let Some(result) = results.first_mut() {
            *result = Val::I32(errno.into());
        }
        Ok(())
    }
}

fn define(linker: &mut Linker<Host<Wasi>>, function: Function) -> Result<()> {
    let parameters = function
        .parameters()
        .iter()
        .map(|parameter| match parameter {
            Type::I32 => ValType::I32,
            Type::I64 => ValType::I64,
        });
    let results = (function != Function::ProcExit).then_some(ValType::I32);
    let ty = FuncType::new(linker.engine(), parameters, results);
    let call = move |mut caller: Caller<'_, Host<Wasi>>, values: &mut [MaybeUninit<ValRaw>]| {
        // SAFETY: the engine calls with as many initialised values as `ty` has parameters, of
        // those types. (Every guest of the tests passes arguments of both types.)
        let arguments = unsafe { arguments(function, values) };
        let arguments = &arguments[..function.parameters().len()];
        let outcome = match parts(&mut caller) {
            Some((memory, wasi)) => wasi.begin(function, arguments, memory),
            // Whoever has no memory can pass no address, but may want to end.
            None if function == Function::ProcExit => Outcome::Exit(arguments[0] as u32),
            None => Outcome::Done(Errno::Fault as u16),
        };
        let errno = finish(&mut caller, outcome)?;
        if let Some(result) = values.first_mut() {
            result.write(ValRaw::u32(errno.into()));
        }
        Ok(())
    };
    // SAFETY: `call` reads no more than the parameters of `ty`, and writes one `i32` where `ty` has
    // that result: the engine gives room for the longer of the two. (`proc_exit`, which has no
    // result, never comes that far; `sched_yield` has no parameter.)
    unsafe { linker.func_new_unchecked(MODULE, function.name(), ty, call) }?;
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

/// The guest's memory and its system interface.
fn parts<'a>(caller: &'a mut Caller<'_, Host<Wasi>>) -> Option<(&'a mut [u8], &'a mut Wasi)> {
    let memory = caller.data().memory()?;
    let (bytes, host) = memory.data_and_store_mut(caller);
    if !host.system.has_waker {
        let waker = host.capture().waker();
        host.system.set_waker(waker);
    }
    Some((bytes, &mut host.system))
}

/// Waits as long as that is the outcome. When the process is to be captured meanwhile, the call
/// becomes its innermost frame and returns anything.
fn finish(caller: &mut Caller<'_, Host<Wasi>>, mut outcome: Outcome) -> Result<u16> {
    loop {
        match outcome {
            Outcome::Done(errno) => return Ok(errno),
            Outcome::Exit(code) => return Err(Exit(code.cast_signed()).into()),
            Outcome::Wait(wait) => {
                let host = caller.data_mut();
                let remaining = host.system.remaining_ns(&wait).map(Duration::from_nanos);
                // A moment too far for the clock is never.
                let deadline =
                    remaining.and_then(|remaining| Instant::now().checked_add(remaining));
                if host.capture().wait(deadline) {
                    host.interrupt(HostFrame {
                        module: MODULE.to_owned(),
                        name: wait.function().to_owned(),
                        state: wait.to_bytes(),
                    });
                    return Ok(0);
                }
                let (memory, wasi) = parts(caller).expect("a guest that waits has a memory");
                outcome = wasi.resume(&wait, memory);
            }
        }
    }
}
