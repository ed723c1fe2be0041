//! The objects of a host: bringing them to life, and what the host asks of them whatever their state.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use leap_core::message::Refusal;
use leap_core::{ObjectId, Participant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Host, Inner, ObjectOptions, calls};
use crate::journaled::Journaled;
use crate::links::Links;
use crate::object::{self, Event, Object, Protocol, SealPolicy, Shared};
use crate::observation::Stopped;
use crate::service::{CallError, Service};
use crate::state_object::{StateError, StateObject};
use crate::transport::DirectoryEntry;
use crate::turnstile::Pass;

/// Objects.
impl Host {
    /// Hosts the service `S` as the object called `name`, as its newest incarnation, with what its
    /// journal in this host's store holds. Whoever hosted it before is shut out (rule P12).
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap::testing::Counter;
    /// # let host = leap::Host::builder().start().await?;
    /// let counter = host.add::<Counter>("counter").await?;
    /// counter.change_released(|counter| counter.record(1)).await?;
    /// // A new life of the same object, with all that was released.
    /// let successor = host.add::<Counter>("counter").await?;
    /// assert_eq!(successor.view_released(|counter| counter.0).await?, 1);
    /// counter.stopped().await;
    /// assert!(counter.ready().await.is_err(), "the old life is over");
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`StateError`] if its storage cannot be read, or the host shuts down.
    pub async fn add<S: Service>(&self, name: &str) -> Result<Object<Journaled<S>>, StateError> {
        self.add_with(name, self.inner().defaults).await
    }

    /// As [`Host::add`], with options of its own.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use std::time::Duration;
    ///
    /// use leap::{GroupCommit, ObjectOptions};
    /// # use leap::testing::Counter;
    ///
    /// # let host = leap::Host::builder().start().await?;
    /// let bundled = ObjectOptions {
    ///     group_commit: GroupCommit::Fixed(Duration::from_millis(2)),
    ///     ..ObjectOptions::default()
    /// };
    /// let counter = host.add_with::<Counter>("counter", bundled).await?;
    /// counter.change_released(|counter| counter.record(1)).await?; // takes 2 ms at least
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Host::add`].
    pub async fn add_with<S: Service>(
        &self,
        name: &str,
        options: ObjectOptions,
    ) -> Result<Object<Journaled<S>>, StateError> {
        self.inner().open(name, options).await
    }

    /// Hosts any state object under `name`.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::{Journaled, ObjectOptions};
    /// # use leap::testing::Counter;
    ///
    /// # let host = leap::Host::builder().start().await?;
    /// // Any `StateObject`; this one is what `Host::add` makes.
    /// let state = Journaled::<Counter>::open(host.store(), "counter").await?;
    /// let counter = host.add_object("counter", state, ObjectOptions::default())?;
    /// counter.action(|state, context| state.change(context, |counter| counter.record(1))).await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`StateError`] if what its storage holds does not fit together, or the host shuts down.
    pub fn add_object<S: StateObject>(
        &self,
        name: &str,
        state: S,
        options: ObjectOptions,
    ) -> Result<Object<S>, StateError> {
        let pass = self.inner().enter()?;
        let wrap = |object| -> Arc<dyn Hosted> { Arc::new(Quiet(object)) };
        self.inner().host(name, state, options, wrap, pass)
    }
}

/// An object of this host, whatever its state.
pub(super) trait Hosted: Send + Sync {
    fn protocol(&self) -> &Protocol;
    /// Ends what it writes, once it has stopped; waits until nothing of it is under way.
    fn end_writing(&self) -> BoxFuture<'_, ()>;
    fn call<'a>(
        &'a self,
        method: &'a str,
        body: Bytes,
        idempotency_key: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Bytes, CallError>>;
}

impl<S: Service> Hosted for Object<Journaled<S>> {
    fn protocol(&self) -> &Protocol {
        self.protocol()
    }

    fn end_writing(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.state().end())
    }

    fn call<'a>(
        &'a self,
        method: &'a str,
        body: Bytes,
        idempotency_key: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Bytes, CallError>> {
        calls::call_service(self, method, body, idempotency_key)
    }
}

/// A hosted object that is not called by name.
struct Quiet<S>(Object<S>);

impl<S: StateObject> Hosted for Quiet<S> {
    fn protocol(&self) -> &Protocol {
        self.0.protocol()
    }

    fn end_writing(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn call<'a>(
        &'a self,
        method: &'a str,
        _body: Bytes,
        _idempotency_key: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Bytes, CallError>> {
        Box::pin(std::future::ready(Err(CallError::no_such_method(method))))
    }
}

/// Waits until the object has stopped and writes nothing any more.
pub(super) async fn ended(object: &dyn Hosted) {
    object.protocol().stopped().await;
    object.end_writing().await;
}

impl Inner {
    /// Hosts the service `S` with what its journal holds.
    pub(super) async fn open<S: Service>(
        self: &Arc<Self>,
        name: &str,
        options: ObjectOptions,
    ) -> Result<Object<Journaled<S>>, StateError> {
        // Before the journal is claimed: that writes already.
        let pass = self.enter()?;
        let state = Journaled::<S>::open(&self.store, name).await?;
        let wrap = |object| -> Arc<dyn Hosted> { Arc::new(object) };
        self.host(name, state, options, wrap, pass)
    }

    /// Permission to host an object; a shutdown waits for whoever has it.
    fn enter(&self) -> Result<Pass, StateError> {
        let pass = self.hosting.enter();
        pass.ok_or_else(|| StateError("the host shuts down".to_owned()))
    }

    fn host<S: StateObject>(
        self: &Arc<Self>,
        name: &str,
        state: S,
        options: ObjectOptions,
        wrap: impl FnOnce(Object<S>) -> Arc<dyn Hosted>,
        pass: Pass,
    ) -> Result<Object<S>, StateError> {
        let id = ObjectId::from_name(name);
        let stored = state.versions();
        let incarnation = state.incarnation();
        let participant = Participant::recover(
            id,
            incarnation,
            options.speculation,
            stored.checkpoint,
            stored.later,
        );
        let participant = participant.map_err(StateError::new)?;
        let (inbox, events) = mpsc::unbounded_channel();
        let protocol = Protocol::new(
            name,
            participant,
            options.speculation,
            inbox.clone(),
            self.links.clone(),
            self.observation.clone(),
        );
        let shared = Arc::new(Shared { protocol, state });
        let object = Object::new(shared.clone());
        let hosted = wrap(object.clone());
        if let Some(previous) = self.objects.write().insert(id, hosted) {
            // What the coordinator says about the object no longer reaches it.
            let fenced = Refusal::Fenced { by: incarnation };
            previous
                .protocol()
                .tell(Event::Stop(Stopped::Refused(fenced)));
            // Nobody else knows it any more, so that a shutdown waits for it here.
            self.spawn(async move {
                ended(&*previous).await;
                drop(pass);
            });
        }
        self.spawn(drive(
            shared,
            events,
            SealPolicy::new(options.group_commit),
            self.links.clone(),
            inbox.clone(),
        ));
        let address = self.address.lock().clone().unwrap_or_default();
        self.links.add_local(
            DirectoryEntry {
                object: id,
                name: name.to_owned(),
                address,
                incarnation,
            },
            inbox,
        );
        Ok(object)
    }

    /// How others reach the objects that live here.
    pub(super) fn entries(&self) -> Vec<DirectoryEntry> {
        let address = self.address.lock().clone().unwrap_or_default();
        let objects = self.objects.read();
        let entry = |object: &Arc<dyn Hosted>| DirectoryEntry {
            object: object.protocol().id,
            name: object.protocol().name.to_string(),
            address: address.clone(),
            incarnation: object.protocol().ask(Participant::incarnation),
        };
        objects.values().map(entry).collect()
    }
}

/// Runs an object's task and makes sure that its end is known, even if it panics.
async fn drive<S: StateObject>(
    shared: Arc<Shared<S>>,
    events: mpsc::UnboundedReceiver<Event>,
    policy: SealPolicy,
    links: Arc<Links>,
    inbox: mpsc::UnboundedSender<Event>,
) {
    let mut task = JoinSet::new();
    task.spawn(object::run(shared.clone(), events, policy));
    if let Some(Err(error)) = task.join_next().await {
        shared.protocol.stop(Stopped::Failed {
            reason: error.to_string(),
        });
    }
    links.remove_local(shared.protocol.id, &inbox);
}
