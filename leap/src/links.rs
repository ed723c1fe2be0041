//! Where messages go: to objects of this process, to other processes, to the coordinator.
//!
//! Each pair of processes has two connections, one for each direction; whoever sends dials. A message
//! for which there is no connection is dropped: the protocol sends it again when the link comes up.
//!
//! What nobody waits for (acknowledgements) leaves with the next message on the same connection, at most
//! [`LINGER`] later: a packet of its own would cost both processes more than all that is in it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use leap_core::{DependencySet, ObjectId, PeerMessage, ToCoordinator};
use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::object::Event;
use crate::transport::{
    Connection, DirectoryEntry, Frame, FrameSender, Haste, HostId, Network, Purpose,
};

/// Version of what frames mean; processes that differ do not talk.
pub(crate) const PROTOCOL: u32 = 4;

/// How long to wait before dialling again, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// How long a message that nobody waits for may wait for another one to go with.
pub(crate) const LINGER: Duration = Duration::from_millis(500);

pub(crate) struct Links {
    host: HostId,
    network: Network,
    runtime: Handle,
    local: RwLock<HashMap<ObjectId, mpsc::UnboundedSender<Event>>>,
    directory: RwLock<HashMap<ObjectId, DirectoryEntry>>,
    /// Empty while this process does not listen.
    own_address: RwLock<String>,
    /// Other processes by address, with the connection while it is up.
    peers: Mutex<HashMap<String, Peer>>,
    coordinator: RwLock<Option<FrameSender>>,
    /// Within [`LINGER`] everything that waits for company is sent.
    is_flush_planned: AtomicBool,
}

struct Peer {
    connection: Option<FrameSender>,
    task: AbortHandle,
}

impl Links {
    pub(crate) fn new(host: HostId, network: Network, runtime: Handle) -> Self {
        Self {
            host,
            network,
            runtime,
            local: RwLock::default(),
            directory: RwLock::default(),
            own_address: RwLock::default(),
            peers: Mutex::default(),
            coordinator: RwLock::default(),
            is_flush_planned: AtomicBool::new(false),
        }
    }

    pub(crate) fn to_coordinator(&self, message: ToCoordinator) {
        if let Some(coordinator) = &*self.coordinator.read() {
            coordinator.send(Frame::ToCoordinator(message));
        }
    }

    /// Asks the coordinator to tell at once when `versions` are inside the boundary. Whoever asks about
    /// versions that it will report itself does so before it reports them.
    pub(crate) fn await_boundary(&self, versions: DependencySet, haste: Haste) {
        if let Some(coordinator) = &*self.coordinator.read() {
            coordinator.send_with(haste, Frame::Await(versions));
        }
    }

    /// Lets those objects of this process that `versions` names seal soon: somebody waits.
    pub(crate) fn hasten(&self, versions: &DependencySet) {
        for (object, _) in versions.iter() {
            self.tell_local(object, Event::Wanted);
        }
    }

    pub(crate) fn to_peer(self: &Arc<Self>, from: ObjectId, to: ObjectId, message: PeerMessage) {
        if let Some(inbox) = self.local.read().get(&to) {
            // An object that has stopped is about to leave the table.
            let _ = inbox.send(Event::Peer { from, message });
            return;
        }
        let directory = self.directory.read();
        let entry = directory.get(&to);
        let Some(entry) = entry.filter(|entry| self.is_elsewhere(entry)) else {
            return;
        };
        let mut peers = self.peers.lock();
        match peers.get(&entry.address) {
            Some(Peer {
                connection: Some(connection),
                ..
            }) => {
                let haste = haste_of(&message);
                connection.send_with(haste, Frame::Peer { from, to, message });
                if haste == Haste::SentAlong {
                    self.plan_flush();
                }
            }
            Some(Peer {
                connection: None, ..
            }) => {}
            None => {
                let task = self
                    .runtime
                    .spawn(self.clone().keep_connected(entry.address.clone()));
                let peer = Peer {
                    connection: None,
                    task: task.abort_handle(),
                };
                peers.insert(entry.address.clone(), peer);
            }
        }
    }

    fn plan_flush(self: &Arc<Self>) {
        if self.is_flush_planned.swap(true, Ordering::AcqRel) {
            return;
        }
        let links = self.clone();
        self.runtime.spawn(async move {
            tokio::time::sleep(LINGER).await;
            links.is_flush_planned.store(false, Ordering::Release);
            links.flush();
        });
    }

    fn flush(&self) {
        let peers = self.peers.lock();
        let connections = peers.values().filter_map(|peer| peer.connection.as_ref());
        connections.for_each(FrameSender::flush);
    }

    /// Hands a message of another process to the object it is for.
    pub(crate) fn receive(&self, from: ObjectId, to: ObjectId, message: PeerMessage) {
        if let Some(inbox) = self.local.read().get(&to) {
            let _ = inbox.send(Event::Peer { from, message });
        }
    }

    pub(crate) fn tell_local(&self, object: ObjectId, event: Event) {
        if let Some(inbox) = self.local.read().get(&object) {
            let _ = inbox.send(event);
        }
    }

    pub(crate) fn tell_all_local(&self, event: impl Fn() -> Event) {
        for inbox in self.local.read().values() {
            let _ = inbox.send(event());
        }
    }

