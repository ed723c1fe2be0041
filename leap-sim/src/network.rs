//! Simulated links: ordered while they last, losing what is under way when they break.

use std::collections::BTreeMap;

use leap_core::{
    Header, Incarnation, ObjectId, PeerMessage, ToCoordinator, ToParticipant, Version, WorldLine,
};

use crate::{
    truth::VertexId,
    world::{ProcessId, SThreadId, SeatId},
};

/// One end of a link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum End {
    Process(ProcessId),
    Coordinator(SeatId),
}

/// What travels.
#[derive(Clone, Hash, Debug)]
pub(crate) enum Wire {
    Peer {
        from: ObjectId,
        to: ObjectId,
        message: PeerMessage,
    },
    /// The sender has begun to host this object.
    Hosting(ObjectId),
    /// An sthread asks an object to do something.
    Request {
        sthread: SThreadId,
        to: ObjectId,
        header: Header,
        seen: Vec<VertexId>,
    },
    /// The answer.
    Reply {
        sthread: SThreadId,
        header: Header,
        seen: Vec<VertexId>,
    },
    Subscribe(Option<WorldLine>, BTreeMap<ObjectId, Version>),
    ToCoordinator(ToCoordinator),
    /// To one object of the process, or to all.
    ToParticipant(Option<(ObjectId, Incarnation)>, ToParticipant),
    /// To all, but not to those of other processes: these versions are inside the boundary.
    Reached(BTreeMap<ObjectId, Version>),
}

/// Names a link in the world's list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct ConnectionId(pub(crate) usize);

/// A link between two processes, or a process and a coordinator. Each time that it comes up again
/// is an *epoch*.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) ends: [End; 2],
    pub(crate) epoch: u32,
    pub(crate) up: bool,
    /// Gone for good: an end has died or goes elsewhere.
    pub(crate) closed: bool,
    pub(crate) blocked_until: u64,
    /// When the last message to each end arrives.
    pub(crate) last_arrival: [u64; 2],
    /// How many messages to each end are under way.
    pub(crate) under_way: [u32; 2],
    pub(crate) tails: Vec<Tail>,
}

/// What a broken link still delivers: a prefix of what was under way, later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tail {
    pub(crate) epoch: u32,
    pub(crate) side: usize,
    pub(crate) remaining: u64,
    pub(crate) delay_us: u64,
}

impl Connection {
    pub(crate) fn new(ends: [End; 2]) -> Self {
        Self {
            ends,
            epoch: 0,
            up: false,
            closed: false,
            blocked_until: 0,
            last_arrival: [0; 2],
            under_way: [0; 2],
            tails: Vec::new(),
        }
    }
}
