//! The handle of a claimed journal: append, truncate, checkpoint, prune, read.
//!
//! Appending never blocks and never waits: it queues, and a writer makes durable what is queued, batch by batch and in
//! order. What a writer is depends on the medium (see `local.rs` and `object.rs`); this module is the same
//! for all of them.

mod index;
mod medium;
mod queue;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

pub(crate) use index::{Index, Segment};
pub(crate) use medium::{Medium, blocking};
use queue::{Callback, Ticket};
pub(crate) use queue::{Position, Queue, Take, Wake};

use crate::format::batch::{Entry, Mark};
use crate::format::checkpoint;
use crate::replay::Replay;
use crate::{JournalError, Record, Recovered, StoreError};

/// The longest payload of a record in bytes.
///
/// ```
/// use leap_store::MAX_PAYLOAD_BYTES;
///
/// let image = vec![7; 1000];
/// assert!(image.len() <= MAX_PAYLOAD_BYTES, "a larger state needs several journals");
/// ```
pub const MAX_PAYLOAD_BYTES: usize = 1 << 30;

/// The writing end of one incarnation's journal. Clones write to the same journal.
///
/// ```
/// # use leap_store::{Store, StoreOptions};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Store::open("memory:", StoreOptions::default()).await?;
/// let claim = store.claim("hotel").await?;
/// let first = claim.journal.append(1, "one".into());
/// claim.journal.append_then(2, "two".into(), |durable| assert!(durable.is_ok()));
/// first.await?;
/// claim.journal.close().await?;
/// assert_eq!(store.claim("hotel").await?.recovered.version(), Some(2));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Journal(Arc<Shared>);

struct Shared {
    incarnation: u64,
    identity: u64,
    medium: Medium,
    runtime: Handle,
    /// Keeps reading, checkpointing and pruning apart: pruning deletes what a reader may be about to open.
    upkeep: tokio::sync::Mutex<()>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.medium.retire();
    }
}

/// Whether a journal still acknowledges.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
/// use leap_store::JournalState;
///
/// let old = store.claim("hotel").await?.journal;
/// assert_eq!(old.state(), JournalState::Open);
/// let _new = store.claim("hotel").await?;
/// assert!(old.append(1, "too late".into()).await.is_err());
/// assert_eq!(old.state(), JournalState::Fenced { by: 2 });
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalState {
    /// It does.
    Open,
    /// A write or sync failed, and nothing is acknowledged any more. A new claim recovers.
    Poisoned {
        /// The failure, as told by the storage.
        reason: Arc<str>,
    },
    /// A newer incarnation claimed the name.
    Fenced {
        /// The newest incarnation known.
        by: u64,
    },
}

/// Counters of one journal since it was claimed.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
/// # let journal = store.claim("hotel").await?.journal;
/// journal.append(1, "room 7 is taken".into()).await?;
/// let statistics = journal.statistics();
/// assert_eq!((statistics.records, statistics.syncs, statistics.unacknowledged), (1, 1, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Records, truncations and checkpoint marks made durable.
    pub records: u64,
    /// Bytes written to the journal, framing included; checkpoint images are not counted.
    pub bytes: u64,
    /// Batches made durable: syncs of a local disk, puts of an object store.
    pub syncs: u64,
    /// Entries queued or in flight now.
    pub unacknowledged: u64,
}

/// Resolves when an entry and all before it are durable. Dropping it does not take the write back.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
/// # let journal = store.claim("hotel").await?.journal;
/// let first = journal.append(1, "room 7 is taken".into());
/// let second = journal.append(2, "room 7 is free".into());
/// second.await?; // and so the first is durable, too
/// # first.await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is known to be durable before this resolves; drop it explicitly if that does not matter"]
pub struct Append {
    journal: Arc<Shared>,
    ticket: Result<Ticket, JournalError>,
}

impl Future for Append {
    type Output = Result<(), JournalError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &self.ticket {
            Ok(ticket) => self.journal.medium.queue().poll(*ticket, context),
            Err(error) => Poll::Ready(Err(error.clone())),
        }
    }
}

/// Resolves when a checkpoint is written or a prune is done. The work goes on when this is dropped.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
/// # let journal = store.claim("hotel").await?.journal;
/// journal.append(1, "room 7 is taken".into()).await?;
/// let checkpoint = journal.checkpoint(1, "taken: 7".into());
/// journal.append(2, "room 8 is taken".into()).await?; // meanwhile
/// checkpoint.await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "whether it worked is told by this only; drop it explicitly if that does not matter"]
pub struct Upkeep(JoinHandle<Result<(), JournalError>>);

