//! A machine over a journal: the speculative log that makes any [`Machine`] a state object.
//!
//! ```text
//! journal record of version v     u8 format | u32 length | persist metadata | entry … entry
//! checkpoint at version v         u8 format | u32 length | persist metadata (complete) | replies | state
//!
//! entry                           u8 0 | change
//!                                 u8 1 | method | idempotency key | reply
//! replies                         those that are kept, oldest first: count | (method | key | reply) …
//! ```
//!
//! Changes are applied to the state in memory and appended to the open version at once, and read
//! back by everyone at once: the log runs ahead of its disk. Sealing cuts the log into versions;
//! restoring truncates it.
//!
//! # Invariants
//!
//! - The state is the newest checkpoint with all later changes applied, in order.
//! - A reply is recorded in the version of the change that it tells of: both are there, or neither.
//! - A checkpoint is written only when its version is inside the boundary; so it never has to be
//!   taken back, and recovery always starts from committed state.

mod action;
mod object;
mod replies;

use std::collections::VecDeque;

use bytes::{BufMut as _, Bytes, BytesMut};
use leap_core::{Incarnation, ObjectId, Version, VersionMetadata};
use leap_store::{Journal, JournalState, Recovered, Store};
use parking_lot::Mutex;

use crate::object::ActionContext;
use crate::random;
use crate::service::{Machine, Service};
use crate::shortening::Shortening;
use crate::state_object::{PersistDone, StateError, StateObject, StoredVersions};
pub use action::Action;
pub use replies::MAX_IDEMPOTENCY_KEY_BYTES;
use replies::Replies;
pub(crate) use replies::check_key;

const FORMAT: u8 = 1;

/// Kinds of entries in a journal record.
const CHANGE: u8 = 0;
const REPLY: u8 = 1;

/// Make a checkpoint when this much was journaled since the last one, or as much as the last one's
/// size: then recovery time does not grow with history, and checkpoints cost at most as much as the
/// journal.
const CHECKPOINT_BYTES: usize = 1 << 20;

/// A [`Machine`] that keeps its changes in a journal, and what was answered to calls with an
/// idempotency key: the newest 65,536 replies of each object. Errors are not kept, nor what was answered
/// by handlers that only look (see [`Action::once`] and [`Service::answer_once`]).
///
/// [`Host::add`](crate::Host::add) makes it the state of an object, whose
/// [`change`](crate::Object::change), [`view`](crate::Object::view) and their like lead to the machine:
///
/// ```
/// # leap::testing::run_example(async {
/// # use leap::{Host, Journaled, Machine, Object, Service};
/// # #[derive(Default, serde::Serialize, serde::Deserialize)]
/// # struct Counter(u64);
/// # impl Machine for Counter {
/// #     type Change = u64;
/// #     fn apply(&mut self, by: u64) {
/// #         self.0 += by;
/// #     }
/// # }
/// # impl Service for Counter {}
/// let host = Host::builder().start().await?;
/// let counter: Object<Journaled<Counter>> = host.add("counter").await?;
/// counter.change(|action| action.record(2)).await?;
/// // Inside the cluster the change is seen at once, with what it depends on …
/// let (count, seen) = counter.view(|counter| counter.0).await?;
/// assert_eq!((count, seen.world_line().0), (2, 0));
/// // … and outside when it can never be lost any more.
/// assert_eq!(counter.view_released(|counter| counter.0).await?, 2);
/// let count = counter.change_released(|action| {
///     action.record(3);
///     action.0
/// });
/// assert_eq!(count.await?, 5);
/// # Ok(())
/// # });
/// ```
pub struct Journaled<M: Machine> {
    journal: Journal,
    incarnation: Incarnation,
    shortening: Shortening,
    stored: Mutex<StoredVersions>,
    log: Mutex<Log<M>>,
}

