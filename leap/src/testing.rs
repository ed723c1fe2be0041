//! A cluster inside one test: hosts that crash, links that break, storage that fails, on a clock that
//! does not wait.
//!
//! A [`Cluster`] runs real hosts, objects and a real coordinator over a network and a store in memory.
//! Run it on tokio's paused clock (`#[tokio::test(start_paused = true)]`, tokio feature `test-util`):
//! then time passes only when nothing else is left to do, so a test that covers minutes takes
//! milliseconds, and nothing depends on how fast the machine is.
//!
//! ```
//! use leap::testing::Cluster;
//! use leap::{Action, Machine};
//!
//! #[derive(Default, serde::Serialize, serde::Deserialize)]
//! struct Counter(u64);
//!
//! impl Machine for Counter {
//!     type Change = u64;
//!     fn apply(&mut self, by: u64) {
//!         self.0 += by;
//!     }
//! }
//!
//! #[leap::service]
//! impl Counter {
//!     fn add(action: &mut Action<'_, Self>, by: u64) -> u64 {
//!         action.record(by);
//!         action.0
//!     }
//! }
//!
//! // In a test of yours: #[tokio::test(start_paused = true)]
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
//! let cluster = Cluster::new().await;
//! let host = cluster.host("a").await;
//! host.add::<Counter>("counter").await?;
//! assert_eq!(CounterClient::new(host, "counter").add(&5).await?, 5);
//!
//! cluster.crash("a");
//! let host = cluster.restart("a").await;
//! host.add::<Counter>("counter").await?;
//! assert_eq!(CounterClient::new(host, "counter").add(&1).await?, 6);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod counter;

pub use counter::Counter;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use leap_store::faults::Faults;
use leap_store::{Store, StoreOptions};
use parking_lot::Mutex;

use crate::client::Client;
use crate::client::remote::Remote;
use crate::host::{Host, HostBuilder, ObjectOptions};
use crate::transport::InProcess;

/// How long a host tries a failing storage again before it gives up.
const STORAGE_RETRY: Duration = Duration::from_secs(10);

/// How long [`Cluster::settled`] waits for the boundary, on the cluster's clock.
const SETTLE_WITHIN: Duration = Duration::from_secs(120);

/// How often it looks.
const SETTLE_EVERY: Duration = Duration::from_millis(1);

/// Stores in memory have names; each cluster has its own.
static NEXT_STORE: AtomicU64 = AtomicU64::new(0);

/// A cluster in one process. All its hosts share one store, as they would share a bucket, and each sees
/// it through its own connection, which can fail. See the [module documentation](self).
///
/// What a test asks for must be possible: methods panic when it is not.
///
/// Faults, and waiting until they are overcome:
///
/// ```
/// use std::time::Duration;
///
/// use leap::testing::Cluster;
/// use leap::{Action, Machine};
///
/// # #[derive(Default, serde::Serialize, serde::Deserialize)]
/// # struct Counter(u64);
/// # impl Machine for Counter { type Change = u64; fn apply(&mut self, by: u64) { self.0 += by; } }
/// # #[leap::service]
/// # impl Counter { fn add(action: &mut Action<'_, Self>, by: u64) -> u64 { action.record(by); action.0 } }
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// let cluster = Cluster::new().await;
/// let counter = cluster.host("a").await.add::<Counter>("counter").await?;
/// let outside = CounterClient::new(cluster.client("a"), "counter");
///
/// // What happens inside the cluster goes on without the coordinator; whoever is outside waits for it.
/// cluster.cut("a", Cluster::COORDINATOR);
/// let call = tokio::spawn(async move { outside.add(&1).await });
/// tokio::time::sleep(Duration::from_secs(3)).await;
/// assert!(!call.is_finished());
/// cluster.heal("a", Cluster::COORDINATOR);
/// assert_eq!(call.await??, 1);
///
/// cluster.slow("a", Cluster::COORDINATOR, Duration::from_millis(50));
/// counter.change(|counter| counter.record(1)).await?;
/// cluster.settled().await;
///
/// // An object whose storage fails stops, rather than to go on with what may be lost.
/// cluster.break_storage("a");
/// counter.change(|counter| counter.record(1)).await?;
/// counter.stopped().await;
/// cluster.mend_storage("a");
/// let counter = cluster.host("a").await.add::<Counter>("counter").await?;
/// assert_eq!(counter.view_released(|counter| counter.0).await?, 2);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct Cluster {
    network: InProcess,
    store: String,
    defaults: ObjectOptions,
    nodes: Mutex<BTreeMap<String, Node>>,
}

