//! One OS process: what its objects share, namely links, an observer and sthreads.

use std::collections::BTreeMap;

use leap_core::{Header, Input, ObjectId, Observer, ToParticipant};

use crate::{
    guest::slot,
    instance::{Action, Held},
    network::{Connection, ConnectionId, End, Tail, Wire},
    sthread::Task,
    truth::VertexId,
    world::{Event, InstanceId, ProcessId, SThreadId, World},
};

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) id: ProcessId,
    pub(crate) place: usize,
    pub(crate) is_alive: bool,
    /// Another process has taken its place.
    pub(crate) is_superseded: bool,
    pub(crate) instances: Vec<InstanceId>,
    pub(crate) observer: Observer,
    /// Hears only what all processes are told, so that its boundary is closed: a coordinator that does not know
    /// the boundary takes our word for it.
    told: Observer,
    pub(crate) is_subscribed: bool,
    pub(crate) sthreads: BTreeMap<SThreadId, Task>,
    pub(crate) coordinator: Option<ConnectionId>,
    /// The link over which each object is reached, and our side of it.
    pub(crate) routes: BTreeMap<ObjectId, (ConnectionId, usize)>,
}

/// Birth and death.
impl World {
    pub(crate) fn start_process(&mut self, place: usize) {
        let id = ProcessId(self.processes.len());
        if let Some(previous) = self.places[place] {
            self.processes[previous.0].is_superseded = true;
        }
        self.places[place] = Some(id);
        self.processes.push(Process {
            id,
            place,
            is_alive: true,
            is_superseded: false,
            instances: Vec::new(),
            observer: Observer::new(self.rules),
            told: Observer::new(self.rules),
            is_subscribed: false,
            sthreads: BTreeMap::new(),
            coordinator: None,
            routes: BTreeMap::new(),
        });
        for index in 0..self.newest.len() {
            let is_there = !self.away[index] && !self.gone[index] && !self.banned[index];
            if self.config.placement[index] == place && is_there {
                self.start_instance(id, ObjectId(index as u64));
            }
        }
        for other in 0..self.processes.len() {
            if self.processes[other].is_alive {
                self.open_connection([End::Process(id), End::Process(ProcessId(other))]);
            }
        }
        self.plan(0, Event::FindCoordinator(id));
    }

    /// The next life of an object, in the process that is in its place.
    pub(crate) fn start_object(&mut self, object: ObjectId) {
        if self.gone[slot(object)] || self.banned[slot(object)] {
            return;
        }
        self.away[slot(object)] = false;
        let process = self.places[self.config.placement[slot(object)]];
        let Some(process) = process.filter(|process| self.processes[process.0].is_alive) else {
            // The next process there will begin it.
            return;
        };
        let newest = self.newest[slot(object)].map(|newest| &self.instances[newest.0]);
        if newest.is_some_and(|newest| newest.is_alive && newest.process == process) {
            return;
        }
        self.start_instance(process, object);
        let id = self.newest[slot(object)].expect("it was just begun");
        for connection in 0..self.connections.len() {
            let ends = self.connections[connection].ends;
            for side in 0..2 {
                let other = ends[1 - side];
                if ends[side] == End::Process(process) && matches!(other, End::Process(_)) {
                    self.send(ConnectionId(connection), side, Wire::Hosting(object));
                }
            }
        }
        if self.is_linked_to_coordinator(process) {
            self.input(id, Input::CoordinatorLinkUp);
        }
    }

    fn is_linked_to_coordinator(&self, process: ProcessId) -> bool {
        let connection = self.processes[process.0].coordinator;
        connection.is_some_and(|connection| self.connections[connection.0].up)
    }

    pub(crate) fn kill_process(&mut self, id: ProcessId) {
        let process = &mut self.processes[id.0];
        if !std::mem::replace(&mut process.is_alive, false) {
            return;
        }
        process.sthreads.clear();
        self.say(format_args!("{id:?} ends"));
        for instance in self.processes[id.0].instances.clone() {
            self.kill(instance);
        }
        for connection in 0..self.connections.len() {
            if self.connections[connection]
                .ends
                .contains(&End::Process(id))
            {
                self.close(ConnectionId(connection));
            }
        }
    }
}

/// Links.
impl World {
    pub(crate) fn open_connection(&mut self, ends: [End; 2]) -> ConnectionId {
        let id = ConnectionId(self.connections.len());
        self.connections.push(Connection::new(ends));
        let delay = self.random.between(self.config.latency_us);
        self.plan(delay, Event::Connect(id));
        id
    }

    /// Sends from this side, if the link is up.
    pub(crate) fn send(&mut self, id: ConnectionId, from_side: usize, wire: Wire) {
        let delay = self.random.between(self.config.latency_us);
        let connection = &mut self.connections[id.0];
        if !connection.up {
            return;
        }
        let side = 1 - from_side;
        let at = connection.last_arrival[side].max(self.now + delay);
        connection.last_arrival[side] = at;
        connection.under_way[side] += 1;
        let epoch = connection.epoch;
        let wire = Box::new(if self.config.encoded {
            wire.through_bytes()
        } else {
            wire
        });
        self.plan(
            at - self.now,
            Event::Arrive {
                connection: id,
                epoch,
                side,
                is_late: false,
                wire,
            },
        );
    }

