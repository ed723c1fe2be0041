//! Connections between the processes of a cluster.
//!
//! A [`Connection`] carries [`Frame`]s both ways, in order, none twice, none left out, until it
//! breaks. Then both ends see the end and what was in flight may be lost; whoever uses it connects
//! again and says again what matters. Which frames matter, who they are for and what they mean is
//! not known here.
//!
//! Two networks carry the same frames in the same encoding: gRPC (`grpc`, `serve`) and one inside a
//! process for tests (`in_process`), where links are cut, healed and slowed at will and which is
//! deterministic on a paused clock.
//!
//! # Invariants
//!
//! - Sending never waits. A peer that stops reading costs at most 64 MiB of memory and what the
//!   windows of HTTP/2 hold; beyond that the connection is broken.
//! - What a peer sends is judged before it is used: a frame that is too large or not a frame at
//!   all breaks the connection, with the reason in the log.
//! - A connection lives as long as its [`FrameReceiver`]. Dropping that lets what is queued leave, for
//!   at most two seconds.
//!
//! # Example
//!
//! ```ignore
//! let network = Network::grpc();
//! let mut listener = network.listen("127.0.0.1:0").await?;
//! let connection = network.connect(listener.address()).await?;
//! connection.outgoing.send(Frame::Announce(vec![]));
//! let mut accepted = listener.accept().await.expect("the listener is open");
//! let mut frames = vec![];
//! while accepted.incoming.recv_many(&mut frames).await > 0 { /* use and clear `frames` */ }
//! ```

use std::{io, time::Duration};

use tokio::sync::mpsc;

mod frame;
mod grpc;
mod in_process;
mod outbox;
mod receiver;
mod serve;
#[cfg(test)]
mod tests;

#[rustfmt::skip]
#[allow(clippy::all, clippy::allow_attributes_without_reason, unreachable_pub, reason = "generated from leap.proto")]
pub(crate) mod proto {
    include!("transport/generated/leap.v1.rs");
}

pub(crate) use self::{
    frame::{DirectoryEntry, Frame, HostId, MAX_FRAME_BYTES, Purpose},
    in_process::InProcess,
    outbox::{FrameSender, Haste},
    receiver::FrameReceiver,
    serve::{CallHandler, Services},
};

/// One end of an ordered, reliable link to another process.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Where frames for the peer go.
    pub(crate) outgoing: FrameSender,
    /// Where frames of the peer come from; the connection lives as long as this.
    pub(crate) incoming: FrameReceiver,
}

/// The way to reach other processes and to be reached. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) enum Network {
    /// gRPC over TCP.
    Grpc,
    /// Inside this OS process, as the party called `local`.
    InProcess { hub: InProcess, local: String },
}

impl Network {
    /// gRPC over TCP; addresses are `http://host:port`.
    pub(crate) const fn grpc() -> Self {
        Self::Grpc
    }

    /// A network inside this OS process with only this party and whoever shares the clone. For
    /// several parties, whose links can be cut, see [`InProcess`].
    pub(crate) fn in_process() -> Self {
        InProcess::default().network("")
    }

    /// Refuses what can never be an address here.
    ///
    /// # Errors
    ///
    /// [`TransportError::Address`].
    pub(crate) fn check(&self, address: &str) -> Result<(), TransportError> {
        match self {
            Self::Grpc => grpc::parse(address).map(drop),
            Self::InProcess { .. } => Ok(()),
        }
    }

    /// Connects to whoever listens on `address`.
    ///
    /// # Errors
    ///
    /// [`TransportError`], also when nothing answers within two seconds.
    pub(crate) async fn connect(&self, address: &str) -> Result<Connection, TransportError> {
        match self {
            Self::Grpc => grpc::connect(address).await,
            Self::InProcess { hub, local } => hub.connect(local, address),
        }
    }

    /// Listens on `address` (for gRPC `host:port`, where port 0 means any free one).
    ///
    /// # Errors
    ///
    /// [`TransportError`] when the address is taken or is no address.
    pub(crate) async fn listen(&self, address: &str) -> Result<Listener, TransportError> {
        self.listen_with(address, Services::default()).await
    }

    /// Listens on `address` and serves `services` on the same port. Inside a process there is no
    /// port, so calls are served and routes are not.
    ///
    /// # Errors
    ///
    /// As for [`Network::listen`].
    pub(crate) async fn listen_with(
        &self,
        address: &str,
        services: Services,
    ) -> Result<Listener, TransportError> {
        match self {
            Self::Grpc => serve::listen(address, services).await,
            Self::InProcess { hub, .. } => hub.listen(address, services.calls),
        }
    }
}

/// Gives the connections that others make to one address. Dropping it stops listening: connections that
/// were accepted live on, and requests that are being answered on the same port get their answer.
#[derive(Debug)]
pub(crate) struct Listener {
    address: String,
    accepted: mpsc::Receiver<Connection>,
    _listening: Listening,
}

/// Listens until it is dropped.
#[derive(Debug)]
#[expect(dead_code, reason = "held for its drop")]
enum Listening {
    Grpc(serve::Server),
    InProcess(in_process::Registration),
}

impl Listener {
    /// Where others reach it: what [`Network::connect`] takes, with the actual port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The next connection; `None` once nothing listens any more.
    pub(crate) async fn accept(&mut self) -> Option<Connection> {
        self.accepted.recv().await
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    /// Not an address of this network.
    #[error("{address:?} is not an address: {reason}")]
    Address {
        /// What was given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nobody answers there.
    #[error("cannot connect to {address}")]
    Connect {
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody answers there, but not in HTTP/2.
    #[error("{address} does not speak HTTP/2")]
    Handshake {
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// A gRPC server answers there, but it takes no connection.
    #[error("{address} refused the connection")]
    Refused {
        /// Where.
        address: String,
        /// Its answer.
        #[source]
        source: Box<tonic::Status>,
    },
    /// Connecting took too long.
    #[error("{address} did not answer within {} ms", waited.as_millis())]
    Timeout {
        /// Where.
        address: String,
        /// How long was waited.
        waited: Duration,
    },
    /// In process: nobody listens there, or the link is cut.
    #[error("{address} cannot be reached from {local:?}")]
    Unreachable {
        /// Where to.
        address: String,
        /// Where from.
        local: String,
    },
}
