//! The exactly-once channel to and from one peer (rule P14).
//!
//! ```text
//! outgoing   … forgotten | first_kept … transmitted … | out_next
//! incoming   … acknowledged | committed.in_next … consumed | in_next … held
//! ```
//!
//! # Invariants
//!
//! - `first_kept + kept.len() == out_next`
//! - `first_kept <= transmitted <= out_next`
//! - `first_kept <= committed.out_next <= out_next`: what may still be rolled back is never forgotten
//! - `acknowledged <= out_next`
//! - `committed.in_next <= in_next`; nothing below `committed.in_next` is held

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::{
    id::{Seq, Version, WorldLine},
    message::ChannelMessage,
    metadata::PeerRecord,
};

/// How many messages that cannot be consumed yet are kept per channel; what is beyond is asked for
/// again later.
const MAX_HELD: usize = 4096;

/// The two positions of a channel that a version fixes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Mark {
    pub(super) in_next: Seq,
    pub(super) out_next: Seq,
}

/// Why a version's record cannot follow what is known of the channel.
pub(super) enum Misfit {
    /// Sent messages are missing, or there twice.
    Gap { expected: Seq, found: Seq },
    /// A position goes back or ahead of what was sent, or messages are not in order of their versions.
    Impossible,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Channel {
    /// Positions at the end of the newest committed version.
    committed: Mark,
    in_next: Seq,
    out_next: Seq,
    /// The peer has consumed all below inside the boundary.
    acknowledged: Seq,
    first_kept: Seq,
    /// Messages sent from `first_kept` on, with the version each was sent in.
    kept: VecDeque<(Version, Bytes)>,
    /// Next to transmit in this world-line on this link.
    transmitted: Seq,
    /// Received and not consumed: too early in order or world-line.
    held: BTreeMap<Seq, ChannelMessage>,
    /// Something had to be dropped for lack of room.
    overflowed: bool,
}

/// What storage holds of a channel.
impl Channel {
    /// Goes on to what the metadata of `version`, the next one, says.
    pub(super) fn apply_record(
        &mut self,
        version: Version,
        record: PeerRecord,
        complete: bool,
    ) -> Result<(), Misfit> {
        let before = self.mark();
        if complete {
            self.kept.clear();
            self.first_kept = record.out_first;
            self.out_next = record.out_first;
            self.transmitted = record.out_first;
            self.committed.out_next = record.out_first;
        } else if record.out_first != self.out_next {
            return Err(Misfit::Gap {
                expected: self.out_next,
                found: record.out_first,
            });
        }
        self.in_next = record.in_next;
        self.acknowledged = record.acknowledged.max(self.acknowledged);
        self.out_next = Seq(self.out_next.0 + record.sent.len() as u64);
        self.kept.extend(record.sent);
        let goes_back = self.in_next < before.in_next || self.out_next < before.out_next;
        let sent_in = self.kept.iter().map(|&(sent_in, _)| sent_in);
        let is_sorted = sent_in.chain([version]).is_sorted();
        if goes_back || !is_sorted || self.acknowledged > self.out_next {
            return Err(Misfit::Impossible);
        }
        Ok(())
    }

    pub(super) fn complete_record(&self) -> PeerRecord {
        self.record_from(0)
    }

    /// What changed in `version`, the open one.
    pub(super) fn delta_record(&self, version: Version) -> PeerRecord {
        self.record_from(self.kept.partition_point(|(sent_in, _)| *sent_in < version))
    }

    fn record_from(&self, first: usize) -> PeerRecord {
        PeerRecord {
            in_next: self.in_next,
            acknowledged: self.acknowledged,
            out_first: Seq(self.first_kept.0 + first as u64),
            sent: self.kept.range(first..).cloned().collect(),
        }
    }
}

/// Outgoing.
impl Channel {
    pub(super) fn send(&mut self, version: Version, payload: Bytes) {
        self.kept.push_back((version, payload));
        self.out_next = self.out_next.next();
    }

    /// The next message to transmit, if it was sent in a version up to `limit`.
    pub(super) fn next_to_transmit(&mut self, limit: Version) -> Option<(Seq, Version, Bytes)> {
        let index = self.index_of(self.transmitted);
        let (version, payload) = self
            .kept
            .get(index)
            .filter(|(version, _)| *version <= limit)?;
        let seq = self.transmitted;
        self.transmitted = seq.next();
        Some((seq, *version, payload.clone()))
    }

    /// Transmits everything kept again.
    pub(super) fn rewind(&mut self) {
        self.transmitted = self.first_kept;
    }

    /// The peer has consumed all below `upto` inside the boundary. So what we sent is inside it as
    /// well, but we may not have been told yet. What we never sent cannot be acknowledged; a claim
    /// of that is ignored.
    pub(super) fn handle_acknowledge(&mut self, upto: Seq) {
        if upto <= self.out_next {
            self.acknowledged = self.acknowledged.max(upto);
            self.forget();
        }
    }

