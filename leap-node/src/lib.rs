//! The server: one process that hosts the coordinator, the built-in services and their APIs.
//!
//! A node owns a data directory (or a place in an object store), which it locks against a second
//! node. Other processes, with services of their own, join it by URL. The node does not know how
//! services work inside, nor how processes are instrumented.
//!
//! | route | what it does |
//! |---|---|
//! | `GET /health` | 200 as soon as the node answers |
//! | `GET /status` | objects, versions, world-line, boundary, who holds it back (JSON) |
//! | `POST /call/{object}/{method}` | runs a handler; JSON in, JSON out |
//! | `DELETE /members/{object}` | removes an object that never comes back from the cluster, with all of it that is not inside the boundary; see [`Host::remove`] |
//!
//! Two calls of one handler of one object with the same header `idempotency-key: KEY` (up to 256 bytes of visible ASCII)
//! have the effect of one, and the answer of the first, even if their bodies differ: whoever does not know whether a
//! call happened repeats it with its key. Handlers that only look are answered anew, and errors are not kept. An object
//! remembers the newest 65,536 keys; workflow engines ignore them, since the ids of instances do the same.
//!
//! Whatever is refused is answered with `{"error": kind, "message": text, "hint": text}`: 400 and 404 for what can never
//! work, 405 and 413 for other methods and for bodies of more than 4 MiB, 503 for what did not happen and may work in
//! a moment, 502 and 504 for what may have happened, 500 for a handler that panicked.
//!
//! gRPC is served on the same port (`leap/proto/leap.proto`).
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use leap_node::{Node, NodeOptions};
//!
//! let directory = tempfile::tempdir()?;
//! let node = Node::start(NodeOptions {
//!     data: directory.path().display().to_string(),
//!     listen: "127.0.0.1:0".to_owned(),
//!     ..NodeOptions::default()
//! })
//! .await?;
//! println!("try: curl {}/status", node.address());
//! node.shutdown().await;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

#![warn(missing_docs, clippy::missing_errors_doc)]

mod api;

use std::time::Duration;

use leap::{Host, HostError, ObjectOptions, StateError, Store, StoreOptions};
use leap_services::{kv::KeyValueStore, log::Log};
use leap_store::{DirectoryLock, StoreError};

/// How long a shutdown waits for everything to be inside the boundary.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where a node keeps its data, and where it listens.
///
/// ```
/// use leap_node::NodeOptions;
///
/// let options = NodeOptions {
///     data: "s3://bucket/leap".to_owned(),
///     listen: "0.0.0.0:7400".to_owned(),
///     join: Some("http://coordinator:7400".to_owned()),
///     built_in: false, // another node hosts them
///     ..NodeOptions::default()
/// };
/// ```
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// A directory, or an object store's URL (`s3://bucket/prefix`, `az://…`, `gs://…`).
    pub data: String,
    /// `host:port`; port 0 takes any that is free.
    pub listen: String,
    /// The coordinator's URL, to join a cluster; without it the node is the coordinator.
    pub join: Option<String>,
    /// How the store writes.
    pub store: StoreOptions,
    /// How objects run.
    pub objects: ObjectOptions,
    /// Whether to host the built-in services `kv` and `log`.
    pub built_in: bool,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            data: "leap-data".to_owned(),
            listen: "127.0.0.1:7400".to_owned(),
            join: None,
            store: StoreOptions::default(),
            objects: ObjectOptions::default(),
            built_in: true,
        }
    }
}

/// Why a node cannot start.
///
/// ```
/// # leap::testing::run_example(async {
/// # let directory = tempfile::tempdir()?;
/// # let data = directory.path().display().to_string();
/// # let options = leap_node::NodeOptions { data, listen: "127.0.0.1:0".to_owned(), ..Default::default() };
/// use leap_node::{Node, NodeError};
///
/// let _node = Node::start(options.clone()).await?;
/// // Two nodes never share a directory.
/// let refused = Node::start(options).await.err();
/// assert!(matches!(refused, Some(NodeError::Data { .. })));
/// # Ok(())
/// # });
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The data cannot be opened, or another node has it.
    #[error("cannot use {data:?}")]
    Data {
        /// Where the data is.
        data: String,
        /// Why not.
        #[source]
        source: StoreError,
    },
    /// The host cannot start.
    #[error("the host cannot start")]
    Host(#[from] HostError),
    /// A built-in service cannot start.
    #[error("the built-in service {name:?} cannot start")]
    Service {
        /// Its name.
        name: &'static str,
        /// Why not.
        #[source]
        source: StateError,
    },
}

