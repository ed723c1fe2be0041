//! What the coordinator says, and what it is told: the life of a participant from its admission to its end.

use super::{Effect, Participant, Phase};
use crate::{
    decision::{Cause, Decision},
    id::{Seq, Version, WorldLine},
    message::{Fragment, FragmentVersion, GatherId, Refusal, ToCoordinator, ToParticipant},
};

impl Participant {
    pub(super) fn introduce(&mut self) {
        let fragment = self.fragment();
        let (object, incarnation) = (self.id, self.incarnation);
        match self.phase {
            Phase::Joining { .. } => {
                self.tell_coordinator(ToCoordinator::Join {
                    object,
                    incarnation,
                    fragment,
                });
            }
            Phase::Active { frozen, .. } => {
                self.tell_coordinator(ToCoordinator::Report {
                    object,
                    incarnation,
                    gather: frozen,
                    fragment,
                });
                self.leave_when_done();
            }
            // The report follows when the state is back.
            Phase::Restoring { .. } | Phase::Over => {}
        }
    }

    pub(super) fn handle_coordinator(&mut self, message: ToParticipant) {
        match message {
            ToParticipant::Refused {
                incarnation,
                refusal,
            } if incarnation == self.incarnation => {
                self.end(Effect::Refused(refusal));
            }
            message if matches!(self.phase, Phase::Restoring { .. }) => {
                self.deferred.push_back(message);
            }
            ToParticipant::Admit {
                incarnation,
                world_line,
                keep,
                boundary,
            } => {
                if incarnation == self.incarnation && self.is_joining() {
                    self.merge_boundary(boundary);
                    self.roll_back(keep, world_line);
                }
            }
            // The answer to our join will say all of this.
            _ if self.is_joining() => {}
            // A member is never more than one decision behind, and that one is not forgotten before it
            // has entered. Whoever is further behind is no member any more, and what is said is not about its life.
            ToParticipant::Welcome { world_line, .. } if world_line > self.world_line => {
                self.end(Effect::Refused(Refusal::LeftBehind { world_line }));
            }
            ToParticipant::Welcome {
                decisions,
                boundary,
                ..
            } => {
                self.deferred.push_front(ToParticipant::Boundary(boundary));
                let decisions = decisions.into_iter().rev().map(ToParticipant::Decide);
                decisions.for_each(|decision| self.deferred.push_front(decision));
                self.handle_deferred();
            }
            ToParticipant::Decide(decision) => self.handle_decision(&decision),
            ToParticipant::Boundary(advanced) => {
                self.merge_boundary(advanced);
                self.commit();
            }
            ToParticipant::Gather { gather } => {
                self.freeze(gather);
                self.introduce();
            }
            ToParticipant::GatherDone { gather } => {
                if matches!(self.phase, Phase::Active { frozen: Some(ours), .. } if ours == gather)
                {
                    self.thaw();
                    self.deliver_all();
                    self.leave_when_done();
                }
            }
            ToParticipant::Left { incarnation } if incarnation == self.incarnation => {
                self.end(Effect::Left);
            }
            ToParticipant::Refused { .. } | ToParticipant::Left { .. } => {}
        }
    }

    fn handle_decision(&mut self, decision: &Decision) {
        if let Some(refusal) = self.ended_by(decision) {
            self.end(Effect::Refused(refusal));
        } else if decision.world_line == self.world_line.next() {
            decision.limit(&mut self.boundary);
            match decision.cut.get(&self.id) {
                Some(&keep) if keep < self.latest() => self.roll_back(keep, decision.world_line),
                _ => self.enter(decision.world_line),
            }
        } else if decision.world_line > self.world_line {
            // One in between is missing; our report asks for it.
            self.introduce();
        }
    }

    /// Rule P12: another life takes the place of this one, or nobody does.
    fn ended_by(&self, decision: &Decision) -> Option<Refusal> {
        if !self.rules.fencing {
            return None;
        }
        match &decision.cause {
            &Cause::Failed { object, successor } => (object == self.id
                && successor.supersedes(self.incarnation))
            .then_some(Refusal::Fenced { by: successor }),
            Cause::Removed(objects) => (objects.contains(&self.id)
                && decision.world_line > self.world_line)
                .then_some(Refusal::Removed),
        }
    }

