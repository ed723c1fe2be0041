//! The identity of a journal in a local directory.
//!
//! ```text
//!  0      16         24
//!  +------+----------+
//!  |prefix| identity |
//!  +------+----------+
//! ```
//!
//! An object store keeps it in the claim object.

use super::{FormatError, PREFIX, damaged, seal, u64_at, unseal};

const MAGIC: [u8; 8] = *b"leapiden";

pub(crate) fn encode(identity: u64) -> Vec<u8> {
    seal(MAGIC, &identity.to_le_bytes())
}

pub(crate) fn decode(bytes: &[u8]) -> Result<u64, FormatError> {
    let content = unseal(MAGIC, bytes)?;
    if content.len() != 8 {
        return damaged(PREFIX, "it is not as long as an identity");
    }
    Ok(u64_at(content, 0))
}
