//! The sthread of a request, shared by all who work on it.

use std::{future::Future, sync::Arc};

use axum::extract::FromRequestParts;
use http::request::Parts;
use leap_core::{DependencySet, Header, RolledBack};
use parking_lot::Mutex;
use tonic::Status;

use super::{error::SpeculationError, metadata};
use crate::{
    Action, ActionContext, BarrierError, Journaled, Object, ReceiveError, SThread, Service,
    StateObject,
};

tokio::task_local! {
    static CURRENT: Speculative;
}

/// An sthread (rule P15) that several parts of a program work with: clones are the same sthread.
///
/// [`ServerLayer`](super::ServerLayer) makes one for each request. Handlers get it as an axum extractor,
/// by [`Speculative::of`] from a tonic request, or from the task they run in by
/// [`Speculative::current`]. Whatever a response tells must have been learned through it: from actions by
/// [`Speculative::act`] and [`Speculative::read`], from other services through a
/// [`ClientLayer`](super::ClientLayer).
///
/// ```
/// # leap::testing::run_example(async {
/// # use leap::Host;
/// # use leap::testing::Counter;
/// # let host = Host::builder().start().await?;
/// # let counter = host.add::<Counter>("counter").await?;
/// use leap::tower::Speculative;
///
/// let speculative = Speculative::new(host.sthread().await);
/// speculative.change(&counter, |counter| counter.record(1)).await?;
/// // Whoever has a clone depends on the action too, and so does code that runs in its scope.
/// let current = speculative.scope(async { Speculative::current() }).await;
/// current.expect("it runs in the scope").barrier().await?;
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct Speculative {
    sthread: Arc<Mutex<SThread>>,
}

