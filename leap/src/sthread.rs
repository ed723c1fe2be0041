//! Speculative threads: code between actions that carries what it has seen.

use std::sync::Arc;

use leap_core::{Admission, DependencySet, Header, RolledBack, WorldLine};

use crate::observation::{BarrierError, Observation, ReceiveError};

/// A speculative thread (rule P15): a dependency set, and nothing durable.
///
/// It comes from [`Host::sthread`](crate::Host::sthread) or from an action
/// ([`ActionContext::detach`](crate::ActionContext::detach)), sees messages ([`SThread::receive`]),
/// sends them with its [`header`](SThread::header), and may give something to the outside world once
/// [`barrier`](SThread::barrier) has returned. Dropping it costs nothing.
///
/// ```
/// # leap::testing::run_example(async {
/// # use leap::Host;
/// # use leap::testing::Counter;
/// # let host = Host::builder().start().await?;
/// # let counter = host.add::<Counter>("counter").await?;
/// let mut sthread = host.sthread().await;
/// // It has seen nothing, so nothing has to become durable.
/// sthread.barrier().await?;
///
/// // A message from an action, by whatever way it comes.
/// let message = counter.change(|counter| {
///     counter.record(1);
///     (counter.0, counter.context().header())
/// });
/// let (count, header) = message.await?;
/// sthread.receive(&header).await?;
/// // The outside world may know what the message says once the action can never be lost.
/// sthread.barrier().await?;
/// println!("the counter is {count}");
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone)]
pub struct SThread {
    core: leap_core::SThread,
    observation: Arc<Observation>,
}

impl SThread {
    pub(crate) fn new(core: leap_core::SThread, observation: Arc<Observation>) -> Self {
        Self { core, observation }
    }

    /// The world-line it runs in.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// let sthread = host.sthread().await;
    /// assert_eq!(sthread.world_line(), leap::WorldLine(0));
    /// # Ok(())
    /// # });
    /// ```
    pub fn world_line(&self) -> WorldLine {
        self.core.world_line()
    }

    /// What it must send along with every message: all that it has seen and that is not committed.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// counter.change(|counter| counter.record(1)).await?;
    /// let (_count, mut seen) = counter.view(|counter| counter.0).await?;
    /// let bytes = seen.header()?.encode(); // to go with the message, by whatever way
    /// # assert!(leap::Header::decode(&bytes).is_ok());
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`RolledBack`] if something it has seen is lost; it is over then.
    pub fn header(&mut self) -> Result<Header, RolledBack> {
        self.observation
            .with(|observer| observer.refresh(&mut self.core))?;
        Ok(self.core.header())
    }

    /// Consumes a message with `header`: the sthread depends on what the message depends on. Waits
    /// while the message is ahead of what this process knows.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let header = counter.change(|counter| {
    ///     counter.record(1);
    ///     counter.context().header()
    /// });
    /// let mut sthread = host.sthread().await;
    /// sthread.receive(&header.await?).await?;
    /// sthread.barrier().await?; // waits until the change is durable
    /// # assert_eq!(host.status().await.objects[0].durable, 1);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ReceiveError::WorldLineOver`] if the message must be sent again, [`ReceiveError::RolledBack`]
    /// if the sthread itself is over.
    pub async fn receive(&mut self, header: &Header) -> Result<(), ReceiveError> {
        while !self.try_receive(header)? {
            self.observation.reach(header.world_line).await;
        }
        Ok(())
    }

    /// As [`SThread::receive`], but says `false` instead of waiting.
    pub(crate) fn try_receive(&mut self, header: &Header) -> Result<bool, ReceiveError> {
        let consumed = self
            .observation
            .with(|observer| observer.consume(&mut self.core, header))?;
        match consumed {
            Admission::Consumed | Admission::SealFirst(_) => Ok(true),
            Admission::Discard { current } => Err(ReceiveError::WorldLineOver { current }),
            Admission::Hold => Ok(false),
        }
    }

    /// All that it has seen, as it was last looked at: some of it may be committed or lost by now.
    pub(crate) fn seen(&self) -> &DependencySet {
        self.core.seen()
    }

    /// Where it lives.
    pub(crate) fn observation(&self) -> &Arc<Observation> {
        &self.observation
    }

    /// Waits until all it has seen is inside the boundary (rule P8); then its set is empty and it
    /// goes on.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let mut sthread = counter.change(|counter| {
    ///     counter.record(1);
    ///     counter.detach()
    /// }).await?;
    /// sthread.barrier().await?;
    /// assert!(sthread.header()?.dependencies.is_empty(), "nothing it has seen can be lost any more");
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`BarrierError::RolledBack`] if something it has seen is lost, [`BarrierError::HostGone`] if its
    /// host is.
    pub async fn barrier(&mut self) -> Result<(), BarrierError> {
        self.observation.barrier(self.core.clone()).await?;
        let refreshed = self
            .observation
            .with(|observer| observer.refresh(&mut self.core));
        Ok(refreshed?)
    }

    /// Takes in all that `other` has seen.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let mut sthread = host.sthread().await;
    /// let (_count, seen) = counter.view(|counter| counter.0).await?;
    /// sthread.merge(seen).await?; // now it depends on the counter too
    /// sthread.barrier().await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// As [`SThread::receive`].
    pub async fn merge(&mut self, mut other: Self) -> Result<(), ReceiveError> {
        let header = other.header()?;
        self.receive(&header).await
    }
}