/// A host that runs, or ran.
struct Node {
    host: Host,
    faults: Faults,
    crashed: bool,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("crashed", &self.crashed)
            .finish_non_exhaustive()
    }
}

/// Hosts.
impl Cluster {
    /// The host of the coordinator, for [`Cluster::crash`], [`Cluster::cut`] and the others.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::testing::Cluster;
    ///
    /// let cluster = Cluster::new().await;
    /// let coordinator = cluster.host(Cluster::COORDINATOR).await;
    /// assert!(coordinator.status().await.coordinator.is_some());
    /// # Ok(())
    /// # });
    /// ```
    pub const COORDINATOR: &'static str = "coordinator";

    /// Where clients are, for [`Cluster::cut`] and the others.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use std::time::Duration;
    ///
    /// use leap::testing::{Cluster, Counter};
    /// use leap::{CallError, ObjectClient};
    ///
    /// let cluster = Cluster::new().await;
    /// cluster.host("a").await.add::<Counter>("counter").await?;
    /// cluster.cut(Cluster::OUTSIDE, "a");
    /// let client = cluster.client("a").timeout(Duration::from_millis(20));
    /// let refused = ObjectClient::new(client, "counter").call::<u64>("get", &()).await;
    /// assert!(matches!(refused, Err(CallError::Unreachable { .. })));
    /// # Ok(())
    /// # });
    /// ```
    pub const OUTSIDE: &'static str = "outside";