struct Log<M> {
    machine: M,
    /// What was answered to calls with an idempotency key.
    replies: Replies,
    /// Entries of the open version, encoded.
    changes: BytesMut,
    /// The newest version that is part of `machine`, the open one aside.
    sealed: Version,
    since_checkpoint: usize,
    checkpoint_size: usize,
    /// The state comes from storage. Every life and every rollback leaves something behind there, so the
    /// next version becomes a checkpoint, however little there is since the last one (rule P13).
    is_recovered: bool,
    /// Images of versions that are not inside the boundary yet, oldest first.
    images: VecDeque<(Version, Bytes)>,
}

impl<M: Machine> Journaled<M> {
    /// Claims `name` in `store` as its newest incarnation and brings back the state.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::{Journaled, Store, StoreOptions};
    /// use leap::testing::Counter;
    ///
    /// let store = Store::open("memory:", StoreOptions::default()).await?;
    /// let state = Journaled::<Counter>::open(&store, "counter").await?;
    /// assert_eq!(state.view(|counter| counter.0), 0);
    /// // To be given to `Host::add_object`; `Host::add` does both.
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`StateError`] if storage cannot be read or holds something else.
    pub async fn open(store: &Store, name: &str) -> Result<Self, StateError> {
        let claim = store.claim(name).await.map_err(StateError::new)?;
        let incarnation = incarnation(&claim.journal)?;
        let (log, stored) = Log::replay(claim.recovered)?;
        Ok(Self {
            shortening: Shortening::new(claim.journal.clone()),
            journal: claim.journal,
            incarnation,
            stored: Mutex::new(stored),
            log: Mutex::new(log),
        })
    }

    /// Runs `change` on the machine as part of the action that `context` stands for.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let sum = counter.action(|state, context| {
    ///     state.change(context, |counter| {
    ///         counter.record(5);
    ///         counter.0
    ///     })
    /// });
    /// assert_eq!(sum.await?, 5);
    /// # Ok(())
    /// # });
    /// ```
    pub fn change<R>(
        &self,
        context: &ActionContext<'_>,
        change: impl FnOnce(&mut Action<'_, M>) -> R,
    ) -> R {
        let mut log = self.log.lock();
        let Log {
            machine,
            replies,
            changes,
            ..
        } = &mut *log;
        change(&mut Action {
            machine,
            replies,
            changes,
            context,
        })
    }

    /// Looks at the machine. What is seen is speculative; [`Object::read`](crate::Object::read) gives what it depends on.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// counter.change(|counter| counter.record(5)).await?;
    /// // For a look that nothing comes of, such as a metric.
    /// assert_eq!(counter.state().view(|counter| counter.0), 5);
    /// # Ok(())
    /// # });
    /// ```
    pub fn view<R>(&self, view: impl FnOnce(&M) -> R) -> R {
        view(&self.log.lock().machine)
    }

    /// Whether storage belongs to a newer incarnation (rule P12).
    pub(crate) fn is_fenced(&self) -> bool {
        matches!(self.journal.state(), JournalState::Fenced { .. })
    }

    /// Ends writing: waits until the journal is at rest, and refuses what comes later.
    pub(crate) async fn end(&self) {
        self.shortening.end().await;
    }

    /// Counters of the journal: records, bytes, syncs.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// counter.change_released(|counter| counter.record(5)).await?;
    /// assert!(counter.state().statistics().records >= 1);
    /// # Ok(())
    /// # });
    /// ```
    pub fn statistics(&self) -> leap_store::Statistics {
        self.journal.statistics()
    }
}

/// The life that a claim begins. What happens elsewhere, in other journals or in copies of this one, is not of it.
fn incarnation(journal: &Journal) -> Result<Incarnation, StateError> {
    let life = journal.incarnation();
    Incarnation::of(journal.identity(), random::draw(), life)
        .ok_or_else(|| StateError::new(format!("storage counts {life} lives, which cannot be")))
}