impl Future for Upkeep {
    type Output = Result<(), JournalError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|done| {
            done.unwrap_or_else(|error| {
                Err(JournalError::Poisoned {
                    reason: format!("the runtime ended: {error}").into(),
                })
            })
        })
    }
}

impl Journal {
    pub(crate) fn new(medium: Medium, runtime: Handle) -> Self {
        Self(Arc::new(Shared {
            incarnation: medium.incarnation(),
            identity: medium.identity(),
            medium,
            runtime,
            upkeep: tokio::sync::Mutex::new(()),
        }))
    }

    /// The fencing token that everything written through this handle carries.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
    /// let claim = store.claim("hotel").await?;
    /// assert_eq!(claim.journal.incarnation(), claim.incarnation);
    /// # Ok(())
    /// # }
    /// ```
    pub fn incarnation(&self) -> u64 {
        self.0.incarnation
    }

    /// A number drawn at random when the journal began, and kept with it: incarnations of journals with different
    /// identities have nothing to do with each other, even if the names are the same. A copy of a journal has the same.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
    /// let hotel = store.claim("hotel").await?.journal;
    /// assert_eq!(store.claim("hotel").await?.journal.identity(), hotel.identity());
    /// assert_ne!(store.claim("flight").await?.journal.identity(), hotel.identity());
    /// # Ok(())
    /// # }
    /// ```
    pub fn identity(&self) -> u64 {
        self.0.identity
    }

    /// Queues a record and returns at once. Records become durable in order.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
    /// # let journal = store.claim("hotel").await?.journal;
    /// let durable = journal.append(1, "room 7 is taken".into());
    /// // … whatever can be done meanwhile …
    /// durable.await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// When `version` is not above the newest version queued or recovered (after truncations).
    pub fn append(&self, version: u64, payload: Bytes) -> Append {
        let ticket = record(version, payload).and_then(|entry| self.0.push(entry, None));
        Append {
            journal: Arc::clone(&self.0),
            ticket,
        }
    }

    /// Like [`Journal::append`], but calls back instead of being awaited.
    ///
    /// The callback runs once, in order with the journal's other callbacks, on the thread that acknowledges (or on this
    /// one when the append is refused at once). It must be short and must not block: it delays what comes after it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
    /// # let journal = store.claim("hotel").await?.journal;
    /// let (told, durable) = tokio::sync::oneshot::channel();
    /// journal.append_then(1, "room 7 is taken".into(), |result| told.send(result).unwrap());
    /// durable.await??;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// When `version` is not above the newest version queued or recovered (after truncations).
    pub fn append_then(
        &self,
        version: u64,
        payload: Bytes,
        then: impl FnOnce(Result<(), JournalError>) + Send + 'static,
    ) {
        match record(version, payload) {
            // A refusal has already been told to the callback.
            Ok(entry) => drop(self.0.push(entry, Some(Box::new(then)))),
            Err(error) => then(Err(error)),
        }
    }

    /// Queues the removal of all records and checkpoints above `version` (a rollback). It takes its place in line: no
    /// later append is durable before it. Later appends may use the numbers above
    /// `version` again.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
    /// # let journal = store.claim("hotel").await?.journal;
    /// journal.append(1, "room 7 is taken".into()).await?;
    /// drop(journal.append(2, "a mistake".into()));
    /// journal.truncate(1).await?;
    /// journal.append(2, "room 8 is taken".into()).await?;
    /// let recovered = store.claim("hotel").await?.recovered;
    /// assert_eq!(recovered.records[1].payload, "room 8 is taken");
    /// # Ok(())
    /// # }
    /// ```
    pub fn truncate(&self, version: u64) -> Append {
        Append {
            journal: Arc::clone(&self.0),
            ticket: self.0.push(Entry::Truncation { version }, None),
        }
    }

