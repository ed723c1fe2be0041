//! A hosted state object: the driver of one [`Participant`](leap_core::Participant).
//!
//! Actions run on whatever thread calls them, many at a time, on the shared side of a gate
//! ([`protocol`]). One task per object ([`task`]) does everything that needs the gate's exclusive side: it
//! seals, restores and enters world-lines (rule P1). It also runs the handlers of channel messages.
//!
//! # Invariants
//!
//! - Effects that leave the object (messages, releases) are given away under the core's lock, so that
//!   they leave in the order in which the core decided them.
//! - While the shared side is held, world-line and open version do not change; that is why their
//!   copies outside the core's lock can be trusted.
//! - `ACTIVE` is set only while the core lets actions run, `DIRTY` only while the open version has
//!   changes; both are cleared on the exclusive side.

mod context;
mod life;
mod protocol;
mod task;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use leap_core::{Admission, Header, ObjectId};
use tokio::sync::watch;

pub use context::{ActionContext, Output, OutputLost};
pub use life::{Life, LifePhase};
pub use protocol::NotActive;
use protocol::{ACTIVE, DIRTY, HURRIED, POISONED, Undone};
pub(crate) use protocol::{Event, Protocol};
pub(crate) use task::{SealPolicy, run};

use crate::observation::{ReceiveError, Stopped};
use crate::service::CallError;
use crate::state_object::StateObject;
use crate::sthread::SThread;

/// A handle to a state object that this process hosts; clones lead to the same object.
///
/// ```
/// # leap::testing::run_example(async {
/// use leap::{Host, Journaled, Machine, Service};
///
/// #[derive(Default, serde::Serialize, serde::Deserialize)]
/// struct Counter(u64);
///
/// impl Machine for Counter {
///     type Change = u64;
///     fn apply(&mut self, by: u64) {
///         self.0 += by;
///     }
/// }
/// impl Service for Counter {}
///
/// let host = Host::builder().start().await?;
/// let counter = host.add::<Counter>("counter").await?;
/// let output = counter
///     .change(|counter| {
///         counter.record(1);
///         counter.output()
///     })
///     .await?;
/// // The outside world may know as soon as the change can never be lost.
/// output.await?;
/// # Ok(())
/// # });
/// ```
///
/// The ways in and out:
///
/// ```
/// # leap::testing::run_example(async {
/// # use leap::Host;
/// # use leap::testing::Counter;
/// # let host = Host::builder().start().await?;
/// # let counter = host.add::<Counter>("counter").await?;
/// # let other = host.add::<Counter>("other").await?;
/// // Inside the cluster nothing is waited for. What is read, or leaves an action, carries what it depends on …
/// let (count, sthread) = counter.read(|state| state.view(|counter| counter.0)).await?;
/// let message = counter.change(|counter| {
///     counter.record(count + 1);
///     (counter.0, counter.context().header())
/// });
/// let (count, header) = message.await?;
/// // … and whoever consumes it depends on that too.
/// other.receive(&header, |state, context| state.change(context, |other| other.record(count))).await?;
/// other.merge(sthread, |state, context| state.change(context, |other| other.record(1))).await?;
/// assert_eq!(other.view_released(|other| other.0).await?, 2);
///
/// // It leaves when all of it is inside the boundary, and then nobody has to roll back.
/// other.leave().await?;
/// assert!(other.action(|_, _| ()).await.is_err());
/// # Ok(())
/// # });
/// ```
pub struct Object<S> {
    shared: Arc<Shared<S>>,
}

impl<S> Clone for Object<S> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

pub(crate) struct Shared<S> {
    pub(crate) protocol: Protocol,
    pub(crate) state: S,
}

/// Actions.
impl<S: StateObject> Object<S> {
    pub(crate) fn new(shared: Arc<Shared<S>>) -> Self {
        Self { shared }
    }

    pub(crate) fn protocol(&self) -> &Protocol {
        &self.shared.protocol
    }

    pub(crate) fn unavailable(&self, reason: &dyn std::fmt::Display) -> CallError {
        CallError::unavailable(self.name(), reason)
    }

    /// The object's id.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// assert_eq!(counter.id(), leap::ObjectId::from_name("counter"));
    /// # Ok(())
    /// # });
    /// ```
    pub fn id(&self) -> ObjectId {
        self.shared.protocol.id
    }

    /// The object's name.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// assert_eq!(counter.name(), "counter");
    /// # Ok(())
    /// # });
    /// ```
    pub fn name(&self) -> &str {
        &self.shared.protocol.name
    }