impl Speculative {
    /// Shares `sthread`.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::tower::Speculative;
    ///
    /// # let host = leap::Host::builder().start().await?;
    /// let speculative = Speculative::new(host.sthread().await);
    /// speculative.barrier().await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn new(sthread: SThread) -> Self {
        let sthread = Arc::new(Mutex::new(sthread));
        Self { sthread }
    }

    /// The one that the running task works with, if any. A task that is spawned does not inherit it:
    /// see [`Speculative::scope`].
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::tower::Speculative;
    ///
    /// # let host = leap::Host::builder().start().await?;
    /// assert!(Speculative::current().is_none());
    /// let speculative = Speculative::new(host.sthread().await);
    /// speculative.scope(async { assert!(Speculative::current().is_some()) }).await;
    /// # Ok(())
    /// # });
    /// ```
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// The one of a tonic request.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::tower::Speculative;
    ///
    /// /// A handler of a service below a `ServerLayer`.
    /// async fn add(request: tonic::Request<u64>) -> Result<tonic::Response<u64>, tonic::Status> {
    ///     let speculative = Speculative::of(&request)?;
    ///     // … with what the caller depends on …
    ///     Ok(tonic::Response::new(*request.get_ref()))
    /// }
    ///
    /// let refused = add(tonic::Request::new(7)).await.unwrap_err();
    /// assert_eq!(refused.code(), tonic::Code::Internal, "there is no layer here");
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// `INTERNAL` if the service has no [`ServerLayer`](super::ServerLayer).
    pub fn of<T>(request: &tonic::Request<T>) -> Result<Self, Status> {
        let found = request.extensions().get::<Self>().cloned();
        found.ok_or_else(|| Status::internal(NO_LAYER))
    }

    /// Runs `future` with this as its [`Speculative::current`].
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::tower::Speculative;
    ///
    /// # let host = leap::Host::builder().start().await?;
    /// let speculative = Speculative::new(host.sthread().await);
    /// // A task that is spawned works with the same sthread if it is told so.
    /// let work = async move { speculative.scope(async { Speculative::current().is_some() }).await };
    /// assert!(tokio::spawn(work).await?);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn scope<F: Future>(&self, future: F) -> F::Output {
        CURRENT.scope(self.clone(), future).await
    }

    /// As [`Speculative::scope`], for something that does not wait.
    pub(super) fn sync_scope<R>(&self, run: impl FnOnce() -> R) -> R {
        CURRENT.sync_scope(self.clone(), run)
    }

    /// The sthread as it is now; it and this go separate ways from here.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap::tower::Speculative;
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let speculative = Speculative::new(host.sthread().await);
    /// let mut before = speculative.sthread();
    /// speculative.change(&counter, |counter| counter.record(1)).await?;
    /// assert!(before.header()?.dependencies.is_empty(), "it has not seen the change");
    /// # Ok(())
    /// # });
    /// ```
    pub fn sthread(&self) -> SThread {
        self.sthread.lock().clone()
    }

    /// What must go along with every message; see [`SThread::header`].
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap::tower::Speculative;
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let speculative = Speculative::new(host.sthread().await);
    /// let version = speculative.act(&counter, |_state, context| context.version()).await?;
    /// let header = speculative.header()?;
    /// // It names the action's version, until that is inside the boundary.
    /// let named = header.dependencies.version_of(counter.id());
    /// assert!(named.is_none_or(|named| named == version));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`RolledBack`] if something it has seen is lost; it is over then.
    pub fn header(&self) -> Result<Header, RolledBack> {
        self.sthread.lock().header()
    }

    /// Consumes a message with `header`; see [`SThread::receive`].
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap::tower::Speculative;
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let header = counter.change(|counter| {
    ///     counter.record(1);
    ///     counter.context().header()
    /// });
    /// let speculative = Speculative::new(host.sthread().await);
    /// speculative.receive(&header.await?).await?;
    /// speculative.barrier().await?; // waits until the change is durable
    /// # assert_eq!(host.status().await.objects[0].durable, 1);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// As [`SThread::receive`].
    pub async fn receive(&self, header: &Header) -> Result<(), ReceiveError> {
        loop {
            let observation = {
                let mut sthread = self.sthread.lock();
                if sthread.try_receive(header)? {
                    return Ok(());
                }
                sthread.observation().clone()
            };
            // Others go on meanwhile.
            observation.reach(header.world_line).await;
        }
    }

    /// Waits until all it has seen so far is inside the boundary (rule P8). Others go on meanwhile.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap::tower::Speculative;
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let speculative = Speculative::new(host.sthread().await);
    /// speculative.change(&counter, |counter| counter.record(1)).await?;
    /// speculative.barrier().await?;
    /// println!("counted, for good");
    /// # assert_eq!(host.status().await.objects[0].committed, 1);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// As [`SThread::barrier`].
    pub async fn barrier(&self) -> Result<(), BarrierError> {
        self.sthread().barrier().await?;
        self.header()?;
        Ok(())
    }

    /// Runs an action of `object` that consumes what this has seen, and then sees the action. Waits for
    /// whatever must come first.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap::tower::Speculative;
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let speculative = Speculative::new(host.sthread().await);
    /// let sum = speculative.act(&counter, |state, context| {
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
    /// [`SpeculationError::RolledBack`] if what this has seen, or the action itself, is lost;
    /// [`SpeculationError::Stopped`] if the object has stopped.
    pub async fn act<S: StateObject, R>(
        &self,
        object: &Object<S>,
        act: impl FnOnce(&S, &ActionContext<'_>) -> R,
    ) -> Result<R, SpeculationError> {
        let mut act = Some(act);
        loop {
            let header = self.header()?;
            let acted = object.receive(&header, |state, context| {
                let act = act.take().expect("an action runs once");
                (act(state, context), context.detach())
            });
            match acted.await {
                Ok((result, seen)) => return self.see(seen).await.map(|()| result),
                // A decision came in between: the next header is of the new world-line, or lost.
                Err(ReceiveError::WorldLineOver { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// As [`Speculative::act`], for an object that keeps a journal.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap::tower::Speculative;
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let speculative = Speculative::new(host.sthread().await);
    /// let sum = speculative.change(&counter, |counter| {
    ///     counter.record(5);
    ///     counter.0
    /// });
    /// assert_eq!(sum.await?, 5);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Speculative::act`].
    pub async fn change<S: Service, R>(
        &self,
        object: &Object<Journaled<S>>,
        change: impl FnOnce(&mut Action<'_, S>) -> R,
    ) -> Result<R, SpeculationError> {
        self.act(object, |state, context| state.change(context, change))
            .await
    }

    /// Looks at `object` in an action that changes nothing, and sees what that depends on. The object does
    /// not come to depend on this.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap::tower::Speculative;
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// counter.change(|counter| counter.record(5)).await?;
    /// let speculative = Speculative::new(host.sthread().await);
    /// let count = speculative.read(&counter, |state| state.view(|counter| counter.0)).await?;
    /// assert_eq!(count, 5);
    /// speculative.barrier().await?; // before anybody outside is told
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Speculative::act`].
    pub async fn read<S: StateObject, R>(
        &self,
        object: &Object<S>,
        read: impl FnOnce(&S) -> R,
    ) -> Result<R, SpeculationError> {
        let (result, seen) = object.read(read).await.map_err(ReceiveError::from)?;
        self.see(seen).await.map(|()| result)
    }

    /// Takes in all that `other`, an sthread of this process, has seen.
    async fn see(&self, mut other: SThread) -> Result<(), SpeculationError> {
        loop {
            let header = other.header()?;
            match self.receive(&header).await {
                // A decision came in between: the next header is of the new world-line, or lost.
                Err(ReceiveError::WorldLineOver { .. }) => {}
                received => return Ok(received?),
            }
        }
    }

    /// The header that goes with a message over HTTP, where there is not room for any: if this has seen
    /// too much, waits until that is inside the boundary.
    pub(super) async fn portable_header(&self) -> Result<Header, BarrierError> {
        let header = self.header()?;
        if metadata::fits(&header) {
            return Ok(header);
        }
        self.barrier().await?;
        Ok(self.header()?)
    }

    /// Whether whoever has been told of `told` may be told more.
    pub(super) fn is_covered_by(&self, told: &Header) -> bool {
        // What is committed by now makes no difference: it would only be less.
        covers(&told.dependencies, self.sthread.lock().seen())
    }

    /// Waits until whoever has been told of `told` may be told more: until all that this has seen so far
    /// is among it, or inside the boundary (rule P8).
    pub(super) async fn release(&self, told: &Header) -> Result<(), BarrierError> {
        if covers(&told.dependencies, &self.header()?.dependencies) {
            return Ok(());
        }
        self.barrier().await
    }
}

/// Whether everything in `seen` is in `told`. Both may be of different world-lines: a version that
/// survives a rollback keeps its number.
fn covers(told: &DependencySet, seen: &DependencySet) -> bool {
    let mut seen = seen.iter();
    seen.all(|(object, version)| told.version_of(object) >= Some(version))
}

const NO_LAYER: &str = "the service has no leap::tower::ServerLayer";

/// Rejects with 500 when the routes have no [`ServerLayer`](super::ServerLayer).
impl<S: Sync> FromRequestParts<S> for Speculative {
    type Rejection = (http::StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let found = parts.extensions.get::<Self>().cloned();
        found.ok_or((http::StatusCode::INTERNAL_SERVER_ERROR, NO_LAYER))
    }
}