    /// A cluster with a coordinator and no other host. Objects have [`ObjectOptions::default`].
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::testing::{Cluster, Counter};
    ///
    /// let cluster = Cluster::new().await;
    /// let counter = cluster.host("a").await.add::<Counter>("counter").await?;
    /// counter.change_released(|counter| counter.record(1)).await?;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn new() -> Self {
        Self::with(ObjectOptions::default()).await
    }

    /// As [`Cluster::new`]; the objects of all its hosts have these options.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::testing::Cluster;
    /// use leap::{ObjectOptions, Speculation};
    ///
    /// let cautious = ObjectOptions { speculation: Speculation::Off, ..ObjectOptions::default() };
    /// let cluster = Cluster::with(cautious).await;
    /// # cluster.host("a").await;
    /// # Ok(())
    /// # });
    /// ```
    pub async fn with(defaults: ObjectOptions) -> Self {
        let cluster = Self {
            network: InProcess::default(),
            store: format!(
                "memory:leap-testing-{}",
                NEXT_STORE.fetch_add(1, Ordering::Relaxed)
            ),
            defaults,
            nodes: Mutex::default(),
        };
        cluster.start(Self::COORDINATOR).await;
        cluster
    }

    /// The host called `name`; it is started the first time.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::testing::{Cluster, Counter};
    ///
    /// let cluster = Cluster::new().await;
    /// cluster.host("a").await.add::<Counter>("counter").await?;
    /// let same = cluster.host("a").await;
    /// assert_eq!(same.status().await.objects.len(), 1);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// If it has crashed and was not restarted.
    pub async fn host(&self, name: &str) -> Host {
        let known = self
            .nodes
            .lock()
            .get(name)
            .map(|node| (node.host.clone(), node.crashed));
        match known {
            Some((host, false)) => host,
            Some((_, true)) => panic!("{name:?} has crashed: restart it"),
            None => self.start(name).await,
        }
    }

    /// Ends the host as `kill -9` would, at once: what is not durable is lost, and nobody is told. Its
    /// objects must be added again after a restart, or elsewhere.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::Stopped;
    /// use leap::testing::{Cluster, Counter};
    ///
    /// let cluster = Cluster::new().await;
    /// let counter = cluster.host("a").await.add::<Counter>("counter").await?;
    /// cluster.crash("a");
    /// assert_eq!(counter.stopped().await, Stopped::HostGone);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// If there is no such host.
    pub fn crash(&self, name: &str) {
        self.with_node(name, |node| {
            self.network.drop_host(name);
            node.host.kill();
            // What its journals still had in their queues dies with it.
            node.faults
                .fail(None, 0, std::io::ErrorKind::ConnectionAborted);
            node.crashed = true;
        });
    }

    /// Starts a crashed host again (or crashes it first), with what is in the store and without objects.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::testing::{Cluster, Counter};
    ///
    /// let cluster = Cluster::new().await;
    /// let counter = cluster.host("a").await.add::<Counter>("counter").await?;
    /// counter.change_released(|counter| counter.record(1)).await?;
    ///
    /// let counter = cluster.restart("a").await.add::<Counter>("counter").await?;
    /// assert_eq!(counter.view_released(|counter| counter.0).await?, 1, "it was released");
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// If there is no such host.
    pub async fn restart(&self, name: &str) -> Host {
        self.crash(name);
        self.start(name).await
    }

    /// A client outside the cluster that makes its calls through `host`. Its link to the host can be cut
    /// like any other, under the name [`Cluster::OUTSIDE`].
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::ObjectClient;
    /// use leap::testing::{Cluster, Counter};
    ///
    /// let cluster = Cluster::new().await;
    /// cluster.host("a").await.add::<Counter>("counter").await?;
    /// let outside = ObjectClient::new(cluster.client("a"), "counter");
    /// assert_eq!(outside.call("add", &5).await, Ok(5));
    /// # Ok(())
    /// # });
    /// ```
    pub fn client(&self, host: &str) -> Client {
        Client::in_process(Remote::of(&self.network.network(Self::OUTSIDE)), host)
    }

    async fn start(&self, name: &str) -> Host {
        let faults = Faults::planned();
        let options = StoreOptions {
            faults: faults.clone(),
            retry_for: STORAGE_RETRY,
            ..StoreOptions::default()
        };
        let store = Store::open(&self.store, options)
            .await
            .expect("there is always memory");
        let host = self.builder(name).store(store).start().await;
        let host = host.unwrap_or_else(|error| {
            panic!("{name:?} does not start: {}", crate::error_chain(&error))
        });
        let node = Node {
            host: host.clone(),
            faults,
            crashed: false,
        };
        self.nodes.lock().insert(name.to_owned(), node);
        host
    }

    fn builder(&self, name: &str) -> HostBuilder {
        let builder = Host::builder()
            .network(self.network.network(name))
            .listen(name)
            .defaults(self.defaults);
        if name == Self::COORDINATOR {
            builder
        } else {
            builder.join(Self::COORDINATOR)
        }
    }

    fn with_node<R>(&self, name: &str, act: impl FnOnce(&mut Node) -> R) -> R {
        let mut nodes = self.nodes.lock();
        act(nodes
            .get_mut(name)
            .unwrap_or_else(|| panic!("there is no host {name:?}")))
    }
}

