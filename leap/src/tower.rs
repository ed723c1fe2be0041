//! Speculation across gRPC and HTTP: layers for any tonic or axum service, and for any client of one.
//!
//! [`ServerLayer`] reads what a request depends on, gives the handler an sthread that has seen it
//! ([`Speculative`]), and sends along with the response what that has come to depend on. Whoever calls
//! without a header is the outside world: nothing of the response leaves before all it depends on is
//! inside the boundary (rule P8). [`ClientLayer`] is the other side: it sends the header of the sthread
//! that calls, and lets that sthread consume the header of the response.
//!
//! # What travels
//!
//! | header | on | holds |
//! |---|---|---|
//! | `leap-header-bin` | gRPC requests and responses | a [`Header`](crate::Header), as binary metadata |
//! | `leap-header` | other requests and responses | the same in base64 |
//! | `leap-world-line` | refusals of a caller whose world-line is over | the current one, in decimal |
//!
//! | refused because | gRPC | HTTP |
//! |---|---|---|
//! | the header is not one | `INVALID_ARGUMENT` | 400 |
//! | the caller's world-line is over, or what it depends on was rolled back (rule P5) | `ABORTED` | 409 |
//! | this host does not reach the caller's world-line in time, or stops | `UNAVAILABLE` | 503 |
//! | what an outsider's answer depends on was rolled back (rule P8) | `UNAVAILABLE` | 503 |
//!
//! # Streams
//!
//! A header is sent once, with the head of a response. What a streaming body says later may depend on
//! more; each part of it that does is held until that is inside the boundary. So every stream is
//! safe, and one that says everything it depends on at its beginning is never held. (What a handler does
//! ahead of the part that it has just given counts for that part as well.) The same care is the
//! caller's own for streams of requests: a message that depends on more than the sthread had seen when
//! the call began must wait for [`Speculative::barrier`].
//!
//! # Example
//!
//! ```
//! use axum::{Router, extract::State, routing};
//! use leap::tower::{ServerLayer, SpeculationError, Speculative};
//! use leap::{Action, Host, Journaled, Machine, Object, Service};
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
//! impl Service for Counter {}
//!
//! async fn increment(
//!     speculative: Speculative,
//!     State(counter): State<Object<Journaled<Counter>>>,
//! ) -> Result<String, SpeculationError> {
//!     let add = |action: &mut Action<'_, Counter>| {
//!         action.record(1);
//!         action.0
//!     };
//!     let count = speculative.act(&counter, |state, context| state.change(context, add)).await?;
//!     Ok(count.to_string())
//! }
//!
//! # leap::testing::run_example(async {
//! let host = Host::builder().start().await?;
//! let counter = host.add::<Counter>("counter").await?;
//! let routes: Router = Router::new()
//!     .route("/increment", routing::post(increment))
//!     .with_state(counter)
//!     .layer(ServerLayer::new(&host));
//! # let _ = routes;
//! # Ok(())
//! # });
//! ```

use std::{future::Future, pin::pin, task::Poll, time::Duration};

mod body;
mod client;
mod error;
mod metadata;
mod server;
mod speculative;

pub use self::{
    body::ReleasedBody,
    client::{ClientLayer, ClientService},
    error::SpeculationError,
    metadata::{grpc_header, set_grpc_header},
    server::{ServerLayer, ServerService},
    speculative::Speculative,
};

/// How long a message that is ahead of what this host knows may wait for it, unless a layer is told
/// otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// What `future` comes to, if it does within `patience`.
///
/// Almost never is anything waited for, and a timer for every message would cost more than the rest: it
/// is made only when the future waits.
async fn within<F: Future>(patience: Duration, future: F) -> Result<F::Output, SpeculationError> {
    let mut future = pin!(future);
    if let Poll::Ready(output) = futures::poll!(future.as_mut()) {
        return Ok(output);
    }
    let in_time = tokio::time::timeout(patience, future).await;
    in_time.map_err(|_| SpeculationError::NotReady { waited: patience })
}
