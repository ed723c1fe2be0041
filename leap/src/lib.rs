//! Write services that never wait for the disk.
//!
//! A service built with this crate runs ahead of its own persistence, and so do all the services that
//! it talks to; what reaches the outside world waits until everything it depends on is durable, and
//! after a failure exactly what is affected rolls back. The protocol is in [`leap_core`]; this crate
//! drives it on tokio.
//!
//! | to do this | use |
//! |---|---|
//! | write a service | [`Machine`], [`macro@service`], [`Action`] |
//! | run it | [`Host`], [`Object`] |
//! | run code between actions | [`SThread`] |
//! | give a result to the outside world | [`Output`], [`SThread::barrier`] |
//! | bring state with its own storage | [`StateObject`] |
//! | serve gRPC and HTTP, and call such services | [`tower`] |
//! | test it | [`testing`] |
//!
//! This crate knows nothing of WebAssembly; processes are in another.
//!
//! ```
//! use leap::testing::Counter; // a service; the README shows how one is written
//! use leap::{Host, ObjectClient};
//!
//! # leap::testing::run_example(async {
//! let host = Host::builder().start().await?;
//! let counter = host.add::<Counter>("counter").await?;
//! // Inside, a change is seen at once, with what it depends on …
//! let (sum, mut seen) = counter.change(|counter| {
//!     counter.record(5);
//!     (counter.0, counter.detach())
//! }).await?;
//! assert_eq!(sum, 5);
//! // … and outside when it can never be lost any more: after a barrier, or as the answer to a call.
//! seen.barrier().await?;
//! assert_eq!(ObjectClient::new(host, "counter").call("get", &()).await, Ok(5));
//! # Ok(())
//! # });
//! ```

#![warn(missing_docs, clippy::missing_errors_doc)]

mod client;
mod coordinator;
mod host;
mod journaled;
mod links;
mod object;
mod observation;
mod random;
mod service;
mod shortening;
mod state_object;
mod status;
mod sthread;
pub mod testing;
pub mod tower;
mod transport;
mod turnstile;

pub use bytes::Bytes;
pub use client::{Call, Client, ClientError, ObjectClient};
pub use coordinator::CoordinatorError;
pub use host::{Host, HostBuilder, HostError, ObjectOptions, RemoveError, WeakHost};
pub use journaled::{Action, Journaled, MAX_IDEMPOTENCY_KEY_BYTES};
pub use leap_core::{
    Admission, Header, Incarnation, ObjectId, RolledBack, Speculation, Version, VersionMetadata,
    WorldLine,
};
/// # Example
///
/// ```
/// use leap::{Action, Host, Machine};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Default, Serialize, Deserialize)]
/// pub struct Hotel {
///     reserved: u32,
/// }
///
/// #[derive(Serialize, Deserialize)]
/// pub struct Reserve {
///     pub rooms: u32,
/// }
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// pub struct Full {
///     pub free: u32,
/// }
///
/// impl Machine for Hotel {
///     type Change = u32;
///
///     fn apply(&mut self, rooms: u32) {
///         self.reserved += rooms;
///     }
/// }
///
/// #[leap::service]
/// impl Hotel {
///     /// Reserves rooms; gives how many are taken now.
///     pub fn reserve(action: &mut Action<'_, Self>, request: Reserve) -> Result<u32, Full> {
///         let free = 10 - action.reserved;
///         if request.rooms > free {
///             return Err(Full { free });
///         }
///         action.record(request.rooms);
///         Ok(action.reserved)
///     }
///
///     /// How many rooms are taken. With `&self` a handler only looks, and nothing is sealed for it.
///     #[leap(name = "rooms/taken")]
///     pub fn taken(&self) -> u32 {
///         self.reserved
///     }
/// }
///
/// # leap::testing::run_example(async {
/// let host = Host::builder().start().await?;
/// host.add::<Hotel>("hotel").await?;
/// let hotel = HotelClient::new(host, "hotel").idempotency_key("trip 7");
/// assert_eq!(hotel.reserve(&Reserve { rooms: 4 }).await?, Ok(4));
/// assert_eq!(hotel.reserve(&Reserve { rooms: 4 }).await?, Ok(4), "the same key, the same reservation");
/// assert_eq!(hotel.taken().await?, 4);
/// # Ok(())
/// # });
/// ```
///
/// What is not a handler is refused where it stands:
///
/// ```compile_fail
/// # #[derive(Default, serde::Serialize, serde::Deserialize)]
/// # struct Hotel;
/// # impl leap::Machine for Hotel { type Change = (); fn apply(&mut self, (): ()) {} }
/// #[leap::service]
/// impl Hotel {
///     async fn reserve(action: &mut leap::Action<'_, Self>) {} // a handler cannot wait
/// }
/// ```
pub use leap_macros::service;
pub use leap_store::{GroupCommit, Store, StoreOptions};
pub use object::{ActionContext, Life, LifePhase, NotActive, Object, Output, OutputLost};
pub use observation::{BarrierError, ReceiveError, Stopped};
pub use service::{CallError, Machine, Service, decode_reply, decode_request, encode_value};
pub use state_object::{PersistDone, StateError, StateObject, StoredVersions};
pub use status::{
    ClusterStatus, HolderStatus, HostStatus, MemberStatus, ObjectStatus, RepairStatus,
    ReportedVersion,
};
pub use sthread::SThread;

/// The service that the README shows is compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// An error with all its causes, on one line.
pub(crate) fn error_chain(error: &dyn std::error::Error) -> String {
    let mut chain = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        chain.push_str(": ");
        chain.push_str(&error.to_string());
        cause = error.source();
    }
    chain
}
