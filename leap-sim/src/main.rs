//! The command around the simulator: runs many seeds, and shows the first that fails.
#![expect(
    clippy::disallowed_types,
    reason = "seeds per second are measured on the real clock, outside of all runs"
)]

use std::{
    io::Write as _,
    process::ExitCode,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Instant,
};

use clap::{Parser, ValueEnum};
use leap_sim::{Options, Outcome, Rule, run};

/// Runs the protocol in a simulated world, one run per seed, and judges every rule.
///
/// Prints seeds per second, and for the first seed that fails: which checker noticed, what it saw, the
/// end of the run's trace and the command that shows all of it. The exit code is 1 then.
#[derive(Debug, Parser)]
#[command(name = "leap-sim", version)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    seeds: u64,
    /// Run just this seed, and print its trace hash.
    #[arg(long, value_name = "S", conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// The first seed.
    #[arg(long, default_value_t = 0, value_name = "K")]
    from: u64,
    /// Print the whole trace of the seed that fails, or of the one seed asked for.
    #[arg(long)]
    trace: bool,
    /// Switch a protocol rule off. A checker must notice.
    #[arg(long, value_name = "RULE", ignore_case = true)]
    without: Option<Switch>,
    /// How many threads to run seeds on.
    #[arg(long, default_value_t = 1, value_name = "J")]
    jobs: u64,
}

/// The rules that can be switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    /// Commit ordering.
    P4,
    /// Recovery partition.
    P5,
    /// Release.
    P8,
    /// Decide, log, release.
    P10,
    /// Its acknowledgement.
    P10Acknowledgement,
    /// Fencing, also that of the simulated storage.
    P12,
    /// What is held in open levels.
    P16,
    /// What is delivered again when a level is aborted.
    P16Redelivery,
}

impl Switch {
    fn rule(self) -> Rule {
        match self {
            Self::P4 => Rule::P4,
            Self::P5 => Rule::P5,
            Self::P8 => Rule::P8,
            Self::P10 => Rule::P10,
            Self::P10Acknowledgement => Rule::P10Acknowledgement,
            Self::P12 => Rule::P12,
            Self::P16 => Rule::P16,
            Self::P16Redelivery => Rule::P16Redelivery,
        }
    }
}

/// How many lines of a failed run's trace are shown when the whole is not asked for.
const TAIL: usize = 40;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A failed assertion inside a run is a finding, which is shown with its seed.
    std::panic::set_hook(Box::new(|_| {}));
    match arguments.seed {
        Some(seed) => show(seed, &arguments),
        None => hunt(&arguments),
    }
}

/// Runs many seeds until one fails.
fn hunt(arguments: &Arguments) -> ExitCode {
    let options = Options {
        without: arguments.without.map(Switch::rule),
        trace: false,
    };
    let progress = Progress::new(arguments);
    let jobs = arguments.jobs.max(1);
    std::thread::scope(|scope| {
        for job in 0..jobs {
            let progress = &progress;
            scope.spawn(move || {
                let mut index = job;
                while index < arguments.seeds && !progress.has_failed(index) {
                    let seed = arguments.from.wrapping_add(index);
                    let outcome = run(seed, &options);
                    progress.ran(index, &outcome);
                    index += jobs;
                }
            });
        }
    });
    progress.report();
    match progress.first_failed() {
        None => ExitCode::SUCCESS,
        Some(index) => show(arguments.from.wrapping_add(index), arguments),
    }
}

/// Runs one seed again, with its trace.
fn show(seed: u64, arguments: &Arguments) -> ExitCode {
    let options = Options {
        without: arguments.without.map(Switch::rule),
        trace: true,
    };
    let outcome = run(seed, &options);
    let skipped = match (arguments.trace, &outcome.violation) {
        (true, _) => 0,
        (false, Some(_)) => outcome.trace.len().saturating_sub(TAIL),
        (false, None) => outcome.trace.len(),
    };
    for line in &outcome.trace[skipped..] {
        say(line);
    }
    let Some(violation) = outcome.violation else {
        let (events, hash) = (outcome.events, outcome.trace_hash);
        say(&format!(
            "seed {seed}: {events} events, trace hash {hash:016x}, every rule held"
        ));
        return ExitCode::SUCCESS;
    };
    say(&format!(
        "\nseed {seed}: {} was violated:\n{}\n",
        violation.checker, violation.reason
    ));
    let without = arguments
        .without
        .and_then(|switch| switch.to_possible_value())
        .map_or_else(String::new, |value| {
            format!(" --without {}", value.get_name())
        });
    say(&format!(
        "the whole trace: cargo run --release -p leap-sim -- --seed {seed} --trace{without}"
    ));
    ExitCode::FAILURE
}

/// How far the jobs are, together.
struct Progress {
    began: Instant,
    ran: AtomicU64,
    events: AtomicU64,
    failed: AtomicBool,
    first_failed: AtomicU64,
    every: u64,
}

impl Progress {
    fn new(arguments: &Arguments) -> Self {
        Self {
            began: Instant::now(),
            ran: AtomicU64::new(0),
            events: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            first_failed: AtomicU64::new(u64::MAX),
            every: (arguments.seeds / 10).max(10_000),
        }
    }

    /// Whether a smaller seed has failed, so that this one need not run.
    fn has_failed(&self, index: u64) -> bool {
        self.first_failed.load(Ordering::Relaxed) < index
    }

    fn ran(&self, index: u64, outcome: &Outcome) {
        self.events.fetch_add(outcome.events, Ordering::Relaxed);
        if outcome.violation.is_some() {
            self.failed.store(true, Ordering::Relaxed);
            self.first_failed.fetch_min(index, Ordering::Relaxed);
        }
        if (self.ran.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(self.every) {
            self.report();
        }
    }

    fn first_failed(&self) -> Option<u64> {
        let failed = self.failed.load(Ordering::Relaxed);
        failed.then(|| self.first_failed.load(Ordering::Relaxed))
    }

    fn report(&self) {
        let ran = self.ran.load(Ordering::Relaxed);
        let events = self.events.load(Ordering::Relaxed);
        let seconds = self.began.elapsed().as_secs_f64();
        let rate = ran as f64 / seconds;
        say(&format!(
            "{ran} seeds, {events} events, {seconds:.1} s, {rate:.0} seeds/s"
        ));
    }
}

/// Prints a line. Whoever closes the pipe has seen enough.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
