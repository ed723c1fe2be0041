//! Stacks of a hundred thousand frames.

use anyhow::{Context as _, Result, ensure};
use leap_instrument::Options;
use leap_vm::{BackEnd, Engine, EngineOptions, Entry, NoSystem, Outcome, Process, Value};

const FRAMES: i32 = 100_000;
const STACK_BYTES: usize = 64 << 20;

const DESCENDS: &str = r#"(module
  (func $down (param $n i32) (result i64)
    (if (i32.eqz (local.get $n)) (then
      (loop $l (br_if $l (i32.lt_s (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 9))))
      (return (i64.const 1))))
    (i64.add (i64.extend_i32_u (local.get $n)) (call $down (i32.sub (local.get $n) (i32.const 1)))))
  (func (export "run") (param i32) (result i64) (call $down (local.get 0))))"#;

#[test]
fn deep_stacks_are_captured_and_rebuilt() -> Result<()> {
    let thread = std::thread::Builder::new().stack_size(2 * STACK_BYTES);
    let result = thread.spawn(descend)?.join();
    result.expect("the test does not panic")
}

fn descend() -> Result<()> {
    let engine = |back_end| {
        Engine::new(EngineOptions {
            back_end,
            stack_bytes: STACK_BYTES,
            instrument: Options {
                slice_instructions: 1,
                countdown: true,
                ..Options::default()
            },
            ..EngineOptions::default()
        })
    };
    let wasm = wat::parse_str(DESCENDS)?;
    let entry = Entry {
        name: "run".to_owned(),
        arguments: vec![Value::I32(FRAMES)],
    };
    let (from, to) = (engine(BackEnd::Optimised)?, engine(BackEnd::Quick)?);
    let mut process = Process::start(&from.compile(&wasm)?, NoSystem, entry)?;
    process.stop_after(4);
    ensure!(matches!(process.run()?, Outcome::Stopped));
    let captured = process.capture()?;
    // `run` returns what it gets, so it has no record.
    ensure!(captured.frames.len() == FRAMES as usize + 1);
    drop(process);
    let mut process = Process::rebuild(&to.compile(&wasm)?, NoSystem, &captured)?;
    process.stop_after(1000);
    ensure!(matches!(process.run()?, Outcome::Stopped));
    let again = process.capture()?;
    ensure!(again.frames.len() < captured.frames.len());
    process.stop_after(u32::MAX);
    let Outcome::Returned(values) = process.run()? else {
        anyhow::bail!("did not return");
    };
    let value = values.first().context("a result")?;
    let expected = i64::from(FRAMES) * (i64::from(FRAMES) + 1) / 2 + 1;
    ensure!(*value == Value::I64(expected), "{value:?}");
    Ok(())
}
