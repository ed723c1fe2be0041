//! Stacks as deep as the engine lets them become: a capture may not end what would have gone on.

use anyhow::{Context as _, Result, ensure};
use leap_instrument::Options;
use leap_vm::{BackEnd, Captured, Engine, EngineOptions, Entry, NoSystem, Outcome, Process, Value};

const STACK_BYTES: usize = 4 << 20;
const BACK_ENDS: [BackEnd; 3] = [BackEnd::Optimised, BackEnd::Quick, BackEnd::Interpreter];

/// Calls itself `n` times, then polls. Adds up all the numbers on the way back.
const NARROW: &str = r#"(module
  (func $down (param $n i32) (result i64)
    (if (i32.eqz (local.get $n)) (then
      (loop $l (br_if $l (i32.lt_s (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 9))))
      (return (i64.const 1))))
    (i64.add (i64.extend_i32_u (local.get $n)) (call $down (i32.sub (local.get $n) (i32.const 1)))))
  (func (export "run") (param i32) (result i64) (call $down (local.get 0))))"#;

/// The same with a reference to a function in each frame.
const WITH_REFERENCES: &str = r#"(module
  (table $functions 2 funcref)
  (elem (table $functions) (i32.const 1) func $down)
  (func $down (param $n i32) (result i64) (local $kept funcref)
    (if (i32.eqz (local.get $n)) (then
      (loop $l (br_if $l (i32.lt_s (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 9))))
      (return (i64.const 1))))
    (local.set $kept (table.get $functions (i32.and (local.get $n) (i32.const 1))))
    (call $down (i32.sub (local.get $n) (i32.const 1)))
    (if (i32.eq (ref.is_null (local.get $kept)) (i32.and (local.get $n) (i32.const 1)))
      (then (unreachable)))
    (i64.add (i64.extend_i32_u (local.get $n))))
  (func (export "run") (param i32) (result i64) (call $down (local.get 0))))"#;

/// Many more live values than a frame of compiled code has places for: they are all the same.
fn wide(values: usize) -> String {
    let locals: Vec<String> = (0..values).map(|local| format!("$v{local}")).collect();
    let declared: String = locals
        .iter()
        .map(|local| format!("(local {local} i64)"))
        .collect();
    let set: String = locals
        .iter()
        .map(|local| format!("(local.set {local} (local.get $same))"))
        .collect();
    let used: String = locals
        .iter()
        .map(|local| format!("(local.set $all (i64.or (local.get $all) (local.get {local})))"))
        .collect();
    format!(
        r#"(module
  (func $down (param $n i32) (result i64) (local $same i64) (local $all i64) (local $below i64) {declared}
    (if (i32.eqz (local.get $n)) (then
      (loop $l (br_if $l (i32.lt_s (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 9))))
      (return (i64.const 1))))
    (local.set $same (i64.extend_i32_u (local.get $n)))
    {set}
    (local.set $below (call $down (i32.sub (local.get $n) (i32.const 1))))
    {used}
    (i64.add (local.get $all) (local.get $below)))
  (func (export "run") (param i32) (result i64) (call $down (local.get 0))))"#
    )
}

fn engine(back_end: BackEnd, stack_bytes: usize) -> Result<Engine> {
    Ok(Engine::new(EngineOptions {
        back_end,
        stack_bytes,
        instrument: Options {
            slice_instructions: 1,
            countdown: true,
            ..Options::default()
        },
        ..EngineOptions::default()
    })?)
}

fn start(engine: &Engine, wasm: &[u8], depth: i32) -> Result<Process<NoSystem>> {
    let entry = Entry {
        name: "run".to_owned(),
        arguments: vec![Value::I32(depth)],
    };
    let mut process = Process::start(&engine.compile(wasm)?, NoSystem, entry)?;
    process.stop_after(u32::MAX);
    Ok(process)
}

/// The deepest recursion that returns when nothing disturbs it.
fn deepest(engine: &Engine, wasm: &[u8]) -> Result<i32> {
    let (mut returns, mut exhausts) = (1, 1 << 20);
    while exhausts - returns > 1 {
        let depth = i32::midpoint(returns, exhausts);
        match start(engine, wasm, depth)?.run()? {
            Outcome::Returned(_) => returns = depth,
            Outcome::Trapped(_) => exhausts = depth,
            other => anyhow::bail!("{other:?}"),
        }
    }
    Ok(returns)
}

/// Captured at the bottom, with every frame.
fn captured(engine: &Engine, wasm: &[u8], depth: i32) -> Result<(Process<NoSystem>, Captured)> {
    let mut process = start(engine, wasm, depth)?;
    process.stop_after(4);
    let outcome = process.run()?;
    ensure!(matches!(outcome, Outcome::Stopped), "{outcome:?}");
    let captured = process.capture()?;
    // `run` returns what it gets, so it has no record.
    ensure!(captured.frames.len() == depth as usize + 1);
    Ok((process, captured))
}

fn ensure_right(process: &mut Process<NoSystem>, depth: i32) -> Result<()> {
    process.stop_after(u32::MAX);
    let Outcome::Returned(values) = process.run()? else {
        anyhow::bail!("did not return");
    };
    let expected = i64::from(depth) * (i64::from(depth) + 1) / 2 + 1;
    let value = values.first().context("a result")?;
    ensure!(*value == Value::I64(expected), "{value:?}");
    Ok(())
}

