//! Messages of peers: what is sent, held, consumed and acknowledged (rules P5, P14).

use bytes::Bytes;

use super::{Admission, Effect, Participant, Speculation, channel::Channel};
use crate::{
    id::{ObjectId, Version},
    message::{ChannelMessage, PeerMessage},
};

impl Participant {
    pub(super) fn channel(&mut self, peer: ObjectId) -> &mut Channel {
        self.channels.entry(peer).or_default()
    }

    pub(super) fn transmit_to(&mut self, to: ObjectId, message: PeerMessage) {
        self.effects.push_back(Effect::Transmit { to, message });
    }

    pub(super) fn send(&mut self, to: ObjectId, payload: Bytes) {
        assert!(self.is_active(), "an action runs in {:?}", self.phase);
        let version = self.open_version();
        self.history.open.touch_peer(to);
        self.channel(to).send(version, payload);
        self.transmit_ready(to);
    }

    pub(super) fn handle_link_up(&mut self, peer: ObjectId) {
        if self.is_active() && self.channels.contains_key(&peer) {
            self.acknowledge(peer);
            self.retransmit(peer);
        }
    }

    /// Says again what was said on an earlier link, or could not be said while restoring.
    pub(super) fn acknowledge(&mut self, peer: ObjectId) {
        let acknowledged = self.channel(peer).acknowledged();
        self.transmit_to(peer, PeerMessage::Acknowledge(acknowledged));
    }

    pub(super) fn retransmit(&mut self, peer: ObjectId) {
        self.channel(peer).rewind();
        self.transmit_ready(peer);
    }

    /// Transmits what is in the channel and has not been transmitted, as far as it may leave.
    pub(super) fn transmit_ready(&mut self, to: ObjectId) {
        let limit = match self.speculation {
            Speculation::On => Version::MAX,
            Speculation::Off => self.history.committed,
        };
        while let Some((seq, version, payload)) = self.channel(to).next_to_transmit(limit) {
            let header = self.header_of(version);
            self.transmit_to(
                to,
                PeerMessage::Channel(ChannelMessage {
                    seq,
                    header,
                    payload,
                }),
            );
        }
    }

    pub(super) fn handle_peer(&mut self, from: ObjectId, message: PeerMessage) {
        match message {
            PeerMessage::Channel(message) => self.handle_channel_message(from, message),
            PeerMessage::Acknowledge(upto) => {
                if let Some(channel) = self.channels.get_mut(&from) {
                    channel.handle_acknowledge(upto);
                }
            }
            PeerMessage::WorldLine(current) => {
                if current > self.world_line && self.is_active() {
                    self.introduce();
                }
            }
            PeerMessage::Resend(current) => {
                if current == self.world_line
                    && self.is_active()
                    && self.channels.contains_key(&from)
                {
                    self.retransmit(from);
                }
            }
        }
    }

    fn handle_channel_message(&mut self, from: ObjectId, message: ChannelMessage) {
        let (theirs, ours) = (message.header.world_line, self.world_line);
        let knows_world_line = !self.is_joining();
        if self.rules.recovery_partition && knows_world_line && theirs < ours {
            self.transmit_to(from, PeerMessage::WorldLine(ours));
            return;
        }
        if let Some(acknowledged) = self
            .channel(from)
            .receive(message, !knows_world_line || theirs > ours)
        {
            self.transmit_to(from, PeerMessage::Acknowledge(acknowledged));
        }
        self.deliver(from);
    }

    pub(super) fn deliver_all(&mut self) {
        let peers: Vec<_> = self.channels.keys().copied().collect();
        peers.into_iter().for_each(|peer| self.deliver(peer));
    }

    /// Consumes what can be consumed from `peer`, in order.
    fn deliver(&mut self, peer: ObjectId) {
        while let Some(message) = self.channel(peer).take_next() {
            match self.consume(&message.header) {
                Admission::Consumed => {
                    self.channel(peer).advance();
                    self.history.open.touch_peer(peer);
                    let ChannelMessage { seq, payload, .. } = message;
                    self.effects.push_back(Effect::Deliver {
                        from: peer,
                        seq,
                        payload,
                    });
                }
                Admission::SealFirst(at_least) => {
                    self.channel(peer).put_back(message);
                    if self.seal_wanted < Some(at_least) {
                        self.seal_wanted = Some(at_least);
                        self.effects.push_back(Effect::SealNeeded { at_least });
                    }
                    return;
                }
                Admission::Hold | Admission::Discard { .. } => {
                    self.channel(peer).put_back(message);
                    return;
                }
            }
        }
        if self.may_consume() && self.channel(peer).take_overflow() {
            self.transmit_to(peer, PeerMessage::Resend(self.world_line));
        }
    }
}