impl<S: Service> StateObject for Journaled<S> {
    fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    fn versions(&self) -> StoredVersions {
        std::mem::take(&mut self.stored.lock())
    }

    fn wants_checkpoint(&self) -> bool {
        let log = self.log.lock();
        let much = log.checkpoint_size.max(CHECKPOINT_BYTES);
        log.images.is_empty()
            && (log.is_recovered || log.since_checkpoint + log.changes.len() >= much)
    }

    fn persist(&self, metadata: VersionMetadata, done: PersistDone) {
        let version = metadata.version;
        let record = self.log.lock().seal(&metadata);
        self.journal.append_then(version.0, record, move |result| {
            done.done(result.map_err(StateError::new));
        });
    }

    async fn restore(&self, version: Version) -> Result<(), StateError> {
        if self.log.lock().is_at(version) {
            return Ok(());
        }
        let recovered = self
            .journal
            .read(version.0)
            .await
            .map_err(StateError::new)?;
        // Durable in order before anything later; nobody has to wait for it.
        drop(self.journal.truncate(version.0));
        let (log, _) = Log::replay(recovered)?;
        *self.log.lock() = log;
        Ok(())
    }

    fn prune(&self, version: Version) {
        let image = self.log.lock().take_image(version);
        if let Some((version, image)) = image {
            self.shortening.start(version.0, image);
        }
    }

    fn receive(&self, context: &ActionContext<'_>, from: ObjectId, payload: Bytes) {
        match postcard::from_bytes(&payload) {
            Ok(envelope) => self.change(context, |action| action.receive(from, envelope)),
            // Consumed and forgotten: it would be no better the next time.
            Err(error) => tracing::warn!(%from, %error, "a message that is none was thrown away"),
        }
    }
}

impl<M: Machine> Log<M> {
    fn seal(&mut self, metadata: &VersionMetadata) -> Bytes {
        let changes = self.changes.split();
        let record = frame(metadata, &changes);
        self.sealed = metadata.version;
        self.since_checkpoint += record.len();
        if metadata.complete {
            let state = postcard::to_extend(&self.replies.recorded, Vec::new())
                .expect("replies are plain data");
            let state =
                postcard::to_extend(&self.machine, state).expect("a machine can be serialised");
            self.checkpoint_size = state.len();
            self.since_checkpoint = 0;
            self.is_recovered = false;
            self.images
                .push_back((metadata.version, frame(metadata, &state)));
        }
        record
    }

    fn is_at(&self, version: Version) -> bool {
        self.sealed == version && self.changes.is_empty()
    }

    fn take_image(&mut self, committed: Version) -> Option<(Version, Bytes)> {
        let ready = self
            .images
            .iter()
            .take_while(|(version, _)| *version <= committed)
            .count();
        self.images.drain(..ready).next_back()
    }

    fn replay(recovered: Recovered) -> Result<(Self, StoredVersions), StateError> {
        let mut log = Self {
            machine: M::default(),
            replies: Replies::default(),
            changes: BytesMut::new(),
            sealed: Version::ZERO,
            since_checkpoint: 0,
            checkpoint_size: 0,
            is_recovered: recovered.version().is_some(),
            images: VecDeque::new(),
        };
        let mut stored = StoredVersions::default();
        if let Some(checkpoint) = recovered.checkpoint {
            let (metadata, state) = unframe(&checkpoint.payload)?;
            let malformed = |error| {
                StateError(format!(
                    "the state at version {} is malformed: {error}",
                    metadata.version
                ))
            };
            let (replies, machine) =
                postcard::take_from_bytes::<Vec<_>>(state).map_err(malformed)?;
            replies
                .into_iter()
                .for_each(|reply| log.replies.keep(reply));
            log.machine = postcard::from_bytes(machine).map_err(malformed)?;
            log.sealed = metadata.version;
            log.checkpoint_size = state.len();
            stored.checkpoint = Some(metadata);
        }
        for record in recovered.records {
            let (metadata, mut entries) = unframe(&record.payload)?;
            while !entries.is_empty() {
                entries = log.replay_entry(entries).map_err(|reason| {
                    StateError(format!(
                        "an entry in version {} is malformed: {reason}",
                        metadata.version
                    ))
                })?;
            }
            log.sealed = metadata.version;
            log.since_checkpoint += record.payload.len();
            stored.later.push(metadata);
        }
        Ok((log, stored))
    }

