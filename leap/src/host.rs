//! A process of the cluster: hosts objects, knows the coordinator, listens.

mod calls;
mod membership;

pub use membership::RemoveError;

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use leap_core::message::Refusal;
use leap_core::{ObjectId, Participant, Speculation};
use leap_store::{GroupCommit, Store, StoreOptions};
use parking_lot::{Mutex, RwLock};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::client::remote::Remote;
use crate::coordinator::{self, CoordinatorError, CoordinatorHandle};
use crate::journaled::Journaled;
use crate::links::{Links, PROTOCOL, Pause};
use crate::object::{self, Event, Object, Protocol, SealPolicy, Shared};
use crate::observation::{Observation, Stopped};
use crate::service::{CallError, Service};
use crate::state_object::{StateError, StateObject};
use crate::status::{HostStatus, ObjectStatus};
use crate::sthread::SThread;
use crate::transport::{
    Connection, DirectoryEntry, Frame, HostId, Listener, Network, Purpose, Services, TransportError,
};

/// How the objects of a host run unless they are given something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ObjectOptions {
    /// Whether objects run ahead of their own persistence.
    pub speculation: Speculation,
    /// When versions are sealed: at once when idle (adaptive), or a fixed time after the first change.
    pub group_commit: GroupCommit,
}

/// Why a host cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// Its store cannot be opened.
    #[error("the store cannot be opened")]
    Store(#[from] leap_store::StoreError),
    /// The embedded coordinator cannot run.
    #[error("the coordinator cannot run")]
    Coordinator(#[from] CoordinatorError),
    /// It cannot listen.
    #[error("cannot listen: {reason}")]
    Listen {
        /// Why.
        reason: String,
    },
}

impl From<TransportError> for HostError {
    fn from(error: TransportError) -> Self {
        let reason = crate::error_chain(&error);
        Self::Listen { reason }
    }
}

/// Settings of a host that is about to start; see [`Host::builder`].
#[derive(Default)]
#[must_use = "a builder does nothing until it is started"]
pub struct HostBuilder {
    store: Option<Store>,
    cluster: Option<String>,
    listen: Option<String>,
    network: Option<Network>,
    defaults: ObjectOptions,
    routes: axum::Router,
}

impl HostBuilder {
    /// Keeps journals in `store`. Without this, in this process's memory: for tests only.
    pub fn store(mut self, store: Store) -> Self {
        self.store = Some(store);
        self
    }

    /// Joins the cluster whose coordinator is at `url` (`http://host:port`). Without this the host
    /// embeds a coordinator of its own, whose log is in the store.
    pub fn join(mut self, url: impl Into<String>) -> Self {
        self.cluster = Some(url.into());
        self
    }

    /// Listens on `address` (`host:port`; port 0 takes any that is free) for other processes, calls
    /// from outside and HTTP. A host that embeds a coordinator and does not listen is a cluster of one.
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = Some(address.into());
        self
    }

    /// How objects run unless they are given something else.
    pub fn defaults(mut self, defaults: ObjectOptions) -> Self {
        self.defaults = defaults;
        self
    }

    /// Serves these HTTP routes on the same port.
    pub fn routes(mut self, routes: axum::Router) -> Self {
        self.routes = routes;
        self
    }

    pub(crate) fn network(mut self, network: Network) -> Self {
        self.network = Some(network);
        self
    }

    /// Starts the host. It works until the last clone of it is dropped or [`Host::shutdown`].
    ///
    /// # Errors
    ///
    /// [`HostError`].
    pub async fn start(self) -> Result<Host, HostError> {
        let store = match self.store {
            Some(store) => store,
            None => Store::open("memory:", StoreOptions::default()).await?,
        };
        let network = self.network.unwrap_or_else(Network::grpc);
        let id = HostId(RandomState::new().hash_one(std::process::id()));
        let links = Arc::new(Links::new(
            id,
            network.clone(),
            tokio::runtime::Handle::current(),
        ));
        let inner = Arc::new(Inner {
            id,
            store,
            defaults: self.defaults,
            observation: Arc::new(Observation::new(links.clone())),
            links,
            remote: Remote::of(&network),
            objects: RwLock::default(),
            coordinator: Mutex::default(),
            address: Mutex::default(),
            tasks: Mutex::default(),
        });
        let listener = match self.listen {
            Some(address) => Some(inner.listen(&network, &address, self.routes).await?),
            None => None,
        };
        inner.start_coordination(self.cluster, network).await?;
        if let Some(listener) = listener {
            inner.spawn(accept(
                listener,
                inner.links.clone(),
                inner.coordinator.lock().clone(),
            ));
        }
        Ok(Host {
            alive: Arc::new(Alive(inner)),
        })
    }
}

