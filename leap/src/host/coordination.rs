//! The host's links: to its coordinator, near or far, and from whoever dials.

use std::sync::Arc;

use leap_core::{Observer, ToParticipant};
use tokio::task::JoinSet;

use super::{HostError, Inner, calls};
use crate::coordinator::{self, CoordinatorHandle};
use crate::links::{Links, PROTOCOL, Pause};
use crate::object::Event;
use crate::observation::Observation;
use crate::transport::{Connection, Frame, Listener, Network, Purpose, Services, TransportError};

impl Inner {
    pub(super) async fn listen(
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

    /// Serves whoever connects, for as long as the host lives.
    pub(super) fn serve(&self, listener: Listener) {
        let coordinator = self.coordinator.lock().clone();
        self.spawn(accept(listener, self.links.clone(), coordinator));
    }

    /// Connects to the coordinator, near or far, for as long as the host lives.
    pub(super) async fn start_coordination(
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
                purpose:
                    Purpose::Participant {
                        known, boundary, ..
                    },
                ..
            }),
            Some(coordinator),
        ) => {
            coordinator
                .serve(connection, (known, boundary), frames_left.collect())
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
    // Hears only what everybody is told, so that its boundary is never without what is in it by dependency:
    // a coordinator that has just begun takes our word for it.
    let mut told = Observer::default();
    let mut pause = Pause::default();
    loop {
        match network.connect(&address).await {
            Ok(connection) => {
                pause = Pause::default();
                let purpose = Purpose::Participant {
                    host: id,
                    known: observation.known(),
                    boundary: told.boundary().clone(),
                };
                connection.outgoing.send(Frame::Hello {
                    protocol: PROTOCOL,
                    purpose,
                });
                let Some(entries) = weak.upgrade().map(|inner| inner.entries()) else {
                    return;
                };
                links.coordinator_is_up(connection.outgoing.clone(), entries);
                listen_to_coordinator(connection, &links, &observation, &mut told).await;
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
    told: &mut Observer,
) {
    // The process before its objects: see the invariant of `Observation`.
    let spread = |message: ToParticipant| {
        observation.handle(&message);
        links.tell_all_local(|| Event::Coordinator(message.clone()));
    };
    let mut frames = Vec::new();
    while connection.incoming.recv_many(&mut frames).await > 0 {
        for frame in frames.drain(..) {
            match frame {
                Frame::FromCoordinator { to: None, message } => {
                    told.handle(&message);
                    spread(message);
                }
                Frame::Reached(versions) => spread(ToParticipant::Boundary(versions)),
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
