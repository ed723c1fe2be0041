//! Guests in C, run as they are and moved from image to image: the same output, the same end.

mod c;
mod corpus;
mod hostile;
mod limits;
mod tails;
mod turns;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Waker;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use leap_memory::Tracking;
use leap_vm::image::{Base, Chain, Compression, write_file};
use leap_vm::wasi::{
    Arrived, Clock, Collected, HostMount, HostWrites, Outside, Sink, Source, Stream, WasiOptions,
    WasiState,
};
use leap_vm::{
    BackEnd, CaptureHandle, Directories, EngineOptions, Limits, Module, Outcome, Pages, Program,
    ProgramEngine, ProgramError, Surroundings,
};
use tempfile::TempDir;

const BACK_ENDS: [BackEnd; 3] = [BackEnd::Interpreter, BackEnd::Optimised, BackEnd::Quick];

/// Requests a capture whenever the guest does something, every so often.
#[derive(Clone)]
struct Disturber {
    handle: Arc<OnceLock<CaptureHandle>>,
    events: Arc<AtomicU64>,
    /// Every so many events; 0: never.
    every: u64,
}

impl Disturber {
    fn event(&self) {
        let event = self.events.fetch_add(1, Ordering::Relaxed) + 1;
        if self.every > 0
            && event.is_multiple_of(self.every)
            && let Some(handle) = self.handle.get()
        {
            handle.request();
        }
    }
}

struct DisturbedSink(Collected, Disturber);

impl Sink for DisturbedSink {
    fn write(&mut self, stream: Stream, bytes: &[u8]) -> std::io::Result<()> {
        self.1.event();
        self.0.write(stream, bytes)
    }
}

/// Asking for the time disturbs: so sleeps are interrupted.
struct DisturbedClock(Instant, Disturber);

impl Clock for DisturbedClock {
    fn realtime_ns(&self) -> u64 {
        1_700_000_000_000_000_000
    }

    fn monotonic_ns(&self) -> u64 {
        self.1.event();
        self.0.elapsed().as_nanos() as u64
    }
}

/// Lines that come one by one: each time there is nothing first, and then the guest is woken.
#[derive(Clone)]
struct Lines {
    rest: Arc<Mutex<Vec<&'static str>>>,
    /// Shared, or it would be looked for again and again wherever the guest goes.
    is_there: Arc<AtomicBool>,
    disturber: Disturber,
}

impl Source for Lines {
    fn read(&mut self, _: usize, waker: &Waker) -> Arrived {
        self.disturber.event();
        if !self.is_there.fetch_xor(true, Ordering::Relaxed) {
            waker.wake_by_ref();
            return Arrived::Nothing;
        }
        let line = self.rest.lock().expect("no test panics with it").pop();
        line.map_or(Arrived::End, |line| {
            Arrived::Bytes(line.as_bytes().to_vec())
        })
    }
}

/// What a run showed.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    output: String,
    errors: String,
    code: i32,
}

struct Stage {
    engines: Vec<ProgramEngine>,
    /// Kept, for an engine forgets what is in use nowhere.
    modules: Vec<Module>,
    directory: TempDir,
    module: Vec<u8>,
    compression: Compression,
    moves: usize,
}

impl Stage {
    fn new(guest: &str, compression: Compression) -> Result<Self> {
        let engine = |(nth, back_end)| {
            let options = EngineOptions {
                back_end,
                ..EngineOptions::default()
            };
            let tracking = [Tracking::Auto, Tracking::Protect][nth % 2];
            ProgramEngine::new(options, tracking)
        };
        let module = c::build(guest)?;
        let engines = BACK_ENDS.into_iter().enumerate().map(engine);
        let engines: Vec<ProgramEngine> = engines.collect::<Result<_, _>>()?;
        let modules = engines.iter().map(|engine| engine.compile(&module));
        Ok(Self {
            modules: modules.collect::<Result<_, _>>()?,
            engines,
            directory: tempfile::tempdir()?,
            module,
            compression,
            moves: 0,
        })
    }