    /// Resolves when everything queued so far is durable.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
    /// # let journal = store.claim("hotel").await?.journal;
    /// for version in 1..=100 {
    ///     drop(journal.append(version, "another guest".into()));
    /// }
    /// journal.flush().await?; // all of them
    /// assert_eq!(journal.statistics().unacknowledged, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn flush(&self) -> Append {
        Append {
            journal: Arc::clone(&self.0),
            ticket: self.0.medium.queue().last_ticket(),
        }
    }

    /// Writes an image that stands for all records up to `version`. The work starts at once, beside the appends.
    ///
    /// The future resolves when a claim would recover from the image, or when a truncation below `version`, queued
    /// meanwhile, has made it void. Nothing is deleted: see [`Journal::prune`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
    /// # let journal = store.claim("hotel").await?.journal;
    /// journal.append(1, "room 7 is taken".into()).await?;
    /// journal.append(2, "room 8 is taken".into()).await?;
    /// journal.checkpoint(2, "taken: 7 8".into()).await?;
    /// let recovered = store.claim("hotel").await?.recovered;
    /// assert_eq!(recovered.checkpoint.unwrap().payload, "taken: 7 8");
    /// assert!(recovered.records.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A failed write poisons the journal like that of an append.
    pub fn checkpoint(&self, version: u64, payload: Bytes) -> Upkeep {
        let number = self.0.medium.queue().begin_checkpoint(version);
        let shared = Arc::clone(&self.0);
        self.0
            .start(async move { shared.checkpoint(version, number?, &payload).await })
    }

    /// Deletes what the newest durable checkpoint at or below `version` makes superfluous: older checkpoints and the
    /// segments below it. The caller promises never to truncate below `version` again.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
    /// # let journal = store.claim("hotel").await?.journal;
    /// journal.append(1, "room 7 is taken".into()).await?;
    /// journal.checkpoint(1, "taken: 7".into()).await?;
    /// journal.append(2, "room 8 is taken".into()).await?;
    /// journal.checkpoint(2, "taken: 7 8".into()).await?;
    /// journal.prune(2).await?; // nobody will go back to version 1
    /// assert!(journal.read(1).await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When deleting fails. The journal stays open; the next prune or claim tries again.
    pub fn prune(&self, version: u64) -> Upkeep {
        let shared = Arc::clone(&self.0);
        self.0.start(async move { shared.prune(version).await })
    }

    /// Reads back what is durable or queued, up to the version `up_to`: the newest checkpoint at or below it and the
    /// records from there. Does not wait for queued records to become durable.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
    /// # let journal = store.claim("hotel").await?.journal;
    /// journal.append(1, "room 7 is taken".into()).await?;
    /// drop(journal.append(2, "room 8 is taken".into())); // not durable yet, and read all the same
    /// assert_eq!(journal.read(2).await?.version(), Some(2));
    /// assert_eq!(journal.read(1).await?.version(), Some(1));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`JournalError::Pruned`] when `up_to` lies below everything kept, and the journal's own failure once it has one.
    pub async fn read(&self, up_to: u64) -> Result<Recovered, JournalError> {
        let _upkeep = self.0.upkeep.lock().await;
        let snapshot = self.0.medium.queue().snapshot()?;
        let mut replay = self.0.medium.read(snapshot.position).await?;
        replay.retain_marks(|mark| snapshot.live.contains(mark));
        for entry in snapshot.queued {
            replay
                .apply(entry)
                .expect("the queue holds rising versions");
        }
        self.0.recover(replay, up_to).await
    }

    /// Whether the journal still acknowledges.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
    /// # let journal = store.claim("hotel").await?.journal;
    /// assert_eq!(journal.state(), leap_store::JournalState::Open);
    /// # Ok(())
    /// # }
    /// ```
    pub fn state(&self) -> JournalState {
        self.0.medium.queue().state()
    }

    /// Looks in storage whether this is the newest claim of the name still. [`state`](Self::state) knows that only since
    /// the last write.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
    /// use leap_store::StoreError;
    ///
    /// let old = store.claim("hotel").await?.journal;
    /// old.check_claim().await?;
    /// let _new = store.claim("hotel").await?;
    /// assert!(matches!(old.check_claim().await, Err(StoreError::Fenced { by: 2, .. })));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when it is not, and whatever the medium refuses.
    pub async fn check_claim(&self) -> Result<(), StoreError> {
        self.0.medium.check_claim().await
    }

    /// Counters since the claim.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
    /// # let journal = store.claim("hotel").await?.journal;
    /// journal.append(1, "room 7 is taken".into()).await?;
    /// assert!(journal.statistics().bytes > 15, "the payload and its frame");
    /// # Ok(())
    /// # }
    /// ```
    pub fn statistics(&self) -> Statistics {
        self.0.medium.queue().statistics()
    }

    /// Refuses further appends, through other clones too, and waits until everything queued is durable.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
    /// # let journal = store.claim("hotel").await?.journal;
    /// let clone = journal.clone();
    /// drop(journal.append(1, "room 7 is taken".into()));
    /// journal.close().await?;
    /// assert!(clone.append(2, "too late".into()).await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`JournalError`] when something queued will never be durable.
    pub async fn close(self) -> Result<(), JournalError> {
        self.0.medium.queue().close();
        self.flush().await
    }
}

