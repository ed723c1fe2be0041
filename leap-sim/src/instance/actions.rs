//! The actions of an object: what starts one, its two halves, and what it gives to others.

use leap_core::{Admission, Header, Input, ObjectId, OutputId};

use super::{Delivery, Waiting};
use crate::{
    checker::Fact,
    guest::{Transfer, slot},
    network::{ConnectionId, Wire},
    truth::VertexId,
    world::{Event, InstanceId, SThreadId, World},
};

/// An action between its two halves.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Action {
    /// A payload came.
    Receive(Transfer),
    /// An outsider asks for something.
    Request(usize),
    /// An sthread asks for something; the answer goes back over this link in this epoch.
    Visit {
        sthread: SThreadId,
        over: ConnectionId,
        epoch: u32,
        side: usize,
    },
    /// An sthread of this process merges.
    Merge(SThreadId),
}

/// A message that is not on a channel and waits for its admission.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) header: Header,
    pub(crate) seen: Vec<VertexId>,
    pub(crate) action: Action,
}

impl World {
    /// The vertex of the open version, which gets its first content now.
    fn open(&mut self, id: InstanceId) -> VertexId {
        let instance = &self.instances[id.0];
        if let Some(open) = instance.open {
            return open;
        }
        let participant = &instance.participant;
        let open = self.truth.open(
            instance.object,
            instance.incarnation(),
            participant.open_version(),
            participant.world_line(),
            instance.last,
            instance.is_superseded,
        );
        let instance = &mut self.instances[id.0];
        instance.open = Some(open);
        instance.last = Some(open);
        open
    }

    fn consume(&mut self, id: InstanceId, message: &[VertexId]) {
        let consumer = self.open(id);
        let world_line = self.instances[id.0].participant.world_line();
        self.observe(&Fact::Consumed {
            consumer,
            world_line,
            message,
        });
        self.truth.depend(consumer, message);
    }

    /// What the object's newest state depends on, itself included.
    pub(crate) fn newest_vertex(&self, id: InstanceId) -> Vec<VertexId> {
        self.instances[id.0].last.into_iter().collect()
    }

    pub(super) fn receive(&mut self, id: InstanceId, delivery: &Delivery) {
        let transfer = Transfer::decode(&delivery.payload);
        self.consume(id, &[transfer.vertex]);
        let instance = &mut self.instances[id.0];
        let received = &mut instance.account.received[slot(delivery.from)];
        let expected = *received;
        *received += 1;
        instance.account.passed[slot(delivery.from)] -= i64::from(transfer.amount);
        let (from, to) = (delivery.from, instance.object);
        self.observe(&Fact::Delivered {
            from,
            to,
            expected,
            found: transfer.number,
        });
        self.begin_action(id, Action::Receive(transfer));
    }

    /// The first half of an action that the lock admits already.
    fn begin_action(&mut self, id: InstanceId, action: Action) {
        self.instances[id.0].account.halves += 1;
        if self.random.chance(self.config.slow_action_permille) {
            let duration = self.random.between(self.config.action_us);
            self.plan(duration, Event::EndAction(id, Box::new(action)));
        } else {
            self.end_action(id, &action);
        }
    }

    /// The second half of an action.
    pub(crate) fn end_action(&mut self, id: InstanceId, action: &Action) {
        let instance = &mut self.instances[id.0];
        if !instance.is_alive {
            return;
        }
        instance.account.halves -= 1;
        match *action {
            Action::Receive(transfer) => {
                instance.account.balance += i64::from(transfer.amount);
                if transfer.hops > 0 {
                    let to = self.any_object();
                    self.pay(id, to, transfer.amount, transfer.hops - 1);
                }
            }
            Action::Request(request) => self.carry_out(id, request),
            Action::Visit {
                sthread,
                over,
                epoch,
                side,
            } => {
                instance.account.visits += 1;
                let header = instance.participant.header();
                let seen = self.newest_vertex(id);
                if self.connections[over.0].epoch == epoch {
                    let reply = Wire::Reply {
                        sthread,
                        header,
                        seen,
                    };
                    self.send(over, side, reply);
                }
            }
            Action::Merge(_) => instance.account.visits += 1,
        }
        self.instances[id.0].actions -= 1;
        if self.instances[id.0].actions == 0 {
            self.pump(id);
        }
    }

    pub(crate) fn any_object(&mut self) -> ObjectId {
        ObjectId(self.random.below(self.newest.len() as u64))
    }

    fn pay(&mut self, id: InstanceId, to: ObjectId, amount: u32, hops: u32) {
        let vertex = self.open(id);
        let account = &mut self.instances[id.0].account;
        account.balance -= i64::from(amount);
        let number = account.sent[slot(to)];
        account.sent[slot(to)] += 1;
        account.passed[slot(to)] += i64::from(amount);
        let transfer = Transfer {
            number,
            amount,
            hops,
            vertex,
        };
        let payload = transfer.encode();
        self.input(id, Input::Send { to, payload });
    }

    /// An outsider's request reaches the object.
    pub(crate) fn arrive_request(&mut self, request: usize, id: InstanceId) {
        let instance = &mut self.instances[id.0];
        if instance.is_alive && instance.participant.is_active() && !instance.is_leaving {
            instance.actions += 1;
            // The first half touches the account, though a repeated request will change nothing more.
            let number = u32::try_from(request).expect("runs are short");
            if instance.account.requests.contains(&number) {
                self.answer(id, request);
                self.instances[id.0].actions -= 1;
                self.pump(id);
            } else {
                self.open(id);
                self.input(id, Input::Touch);
                self.begin_action(id, Action::Request(request));
            }
        }
    }

    fn carry_out(&mut self, id: InstanceId, number: usize) {
        let wanted = &self.requests[number];
        let (to, amount, hops) = (wanted.to, wanted.amount, wanted.hops);
        let known = u32::try_from(number).expect("runs are short");
        // Two of the same may run at once.
        if self.instances[id.0].account.requests.insert(known) {
            self.pay(id, to, amount, hops);
        }
        self.answer(id, number);
    }

    fn answer(&mut self, id: InstanceId, request: usize) {
        self.next_output += 1;
        let output = OutputId(self.next_output);
        let depends_on = self.newest_vertex(id);
        let waiting = Waiting {
            request,
            depends_on,
        };
        self.instances[id.0].outputs.insert(output, waiting);
        self.input(id, Input::Output(output));
    }

    /// A message that is not on a channel asks for its admission.
    pub(crate) fn visit(&mut self, id: InstanceId, held: Held) {
        let instance = &mut self.instances[id.0];
        if !instance.is_alive || instance.is_leaving {
            return self.end_merge(id, &held.action);
        }
        match instance.participant.consume(&held.header) {
            Admission::Consumed => {
                instance.actions += 1;
                self.consume(id, &held.seen);
                self.end_merge(id, &held.action);
                self.begin_action(id, held.action);
            }
            Admission::SealFirst(at_least) => {
                instance.held.push(held);
                self.want_seal(id, at_least);
                self.plan(0, Event::RetryHeld(id));
            }
            Admission::Hold => instance.held.push(held),
            Admission::Discard { .. } => self.end_merge(id, &held.action),
        }
    }

    /// An sthread that merges is over, whatever became of it.
    pub(super) fn end_merge(&mut self, id: InstanceId, action: &Action) {
        if let Action::Merge(sthread) = action {
            let process = self.instances[id.0].process;
            self.processes[process.0].sthreads.remove(sthread);
        }
    }
}
