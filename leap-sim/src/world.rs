//! The world of one run: simulated time, and all that lives in it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use leap_core::{Coordinator, ObjectId, PersistTicket, Rules};

use crate::{
    checker::{Checkers, Fact, RequestAtRest, Rest, Violation},
    client::Request,
    config::{Config, Fault},
    guest::{Account, slot},
    instance::{Action, Instance},
    network::{Connection, ConnectionId, Wire},
    process::Process,
    random::Random,
    seat::Seat,
    storage::{Journal, Log},
    trace::Trace,
    truth::{Truth, VertexId},
};

macro_rules! index {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub(crate) struct $name(pub(crate) usize);
    };
}

index!(
    /// One life of an OS process.
    ProcessId
);
index!(
    /// One incarnation of an object.
    InstanceId
);
index!(
    /// One life of the coordinator.
    SeatId
);
index!(
    /// One sthread.
    SThreadId
);
index!(
    /// A message that a guest has received, or something that it has made for others.
    ItemId
);

/// What happens at some moment.
#[derive(Debug, Hash)]
pub(crate) enum Event {
    Arrive {
        connection: ConnectionId,
        epoch: u32,
        side: usize,
        is_late: bool,
        wire: Box<Wire>,
    },
    Connect(ConnectionId),
    LinkUp {
        connection: ConnectionId,
        epoch: u32,
        side: usize,
    },
    FindCoordinator(ProcessId),
    LeaveCoordinator(ConnectionId),
    JournalDue(ObjectId),
    /// The completion of a write that storage took just before it was claimed by the next life.
    Persisted(InstanceId, PersistTicket),
    LogDue,
    /// What lingers with this coordinator is told to everybody.
    SpreadNews(SeatId),
    /// The checkpoint of the log that this coordinator writes is durable.
    CheckpointDue(u64),
    /// The same for a record of the log.
    RecordLogged(SeatId),
    EndAction(InstanceId, Box<Action>),
    EndRestore(InstanceId),
    SealTimer(InstanceId),
    /// The guest may change its levels.
    LevelTimer(InstanceId),
    RetryHeld(InstanceId),
    Kill {
        instance: InstanceId,
        downtime_us: Option<u64>,
    },
    StartProcess(usize),
    StartObject(ObjectId),
    StartSeat,
    CrashSeat(SeatId, u64),
    TryRequest(usize),
    ArriveRequest(usize, InstanceId),
    SpawnSThread,
    StepSThread(ProcessId, SThreadId),
    Fault(Fault),
    /// Somebody asks the coordinator to remove this object, until it is removed or back.
    AskRemoval(ObjectId),
    /// An object that would never come back does.
    Reappear(ObjectId),
    Heal,
    CheckRest,
}

/// An event in line; events of one moment happen in the order in which they were planned.
#[derive(Debug)]
struct Planned {
    key: Reverse<(u64, u64)>,
    event: Event,
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Planned {}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Planned {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

/// How often the world looks whether all has come to rest, once faults are over.
const REST_EVERY_US: u64 = 2_000;

/// When a world that has not come to rest since faults are over is said to hang.
const PATIENCE_US: u64 = 300_000;

pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) rules: Rules,
    /// Whether storage refuses superseded writers; off only in the canary of rule P12.
    pub(crate) is_fencing: bool,
    pub(crate) random: Random,
    pub(crate) now: u64,
    pub(crate) trace: Trace,
    pub(crate) truth: Truth,
    pub(crate) violation: Option<Violation>,
    pub(crate) is_healed: bool,

    pub(crate) processes: Vec<Process>,
    /// For each place, the process that is there now.
    pub(crate) places: Vec<Option<ProcessId>>,
    pub(crate) instances: Vec<Instance>,
    /// For each object, its newest life.
    pub(crate) newest: Vec<Option<InstanceId>>,
    /// Objects that have left and are not back.
    pub(crate) away: Vec<bool>,
    /// Objects that do not come back by themselves.
    pub(crate) gone: Vec<bool>,
    /// Objects that can never come back after their removal: see [`Truth::is_beyond_return`].
    pub(crate) banned: Vec<bool>,
    pub(crate) seats: Vec<Seat>,
    pub(crate) crash_while_logging: Option<u64>,
    pub(crate) connections: Vec<Connection>,
    pub(crate) journals: Vec<Journal>,
    pub(crate) log: Log,
    pub(crate) requests: Vec<Request>,
    pub(crate) next_output: u64,
    pub(crate) next_sthread: usize,
    pub(crate) next_item: usize,
    pub(crate) events: u64,