    /// Runs the guest with a capture every so many events, after each of which it goes on from
    /// the image in another process under another back end.
    fn run(&mut self, options: &WasiOptions, every: u64) -> Result<Shown> {
        let output = Collected::default();
        let disturber = Disturber {
            handle: Arc::default(),
            events: Arc::default(),
            every,
        };
        let lines = Lines {
            rest: Arc::new(Mutex::new(vec!["three\n", "two\n", "one\n"])),
            is_there: Arc::default(),
            disturber: disturber.clone(),
        };
        // A handle is of one process: each gets a disturber of its own.
        let outside = |disturber: &Disturber| Outside {
            sink: Box::new(DisturbedSink(output.clone(), disturber.clone())),
            source: Box::new(Lines {
                disturber: disturber.clone(),
                ..lines.clone()
            }),
            clock: Box::new(DisturbedClock(Instant::now(), disturber.clone())),
            limits: Limits::default(),
        };
        let mut engine = self.engines[0].clone();
        let state = WasiState::new(options);
        let mut program = Program::start(&engine, &self.modules[0], state, outside(&disturber))?;
        let _ = disturber.handle.set(program.capture_handle());
        let mut base: Option<Base> = None;
        loop {
            let code = match on_thread(&engine, &mut program)? {
                Outcome::Returned(_) => 0,
                Outcome::Exited(code) => code,
                Outcome::Trapped(trap) => anyhow::bail!("{trap}"),
                Outcome::Stopped => {
                    let name = format!("{:06}.leap", self.moves);
                    base = Some(self.shoot(&mut program, &name, base)?);
                    self.moves += 1;
                    drop(program);
                    engine = self.engines[self.moves % self.engines.len()].clone();
                    let chain = Chain::open(&self.path(&name))?;
                    let module = engine.compile(&chain.module()?)?;
                    let disturber = Disturber {
                        handle: Arc::default(),
                        ..disturber.clone()
                    };
                    let surroundings = Surroundings {
                        outside: outside(&disturber),
                        directories: Directories::AsBefore,
                        verify: true,
                    };
                    program = Program::restore(&engine, &module, &chain, surroundings)?;
                    let _ = disturber.handle.set(program.capture_handle());
                    continue;
                }
            };
            let text = |stream| String::from_utf8(output.bytes(stream));
            return Ok(Shown {
                output: text(Stream::Output)?,
                errors: text(Stream::Error)?,
                code,
            });
        }
    }

