//! What an action can do besides changing the state.

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use leap_core::{Header, ObjectId, RolledBack, Version, WorldLine};
use tokio::sync::oneshot;

use super::Protocol;
use crate::sthread::SThread;

/// The running action, as the state sees it.
///
/// ```
/// # leap::testing::run_example(async {
/// # use leap::Host;
/// # use leap::testing::Counter;
/// # let host = Host::builder().start().await?;
/// # let object = host.add::<Counter>("counter").await?;
/// let (header, mut sthread) = object.action(|_state, context| (context.header(), context.detach())).await?;
/// // A message with this header, and whatever the sthread does, depend on the version of the action.
/// assert_eq!(sthread.header()?, header);
/// sthread.barrier().await?;
/// # Ok(())
/// # });
/// ```
pub struct ActionContext<'a> {
    protocol: &'a Protocol,
}

impl<'a> ActionContext<'a> {
    pub(super) fn new(protocol: &'a Protocol) -> Self {
        Self { protocol }
    }

    /// The object that acts.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::ObjectId;
    ///
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let id = counter.action(|_state, context| context.object()).await?;
    /// assert_eq!(id, ObjectId::from_name("counter"));
    /// # Ok(())
    /// # });
    /// ```
    pub fn object(&self) -> ObjectId {
        self.protocol.id
    }

    /// The world-line the action runs in.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::WorldLine;
    ///
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let world_line = counter.action(|_state, context| context.world_line()).await?;
    /// assert_eq!(world_line, WorldLine(0), "nothing has failed yet");
    /// # Ok(())
    /// # });
    /// ```
    pub fn world_line(&self) -> WorldLine {
        WorldLine(self.protocol.world_line.load(Ordering::Relaxed))
    }

    /// The version the action belongs to.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::Version;
    ///
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let version = counter.action(|_state, context| context.version()).await?;
    /// assert!(version > Version::ZERO);
    /// # Ok(())
    /// # });
    /// ```
    pub fn version(&self) -> Version {
        Version(self.protocol.open.load(Ordering::Relaxed))
    }

    /// How many times the state was brought back to an older version. Code that runs between actions
    /// and finds another number than last time speaks of a state that is no more.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let before = counter.action(|_state, context| context.generation()).await?;
    /// // … something that takes its time, with what was read …
    /// counter.action(|_state, context| {
    ///     assert_eq!(context.generation(), before, "what was read is still so");
    /// }).await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn generation(&self) -> u64 {
        self.protocol.generation.load(Ordering::Relaxed)
    }

    /// The header of a message that leaves by other ways than a channel: it names this version.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let (header, version) = counter.action(|_, context| (context.header(), context.version())).await?;
    /// assert_eq!(header.dependencies.version_of(counter.id()), Some(version));
    /// # Ok(())
    /// # });
    /// ```
    pub fn header(&self) -> Header {
        self.protocol.header()
    }

    /// An sthread that goes on from here: it has seen this version.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let mut sthread = counter.action(|_state, context| context.detach()).await?;
    /// sthread.barrier().await?; // now the action can never be lost
    /// # Ok(())
    /// # });
    /// ```
    pub fn detach(&self) -> SThread {
        let core = leap_core::SThread::detach(self.header());
        SThread::new(core, self.protocol.observation.clone())
    }

    /// Sends `payload` to another object, exactly once and in order (rule P14). It becomes part of
    /// this version and leaves at once (or, without speculation, as soon as the version is committed).
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::testing::{Cluster, Counter};
    /// use leap::{Bytes, ObjectId};
    /// # use std::sync::{Arc, Mutex};
    /// # use leap::{ActionContext, Incarnation, ObjectOptions, PersistDone, StateError, StateObject, StoredVersions, Version, VersionMetadata};
    /// # #[derive(Default)]
    /// # struct Mailbox(Arc<Mutex<Vec<Bytes>>>);
    /// # impl StateObject for Mailbox {
    /// #     fn incarnation(&self) -> Incarnation { Incarnation(1) }
    /// #     fn versions(&self) -> StoredVersions { StoredVersions::default() }
    /// #     fn persist(&self, _: VersionMetadata, done: PersistDone) { done.done(Ok(())); }
    /// #     async fn restore(&self, _: Version) -> Result<(), StateError> { Ok(()) }
    /// #     fn prune(&self, _: Version) {}
    /// #     fn receive(&self, _: &ActionContext<'_>, _: ObjectId, payload: Bytes) { self.0.lock().unwrap().push(payload); }
    /// # }
    ///
    /// let cluster = Cluster::new().await;
    /// let host = cluster.host("a").await;
    /// let counter = host.add::<Counter>("counter").await?;
    /// // `Mailbox` is a `StateObject` that keeps the payloads it receives.
    /// let mailbox = host.add_object("mailbox", Mailbox::default(), ObjectOptions::default())?;
    /// counter.action(|_state, context| {
    ///     context.send(ObjectId::from_name("mailbox"), "good morning");
    /// }).await?;
    /// cluster.settled().await;
    /// assert_eq!(*mailbox.state().0.lock().unwrap(), ["good morning"]);
    /// # Ok(())
    /// # });
    /// ```
    pub fn send(&self, to: ObjectId, payload: impl Into<Bytes>) {
        self.protocol.send(to, payload.into());
    }

    /// Something for the outside world: resolves when all it depends on is inside the boundary
    /// (rule P8). Call it at the end of the action.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let output = counter.action(|state, context| {
    ///     state.change(context, |counter| counter.record(1));
    ///     context.output()
    /// });
    /// output.await?.await?;
    /// println!("counted, for good");
    /// # Ok(())
    /// # });
    /// ```
    pub fn output(&self) -> Output {
        self.protocol.output()
    }
}