    /// An object of this process begins its life: whoever sends to it may send again.
    pub(crate) fn add_local(&self, entry: DirectoryEntry, inbox: mpsc::UnboundedSender<Event>) {
        let object = entry.object;
        self.local.write().insert(object, inbox);
        self.tell_all_local(|| Event::LinkUp(object));
        if let Some(coordinator) = &*self.coordinator.read() {
            coordinator.send(Frame::Announce(vec![entry]));
            self.tell_local(object, Event::CoordinatorLinkUp);
        }
    }

    /// Takes an object out, unless a newer life has taken its place. What was sent to it here goes to where
    /// the object is otherwise, if it is.
    pub(crate) fn remove_local(&self, object: ObjectId, inbox: &mpsc::UnboundedSender<Event>) {
        {
            let mut local = self.local.write();
            let current = local.get(&object);
            if current.is_none_or(|current| !current.same_channel(inbox)) {
                return;
            }
            local.remove(&object);
        }
        let is_elsewhere = {
            let directory = self.directory.read();
            directory
                .get(&object)
                .is_some_and(|entry| self.is_elsewhere(entry))
        };
        if is_elsewhere {
            self.tell_all_local(|| Event::LinkUp(object));
        }
    }

    /// Takes in where objects live.
    pub(crate) fn learn(&self, entries: Vec<DirectoryEntry>) {
        for entry in entries {
            let object = entry.object;
            let previous = self.directory.write().insert(object, entry.clone());
            // A new life may have lost what the old one was sent, even if no connection broke.
            let began = previous.is_none_or(|previous| previous != entry);
            if began && !self.local.read().contains_key(&object) {
                self.tell_all_local(|| Event::LinkUp(object));
            }
        }
    }

    /// From here on this process listens there.
    pub(crate) fn listens_on(&self, address: &str) {
        *self.own_address.write() = address.to_owned();
    }

    /// Whether another process has the object. Whoever does not listen cannot be reached.
    fn is_elsewhere(&self, entry: &DirectoryEntry) -> bool {
        !entry.address.is_empty() && entry.address != *self.own_address.read()
    }

    /// Where the object's host listens, if that is known and it does.
    pub(crate) fn address(&self, object: ObjectId) -> Option<String> {
        let directory = self.directory.read();
        directory
            .get(&object)
            .map(|entry| entry.address.clone())
            .filter(|address| !address.is_empty())
    }

    pub(crate) fn directory(&self) -> Vec<DirectoryEntry> {
        self.directory.read().values().cloned().collect()
    }

    /// A link to the coordinator can be used, once it was greeted.
    ///
    /// `entries` tells what the host has when the link can be used: an object that comes later announces itself.
    pub(crate) fn coordinator_is_up(
        &self,
        coordinator: &FrameSender,
        entries: impl FnOnce() -> Vec<DirectoryEntry>,
    ) {
        *self.coordinator.write() = Some(coordinator.clone());
        coordinator.send(Frame::Announce(entries()));
        self.tell_all_local(|| Event::CoordinatorLinkUp);
    }

    pub(crate) fn coordinator_is_down(&self) {
        *self.coordinator.write() = None;
    }

    /// Cuts every link at once.
    pub(crate) fn close(&self) {
        self.coordinator_is_down();
        self.local.write().clear();
        for (_, peer) in self.peers.lock().drain() {
            peer.task.abort();
        }
    }

    /// Keeps the connection to one other process up.
    async fn keep_connected(self: Arc<Self>, address: String) {
        let mut pause = Pause::default();
        loop {
            match self.network.connect(&address).await {
                Ok(mut connection) => {
                    let since = Instant::now();
                    self.greet_peer(&address, &connection);
                    // Nothing is ever said on this side of the connection; its end is what matters.
                    let mut ignored = Vec::new();
                    while connection.incoming.recv_many(&mut ignored).await > 0 {
                        ignored.clear();
                    }
                    // Who hangs up at once would do so again.
                    if since.elapsed() > LONGEST_PAUSE {
                        pause = Pause::default();
                    }
                    if let Some(peer) = self.peers.lock().get_mut(&address) {
                        peer.connection = None;
                    }
                }
                Err(error) => tracing::debug!(%address, %error, "cannot connect"),
            }
            pause.wait().await;
        }
    }

    fn greet_peer(&self, address: &str, connection: &Connection) {
        let purpose = Purpose::Peer { host: self.host };
        connection.outgoing.send(Frame::Hello {
            protocol: PROTOCOL,
            purpose,
        });
        if let Some(peer) = self.peers.lock().get_mut(address) {
            peer.connection = Some(connection.outgoing.clone());
        }
        let there: Vec<_> = {
            let directory = self.directory.read();
            directory
                .values()
                .filter(|entry| entry.address == address)
                .map(|entry| entry.object)
                .collect()
        };
        for object in there {
            self.tell_all_local(|| Event::LinkUp(object));
        }
    }
}

/// An acknowledgement only lets the sender forget.
fn haste_of(message: &PeerMessage) -> Haste {
    match message {
        PeerMessage::Acknowledge(_) => Haste::SentAlong,
        PeerMessage::Channel(_) | PeerMessage::WorldLine(_) | PeerMessage::Resend(_) => {
            Haste::Urgent
        }
    }
}

/// Growing pauses between attempts.
pub(crate) struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(FIRST_PAUSE)
    }
}

impl Pause {
    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
    }
}
