//! What a process may take of the host's memory.

use std::time::Duration;

use anyhow::Result;
use leap_memory::Tracking;
use leap_vm::image::{Chain, Compression, write_file};
use leap_vm::wasi::{Collected, HostMount, HostWrites, Outside, WasiOptions, WasiState};
use leap_vm::{
    Directories, EngineOptions, Limits, Module, Outcome, Pages, Program, ProgramEngine,
    ProgramError, Surroundings, VmError,
};

use crate::{on_thread, on_thread_within};

struct Stage {
    engine: ProgramEngine,
    module: Module,
}

impl Stage {
    fn new(wat: &str) -> Result<Self> {
        let engine = ProgramEngine::new(EngineOptions::default(), Tracking::Auto)?;
        let module = engine.compile(&wat::parse_str(wat)?)?;
        Ok(Self { engine, module })
    }

    fn program(&self, limits: Limits) -> Result<Program, ProgramError> {
        self.program_over(Vec::new(), limits)
    }

    fn program_over(
        &self,
        directories: Vec<HostMount>,
        limits: Limits,
    ) -> Result<Program, ProgramError> {
        let memory_directories = match directories.is_empty() {
            true => vec!["/".to_owned()],
            false => Vec::new(),
        };
        let state = WasiState::new(&WasiOptions {
            directories,
            memory_directories,
            ..WasiOptions::default()
        });
        Program::start(&self.engine, &self.module, state, outside(limits))
    }

    fn exit_code(&self, program: &mut Program) -> Result<i32> {
        match on_thread(&self.engine, program)? {
            Outcome::Exited(code) => Ok(code),
            other => anyhow::bail!("{other:?}"),
        }
    }
}

fn outside(limits: Limits) -> Outside {
    Outside::with_sink(Collected::default()).limited(limits)
}

const PAGE: u64 = 65_536;

/// Grows two memories by turns while that can be done, and exits with how many pages they have;
/// asks for more than the second may have on the way.
const GROW: &str = r#"(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (memory $other 2 8)
    (func (export "_start")
        (loop $again
            (drop (memory.grow $other (i32.const 9)))
            (br_if $again (i32.and
                (i32.ge_s (memory.grow (i32.const 1)) (i32.const 0))
                (i32.ge_s (memory.grow $other (i32.const 1)) (i32.const 0)))))
        (call $exit (i32.add (memory.size) (memory.size $other)))))"#;

#[test]
fn memories_are_limited_together() -> Result<()> {
    let stage = Stage::new(GROW)?;
    let limits = |pages| Limits {
        memory_bytes: pages * PAGE,
        ..Limits::default()
    };
    for pages in 3..12 {
        let mut program = stage.program(limits(pages))?;
        assert_eq!(stage.exit_code(&mut program)?, pages as i32);
    }
    // The second one has all that its type allows: 8 and 8.
    let mut program = stage.program(limits(100))?;
    assert_eq!(stage.exit_code(&mut program)?, 16);
    let refused = stage.program(limits(2));
    let Err(ProgramError::Process(VmError::Memory {
        needed_bytes,
        limit_bytes,
    })) = refused
    else {
        anyhow::bail!("it was not refused");
    };
    assert_eq!((needed_bytes, limit_bytes), (3 * PAGE, 2 * PAGE));
    Ok(())
}

/// Grows a table, then holds references across a call in which it is stopped; exits with the
/// table's size.
const TABLE: &str = r#"(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (table $table 10 funcref)
    (elem declare func $spin)
    (global $go (mut i32) (i32.const 0))
    (func $spin (loop $again (br_if $again (i32.eqz (i32.load (i32.const 0))))))
    (func $deep (param $depth i32) (param $held funcref)
        (if (local.get $depth)
            (then (call $deep (i32.sub (local.get $depth) (i32.const 1)) (local.get $held)))
            (else (call $spin)))
        (table.set $table (i32.const 0) (local.get $held)))
    (func (export "_start")
        (loop $again
            (br_if $again (i32.ge_s
                (table.grow $table (ref.null func) (i32.const 1)) (i32.const 0))))
        (call $deep (i32.const 200) (ref.func $spin))
        (call $exit (table.size $table))))"#;

