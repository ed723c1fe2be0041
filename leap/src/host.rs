//! A process of the cluster: hosts objects, knows the coordinator, listens.

mod builder;
mod calls;
mod coordination;
mod membership;
mod objects;
mod supervise;

pub use builder::{HostBuilder, HostError, ObjectOptions};
pub use membership::RemoveError;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use leap_core::ObjectId;
use leap_store::Store;
use parking_lot::{Mutex, RwLock};
use tokio::task::JoinSet;

use crate::client::remote::Remote;
use crate::coordinator::CoordinatorHandle;
use crate::links::Links;
use crate::object::Event;
use crate::observation::{Observation, Stopped};
use crate::service::CallError;
use crate::status::{HostStatus, ObjectStatus};
use crate::sthread::SThread;
use crate::transport::HostId;
use crate::turnstile::Turnstile;
use objects::Hosted;

/// A process of the cluster. Clones are the same host; when the last is dropped, all it hosts stops
/// as if the process had died.
///
/// ```
/// # leap::testing::run_example(async {
/// use leap::Host;
///
/// // Everything embedded and in memory; `.store(..)` keeps it, `.join(..)` makes it part of a cluster.
/// let host = Host::builder().listen("127.0.0.1:0").start().await?;
/// println!("listening on {}", host.address().unwrap());
/// # Ok(())
/// # });
/// ```
///
/// What runs on it, from the first object to the end:
///
/// ```
/// # leap::testing::run_example(async {
/// use std::time::Duration;
///
/// use leap::{Action, Host, Machine, ObjectOptions, RemoveError, decode_reply, encode_value};
///
/// # #[derive(Default, serde::Serialize, serde::Deserialize)]
/// # struct Counter(u64);
/// # impl Machine for Counter { type Change = u64; fn apply(&mut self, by: u64) { self.0 += by; } }
/// # #[leap::service]
/// # impl Counter { fn add(action: &mut Action<'_, Self>, by: u64) -> u64 { action.record(by); action.0 } }
/// let host = Host::builder().start().await?;
/// // An object of this process, and one that is brought back whenever it stops by a failure.
/// let here = host.add::<Counter>("here").await?;
/// host.supervise::<Counter>("always", ObjectOptions::default(), |_life| {}).await?;
/// here.ready().await?;
///
/// // Any object of the cluster is called by its name, wherever it lives.
/// let reply = host.call("always", "add", encode_value(&7)).await?;
/// assert_eq!(decode_reply("add", &reply), Ok(7));
/// // The clients that `leap::service` writes do the same.
/// assert_eq!(CounterClient::new(&host, "here").add(&1).await?, 1);
///
/// let status = host.status().await;
/// assert_eq!(status.objects[1].name, "here");
/// assert_eq!(host.remove("nobody").await, Err(RemoveError::NoMember));
/// host.shutdown(Duration::from_secs(5)).await;
/// # Ok(())
/// # });
/// ```
#[derive(Clone)]
pub struct Host {
    alive: Arc<Alive>,
}

/// A host that something knows without keeping it alive, such as the routes that it serves itself.
///
/// ```
/// # leap::testing::run_example(async {
/// let host = leap::Host::builder().start().await?;
/// let weak = host.downgrade();
/// assert!(weak.upgrade().is_some());
/// drop(host);
/// assert!(weak.upgrade().is_none());
/// # Ok(())
/// # });
/// ```
#[derive(Clone)]
pub struct WeakHost(std::sync::Weak<Alive>);

impl WeakHost {
    /// The host, if it still lives.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// let weak = host.downgrade();
    /// assert!(weak.upgrade().is_some());
    /// host.shutdown(std::time::Duration::from_secs(1)).await;
    /// assert!(weak.upgrade().is_none());
    /// # Ok(())
    /// # });
    /// ```
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
    /// Those inside claim a journal, host an object, or wait for the end of one that was replaced.
    hosting: Turnstile,
    /// The coordinator, if it is embedded.
    coordinator: Mutex<Option<CoordinatorHandle>>,
    address: Mutex<Option<String>>,
    tasks: Mutex<JoinSet<()>>,
}

