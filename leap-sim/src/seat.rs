//! One life of the coordinator, and its driver's part.

use std::collections::{BTreeMap, BTreeSet};

use leap_core::{
    Coordinator, CoordinatorEffect, CoordinatorInput, Ledger, LogRecord, ObjectId, ToParticipant,
    Version, coordinator::LinkId,
};

use crate::{
    checker::Fact,
    instance::Instance,
    network::{ConnectionId, End, Wire},
    news::News,
    world::{Event, ProcessId, SeatId, World},
};

#[derive(Debug)]
pub(crate) struct Seat {
    term: u64,
    pub(crate) is_alive: bool,
    pub(crate) coordinator: Coordinator,
    /// Who has subscribed, over which link in which epoch.
    links: BTreeMap<LinkId, (ConnectionId, u32)>,
    /// The newest link of each life of an object, by the number of its incarnation.
    hosts: BTreeMap<(ObjectId, u64), LinkId>,
    /// Whose messages have come.
    heard: BTreeSet<ObjectId>,
    messages: u64,
    /// Who belonged to the cluster when it began.
    members: BTreeSet<ObjectId>,
    pub(crate) news: News,
}

impl Seat {
    pub(crate) fn links(&self) -> Vec<LinkId> {
        self.links.keys().copied().collect()
    }
}

/// Later links have higher numbers, so a late message cannot lead back to an old one.
fn link_id(connection: ConnectionId, epoch: u32) -> LinkId {
    LinkId(((connection.0 as u64) << 32) | u64::from(epoch))
}

impl World {
    pub(crate) fn start_seat(&mut self) {
        let id = SeatId(self.seats.len());
        let term = id.0 as u64 + 1;
        self.claim_log(term);
        self.observe(&Fact::CoordinatorBegan { term });
        self.say(format_args!("{id:?} begins"));
        let (checkpoint, records) = (self.log.checkpoint.clone(), self.log.records.clone());
        let coordinator = Coordinator::recover(term, checkpoint, records)
            .with_rules(self.rules)
            .with_remembered(self.config.remembered);
        let members = coordinator.members().map(|(object, _)| object).collect();
        self.seats.push(Seat {
            term,
            is_alive: true,
            coordinator,
            links: BTreeMap::new(),
            hosts: BTreeMap::new(),
            heard: BTreeSet::new(),
            messages: 0,
            members,
            news: News::default(),
        });
        self.obey_seat(id);
        for connection in 0..self.connections.len() {
            if matches!(self.connections[connection].ends[1], End::Coordinator(_)) {
                let delay = self.random.below(3_000);
                self.plan(delay, Event::LeaveCoordinator(ConnectionId(connection)));
            }
        }
    }

    fn claim_log(&mut self, term: u64) {
        if self.is_fencing {
            self.land_some_records();
        }
        // A checkpoint that is not durable by now never will be.
        self.log.writing = None;
        self.log.owner = term;
    }

    /// Of what is under way to the log a prefix lands, the rest never does.
    fn land_some_records(&mut self) {
        let landing = self.random.index(self.log.pending.len() + 1);
        let delay = self.random.between(self.config.latency_us);
        for _ in 0..landing {
            if let Some(seat) = self.land_record(u64::MAX) {
                self.plan(delay, Event::RecordLogged(seat));
            }
        }
        self.log.pending.clear();
    }

    pub(crate) fn crash_seat(&mut self, id: SeatId, downtime_us: u64) {
        if !std::mem::replace(&mut self.seats[id.0].is_alive, false) {
            return;
        }
        self.say(format_args!("{id:?} ends"));
        if self.log.owner == self.seats[id.0].term {
            self.land_some_records();
            self.plan(downtime_us, Event::StartSeat);
        }
        for connection in 0..self.connections.len() {
            if self.connections[connection].ends[1] == End::Coordinator(id) {
                self.leave_coordinator(ConnectionId(connection));
            }
        }
    }

    /// A process looks for the coordinator, and may find one that is superseded.
    pub(crate) fn find_coordinator(&mut self, process: ProcessId) {
        let known = &self.processes[process.0];
        if !known.is_alive || known.coordinator.is_some() {
            return;
        }
        let alive: Vec<_> = (0..self.seats.len())
            .filter(|&seat| self.seats[seat].is_alive)
            .collect();
        let newest = alive.last().copied();
        let seat = match self.is_healed {
            false if self.random.chance(100) => alive.first().copied(),
            _ => newest,
        };
        match seat {
            Some(seat) => {
                let ends = [End::Process(process), End::Coordinator(SeatId(seat))];
                let connection = self.open_connection(ends);
                self.processes[process.0].coordinator = Some(connection);
                if Some(seat) != newest {
                    let delay = self.random.below(3_000);
                    self.plan(delay, Event::LeaveCoordinator(connection));
                }
            }
            None => {
                let delay = self.random.between(self.config.reconnect_us);
                self.plan(delay, Event::FindCoordinator(process));
            }
        }
    }

