//! A log: entries in order, each with an offset.
//!
//! [`Log`] is the state object, [`LogClient`] calls it from anywhere. An appended entry can be read at
//! once by whoever is part of the cluster, long before it is durable: the log runs ahead of its disk, and
//! with it all who read it. Whoever is outside gets only entries that can never be lost (rule P8).
//!
//! # Invariants
//!
//! - Offsets are dense: the entries are those from `first` up to and without `tail`, and no offset is
//!   given twice to entries that both survive.
//! - What is trimmed is gone from memory at once and from storage with the next checkpoint, so that both
//!   are bounded by what is not trimmed.
//!
//! ```
//! # leap::testing::run_example(async {
//! use leap::Host;
//! use leap_services::log::{Log, LogClient};
//!
//! let host = Host::builder().start().await?;
//! host.add::<Log>("orders").await?;
//! let orders = LogClient::new(&host, "orders");
//! assert_eq!(orders.append(vec!["tea".into(), "cake".into()]).await?, 0);
//! assert_eq!(orders.read(1, 10).await?, ["cake".into()]);
//! orders.trim(1).await?;
//! assert!(orders.read(0, 10).await.is_err());
//! # Ok(())
//! # });
//! ```

mod client;

use std::collections::VecDeque;

use bytes::Bytes;
use leap::{Action, CallError, Journaled, Machine, Object, Service, decode_request, encode_value};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::Payload;
pub use client::{LogCallError, LogClient};

/// The largest append, in bytes of all its entries.
///
/// ```
/// # leap::testing::run_example(async {
/// # use leap_services::log::*;
/// # let host = leap::Host::builder().start().await?;
/// # let object = host.add::<Log>("orders").await?;
/// # let orders = LogClient::new(&host, "orders");
/// let refused = orders.append(vec![vec![0; MAX_APPEND_BYTES + 1].into()]).await;
/// let bytes = MAX_APPEND_BYTES + 1;
/// assert_eq!(refused, Err(LogCallError::Refused(LogError::TooLarge { bytes })));
/// # Ok(())
/// # });
/// ```
pub const MAX_APPEND_BYTES: usize = 1 << 20;

/// How much one read gives at most, unless a single entry is larger.
const READ_BYTES: usize = 1 << 20;
const READ_ENTRIES: usize = 10_000;

/// A state object that keeps entries in order.
///
/// Handlers, requests and replies in JSON (entries as [`Payload`] writes them):
///
/// | handler | request | reply |
/// |---|---|---|
/// | `append` | `Vec<Payload>` | `Result<first offset, LogError>` |
/// | `read` | `(from, max)` | `Result<Vec<Payload>, LogError>` |
/// | `wait` (from outside only) | `(from, max)` | the same, as soon as there is at least one |
/// | `tail` | | the next entry's offset |
/// | `trim` | the first offset to keep | |
///
/// A stored state whose offsets do not fit together is refused.
///
/// ```
/// # leap::testing::run_example(async {
/// use leap::{Host, encode_value};
/// use leap_services::log::Log;
///
/// let host = Host::builder().start().await?;
/// host.add::<Log>("orders").await?;
/// // As any program that speaks JSON does it; in Rust there is `LogClient`.
/// assert_eq!(host.call("orders", "append", encode_value(&["tea", "cake"])).await?, r#"{"Ok":0}"#);
/// assert_eq!(host.call("orders", "read", encode_value(&(1, 10))).await?, r#"{"Ok":["cake"]}"#);
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Log {
    /// The offset of the first entry that is kept.
    first: u64,
    entries: VecDeque<Payload>,
    /// Wakes who waits in this process. Ends when the state is brought back to an older version.
    #[serde(skip)]
    grown: watch::Sender<()>,
}

/// No log gets this far, and offsets can be counted on from here for as long as anything runs.
const MAX_OFFSET: u64 = u64::MAX / 2;

/// As [`Log`], but not to be trusted yet.
#[derive(Deserialize)]
struct Stored {
    first: u64,
    entries: VecDeque<Payload>,
}

