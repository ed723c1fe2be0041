//! Sealing, durability, commit and release (rules P2, P6, P7, P8).

use std::collections::BTreeMap;

use super::{Effect, Participant, Speculation};
use crate::{
    id::{ObjectId, OutputId, PersistTicket, Version},
    message::{PeerMessage, ToCoordinator},
    metadata::{ChannelRecord, VersionMetadata},
};

impl Participant {
    pub(super) fn seal(&mut self, at_least: Version, complete: bool) {
        if !self.is_active() {
            return;
        }
        self.seal_wanted = None;
        if self.history.open.is_dirty {
            self.next_ticket = self.next_ticket.next();
            let ticket = self.next_ticket;
            // Rule P6: the edges are stored with the version.
            let metadata = VersionMetadata {
                version: self.open_version(),
                world_line: self.world_line,
                committed: self.history.committed,
                dependencies: self.uncommitted(&self.history.open.dependencies),
                channels: self.channel_record(complete),
                complete,
            };
            let marks = self
                .history
                .open
                .touched
                .iter()
                .map(|&peer| (peer, self.channels[&peer].mark()));
            let marks = marks.collect();
            self.history.seal(ticket, self.world_line, marks);
            self.effects.push_back(Effect::Persist { ticket, metadata });
        }
        self.history.open.raise(at_least);
        self.deliver_all();
    }

    fn channel_record(&self, complete: bool) -> ChannelRecord {
        if complete {
            self.channels
                .iter()
                .map(|(&peer, channel)| (peer, channel.complete_record()))
                .collect()
        } else {
            let version = self.open_version();
            let touched = self.history.open.touched.iter();
            touched
                .map(|&peer| (peer, self.channels[&peer].delta_record(version)))
                .collect()
        }
    }

    pub(super) fn handle_persisted(&mut self, ticket: PersistTicket) {
        // A ticket that is not known any more belongs to a version that was rolled back.
        if let Some((version, dependencies)) = self.history.persisted(ticket) {
            let message = ToCoordinator::Persisted {
                object: self.id,
                incarnation: self.incarnation,
                world_line: self.world_line,
                version,
                dependencies: self.uncommitted(&dependencies),
            };
            self.tell_coordinator(message);
            self.commit();
        }
    }

    pub(super) fn merge_boundary(&mut self, advanced: BTreeMap<ObjectId, Version>) {
        for (object, version) in advanced {
            let known = self.boundary.entry(object).or_default();
            *known = version.max(*known);
        }
    }

    /// Moves the committed point as far as the coordinator's boundary, or what is known here alone
    /// (rule P7), allows; releases what waited for it (rule P8) and acknowledges what was consumed.
    pub(super) fn commit(&mut self) {
        if !self.is_active() {
            return;
        }
        let before = self.history.committed;
        let told = self.boundary.get(&self.id).copied().unwrap_or_default();
        while let Some(next) = self.history.next_durable() {
            if next.version > told && !self.uncommitted(&next.dependencies).is_empty() {
                break;
            }
            let committed = self.history.commit_next();
            for (peer, mark) in committed.marks {
                if let Some(acknowledged) = self.channel(peer).commit(mark) {
                    self.transmit_to(peer, PeerMessage::Acknowledge(acknowledged));
                }
            }
            self.effects
                .extend(committed.outputs.into_iter().map(Effect::Release));
        }
        if self.history.committed > before {
            self.boundary
                .insert(self.id, self.history.committed.max(told));
            self.effects
                .push_back(Effect::Committed(self.history.committed));
            if self.speculation == Speculation::Off {
                let peers: Vec<_> = self.channels.keys().copied().collect();
                peers.into_iter().for_each(|peer| self.transmit_ready(peer));
            }
            self.leave_when_done();
        }
    }

    pub(super) fn handle_output(&mut self, output: OutputId) {
        if !self.rules.release || !self.history.attach(output) {
            self.effects.push_back(Effect::Release(output));
        }
    }
}
