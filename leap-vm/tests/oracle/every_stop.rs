//! Small programs, captured at each of their stops in turn.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::observe::{End, call, plain_engine, run_plain};
use crate::vm::Engines;

/// A program with more checks takes too long to be captured at each.
const MOST_STOPS: u32 = 1000;

/// One of the programs, by name.
pub(crate) fn program_bytes(name: &str) -> Result<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/programs");
    Ok(wat::parse_file(folder.join(format!("{name}.wat")))?)
}

fn programs() -> Result<Vec<(String, Vec<u8>)>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/programs");
    let only = std::env::var("LEAP_PROGRAM").ok();
    let mut programs = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_stem()
            .context("a file")?
            .to_string_lossy()
            .into_owned();
        if only.as_ref().is_none_or(|only| *only == name) {
            let wasm = wat::parse_file(&path).with_context(|| name.clone())?;
            programs.push((name, wasm));
        }
    }
    programs.sort();
    Ok(programs)
}

#[test]
fn programs_are_the_same_captured_at_every_stop() -> Result<()> {
    let plain = plain_engine()?;
    let engines = Engines::new()?;
    for (name, wasm) in programs()? {
        let end = check(&plain, &engines, &wasm).with_context(|| name.clone())?;
        // One that traps by mistake shows little.
        let returns = matches!(end, End::Returned(_));
        ensure!(returns == (name != "traps"), "{name}: {end:?}");
    }
    Ok(())
}

fn check(plain: &wasmtime::Engine, engines: &Engines, wasm: &[u8]) -> Result<End> {
    let expected = run_plain(plain, wasm, &call("run"))?;
    let program = engines.compile(wasm, &call("run"))?;
    let whole = program.run(0, [])?;
    expected.ensure_same(&whole.observed, "instrumented")?;
    ensure!(whole.polls > 0, "no stop was passed");
    ensure!(whole.polls <= MOST_STOPS, "{} stops", whole.polls);
    for stop in 1..=whole.polls {
        let run = program
            .run(stop as usize, [stop])
            .with_context(|| format!("stop {stop}"))?;
        ensure!(run.captures == 1, "stop {stop} was not met");
        expected.ensure_same(&run.observed, &format!("captured at stop {stop}"))?;
    }
    for distance in [1, 2, 3, 7] {
        let run = program
            .run(0, std::iter::repeat(distance))
            .with_context(|| format!("captured at every {distance}. check"))?;
        expected.ensure_same(
            &run.observed,
            &format!("captured at every {distance}. check"),
        )?;
    }
    Ok(expected.end)
}