fn record(version: u64, payload: Bytes) -> Result<Entry, JournalError> {
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(JournalError::TooLarge {
            bytes: payload.len(),
            limit: MAX_PAYLOAD_BYTES,
        });
    }
    Ok(Entry::Record(Record { version, payload }))
}

impl Shared {
    fn push(&self, entry: Entry, done: Option<Callback>) -> Result<Ticket, JournalError> {
        let (ticket, wake) = self.medium.queue().push(entry, done)?;
        if let Some(wake) = wake {
            self.medium.wake(wake);
        }
        Ok(ticket)
    }

    /// Runs `work` whether or not the returned future is polled.
    fn start(
        &self,
        work: impl Future<Output = Result<(), JournalError>> + Send + 'static,
    ) -> Upkeep {
        Upkeep(self.runtime.spawn(work))
    }

    async fn checkpoint(
        self: Arc<Self>,
        version: u64,
        number: u64,
        payload: &[u8],
    ) -> Result<(), JournalError> {
        let _upkeep = self.upkeep.lock().await;
        let image = checkpoint::encode(version, payload).into();
        let written = self.medium.write_image(number, image).await;
        let queue = self.medium.queue();
        if let Err(error) = written {
            let error = poisoning(error);
            queue.fail(&error);
            return Err(error);
        }
        if !queue.end_checkpoint(self.incarnation, number) {
            return Ok(());
        }
        // The writer knows the base once it knows the segment that the mark goes to.
        let mark = Entry::Checkpoint(Mark {
            version,
            incarnation: self.incarnation,
            number,
            base: 0,
        });
        let ticket = self.push(mark, None);
        let journal = Arc::clone(&self);
        Append { journal, ticket }.await
    }

    async fn prune(self: Arc<Self>, version: u64) -> Result<(), JournalError> {
        let _upkeep = self.upkeep.lock().await;
        let durable = Append {
            ticket: self.medium.queue().last_ticket(),
            journal: Arc::clone(&self),
        };
        durable.await?;
        let Some((base, images)) = self.superfluous(version) else {
            return Ok(());
        };
        if let Err(error) = self.medium.prune(base, &images).await {
            if error.is_fenced() {
                self.medium.queue().fail(&poisoning(error));
                return self.medium.queue().last_ticket().map(drop);
            }
            return Err(error.into());
        }
        self.medium.queue().with_checkpoints(|checkpoints| {
            checkpoints
                .live
                .retain(|mark| !images.contains(&(mark.incarnation, mark.number)));
            checkpoints.dead.retain(|image| !images.contains(image));
        });
        Ok(())
    }

    /// The first segment to keep, and the images to delete.
    fn superfluous(&self, version: u64) -> Option<(u64, Vec<(u64, u64)>)> {
        self.medium.queue().with_checkpoints(|checkpoints| {
            let eligible = checkpoints
                .live
                .iter()
                .filter(|mark| mark.version <= version);
            // Of two images of one version the later mark counts, as in a replay.
            let newest = eligible.max_by_key(|mark| mark.version).copied()?;
            let keep = |mark: &&Mark| mark.version > newest.version || **mark == newest;
            let base = checkpoints
                .live
                .iter()
                .filter(keep)
                .map(|mark| mark.base)
                .min()?;
            let superseded = checkpoints.live.iter().filter(|mark| !keep(mark));
            let mut images = checkpoints.dead.clone();
            images.extend(superseded.map(|mark| (mark.incarnation, mark.number)));
            Some((base, images))
        })
    }

    async fn recover(&self, replay: Replay, up_to: u64) -> Result<Recovered, JournalError> {
        let base = replay.base(up_to);
        let checkpoint = match base {
            Some(mark) => Some(self.medium.read_image(mark).await?),
            None if self.medium.index().lock().pruned => {
                return Err(JournalError::Pruned {
                    version: up_to,
                    oldest: replay.oldest_mark().unwrap_or(u64::MAX),
                });
            }
            None => None,
        };
        Ok(Recovered {
            checkpoint,
            records: replay.into_records(base, up_to),
            torn_tail: None,
        })
    }
}

/// What a failed write does to the journal.
pub(crate) fn poisoning(error: StoreError) -> JournalError {
    match error {
        StoreError::Fenced { by, .. } => JournalError::Fenced { by },
        error => JournalError::Poisoned {
            reason: error.to_string().into(),
        },
    }
}