/// Faults.
impl Cluster {
    /// Breaks the link between two hosts; what was under way is lost. Both try to connect again in vain
    /// until [`Cluster::heal`].
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::testing::{Cluster, Counter};
    ///
    /// let cluster = Cluster::new().await;
    /// let counter = cluster.host("a").await.add::<Counter>("counter").await?;
    /// counter.ready().await?;
    /// cluster.cut("a", Cluster::COORDINATOR);
    /// // Inside the cluster nobody waits for the coordinator.
    /// counter.change(|counter| counter.record(1)).await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn cut(&self, a: &str, b: &str) {
        self.network.cut(a, b);
    }

    /// Lets two hosts connect again.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::testing::{Cluster, Counter};
    ///
    /// let cluster = Cluster::new().await;
    /// cluster.cut("a", Cluster::COORDINATOR);
    /// let counter = cluster.host("a").await.add::<Counter>("counter").await?;
    /// cluster.heal("a", Cluster::COORDINATOR);
    /// counter.ready().await?; // the coordinator has admitted it
    /// # Ok(())
    /// # });
    /// ```
    pub fn heal(&self, a: &str, b: &str) {
        self.network.heal(a, b);
    }

    /// From now on what one of two hosts sends arrives at the other `latency` later. Calls of a
    /// [`Cluster::client`] are not slowed.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use leap::testing::{Cluster, Counter};
    /// use leap::{ObjectId, encode_value};
    ///
    /// # leap::testing::run_example(async {
    /// let cluster = Cluster::new().await;
    /// let one = cluster.host("a").await.add::<Counter>("one").await?;
    /// cluster.host("b").await.add::<Counter>("other").await?;
    /// cluster.slow("a", "b", Duration::from_millis(5));
    ///
    /// let start = tokio::time::Instant::now();
    /// one.change(|one| one.tell(ObjectId::from_name("other"), "add", encode_value(&5))).await?;
    /// cluster.settled().await;
    /// assert!(start.elapsed() >= Duration::from_millis(5));
    /// # Ok(())
    /// # });
    /// ```
    pub fn slow(&self, a: &str, b: &str, latency: Duration) {
        self.network.set_latency(a, b, latency);
    }

    /// The host can neither read nor write the store until [`Cluster::mend_storage`]. What it began to
    /// write before that waits, and after 10 seconds on the cluster's clock it gives up: then the
    /// journals concerned fail.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::testing::{Cluster, Counter};
    ///
    /// let cluster = Cluster::new().await;
    /// cluster.host("a").await;
    /// cluster.break_storage("a");
    /// let refused = cluster.host("a").await.add::<Counter>("counter").await;
    /// assert!(refused.is_err(), "its journal cannot be claimed");
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// If there is no such host.
    pub fn break_storage(&self, host: &str) {
        self.with_node(host, |node| {
            node.faults.fail(None, 0, std::io::ErrorKind::StorageFull);
        });
    }

    /// The host reaches the store again.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::testing::{Cluster, Counter};
    ///
    /// let cluster = Cluster::new().await;
    /// let counter = cluster.host("a").await.add::<Counter>("counter").await?;
    /// cluster.break_storage("a");
    /// counter.change(|counter| counter.record(1)).await?; // nobody waits for storage …
    /// cluster.mend_storage("a");
    /// cluster.settled().await; // … and it was tried again
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// If there is no such host.
    pub fn mend_storage(&self, host: &str) {
        self.with_node(host, |node| {
            assert!(!node.crashed, "{host:?} has crashed");
            node.faults.heal();
        });
    }
}

/// Waiting.
impl Cluster {
    /// Waits until the boundary has caught up: every message between objects is consumed, and all that
    /// the objects of running hosts have done can never be rolled back.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::testing::{Cluster, Counter};
    /// use leap::{ObjectId, encode_value};
    ///
    /// let cluster = Cluster::new().await;
    /// let one = cluster.host("a").await.add::<Counter>("one").await?;
    /// let other = cluster.host("b").await.add::<Counter>("other").await?;
    /// one.change(|one| one.tell(ObjectId::from_name("other"), "add", encode_value(&5))).await?;
    /// cluster.settled().await;
    /// assert_eq!(other.view(|other| other.0).await?.0, 5);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// If that is not so within two minutes on the cluster's clock; says what holds it up.
    pub async fn settled(&self) {
        let caught_up = async {
            while !self.unsettled().is_empty() {
                tokio::time::sleep(SETTLE_EVERY).await;
            }
        };
        if tokio::time::timeout(SETTLE_WITHIN, caught_up)
            .await
            .is_err()
        {
            panic!(
                "the cluster does not settle: {}",
                self.unsettled().join("; ")
            );
        }
    }

    fn unsettled(&self) -> Vec<String> {
        let nodes = self.nodes.lock();
        nodes
            .values()
            .filter(|node| !node.crashed)
            .flat_map(|node| node.host.unsettled())
            .collect()
    }
}

/// Runs an example of the documentation: one runtime for all of them compiles faster than one for each.
#[doc(hidden)]
pub fn run_example(example: impl Future<Output = Result<(), Box<dyn std::error::Error>>>) {
    let example: Pin<Box<dyn Future<Output = _>>> = Box::pin(example);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the machine has room for a runtime");
    if let Err(error) = runtime.block_on(example) {
        panic!("the example fails: {}", crate::error_chain(&*error));
    }
}