/// What is stored was never written by a log.
#[derive(Debug, thiserror::Error)]
#[error("a log that starts at offset {first} has {entries} entries")]
struct Contradiction {
    first: u64,
    entries: usize,
}

impl TryFrom<Stored> for Log {
    type Error = Contradiction;

    fn try_from(Stored { first, entries }: Stored) -> Result<Self, Contradiction> {
        match first.checked_add(entries.len() as u64) {
            Some(..=MAX_OFFSET) => Ok(Self {
                first,
                entries,
                grown: watch::Sender::default(),
            }),
            _ => Err(Contradiction {
                first,
                entries: entries.len(),
            }),
        }
    }
}

/// What is recorded.
///
/// ```
/// use leap::Machine;
/// use leap_services::log::{Change, Log};
///
/// let mut log = Log::default();
/// // What recovery does with each change in the journal.
/// log.apply(Change::Appended(vec!["tea".into(), "cake".into()]));
/// log.apply(Change::Trimmed(1));
/// assert_eq!(log.read(1, 10), Ok(vec!["cake".into()]));
/// ```
#[derive(Serialize, Deserialize)]
pub enum Change {
    /// Entries at the end.
    Appended(Vec<Payload>),
    /// All before this offset are gone.
    Trimmed(u64),
}

/// Why a log does not do what it is asked for. It is unchanged then.
///
/// ```
/// use leap::Machine;
/// use leap_services::log::{Change, Log, LogError};
///
/// let mut log = Log::default();
/// log.apply(Change::Appended(vec!["tea".into(), "cake".into()]));
/// log.apply(Change::Trimmed(1));
/// assert_eq!(log.read(0, 10), Err(LogError::Trimmed { first: 1 }));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The entry was trimmed.
    #[error("the entry is trimmed; the first that is kept has offset {first}")]
    Trimmed {
        /// Where reading can go on.
        first: u64,
    },
    /// The entries are too large for one append.
    #[error("entries of {bytes} bytes; an append takes {MAX_APPEND_BYTES}")]
    TooLarge {
        /// Their size.
        bytes: usize,
    },
}

impl Machine for Log {
    type Change = Change;

    fn apply(&mut self, change: Change) {
        match change {
            Change::Appended(entries) => self.entries.extend(entries),
            Change::Trimmed(before) => {
                let before = before.clamp(self.first, self.tail());
                let trimmed = usize::try_from(before - self.first).expect("entries are in memory");
                self.entries.drain(..trimmed);
                self.first = before;
            }
        }
    }
}

/// Reading.
impl Log {
    /// The offset that the next entry gets.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::log::*;
    /// # let host = leap::Host::builder().start().await?;
    /// # let object = host.add::<Log>("orders").await?;
    /// # let orders = LogClient::new(&host, "orders");
    /// orders.append(vec!["tea".into()]).await?;
    /// // In the process that hosts it, without a call.
    /// let (tail, _seen) = object.view(|log| log.tail()).await?;
    /// assert_eq!(tail, 1);
    /// # Ok(())
    /// # });
    /// ```
    pub fn tail(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Up to `max` entries from the offset `from` on, 10,000 or 1 MiB at most; none at the tail or
    /// beyond it.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::log::*;
    /// # let host = leap::Host::builder().start().await?;
    /// # let object = host.add::<Log>("orders").await?;
    /// # let orders = LogClient::new(&host, "orders");
    /// orders.append(vec!["tea".into()]).await?;
    /// // In the process that hosts it, before it is durable; `seen` depends on it.
    /// let (entries, seen) = object.view(|log| log.read(0, 10)).await?;
    /// assert_eq!(entries?, ["tea".into()]);
    /// # drop(seen);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`LogError::Trimmed`].
    pub fn read(&self, from: u64, max: usize) -> Result<Vec<Payload>, LogError> {
        let Some(skipped) = from.checked_sub(self.first) else {
            return Err(LogError::Trimmed { first: self.first });
        };
        let skipped = usize::try_from(skipped)
            .unwrap_or(usize::MAX)
            .min(self.entries.len());
        let mut bytes = 0;
        let page = self
            .entries
            .range(skipped..)
            .take(max.min(READ_ENTRIES))
            .take_while(|entry| {
                let is_first = bytes == 0;
                // An empty entry counts too.
                bytes += entry.len() + 1;
                is_first || bytes <= READ_BYTES
            });
        Ok(page.cloned().collect())
    }
}

/// Writing.
impl Log {
    /// Appends entries; gives the first one's offset.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::log::*;
    /// # let host = leap::Host::builder().start().await?;
    /// # let object = host.add::<Log>("orders").await?;
    /// # let orders = LogClient::new(&host, "orders");
    /// // In an action of one's own: seen at once by all of the cluster.
    /// let first = object.change(|log| Log::append(log, vec!["tea".into()])).await??;
    /// assert_eq!(first, 0);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`LogError::TooLarge`].
    pub fn append(action: &mut Action<'_, Self>, entries: Vec<Payload>) -> Result<u64, LogError> {
        let bytes = entries.iter().map(|entry| entry.len()).sum();
        if bytes > MAX_APPEND_BYTES {
            return Err(LogError::TooLarge { bytes });
        }
        let first = action.tail();
        action.record(Change::Appended(entries));
        action.grown.send_replace(());
        Ok(first)
    }

