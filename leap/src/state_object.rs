//! What a state object must be able to do for the runtime.

use std::fmt;

use bytes::Bytes;
use leap_core::{Incarnation, ObjectId, Version, VersionMetadata};

use crate::object::ActionContext;

/// A storage failure, as the state object's storage tells it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StateError(pub String);

impl StateError {
    pub(crate) fn new(error: impl fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// Tells the runtime that a version is durable, or will never be. May be called from any thread.
pub struct PersistDone(pub(crate) Box<dyn FnOnce(Result<(), StateError>) + Send>);

impl PersistDone {
    /// Calls it.
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
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let host = Host::builder().start().await?;
/// let number = host.add_object("number", Number::default(), ObjectOptions::default())?;
/// let output = number.action(|number, context| {
///     *number.now.lock().unwrap() += 7;
///     context.output()
/// });
/// output.await?.await?;
/// assert_eq!(number.state().kept.lock().unwrap().len(), 1);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub trait StateObject: Send + Sync + 'static {
    /// This life's fencing token, as claimed from storage (rule P12).
    fn incarnation(&self) -> Incarnation;

    /// What storage held when this life began. Called once.
    fn versions(&self) -> StoredVersions;

    /// Fixes the state as the content of `metadata.version` and starts to make it durable together
    /// with `metadata` (rule P6); `done` is called when it is. Must not block. Versions become
    /// durable in order.
    fn persist(&self, metadata: VersionMetadata, done: PersistDone);

    /// Whether the next version should hold complete metadata, so that a checkpoint can be made of
    /// it. Asked before each seal.
    fn wants_checkpoint(&self) -> bool {
        false
    }

    /// Brings the state back to the end of `version` and drops all later versions, from storage too
    /// (in order before any later persist).
    ///
    /// # Errors
    ///
    /// When storage cannot be read; the object stops then.
    fn restore(&self, version: Version) -> impl Future<Output = Result<(), StateError>> + Send;

    /// All up to `version` can never be rolled back: older versions may be forgotten (rule P13).
    fn prune(&self, version: Version);

    /// A message on the channel from `from` is consumed by this action.
    fn receive(&self, action: &ActionContext<'_>, from: ObjectId, payload: Bytes);
}
