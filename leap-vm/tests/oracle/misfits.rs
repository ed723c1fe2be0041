//! States that cannot be: refused before anything runs. And one that can, but is another: seen.

use anyhow::{Result, ensure};
use leap_vm::{
    Captured, Entry, FrameRecord, HostFrame, NoSystem, Outcome, Process, Reference, Stage,
    StopKind, TableState, Value, VmError,
};

use crate::every_stop::program_bytes;
use crate::observe::call;
use crate::vm::{Engines, Program};

fn captured(name: &str, polls: u32) -> Result<(Program, Captured)> {
    let program = Engines::new()?.compile(&program_bytes(name)?, &call("run"))?;
    let captured = program.capture_at(0, polls)?;
    Ok((program, captured))
}

fn innermost(captured: &mut Captured) -> &mut FrameRecord {
    captured
        .frames
        .last_mut()
        .expect("a captured process has a frame")
}

#[test]
fn states_that_cannot_be_are_refused() -> Result<()> {
    let (program, sound) = captured("references", 1)?;
    ensure!(Process::rebuild(program.module(0), NoSystem, &sound).is_ok());
    ensure!(sound.frames.len() == 2, "the cases below want two frames");
    type Change = fn(&mut Captured);
    let changes: [(&str, Change); 18] = [
        ("no frames", |c| c.frames.clear()),
        ("no innermost frame", |c| drop(c.frames.pop())),
        ("no outermost frame", |c| drop(c.frames.remove(0))),
        ("an unknown function", |c| innermost(c).function = 1000),
        ("an unknown stop", |c| innermost(c).stop = 1000),
        ("another kind", |c| innermost(c).kind = StopKind::InCall),
        ("kinds in the wrong order", |c| {
            c.frames[0].kind = StopKind::After;
        }),
        ("a frame that waits at a poll", |c| {
            let poll = innermost(c).clone();
            c.frames.push(poll);
            c.frames[1].kind = StopKind::InCall;
        }),
        ("a host frame from nowhere", |c| {
            c.host = Some(HostFrame {
                module: "m".to_owned(),
                name: "n".to_owned(),
                state: Vec::new(),
            });
        }),
        ("fewer values", |c| innermost(c).values.clear()),
        ("a value of another type", |c| {
            innermost(c).values[0] = Value::V128(0);
        }),
        ("another stage", |c| c.stage = Stage::Start),
        ("a smaller memory", |c| c.memories[0].pages = 0),
        ("a memory beyond its limit", |c| {
            c.memories[0].pages = 1 << 40;
        }),
        ("fewer globals", |c| c.globals.clear()),
        ("a global of another type", |c| c.globals[0] = Value::I32(0)),
        ("a table with an unknown function", |c| {
            c.tables[0].elements[0] = Reference::Function(1000);
        }),
        ("a table too many", |c| {
            c.tables.push(TableState {
                elements: Vec::new(),
            });
        }),
    ];
    for (what, change) in changes {
        let mut changed = sound.clone();
        change(&mut changed);
        let refused = Process::rebuild(program.module(0), NoSystem, &changed).err();
        ensure!(
            matches!(refused, Some(VmError::Misfit { .. })),
            "{what}: {refused:?}"
        );
    }
    Ok(())
}

#[test]
fn the_state_at_a_stop_is_the_same_under_each_back_end() -> Result<()> {
    let engines = Engines::new()?;
    for name in ["operands", "references", "exceptions", "vectors"] {
        let program = engines.compile(&program_bytes(name)?, &call("run"))?;
        for polls in [1, 5, 9] {
            let first = program.capture_at(0, polls)?;
            for back_end in [1, 2] {
                ensure!(
                    first == program.capture_at(back_end, polls)?,
                    "{name} at {polls}"
                );
            }
        }
    }
    Ok(())
}

/// The oracle must not be blind: a changed local changes the result.
#[test]
fn a_changed_state_is_seen() -> Result<()> {
    let (program, sound) = captured("fib", 3)?;
    let mut changed = sound.clone();
    for value in &mut innermost(&mut changed).values {
        if let Value::I32(number) = value {
            *number += 1;
        }
    }
    let sound = program.finish(&sound)?;
    ensure!(sound == vec![Value::I32(21)], "{sound:?}");
    ensure!(program.finish(&changed)? != sound);
    Ok(())
}

/// Each exception holds the one before twice: there are 40, not 2^40.
const SHARED: &str = r#"(module
  (tag $two (param exnref exnref))
  (func $pair (param $e exnref) (result exnref)
    (block $h (result exnref)
      (try_table (catch_all_ref $h) (throw $two (local.get $e) (local.get $e)))
      (unreachable)))
  (func (export "run") (param $n i32) (local $e exnref)
    (loop $l
      (local.set $e (call $pair (local.get $e)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (loop $l
      (br_if $l (i32.lt_s (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 100))))
    (throw_ref (local.get $e))))"#;

#[test]
fn an_exception_that_is_held_twice_is_captured_once() -> Result<()> {
    let entry = Entry {
        name: "run".to_owned(),
        arguments: vec![Value::I32(40)],
    };
    let program = Engines::new()?.compile(&wat::parse_str(SHARED)?, &entry)?;
    let captured = program.capture_at(0, 60)?;
    ensure!(
        captured.exceptions.len() == 40,
        "{}",
        captured.exceptions.len()
    );
    let mut process = Process::rebuild(program.module(1), NoSystem, &captured)?;
    process.stop_after(5);
    ensure!(matches!(process.run()?, Outcome::Stopped));
    ensure!(process.capture()?.exceptions == captured.exceptions);
    Ok(())
}