    pub(crate) fn arrive(
        &mut self,
        id: ConnectionId,
        epoch: u32,
        side: usize,
        is_late: bool,
        wire: Box<Wire>,
    ) {
        let connection = &mut self.connections[id.0];
        if !is_late {
            if connection.epoch == epoch {
                connection.under_way[side] -= 1;
            } else {
                // The link broke meanwhile. What still comes is a prefix, later.
                let tail = connection
                    .tails
                    .iter_mut()
                    .find(|tail| tail.epoch == epoch && tail.side == side);
                if let Some(tail) = tail.filter(|tail| tail.remaining > 0) {
                    tail.remaining -= 1;
                    let delay = tail.delay_us;
                    self.plan(
                        delay,
                        Event::Arrive {
                            connection: id,
                            epoch,
                            side,
                            is_late: true,
                            wire,
                        },
                    );
                }
                return;
            }
        }
        let (from, to) = (connection.ends[1 - side], connection.ends[side]);
        self.say(format_args!(
            "{from:?} -> {to:?}{} {wire:?}",
            if is_late { " (late)" } else { "" }
        ));
        match to {
            End::Process(process) if self.processes[process.0].is_alive => {
                self.arrive_at_process(process, id, epoch, side, *wire);
            }
            End::Coordinator(seat) if self.seats[seat.0].is_alive => {
                self.arrive_at_seat(seat, id, epoch, *wire);
            }
            End::Process(_) | End::Coordinator(_) => {}
        }
    }

    fn arrive_at_process(
        &mut self,
        process: ProcessId,
        connection: ConnectionId,
        epoch: u32,
        side: usize,
        wire: Wire,
    ) {
        match wire {
            Wire::Peer { from, to, message } => {
                if let Some(instance) = self.hosted(process, to) {
                    self.input(instance, Input::Peer { from, message });
                }
            }
            Wire::Hosting(object) => {
                if self.connections[connection.0].epoch == epoch {
                    self.route(process, object, connection, side);
                }
            }
            Wire::Request {
                sthread,
                to,
                header,
                seen,
            } => {
                if let Some(instance) = self.hosted(process, to) {
                    let action = Action::Visit {
                        sthread,
                        over: connection,
                        epoch,
                        side,
                    };
                    self.visit(
                        instance,
                        Held {
                            header,
                            seen,
                            action,
                        },
                    );
                }
            }
            Wire::Reply {
                sthread,
                header,
                seen,
            } => self.reply(process, sthread, &header, &seen),
            Wire::ToParticipant(None, message) => {
                self.processes[process.0].told.handle(&message);
                self.hear(process, &message);
            }
            Wire::ToParticipant(Some((object, incarnation)), message) => {
                let instance = self.hosted(process, object);
                let is_meant = |id: &InstanceId| self.instances[id.0].incarnation() == incarnation;
                if let Some(instance) = instance.filter(is_meant) {
                    self.told(instance, message);
                }
            }
            Wire::Reached(versions) => self.hear(process, &ToParticipant::Boundary(versions)),
            Wire::Subscribe(..) | Wire::ToCoordinator(_) => {
                unreachable!("only coordinators are told that")
            }
        }
    }

    /// The coordinator says something to all objects. The observer must know of a decision before any of them
    /// acts on it.
    fn hear(&mut self, process: ProcessId, message: &ToParticipant) {
        if matches!(message, ToParticipant::Welcome { .. }) {
            self.processes[process.0].is_subscribed = true;
        }
        self.processes[process.0].observer.handle(message);
        self.settle_barriers(process);
        for instance in self.processes[process.0].instances.clone() {
            self.told(instance, message.clone());
        }
    }

    pub(crate) fn hosted(&self, process: ProcessId, object: ObjectId) -> Option<InstanceId> {
        let instances = &self.processes[process.0].instances;
        instances
            .iter()
            .copied()
            .find(|instance| self.instances[instance.0].object == object)
    }

    /// The link is up; both ends learn of it at moments of their own.
    pub(crate) fn connect(&mut self, id: ConnectionId) {
        let connection = &mut self.connections[id.0];
        if connection.closed || connection.up {
            return;
        }
        if connection.blocked_until > self.now {
            let delay = connection.blocked_until - self.now + 1;
            return self.plan(delay, Event::Connect(id));
        }
        connection.up = true;
        connection.last_arrival = [self.now; 2];
        let epoch = connection.epoch;
        if let [End::Process(process), End::Coordinator(_)] = connection.ends {
            return self.coordinator_link_up(process, id);
        }
        for side in 0..2 {
            let delay = self.random.between(self.config.latency_us);
            self.plan(
                delay,
                Event::LinkUp {
                    connection: id,
                    epoch,
                    side,
                },
            );
        }
    }

