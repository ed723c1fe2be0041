//! Bytes on the medium. docs/formats.md has the same drawings with the reasons.
//!
//! Everything durable starts with the same 16 bytes, so that any version of the program can tell what it has before it:
//!
//! ```text
//!  0        8        12         16
//!  +--------+--------+----------+-----------
//!  | magic  | format | checksum | content ...
//!  +--------+--------+----------+-----------
//! ```
//!
//! Integers are little-endian. The checksum is the CRC-32C of magic, format and content.

pub(crate) mod batch;
pub(crate) mod checkpoint;
pub(crate) mod identity;
pub(crate) mod register;
pub(crate) mod segment;
#[cfg(test)]
mod tests;

use crate::StoreError;

/// The newest format number that this program reads, and the one it writes.
pub(crate) const FORMAT: u32 = 1;
/// Length of the common beginning in bytes.
pub(crate) const PREFIX: usize = 16;

/// Why bytes were refused, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FormatError {
    /// Written by a newer program.
    Newer { found: u32 },
    /// Not what was written.
    Damaged { offset: u64, reason: &'static str },
}

impl FormatError {
    /// Says what thing the bytes are.
    pub(crate) fn of(self, what: impl Into<String>) -> StoreError {
        let what = what.into();
        match self {
            Self::Newer { found } => StoreError::NewerFormat {
                what,
                found,
                supported: FORMAT,
            },
            Self::Damaged { offset, reason } => StoreError::Corrupt {
                what,
                offset,
                reason: reason.to_owned(),
            },
        }
    }
}

pub(crate) fn damaged<T>(offset: usize, reason: &'static str) -> Result<T, FormatError> {
    Err(FormatError::Damaged {
        offset: offset as u64,
        reason,
    })
}

/// Puts the common beginning before `content`.
pub(crate) fn seal(magic: [u8; 8], content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(PREFIX + content.len());
    bytes.extend_from_slice(&magic);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&checksum(&bytes, content).to_le_bytes());
    bytes.extend_from_slice(content);
    bytes
}

/// Checks the common beginning of `bytes` and hands out the content.
pub(crate) fn unseal(magic: [u8; 8], bytes: &[u8]) -> Result<&[u8], FormatError> {
    let Some((prefix, content)) = bytes.split_at_checked(PREFIX) else {
        return damaged(bytes.len(), "it ends within its header");
    };
    if prefix[..8] != magic {
        return damaged(0, "it does not start with its magic bytes");
    }
    let found = u32_at(prefix, 8);
    if found > FORMAT {
        return Err(FormatError::Newer { found });
    }
    if u32_at(prefix, 12) != checksum(&prefix[..12], content) {
        return damaged(12, "its checksum does not fit");
    }
    Ok(content)
}

fn checksum(magic_and_format: &[u8], content: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(magic_and_format), content)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
