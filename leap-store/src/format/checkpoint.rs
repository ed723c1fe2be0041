//! Checkpoint images.
//!
//! ```text
//!  0      16        24
//!  +------+---------+-------------
//!  |prefix| version | payload ...
//!  +------+---------+-------------
//! ```

use bytes::Bytes;

use super::{FormatError, PREFIX, damaged, seal, u64_at, unseal};
use crate::Record;

const MAGIC: [u8; 8] = *b"leapckpt";

pub(crate) fn encode(version: u64, payload: &[u8]) -> Vec<u8> {
    seal(MAGIC, &[&version.to_le_bytes(), payload].concat())
}

pub(crate) fn decode(bytes: &Bytes) -> Result<Record, FormatError> {
    let content = unseal(MAGIC, bytes)?;
    if content.len() < 8 {
        return damaged(bytes.len(), "it ends within its version");
    }
    Ok(Record {
        version: u64_at(content, 0),
        payload: bytes.slice(PREFIX + 8..),
    })
}
