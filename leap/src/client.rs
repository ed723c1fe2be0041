//! Calling objects: from outside the cluster, or from wherever something can carry a call.
//!
//! Three layers, each usable alone: [`Call`] carries one call with encoded arguments; an
//! [`ObjectClient`] binds it to an object and encodes; the client that [`macro@crate::service`] writes
//! gives each handler a method. A [`Client`] is the [`Call`] of a program that is no part of the
//! cluster.
//!
//! # Invariant
//!
//! A call that may have been executed is sent again only if it has an idempotency key.

pub(crate) mod remote;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::links::Pause;
use crate::service::{CallError, decode_reply, encode_value};
use crate::transport::proto::CallRequest;
use remote::Remote;

/// How long a call may take, unless [`Client::timeout`] says otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How long [`Client::connect`] waits.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Stands for a timeout beyond all clocks.
const FOR_EVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// Something that carries calls to objects: a [`Host`](crate::Host), a [`Client`], a workflow. One of
/// one's own can stand in the way, or in the place of a cluster:
///
/// ```
/// use leap::{Bytes, Call, CallError, ObjectClient};
///
/// /// Notes which calls take long.
/// struct Watched<C>(C);
///
/// impl<C: Call + Sync> Call for Watched<C> {
///     async fn call(
///         &self,
///         object: &str,
///         method: &str,
///         body: Bytes,
///         idempotency_key: Option<&str>,
///     ) -> Result<Bytes, CallError> {
///         let start = std::time::Instant::now();
///         let reply = self.0.call(object, method, body, idempotency_key).await;
///         println!("{object}.{method} took {} ms", start.elapsed().as_millis());
///         reply
///     }
/// }
///
/// # leap::testing::run_example(async {
/// # let host = leap::Host::builder().start().await?;
/// # host.sthread().await;
/// let nobody = ObjectClient::new(Watched(host), "nobody");
/// let refused = nobody.call::<u32>("taken", &()).await;
/// assert_eq!(refused, Err(CallError::NoSuchObject { object: "nobody".into() }));
/// # Ok(())
/// # });
/// ```
pub trait Call {
    /// Calls the handler `method` of the object called `object` and gives its encoded result. Two
    /// calls of one handler of one object with the same `idempotency_key` have the effect of one, and
    /// the reply of the first, even if their bodies differ. What is not kept under the key:
    /// - a reply of a handler that only looks: it looks again;
    /// - an error: nothing has happened, and the call is tried anew;
    /// - anything of a service that says itself how its calls are made repeatable and ignores keys
    ///   ([`Service::answer_once`](crate::Service::answer_once)).
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::{Call, decode_reply, encode_value};
    ///
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// for _attempt in 0..2 {
    ///     let reply = Call::call(&host, "counter", "add", encode_value(&5), Some("order 17")).await?;
    ///     assert_eq!(decode_reply("add", &reply), Ok(5));
    /// }
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`CallError`]; [`CallError::may_have_happened`] tells whether calling again is safe.
    /// [`CallError::BadRequest`] if the key is empty or has more than
    /// [`MAX_IDEMPOTENCY_KEY_BYTES`](crate::MAX_IDEMPOTENCY_KEY_BYTES).
    fn call(
        &self,
        object: &str,
        method: &str,
        body: Bytes,
        idempotency_key: Option<&str>,
    ) -> impl Future<Output = Result<Bytes, CallError>> + Send;
}

impl<C: Call> Call for &C {
    fn call(
        &self,
        object: &str,
        method: &str,
        body: Bytes,
        idempotency_key: Option<&str>,
    ) -> impl Future<Output = Result<Bytes, CallError>> + Send {
        C::call(self, object, method, body, idempotency_key)
    }
}

/// Calls the handlers of one object by name. The client that [`macro@crate::service`] writes is this
/// with a method for each handler; use this one where names are known at run time only.
///
/// ```
/// # leap::testing::run_example(async {
/// # #[derive(Default, serde::Serialize, serde::Deserialize)]
/// # struct Hotel;
/// # impl leap::Machine for Hotel { type Change = (); fn apply(&mut self, (): ()) {} }
/// # #[leap::service]
/// # impl Hotel {
/// #     fn free_rooms(_: &mut leap::Action<'_, Self>) -> u32 { 7 }
/// # }
/// use leap::{CallError, Host, ObjectClient};
///
/// let host = Host::builder().start().await?;
/// host.add::<Hotel>("hotel").await?;
/// let hotel = ObjectClient::new(host, "hotel");
/// let free: u32 = hotel.call("free_rooms", &()).await?;
/// assert_eq!(free, 7);
/// let refused = hotel.call::<u32>("fee_rooms", &()).await;
/// assert_eq!(refused, Err(CallError::no_such_method("fee_rooms")));
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct ObjectClient<C> {
    caller: C,
    object: String,
    idempotency_key: Option<String>,
}

impl<C: Call> ObjectClient<C> {
    /// A client of the object called `object`, reached through `caller`.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::ObjectClient;
    ///
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let counter = ObjectClient::new(&host, "counter");
    /// assert_eq!(counter.call("get", &()).await, Ok(0));
    /// # Ok(())
    /// # });
    /// ```
    pub fn new(caller: C, object: impl Into<String>) -> Self {
        Self {
            caller,
            object: object.into(),
            idempotency_key: None,
        }
    }

