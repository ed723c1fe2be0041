//! Host functions that are interrupted with no frame of the guest's below them, or one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use leap_memory::Tracking;
use leap_vm::image::{Chain, Compression, write_file};
use leap_vm::wasi::{Clock, Collected, Outside, WasiOptions, WasiState};
use leap_vm::{
    Directories, EngineOptions, Outcome, Pages, Program, ProgramEngine, Surroundings, Value,
};

use crate::{BACK_ENDS, on_thread};

/// Sleeps for an hour, as `body` says.
fn guest(body: &str) -> String {
    format!(
        r#"(module
    (import "wasi_snapshot_preview1" "poll_oneoff"
        (func $poll (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 16) "\01")
    (func $prepare (i64.store (i32.const 24) (i64.const 3600000000000)))
    (func $indirectly (result i32)
        (return_call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))
    (func (export "_start") (result i32) (call $prepare) {body}))"#
    )
}

/// A clock that is put forward by hand.
#[derive(Clone, Default)]
struct HandSet(Arc<AtomicU64>);

impl Clock for HandSet {
    fn realtime_ns(&self) -> u64 {
        self.monotonic_ns()
    }

    fn monotonic_ns(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[test]
fn a_wait_by_tail_call_is_captured_and_goes_on() -> Result<()> {
    let bodies = [
        ("(return_call $indirectly)", 0),
        ("(call $indirectly)", 0),
        (
            "(return_call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))",
            0,
        ),
        (
            "(call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))",
            1,
        ),
        ("(i32.add (i32.const 0) (call $indirectly))", 1),
    ];
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("image.leap");
    for (body, frames) in bodies {
        let wasm = wat::parse_str(guest(body))?;
        for back_end in BACK_ENDS {
            let options = EngineOptions {
                back_end,
                ..EngineOptions::default()
            };
            let engine = ProgramEngine::new(options, Tracking::Auto)?;
            let module = engine.compile(&wasm)?;
            let clock = HandSet::default();
            let outside = || Outside {
                clock: Box::new(clock.clone()),
                ..Outside::with_sink(Collected::default())
            };
            let state = WasiState::new(&WasiOptions::default());
            let mut program = Program::start(&engine, &module, state, outside())?;
            // Twice: the second time it is resumed without a stack.
            for _ in 0..2 {
                program.capture_handle().request();
                let outcome = on_thread(&engine, &mut program)?;
                assert!(matches!(outcome, Outcome::Stopped), "{body}: {outcome:?}");
            }
            let capture = program.capture(Pages::Whole)?;
            assert_eq!(capture.captured().frames.len(), frames, "{body}");
            write_file(&path, &capture.contents(None, None), Compression::None)?;
            let surroundings = Surroundings {
                outside: outside(),
                directories: Directories::AsBefore,
                verify: true,
            };
            let chain = Chain::open(&path)?;
            let mut restored = Program::restore(&engine, &module, &chain, surroundings)?;
            clock.0.fetch_add(7_200_000_000_000, Ordering::Relaxed);
            for program in [&mut program, &mut restored] {
                let outcome = on_thread(&engine, program)?;
                let Outcome::Returned(values) = outcome else {
                    anyhow::bail!("{body}: {outcome:?}");
                };
                assert_eq!(values, [Value::I32(0)], "{body}");
                let events = program.process().memory(0).context("it has one")?[128];
                assert_eq!(events, 1, "{body}");
            }
        }
    }
    Ok(())
}
