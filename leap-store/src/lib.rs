//! Journals, checkpoints and fenced registers on a local disk or any object store.
//!
//! A [`Store`] keeps one journal per name. Claiming a name ([`Store::claim`]) shuts every older claimer out and reads
//! back what is durable; the [`Journal`] then takes records without ever making the caller wait, and tells when they are
//! durable. The crate knows versions and bytes. It knows neither the protocol nor what the bytes mean.
//!
//! Invariants, on every medium:
//! - Records become durable, and are acknowledged, in the order in which they were appended.
//! - What was acknowledged is recovered by every later claim, unless it was truncated or a checkpoint stands for it.
//! - What an incarnation writes after a newer one has claimed the name is not acknowledged and never read (rule P12).
//! - After a failed write or sync nothing more is acknowledged through the handle.
//! - Damage to what was durable is an error, never a shorter journal.
//!
//! ```
//! use leap_store::{Store, StoreOptions};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let directory = tempfile::tempdir()?;
//! let location = directory.path().to_str().unwrap();
//! let store = Store::open(location, StoreOptions::default()).await?;
//! let hotel = store.claim("hotel").await?;
//! hotel.journal.append(1, "room 7 is taken".into()).await?;
//!
//! let successor = store.claim("hotel").await?;
//! assert_eq!(successor.incarnation, hotel.incarnation + 1);
//! assert_eq!(successor.recovered.records[0].payload, "room 7 is taken");
//! assert!(hotel.journal.append(2, "too late".into()).await.is_err());
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs, clippy::missing_errors_doc)]

mod error;
#[doc(hidden)]
pub mod faults;
mod format;
mod journal;
mod local;
mod name;
mod object;
mod options;
mod random;
mod register;
mod replay;
mod store;

pub use error::{JournalError, RegisterError, StoreError};
pub use journal::{Append, Journal, JournalState, MAX_PAYLOAD_BYTES, Statistics, Upkeep};
pub use local::DirectoryLock;
pub use options::{GroupCommit, Location, NotAGroupCommit, StoreOptions};
pub use register::{Register, Tag};
pub use replay::{Record, Recovered, TornTail};
pub use store::{Claim, Store, Usage};
