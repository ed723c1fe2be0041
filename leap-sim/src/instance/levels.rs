//! A guest's levels stand between its actions and its participant (rule P16): what it receives and makes passes
//! through them, and now and then it opens one, commits it or aborts it.

use leap_core::{Input, ObjectId, OutputId};

use super::{Action, Waiting};
use crate::{
    checker::{Fact, LevelChange},
    guest::Transfer,
    network::{ConnectionId, End, Wire},
    world::{Event, InstanceId, ItemId, SThreadId, World},
};

/// What a guest has received: it asks for an action.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    item: ItemId,
    action: Action,
}

/// What a guest has made for others.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    item: ItemId,
    outgoing: Outgoing,
}

/// What leaves a guest. What it depends on is known only then.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outgoing {
    /// To another account.
    Payment {
        to: ObjectId,
        number: u32,
        amount: u32,
        hops: u32,
    },
    /// To the outsider who asked for this.
    Answer(usize),
    /// To an sthread, over this link if it is still in this epoch.
    Reply {
        sthread: SThreadId,
        over: ConnectionId,
        epoch: u32,
        side: usize,
    },
}

/// What a guest does of its own accord.
#[derive(Clone, Copy, Debug, Hash)]
enum Step {
    Speculate,
    Commit(usize),
    Abort(usize),
    /// Consumes what an abort gave back.
    Consume,
}

/// What passes through.
impl World {
    fn new_item(&mut self) -> ItemId {
        self.next_item += 1;
        ItemId(self.next_item)
    }

    /// A message for the guest, which its participant has admitted. Whatever an abort gave back is consumed before it.
    pub(super) fn take_in(&mut self, id: InstanceId, action: Action) {
        let item = self.new_item();
        self.observe(&Fact::Received { life: id, item });
        let levels = &mut self.instances[id.0].guest.levels;
        levels.receive(Message { item, action });
        self.consume_waiting(id);
    }

    /// Begins an action for each message that waits, in order.
    fn consume_waiting(&mut self, id: InstanceId) {
        while let Some(message) = self.instances[id.0].guest.levels.consume() {
            let item = message.item;
            self.observe(&Fact::TakenIn { life: id, item });
            self.begin_action(id, message.action);
        }
    }

    /// The running action makes something for others.
    pub(super) fn make(&mut self, id: InstanceId, outgoing: Outgoing) {
        let item = self.new_item();
        self.observe(&Fact::Made { life: id, item });
        let levels = &mut self.instances[id.0].guest.levels;
        match levels.hold(Made { item, outgoing }) {
            Some(made) => self.give(id, &made),
            None => self.touch(id),
        }
    }

    fn give(&mut self, id: InstanceId, made: &Made) {
        let item = made.item;
        self.observe(&Fact::Given { life: id, item });
        match made.outgoing {
            Outgoing::Payment {
                to,
                number,
                amount,
                hops,
            } => {
                let vertex = self.open(id);
                let transfer = Transfer {
                    number,
                    amount,
                    hops,
                    vertex,
                };
                let payload = transfer.encode();
                self.input(id, Input::Send { to, payload });
            }
            Outgoing::Answer(request) => self.answer(id, request),
            Outgoing::Reply {
                sthread,
                over,
                epoch,
                side,
            } => self.reply_to(id, sthread, over, epoch, side),
        }
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

    fn reply_to(
        &mut self,
        id: InstanceId,
        sthread: SThreadId,
        over: ConnectionId,
        epoch: u32,
        side: usize,
    ) {
        let instance = &self.instances[id.0];
        let reply = Wire::Reply {
            sthread,
            header: instance.participant.header(),
            seen: self.newest_vertex(id),
        };
        let connection = &self.connections[over.0];
        // A level that was open in an earlier life of the object may have held it, in another process.
        let is_ours = connection.ends[side] == End::Process(instance.process);
        if is_ours && connection.epoch == epoch {
            self.send(over, side, reply);
        }
    }
}

/// Opening and closing levels.
impl World {
    pub(super) fn plan_levels(&mut self, id: InstanceId) {
        if self.config.levels > 0 {
            let delay = self.random.between(self.config.level_every_us);
            self.plan(delay, Event::LevelTimer(id));
        }
    }

    pub(crate) fn level_timer(&mut self, id: InstanceId) {
        let instance = &self.instances[id.0];
        if !instance.is_alive {
            return;
        }
        // An abort would undo the first half of a running action, and not the second.
        let may_act = instance.participant.is_active() && !instance.is_leaving;
        if may_act && instance.actions == 0 {
            self.change_levels(id);
        }
        self.plan_levels(id);
    }

    /// Takes one of the steps that are possible now, as an action. When faults are over, no more levels are opened.
    fn change_levels(&mut self, id: InstanceId) {
        let levels = &self.instances[id.0].guest.levels;
        let (open, waiting) = (levels.open(), levels.waiting());
        let level = self.random.index(open);
        let mut steps = Vec::new();
        if open < self.config.levels && !self.is_healed {
            steps.push(Step::Speculate);
        }
        if open > 0 {
            steps.extend([Step::Commit(level), Step::Abort(level)]);
        }
        if waiting > 0 {
            steps.push(Step::Consume);
        }
        if steps.is_empty() {
            return;
        }
        let step = *self.random.pick(&steps);
        self.trace.mix(&(id, step));
        self.say(format_args!("{id:?} {step:?}, {open} levels are open"));
        self.instances[id.0].actions += 1;
        self.touch(id);
        self.take_step(id, step);
        self.unlock(id);
    }

    fn take_step(&mut self, id: InstanceId, step: Step) {
        let guest = &mut self.instances[id.0].guest;
        let mut committed = Vec::new();
        let change = match step {
            Step::Speculate => LevelChange::Opened(guest.speculate()),
            Step::Commit(level) => {
                committed = guest.commit(level);
                LevelChange::Committed(level)
            }
            Step::Abort(level) => {
                guest.abort(level);
                LevelChange::Aborted(level)
            }
            Step::Consume => return self.consume_waiting(id),
        };
        self.observe(&Fact::Levels { life: id, change });
        for made in &committed {
            self.give(id, made);
        }
    }
}
