//! What bus stops cost: every guest of the suite under plain Wasmtime and as a process, in one run.
//!
//! Three ways to run one guest, taking turns: *plain*, the original module; *process*, instrumented,
//! on the engine's own memories, so that the difference is the instrumentation's; *program*,
//! instrumented, on Leap's pages with their changes tracked, as users run it. All have the same
//! engine settings and the same system interface, and all must print what the suite says.

mod plain;
mod subject;

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use guests::{SUITE, Size};

use crate::report::Report;
use subject::{Engines, Subject};

/// Guests under plain Wasmtime and instrumented: time, code size, compile time
#[derive(Args)]
pub(crate) struct InstrumentBench {
    /// Only these guests; all of the suite when none is named
    #[arg(long)]
    only: Vec<String>,
    /// How often each guest is run each way
    #[arg(long, default_value_t = 7)]
    rounds: u32,
    /// Also print every number of every guest
    #[arg(long)]
    details: bool,
    /// Run the guests at the size of tests: quick, and too short to measure
    #[arg(long)]
    small: bool,
}

/// The guest that has aims of its own.
const LARGE: &str = "sqlite";

impl InstrumentBench {
    pub(crate) fn run(self) -> anyhow::Result<Report> {
        let engines = Engines::new()?;
        let mut measured = Vec::new();
        for name in self.names() {
            let guest = self.measure(&engines, name)?;
            eprintln!("{name}: {:.3}", guest.time());
            measured.push(guest);
        }
        anyhow::ensure!(!measured.is_empty(), "no guest of that name");
        let mut report = Report::new("instrument");
        for guest in &measured {
            guest.add_to(&mut report, self.details);
        }
        summarise(&measured, &mut report);
        Ok(report)
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        let is_wanted = |name| self.only.is_empty() || self.only.iter().any(|only| only == name);
        let names = SUITE.iter().map(|program| program.name);
        names.filter(move |&name| is_wanted(name))
    }

    fn measure(&self, engines: &Engines, name: &'static str) -> anyhow::Result<Measured> {
        let size = if self.small { Size::Small } else { Size::Full };
        let guest = guests::build(name, size)?;
        let subject = Subject::compile(engines, &guest).context(name)?;
        let mut measured = Measured::new(name, &subject);
        for _ in 0..self.rounds {
            measured.plain = measured.plain.min(subject.run_plain().context(name)?);
            measured.process = measured.process.min(subject.run_process().context(name)?);
            measured.program = measured.program.min(subject.run_program().context(name)?);
        }
        Ok(measured)
    }
}

/// One guest's numbers: the shortest times, and ratios to the plain module's.
struct Measured {
    name: &'static str,
    plain: Duration,
    process: Duration,
    program: Duration,
    code_size: f64,
    compile_time: f64,
    wasm_size: f64,
}

impl Measured {
    fn new(name: &'static str, subject: &Subject<'_>) -> Self {
        Self {
            name,
            plain: Duration::MAX,
            process: Duration::MAX,
            program: Duration::MAX,
            code_size: subject.code_size(),
            compile_time: subject.compile_time(),
            wasm_size: subject.wasm_size(),
        }
    }

    fn time(&self) -> f64 {
        self.process.as_secs_f64() / self.plain.as_secs_f64()
    }

    fn time_on_pages(&self) -> f64 {
        self.program.as_secs_f64() / self.plain.as_secs_f64()
    }

    fn add_to(&self, report: &mut Report, details: bool) {
        let name = self.name;
        report.note(format!("{name}: time / plain"), self.time(), "ratio");
        if !details {
            return;
        }
        let plain_ms = self.plain.as_secs_f64() * 1e3;
        report.note(format!("{name}: plain"), plain_ms, "ms");
        let on_pages = self.time_on_pages();
        report.note(
            format!("{name}: time on tracked pages / plain"),
            on_pages,
            "ratio",
        );
        report.note(
            format!("{name}: code size / plain"),
            self.code_size,
            "ratio",
        );
        report.note(
            format!("{name}: compile time / plain"),
            self.compile_time,
            "ratio",
        );
        report.note(
            format!("{name}: wasm size / plain"),
            self.wasm_size,
            "ratio",
        );
    }
}

fn summarise(measured: &[Measured], report: &mut Report) {
    let mean = |of: fn(&Measured) -> f64| geometric_mean(measured.iter().map(of));
    let worst = |of: fn(&Measured) -> f64| measured.iter().map(of).fold(0.0, f64::max);
    report.at_most(
        "time / plain, geometric mean",
        mean(Measured::time),
        "ratio",
        1.05,
    );
    report.at_most("time / plain, worst", worst(Measured::time), "ratio", 1.25);
    let on_pages = mean(Measured::time_on_pages);
    report.note(
        "time on tracked pages / plain, geometric mean",
        on_pages,
        "ratio",
    );
    report.note(
        "time on tracked pages / plain, worst",
        worst(Measured::time_on_pages),
        "ratio",
    );
    let code_size = |guest: &Measured| guest.code_size;
    report.at_most(
        "code size / plain, geometric mean",
        mean(code_size),
        "ratio",
        2.0,
    );
    report.note("code size / plain, worst", worst(code_size), "ratio");
    let compile_time = |guest: &Measured| guest.compile_time;
    report.at_most(
        "compile time / plain, geometric mean",
        mean(compile_time),
        "ratio",
        2.0,
    );
    report.note("compile time / plain, worst", worst(compile_time), "ratio");
    report.note(
        "wasm size / plain, geometric mean",
        mean(|guest| guest.wasm_size),
        "ratio",
    );
    if let Some(large) = measured.iter().find(|guest| guest.name == LARGE) {
        report.at_most(
            format!("{LARGE}: time / plain"),
            large.time(),
            "ratio",
            1.10,
        );
        report.at_most(
            format!("{LARGE}: code size / plain"),
            large.code_size,
            "ratio",
            2.0,
        );
        report.at_most(
            format!("{LARGE}: compile time / plain"),
            large.compile_time,
            "ratio",
            2.0,
        );
    }
}

fn geometric_mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    (values.map(f64::ln).sum::<f64>() / count).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One small guest each way: it prints what it should, and the report has its figures.
    #[test]
    fn a_small_guest_is_measured() {
        let bench = InstrumentBench {
            only: vec!["fib".to_owned()],
            rounds: 1,
            details: true,
            small: true,
        };
        let report = serde_json::to_value(bench.run().unwrap()).unwrap();
        let figures = report["figures"].as_array().unwrap();
        let named = |name| figures.iter().any(|figure| figure["name"] == name);
        assert!(named("fib: time / plain") && named("code size / plain, geometric mean"));
    }
}
