//! The actions of an object: what starts one, its two halves, and what it makes for others.

use leap_core::{Admission, Header, Input, ObjectId};

use super::{Delivery, levels::Outgoing};
use crate::{
    checker::Fact,
    guest::{Transfer, slot},
    network::ConnectionId,
    truth::VertexId,
    world::{Event, InstanceId, SThreadId, World},
};

/// An action between its two halves.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Action {
    /// A payload came.
    Receive { from: ObjectId, transfer: Transfer },
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
    pub(super) fn open(&mut self, id: InstanceId) -> VertexId {
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
        let from = delivery.from;
        self.take_in(id, Action::Receive { from, transfer });
        self.unlock(id);
    }

    /// The first half of an action that the lock admits.
    pub(super) fn begin_action(&mut self, id: InstanceId, action: Action) {
        let instance = &mut self.instances[id.0];
        instance.actions += 1;
        instance.guest.account.halves += 1;
        if let Action::Receive { from, transfer } = action {
            self.note_payload(id, from, transfer);
        }
        if self.random.chance(self.config.slow_action_permille) {
            let duration = self.random.between(self.config.action_us);
            self.plan(duration, Event::EndAction(id, Box::new(action)));
        } else {
            self.end_action(id, &action);
        }
    }

    fn note_payload(&mut self, id: InstanceId, from: ObjectId, transfer: Transfer) {
        let instance = &mut self.instances[id.0];
        let (account, to) = (&mut instance.guest.account, instance.object);
        let received = &mut account.received[slot(from)];
        let expected = *received;
        *received += 1;
        account.passed[slot(from)] -= i64::from(transfer.amount);
        self.observe(&Fact::Delivered {
            from,
            to,
            expected,
            found: transfer.number,
        });
    }

    /// The second half of an action.
    pub(crate) fn end_action(&mut self, id: InstanceId, action: &Action) {
        let instance = &mut self.instances[id.0];
        if !instance.is_alive {
            return;
        }
        let account = &mut instance.guest.account;
        account.halves -= 1;
        match *action {
            Action::Receive { transfer, .. } => {
                account.balance += i64::from(transfer.amount);
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
                account.visits += 1;
                let reply = Outgoing::Reply {
                    sthread,
                    over,
                    epoch,
                    side,
                };
                self.make(id, reply);
            }
            Action::Merge(_) => account.visits += 1,
        }
        self.unlock(id);
    }

    /// Gives back the shared side of the lock.
    pub(super) fn unlock(&mut self, id: InstanceId) {
        self.instances[id.0].actions -= 1;
        self.pump(id);
    }

    pub(crate) fn any_object(&mut self) -> ObjectId {
        ObjectId(self.random.below(self.newest.len() as u64))
    }

    fn pay(&mut self, id: InstanceId, to: ObjectId, amount: u32, hops: u32) {
        let account = &mut self.instances[id.0].guest.account;
        account.balance -= i64::from(amount);
        let number = account.sent[slot(to)];
        account.sent[slot(to)] += 1;
        account.passed[slot(to)] += i64::from(amount);
        let payment = Outgoing::Payment {
            to,
            number,
            amount,
            hops,
        };
        self.make(id, payment);
    }

    /// An outsider's request reaches the object.
    pub(crate) fn arrive_request(&mut self, request: usize, id: InstanceId) {
        let instance = &mut self.instances[id.0];
        if instance.is_alive && instance.participant.is_active() && !instance.is_leaving {
            instance.actions += 1;
            // The first half touches the account, though a repeated request will change nothing more.
            let number = u32::try_from(request).expect("runs are short");
            let guest = &instance.guest;
            if guest.levels.open() == 0 && guest.account.requests.contains(&number) {
                self.make(id, Outgoing::Answer(request));
            } else {
                self.touch(id);
                self.take_in(id, Action::Request(request));
            }
            self.unlock(id);
        }
    }

    /// Something changes in the open version.
    pub(super) fn touch(&mut self, id: InstanceId) {
        self.open(id);
        self.input(id, Input::Touch);
    }

    fn carry_out(&mut self, id: InstanceId, number: usize) {
        let wanted = &self.requests[number];
        let (to, amount, hops) = (wanted.to, wanted.amount, wanted.hops);
        let known = u32::try_from(number).expect("runs are short");
        // Two of the same may run at once.
        if self.instances[id.0].guest.account.requests.insert(known) {
            self.pay(id, to, amount, hops);
        }
        self.make(id, Outgoing::Answer(number));
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
                self.take_in(id, held.action);
                self.unlock(id);
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
