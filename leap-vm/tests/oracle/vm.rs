//! Programs under Leap, moved between back ends at captures.

use anyhow::{Context as _, Result, bail};
use leap_instrument::Options;
use leap_vm::{
    BackEnd, Captured, Engine, EngineOptions, Entry, Module, NoSystem, Outcome, Process, Value,
};

use crate::observe::{End, Left, Observed};

/// A program compiled by each back end. Polls are as dense as they can be.
pub(crate) struct Program {
    modules: Vec<Module>,
    entry: Entry,
}

pub(crate) struct Engines(Vec<Engine>);

impl Engines {
    pub(crate) fn new() -> Result<Self> {
        // Rebuilt frame by frame, in pairs, and all at once for which little is to be compiled.
        let back_ends = [
            (BackEnd::Optimised, 1, 1),
            (BackEnd::Interpreter, 2, 16),
            (BackEnd::Quick, 128, 3),
        ];
        let engines =
            back_ends
                .into_iter()
                .map(|(back_end, frames_at_once, continuations_at_once)| {
                    let options = EngineOptions {
                        back_end,
                        frames_at_once,
                        continuations_at_once,
                        instrument: Options {
                            slice_instructions: 1,
                            countdown: true,
                            control_pages: 256,
                        },
                        ..EngineOptions::default()
                    };
                    Ok(Engine::new(options)?)
                });
        Ok(Self(engines.collect::<Result<_>>()?))
    }

    pub(crate) fn compile(&self, wasm: &[u8], entry: &Entry) -> Result<Program> {
        let modules = self.0.iter().map(|engine| Ok(engine.compile(wasm)?));
        Ok(Program {
            modules: modules.collect::<Result<_>>()?,
            entry: entry.clone(),
        })
    }
}

/// What a run under Leap did, and how many checks it passed.
pub(crate) struct Run {
    pub(crate) observed: Observed,
    pub(crate) polls: u32,
    pub(crate) captures: u32,
}

impl Program {
    /// Runs, stopping at the checks whose distances `stops` gives, one after the other; at each
    /// stop the process moves to the next back end.
    pub(crate) fn run(&self, first: usize, stops: impl IntoIterator<Item = u32>) -> Result<Run> {
        const NEVER: u32 = u32::MAX;
        let mut at = first % self.modules.len();
        let mut stops = stops.into_iter();
        let mut polls = 0_u32;
        let mut captures = 0;
        let mut process = Process::start(&self.modules[at], NoSystem, self.entry.clone())?;
        loop {
            let distance = stops.next().unwrap_or(NEVER);
            process.stop_after(distance);
            let outcome = process.run()?;
            polls = polls.wrapping_add(distance.wrapping_sub(process.countdown()));
            let end = match outcome {
                Outcome::Stopped => {
                    captures += 1;
                    at = (at + 1) % self.modules.len();
                    process = relocate(&mut process, &self.modules[at])?;
                    continue;
                }
                Outcome::Returned(values) => {
                    let is_number = |value: &Value| !matches!(value, Value::Reference(_));
                    End::Returned(values.into_iter().filter(is_number).collect())
                }
                Outcome::Trapped(trap) => End::Trapped(trap.message),
                Outcome::Exited(code) => bail!("exit {code} without a system"),
            };
            return Ok(Run {
                observed: Observed {
                    end,
                    left: Some(Left {
                        memories: exported_memories(&mut process)?,
                        globals: exported_globals(&mut process),
                    }),
                },
                polls,
                captures,
            });
        }
    }

    /// The state at the `polls`-th check.
    pub(crate) fn capture_at(&self, back_end: usize, polls: u32) -> Result<Captured> {
        let mut process = Process::start(&self.modules[back_end], NoSystem, self.entry.clone())?;
        process.stop_after(polls);
        match process.run()? {
            Outcome::Stopped => Ok(process.capture()?),
            other => bail!("did not stop: {other:?}"),
        }
    }

    /// The module as compiled by one of the back ends.
    pub(crate) fn module(&self, back_end: usize) -> &Module {
        &self.modules[back_end]
    }

    /// What the program returns if it goes on from `captured`, its memories being as new.
    pub(crate) fn finish(&self, captured: &Captured) -> Result<Vec<Value>> {
        let mut process = Process::rebuild(&self.modules[0], NoSystem, captured)?;
        process.stop_after(u32::MAX);
        match process.run()? {
            Outcome::Returned(values) => Ok(values),
            other => bail!("did not return: {other:?}"),
        }
    }
}

/// Captures a stopped process and rebuilds it under the back end of `module`.
pub(crate) fn relocate(
    process: &mut Process<NoSystem>,
    module: &Module,
) -> Result<Process<NoSystem>> {
    let captured = process.capture()?;
    let mut rebuilt = Process::rebuild(module, NoSystem, &captured)?;
    for index in 0..captured.memories.len() as u32 {
        let from = process.memory(index).context("a captured memory")?;
        let to = rebuilt.memory_mut(index).context("a rebuilt memory")?;
        to.copy_from_slice(from);
    }
    let again = rebuilt.capture()?;
    anyhow::ensure!(again == captured, "a rebuilt process has another state");
    Ok(rebuilt)
}

fn exported_memories(process: &mut Process<NoSystem>) -> Result<Vec<Vec<u8>>> {
    let exports = process.exports();
    let names = exports
        .into_iter()
        .filter(|name| !name.starts_with("leap:"));
    Ok(names
        .filter_map(|name| process.exported_memory(&name).map(<[u8]>::to_vec))
        .collect())
}

fn exported_globals(process: &mut Process<NoSystem>) -> Vec<(String, Value)> {
    let exports = process.exports();
    let names = exports
        .into_iter()
        .filter(|name| !name.starts_with("leap:"));
    names
        .filter_map(|name| {
            let value = process.exported_global(&name)?;
            Some((name, value))
        })
        .filter(|(_, value)| !matches!(value, Value::Reference(_)))
        .collect()
}