    fn coordinator_link_up(&mut self, process: ProcessId, connection: ConnectionId) {
        let known = &self.processes[process.0];
        let world_line = known.is_subscribed.then(|| known.observer.world_line());
        let boundary = known.told.boundary().clone();
        self.send(connection, 0, Wire::Subscribe(world_line, boundary));
        for instance in self.processes[process.0].instances.clone() {
            self.input(instance, Input::CoordinatorLinkUp);
        }
    }

    /// This side learns that the link is up, and what the other side hosts.
    pub(crate) fn link_up(&mut self, id: ConnectionId, epoch: u32, side: usize) {
        let connection = &self.connections[id.0];
        let [End::Process(here), End::Process(there)] =
            [connection.ends[side], connection.ends[1 - side]]
        else {
            unreachable!("links to coordinators are up at once");
        };
        if connection.epoch != epoch || !connection.up || (here == there && side == 1) {
            return;
        }
        for instance in self.processes[there.0].instances.clone() {
            let object = self.instances[instance.0].object;
            self.route(here, object, id, side);
        }
    }

    /// `object` is reached over this link from now on.
    fn route(&mut self, process: ProcessId, object: ObjectId, link: ConnectionId, side: usize) {
        self.processes[process.0]
            .routes
            .insert(object, (link, side));
        for instance in self.processes[process.0].instances.clone() {
            self.input(instance, Input::LinkUp(object));
        }
    }

    /// The link breaks: what is under way is lost, but for a prefix that may come late.
    pub(crate) fn break_connection(&mut self, id: ConnectionId) {
        let connection = &mut self.connections[id.0];
        if !connection.up {
            return;
        }
        connection.up = false;
        let epoch = connection.epoch;
        connection.epoch += 1;
        let under_way = std::mem::take(&mut connection.under_way);
        for (side, count) in under_way.into_iter().enumerate() {
            // A process reads no link to a coordinator after it has opened the next one.
            let to_process_from_coordinator =
                matches!(connection.ends[1 - side], End::Coordinator(_));
            if !to_process_from_coordinator && self.random.chance(self.config.late_permille) {
                let remaining = self.random.below(u64::from(count) + 1);
                let delay_us = self.random.below(4_000);
                connection.tails.push(Tail {
                    epoch,
                    side,
                    remaining,
                    delay_us,
                });
            }
        }
        let ends = connection.ends;
        self.say(format_args!("{ends:?} breaks"));
        for end in ends {
            if let End::Process(process) = end {
                self.reroute(process, id);
            }
        }
        let delay = self.random.between(self.config.reconnect_us);
        self.plan(delay, Event::Connect(id));
    }

    /// Looks for other links to what was reached over a broken one.
    fn reroute(&mut self, process: ProcessId, broken: ConnectionId) {
        let routes = &mut self.processes[process.0].routes;
        let orphans: Vec<_> = routes
            .iter()
            .filter(|&(_, &(link, _))| link == broken)
            .map(|(&object, _)| object)
            .collect();
        routes.retain(|_, (link, _)| *link != broken);
        if !self.processes[process.0].is_alive {
            return;
        }
        for object in orphans {
            let other = (0..self.connections.len()).rev().find_map(|index| {
                let connection = &self.connections[index];
                let side = (0..2).find(|&side| connection.ends[side] == End::Process(process))?;
                let End::Process(there) = connection.ends[1 - side] else {
                    return None;
                };
                let leads_there = connection.up && self.hosted(there, object).is_some();
                leads_there.then_some((ConnectionId(index), side))
            });
            if let Some((link, side)) = other {
                self.route(process, object, link, side);
            }
        }
    }

    /// The link is gone for good.
    pub(crate) fn close(&mut self, id: ConnectionId) {
        self.break_connection(id);
        self.connections[id.0].closed = true;
    }
}

impl Wire {
    /// What arrives when everything travels in its encoding.
    fn through_bytes(self) -> Self {
        const HONEST: &str = "what was encoded can be decoded";
        let header = |header: &Header| Header::decode(&header.encode()).expect(HONEST);
        match self {
            Self::Peer { from, to, message } => Self::Peer {
                from,
                to,
                message: leap_core::PeerMessage::decode(&message.encode()).expect(HONEST),
            },
            Self::ToCoordinator(message) => Self::ToCoordinator(
                leap_core::ToCoordinator::decode(&message.encode()).expect(HONEST),
            ),
            Self::ToParticipant(to, message) => {
                Self::ToParticipant(to, ToParticipant::decode(&message.encode()).expect(HONEST))
            }
            Self::Request {
                sthread,
                to,
                header: from,
                seen,
            } => Self::Request {
                sthread,
                to,
                header: header(&from),
                seen,
            },
            Self::Reply {
                sthread,
                header: from,
                seen,
            } => Self::Reply {
                sthread,
                header: header(&from),
                seen,
            },
            Self::Hosting(_) | Self::Subscribe(..) | Self::Reached(_) => self,
        }
    }
}

/// What an sthread has truly seen, without repetition.
pub(crate) fn merge(seen: &mut Vec<VertexId>, more: &[VertexId]) {
    for &vertex in more {
        if !seen.contains(&vertex) {
            seen.push(vertex);
        }
    }
}