    /// From now on calls carry `key`: two calls of one handler with the same key have the effect of
    /// one, and the reply of the first; see [`Call::call`] for what is not kept.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap::ObjectClient;
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let order = ObjectClient::new(&host, "counter").idempotency_key("order 17");
    /// assert_eq!(order.call("add", &5).await, Ok(5));
    /// assert_eq!(order.call("add", &5).await, Ok(5), "it is the same order");
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// Calls the handler `method`.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::{CallError, ObjectClient};
    ///
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let counter = ObjectClient::new(&host, "counter");
    /// let sum: u64 = counter.call("add", &5).await?;
    /// assert_eq!(sum, 5);
    /// let refused = counter.call::<u64>("add", "five").await;
    /// assert!(matches!(refused, Err(CallError::BadRequest { .. })));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Call::call`]; [`CallError::BadReply`] if the result is not an `R`.
    pub async fn call<R: DeserializeOwned>(
        &self,
        method: &str,
        request: &(impl Serialize + ?Sized),
    ) -> Result<R, CallError> {
        let body = encode_value(request);
        let key = self.idempotency_key.as_deref();
        let reply = self.caller.call(&self.object, method, body, key).await?;
        decode_reply(method, &reply)
    }
}

/// Why there is no [`Client`].
///
/// ```
/// # leap::testing::run_example(async {
/// use leap::{Client, ClientError};
///
/// let refused = Client::connect("the kitchen").await;
/// assert!(matches!(refused, Err(ClientError::Address { .. })));
/// let refused = Client::connect("http://127.0.0.1:1").await;
/// assert!(matches!(refused, Err(ClientError::Unreachable { .. })));
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Not the address of a node.
    #[error("{url:?} is not the address of a node: {reason}")]
    Address {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody answers there.
    #[error("no node answers at {url}: {reason}")]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        reason: String,
    },
}

/// A program outside the cluster, calling objects through any node of it. Clones share connections,
/// which come back by themselves.
///
/// What did not happen for certain (no node was reached, the object is just being recovered) is tried
/// again until the timeout. What may have happened (a connection broke before the answer) is tried
/// again only with an idempotency key; without one the caller hears [`CallError::InDoubt`].
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use leap::{Client, ObjectClient};
///
/// let client = Client::connect("http://127.0.0.1:7400").await?;
/// let counter = ObjectClient::new(client, "counter");
/// let count: u64 = counter.idempotency_key("order 17").call("add", &1).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    url: Arc<str>,
    remote: Remote,
    timeout: Duration,
}

impl Client {
    /// A client of the cluster that the node at `url` (`http://host:port`) belongs to.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::{Client, Host, ObjectClient};
    ///
    /// let host = Host::builder().listen("127.0.0.1:0").start().await?;
    /// # host.add::<leap::testing::Counter>("counter").await?;
    /// // In another program:
    /// # let address = host.address().unwrap();
    /// let client = Client::connect(&address).await?; // such as http://127.0.0.1:7400
    /// assert_eq!(ObjectClient::new(client, "counter").call("add", &1).await, Ok(1));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ClientError`] if nobody listens there now. Later failures are those of the calls.
    pub async fn connect(url: &str) -> Result<Self, ClientError> {
        let reached = remote::check(url);
        let reached = tokio::time::timeout(CONNECT_TIMEOUT, reached).await;
        reached.unwrap_or_else(|_| {
            let reason = format!("no answer within {} ms", CONNECT_TIMEOUT.as_millis());
            Err(ClientError::Unreachable {
                url: url.to_owned(),
                reason,
            })
        })?;
        Ok(Self {
            url: url.into(),
            remote: Remote::grpc(),
            timeout: TIMEOUT,
        })
    }

    /// A client on the network of a test, entering at the host called `host`.
    pub(crate) fn in_process(remote: Remote, host: &str) -> Self {
        Self {
            url: host.into(),
            remote,
            timeout: TIMEOUT,
        }
    }

    /// How long a call may take, with all attempts; 30 s unless set.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use std::time::Duration;
    ///
    /// use leap::{CallError, ObjectClient};
    ///
    /// # let cluster = leap::testing::Cluster::new().await;
    /// # let host = cluster.host("a").await;
    /// # cluster.cut("a", leap::testing::Cluster::COORDINATOR);
    /// # host.add::<leap::testing::Counter>("counter").await?;
    /// # let client = cluster.client("a");
    /// // Nobody answers for the counter yet: it waits for the coordinator, which is away.
    /// let client = client.timeout(Duration::from_millis(20));
    /// let late = ObjectClient::new(client, "counter").call::<u64>("add", &1).await;
    /// assert_eq!(late, Err(CallError::Timeout { object: "counter".into(), waited_ms: 20 }));
    /// # Ok(())
    /// # });
    /// ```
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl Call for Client {
    async fn call(
        &self,
        object: &str,
        method: &str,
        body: Bytes,
        idempotency_key: Option<&str>,
    ) -> Result<Bytes, CallError> {
        let request = CallRequest {
            object: object.to_owned(),
            method: method.to_owned(),
            body,
            idempotency_key: idempotency_key.map(str::to_owned),
        };
        let now = Instant::now();
        let deadline = now.checked_add(self.timeout).unwrap_or(now + FOR_EVER);
        let mut pause = Pause::default();
        loop {
            let attempt = self.remote.call(&self.url, request.clone(), false);
            let Ok(outcome) = tokio::time::timeout_at(deadline, attempt).await else {
                return Err(timed_out(&request, self.timeout));
            };
            let error = match outcome {
                Err(error) if may_repeat(&error, &request) => error,
                settled => return settled,
            };
            // What was last heard says more than that time is over.
            if tokio::time::timeout_at(deadline, pause.wait())
                .await
                .is_err()
            {
                return Err(error);
            }
        }
    }
}

fn may_repeat(error: &CallError, request: &CallRequest) -> bool {
    error.is_temporary() && (request.idempotency_key.is_some() || !error.may_have_happened())
}

fn timed_out(request: &CallRequest, timeout: Duration) -> CallError {
    CallError::Timeout {
        object: request.object.clone(),
        waited_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
    }
}