    /// Every fifth image is whole, the others are relative to the one before.
    fn shoot(&self, program: &mut Program, name: &str, base: Option<Base>) -> Result<Base> {
        let base = base.filter(|_| !self.moves.is_multiple_of(5));
        let pages = match base {
            None => Pages::Whole,
            Some(_) => Pages::Changes,
        };
        let module = base.is_none().then_some(self.module.as_slice());
        let capture = program.capture(pages)?;
        let contents = capture.contents(module, base);
        let id = write_file(&self.path(name), &contents, self.compression)?;
        Ok(Base {
            id,
            name: name.to_owned(),
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// Runs a program on a thread with the stack that it needs.
fn on_thread(engine: &ProgramEngine, program: &mut Program) -> Result<Outcome> {
    std::thread::scope(|threads| {
        let thread = std::thread::Builder::new().stack_size(engine.thread_stack_bytes());
        let running = thread.spawn_scoped(threads, || program.run())?;
        let outcome = running
            .join()
            .map_err(|_| anyhow::anyhow!("the thread panicked"))?;
        Ok(outcome?)
    })
}

/// Runs the program, which is asked to stop after a while: it may wait for ever.
fn on_thread_within(
    engine: &ProgramEngine,
    program: &mut Program,
    patience: Duration,
) -> Result<Outcome> {
    let handle = program.capture_handle();
    let (ending, has_ended) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|threads| {
        threads.spawn(move || {
            // Nothing is sent: either patience ends or the run does.
            let _ = has_ended.recv_timeout(patience);
            handle.request();
        });
        let outcome = on_thread(engine, program);
        drop(ending);
        outcome
    })
}

/// The guest's output when it is moved every so often is that when it is left alone.
fn moved_as_plain(guest: &str, options: &WasiOptions, every: &[u64]) -> Result<Shown> {
    let plain = Stage::new(guest, Compression::None)?.run(options, 0)?;
    for (nth, &every) in every.iter().enumerate() {
        let compression = [Compression::default(), Compression::None][nth % 2];
        let mut stage = Stage::new(guest, compression)?;
        let moved = stage
            .run(options, every)
            .with_context(|| format!("every {every}"))?;
        assert!(
            stage.moves > 2,
            "{guest} was moved {} times only",
            stage.moves
        );
        assert_eq!(moved, plain, "{guest}, every {every}");
    }
    Ok(plain)
}

fn in_memory() -> WasiOptions {
    WasiOptions {
        arguments: vec!["guest".into(), "a".into(), "b".into()],
        memory_directories: vec!["/".into()],
        random_seed: Some(1),
        ..WasiOptions::default()
    }
}

#[test]
fn computing_moves() -> Result<()> {
    let shown = moved_as_plain("compute.c", &in_memory(), &[1, 3])?;
    assert_eq!(shown.code, 0);
    assert!(shown.output.contains("depth 2"), "{}", shown.output);
    assert!(
        shown.output.contains("grown to 2097152"),
        "{}",
        shown.output
    );
    Ok(())
}

const FILES: &str = "\
mkdir: done
mkdir again: File exists
written 0
written 100
written 200
written 300
written 400
written 500
written 600
written 700
written 800
written 900
read 0
read 250
read 500
read 750
sum 499500 at 8890
rename: done
symlink: done
stat: done
8890 bytes
/: d link
/d: moved
/none: No such file or directory
rmdir: Directory not empty
escape: Operation not permitted
unlink: done
write: done
7 bytes: the end
truncate: done
now 3
rmdir: done
/: link
";

#[test]
fn files_move() -> Result<()> {
    let shown = moved_as_plain("files.c", &in_memory(), &[1, 4])?;
    assert_eq!(shown.code, 3);
    assert_eq!(shown.output, FILES);
    Ok(())
}

#[test]
fn files_over_a_directory_of_the_host_move() -> Result<()> {
    let host = tempfile::tempdir()?;
    let options = WasiOptions {
        directories: vec![HostMount {
            name: "/".into(),
            path: host.path().to_owned(),
            writes: HostWrites::Overlay,
        }],
        memory_directories: Vec::new(),
        ..in_memory()
    };
    let shown = moved_as_plain("files.c", &options, &[5])?;
    assert_eq!(shown.output, FILES);
    assert_eq!(std::fs::read_dir(host.path())?.count(), 0);
    Ok(())
}

#[test]
fn waiting_moves() -> Result<()> {
    let shown = moved_as_plain("wait.c", &in_memory(), &[1, 2, 3])?;
    assert_eq!(shown.code, 0);
    assert_eq!(
        shown.output,
        "guest with 2 arguments\nslept 0\nslept 1\nslept 2\nlong enough\ngot one\ngot two\ngot three\nend of input\n"
    );
    Ok(())
}

#[test]
fn a_restored_program_has_no_directory_that_it_was_not_granted() -> Result<()> {
    let host = tempfile::tempdir()?;
    let mount = HostMount {
        name: "/".into(),
        path: host.path().to_owned(),
        writes: HostWrites::Overlay,
    };
    let mut stage = Stage::new("files.c", Compression::None)?;
    let options = WasiOptions {
        directories: vec![mount.clone()],
        memory_directories: Vec::new(),
        ..in_memory()
    };
    stage.run(&options, 40)?;
    let chain = Chain::open(&stage.path("000000.leap"))?;
    let restore = |granted| {
        let surroundings = Surroundings {
            outside: Outside::with_sink(Collected::default()),
            directories: Directories::Granted(granted),
            verify: true,
        };
        Program::restore(&stage.engines[0], &stage.modules[0], &chain, surroundings)
    };
    let direct = HostMount {
        writes: HostWrites::Direct,
        ..mount.clone()
    };
    for granted in [vec![], vec![direct]] {
        let refused = restore(granted);
        assert!(matches!(refused, Err(ProgramError::NotGranted { .. })));
    }
    let elsewhere = tempfile::tempdir()?;
    let moved = HostMount {
        path: elsewhere.path().to_owned(),
        ..mount
    };
    let mut program = restore(vec![moved])?;
    let outcome = on_thread(&stage.engines[0], &mut program)?;
    assert!(matches!(outcome, Outcome::Exited(3)), "{outcome:?}");
    Ok(())
}
