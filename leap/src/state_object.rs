//! What a state object must be able to do for the runtime.

use std::fmt;

use bytes::Bytes;
use leap_core::{Incarnation, ObjectId, Version, VersionMetadata};

use crate::object::ActionContext;

/// A storage failure, as the state object's storage tells it.
///
/// ```
/// # leap::testing::run_example(async {
/// use leap::{Host, Store, StoreOptions};
/// use leap::testing::Counter;
///
/// let store = Store::open("memory:", StoreOptions::default()).await?;
/// // Somebody has written what is no version of a counter.
/// store.claim("counter").await?.journal.append(1, "?".into()).await?;
/// let host = Host::builder().store(store).start().await?;
/// let refused = host.add::<Counter>("counter").await.err();
/// println!("{}", refused.expect("it cannot be read"));
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StateError(pub String);

impl StateError {
    pub(crate) fn new(error: impl fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// Tells the runtime that a version is durable, or will never be. May be called from any thread.
///
/// ```
/// use leap::PersistDone;
///
/// /// Makes `bytes` durable, and tells when.
/// fn write(bytes: Vec<u8>, done: PersistDone) {
///     // … on another thread, when the disk has confirmed it …
///     done.done(Ok(()));
/// }
///
/// let (told, mut durable) = tokio::sync::oneshot::channel();
/// write(vec![7], PersistDone::new(|result| told.send(result).unwrap()));
/// assert_eq!(durable.try_recv(), Ok(Ok(())));
/// ```
pub struct PersistDone(Box<dyn FnOnce(Result<(), StateError>) + Send>);

impl PersistDone {
    /// Has `tell` called with what became of the version. For state objects around others, and to test
    /// one without a host.
    ///
    /// ```
    /// use leap::PersistDone;
    ///
    /// /// For a state object that measures how long another one takes to persist.
    /// fn timed(done: PersistDone) -> PersistDone {
    ///     let start = std::time::Instant::now();
    ///     PersistDone::new(move |result| {
    ///         println!("persisted after {} ms", start.elapsed().as_millis());
    ///         done.done(result);
    ///     })
    /// }
    ///
    /// timed(PersistDone::new(|result| assert!(result.is_ok()))).done(Ok(()));
    /// ```
    pub fn new(tell: impl FnOnce(Result<(), StateError>) + Send + 'static) -> Self {
        Self(Box::new(tell))
    }

    /// Tells that the version is durable, or why it will never be.
    ///
    /// ```
    /// use leap::{PersistDone, StateError};
    ///
    /// let done = PersistDone::new(|result| assert!(result.is_err()));
    /// // The object stops, and is recovered by its next life.
    /// done.done(Err(StateError("the disk is gone".into())));
    /// ```
    pub fn done(self, result: Result<(), StateError>) {
        (self.0)(result);
    }
}

impl fmt::Debug for PersistDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersistDone")
    }
}

/// What storage holds of an object when it comes back to life.
///
/// ```
/// # leap::testing::run_example(async {
/// use leap::{Journaled, StateObject, Version};
/// # use leap::testing::Counter;
///
/// # let host = leap::Host::builder().start().await?;
/// # let counter = host.add::<leap::testing::Counter>("counter").await?;
/// counter.change_released(|counter| counter.record(5)).await?;
/// let next_life = Journaled::<Counter>::open(host.store(), "counter").await?;
/// let stored = next_life.versions();
/// assert!(stored.checkpoint.is_none(), "it is too young for one");
/// assert_eq!(stored.later[0].version, Version(1));
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone, Default)]
pub struct StoredVersions {
    /// The complete metadata of a checkpoint, if there is one. Its version is committed.
    pub checkpoint: Option<VersionMetadata>,
    /// The metadata of the durable versions after it, oldest first.
    pub later: Vec<VersionMetadata>,
}

