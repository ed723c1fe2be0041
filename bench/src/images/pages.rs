//! A process of 64 MiB that changes one page in a hundred between captures.

use std::io::Cursor;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use leap_memory::{PAGE_BYTES, Tracking};
use leap_vm::image::{Compression, write, write_file};
use leap_vm::wasi::{WasiOptions, WasiState};
use leap_vm::{Capture, EngineOptions, Pages, Program, ProgramEngine};

use crate::marks::{MARKING, Marks, stop};
use crate::report::{Report, median_ms};

const MEMORY_BYTES: usize = 64 << 20;
const DIRTY_PAGES: usize = MEMORY_BYTES / PAGE_BYTES / 100;

pub(super) fn measure(directory: &Path, rounds: usize, report: &mut Report) -> anyhow::Result<()> {
    let marks = Marks::default();
    let engine = ProgramEngine::new(EngineOptions::default(), Tracking::default())?;
    let module = engine.compile(&wat::parse_str(guest())?)?;
    let state = WasiState::new(&WasiOptions::default());
    let mut program = Program::start(&engine, &module, state, marks.outside())?;
    marks.request_of(program.capture_handle());
    stop(&mut program)?;

    let whole = program.capture(Pages::Whole)?;
    ensure!(
        whole.page_bytes() >= MEMORY_BYTES,
        "{} bytes of pages",
        whole.page_bytes()
    );
    deltas(&mut program, &marks, rounds, report)?;
    full_captures(&mut program, rounds, report)?;
    full_images(&mut program, rounds, report)?;
    files(&whole, directory, report)
}

/// Fills its memory with numbers, then for ever: changes one page in a hundred, marks.
fn guest() -> String {
    let words = MEMORY_BYTES / 8;
    let stride = PAGE_BYTES * 100;
    format!(
        r#"(module {MARKING}
  (memory (export "memory") {pages})
  (func (export "_start") (local $at i32) (local $word i64) (local $offset i32)
    (local.set $at (i32.const 4))
    (loop $fill
      (local.set $word (i64.mul (i64.add (local.get $word) (i64.const 1)) (i64.const 0x9E3779B97F4A7C15)))
      (i64.store (i32.mul (local.get $at) (i32.const 8)) (local.get $word))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $fill (i32.lt_u (local.get $at) (i32.const {words}))))
    (loop $forever
      (call $mark (i32.const 99))
      (call $mark (i32.const 114))
      (local.set $offset (i32.rem_u (i32.add (local.get $offset) (i32.const {PAGE_BYTES})) (i32.const {stride})))
      (local.set $at (local.get $offset))
      (loop $change
        (i64.store offset=64 (local.get $at) (i64.add (i64.load offset=64 (local.get $at)) (i64.const 1)))
        (local.set $at (i32.add (local.get $at) (i32.const {stride})))
        (br_if $change (i32.lt_u (local.get $at) (i32.const {last}))))
      (br $forever))))"#,
        pages = MEMORY_BYTES >> 16,
        last = DIRTY_PAGES * stride,
    )
}

/// The pause of a capture of changes: from the request until the program's own code runs again.
fn deltas(
    program: &mut Program,
    marks: &Marks,
    rounds: usize,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (mut captures, mut pauses) = (Vec::new(), Vec::new());
    // The program says that it goes on in the run after the capture: one round more.
    let mut previous: Option<Instant> = None;
    for round in 0..=rounds {
        stop(program)?;
        if let Some(requested) = previous {
            pauses.push(marks.going_on()?.saturating_duration_since(requested));
        }
        let requested = marks.requested()?;
        let capture = program.capture(Pages::Changes)?;
        captures.push(requested.elapsed());
        let pages = capture.page_bytes() / PAGE_BYTES;
        // The page of the marks changes, too.
        let is_right = round == 0 || (DIRTY_PAGES..=DIRTY_PAGES + 2).contains(&pages);
        ensure!(is_right, "{pages} pages have changed");
        previous = Some(requested);
    }
    report.note(
        "dirty pages of a delta capture",
        DIRTY_PAGES as f64,
        "pages",
    );
    report.note(
        "delta capture: request to capture in hand",
        median_ms(captures),
        "ms",
    );
    report.at_most(
        "delta capture: pause, request to program running again",
        median_ms(pauses),
        "ms",
        2.0,
    );
    Ok(())
}

/// For how long the program stands still for all of its pages, when they were copied before and one
/// in a hundred has changed since.
fn full_captures(program: &mut Program, rounds: usize, report: &mut Report) -> anyhow::Result<()> {
    let (mut copies, mut captures) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let begun = Instant::now();
        let copied = program.page_copier().copy()?;
        copies.push(begun.elapsed());
        stop(program)?;
        let stopped = Instant::now();
        let capture = program.capture_over(copied)?;
        captures.push(stopped.elapsed());
        ensure!(capture.page_bytes() >= MEMORY_BYTES, "pages are missing");
    }
    report.note(
        "copy of 64 MiB while the program runs",
        median_ms(copies),
        "ms",
    );
    report.note(
        "full capture of 64 MiB over that copy",
        median_ms(captures),
        "ms",
    );
    Ok(())
}

/// Captures whole and writes to memory, uncompressed.
fn full_images(program: &mut Program, rounds: usize, report: &mut Report) -> anyhow::Result<()> {
    let (mut captures, mut writes, mut both) = (Vec::new(), Vec::new(), Vec::new());
    let mut out = Cursor::new(vec![0_u8; MEMORY_BYTES * 5 / 4]);
    for _ in 0..rounds {
        let begun = Instant::now();
        let capture = program.capture(Pages::Whole)?;
        let captured = begun.elapsed();
        out.set_position(0);
        write(&mut out, &capture.contents(None, None), Compression::None)?;
        let written = begun.elapsed();
        captures.push(captured);
        writes.push(written - captured);
        both.push(written);
    }
    let mib = (MEMORY_BYTES >> 20) as f64;
    let gib_per_s = |ms: f64| mib / 1024.0 / (ms / 1e3);
    report.note(
        "full capture of 64 MiB without a copy",
        median_ms(captures),
        "ms",
    );
    let (writes, both) = (median_ms(writes), median_ms(both));
    report.at_least(
        "full image write before compression",
        gib_per_s(writes),
        "GiB/s",
        1.0,
    );
    report.note(
        "full capture and image write together",
        gib_per_s(both),
        "GiB/s",
    );
    Ok(())
}

/// Full images on disk, durable.
fn files(capture: &Capture, directory: &Path, report: &mut Report) -> anyhow::Result<()> {
    let directory = tempfile::tempdir_in(directory)?;
    let ways = [
        ("uncompressed", Compression::None),
        ("compressed", Compression::default()),
    ];
    for (way, compression) in ways {
        let path = directory.path().join(way);
        let begun = Instant::now();
        write_file(&path, &capture.contents(None, None), compression)?;
        let ms = begun.elapsed().as_secs_f64() * 1e3;
        let bytes = path.metadata().context("an image was written")?.len();
        report.note(format!("full image, durable on disk, {way}"), ms, "ms");
        report.note(
            format!("full image, {way}"),
            bytes as f64 / (1 << 20) as f64,
            "MiB",
        );
    }
    Ok(())
}
