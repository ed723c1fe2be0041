//! A network inside one OS process, for tests: parties have names, links between them can be cut,
//! healed and slowed. Frames are encoded as on any other network. Nothing happens but by what the
//! parties do and by tokio's clock, so on a paused clock every run is the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::{
    CallHandler, Connection, FrameReceiver, FrameSender, Listener, Listening, Network,
    TransportError,
    outbox::{Breach, Outbox},
    proto::{CallReply, CallRequest},
    receiver::Source,
};

/// How many connections may wait to be accepted.
const BACKLOG: usize = 1024;

/// All parties and the links between them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct InProcess {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    listeners: BTreeMap<String, Registered>,
    next_registration: u64,
    links: Vec<Link>,
    cut: BTreeSet<Pair>,
    latencies: BTreeMap<Pair, Duration>,
}

#[derive(Debug)]
struct Registered {
    registration: u64,
    connections: mpsc::Sender<Connection>,
    calls: CallHandler,
}

/// A connection that was made; it may be over.
#[derive(Debug)]
struct Link {
    pair: Pair,
    outboxes: [Weak<Outbox>; 2],
}

/// Two parties, in either order.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Pair(String, String);

impl Pair {
    fn new(a: &str, b: &str) -> Self {
        let (low, high) = if a <= b { (a, b) } else { (b, a) };
        Self(low.to_owned(), high.to_owned())
    }

    fn includes(&self, party: &str) -> bool {
        self.0 == party || self.1 == party
    }
}

impl InProcess {
    /// The network as the party `local` sees it; what it listens on should be `local` too, so that
    /// faults find both its sides.
    pub(crate) fn network(&self, local: &str) -> Network {
        Network::InProcess {
            hub: self.clone(),
            local: local.to_owned(),
        }
    }

    /// Breaks all connections between `a` and `b` and allows no new one until [`InProcess::heal`].
    pub(crate) fn cut(&self, a: &str, b: &str) {
        let pair = Pair::new(a, b);
        let mut state = self.state.lock();
        state.cut.insert(pair.clone());
        state.break_links(|link| *link == pair);
    }

    /// Allows connections between `a` and `b` again.
    pub(crate) fn heal(&self, a: &str, b: &str) {
        self.state.lock().cut.remove(&Pair::new(a, b));
    }

    /// Breaks all connections of `party` and ends its listener, as if its process had died. It may
    /// listen and connect again at once.
    pub(crate) fn drop_host(&self, party: &str) {
        let mut state = self.state.lock();
        state.listeners.remove(party);
        state.break_links(|link| link.includes(party));
    }

    /// From now on frames between `a` and `b` arrive `latency` after they were sent.
    pub(crate) fn set_latency(&self, a: &str, b: &str, latency: Duration) {
        let pair = Pair::new(a, b);
        let mut state = self.state.lock();
        for link in state.links.iter().filter(|link| link.pair == pair) {
            for outbox in link.alive() {
                outbox.set_latency(latency);
            }
        }
        state.latencies.insert(pair, latency);
    }

    pub(super) fn connect(&self, local: &str, address: &str) -> Result<Connection, TransportError> {
        self.state
            .lock()
            .connect(local, address)
            .ok_or_else(|| TransportError::Unreachable {
                address: address.to_owned(),
                local: local.to_owned(),
            })
    }

    /// Calls whoever listens on `address`. If the link is cut, or the listener gone, when the answer
    /// would travel, the answer is lost.
    ///
    /// # Errors
    ///
    /// What was answered; `Unknown` for a lost answer, and a status made by `unreachable` when the
    /// call did not even arrive.
    pub(crate) async fn call(
        &self,
        local: &str,
        address: &str,
        request: tonic::Request<CallRequest>,
        unreachable: impl FnOnce(&str) -> tonic::Status,
    ) -> Result<tonic::Response<CallReply>, tonic::Status> {
        let Some((registration, calls)) = self.state.lock().calls(local, address) else {
            return Err(unreachable("nobody listens there, or the link is cut"));
        };
        let answer = calls.call(request).await;
        match self.state.lock().calls(local, address) {
            Some((still, _)) if still == registration => answer,
            _ => Err(tonic::Status::unknown("the link was cut before the answer")),
        }
    }

    pub(super) fn listen(
        &self,
        address: &str,
        calls: CallHandler,
    ) -> Result<Listener, TransportError> {
        let mut state = self.state.lock();
        if state.listeners.contains_key(address) {
            return Err(TransportError::Listen {
                address: address.to_owned(),
                source: std::io::ErrorKind::AddrInUse.into(),
            });
        }
        let (connections, accepted) = mpsc::channel(BACKLOG);
        let registration = state.next_registration;
        state.next_registration += 1;
        state.listeners.insert(
            address.to_owned(),
            Registered {
                registration,
                connections,
                calls,
            },
        );
        drop(state);
        Ok(Listener {
            address: address.to_owned(),
            accepted,
            _listening: Listening::InProcess(Registration {
                hub: self.clone(),
                address: address.to_owned(),
                registration,
            }),
        })
    }
}

impl State {
    fn calls(&self, local: &str, address: &str) -> Option<(u64, CallHandler)> {
        let reachable = !self.cut.contains(&Pair::new(local, address));
        let listener = self.listeners.get(address).filter(|_| reachable)?;
        Some((listener.registration, listener.calls.clone()))
    }

    fn connect(&mut self, local: &str, address: &str) -> Option<Connection> {
        let pair = Pair::new(local, address);
        if self.cut.contains(&pair) {
            return None;
        }
        let (near, far) = (Outbox::new(address), Outbox::new(local));
        if let Some(&latency) = self.latencies.get(&pair) {
            near.set_latency(latency);
            far.set_latency(latency);
        }
        let listener = self.listeners.get(address)?;
        listener
            .connections
            .try_send(connection(&far, &near))
            .ok()?;
        self.links.retain(|link| link.alive().next().is_some());
        self.links.push(Link {
            pair,
            outboxes: [Arc::downgrade(&near), Arc::downgrade(&far)],
        });
        Some(connection(&near, &far))
    }

    fn break_links(&mut self, which: impl Fn(&Pair) -> bool) {
        self.links.retain(|link| {
            let broken = which(&link.pair);
            if broken {
                link.alive().for_each(|outbox| outbox.abort(&Breach::Cut));
            }
            !broken
        });
    }
}

impl Link {
    fn alive(&self) -> impl Iterator<Item = Arc<Outbox>> {
        self.outboxes.iter().filter_map(Weak::upgrade)
    }
}

fn connection(outbox: &Arc<Outbox>, peer: &Arc<Outbox>) -> Connection {
    Connection {
        outgoing: FrameSender::new(Arc::clone(outbox)),
        incoming: FrameReceiver::new(Source::InProcess(Arc::clone(peer)), Arc::clone(outbox)),
    }
}

/// A listener's place in the network, given up when dropped unless another has taken it.
#[derive(Debug)]
pub(super) struct Registration {
    hub: InProcess,
    address: String,
    registration: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut state = self.hub.state.lock();
        let mine = state
            .listeners
            .get(&self.address)
            .is_some_and(|listener| listener.registration == self.registration);
        if mine {
            state.listeners.remove(&self.address);
        }
    }
}
