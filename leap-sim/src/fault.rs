//! How faults strike.

use leap_core::message::FragmentVersion;
use leap_core::{
    CoordinatorInput, DependencySet, Fragment, Input, ObjectId, ToCoordinator, Version,
};

use crate::{
    config::Fault,
    guest::slot,
    network::{ConnectionId, End},
    storage,
    world::{Event, InstanceId, ProcessId, SeatId, World},
};

impl World {
    pub(crate) fn strike(&mut self, fault: Fault) {
        self.say(format_args!("{fault:?}"));
        match fault {
            Fault::CrashProcess {
                target,
                downtime_us,
            } => {
                if let Some(process) = self.some_process(target) {
                    self.crash_process(process, downtime_us);
                }
            }
            Fault::ReplaceProcess {
                target,
                isolated_us,
            } => {
                if let Some(process) = self.some_process(target) {
                    self.isolate(End::Process(process), isolated_us, 800);
                    let known = &self.processes[process.0];
                    if !known.is_superseded {
                        self.plan(0, Event::StartProcess(known.place));
                    }
                }
            }
            Fault::RestartObject {
                target,
                downtime_us,
            } => {
                if let Some(instance) = self.some_instance(target) {
                    self.kill_and_restart(instance, Some(downtime_us));
                }
            }
            Fault::FailWrite {
                target,
                downtime_us,
            } => self.fail_write(target, downtime_us),
            Fault::SlowStorage {
                target,
                duration_us,
            } => {
                let object = self.some_object(target);
                self.journals[slot(object)].slow_until = self.now + duration_us;
            }
            Fault::BreakLink {
                target,
                downtime_us,
            } => self.break_some_link(target, downtime_us),
            Fault::Isolate {
                target,
                duration_us,
            } => {
                let end = match (self.seats.len(), self.some_process(target)) {
                    (seats @ 1.., Some(_)) if target % 4 == 0 => {
                        End::Coordinator(SeatId(seats - 1))
                    }
                    (_, Some(process)) => End::Process(process),
                    _ => return,
                };
                self.isolate(end, duration_us, 700);
            }
            Fault::CrashCoordinator { downtime_us } => {
                if let Some(seat) = self.newest_seat() {
                    self.crash_seat(seat, downtime_us);
                }
            }
            Fault::ReplaceCoordinator => {
                if self.newest_seat().is_some() {
                    self.start_seat();
                }
            }
            Fault::CrashWhileLogging { downtime_us } => {
                self.crash_while_logging = Some(downtime_us);
            }
            Fault::Leave { target } => self.leave(target),
            Fault::Stranger { target } => self.let_stranger_speak(self.some_object(target)),
            Fault::Remove {
                target,
                lives,
                back_after_us,
            } => self.remove(self.some_object(target), lives, back_after_us),
        }
    }

    fn remove(&mut self, object: ObjectId, lives: bool, back_after_us: Option<u64>) {
        let newest = self.newest[slot(object)];
        if let Some(newest) = newest.filter(|_| !lives) {
            self.gone[slot(object)] = true;
            self.kill(newest);
        }
        if let Some(back_after_us) = back_after_us {
            self.plan(back_after_us, Event::Reappear(object));
        }
        let delay = self.random.below(2_000);
        self.plan(delay, Event::AskRemoval(object));
    }

    /// Asks for a removal until the coordinator has it on record. Whoever lives is asked for once.
    pub(crate) fn ask_removal(&mut self, object: ObjectId) {
        if let Some(seat) = self.newest_seat() {
            self.input_seat(seat, CoordinatorInput::Remove(object));
        }
        if self.gone[slot(object)] {
            self.plan(500, Event::AskRemoval(object));
        }
    }

    pub(crate) fn reappear(&mut self, object: ObjectId) {
        if std::mem::replace(&mut self.gone[slot(object)], false) {
            self.start_object(object);
        }
    }