/// A process of the cluster. Clones are the same host; when the last is dropped, all it hosts stops
/// as if the process had died.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use leap::Host;
///
/// // Everything embedded and in memory; `.store(..)` keeps it, `.join(..)` makes it part of a cluster.
/// let host = Host::builder().listen("127.0.0.1:0").start().await?;
/// println!("listening on {}", host.address().unwrap());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Host {
    alive: Arc<Alive>,
}

/// A host that something knows without keeping it alive, such as the routes that it serves itself.
#[derive(Clone)]
pub struct WeakHost(std::sync::Weak<Alive>);

impl WeakHost {
    /// The host, if it still lives.
    pub fn upgrade(&self) -> Option<Host> {
        self.0.upgrade().map(|alive| Host { alive })
    }
}

/// What ends with the last handle.
struct Alive(Arc<Inner>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.kill();
    }
}

struct Inner {
    id: HostId,
    store: Store,
    defaults: ObjectOptions,
    links: Arc<Links>,
    /// The way to objects that live elsewhere.
    remote: Remote,
    observation: Arc<Observation>,
    objects: RwLock<HashMap<ObjectId, Arc<dyn Hosted>>>,
    /// The coordinator, if it is embedded.
    coordinator: Mutex<Option<CoordinatorHandle>>,
    address: Mutex<Option<String>>,
    tasks: Mutex<JoinSet<()>>,
}

/// An object of this host, whatever its state.
trait Hosted: Send + Sync {
    fn protocol(&self) -> &Protocol;
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

    fn call<'a>(
        &'a self,
        method: &'a str,
        _body: Bytes,
        _idempotency_key: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Bytes, CallError>> {
        let error = CallError::NoSuchMethod {
            method: method.to_owned(),
        };
        Box::pin(std::future::ready(Err(error)))
    }
}

/// Starting, and ending.
impl Host {
    /// A host with everything embedded and nothing kept; see what can be set.
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }

    /// A handle that does not keep the host alive.
    pub fn downgrade(&self) -> WeakHost {
        WeakHost(Arc::downgrade(&self.alive))
    }

    /// Where others reach this host, if it listens.
    pub fn address(&self) -> Option<String> {
        self.inner().address.lock().clone()
    }

    /// The store that objects of this host are kept in.
    pub fn store(&self) -> &Store {
        &self.inner().store
    }

    /// Lets all objects leave in order: persists everything, waits until it is inside the boundary,
    /// and ends. Objects that cannot leave within `patience` are left as if the process had died.
    pub async fn shutdown(self, patience: std::time::Duration) {
        let objects: Vec<_> = self.inner().objects.read().values().cloned().collect();
        for object in &objects {
            object.protocol().tell(Event::Leave);
        }
        let left =
            futures::future::join_all(objects.iter().map(|object| object.protocol().stopped()));
        if tokio::time::timeout(patience, left).await.is_err() {
            tracing::warn!(
                "not everything could leave in time; it will be recovered at the next start"
            );
        }
        self.inner().kill();
    }

    /// Ends at once, as `kill -9` would: for tests.
    pub fn kill(&self) {
        self.inner().kill();
    }

    fn inner(&self) -> &Arc<Inner> {
        &self.alive.0
    }
}

/// Objects.
impl Host {
    /// Hosts the service `S` as the object called `name`, as its newest incarnation, with what its
    /// journal in this host's store holds. Whoever hosted it before is shut out (rule P12).
    ///
    /// # Errors
    ///
    /// [`StateError`] if its storage cannot be read.
    pub async fn add<S: Service>(&self, name: &str) -> Result<Object<Journaled<S>>, StateError> {
        self.add_with(name, self.inner().defaults).await
    }

    /// As [`Host::add`], with options of its own.
    ///
    /// # Errors
    ///
    /// As [`Host::add`].
    pub async fn add_with<S: Service>(
        &self,
        name: &str,
        options: ObjectOptions,
    ) -> Result<Object<Journaled<S>>, StateError> {
        let state = Journaled::<S>::open(&self.inner().store, name).await?;
        let object = self
            .inner()
            .host(name, state, options, |object| Arc::new(object))?;
        Ok(object)
    }

    /// Hosts any state object under `name`.
    ///
    /// # Errors
    ///
    /// [`StateError`] if what its storage holds does not fit together.
    pub fn add_object<S: StateObject>(
        &self,
        name: &str,
        state: S,
        options: ObjectOptions,
    ) -> Result<Object<S>, StateError> {
        self.inner()
            .host(name, state, options, |object| Arc::new(Quiet(object)))
    }