    /// Drops all entries before the offset `before`, or all if it is beyond the tail.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::log::*;
    /// # let host = leap::Host::builder().start().await?;
    /// # let object = host.add::<Log>("orders").await?;
    /// # let orders = LogClient::new(&host, "orders");
    /// orders.append(vec!["tea".into(), "cake".into()]).await?;
    /// object.change(|log| Log::trim(log, 1)).await?;
    /// assert!(orders.read(0, 10).await.is_err());
    /// # Ok(())
    /// # });
    /// ```
    pub fn trim(action: &mut Action<'_, Self>, before: u64) {
        let before = before.min(action.tail());
        if before > action.first {
            action.record(Change::Trimmed(before));
        }
    }
}

impl Service for Log {
    fn call(action: &mut Action<'_, Self>, method: &str, body: &[u8]) -> Result<Bytes, CallError> {
        Ok(match method {
            "append" => encode_value(&Self::append(action, decode_request(method, body)?)),
            "trim" => {
                Self::trim(action, decode_request(method, body)?);
                encode_value(&())
            }
            _ => return Self::query(action, method, body),
        })
    }

    fn is_query(method: &str) -> bool {
        matches!(method, "read" | "wait" | "tail")
    }

    fn query(&self, method: &str, body: &[u8]) -> Result<Bytes, CallError> {
        Ok(match method {
            "read" => {
                let (from, max) = decode_request(method, body)?;
                encode_value(&self.read(from, max))
            }
            "tail" => {
                let () = decode_request(method, body)?;
                encode_value(&self.tail())
            }
            _ => return Err(CallError::no_such_method(method)),
        })
    }

    async fn answer(
        object: &Object<Journaled<Self>>,
        method: &str,
        body: Bytes,
    ) -> Result<Bytes, CallError> {
        if method != "wait" {
            return object.call_released(method, &body).await;
        }
        let (from, max) = decode_request(method, &body)?;
        let entries = wait(object, from, max).await?;
        Ok(encode_value(&entries))
    }
}

async fn wait(
    object: &Object<Journaled<Log>>,
    from: u64,
    max: usize,
) -> Result<Result<Vec<Payload>, LogError>, CallError> {
    // To wait for no entries would be to wait for ever.
    let max = max.max(1);
    loop {
        let look = |log: &Log| (log.read(from, max), log.grown.subscribe());
        let (read, mut grown) = object.view_released(look).await?;
        if !read.as_ref().is_ok_and(Vec::is_empty) {
            return Ok(read);
        }
        tokio::select! {
            // What was appended between looking and now counts. An error means that the state is
            // another one now: look again.
            _ = grown.changed() => {}
            // Then looking fails.
            _ = object.stopped() => {}
        }
    }
}
