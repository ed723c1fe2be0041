//! Many processes that wait: what each costs beyond the pages that it has touched itself.

use std::fs;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use leap_memory::{PAGE_BYTES, Tracking};
use leap_vm::wasi::{Collected, Outside, WasiOptions, WasiState};
use leap_vm::{EngineOptions, Module, Outcome, Program, ProgramEngine};

use crate::report::Report;

/// Pages of its memory that the guest touches.
const OWN_PAGES: usize = 4;

pub(super) fn measure(wanted: usize, report: &mut Report) -> anyhow::Result<()> {
    let engine = ProgramEngine::new(EngineOptions::default(), Tracking::default())?;
    let module = engine.compile(&wat::parse_str(guest())?)?;
    // The first brings what all share.
    let mut processes = vec![idle(&engine, &module)?];
    let before = resident_bytes()?;
    let begun = Instant::now();
    let mut refusal = None;
    while processes.len() <= wanted {
        match idle(&engine, &module) {
            Ok(process) => processes.push(process),
            Err(error) => {
                refusal = Some(error);
                break;
            }
        }
    }
    let took = begun.elapsed();
    let count = processes.len() - 1;
    if let Some(error) = refusal {
        eprintln!("no more than {count} processes: {error:#}");
    }
    ensure!(count > 0, "no process");
    let each = (resident_bytes()? - before) / count as f64;
    let own = (OWN_PAGES * PAGE_BYTES) as f64;
    report.at_least(
        "idle processes on this machine",
        count as f64,
        "processes",
        wanted as f64,
    );
    report.at_most(
        "resident beyond its own pages, each",
        (each - own) / 1024.0,
        "KiB",
        64.0,
    );
    report.note(
        "start of a process until it waits",
        took.as_secs_f64() * 1e6 / count as f64,
        "us",
    );
    let mappings = fs::read_to_string("/proc/self/maps")?.lines().count();
    report.note(
        "mappings of the system, each",
        mappings as f64 / count as f64,
        "mappings",
    );
    Ok(())
}

/// Touches its pages and sleeps for an hour.
fn guest() -> String {
    let mut touches = String::new();
    for page in 1..OWN_PAGES {
        let address = page * PAGE_BYTES;
        touches.push_str(&format!(
            "(i32.store (i32.const {address}) (i32.const 1))\n    "
        ));
    }
    format!(
        r#"(module
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 16)
  (func (export "_start")
    {touches}(i32.store offset=16 (i32.const 0) (i32.const 1))
    (i64.store offset=24 (i32.const 0) (i64.const 3600000000000))
    (drop (call $poll_oneoff (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))"#
    )
}

/// A process that waits, and that no thread waits for.
fn idle(engine: &ProgramEngine, module: &Module) -> anyhow::Result<Program> {
    let state = WasiState::new(&WasiOptions::default());
    let outside = Outside::with_sink(Collected::default());
    let mut program = Program::start(engine, module, state, outside)?;
    program.capture_handle().request();
    let outcome = program.run()?;
    ensure!(
        matches!(outcome, Outcome::Stopped),
        "the guest ended with {outcome:?}"
    );
    Ok(program)
}

fn resident_bytes() -> anyhow::Result<f64> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages = statm
        .split(' ')
        .nth(1)
        .context("statm names resident pages")?;
    Ok(pages.parse::<f64>()? * rustix::param::page_size() as f64)
}