    checkers: Checkers,
    planned: BinaryHeap<Planned>,
    order: u64,
    /// When what goes on now began: after it, the world has to come to rest.
    calm_since: u64,
    at_rest: bool,
}

impl World {
    pub(crate) fn new(
        config: Config,
        random: Random,
        rules: Rules,
        is_fencing: bool,
        keep_lines: bool,
    ) -> Self {
        let objects = config.placement.len();
        let places = config.placement.iter().max().map_or(0, |&last| last + 1);
        Self {
            rules,
            is_fencing,
            random,
            now: 0,
            trace: Trace::new(keep_lines),
            truth: Truth::default(),
            violation: None,
            is_healed: false,
            processes: Vec::new(),
            places: vec![None; places],
            instances: Vec::new(),
            newest: vec![None; objects],
            away: vec![false; objects],
            gone: vec![false; objects],
            banned: vec![false; objects],
            seats: Vec::new(),
            crash_while_logging: None,
            connections: Vec::new(),
            journals: (0..objects).map(|_| Journal::default()).collect(),
            log: Log::default(),
            requests: Vec::new(),
            next_output: 0,
            next_sthread: 0,
            next_item: 0,
            events: 0,
            checkers: Checkers::default(),
            planned: BinaryHeap::new(),
            order: 0,
            calm_since: 0,
            at_rest: false,
            config,
        }
    }

    /// Runs until everything has come to rest or a rule is violated.
    pub(crate) fn run(&mut self) {
        self.plan_all();
        while self.violation.is_none() && !self.at_rest {
            let Some(Planned {
                key: Reverse((at, _)),
                event,
            }) = self.planned.pop()
            else {
                return self.violate("liveness", "nothing is left to happen".to_owned());
            };
            self.now = at;
            self.events += 1;
            self.trace.mix(&(at, &event));
            self.happen(event);
        }
    }

    fn plan_all(&mut self) {
        self.plan(0, Event::StartSeat);
        for place in 0..self.places.len() {
            let delay = self.random.below(300);
            self.plan(delay, Event::StartProcess(place));
        }
        self.plan_requests();
        for _ in 0..self.config.sthreads {
            let at = self.random.below(self.config.heal_us);
            self.plan(at, Event::SpawnSThread);
        }
        for (at, fault) in self.config.faults.clone() {
            self.plan(at, Event::Fault(fault));
        }
        self.plan(self.config.heal_us, Event::Heal);
    }

    /// Plans an event for `delay_us` from now.
    pub(crate) fn plan(&mut self, delay_us: u64, event: Event) {
        self.order += 1;
        let key = Reverse((self.now + delay_us, self.order));
        self.planned.push(Planned { key, event });
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive {
                connection,
                epoch,
                side,
                is_late,
                wire,
            } => self.arrive(connection, epoch, side, is_late, wire),
            Event::Connect(connection) => self.connect(connection),
            Event::LinkUp {
                connection,
                epoch,
                side,
            } => self.link_up(connection, epoch, side),
            Event::FindCoordinator(process) => self.find_coordinator(process),
            Event::LeaveCoordinator(connection) => self.leave_coordinator(connection),
            Event::JournalDue(object) => self.journal_due(object),
            Event::Persisted(instance, ticket) => self.persisted(instance, ticket),
            Event::LogDue => self.log_due(),
            Event::SpreadNews(seat) => self.news_due(seat),
            Event::CheckpointDue(term) => self.checkpoint_due(term),
            Event::RecordLogged(seat) => self.record_logged(seat),
            Event::EndAction(instance, action) => self.end_action(instance, &action),
            Event::EndRestore(instance) => self.end_restore(instance),
            Event::SealTimer(instance) => self.seal_timer(instance),
            Event::LevelTimer(instance) => self.level_timer(instance),
            Event::RetryHeld(instance) => self.pump(instance),
            Event::Kill {
                instance,
                downtime_us,
            } => self.kill_and_restart(instance, downtime_us),
            Event::StartProcess(place) => self.start_process(place),
            Event::StartObject(object) => self.start_object(object),
            Event::StartSeat => self.start_seat(),
            Event::CrashSeat(seat, downtime_us) => self.crash_seat(seat, downtime_us),
            Event::TryRequest(request) => self.try_request(request),
            Event::ArriveRequest(request, instance) => self.arrive_request(request, instance),
            Event::SpawnSThread => self.spawn_sthread(),
            Event::StepSThread(process, sthread) => self.step_sthread(process, sthread),
            Event::Fault(fault) => self.strike(fault),
            Event::AskRemoval(object) => self.ask_removal(object),
            Event::Reappear(object) => self.reappear(object),
            Event::Heal => self.heal(),
            Event::CheckRest => self.check_rest(),
        }
    }
}