#[test]
fn tables_are_limited_and_captures_are_not() -> Result<()> {
    let stage = Stage::new(TABLE)?;
    let limits = Limits {
        table_elements: 40,
        ..Limits::default()
    };
    let mut program = stage.program(limits)?;
    // More than once, for the references are put in order by the host after the first.
    for _ in 0..3 {
        let patience = Duration::from_millis(20);
        let outcome = on_thread_within(&stage.engine, &mut program, patience)?;
        assert!(matches!(outcome, Outcome::Stopped), "{outcome:?}");
    }
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("image.leap");
    // There are 201 frames with a reference each.
    assert!(program.process().capture()?.frames.len() > 200);
    let memory = program.process().memory_mut(0);
    memory.expect("it has one")[0] = 1;
    let capture = program.capture(Pages::Whole)?;
    write_file(&path, &capture.contents(None, None), Compression::None)?;
    assert_eq!(stage.exit_code(&mut program)?, 40);

    let chain = Chain::open(&path)?;
    let restore = |limits| {
        let surroundings = Surroundings {
            outside: outside(limits),
            directories: Directories::AsBefore,
            verify: true,
        };
        Program::restore(&stage.engine, &stage.module, &chain, surroundings)
    };
    assert_eq!(stage.exit_code(&mut restore(limits)?)?, 40);
    // The state itself is more than these allow.
    let refused = restore(Limits {
        table_elements: 39,
        ..limits
    });
    assert!(matches!(
        refused,
        Err(ProgramError::Process(VmError::Misfit { .. }))
    ));
    let refused = restore(Limits {
        memory_bytes: PAGE - 1,
        ..limits
    });
    assert!(matches!(
        refused,
        Err(ProgramError::Process(VmError::Memory { .. }))
    ));
    Ok(())
}

#[test]
fn a_table_larger_than_any_is_refused_at_once() -> Result<()> {
    let stage = Stage::new(r#"(module (table 4000000000 funcref) (func (export "_start")))"#)?;
    let refused = stage.program(Limits::default());
    assert!(matches!(
        refused,
        Err(ProgramError::Process(VmError::Instantiate { .. }))
    ));
    Ok(())
}

/// Opens `file` to write it, making it if need be, and writes 64 KiB until that fails; removes it
/// and writes once more to another; exits with the error number and 100 times the writes that
/// went well.
const WRITE: &str = r#"(module
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write"
        (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_unlink_file"
        (func $unlink (param i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 2)
    (data (i32.const 32) "file" "also")
    (func $create (param $name i32) (result i32)
        (if (call $open (i32.const 3) (i32.const 0) (local.get $name) (i32.const 4) (i32.const 1)
                (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 16))
            (then (call $exit (i32.const 1))))
        (i32.load (i32.const 16)))
    (func (export "_start") (local $fd i32) (local $errno i32) (local $writes i32)
        (i32.store (i32.const 0) (i32.const 65536))
        (i32.store (i32.const 4) (i32.const 65536))
        (local.set $fd (call $create (i32.const 32)))
        (loop $again
            (local.set $errno
                (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)))
            (if (i32.eqz (local.get $errno)) (then
                (local.set $writes (i32.add (local.get $writes) (i32.const 1)))
                (br_if $again (i32.lt_u (local.get $writes) (i32.const 50))))))
        (drop (call $close (local.get $fd)))
        (if (call $unlink (i32.const 3) (i32.const 32) (i32.const 4))
            (then (call $exit (i32.const 2))))
        (local.set $fd (call $create (i32.const 36)))
        (if (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))
            (then (call $exit (i32.const 3))))
        (call $exit (i32.add (local.get $errno)
            (i32.mul (i32.const 100) (local.get $writes))))))"#;

/// What WASI calls `ENOSPC`.
const NO_SPACE: i32 = 51;

#[test]
fn files_are_limited() -> Result<()> {
    let stage = Stage::new(WRITE)?;
    let limits = |file_bytes| Limits {
        file_bytes,
        ..Limits::default()
    };
    let mut program = stage.program(limits(5 * PAGE + 4096))?;
    assert_eq!(stage.exit_code(&mut program)?, 500 + NO_SPACE);
    let mut program = stage.program(limits(u64::MAX))?;
    assert_eq!(stage.exit_code(&mut program)?, 5000);
    let mut program = stage.program(limits(0))?;
    // It cannot even make the file.
    assert_eq!(stage.exit_code(&mut program)?, 1);
    Ok(())
}

/// A file of the host that is larger than a process may have, or any may, is not read to find
/// that out.
#[test]
fn large_files_of_the_host_are_not_taken_along() -> Result<()> {
    let host = tempfile::tempdir()?;
    let stage = Stage::new(WRITE)?;
    let mount = HostMount {
        name: "/".into(),
        path: host.path().to_owned(),
        writes: HostWrites::Overlay,
    };
    let file = std::fs::File::create(host.path().join("file"))?;
    for (len, file_bytes, errno) in [(1 << 40, u64::MAX, 22), (2 * PAGE, 70_000, NO_SPACE)] {
        file.set_len(len)?;
        let limits = Limits {
            file_bytes,
            ..Limits::default()
        };
        let mut program = stage.program_over(vec![mount.clone()], limits)?;
        assert_eq!(stage.exit_code(&mut program)?, errno, "{len}");
    }
    Ok(())
}