    /// A process gives up a link to a coordinator that is gone or superseded.
    pub(crate) fn leave_coordinator(&mut self, id: ConnectionId) {
        let End::Process(process) = self.connections[id.0].ends[0] else {
            unreachable!("a process is at the near end");
        };
        if self.processes[process.0].coordinator == Some(id) {
            self.close(id);
            self.processes[process.0].coordinator = None;
            let delay = self.random.between(self.config.reconnect_us);
            self.plan(delay, Event::FindCoordinator(process));
        }
    }

    pub(crate) fn arrive_at_seat(
        &mut self,
        id: SeatId,
        connection: ConnectionId,
        epoch: u32,
        wire: Wire,
    ) {
        let link = link_id(connection, epoch);
        let seat = &mut self.seats[id.0];
        let input = match wire {
            Wire::Subscribe(world_line, boundary) => {
                seat.links.insert(link, (connection, epoch));
                CoordinatorInput::Subscribe {
                    link,
                    world_line,
                    boundary,
                }
            }
            Wire::ToCoordinator(message) => {
                let (object, incarnation) = message.sender();
                let sender = (object, incarnation.0);
                let host = seat.hosts.entry(sender).or_insert(link);
                *host = link.max(*host);
                seat.heard.insert(object);
                CoordinatorInput::Message(message)
            }
            _ => unreachable!("coordinators are told nothing else"),
        };
        self.input_seat(id, input);
    }

    pub(crate) fn input_seat(&mut self, id: SeatId, input: CoordinatorInput) {
        let seat = &mut self.seats[id.0];
        if seat.is_alive {
            seat.messages += 1;
            seat.coordinator.handle(input);
            if seat.coordinator.is_superseded() {
                return self.crash_seat(id, 0);
            }
            self.obey_seat(id);
            self.judge_quiet(id);
        }
    }

    fn obey_seat(&mut self, id: SeatId) {
        while let Some(effect) = self.seats[id.0].coordinator.poll_effect() {
            self.trace.mix(&effect);
            self.say(format_args!("{id:?} {effect:?}"));
            match effect {
                CoordinatorEffect::Log(record) => self.append_record(id, record),
                CoordinatorEffect::Checkpoint(ledger) => self.write_checkpoint(id, ledger),
                CoordinatorEffect::ToLink(link, message) => {
                    self.judge_published(id, &message);
                    self.send_over(id, link, Wire::ToParticipant(None, message));
                }
                CoordinatorEffect::ToObject(object, incarnation, message) => {
                    self.judge_published(id, &message);
                    let to = (object, incarnation);
                    if let Some(&link) = self.seats[id.0].hosts.get(&(object, incarnation.0)) {
                        self.send_over(id, link, Wire::ToParticipant(Some(to), message));
                    }
                }
                CoordinatorEffect::Broadcast(message) => {
                    self.judge_published(id, &message);
                    if let ToParticipant::Boundary(advanced) = message {
                        self.hold_news(id, advanced);
                        continue;
                    }
                    // After a restart nobody knows who has acknowledged what: the first gather asks.
                    if matches!(&message, ToParticipant::Gather { gather } if gather.number > 1) {
                        self.judge_repair(id);
                    }
                    // Everybody hears of things in the order in which they happened.
                    self.spread_news(id);
                    self.broadcast(id, &message);
                }
            }
        }
    }

    pub(crate) fn broadcast(&mut self, id: SeatId, message: &ToParticipant) {
        for link in self.seats[id.0].links() {
            self.send_over(id, link, Wire::ToParticipant(None, message.clone()));
        }
    }

    pub(crate) fn send_over(&mut self, id: SeatId, link: LinkId, wire: Wire) {
        let Some(&(connection, epoch)) = self.seats[id.0].links.get(&link) else {
            return;
        };
        let known = &self.connections[connection.0];
        if known.epoch == epoch && known.up {
            self.send(connection, 1, wire);
        } else {
            self.seats[id.0].links.remove(&link);
        }
    }
}

/// The log.
impl World {
    fn append_record(&mut self, id: SeatId, record: LogRecord) {
        if matches!(record, LogRecord::Decided { .. }) {
            self.judge_repair(id);
        }
        let term = self.seats[id.0].term;
        if term < self.log.owner && self.is_fencing {
            // Refused. It learns so and gives up.
            let delay = self.random.between(self.config.log_us);
            return self.plan(delay, Event::CrashSeat(id, 0));
        }
        let delay = self.random.between(self.config.log_us);
        let due = self.log.last_due.max(self.now + delay);
        self.log.last_due = due;
        self.log.pending.push_back((term, due, record));
        self.plan(due - self.now, Event::LogDue);
        if let Some(downtime_us) = self.crash_while_logging.take() {
            let delay = self.random.below(due - self.now + 1);
            self.plan(delay, Event::CrashSeat(id, downtime_us));
        }
    }