/// Judging.
impl World {
    /// Lets the checkers judge a fact.
    pub(crate) fn observe(&mut self, fact: &Fact<'_>) {
        if self.violation.is_none() {
            self.violation = self.checkers.observe(&self.truth, fact).err();
        }
    }

    pub(crate) fn violate(&mut self, checker: &'static str, reason: String) {
        self.violation.get_or_insert(Violation { checker, reason });
    }

    pub(crate) fn say(&mut self, line: std::fmt::Arguments<'_>) {
        self.trace.line(self.now, line);
    }

    /// These vertices are gone for good.
    pub(crate) fn lose(&mut self, vertices: impl IntoIterator<Item = VertexId>) {
        for vertex in vertices {
            if self.truth.lose(vertex) {
                self.observe(&Fact::Lost { vertex });
            }
        }
    }

    /// The outside world learns something that depends on these.
    pub(crate) fn release(&mut self, depends_on: &[VertexId]) {
        self.observe(&Fact::Released { depends_on });
        self.truth.release(depends_on);
    }
}

/// The end of all faults.
impl World {
    fn heal(&mut self) {
        self.say(format_args!("all faults stop"));
        self.is_healed = true;
        self.crash_while_logging = None;
        for journal in &mut self.journals {
            journal.slow_until = 0;
        }
        for connection in &mut self.connections {
            connection.blocked_until = 0;
        }
        self.calm_since = self.now;
        self.plan(REST_EVERY_US, Event::CheckRest);
    }

    /// First everything must come to rest without those who are gone; then they come back, and
    /// everything must come to rest with them.
    fn check_rest(&mut self) {
        let somebody_is_gone = self.gone.contains(&true);
        let unrest = match somebody_is_gone {
            true => self.unrest_without_the_gone(),
            false => self.unrest(),
        };
        if let Some(reason) = unrest {
            if self.now > self.calm_since + PATIENCE_US {
                self.violate("liveness", reason);
            }
            return self.plan(REST_EVERY_US, Event::CheckRest);
        }
        if somebody_is_gone {
            self.calm_since = self.now;
            for object in 0..self.gone.len() {
                self.reappear(ObjectId(object as u64));
            }
            return self.plan(REST_EVERY_US, Event::CheckRest);
        }
        let rest = self.rest();
        self.observe(&Fact::Converged(&rest));
        self.at_rest = true;
    }

    /// The newest coordinator, when it waits for nobody; or what keeps it from that.
    fn calm_coordinator(&self) -> Result<&Coordinator, String> {
        let seat = self.seats.last().filter(|seat| seat.is_alive);
        let coordinator = &seat.ok_or("there is no coordinator")?.coordinator;
        let waiting_for = coordinator.waiting_for();
        if waiting_for.is_empty() {
            Ok(coordinator)
        } else {
            Err(format!("the coordinator waits for {waiting_for:?}"))
        }
    }

    /// What keeps those who are there from going on without those who are gone.
    fn unrest_without_the_gone(&self) -> Option<String> {
        let coordinator = match self.calm_coordinator() {
            Ok(coordinator) => coordinator,
            Err(reason) => return Some(reason),
        };
        (0..self.newest.len()).find_map(|index| match self.gone[index] {
            true => coordinator
                .has_member(ObjectId(index as u64))
                .then(|| format!("o{index} is still a member")),
            false => self.unsettled(index, coordinator),
        })
    }