    /// Hosts the service `S` under `name` for as long as the host lives: whenever it stops because
    /// its storage failed or its code panicked, it is brought back when the cause is gone. It stays
    /// away when a newer incarnation has taken over.
    ///
    /// # Errors
    ///
    /// As [`Host::add`], for the first attempt.
    pub async fn supervise<S: Service>(
        &self,
        name: &str,
        options: ObjectOptions,
        mut started: impl FnMut(Object<Journaled<S>>) + Send + 'static,
    ) -> Result<(), StateError> {
        let mut object = self.add_with::<S>(name, options).await?;
        started(object.clone());
        let (inner, name) = (Arc::downgrade(self.inner()), name.to_owned());
        self.inner().spawn(async move {
            loop {
                let why = object.stopped().await;
                let is_over =
                    matches!(why, Stopped::Refused(_) | Stopped::Left | Stopped::HostGone);
                // Storage may know of a newer life before the coordinator tells.
                if is_over || object.state().is_fenced() {
                    return;
                }
                let mut pause = Pause::default();
                object = loop {
                    pause.wait().await;
                    let Some(inner) = inner.upgrade() else { return };
                    match Self::add_to::<S>(&inner, &name, options).await {
                        Ok(object) => break object,
                        Err(error) => {
                            tracing::warn!(object = name, %error, "cannot be brought back yet");
                        }
                    }
                };
                started(object.clone());
            }
        });
        Ok(())
    }

    async fn add_to<S: Service>(
        inner: &Arc<Inner>,
        name: &str,
        options: ObjectOptions,
    ) -> Result<Object<Journaled<S>>, StateError> {
        let state = Journaled::<S>::open(&inner.store, name).await?;
        inner.host(name, state, options, |object| Arc::new(object))
    }

    /// A new sthread that has seen nothing. Waits until the coordinator has been met.
    pub async fn sthread(&self) -> SThread {
        let observation = &self.inner().observation;
        observation.reach(leap_core::WorldLine::default()).await;
        self.sthread_now().expect("the coordinator has been met")
    }

    /// As [`Host::sthread`]; nothing before the coordinator has been met.
    pub(crate) fn sthread_now(&self) -> Option<SThread> {
        let observation = &self.inner().observation;
        let core = leap_core::SThread::new(observation.known()?);
        Some(SThread::new(core, observation.clone()))
    }

    /// Calls a handler of an object of the cluster, as the outside world: the answer comes when all it
    /// depends on is inside the boundary (rule P8). See [`Call`](crate::Call) for calls with an
    /// idempotency key.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn call(&self, object: &str, method: &str, body: Bytes) -> Result<Bytes, CallError> {
        crate::Call::call(self, object, method, body, None).await
    }

    /// What the objects of this host have done and is not inside the boundary yet, in words.
    pub(crate) fn unsettled(&self) -> Vec<String> {
        let objects = self.inner().objects.read();
        objects
            .values()
            .filter_map(|object| object.protocol().unsettled())
            .collect()
    }

    /// How this host and its objects are.
    pub async fn status(&self) -> HostStatus {
        self.inner().status().await
    }
}

impl Inner {
    async fn listen(
        self: &Arc<Self>,
        network: &Network,
        address: &str,
        routes: axum::Router,
    ) -> Result<Listener, TransportError> {
        let calls = calls::handler(Arc::downgrade(self));
        let listener = network
            .listen_with(address, Services { calls, routes })
            .await?;
        *self.address.lock() = Some(listener.address().to_owned());
        Ok(listener)
    }

    /// Connects to the coordinator, near or far, for as long as the host lives.
    async fn start_coordination(
        self: &Arc<Self>,
        cluster: Option<String>,
        network: Network,
    ) -> Result<(), HostError> {
        let Some(url) = cluster else {
            let (handle, task) = coordinator::start(&self.store).await?;
            self.spawn(task);
            *self.coordinator.lock() = Some(handle.clone());
            let near = Network::in_process();
            let listener = near.listen("coordinator").await?;
            self.spawn(accept(listener, self.links.clone(), Some(handle)));
            self.spawn(coordinate(self.clone(), near, "coordinator".to_owned()));
            return Ok(());
        };
        self.spawn(coordinate(self.clone(), network, url));
        Ok(())
    }