    /// Drops what nobody can ask for any more (rule P13).
    fn forget(&mut self) {
        let upto = self.acknowledged.min(self.committed.out_next);
        if upto > self.first_kept {
            self.kept.drain(..self.index_of(upto));
            self.first_kept = upto;
            self.transmitted = self.transmitted.max(upto);
        }
    }

    fn index_of(&self, seq: Seq) -> usize {
        usize::try_from(seq.0 - self.first_kept.0).expect("the queue is in memory")
    }
}

/// Incoming.
impl Channel {
    /// Keeps a received message until its turn. A duplicate is dropped; the acknowledgement, which
    /// the peer seems to lack, is returned.
    ///
    /// A message of a world-line `ahead` of ours may bear a number that we have consumed in ours: the
    /// decision that we do not know yet will undo that. Only what is committed is a duplicate then.
    pub(super) fn receive(&mut self, message: ChannelMessage, ahead: bool) -> Option<Seq> {
        let acknowledged = self.committed.in_next;
        if message.seq < acknowledged {
            return Some(acknowledged);
        }
        if message.seq < self.in_next && !ahead {
            return None;
        }
        let is_newer = |held: &ChannelMessage| held.header.world_line < message.header.world_line;
        if self.held.get(&message.seq).is_none_or(is_newer) {
            if self.held.len() < MAX_HELD || message.seq == self.in_next {
                self.held.insert(message.seq, message);
            } else {
                self.overflowed = true;
            }
        }
        None
    }

    /// Takes out the message whose turn it is, to be consumed or put back.
    pub(super) fn take_next(&mut self) -> Option<ChannelMessage> {
        self.held.remove(&self.in_next)
    }

    pub(super) fn put_back(&mut self, message: ChannelMessage) {
        self.held.insert(message.seq, message);
    }

    /// What [`Channel::take_next`] gave is consumed.
    pub(super) fn advance(&mut self) {
        self.in_next = self.in_next.next();
    }

    /// All below this position is acknowledged to the peer.
    pub(super) fn acknowledged(&self) -> Seq {
        self.committed.in_next
    }

    /// Drops what was held for an earlier world-line.
    pub(super) fn enter(&mut self, world_line: WorldLine) {
        let in_next = self.in_next;
        self.held
            .retain(|&seq, message| match message.header.world_line {
                theirs if theirs == world_line => seq >= in_next,
                theirs => theirs > world_line,
            });
    }

    /// Whether messages had to be dropped for lack of room, so that they must be asked for again.
    pub(super) fn take_overflow(&mut self) -> bool {
        std::mem::take(&mut self.overflowed)
    }
}

/// Versions.
impl Channel {
    pub(super) fn mark(&self) -> Mark {
        Mark {
            in_next: self.in_next,
            out_next: self.out_next,
        }
    }

    /// A version with `mark` is committed; returns the new acknowledgement if there is one.
    pub(super) fn commit(&mut self, mark: Mark) -> Option<Seq> {
        let before = self.committed.in_next;
        self.committed = mark;
        // Held for a later world-line, which will not undo what is committed: a duplicate after all.
        self.held = self.held.split_off(&mark.in_next);
        self.forget();
        Some(mark.in_next).filter(|&after| after > before)
    }

    /// Back to `mark`, or to the committed point where no kept version says anything.
    pub(super) fn roll_back(&mut self, mark: Option<Mark>) {
        let mark = mark.unwrap_or(self.committed);
        self.in_next = mark.in_next;
        self.out_next = mark.out_next;
        self.kept.truncate(self.index_of(mark.out_next));
        self.transmitted = self.transmitted.min(mark.out_next);
        // Only a peer that does not obey the protocol acknowledged what can be taken back.
        self.acknowledged = self.acknowledged.min(mark.out_next);
    }

    /// How many sent messages may still be asked for.
    pub(super) fn kept(&self) -> usize {
        self.kept.len()
    }

    /// How many received messages wait for their turn.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// How many messages have been consumed since the channel began.
    pub(super) fn consumed(&self) -> u64 {
        self.in_next.0
    }

    /// Whether positions are in the order that the invariants demand.
    pub(super) fn is_consistent(&self) -> bool {
        self.first_kept.0 + self.kept.len() as u64 == self.out_next.0
            && self.first_kept <= self.transmitted
            && self.transmitted <= self.out_next
            && self.first_kept <= self.committed.out_next
            && self.committed.out_next <= self.out_next
            && self.acknowledged <= self.out_next
            && self.committed.in_next <= self.in_next
            && self.held.keys().all(|&seq| seq >= self.committed.in_next)
    }
}
