//! Speculative threads: each detaches from an object, calls others, and ends in a merge or at a
//! barrier whose outcome the outside world sees.

use leap_core::{Admission, BarrierId, Header, SThread};

use crate::{
    checker::Fact,
    instance::{Action, Held},
    network::Wire,
    process::{Process, merge},
    truth::VertexId,
    world::{Event, ProcessId, SThreadId, World},
};

/// How long an sthread waits for an answer before it gives up.
const TIMEOUT_US: u64 = 8_000;

/// An sthread with what it has truly seen.
#[derive(Debug)]
pub(crate) struct Task {
    sthread: SThread,
    seen: Vec<VertexId>,
    steps: u64,
    state: State,
    gives_up_at: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Takes the next step when it is its turn.
    Ready,
    /// Waits for an answer.
    Calling,
    /// An answer from a later world-line waits until this process has heard of that.
    Answered(Header, Vec<VertexId>),
    /// Waits to be merged.
    Merging,
    /// Waits at a barrier.
    AtBarrier,
}

impl World {
    pub(crate) fn spawn_sthread(&mut self) {
        let active: Vec<_> = self
            .instances
            .iter()
            .filter(|instance| instance.is_alive && instance.participant.is_active())
            // It would carry out of an open level what was done there.
            .filter(|instance| instance.guest.levels.open() == 0)
            .map(|instance| instance.id)
            .collect();
        if active.is_empty() {
            return;
        }
        let from = *self.random.pick(&active);
        let instance = &self.instances[from.0];
        let process = instance.process;
        let sthread = SThread::detach(instance.participant.header());
        let seen = self.newest_vertex(from);
        self.next_sthread += 1;
        let id = SThreadId(self.next_sthread);
        let steps = self.random.between(self.config.sthread_steps);
        let gives_up_at = self.now + TIMEOUT_US;
        let task = Task {
            sthread,
            seen,
            steps,
            state: State::Ready,
            gives_up_at,
        };
        self.say(format_args!("{id:?} detaches from {from:?}: {task:?}"));
        self.processes[process.0].sthreads.insert(id, task);
        self.plan(0, Event::StepSThread(process, id));
    }

    pub(crate) fn step_sthread(&mut self, process: ProcessId, id: SThreadId) {
        let hosted = self.processes[process.0].instances.clone();
        let Process {
            observer, sthreads, ..
        } = &mut self.processes[process.0];
        let Some(task) = sthreads.get_mut(&id) else {
            return;
        };
        match task.state.clone() {
            State::AtBarrier => return,
            State::Answered(header, seen) => {
                task.state = State::Calling;
                self.reply(process, id, &header, &seen);
                let delay = 1 + self.random.below(500);
                return self.plan(delay, Event::StepSThread(process, id));
            }
            State::Calling | State::Merging => {
                if self.now >= task.gives_up_at {
                    if task.state == State::Calling {
                        sthreads.remove(&id);
                    }
                    return;
                }
                let delay = task.gives_up_at - self.now;
                return self.plan(delay, Event::StepSThread(process, id));
            }
            State::Ready => {}
        }
        if observer.refresh(&mut task.sthread).is_err() {
            sthreads.remove(&id);
            return;
        }
        if task.steps > 0 {
            task.steps -= 1;
            return self.call(process, id);
        }
        if self.random.chance(500) || hosted.is_empty() {
            task.state = State::AtBarrier;
            let (barrier, sthread) = (BarrierId(id.0 as u64), task.sthread.clone());
            observer.barrier(barrier, sthread);
            self.settle_barriers(process);
        } else {
            task.state = State::Merging;
            let held = Held {
                header: task.sthread.header(),
                seen: task.seen.clone(),
                action: Action::Merge(id),
            };
            let into = *self.random.pick(&hosted);
            self.visit(into, held);
        }
    }

    fn call(&mut self, process: ProcessId, id: SThreadId) {
        let to = self.any_object();
        let known = &mut self.processes[process.0];
        let task = known.sthreads.get_mut(&id).expect("it takes a step");
        task.state = State::Calling;
        task.gives_up_at = self.now + TIMEOUT_US;
        let request = Wire::Request {
            sthread: id,
            to,
            header: task.sthread.header(),
            seen: task.seen.clone(),
        };
        if let Some(&(connection, side)) = known.routes.get(&to) {
            self.send(connection, side, request);
        }
        self.plan(TIMEOUT_US, Event::StepSThread(process, id));
    }

    /// The answer to a call.
    pub(crate) fn reply(
        &mut self,
        process: ProcessId,
        id: SThreadId,
        header: &Header,
        seen: &[VertexId],
    ) {
        let objects = self.newest.len();
        let Process {
            observer, sthreads, ..
        } = &mut self.processes[process.0];
        let Some(task) = sthreads.get_mut(&id) else {
            return;
        };
        if task.state != State::Calling {
            return;
        }
        match observer.consume(&mut task.sthread, header) {
            Ok(Admission::Consumed) => {
                merge(&mut task.seen, seen);
                task.state = State::Ready;
                let (dependencies, world_line) =
                    (task.sthread.seen().clone(), task.sthread.world_line());
                self.observe(&Fact::SThreadConsumed {
                    world_line,
                    message: seen,
                    seen: &dependencies,
                    objects,
                });
                let delay = self.random.below(500);
                self.plan(delay, Event::StepSThread(process, id));
            }
            Ok(Admission::Hold) => {
                task.state = State::Answered(header.clone(), seen.to_vec());
                self.plan(200, Event::StepSThread(process, id));
            }
            // The call was made in a world-line that is over.
            Ok(Admission::Discard { .. }) | Err(_) => {
                sthreads.remove(&id);
            }
            Ok(Admission::SealFirst(_)) => unreachable!("an sthread has no versions"),
        }
    }

    /// Lets the outside world see what has passed its barrier.
    pub(crate) fn settle_barriers(&mut self, process: ProcessId) {
        while let Some(outcome) = self.processes[process.0].observer.poll_outcome() {
            let id = SThreadId(usize::try_from(outcome.barrier.0).expect("few"));
            let task = self.processes[process.0].sthreads.remove(&id);
            if let Some(task) = task.filter(|_| outcome.result.is_ok()) {
                self.release(&task.seen);
            }
        }
    }
}
