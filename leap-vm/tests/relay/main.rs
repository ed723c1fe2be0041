//! A relay: a program runs for a while in one process of the operating system and goes on from its
//! image in another, under another back end and, if there is one, on another machine.
//!
//! `LEAP_RELAY_ELSEWHERE` is a command that runs this test there: every other leg goes that way.
//! `cargo xtask test-aarch64` gives one. Without it all legs are here.

mod leg;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use guests::Size;
use tempfile::TempDir;

use leg::{Leg, Report, Start};

/// How a leg is started elsewhere.
const ELSEWHERE: &str = "LEAP_RELAY_ELSEWHERE";
const LEGS: u32 = 9;
/// So many legs, then an image that stands by itself; the others are relative to the one before.
const WHOLE_EVERY: u32 = 4;

/// A program on its way.
struct Relay {
    directory: TempDir,
    module: PathBuf,
    arguments: Vec<String>,
    elsewhere: Option<Vec<String>>,
}

impl Relay {
    fn new(wasm: &[u8], arguments: Vec<String>) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let module = directory.path().join("module.wasm");
        std::fs::write(&module, wasm)?;
        let elsewhere = std::env::var(ELSEWHERE).ok();
        Ok(Self {
            directory,
            module,
            arguments,
            elsewhere: elsewhere
                .map(|command| command.split_whitespace().map(str::to_owned).collect()),
        })
    }

    fn start(&self) -> Start {
        Start::Module {
            path: self.module.clone(),
            arguments: self.arguments.clone(),
        }
    }

    fn image(&self, number: u32) -> PathBuf {
        self.directory.path().join(format!("{number:03}.leap"))
    }

    /// Runs a leg in a process of its own.
    fn run(&self, leg: &Leg, is_elsewhere: bool) -> Result<Report> {
        let command = match &self.elsewhere {
            Some(command) if is_elsewhere => command.clone(),
            _ => vec![std::env::current_exe()?.to_string_lossy().into_owned()],
        };
        let file = self.directory.path().join("leg");
        leg.write(&file)?;
        let output = Command::new(&command[0])
            .args(&command[1..])
            .args(["--exact", "programs_are_relayed"])
            .env(leg::ASKED, &file)
            .output()
            .with_context(|| format!("cannot run {command:?}"))?;
        ensure!(
            output.status.success(),
            "{leg:?} by {command:?}: {}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let report = Report::read(&leg.report)?;
        let is_other = report.architecture != std::env::consts::ARCH;
        ensure!(
            is_other == (is_elsewhere && self.elsewhere.is_some()),
            "a leg by {command:?} ran on {}",
            report.architecture
        );
        Ok(report)
    }

    /// From the beginning to the end in one leg.
    fn whole(&self, is_elsewhere: bool) -> Result<Report> {
        let leg = Leg {
            from: self.start(),
            back_end: 0,
            checks: u32::MAX,
            image: self.image(0),
            whole: true,
            report: self.directory.path().join("report"),
        };
        self.run(&leg, is_elsewhere)
    }

    /// In legs of so many checks; what they put out together.
    fn in_legs(&self, checks: u32) -> Result<Vec<u8>> {
        let mut from = self.start();
        let mut output = Vec::new();
        for number in 1.. {
            let leg = Leg {
                from,
                back_end: number % 3,
                checks,
                image: self.image(number),
                whole: number % WHOLE_EVERY == 1,
                report: self.directory.path().join("report"),
            };
            let report = self.run(&leg, number % 2 == 0)?;
            output.extend(report.output);
            if report.has_ended {
                ensure!(number >= LEGS, "there were {number} legs only");
                break;
            }
            from = Start::Image(leg.image);
        }
        Ok(output)
    }
}

/// Left alone here, left alone elsewhere and relayed, a program puts out the same.
fn relayed(wasm: &[u8], arguments: Vec<String>) -> Result<Vec<u8>> {
    let relay = Relay::new(wasm, arguments)?;
    let here = relay.whole(false)?;
    ensure!(here.has_ended && here.checks > 10 * LEGS, "{here:?}");
    let elsewhere = relay.whole(true)?;
    ensure!(
        elsewhere.output == here.output,
        "elsewhere: {elsewhere:?} instead of {here:?}"
    );
    let relayed = relay.in_legs(here.checks / LEGS)?;
    ensure!(
        relayed == here.output,
        "relayed: {relayed:?} instead of {here:?}"
    );
    if relay.elsewhere.is_some() {
        eprintln!(
            "{} here with {} tracking, {} there with {} tracking: {} checks in {LEGS} legs, the same {} bytes",
            here.architecture,
            here.tracking,
            elsewhere.architecture,
            elsewhere.tracking,
            here.checks,
            here.output.len()
        );
    }
    Ok(here.output)
}

fn relayed_guest(name: &str) -> Result<()> {
    let guest = guests::build(name, Size::Small)?;
    let output = relayed(&guest.wasm, guest.arguments)?;
    ensure!(output == guest.output.as_bytes(), "{name}: {output:?}");
    Ok(())
}

/// The program in which machines differ, if they do.
#[test]
fn programs_are_relayed() -> Result<()> {
    if let Some(asked) = std::env::var_os(leg::ASKED) {
        return leg::run(Path::new(&asked));
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/relay/machines.wat");
    let output = relayed(&wat::parse_file(source)?, Vec::new())?;
    let notes: Vec<u64> = output
        .chunks_exact(8)
        .map(|note| u64::from_le_bytes(note.try_into().expect("eight bytes")))
        .collect();
    // All that `makes_nans` notes first is canonical; some of `keeps_nans` is not, and as it was.
    ensure!(
        notes[..9].iter().all(|&note| note == CANONICAL),
        "{notes:x?}"
    );
    ensure!(notes.contains(&(0x7ff << 52 | 0x123)), "{notes:x?}");
    Ok(())
}

/// The bits of the canonical NaN.
const CANONICAL: u64 = 0x7ff8 << 48;

#[test]
fn floats_are_relayed() -> Result<()> {
    relayed_guest("nbody")
}

#[test]
fn allocation_is_relayed() -> Result<()> {
    relayed_guest("sort-mix")
}

#[test]
fn cxx_is_relayed() -> Result<()> {
    relayed_guest("ledger")
}

#[test]
fn jumps_are_relayed() -> Result<()> {
    relayed_guest("escapes")
}