/// A running node.
///
/// ```
/// # leap::testing::run_example(async {
/// # let directory = tempfile::tempdir()?;
/// # let data = directory.path().display().to_string();
/// # let options = leap_node::NodeOptions { data, listen: "127.0.0.1:0".to_owned(), ..Default::default() };
/// use leap::{Call, Client, encode_value};
/// use leap_node::Node;
///
/// let node = Node::start(options).await?;
/// // As any program does it, once `leap serve` runs:
/// let client = Client::connect(node.address()).await?;
/// let reply = client.call("log", "append", encode_value(&["tea"]), None).await?;
/// assert_eq!(reply, r#"{"Ok":0}"#);
/// # Ok(())
/// # });
/// ```
pub struct Node {
    host: Host,
    address: String,
    /// Held as long as the node lives; the system frees it even after `kill -9`.
    _lock: DirectoryLock,
}

impl Node {
    /// Starts a node and returns when it listens.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let directory = tempfile::tempdir()?;
    /// # let data = directory.path().display().to_string();
    /// # let options = leap_node::NodeOptions { data, listen: "127.0.0.1:0".to_owned(), ..Default::default() };
    /// let node = leap_node::Node::start(options).await?;
    /// println!("listening on {}", node.address());
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`NodeError`]; in particular when another node has the data directory.
    pub async fn start(options: NodeOptions) -> Result<Self, NodeError> {
        let refuse = |source| NodeError::Data {
            data: options.data.clone(),
            source,
        };
        let store = Store::open(&options.data, options.store.clone())
            .await
            .map_err(refuse)?;
        let lock = store.lock_directory().await.map_err(refuse)?;
        let api = api::Api::default();
        let mut builder = Host::builder()
            .store(store)
            .listen(&options.listen)
            .defaults(options.objects)
            .routes(api.routes());
        if let Some(cluster) = &options.join {
            builder = builder.join(cluster);
        }
        let host = builder.start().await?;
        api.serve(&host);
        if options.built_in {
            let refuse = |name| move |source| NodeError::Service { name, source };
            host.supervise::<KeyValueStore>("kv", options.objects, |_| {})
                .await
                .map_err(refuse("kv"))?;
            host.supervise::<Log>("log", options.objects, |_| {})
                .await
                .map_err(refuse("log"))?;
        }
        let address = host.address().expect("the node was told to listen");
        tracing::info!(%address, data = options.data, "node started");
        Ok(Self {
            host,
            address,
            _lock: lock,
        })
    }

    /// Where it listens: `http://host:port`.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let directory = tempfile::tempdir()?;
    /// # let data = directory.path().display().to_string();
    /// # let options = leap_node::NodeOptions { data, listen: "127.0.0.1:0".to_owned(), ..Default::default() };
    /// let node = leap_node::Node::start(options).await?;
    /// assert!(node.address().starts_with("http://127.0.0.1:"));
    /// # Ok(())
    /// # });
    /// ```
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The host, to add more objects.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let directory = tempfile::tempdir()?;
    /// # let data = directory.path().display().to_string();
    /// # let options = leap_node::NodeOptions { data, listen: "127.0.0.1:0".to_owned(), ..Default::default() };
    /// use leap::testing::Counter; // or a service of one's own
    ///
    /// let node = leap_node::Node::start(options).await?;
    /// node.host().add::<Counter>("counter").await?;
    /// assert_eq!(node.host().status().await.objects.len(), 3, "with `kv` and `log`");
    /// # Ok(())
    /// # });
    /// ```
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Persists everything and ends, within a few seconds.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let directory = tempfile::tempdir()?;
    /// # let data = directory.path().display().to_string();
    /// # let options = leap_node::NodeOptions { data, listen: "127.0.0.1:0".to_owned(), ..Default::default() };
    /// let node = leap_node::Node::start(options.clone()).await?;
    /// node.shutdown().await;
    /// leap_node::Node::start(options).await?; // the directory is free again
    /// # Ok(())
    /// # });
    /// ```
    pub async fn shutdown(self) {
        self.host.shutdown(PATIENCE).await;
        tracing::info!("node stopped");
    }
}
