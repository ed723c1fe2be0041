//! Segments: what a journal is cut into.
//!
//! ```text
//!  a segment of a local directory: a file that grows batch by batch, then zeros
//!  0      16            24         32                    40              48
//!  +------+-------------+----------+---------------------+---------------+-------+-------+---------
//!  |prefix| incarnation | sequence | parent: incarnation | parent: length| batch | batch | 0 0 0 ...
//!  +------+-------------+----------+---------------------+---------------+-------+-------+---------
//!
//!  a segment of an object store: an immutable object with one batch, or with none (a fence)
//!  0      16            24         32        40        48
//!  +------+-------------+----------+---------+---------+-------+
//!  |prefix| incarnation | sequence | settled | 0       | batch |
//!  +------+-------------+----------+---------+---------+-------+
//! ```
//!
//! `parent` names the segment with the sequence number one lower that this one continues, and how many of its bytes
//! count; incarnation 0 says that there is none. `settled` says that all segments below this number were durable when
//! this one was written, so a hole among them is damage and not a write that never happened.

use super::{FormatError, PREFIX, damaged, seal, u64_at, unseal};

const FILE: [u8; 8] = *b"leapsegf";
const OBJECT: [u8; 8] = *b"leapsego";

/// Length of a segment's header in bytes; the first batch follows it.
pub(crate) const HEADER: usize = PREFIX + 32;

/// Header of a segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) incarnation: u64,
    pub(crate) sequence: u64,
    pub(crate) parent: Option<Parent>,
}

/// What a segment file continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parent {
    pub(crate) incarnation: u64,
    /// Bytes of the parent that were adopted; what comes after them is never read.
    pub(crate) length: u64,
}

/// Header of a segment object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ObjectHeader {
    pub(crate) incarnation: u64,
    pub(crate) sequence: u64,
    pub(crate) settled: u64,
}

impl FileHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (parent, length) = match self.parent {
            Some(parent) => (parent.incarnation, parent.length),
            None => (0, 0),
        };
        encode(FILE, [self.incarnation, self.sequence, parent, length])
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let [incarnation, sequence, parent, length] = decode(FILE, bytes)?;
        let parent = (parent != 0).then_some(Parent {
            incarnation: parent,
            length,
        });
        if parent.is_some() && (sequence == 0 || length < HEADER as u64) {
            return damaged(PREFIX, "it continues a segment that cannot be");
        }
        Ok(Self {
            incarnation,
            sequence,
            parent,
        })
    }
}

impl ObjectHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        encode(OBJECT, [self.incarnation, self.sequence, self.settled, 0])
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let [incarnation, sequence, settled, _] = decode(OBJECT, bytes)?;
        if settled > sequence {
            return damaged(PREFIX, "it settles later segments");
        }
        Ok(Self {
            incarnation,
            sequence,
            settled,
        })
    }
}

fn encode(magic: [u8; 8], fields: [u64; 4]) -> Vec<u8> {
    seal(magic, fields.map(u64::to_le_bytes).as_flattened())
}

fn decode(magic: [u8; 8], bytes: &[u8]) -> Result<[u64; 4], FormatError> {
    let content = unseal(magic, &bytes[..bytes.len().min(HEADER)])?;
    if content.len() != HEADER - PREFIX {
        return damaged(bytes.len(), "it ends within its header");
    }
    Ok([0, 8, 16, 24].map(|at| u64_at(content, at)))
}