    fn roll_back(&mut self, keep: Version, world_line: WorldLine) {
        let undone = self.history.roll_back(keep);
        for peer in undone.touched {
            let mark = self.history.mark(peer);
            self.channel(peer).roll_back(mark);
        }
        self.effects
            .extend(undone.outputs.into_iter().map(Effect::Discard));
        self.seal_wanted = None;
        let leaving = self.is_leaving();
        self.phase = Phase::Restoring {
            world_line,
            leaving,
        };
        self.effects.push_back(Effect::Restore { version: keep });
    }

    pub(super) fn handle_restored(&mut self) {
        let Phase::Restoring { world_line, .. } = self.phase else {
            panic!("restored without having been asked to, in {:?}", self.phase);
        };
        self.enter(world_line);
        self.handle_deferred();
    }

    /// Handles what has to wait, as far as it need not wait for a restore; only then are messages
    /// consumed again.
    fn handle_deferred(&mut self) {
        while self.is_active() {
            let Some(message) = self.deferred.pop_front() else {
                return self.deliver_all();
            };
            self.handle_coordinator(message);
        }
    }

    /// Begins the life in `world_line`: tells the coordinator, sends again what is not acknowledged
    /// (what was under way carries a world-line that is over) and looks at what was held.
    pub(super) fn enter(&mut self, world_line: WorldLine) {
        let leaving = self.is_leaving();
        self.phase = Phase::Active {
            frozen: None,
            leaving,
        };
        self.world_line = world_line;
        self.history.rename(world_line);
        self.effects.push_back(Effect::Entered(world_line));
        self.introduce();
        let peers: Vec<_> = self.channels.keys().copied().collect();
        for peer in peers {
            self.channel(peer).enter(world_line);
            if self.channel(peer).acknowledged() > Seq::default() {
                self.acknowledge(peer);
            }
            self.retransmit(peer);
        }
        self.commit();
        self.deliver_all();
    }

    pub(super) fn end(&mut self, effect: Effect) {
        self.phase = Phase::Over;
        self.effects.push_back(effect);
    }

    pub(super) fn handle_leave(&mut self) {
        match &mut self.phase {
            Phase::Joining { leaving }
            | Phase::Active { leaving, .. }
            | Phase::Restoring { leaving, .. } => *leaving = true,
            Phase::Over => {}
        }
        self.leave_when_done();
    }

    fn is_leaving(&self) -> bool {
        matches!(
            self.phase,
            Phase::Joining { leaving: true }
                | Phase::Active { leaving: true, .. }
                | Phase::Restoring { leaving: true, .. }
        )
    }

    pub(super) fn is_joining(&self) -> bool {
        matches!(self.phase, Phase::Joining { .. })
    }

    pub(super) fn leave_when_done(&mut self) {
        if matches!(self.phase, Phase::Active { leaving: true, .. })
            && self.history.is_all_committed()
        {
            let (object, incarnation) = (self.id, self.incarnation);
            let version = self.history.committed;
            self.tell_coordinator(ToCoordinator::Leave {
                object,
                incarnation,
                version,
            });
        }
    }

    /// A gather that is older than the one it answered comes from a coordinator that was superseded,
    /// whose word could end what its successor still counts on.
    fn freeze(&mut self, gather: GatherId) {
        if let Phase::Active { frozen, .. } = &mut self.phase {
            *frozen = Some(gather).max(*frozen);
        }
    }

    fn thaw(&mut self) {
        if let Phase::Active { frozen, .. } = &mut self.phase {
            *frozen = None;
        }
    }

    /// All versions above the committed one, volatile ones and the open one included (rule P9).
    fn fragment(&self) -> Fragment {
        Fragment {
            world_line: self.world_line,
            committed: self.history.committed,
            versions: self
                .history
                .versions()
                .map(|version| FragmentVersion {
                    version: version.version,
                    world_line: version.world_line.unwrap_or(self.world_line),
                    dependencies: self.uncommitted(version.dependencies),
                    durable: version.durable,
                })
                .collect(),
        }
    }

    pub(super) fn tell_coordinator(&mut self, message: ToCoordinator) {
        self.effects.push_back(Effect::ToCoordinator(message));
    }
}