/// Why an output will never be released.
///
/// ```
/// # leap::testing::run_example(async {
/// use leap::OutputLost;
///
/// # let host = leap::Host::builder().start().await?;
/// # let counter = host.add::<leap::testing::Counter>("counter").await?;
/// let output = counter.change(|counter| {
///     counter.record(1);
///     counter.output()
/// });
/// let output = output.await?;
/// host.kill();
/// // Whether the change is durable, only the next life knows.
/// assert_eq!(output.await, Err(OutputLost::Stopped));
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutputLost {
    /// What it depends on was rolled back; doing it again is safe.
    #[error(transparent)]
    RolledBack(#[from] RolledBack),
    /// The object stopped first. Its next incarnation may or may not have the change.
    #[error("the object stopped before the output could be released")]
    Stopped,
}

/// Resolves when an action's result may be given to the outside world.
///
/// ```
/// # leap::testing::run_example(async {
/// # use leap::{Host, Machine, OutputLost, Service};
/// # #[derive(Default, serde::Serialize, serde::Deserialize)]
/// # struct Tickets(u64);
/// # impl Machine for Tickets { type Change = u64; fn apply(&mut self, by: u64) { self.0 += by; } }
/// # impl Service for Tickets {}
/// # let host = Host::builder().start().await?;
/// # let tickets = host.add::<Tickets>("tickets").await?;
/// let sell = tickets.change(|tickets| {
///     tickets.record(1);
///     (tickets.0, tickets.output())
/// });
/// let (number, output) = sell.await?;
/// match output.await {
///     Ok(()) => println!("ticket {number} is yours"),
///     Err(OutputLost::RolledBack(_)) => println!("nothing was sold; try again"),
///     Err(OutputLost::Stopped) => println!("the next life of the object may know"),
/// }
/// # Ok(())
/// # });
/// ```
#[derive(Debug)]
#[must_use = "the outside world may know only when this has resolved"]
pub struct Output {
    released: oneshot::Receiver<Result<(), RolledBack>>,
}

impl Output {
    pub(super) fn new(released: oneshot::Receiver<Result<(), RolledBack>>) -> Self {
        Self { released }
    }
}

impl Future for Output {
    type Output = Result<(), OutputLost>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.released)
            .poll(context)
            .map(|outcome| match outcome {
                Ok(outcome) => outcome.map_err(OutputLost::RolledBack),
                Err(_) => Err(OutputLost::Stopped),
            })
    }
}
