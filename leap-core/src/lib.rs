//! The protocol of distributed speculative execution as a sans-IO state machine.
//!
//! This crate decides; it never does. It knows no clock, no randomness, no file, no socket and no
//! thread, and it has no timers either: everything that must be repeated is repeated because a link
//! came up again ([`participant::Input::LinkUp`], [`participant::Input::CoordinatorLinkUp`]). So the
//! same inputs always give the same effects, which is what the simulator, the model checker and a
//! process that moves to another machine all rely on.
//!
//! # The parts
//!
//! | module | holds |
//! |---|---|
//! | [`participant`] | one state object: versions, dependencies, channels, world-lines, release |
//! | [`coordinator`] | the dependency graph, the boundary, exact rollback, the decision log |
//! | [`observer`] | what one OS process knows of boundary and decisions; judges sthreads and barriers |
//! | [`sthread`] | a speculative thread's dependency set |
//! | [`levels`] | speculation inside one object, between it and its participant: what is held back, what comes again |
//! | [`header`], [`metadata`], [`message`], [`decision`], [`ledger`] | what travels and what is stored, with their encodings |
//!
//! # Driver contract, in one sentence
//!
//! Call [`Participant::handle`] (or [`Coordinator::handle`]) with each input, then drain
//! `poll_effect` until it returns `None`, executing effects in order, before the next input.
//!
//! Inputs that start a new version or change the world-line ([`Input::Seal`] and
//! [`Input::Coordinator`]) must be handled while no action of that object runs (rule P1); the
//! driver owns the lock that guarantees it, since only the driver knows its threads.
//!
//! The rules (`rule P4` in the comments) are in `docs/protocol.md`, and so is all that a driver must
//! guarantee.
//!
//! # Example
//!
//! ```
//! use leap_core::{Effect, Incarnation, Input, ObjectId, Participant, Speculation, ToCoordinator};
//!
//! let hotel = ObjectId::from_name("hotel");
//! let mut participant = Participant::new(hotel, Incarnation(1), Speculation::On);
//! participant.handle(Input::CoordinatorLinkUp);
//! // It asks to be admitted before it does anything else.
//! assert!(matches!(
//!     participant.poll_effect(),
//!     Some(Effect::ToCoordinator(ToCoordinator::Join { .. }))
//! ));
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod coordinator;
pub mod decision;
mod encoding;
mod graph;
pub mod header;
mod id;
mod incarnation;
pub mod ledger;
pub mod levels;
pub mod message;
pub mod metadata;
pub mod observer;
pub mod participant;
mod rules;
pub mod sthread;

pub use coordinator::{Coordinator, CoordinatorEffect, CoordinatorInput};
pub use decision::{Cause, Decision};
pub use encoding::DecodeError;
pub use header::{DependencySet, Header};
pub use id::{ObjectId, OutputId, PersistTicket, Seq, Version, Vertex, WorldLine};
pub use incarnation::Incarnation;
pub use ledger::{Ledger, LogRecord};
pub use levels::{Levels, NoLevel};
pub use message::{ChannelMessage, Fragment, GatherId, PeerMessage, ToCoordinator, ToParticipant};
pub use metadata::VersionMetadata;
pub use observer::{BarrierId, BarrierOutcome, Observer};
pub use participant::{Admission, Effect, Input, Participant, Speculation};
#[cfg(feature = "canary")]
pub use rules::Rule;
pub use rules::Rules;
pub use sthread::{RolledBack, SThread};
