//! Captures requested from another thread.

use anyhow::{Result, ensure};
use leap_vm::{Engine, EngineOptions, Entry, NoSystem, Outcome, Process, Value};

/// Counts for ever, in a loop that the compiler would love to keep to itself.
const SPINS: &str = r#"(module
  (memory (export "memory") 1)
  (func (export "run") (param $n i64)
    (loop $l
      (local.set $n (i64.add (local.get $n) (i64.const 1)))
      (br $l))))"#;

#[test]
fn a_process_that_spins_stops_when_asked_and_goes_on() -> Result<()> {
    let engine = Engine::new(EngineOptions::default())?;
    let module = engine.compile(&wat::parse_str(SPINS)?)?;
    let entry = Entry {
        name: "run".to_owned(),
        arguments: vec![Value::I64(5)],
    };
    let mut process = Process::start(&module, NoSystem, entry)?;
    let mut count = 5;
    for _ in 0..20 {
        let handle = process.capture_handle();
        let asking = std::thread::spawn(move || handle.request());
        let outcome = process.run()?;
        ensure!(matches!(outcome, Outcome::Stopped), "{outcome:?}");
        asking.join().expect("asking does not panic");
        ensure!(!process.capture_handle().is_requested());
        let captured = process.capture()?;
        ensure!(captured.frames.len() == 1);
        let [Value::I64(now)] = captured.frames[0].values[..] else {
            anyhow::bail!("one local is live: {captured:?}");
        };
        ensure!(now >= count, "{now} after {count}");
        count = now;
    }
    Ok(())
}

#[test]
fn a_request_after_the_end_does_no_harm() -> Result<()> {
    let engine = Engine::new(EngineOptions::default())?;
    let module = engine.compile(&wat::parse_str(r#"(module (func (export "run")))"#)?)?;
    let entry = Entry {
        name: "run".to_owned(),
        arguments: Vec::new(),
    };
    let mut process = Process::start(&module, NoSystem, entry)?;
    let handle = process.capture_handle();
    ensure!(matches!(process.run()?, Outcome::Returned(values) if values.is_empty()));
    handle.request();
    drop(process);
    handle.request();
    ensure!(handle.is_requested());
    Ok(())
}