/// A participant with private state.
///
/// The runtime calls [`persist`](Self::persist) and [`restore`](Self::restore) only while no action
/// of the object runs (rule P1), and in an order that makes sense; the object keeps the versions that
/// it is given. Most services want [`Journaled`](crate::Journaled), which implements all of this over
/// a journal, and write a [`Service`](crate::Service) instead.
///
/// A number whose "storage" is the memory of this process:
///
/// ```
/// use std::collections::BTreeMap;
/// use std::sync::{Arc, Mutex};
///
/// use leap::{
///     ActionContext, Bytes, Host, Incarnation, ObjectId, ObjectOptions, PersistDone, StateError,
///     StateObject, StoredVersions, Version, VersionMetadata,
/// };
///
/// #[derive(Default)]
/// struct Number {
///     now: Mutex<u64>,
///     /// What stands for storage: metadata and content by version. It outlives the object.
///     kept: Arc<Mutex<BTreeMap<Version, (VersionMetadata, u64)>>>,
/// }
///
/// impl StateObject for Number {
///     fn incarnation(&self) -> Incarnation {
///         Incarnation(1) // to be claimed from storage, one higher each time
///     }
///
///     fn versions(&self) -> StoredVersions {
///         let kept = self.kept.lock().unwrap();
///         let later = kept.values().map(|(metadata, _)| metadata.clone()).collect();
///         StoredVersions { checkpoint: None, later }
///     }
///
///     fn persist(&self, metadata: VersionMetadata, done: PersistDone) {
///         let content = *self.now.lock().unwrap();
///         let mut kept = self.kept.lock().unwrap();
///         kept.insert(metadata.version, (metadata, content));
///         drop(kept);
///         done.done(Ok(())); // it may come later, from any thread
///     }
///
///     async fn restore(&self, version: Version) -> Result<(), StateError> {
///         let mut kept = self.kept.lock().unwrap();
///         kept.retain(|&kept, _| kept <= version);
///         let content = kept.last_key_value().map_or(0, |(_, (_, content))| *content);
///         *self.now.lock().unwrap() = content;
///         Ok(())
///     }
///
///     fn prune(&self, _version: Version) {
///         // Versions before this one may go once a checkpoint with complete metadata stands for them.
///     }
///
///     fn receive(&self, _action: &ActionContext<'_>, _from: ObjectId, payload: Bytes) {
///         *self.now.lock().unwrap() += payload.len() as u64;
///     }
/// }
///
/// # leap::testing::run_example(async {
/// let host = Host::builder().start().await?;
/// let number = host.add_object("number", Number::default(), ObjectOptions::default())?;
/// let output = number.action(|number, context| {
///     *number.now.lock().unwrap() += 7;
///     context.output()
/// });
/// output.await?.await?;
/// assert_eq!(number.state().kept.lock().unwrap().len(), 1);
/// # Ok(())
/// # });
/// ```
pub trait StateObject: Send + Sync + 'static {
    /// This life's fencing token, as claimed from storage (rule P12). Storage that another process could mistake for its own
    /// should have a name: [`Incarnation::of`].
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap::testing::Counter;
    /// # let store = leap::Store::open("memory:", leap::StoreOptions::default()).await?;
    /// use leap::{Incarnation, Journaled, StateObject};
    ///
    /// let first = Journaled::<Counter>::open(&store, "counter").await?;
    /// let second = Journaled::<Counter>::open(&store, "counter").await?;
    /// assert!(second.incarnation().supersedes(first.incarnation()));
    /// # Ok(())
    /// # });
    /// ```
    fn incarnation(&self) -> Incarnation;

    /// What storage held when this life began. Called once.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap::testing::Counter;
    /// # let store = leap::Store::open("memory:", leap::StoreOptions::default()).await?;
    /// use leap::{Journaled, StateObject};
    ///
    /// let state = Journaled::<Counter>::open(&store, "counter").await?;
    /// let stored = state.versions();
    /// assert!(stored.checkpoint.is_none() && stored.later.is_empty(), "its first life");
    /// # Ok(())
    /// # });
    /// ```
    fn versions(&self) -> StoredVersions;

    /// Fixes the state as the content of `metadata.version` and starts to make it durable together
    /// with `metadata` (rule P6); `done` is called when it is. Must not block. Versions become
    /// durable in order.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap::testing::Counter;
    /// # let store = leap::Store::open("memory:", leap::StoreOptions::default()).await?;
    /// use leap::{Journaled, PersistDone, StateObject, Version, VersionMetadata, WorldLine};
    ///
    /// let state = Journaled::<Counter>::open(&store, "counter").await?;
    /// // As the runtime does when it seals version 1.
    /// let metadata = VersionMetadata {
    ///     version: Version(1),
    ///     world_line: WorldLine(0),
    ///     committed: Version::ZERO,
    ///     dependencies: Default::default(),
    ///     channels: Default::default(),
    ///     complete: false,
    /// };
    /// let (told, durable) = tokio::sync::oneshot::channel();
    /// state.persist(metadata, PersistDone::new(|result| told.send(result).unwrap()));
    /// durable.await??;
    /// # Ok(())
    /// # });
    /// ```
    fn persist(&self, metadata: VersionMetadata, done: PersistDone);

    /// Whether the next version should hold complete metadata, so that a checkpoint can be made of
    /// it. Asked before each seal.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap::testing::Counter;
    /// # let store = leap::Store::open("memory:", leap::StoreOptions::default()).await?;
    /// use leap::{Journaled, StateObject};
    ///
    /// let state = Journaled::<Counter>::open(&store, "counter").await?;
    /// assert!(!state.wants_checkpoint(), "there is nothing to make one of");
    /// # Ok(())
    /// # });
    /// ```
    fn wants_checkpoint(&self) -> bool {
        false
    }

    /// Brings the state back to the end of `version` and drops all later versions, from storage too
    /// (in order before any later persist).
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap::testing::Counter;
    /// # let store = leap::Store::open("memory:", leap::StoreOptions::default()).await?;
    /// use leap::{Journaled, StateObject, Version};
    ///
    /// let state = Journaled::<Counter>::open(&store, "counter").await?;
    /// state.restore(Version::ZERO).await?;
    /// assert_eq!(state.view(|counter| counter.0), 0);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// When storage cannot be read; the object stops then.
    fn restore(&self, version: Version) -> impl Future<Output = Result<(), StateError>> + Send;

    /// All up to `version` can never be rolled back: older versions may be forgotten (rule P13).
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap::testing::Counter;
    /// # let store = leap::Store::open("memory:", leap::StoreOptions::default()).await?;
    /// use leap::{Journaled, StateObject, Version};
    ///
    /// let state = Journaled::<Counter>::open(&store, "counter").await?;
    /// // There is no checkpoint yet that could stand for older versions, so all of them stay.
    /// state.prune(Version::ZERO);
    /// # Ok(())
    /// # });
    /// ```
    fn prune(&self, version: Version);

    /// A message on the channel from `from` is consumed by this action.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::{Bytes, ObjectId, StateObject, encode_value};
    ///
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// // What a `Journaled` understands is what `Action::call` and `Action::tell` send; anything else is
    /// // consumed and has no effect, and an object of one's own decides for itself.
    /// counter.action(|state, context| {
    ///     state.receive(context, ObjectId::from_name("hotel"), Bytes::from_static(b"?"));
    /// }).await?;
    /// assert_eq!(counter.view_released(|counter| counter.0).await?, 0);
    /// # Ok(())
    /// # });
    /// ```
    fn receive(&self, action: &ActionContext<'_>, from: ObjectId, payload: Bytes);
}