    /// Its state. Looking at it outside an action is looking at speculative state: see [`Object::read`].
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// assert_eq!(counter.state().view(|counter| counter.0), 0);
    /// # Ok(())
    /// # });
    /// ```
    pub fn state(&self) -> &S {
        &self.shared.state
    }

    /// Watches its life: phase, world-line and how often it was restored.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::{LifePhase, Stopped};
    ///
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let mut life = counter.life();
    /// drop(host);
    /// let end = life.wait_for(|life| matches!(life.phase, LifePhase::Stopped(_))).await?;
    /// assert_eq!(end.phase, LifePhase::Stopped(Stopped::HostGone));
    /// # Ok(())
    /// # });
    /// ```
    pub fn life(&self) -> watch::Receiver<Life> {
        self.shared.protocol.life.subscribe()
    }

    /// Waits until actions may run.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// counter.ready().await?;
    /// assert!(counter.try_action(|_state, _context| ()).is_ok());
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`Stopped`] if they never will again.
    pub async fn ready(&self) -> Result<(), Stopped> {
        self.shared.protocol.ready().await
    }

    /// Runs an action: an atomic block that changes the state (rule P1). Waits while the object is
    /// being restored. The closure must not block.
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
    ///
    /// # Errors
    ///
    /// [`Stopped`] if the object has stopped.
    pub async fn action<R>(
        &self,
        act: impl FnOnce(&S, &ActionContext<'_>) -> R,
    ) -> Result<R, Stopped> {
        let mut act = Some(act);
        loop {
            if let Ok(shared) = self.shared.protocol.begin() {
                let act = act.take().expect("an action runs once");
                let result = self.shared.act(act);
                drop(shared);
                return Ok(result);
            }
            self.ready().await?;
        }
    }

    /// As [`Object::action`], but does not wait.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// counter.ready().await?;
    /// let add = |state: &leap::Journaled<leap::testing::Counter>, context: &leap::ActionContext<'_>| {
    ///     state.change(context, |counter| counter.record(5));
    /// };
    /// if counter.try_action(add).is_err() {
    ///     println!("it is being restored: come back later");
    /// }
    /// # assert_eq!(counter.view_released(|counter| counter.0).await?, 5);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`NotActive`] if the object is not running actions just now.
    pub fn try_action<R>(
        &self,
        act: impl FnOnce(&S, &ActionContext<'_>) -> R,
    ) -> Result<R, NotActive> {
        let _shared = self.shared.protocol.begin()?;
        Ok(self.shared.act(act))
    }

    /// Runs an action that changes nothing, and gives an sthread that depends on what was read.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let (count, mut seen) = counter.read(|state| state.view(|counter| counter.0)).await?;
    /// assert_eq!(count, 0);
    /// seen.barrier().await?; // before anybody outside is told
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`Stopped`] if the object has stopped.
    pub async fn read<R>(&self, read: impl FnOnce(&S) -> R) -> Result<(R, SThread), Stopped> {
        let protocol = &self.shared.protocol;
        let mut read = Some(read);
        loop {
            if let Ok(shared) = protocol.enter_shared() {
                let read = read.take().expect("an action runs once");
                let result = read(&self.shared.state);
                // After reading: an action that ran meanwhile has marked the open version before it changed anything.
                let header = protocol.core.lock().header();
                drop(shared);
                return Ok((
                    result,
                    SThread::new(
                        leap_core::SThread::detach(header),
                        protocol.observation.clone(),
                    ),
                ));
            }
            self.ready().await?;
        }
    }

    /// Runs an action that consumes a message with `header`: the object depends on what the message
    /// depends on (rules P3 to P5). Waits for whatever must come first.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap::testing::Counter;
    /// # let host = leap::Host::builder().start().await?;
    /// # let one = host.add::<Counter>("one").await?;
    /// # let other = host.add::<Counter>("other").await?;
    /// let message = one.change(|one| {
    ///     one.record(1);
    ///     (one.0, one.context().header())
    /// });
    /// let (count, header) = message.await?;
    /// // However the message travels, its header goes with it: `other` now depends on `one`.
    /// other.receive(&header, |state, context| state.change(context, |other| other.record(count))).await?;
    /// # assert_eq!(other.view_released(|other| other.0).await?, 1);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ReceiveError::WorldLineOver`] if the message must be sent again; [`ReceiveError::Stopped`].
    pub async fn receive<R>(
        &self,
        header: &Header,
        act: impl FnOnce(&S, &ActionContext<'_>) -> R,
    ) -> Result<R, ReceiveError> {
        let protocol = &self.shared.protocol;
        // Only who has to wait watches the object's life, and tries again before it does.
        let mut watched = None;
        let mut act = Some(act);
        loop {
            let admission = match protocol.begin_receiving(header) {
                Ok(shared) => {
                    let act = act.take().expect("an action runs once");
                    let result = self.shared.act(act);
                    drop(shared);
                    return Ok(result);
                }
                Err(admission) => admission,
            };
            match admission {
                Admission::SealFirst(at_least) => protocol.sealed(at_least).await?,
                Admission::Discard { current } => {
                    return Err(ReceiveError::WorldLineOver { current });
                }
                Admission::Hold | Admission::Consumed => match &mut watched {
                    None => watched = Some(self.life()),
                    Some(life) => protocol.changed(life).await?,
                },
            }
        }
    }

    /// As [`Object::receive`], but does not wait.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::{Admission, Header, WorldLine};
    ///
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// counter.ready().await?;
    /// // From a world-line that has not begun here: some failure is being repaired.
    /// let early = Header { world_line: WorldLine(1), ..Header::default() };
    /// assert_eq!(counter.try_receive(&early, |_state, _context| ()), Err(Admission::Hold));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// What must come first: see [`Admission`].
    pub fn try_receive<R>(
        &self,
        header: &Header,
        act: impl FnOnce(&S, &ActionContext<'_>) -> R,
    ) -> Result<R, Admission> {
        let _shared = self.shared.protocol.begin_receiving(header)?;
        Ok(self.shared.act(act))
    }

    /// Runs an action in which an sthread merges into the object.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap::testing::Counter;
    /// # let host = leap::Host::builder().start().await?;
    /// # let one = host.add::<Counter>("one").await?;
    /// # let other = host.add::<Counter>("other").await?;
    /// one.change(|one| one.record(5)).await?;
    /// let (count, seen) = one.view(|one| one.0).await?;
    /// other.merge(seen, |state, context| state.change(context, |other| other.record(count))).await?;
    /// assert_eq!(other.view_released(|other| other.0).await?, 5);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Object::receive`]; [`ReceiveError::RolledBack`] if what the sthread has seen is lost.
    pub async fn merge<R>(
        &self,
        mut sthread: SThread,
        act: impl FnOnce(&S, &ActionContext<'_>) -> R,
    ) -> Result<R, ReceiveError> {
        let header = sthread.header()?;
        self.receive(&header, act).await
    }

    /// Leaves the cluster when everything is inside the boundary; nobody will have to roll back. No
    /// further action may be started.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// counter.change(|counter| counter.record(5)).await?;
    /// counter.leave().await?;
    /// assert!(counter.change(|counter| counter.record(5)).await.is_err());
    /// // What it did is inside the boundary.
    /// let successor = host.add::<leap::testing::Counter>("counter").await?;
    /// assert_eq!(successor.view_released(|counter| counter.0).await?, 5);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`Stopped`] if the object stopped for another reason before it was done.
    pub async fn leave(&self) -> Result<(), Stopped> {
        self.shared.protocol.tell(Event::Leave);
        match self.shared.protocol.stopped().await {
            Stopped::Left => Ok(()),
            other => Err(other),
        }
    }

    /// Waits until the object has stopped, and tells why.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// host.kill();
    /// assert_eq!(counter.stopped().await, leap::Stopped::HostGone);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn stopped(&self) -> Stopped {
        self.shared.protocol.stopped().await
    }
}

impl<S: StateObject> Shared<S> {
    fn act<R>(&self, act: impl FnOnce(&S, &ActionContext<'_>) -> R) -> R {
        let unwinding = StopOnPanic(&self.protocol);
        let result = act(&self.state, &ActionContext::new(&self.protocol));
        std::mem::forget(unwinding);
        result
    }
}

/// An action that panics may have left the state half changed: it must never become durable.
struct StopOnPanic<'a>(&'a Protocol);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        let reason = "an action panicked; what it changed is thrown away".to_owned();
        self.0.flags.store(POISONED, Ordering::Release);
        self.0.end(Stopped::Failed {
            reason: reason.clone(),
        });
        self.0.tell(Event::Stop(Stopped::Failed { reason }));
    }
}
