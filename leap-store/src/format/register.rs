//! Registers.
//!
//! ```text
//!  0      16      24
//!  +------+-------+-----------
//!  |prefix| stamp | value ...
//!  +------+-------+-----------
//! ```
//!
//! The stamp makes each write of a register different from every other, even where the value is the same. In a local
//! directory it counts the writes; in an object store it is drawn at random, so that a writer recognises its own write.

use bytes::Bytes;

use super::{FormatError, PREFIX, damaged, seal, u64_at, unseal};

const MAGIC: [u8; 8] = *b"leapregi";

pub(crate) fn encode(stamp: u64, value: &[u8]) -> Vec<u8> {
    seal(MAGIC, &[&stamp.to_le_bytes(), value].concat())
}

/// The stamp and the value.
pub(crate) fn decode(bytes: &Bytes) -> Result<(u64, Bytes), FormatError> {
    let content = unseal(MAGIC, bytes)?;
    if content.len() < 8 {
        return damaged(bytes.len(), "it ends within its stamp");
    }
    Ok((u64_at(content, 0), bytes.slice(PREFIX + 8..)))
}