    fn host<S: StateObject>(
        self: &Arc<Self>,
        name: &str,
        state: S,
        options: ObjectOptions,
        wrap: impl FnOnce(Object<S>) -> Arc<dyn Hosted>,
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

    fn entries(&self) -> Vec<DirectoryEntry> {
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

    async fn status(&self) -> HostStatus {
        let coordinator = self.coordinator.lock().clone();
        let coordinator = match coordinator {
            Some(coordinator) => coordinator.status().await,
            None => None,
        };
        let names: HashMap<_, _> = self
            .links
            .directory()
            .into_iter()
            .map(|entry| (entry.object, entry.name))
            .collect();
        let mut objects: Vec<_> = self
            .objects
            .read()
            .values()
            .map(|object| ObjectStatus::of(object.protocol(), &names))
            .collect();
        objects.sort_by(|a, b| a.name.cmp(&b.name));
        HostStatus::new(self.observation.known(), objects, coordinator)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.lock().spawn(task);
    }

    fn kill(&self) {
        self.tasks.lock().abort_all();
        self.links.close();
        self.observation.close();
        for object in self.objects.write().drain() {
            object.1.protocol().stop(Stopped::HostGone);
        }
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

/// Serves whoever connects.
async fn accept(mut listener: Listener, links: Arc<Links>, coordinator: Option<CoordinatorHandle>) {
    let mut connections = JoinSet::new();
    while let Some(connection) = listener.accept().await {
        connections.spawn(serve(connection, links.clone(), coordinator.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(
    mut connection: Connection,
    links: Arc<Links>,
    coordinator: Option<CoordinatorHandle>,
) {
    let mut frames = Vec::new();
    if connection.incoming.recv_many(&mut frames).await == 0 {
        return;
    }
    let mut frames_left = frames.into_iter();
    match (frames_left.next(), coordinator) {
        (Some(Frame::Hello { protocol, purpose }), _) if protocol != PROTOCOL => {
            tracing::warn!(
                protocol,
                ?purpose,
                "refused a process that speaks another protocol version"
            );
        }
        (
            Some(Frame::Hello {
                purpose: Purpose::Participant { known, .. },
                ..
            }),
            Some(coordinator),
        ) => {
            coordinator
                .serve(connection, known, frames_left.collect())
                .await;
        }
        (
            Some(Frame::Hello {
                purpose: Purpose::Participant { .. },
                ..
            }),
            None,
        ) => {
            tracing::warn!("refused a participant: the coordinator is elsewhere");
        }
        (
            Some(Frame::Hello {
                purpose: Purpose::Peer { .. },
                ..
            }),
            _,
        ) => {
            let mut frames: Vec<_> = frames_left.collect();
            loop {
                for frame in frames.drain(..) {
                    if let Frame::Peer { from, to, message } = frame {
                        links.receive(from, to, message);
                    }
                }
                if connection.incoming.recv_many(&mut frames).await == 0 {
                    return;
                }
            }
        }
        (other, _) => tracing::warn!(?other, "refused a process that does not introduce itself"),
    }
}

/// Keeps the link to the coordinator up and spreads what it says.
async fn coordinate(inner: Arc<Inner>, network: Network, address: String) {
    // The host must be able to end while this task holds on to it.
    let (links, observation, id) = (inner.links.clone(), inner.observation.clone(), inner.id);
    let weak = Arc::downgrade(&inner);
    drop(inner);
    let mut pause = Pause::default();
    loop {
        match network.connect(&address).await {
            Ok(connection) => {
                pause = Pause::default();
                let purpose = Purpose::Participant {
                    host: id,
                    known: observation.known(),
                };
                connection.outgoing.send(Frame::Hello {
                    protocol: PROTOCOL,
                    purpose,
                });
                let Some(entries) = weak.upgrade().map(|inner| inner.entries()) else {
                    return;
                };
                links.coordinator_is_up(connection.outgoing.clone(), entries);
                listen_to_coordinator(connection, &links, &observation).await;
                links.coordinator_is_down();
            }
            Err(error) => tracing::debug!(%address, %error, "the coordinator cannot be reached"),
        }
        pause.wait().await;
    }
}

async fn listen_to_coordinator(
    mut connection: Connection,
    links: &Links,
    observation: &Observation,
) {
    let mut frames = Vec::new();
    while connection.incoming.recv_many(&mut frames).await > 0 {
        for frame in frames.drain(..) {
            match frame {
                Frame::FromCoordinator { to: None, message } => {
                    // The process before its objects: see the invariant of `Observation`.
                    observation.handle(&message);
                    links.tell_all_local(|| Event::Coordinator(message.clone()));
                }
                Frame::FromCoordinator {
                    to: Some((object, _)),
                    message,
                } => {
                    links.tell_local(object, Event::Coordinator(message));
                }
                Frame::Announce(entries) => links.learn(entries),
                other => tracing::warn!(?other, "the coordinator says what only others say"),
            }
        }
    }
}