    /// A process that hosts `object` by mistake, in another storage or in a copy of this one, talks to the coordinator.
    fn let_stranger_speak(&mut self, object: ObjectId) {
        let Some(seat) = self.newest_seat() else {
            return;
        };
        let coordinator = &self.seats[seat.0].coordinator;
        // Where nobody is it might be let in.
        let life = coordinator.life_of(object);
        let Some(life) = life.filter(|_| coordinator.has_member(object)) else {
            return;
        };
        let world_line = coordinator.world_line();
        let incarnation = storage::stranger(object, life, self.random.draw());
        let version = Version(self.random.below(12));
        let dependencies = DependencySet::default();
        let fragment = Fragment {
            world_line,
            committed: version,
            versions: vec![FragmentVersion {
                version: version.next(),
                world_line,
                dependencies: dependencies.clone(),
                durable: true,
            }],
        };
        let message = match self.random.below(4) {
            0 | 1 => ToCoordinator::Join {
                object,
                incarnation,
                fragment,
            },
            2 => ToCoordinator::Persisted {
                object,
                incarnation,
                world_line,
                version,
                dependencies,
            },
            _ => ToCoordinator::Leave {
                object,
                incarnation,
                version,
            },
        };
        self.input_seat(seat, CoordinatorInput::Message(message));
    }

    fn newest_seat(&self) -> Option<SeatId> {
        let newest = self.seats.len().checked_sub(1)?;
        self.seats[newest].is_alive.then_some(SeatId(newest))
    }

    fn some_object(&self, target: u64) -> ObjectId {
        ObjectId(target % self.newest.len() as u64)
    }

    fn some_process(&self, target: u64) -> Option<ProcessId> {
        let alive: Vec<_> = self
            .processes
            .iter()
            .filter(|process| process.is_alive)
            .collect();
        let index = usize::try_from(target).ok()?.checked_rem(alive.len())?;
        Some(alive[index].id)
    }

    fn some_instance(&self, target: u64) -> Option<InstanceId> {
        self.newest[slot(self.some_object(target))]
            .filter(|instance| self.instances[instance.0].is_alive)
    }

    fn crash_process(&mut self, process: ProcessId, downtime_us: u64) {
        let known = &self.processes[process.0];
        let (place, is_superseded) = (known.place, known.is_superseded);
        self.kill_process(process);
        if !is_superseded {
            self.plan(downtime_us, Event::StartProcess(place));
        }
    }

    /// The object's front write fails: it stops, and what comes after that write is lost as well.
    fn fail_write(&mut self, target: u64, downtime_us: u64) {
        let Some(instance) = self.some_instance(target) else {
            return;
        };
        let object = self.instances[instance.0].object;
        self.journals[slot(object)].pending.clear();
        self.kill_and_restart(instance, Some(downtime_us));
    }

    fn break_some_link(&mut self, target: u64, downtime_us: u64) {
        let breakable: Vec<_> = (0..self.connections.len())
            .filter(|&index| {
                let connection = &self.connections[index];
                connection.up && connection.ends[0] != connection.ends[1]
            })
            .collect();
        if let Some(index) = usize::try_from(target)
            .ok()
            .and_then(|target| target.checked_rem(breakable.len()))
        {
            self.cut(ConnectionId(breakable[index]), downtime_us);
        }
    }

    fn cut(&mut self, connection: ConnectionId, downtime_us: u64) {
        self.connections[connection.0].blocked_until = self.now + downtime_us;
        self.break_connection(connection);
    }

    /// Cuts most of the links of one end.
    fn isolate(&mut self, end: End, duration_us: u64, permille: u64) {
        for index in 0..self.connections.len() {
            let ends = self.connections[index].ends;
            if ends.contains(&end) && ends[0] != ends[1] && self.random.chance(permille) {
                self.cut(ConnectionId(index), duration_us);
            }
        }
    }

    fn leave(&mut self, target: u64) {
        let Some(instance) = self.some_instance(target) else {
            return;
        };
        if self.instances[instance.0].participant.is_active() {
            self.instances[instance.0].is_leaving = true;
            self.input(instance, Input::Leave);
        }
    }
}
