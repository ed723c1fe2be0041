//! What a host is started with.

use std::sync::Arc;

use leap_core::Speculation;
use leap_store::{GroupCommit, Store, StoreOptions};
use parking_lot::{Mutex, RwLock};

use super::{Alive, Host, Inner};
use crate::client::remote::Remote;
use crate::coordinator::CoordinatorError;
use crate::links::Links;
use crate::observation::Observation;
use crate::transport::{HostId, Network, TransportError};
use crate::turnstile::Turnstile;

/// How the objects of a host run unless they are given something else.
///
/// ```
/// use std::time::Duration;
///
/// use leap::{GroupCommit, ObjectOptions, Speculation};
///
/// // As most systems do: every message waits for storage, and storage for 10 ms of company.
/// let cautious = ObjectOptions {
///     speculation: Speculation::Off,
///     group_commit: GroupCommit::Fixed(Duration::from_millis(10)),
/// };
/// assert_ne!(cautious, ObjectOptions::default());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ObjectOptions {
    /// Whether objects run ahead of their own persistence.
    pub speculation: Speculation,
    /// When versions are sealed: at once when idle (adaptive), or a fixed time after the first change.
    pub group_commit: GroupCommit,
}

/// Why a host cannot start.
///
/// ```
/// # leap::testing::run_example(async {
/// use leap::{Host, HostError};
///
/// let refused = Host::builder().listen("no address").start().await.err();
/// assert!(matches!(refused, Some(HostError::Listen { .. })));
/// # Ok(())
/// # });
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// Its store cannot be opened.
    #[error("the store cannot be opened")]
    Store(#[from] leap_store::StoreError),
    /// The embedded coordinator cannot run.
    #[error("the coordinator cannot run")]
    Coordinator(#[from] CoordinatorError),
    /// Where the coordinator is said to be can be nowhere.
    #[error("cannot join: {reason}")]
    Join {
        /// Why.
        reason: String,
    },
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
///
/// ```
/// # leap::testing::run_example(async {
/// use leap::{Host, Store, StoreOptions};
///
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path().to_str().unwrap();
/// // The first process of a cluster embeds the coordinator …
/// let store = Store::open(directory, StoreOptions::default()).await?;
/// let first = Host::builder().store(store).listen("127.0.0.1:0").start().await?;
/// // … and all others join it, each with a store of its own or one that all share.
/// let other = Host::builder().join(first.address().unwrap()).listen("127.0.0.1:0").start().await?;
/// # drop(other);
/// # Ok(())
/// # });
/// ```
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
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::{Host, Store, StoreOptions};
    /// # use leap::testing::Counter;
    ///
    /// let store = Store::open("memory:", StoreOptions::default()).await?; // or a directory, or s3://…
    /// let host = Host::builder().store(store.clone()).start().await?;
    /// host.add::<Counter>("counter").await?.change_released(|counter| counter.record(1)).await?;
    /// drop(host);
    /// // What was released is there for every host that comes later.
    /// let host = Host::builder().store(store).start().await?;
    /// let counter = host.add::<Counter>("counter").await?;
    /// assert_eq!(counter.view_released(|counter| counter.0).await?, 1);
    /// # Ok(())
    /// # });
    /// ```
    pub fn store(mut self, store: Store) -> Self {
        self.store = Some(store);
        self
    }

    /// Joins the cluster whose coordinator is at `url` (`http://host:port`). Without this the host
    /// embeds a coordinator of its own, whose log is in the store. Nobody need be there yet: the host looks for
    /// the coordinator until it is, and warns in the log while it is not.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::Host;
    ///
    /// let first = Host::builder().listen("127.0.0.1:0").start().await?;
    /// # let url = first.address().unwrap();
    /// let other = Host::builder().join(url).listen("127.0.0.1:0").start().await?;
    /// other.add::<leap::testing::Counter>("counter").await?.ready().await?;
    /// let cluster = first.status().await.coordinator.expect("it embeds the coordinator");
    /// assert!(cluster.members.contains_key("counter"));
    /// # Ok(())
    /// # });
    /// ```
    pub fn join(mut self, url: impl Into<String>) -> Self {
        self.cluster = Some(url.into());
        self
    }

    /// Listens on `address` (`host:port`; port 0 takes any that is free) for other processes, calls
    /// from outside and HTTP. A host that embeds a coordinator and does not listen is a cluster of one.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// let host = leap::Host::builder().listen("127.0.0.1:0").start().await?;
    /// let address = host.address().expect("it listens");
    /// assert!(address.starts_with("http://127.0.0.1:"));
    /// # Ok(())
    /// # });
    /// ```
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = Some(address.into());
        self
    }

    /// How objects run unless they are given something else.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::{Host, ObjectOptions, Speculation};
    ///
    /// let cautious = ObjectOptions { speculation: Speculation::Off, ..ObjectOptions::default() };
    /// let host = Host::builder().defaults(cautious).start().await?;
    /// # host.add::<leap::testing::Counter>("counter").await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn defaults(mut self, defaults: ObjectOptions) -> Self {
        self.defaults = defaults;
        self
    }

    /// Serves these HTTP routes on the same port.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use axum::{Router, routing};
    ///
    /// let routes = Router::new().route("/health", routing::get(async || "well"));
    /// let host = leap::Host::builder().listen("127.0.0.1:0").routes(routes).start().await?;
    /// println!("curl {}/health", host.address().unwrap());
    /// # Ok(())
    /// # });
    /// ```
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
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::Host;
    ///
    /// let host = Host::builder().start().await?;
    /// let clone = host.clone();
    /// drop(host);
    /// clone.add::<leap::testing::Counter>("counter").await?.ready().await?;
    /// # Ok(())
    /// # });
    /// ```
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
        if let Some(cluster) = &self.cluster {
            network.check(cluster).map_err(|error| HostError::Join {
                reason: crate::error_chain(&error),
            })?;
        }
        let id = HostId(crate::random::draw());
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
            hosting: Turnstile::default(),
            coordinator: Mutex::default(),
            address: Mutex::default(),
            tasks: Mutex::default(),
        });
        let listener = match self.listen {
            Some(address) => Some(inner.listen(&network, &address, self.routes).await?),
            None => None,
        };
        let seat = inner.start_coordination(self.cluster, network).await?;
        if let Some(listener) = listener {
            inner.serve(listener, seat);
        }
        Ok(Host {
            alive: Arc::new(Alive(inner)),
        })
    }
}