    /// Written at leisure, beside the records.
    fn write_checkpoint(&mut self, id: SeatId, ledger: Ledger) {
        let term = self.seats[id.0].term;
        if term < self.log.owner && self.is_fencing {
            let delay = self.random.between(self.config.log_us);
            return self.plan(delay, Event::CrashSeat(id, 0));
        }
        let ledger = match self.config.encoded {
            true => Ledger::decode(&ledger.encode()).expect("what was encoded"),
            false => ledger,
        };
        let uncommitted = self.truth.all().filter(|(_, v)| !v.committed && !v.lost);
        // Each object is a member, was cut, and may have been removed.
        let allowed = 3 * self.newest.len() + self.config.remembered + uncommitted.count();
        self.observe(&Fact::LogShortened {
            entries: ledger.len(),
            allowed,
        });
        self.log.writing = Some((term, self.log.records.len(), ledger));
        let delay = self.random.between(self.config.log_us);
        self.plan(delay, Event::CheckpointDue(term));
    }

    pub(crate) fn checkpoint_due(&mut self, term: u64) {
        self.log.take_checkpoint(term);
    }

    pub(crate) fn log_due(&mut self) {
        if let Some(seat) = self.land_record(self.now) {
            self.record_logged(seat);
        }
    }

    pub(crate) fn record_logged(&mut self, seat: SeatId) {
        self.input_seat(seat, CoordinatorInput::Logged);
    }

    fn land_record(&mut self, now: u64) -> Option<SeatId> {
        let (term, record) = self.log.take_due(now)?;
        self.say(format_args!("logged: {record:?}"));
        let seat = usize::try_from(term).expect("few") - 1;
        if let LogRecord::Decided {
            decision,
            boundary,
            blindly: true,
        } = &record
        {
            self.truth.trust(decision, boundary);
        }
        self.observe(&Fact::Logged {
            term,
            record: &record,
        });
        if let &LogRecord::Joined { object, keep, .. } = &record {
            let lost = self.truth.come_back(object, keep);
            self.lose(lost);
        }
        if let LogRecord::Decided {
            decision,
            boundary,
            blindly,
        } = &record
        {
            for seat in &mut self.seats {
                seat.members
                    .retain(|&member| !decision.is_removal_of(member));
            }
            for vertex in self.truth.remove(decision, boundary, *blindly) {
                self.observe(&Fact::Lost { vertex });
            }
        }
        self.log.records.push(record);
        Some(SeatId(seat))
    }
}

/// Judging.
impl World {
    /// A repair goes on: who takes part and has not yet entered the world-line that the one before opened?
    fn judge_repair(&mut self, id: SeatId) {
        let seat = &self.seats[id.0];
        if seat.term < self.log.owner {
            return;
        }
        let world_line = seat.coordinator.world_line();
        let lives = |instance: &&Instance| instance.is_alive && !instance.is_superseded;
        let behind: Vec<_> = self
            .instances
            .iter()
            .filter(lives)
            .filter(|instance| seat.coordinator.has_member(instance.object))
            .filter(|instance| instance.entered.is_some_and(|entered| entered < world_line))
            .map(|instance| instance.object)
            .collect();
        self.observe(&Fact::Repairs {
            world_line,
            behind: &behind,
        });
    }

    fn judge_published(&mut self, id: SeatId, message: &ToParticipant) {
        let (boundary, whole) = match message {
            ToParticipant::Welcome { boundary, .. } | ToParticipant::Admit { boundary, .. } => {
                (boundary, true)
            }
            ToParticipant::Boundary(advanced) => (advanced, false),
            _ => return,
        };
        if boundary.is_empty() {
            return;
        }
        let vertices: Vec<_> = boundary
            .iter()
            .filter_map(|(&object, &version)| self.truth.durable(object, version))
            .collect();
        let seat = &self.seats[id.0];
        let (members, heard) = (seat.members.clone(), seat.heard.clone());
        let term = seat.term;
        self.observe(&Fact::Published {
            term,
            boundary,
            whole,
            members: &members,
            heard: &heard,
        });
        self.truth.commit(&vertices);
    }

    /// Now and then, when the coordinator has been told all that there is, compares its boundary with
    /// the true one.
    fn judge_quiet(&mut self, id: SeatId) {
        let seat = &self.seats[id.0];
        if !seat.messages.is_multiple_of(8)
            || id.0 + 1 != self.seats.len()
            || !self.has_been_told_all(id)
        {
            return;
        }
        let seat = &self.seats[id.0];
        let boundary: Option<BTreeMap<ObjectId, Version>> = seat.coordinator.boundary();
        if let Some(boundary) = boundary.filter(|_| seat.coordinator.waiting_for().is_empty()) {
            self.observe(&Fact::Quiet {
                boundary: &boundary,
            });
        }
    }

    fn has_been_told_all(&self, id: SeatId) -> bool {
        let world_line = self.seats[id.0].coordinator.world_line();
        self.newest.iter().enumerate().all(|(index, newest)| {
            newest.is_some_and(|newest| {
                let instance = &self.instances[newest.0];
                let process = &self.processes[instance.process.0];
                let link = process.coordinator.map(|link| &self.connections[link.0]);
                let is_idle = |link: &crate::network::Connection| {
                    link.up && link.under_way == [0; 2] && link.ends[1] == End::Coordinator(id)
                };
                !self.away[index]
                    && instance.is_alive
                    && instance.participant.is_active()
                    && instance.participant.world_line() == world_line
                    && link.is_some_and(is_idle)
            })
        }) && self.log.pending.is_empty()
    }
}