/// Starting, and ending.
impl Host {
    /// A host with everything embedded and nothing kept; see what can be set.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::Host;
    ///
    /// let host = Host::builder().listen("127.0.0.1:0").start().await?;
    /// # drop(host);
    /// # Ok(())
    /// # });
    /// ```
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }

    /// A handle that does not keep the host alive.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// let weak = host.downgrade();
    /// drop(host); // the last handle that keeps it alive
    /// assert!(weak.upgrade().is_none());
    /// # Ok(())
    /// # });
    /// ```
    pub fn downgrade(&self) -> WeakHost {
        WeakHost(Arc::downgrade(&self.alive))
    }

    /// Where others reach this host, if it listens.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::Host;
    ///
    /// assert_eq!(Host::builder().start().await?.address(), None);
    /// let host = Host::builder().listen("127.0.0.1:0").start().await?;
    /// assert!(host.address().unwrap().starts_with("http://127.0.0.1:"));
    /// # Ok(())
    /// # });
    /// ```
    pub fn address(&self) -> Option<String> {
        self.inner().address.lock().clone()
    }

    /// The store that objects of this host are kept in.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// counter.change_released(|counter| counter.record(1)).await?;
    /// assert!(host.store().usage("counter").await?.bytes > 0);
    /// # Ok(())
    /// # });
    /// ```
    pub fn store(&self) -> &Store {
        &self.inner().store
    }

    /// Lets all objects leave in order: persists everything, waits until it is inside the boundary,
    /// and ends; nothing is written to the store any more when this returns, and no object can be
    /// hosted. What cannot be done within `patience` is left as if the process had died.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use std::time::Duration;
    ///
    /// use leap::Stopped;
    ///
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// counter.change(|counter| counter.record(1)).await?;
    /// host.shutdown(Duration::from_secs(5)).await;
    /// assert_eq!(counter.stopped().await, Stopped::Left);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn shutdown(self, patience: std::time::Duration) {
        let left = async {
            self.inner().hosting.close().await;
            let objects: Vec<_> = self.inner().objects.read().values().cloned().collect();
            for object in &objects {
                object.protocol().tell(Event::Leave);
            }
            join_all(objects.iter().map(|object| objects::ended(&**object))).await;
            // Only now: they leave with its help.
            let coordinator = self.inner().coordinator.lock().clone();
            if let Some(coordinator) = coordinator {
                coordinator.end().await;
            }
        };
        if tokio::time::timeout(patience, left).await.is_err() {
            tracing::warn!(
                "not everything could leave in time; it will be recovered at the next start"
            );
        }
        self.inner().kill();
    }

    /// Ends at once, as `kill -9` would: for tests.
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
    pub fn kill(&self) {
        self.inner().kill();
    }

    fn inner(&self) -> &Arc<Inner> {
        &self.alive.0
    }
}

/// What runs on it, and how it is.
impl Host {
    /// A new sthread that has seen nothing. Waits until the coordinator has been met.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let mut sthread = host.sthread().await;
    /// let (count, seen) = counter.view(|counter| counter.0).await?;
    /// sthread.merge(seen).await?;
    /// // Before the outside world is told of the count:
    /// sthread.barrier().await?;
    /// # Ok(())
    /// # });
    /// ```
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
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::{decode_reply, encode_value};
    ///
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let reply = host.call("counter", "add", encode_value(&5)).await?;
    /// assert_eq!(decode_reply("add", &reply), Ok(5));
    /// # Ok(())
    /// # });
    /// ```
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
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// counter.change_released(|counter| counter.record(1)).await?;
    /// let status = host.status().await;
    /// assert_eq!(status.objects[0].name, "counter");
    /// assert_eq!(status.objects[0].committed, 1);
    /// # Ok(())
    /// # });
    /// ```
    pub async fn status(&self) -> HostStatus {
        self.inner().status().await
    }
}

impl Inner {
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
