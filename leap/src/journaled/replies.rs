//! What was answered to calls with an idempotency key, so that a second call gets the same answer.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// How many replies an object keeps; the oldest go first. What a caller tries again after this many
/// other calls is taken for a new call.
const KEPT: usize = 65_536;

/// The first call of a method with a key, and its answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RecordedReply {
    pub(super) method: String,
    pub(super) key: String,
    pub(super) reply: Bytes,
}

/// The newest replies.
///
/// Invariant: `position[(method, key)] = dropped + i` for each `recorded[i]`, and nothing else.
#[derive(Debug, Default)]
pub(super) struct Replies {
    /// Oldest first.
    pub(super) recorded: VecDeque<RecordedReply>,
    /// How many have been dropped before `recorded[0]`.
    dropped: usize,
    positions: HashMap<(String, String), usize>,
}

impl Replies {
    pub(super) fn find(&self, method: &str, key: &str) -> Option<Bytes> {
        let position = self.positions.get(&(method.to_owned(), key.to_owned()))?;
        Some(self.recorded[position - self.dropped].reply.clone())
    }

    /// Keeps `reply` as the newest.
    pub(super) fn keep(&mut self, reply: RecordedReply) {
        if self.recorded.len() == KEPT {
            let oldest = self.recorded.pop_front().expect("some are kept");
            self.positions.remove(&(oldest.method, oldest.key));
            self.dropped += 1;
        }
        let position = self.dropped + self.recorded.len();
        self.positions
            .insert((reply.method.clone(), reply.key.clone()), position);
        self.recorded.push_back(reply);
    }
}
