//! What images cost: a process of 64 MiB, all of it used, that writes every hundredth page
//! between two captures.
//!
//!     cargo run --release -p leap-vm --example images

use std::io::Cursor;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use leap_memory::Tracking;
use leap_vm::image::{Chain, Compression, write};
use leap_vm::wasi::{Outside, Sink, Stream, WasiOptions, WasiState};
use leap_vm::{
    CaptureHandle, Directories, EngineOptions, Outcome, Pages, Program, ProgramEngine, Surroundings,
};

/// Fills 64 MiB with what compresses a little, then for ever writes to every hundredth page and says
/// so.
const GUEST: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1025)
    (func $fill (local $at i32) (local $x i32)
        (loop $next
            (local.set $x (i32.add (i32.mul (local.get $x) (i32.const 1664525)) (i32.const 1013904223)))
            (i32.store offset=65536 (local.get $at) (i32.and (local.get $x) (i32.const 0x00ff0fff)))
            (local.set $at (i32.add (local.get $at) (i32.const 4)))
            (br_if $next (i32.lt_u (local.get $at) (i32.const 67108864)))))
    (func $touch (local $at i32)
        (loop $next
            (i32.store offset=65536 (local.get $at)
                (i32.add (i32.load offset=65536 (local.get $at)) (i32.const 1)))
            (local.set $at (i32.add (local.get $at) (i32.const 409600)))
            (br_if $next (i32.lt_u (local.get $at) (i32.const 67108864)))))
    (func (export "_start")
        (call $fill)
        (loop $again
            (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 16)))
            (call $touch)
            (br $again))))"#;

const ROUNDS: usize = 15;

/// Requests a capture at each write.
struct Captor(Arc<OnceLock<CaptureHandle>>);

impl Sink for Captor {
    fn write(&mut self, _: Stream, _: &[u8]) -> std::io::Result<()> {
        if let Some(handle) = self.0.get() {
            handle.request();
        }
        Ok(())
    }
}

#[allow(clippy::print_stdout, reason = "it prints figures")]
fn main() -> Result<()> {
    let module = wat::parse_str(GUEST)?;
    for tracking in [Tracking::Userfault, Tracking::Protect] {
        let engine = ProgramEngine::new(EngineOptions::default(), tracking)?;
        let compiled = engine.compile(&module)?;
        let handle = Arc::new(OnceLock::new());
        let outside = || Outside::with_sink(Captor(handle.clone()));
        let state = WasiState::new(&WasiOptions::default());
        let mut program = Program::start(&engine, &compiled, state, outside())?;
        let _ = handle.set(program.capture_handle());

        stop(&mut program)?;
        let (whole_time, whole) = timed(|| program.capture(Pages::Whole));
        let whole = whole?;
        println!(
            "{tracking:?}: whole capture of {} MiB {whole_time:?}",
            whole.page_bytes() >> 20
        );
        let (mut pause, mut page_bytes) = (Duration::MAX, 0);
        for _ in 0..ROUNDS {
            stop(&mut program)?;
            let (time, capture) = timed(|| program.capture(Pages::Changes));
            pause = pause.min(time);
            page_bytes = capture?.page_bytes();
        }
        println!("  capture of {} changed pages {pause:?}", page_bytes / 4096);

        for compression in [
            Compression::None,
            Compression::Zstd { level: -5 },
            Compression::default(),
        ] {
            let contents = whole.contents(Some(&module), None);
            let mut bytes = Vec::new();
            let mut fastest = Duration::MAX;
            for _ in 0..3 {
                let mut out = Cursor::new(std::mem::take(&mut bytes));
                let (time, id) = timed(|| write(&mut out, &contents, compression));
                id?;
                fastest = fastest.min(time);
                bytes = out.into_inner();
            }
            let gib = whole.page_bytes() as f64 / f64::from(1 << 30);
            println!(
                "  {compression:?}: image of {} MiB in {fastest:?}, {:.2} GiB/s of pages",
                bytes.len() >> 20,
                gib / fastest.as_secs_f64()
            );
            let directory = tempfile::tempdir()?;
            let path = directory.path().join("image");
            std::fs::write(&path, &bytes)?;
            let (time, restored) = timed(|| -> Result<Program> {
                let chain = Chain::open(&path)?;
                let surroundings = Surroundings {
                    outside: outside(),
                    directories: Directories::AsBefore,
                    verify: false,
                };
                Ok(Program::restore(&engine, &compiled, &chain, surroundings)?)
            });
            restored?;
            println!("    restored in {time:?}");
        }
    }
    Ok(())
}

fn stop(program: &mut Program) -> Result<()> {
    match program.run()? {
        Outcome::Stopped => Ok(()),
        other => bail!("{other:?}"),
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let done = work();
    (start.elapsed(), done)
}