    /// What keeps an object from being all committed.
    fn unsettled(&self, index: usize, coordinator: &Coordinator) -> Option<String> {
        if self.banned[index] {
            return None;
        }
        let Some(boundary) = coordinator.boundary() else {
            return Some("the coordinator does not know the boundary".to_owned());
        };
        let Some(newest) = self.newest[index].filter(|_| !self.away[index]) else {
            return Some(format!("o{index} is not there"));
        };
        let instance = &self.instances[newest.0];
        let told = boundary.get(&instance.object).copied().unwrap_or_default();
        let unsettled = instance.unsettled(coordinator.world_line()).or_else(|| {
            (told != instance.participant.latest()).then(|| format!("the boundary is at {told:?}"))
        });
        unsettled.map(|unsettled| format!("o{index}: {unsettled}"))
    }

    /// What keeps the world from being at rest.
    fn unrest(&self) -> Option<String> {
        let is_due = |request: &Request| !request.answered && !self.banned[slot(request.object)];
        if let Some(request) = self.requests.iter().position(is_due) {
            return Some(format!("request {request} is not answered"));
        }
        let coordinator = match self.calm_coordinator() {
            Ok(coordinator) => coordinator,
            Err(reason) => return Some(reason),
        };
        for (index, newest) in self.newest.iter().enumerate() {
            if self.banned[index] {
                continue;
            }
            let busy = || newest.and_then(|newest| self.instances[newest.0].busy(&self.banned));
            if let Some(unrest) = self.unsettled(index, coordinator).or_else(busy) {
                return Some(unrest);
            }
        }
        if self
            .journals
            .iter()
            .any(|journal| !journal.pending.is_empty())
        {
            return Some("writes are under way".to_owned());
        }
        if self.log.writing.is_some() {
            return Some("the log is being shortened".to_owned());
        }
        let zombie = self
            .instances
            .iter()
            .find(|instance| instance.is_alive && instance.is_superseded);
        if let Some(zombie) = zombie {
            return Some(format!("{:?} lives on, superseded", zombie.id));
        }
        let sthread = self
            .processes
            .iter()
            .find(|process| process.is_alive && !process.sthreads.is_empty());
        sthread.map(|process| format!("sthreads wait: {:?}", process.sthreads))
    }

    fn rest(&self) -> Rest {
        let accounts: BTreeMap<ObjectId, _> = self
            .newest
            .iter()
            .flatten()
            .map(|id| &self.instances[id.0])
            .map(|instance| (instance.object, instance))
            .filter(|&(object, _)| !self.banned[slot(object)])
            .collect();
        let passed_to_banned = |account: &Account| -> i64 {
            let banned = (0..self.banned.len()).filter(|&index| self.banned[index]);
            banned.map(|index| account.passed[index]).sum()
        };
        let mut rest = Rest {
            tokens: accounts
                .values()
                .map(|instance| &instance.guest.account)
                .map(|account| account.balance + passed_to_banned(account))
                .sum(),
            tokens_at_start: 0,
            lives: accounts.values().map(|instance| instance.id).collect(),
            graph: self
                .seats
                .last()
                .map_or(0, |seat| seat.coordinator.uncommitted()),
            log: (
                self.log.records.len(),
                2 * self.newest.iter().flatten().count(),
            ),
            ..Rest::default()
        };
        for (number, request) in self.requests.iter().enumerate() {
            let number = u32::try_from(number).expect("runs are short");
            let found = accounts
                .values()
                .filter(|instance| instance.guest.account.requests.contains(&number));
            rest.requests.push(RequestAtRest {
                number,
                answered: request.answered,
                found: found.count(),
                is_banned: self.banned[slot(request.object)],
            });
        }
        for (&from, sender) in &accounts {
            for (&to, receiver) in &accounts {
                let sent = sender.guest.account.sent[slot(to)];
                let received = receiver.guest.account.received[slot(from)];
                rest.channels.push((from, to, sent, received));
            }
        }
        for (&object, instance) in &accounts {
            let journal = &self.journals[slot(object)];
            // A rollback may remove the newest checkpoint.
            let allowed = 2 * usize::try_from(self.config.checkpoint_every).expect("small") + 1;
            let stored = journal.versions.len();
            rest.stored.push((object, stored, allowed));
            let kept = instance.unacknowledged(&self.banned);
            let held = instance.participant.held();
            rest.kept.push((object, kept, held));
        }
        rest
    }
}
