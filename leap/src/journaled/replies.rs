//! What was answered to calls with an idempotency key, so that a second call gets the same answer.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::service::CallError;

/// How many replies an object keeps; the oldest go first. What a caller tries again after this many
/// other calls is taken for a new call.
const KEPT: usize = 65_536;

/// The longest idempotency key, in bytes. An object keeps its newest keys in memory and in every checkpoint.
///
/// ```
/// # leap::testing::run_example(async {
/// use leap::{CallError, MAX_IDEMPOTENCY_KEY_BYTES, ObjectClient};
///
/// # let host = leap::Host::builder().start().await?;
/// # let counter = host.add::<leap::testing::Counter>("counter").await?;
/// let key = "k".repeat(MAX_IDEMPOTENCY_KEY_BYTES + 1);
/// let client = ObjectClient::new(host, "counter").idempotency_key(key);
/// let refused = client.call::<u64>("add", &1).await;
/// assert!(matches!(refused, Err(CallError::BadRequest { .. })));
/// # Ok(())
/// # });
/// ```
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 256;

/// Refuses a key that no call of `method` can have.
pub(crate) fn check_key(method: &str, key: &str) -> Result<(), CallError> {
    let reason = match key.len() {
        // Callers that forgot to fill theirs in would all have the same.
        0 => "its idempotency key is empty".to_owned(),
        1..=MAX_IDEMPOTENCY_KEY_BYTES => return Ok(()),
        bytes => format!(
            "its idempotency key has {bytes} bytes, {MAX_IDEMPOTENCY_KEY_BYTES} are allowed"
        ),
    };
    let method = method.to_owned();
    Err(CallError::BadRequest { method, reason })
}

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
