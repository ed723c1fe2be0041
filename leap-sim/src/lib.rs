//! Deterministic simulation of the protocol: one seed, one run, one checker per rule.
//!
//! A run draws its configuration and all of its faults from the seed, plays network, storage, guests
//! and outsiders around the real code of `leap-core`, and lets one checker per protocol rule judge what
//! happens against the true dependency graph, which the simulation records for itself. After a while
//! all faults stop; then everything must come to rest.
//!
//! It knows no clock, no thread and no I/O. A failed seed is understood with its trace, and then told
//! again as a short [`scenario`].
//!
//! # The world
//!
//! | part | shows |
//! |---|---|
//! | links | order while they last; loss of all that is under way when they break, but for a prefix that may come late, after the link is up again; delay; partitions |
//! | storage | several writes under way, durable in order; slow and failing writes; group commit; a prefix that lands when the writer dies or is superseded; fencing |
//! | objects | slow actions in two halves, crashes and restarts at any point, leave and return, lives that go on after they were superseded |
//! | coordinators | crashes between a record's append and its completion, successors beside a predecessor that lives on, news of the boundary that come late or in part |
//! | guests | accounts that pass tokens on: what is lost, repeated or reordered shows in their state |
//! | levels | guests open, nest, commit and abort them between their actions, through seals, crashes and rollbacks |
//! | sthreads | detach, call others, merge or wait at a barrier |
//! | outsiders | ask again until they are answered |
//!
//! # What the drivers here see to, as any driver must
//!
//! - What the coordinator says reaches the process's observer first and each object in order; a link to
//!   the coordinator is not read any more once the next one is open, and nothing that was read is
//!   dropped. A new link is subscribed before anything else is said on it, with the boundary as far as everybody
//!   was told of it: what this process alone was told may lack what it depends on.
//! - An object learns of [`LinkUp`](leap_core::Input::LinkUp) also when a peer begins a new life on a
//!   link that never broke.
//! - The coordinator's driver sends broadcasts to subscribed links only, and a late message of an old
//!   link does not bring an object's route back to it. News of the boundary may linger, but not longer than until
//!   the next broadcast of another kind. It stops a coordinator that
//!   [is superseded](leap_core::Coordinator::is_superseded).
//! - After a restart or a rollback the next version is sealed with the whole channel state, since the
//!   newest checkpoint may be gone.
//!
//! ```
//! use leap_sim::{Options, run};
//! let outcome = run(7, &Options::default());
//! assert_eq!(outcome.violation, None);
//! assert_eq!(outcome.trace_hash, run(7, &Options::default()).trace_hash);
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod checker;
mod client;
mod config;
mod fault;
mod guest;
mod instance;
mod network;
mod news;
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