/// Captures the deepest stack of each back end, and goes on from it in place and under all.
fn goes_on_everywhere(wat: &str) -> Result<()> {
    let wasm = wat::parse_str(wat)?;
    let engines: Vec<Engine> = BACK_ENDS
        .into_iter()
        .map(|back_end| engine(back_end, STACK_BYTES))
        .collect::<Result<_>>()?;
    let modules: Vec<_> = engines
        .iter()
        .map(|engine| engine.compile(&wasm))
        .collect::<Result<_, _>>()?;
    for from in &engines {
        let depth = deepest(from, &wasm)?;
        let (mut process, captured) = captured(from, &wasm, depth)?;
        ensure_right(&mut process, depth).context("in place")?;
        for module in &modules {
            let to = module.engine().options().back_end;
            let mut process = Process::rebuild(module, NoSystem, &captured)?;
            // Once more on the way back, half rebuilt.
            process.stop_after(depth as u32 / 2);
            ensure!(matches!(process.run()?, Outcome::Stopped));
            ensure!(process.capture()?.frames.len() < captured.frames.len());
            ensure_right(&mut process, depth).with_context(|| format!("under {to:?}"))?;
        }
    }
    Ok(())
}

fn on_a_large_stack(test: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    let thread = std::thread::Builder::new().stack_size(80 << 20);
    thread.spawn(test)?.join().expect("the test does not panic")
}

#[test]
fn the_deepest_stack_goes_on_under_each_back_end() -> Result<()> {
    on_a_large_stack(|| goes_on_everywhere(NARROW))
}

#[test]
fn the_deepest_stack_of_wide_frames_goes_on_under_each_back_end() -> Result<()> {
    on_a_large_stack(|| goes_on_everywhere(&wide(40)))
}

#[test]
fn the_deepest_stack_with_references_goes_on_under_each_back_end() -> Result<()> {
    on_a_large_stack(|| goes_on_everywhere(WITH_REFERENCES))
}

#[test]
fn a_hundred_thousand_frames_move() -> Result<()> {
    on_a_large_stack(|| {
        const FRAMES: i32 = 100_000;
        let wasm = wat::parse_str(NARROW)?;
        let (_, captured) = captured(&engine(BackEnd::Optimised, 64 << 20)?, &wasm, FRAMES)?;
        // Of which a stack of this size never holds more than a part.
        let small = engine(BackEnd::Quick, 256 << 10)?;
        let mut process = Process::rebuild(&small.compile(&wasm)?, NoSystem, &captured)?;
        // Nor does it end for being captured again, here and from there.
        for _ in 0..2 {
            process.stop_after(2);
            let outcome = process.run()?;
            ensure!(matches!(outcome, Outcome::Stopped), "{outcome:?}");
            let captured = process.capture()?;
            ensure!(captured.frames.len() > FRAMES as usize);
            process = Process::rebuild(&small.compile(&wasm)?, NoSystem, &captured)?;
        }
        ensure_right(&mut process, FRAMES)
    })
}

#[test]
fn the_stack_is_no_deeper_than_its_records_have_room() -> Result<()> {
    on_a_large_stack(|| {
        // Records of 40 KB each beside frames of a few bytes.
        let wasm = wat::parse_str(wide(5000))?;
        let engine = engine(BackEnd::Optimised, 64 << 20)?;
        let module = engine.compile(&wasm)?;
        let bytes = module.stack_bytes();
        ensure!(bytes < 2 << 20, "{bytes}");
        let narrow = engine.compile(&wat::parse_str(wide(40))?)?;
        ensure!(narrow.stack_bytes() == 64 << 20);
        // As deep as it goes, but for the time that it takes to write gigabytes.
        let depth = deepest(&engine, &wasm)?.min(300);
        let (mut process, _) = captured(&engine, &wasm, depth)?;
        ensure_right(&mut process, depth)
    })
}

#[test]
fn a_recursion_without_end_is_none_in_spite_of_captures() -> Result<()> {
    on_a_large_stack(|| {
        let wasm = wat::parse_str(
            r#"(module (func $down (export "run") (param i32) (result i32)
              (local i32)
              (loop $l (br_if $l (i32.lt_s (local.tee 1 (i32.add (local.get 1) (i32.const 1))) (i32.const 9))))
              (i32.add (call $down (local.get 0)) (i32.const 1))))"#,
        )?;
        let mut process = start(&engine(BackEnd::Optimised, 64 << 10)?, &wasm, 0)?;
        let mut captures = 0;
        let trap = loop {
            process.stop_after(2000);
            match process.run()? {
                Outcome::Stopped => captures += 1,
                Outcome::Trapped(trap) => break trap,
                other => anyhow::bail!("{other:?}"),
            }
            ensure!(captures < 1000, "a stack without end");
        };
        ensure!(captures > 5, "{captures}");
        ensure!(trap.message.contains("call stack exhausted"), "{trap}");
        ensure!(!trap.frames.is_empty());
        Ok(())
    })
}

#[test]
fn a_deep_stack_gives_its_pages_back() -> Result<()> {
    on_a_large_stack(|| {
        let wasm = wat::parse_str(wide(40))?;
        let engine = engine(BackEnd::Optimised, 64 << 20)?;
        let (mut process, captured) = captured(&engine, &wasm, 50_000)?;
        let held = resident_bytes(process.control())?;
        // Fifty thousand records of 368 bytes were there.
        ensure!(held <= 2 << 20, "{held} bytes are resident");
        drop(captured);
        ensure_right(&mut process, 50_000)
    })
}

/// What of a memory is resident, by the system's account of the mapping that it begins.
fn resident_bytes(memory: &[u8]) -> Result<u64> {
    let start = format!("{:x}-", memory.as_ptr().addr() & !4095);
    let maps = std::fs::read_to_string("/proc/self/smaps")?;
    let mut lines = maps.lines().skip_while(|line| !line.starts_with(&start));
    let resident = lines
        .find(|line| line.starts_with("Rss:"))
        .context("the mapping is not there")?;
    let kib: u64 = resident
        .split_whitespace()
        .nth(1)
        .context("a number")?
        .parse()?;
    Ok(kib << 10)
}
