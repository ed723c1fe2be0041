//! The host's links: to its coordinator, near or far, and from whoever dials.

use std::ops::ControlFlow;
use std::sync::Arc;

use leap_core::{Observer, ToParticipant};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{HostError, Inner, calls};
use crate::coordinator::{self, CoordinatorHandle};
use crate::links::{LONGEST_PAUSE, Links, PROTOCOL, Pause};
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
        self.links.listens_on(listener.address());
        *self.address.lock() = Some(listener.address().to_owned());
        Ok(listener)
    }

    /// Serves whoever connects, for as long as the host lives.
    pub(super) fn serve(&self, listener: Listener, seat: Seat) {
        self.spawn(accept(listener, self.links.clone(), seat));
    }

    /// Connects to the coordinator, near or far, for as long as the host lives.
    pub(super) async fn start_coordination(
        self: &Arc<Self>,
        cluster: Option<String>,
        network: Network,
    ) -> Result<Seat, HostError> {
        let Some(url) = cluster else {
            let (handle, task) = coordinator::start(&self.store).await?;
            self.spawn(task);
            *self.coordinator.lock() = Some(handle.clone());
            let near = Network::in_process();
            let listener = near.listen("coordinator").await?;
            let seat = Seat::Here(handle);
            self.spawn(accept(listener, self.links.clone(), seat.clone()));
            self.spawn(coordinate(self.clone(), near, "coordinator".to_owned()));
            return Ok(seat);
        };
        self.spawn(coordinate(self.clone(), network, url.clone()));
        Ok(Seat::At(url))
    }
}

/// Where the coordinator is.
#[derive(Clone)]
pub(super) enum Seat {
    Here(CoordinatorHandle),
    At(String),
}

/// Serves whoever connects.
async fn accept(mut listener: Listener, links: Arc<Links>, seat: Seat) {
    let mut connections = JoinSet::new();
    while let Some(connection) = listener.accept().await {
        connections.spawn(serve(connection, links.clone(), seat.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut connection: Connection, links: Arc<Links>, seat: Seat) {
    let mut frames = Vec::new();
    if connection.incoming.recv_many(&mut frames).await == 0 {
        return;
    }
    let mut frames_left = frames.into_iter();
    match (frames_left.next(), seat) {
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
            Seat::Here(coordinator),
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
            Seat::At(url),
        ) => {
            let reason = format!("who is there is no coordinator, and has joined {url}");
            connection.outgoing.send(Frame::TurnedAway(reason));
            // It hangs up when it has read that.
            let mut rest = Vec::new();
            while connection.incoming.recv_many(&mut rest).await > 0 {
                rest.clear();
            }
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
    let mut search = Search {
        // A coordinator that is embedded and ends has said why, or its host ends.
        is_quiet: matches!(network, Network::InProcess { .. }),
        ..Search::default()
    };
    loop {
        match network.connect(&address).await {
            Ok(connection) => {
                let purpose = Purpose::Participant {
                    host: id,
                    known: observation.known(),
                    boundary: told.boundary().clone(),
                };
                connection.outgoing.send(Frame::Hello {
                    protocol: PROTOCOL,
                    purpose,
                });
                let Some(inner) = weak.upgrade() else {
                    return;
                };
                links.coordinator_is_up(&connection.outgoing, || inner.entries());
                drop(inner);
                let hear = |frame: &Frame| search.hear(&address, frame);
                listen_to_coordinator(connection, &links, &observation, &mut told, hear).await;
                links.coordinator_is_down();
                search.lost(&address);
            }
            Err(error) => search.fail(&address, crate::error_chain(&error)),
        }
        search.pause.wait().await;
    }
}

/// The search for the coordinator. Whoever reads the log is told once of each thing that is in its way.
#[derive(Default)]
struct Search {
    is_quiet: bool,
    pause: Pause,
    /// What is at the other end of the connection, if anything was heard.
    heard: Option<Heard>,
    why_not: Option<String>,
}

enum Heard {
    Coordinator {
        since: Instant,
    },
    /// Somebody who is none.
    Other,
}

impl Search {
    /// Breaks off if who speaks is not the coordinator.
    fn hear(&mut self, address: &str, frame: &Frame) -> ControlFlow<()> {
        if let Frame::TurnedAway(reason) = frame {
            self.heard = Some(Heard::Other);
            self.fail(address, reason.clone());
            return ControlFlow::Break(());
        }
        if self.heard.is_none() {
            // Only now: who only answers the telephone is no coordinator.
            if self.why_not.is_some() {
                tracing::info!(address, "the coordinator is found");
            }
            let since = Instant::now();
            self.heard = Some(Heard::Coordinator { since });
            self.why_not = None;
        }
        ControlFlow::Continue(())
    }

    /// The connection ended.
    fn lost(&mut self, address: &str) {
        match self.heard.take() {
            Some(Heard::Coordinator { since }) => {
                // Who hangs up at once would do so again.
                if since.elapsed() > LONGEST_PAUSE {
                    self.pause = Pause::default();
                }
            }
            Some(Heard::Other) => {}
            None => self.fail(address, "who is there hangs up without a word".to_owned()),
        }
    }

    fn fail(&mut self, address: &str, why: String) {
        if self.is_quiet || self.why_not.as_ref() == Some(&why) {
            tracing::debug!(address, why, "still without the coordinator");
        } else {
            tracing::warn!(
                address,
                why,
                "cannot join the coordinator; objects wait until it is there"
            );
            self.why_not = Some(why);
        }
    }
}

async fn listen_to_coordinator(
    mut connection: Connection,
    links: &Links,
    observation: &Observation,
    told: &mut Observer,
    mut hear: impl FnMut(&Frame) -> ControlFlow<()>,
) {
    // The process before its objects: see the invariant of `Observation`.
    let spread = |message: ToParticipant| {
        observation.handle(&message);
        links.tell_all_local(|| Event::Coordinator(message.clone()));
    };
    let mut frames = Vec::new();
    while connection.incoming.recv_many(&mut frames).await > 0 {
        for frame in frames.drain(..) {
            if hear(&frame).is_break() {
                return;
            }
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
