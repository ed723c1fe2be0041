//! Deterministic simulation of the protocol: one seed, one run, one checker per rule.
//!
//! A run draws its configuration and all of its faults from the seed, plays network, storage, guests
//! and outsiders around the real code of `leap-core`, and lets one checker per protocol rule judge what
//! happens against the true dependency graph, which the simulation records for itself. After a while
//! all faults stop; then everything must come to rest.
//!
//! It knows no clock, no thread and no I/O.
//!
//! ```
//! use leap_sim::{Options, run};
//! let outcome = run(7, &Options::default());
//! assert_eq!(outcome.violation, None);
//! assert_eq!(outcome.trace_hash, run(7, &Options::default()).trace_hash);
//! ```

#![forbid(unsafe_code)]

mod checker;
mod client;
mod config;
mod fault;
mod guest;
mod instance;
mod network;
mod process;
mod random;
pub mod scenario;
mod seat;
mod sthread;
mod storage;
mod trace;
mod truth;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use leap_core::Rules;

pub use checker::Violation;
use config::Config;
pub use leap_core::Rule;
use random::Random;
use world::World;

/// How to run a seed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The rule to switch off, for a canary.
    pub without: Option<Rule>,
    /// Whether to keep the trace as text.
    pub trace: bool,
}

/// What came of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The first rule that did not hold.
    pub violation: Option<Violation>,
    /// A hash over everything that happened; equal seeds give equal hashes.
    pub trace_hash: u64,
    /// How many events the run had.
    pub events: u64,
    /// One line per step, if [`Options::trace`] asked for it.
    pub trace: Vec<String>,
}

/// Runs one seed to its end, or to the first violation.
pub fn run(seed: u64, options: &Options) -> Outcome {
    let mut random = Random::new(seed);
    let config = Config::draw(&mut random);
    let rules = options.without.map_or_else(Rules::default, Rules::without);
    let is_fencing = options.without != Some(Rule::P12);
    let mut world = World::new(config, random, rules, is_fencing, options.trace);
    if options.trace {
        let config = format!("{:#?}", world.config);
        world.say(format_args!("{config}"));
    }
    // An assertion that fails is a finding like any other.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| world.run())) {
        let message = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
        world.violate("assertion", message.unwrap_or_default());
    }
    Outcome {
        violation: world.violation.take(),
        trace_hash: world.trace.hash(),
        events: world.events,
        trace: world.trace.take_lines(),
    }
}