    /// Takes in the first of `entries`; gives the rest.
    fn replay_entry<'a>(&mut self, entries: &'a [u8]) -> Result<&'a [u8], String> {
        match entries.split_first() {
            Some((&CHANGE, entry)) => {
                let (change, rest) =
                    postcard::take_from_bytes(entry).map_err(|error| error.to_string())?;
                self.machine.apply(change);
                Ok(rest)
            }
            Some((&REPLY, entry)) => {
                let (reply, rest) =
                    postcard::take_from_bytes(entry).map_err(|error| error.to_string())?;
                self.replies.keep(reply);
                Ok(rest)
            }
            Some((kind, _)) => Err(format!("there is no kind {kind}")),
            None => Err("it is empty".to_owned()),
        }
    }
}

fn frame(metadata: &VersionMetadata, content: &[u8]) -> Bytes {
    let metadata = metadata.encode();
    let mut frame = BytesMut::with_capacity(5 + metadata.len() + content.len());
    frame.put_u8(FORMAT);
    frame.put_u32_le(u32::try_from(metadata.len()).expect("metadata is far below 4 GiB"));
    frame.put_slice(&metadata);
    frame.put_slice(content);
    frame.freeze()
}

fn unframe(frame: &[u8]) -> Result<(VersionMetadata, &[u8]), StateError> {
    let short = || StateError("a record ends too early".to_owned());
    let (&format, rest) = frame.split_first().ok_or_else(short)?;
    if format != FORMAT {
        return Err(StateError(format!(
            "a record has format {format}, this release reads {FORMAT}"
        )));
    }
    let (length, rest) = rest.split_first_chunk().ok_or_else(short)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(StateError::new)?;
    let (metadata, content) = rest.split_at_checked(length).ok_or_else(short)?;
    Ok((
        VersionMetadata::decode(metadata).map_err(StateError::new)?,
        content,
    ))
}

#[cfg(test)]
mod tests {
    use leap_store::Record;

    use super::*;

    #[derive(Default, serde::Serialize, serde::Deserialize)]
    struct Words(Vec<String>);

    impl Machine for Words {
        type Change = String;

        fn apply(&mut self, word: String) {
            self.0.push(word);
        }
    }

    fn recovered(checkpoint: Option<&[u8]>, records: &[&[u8]]) -> Recovered {
        let record = |payload: &[u8]| Record {
            version: 1,
            payload: Bytes::copy_from_slice(payload),
        };
        Recovered {
            checkpoint: checkpoint.map(record),
            records: records.iter().map(|payload| record(payload)).collect(),
            torn_tail: None,
        }
    }

    /// What stands before the entries of a record and the state of a checkpoint.
    fn metadata() -> VersionMetadata {
        VersionMetadata {
            version: Version(1),
            world_line: leap_core::WorldLine::default(),
            committed: Version::ZERO,
            dependencies: leap_core::DependencySet::new(),
            channels: std::collections::BTreeMap::new(),
            complete: true,
        }
    }

    #[test]
    fn reading_anything_back_gives_a_state_or_an_error() {
        bolero::check!().for_each(|bytes: &[u8]| {
            let framed = frame(&metadata(), bytes);
            // As they are, almost all fail at the first byte, so what comes behind the frame gets its turn too.
            for payload in [bytes, &framed[..]] {
                let _ = Log::<Words>::replay(recovered(None, &[payload]));
                let _ = Log::<Words>::replay(recovered(Some(payload), &[]));
            }
        });
    }
}
