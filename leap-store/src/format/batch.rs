//! Batches: what is written, checked and lost as a whole.
//!
//! ```text
//!  0        4        8               12              16
//!  +--------+--------+---------------+---------------+-------+-------+------------------+
//!  | marker | length | head checksum | body checksum | entry | entry | 0 up to 8 bytes  |
//!  +--------+--------+---------------+---------------+-------+-------+------------------+
//!                                                    |--- length ----|
//!  entry:  record      1 | version | length (4) | payload
//!          truncation  2 | version
//!          checkpoint  3 | version | incarnation | number | base
//! ```
//!
//! The head checksum covers the head and, although they are not stored, the segment's incarnation and sequence number
//! and the batch's offset. So bytes that look like a batch but lie in the wrong place (a payload that holds a journal,
//! a stale disk block) are no batch.
//!
//! **What a bad batch means.** A batch of a segment file is written only after the one before it was synced. So a bad
//! batch that is followed by the head of another one was durable once: that is damage, and an error. A bad batch with
//! nothing after it was being written at a crash: none of it was acknowledged, and it is dropped as a torn tail.

use bytes::Bytes;

use super::{FormatError, damaged, u32_at, u64_at};
use crate::Record;

const MARKER: u32 = u32::from_le_bytes(*b"btch");
const HEAD: usize = 16;
const ALIGNMENT: usize = 8;

/// What a journal holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    Record(Record),
    /// Drops all records and checkpoints above `version`.
    Truncation {
        version: u64,
    },
    Checkpoint(Mark),
}

/// Says that a checkpoint image is durable and may stand for all records up to its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    pub(crate) version: u64,
    /// With `number`, the image's name.
    pub(crate) incarnation: u64,
    pub(crate) number: u64,
    /// No segment below this sequence number is needed on top of the image.
    pub(crate) base: u64,
}

impl Entry {
    pub(crate) fn encoded_length(&self) -> usize {
        match self {
            Self::Record(record) => 13 + record.payload.len(),
            Self::Truncation { .. } => 9,
            Self::Checkpoint(_) => 33,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Record(record) => {
                out.push(1);
                out.extend_from_slice(&record.version.to_le_bytes());
                out.extend_from_slice(&(record.payload.len() as u32).to_le_bytes());
                out.extend_from_slice(&record.payload);
            }
            Self::Truncation { version } => {
                out.push(2);
                out.extend_from_slice(&version.to_le_bytes());
            }
            Self::Checkpoint(mark) => {
                out.push(3);
                for field in [mark.version, mark.incarnation, mark.number, mark.base] {
                    out.extend_from_slice(&field.to_le_bytes());
                }
            }
        }
    }
}

/// Where a batch lies; part of what its checksum covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) incarnation: u64,
    pub(crate) sequence: u64,
    pub(crate) offset: u64,
}

/// Appends the batch of `entries` to `out`, which is empty or ends on a batch's end.
pub(crate) fn encode<'a>(
    place: Place,
    entries: impl IntoIterator<Item = &'a Entry>,
    out: &mut Vec<u8>,
) {
    encode_with(place, out, |out| {
        for entry in entries {
            entry.encode(out);
        }
    });
}

/// Appends a batch whose body `write_body` writes.
pub(super) fn encode_with(place: Place, out: &mut Vec<u8>, write_body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.resize(start + HEAD, 0);
    write_body(out);
    let length = out.len() - start - HEAD;
    assert!(length > 0, "a batch holds something");
    let length = u32::try_from(length).expect("a batch is cut long before 4 GiB");
    let body = crc32c::crc32c(&out[start + HEAD..]);
    out[start..start + 4].copy_from_slice(&MARKER.to_le_bytes());
    out[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    out[start + 8..start + 12].copy_from_slice(&head_checksum(place, length, body).to_le_bytes());
    out[start + 12..start + 16].copy_from_slice(&body.to_le_bytes());
    out.resize(start + (out.len() - start).next_multiple_of(ALIGNMENT), 0);
}

fn head_checksum(place: Place, length: u32, body: u32) -> u32 {
    let identity = [place.incarnation, place.sequence, place.offset].map(u64::to_le_bytes);
    let head = [MARKER, length, body].map(u32::to_le_bytes);
    crc32c::crc32c_append(crc32c::crc32c(identity.as_flattened()), head.as_flattened())
}

/// What the batches of a segment hold.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scan {
    pub(crate) entries: Vec<Entry>,
    /// Offset behind the last good batch.
    pub(crate) end: usize,
    /// Why reading stopped there, when it was not the segment's clean end.
    pub(crate) torn: Option<&'static str>,
}

/// Reads the batches of one segment from `place.offset` on; `bytes` is the whole segment.
///
/// Fails when a batch that was durable once is damaged.
pub(crate) fn scan(place: Place, bytes: &Bytes) -> Result<Scan, FormatError> {
    let mut entries = Vec::new();
    let mut end = place.offset as usize;
    let torn = loop {
        match decode_at(place, bytes, end) {
            Ok(Some(next)) => {
                decode_entries(bytes, end + HEAD, next.body_end, &mut entries)?;
                end = next.end;
            }
            Ok(None) => break None,
            Err(reason) => break Some(reason),
        }
    };
    if let Some(reason) = torn
        && has_later_batch(place, bytes, end)
    {
        return damaged(end, reason);
    }
    Ok(Scan { entries, end, torn })
}

struct Extent {
    body_end: usize,
    end: usize,
}

/// Checks the batch at `offset`; `None` when the segment ends cleanly there.
fn decode_at(place: Place, bytes: &[u8], offset: usize) -> Result<Option<Extent>, &'static str> {
    let rest = &bytes[offset.min(bytes.len())..];
    let Some(head) = rest.get(..HEAD) else {
        return clean_end(rest, "it ends within a batch's head");
    };
    let Some((length, body_checksum)) = decode_head(place, head, offset) else {
        return clean_end(rest, "a batch's head is bad");
    };
    let Some(body) = rest.get(HEAD..HEAD + length) else {
        return Err("it ends within a batch");
    };
    if crc32c::crc32c(body) != body_checksum {
        return Err("a batch's checksum does not fit");
    }
    let end = (HEAD + length).next_multiple_of(ALIGNMENT);
    if rest
        .get(HEAD + length..end)
        .is_none_or(|rest| rest.iter().any(|&byte| byte != 0))
    {
        return Err("a batch is not padded with zeros");
    }
    Ok(Some(Extent {
        body_end: offset + HEAD + length,
        end: offset + end,
    }))
}

fn clean_end(rest: &[u8], otherwise: &'static str) -> Result<Option<Extent>, &'static str> {
    if rest.iter().all(|&byte| byte == 0) {
        Ok(None)
    } else {
        Err(otherwise)
    }
}

fn decode_head(place: Place, head: &[u8], offset: usize) -> Option<(usize, u32)> {
    let (length, body) = (u32_at(head, 4), u32_at(head, 12));
    let place = Place {
        offset: offset as u64,
        ..place
    };
    let good = u32_at(head, 0) == MARKER
        && length > 0
        && u32_at(head, 8) == head_checksum(place, length, body);
    good.then_some((length as usize, body))
}

/// Whether a batch begins anywhere behind the bad one at `offset`.
fn has_later_batch(place: Place, bytes: &[u8], offset: usize) -> bool {
    (offset + ALIGNMENT..bytes.len())
        .step_by(ALIGNMENT)
        .take_while(|later| later + HEAD <= bytes.len())
        .any(|later| decode_head(place, &bytes[later..later + HEAD], later).is_some())
}

/// Reads the entries of a body whose checksum fits, so failures mean a program that wrote nonsense.
fn decode_entries(
    bytes: &Bytes,
    mut at: usize,
    end: usize,
    entries: &mut Vec<Entry>,
) -> Result<(), FormatError> {
    while at < end {
        let Some((entry, next)) = decode_entry(bytes, at, end) else {
            return damaged(at, "a batch holds no such entry");
        };
        entries.push(entry);
        at = next;
    }
    Ok(())
}

fn decode_entry(bytes: &Bytes, at: usize, end: usize) -> Option<(Entry, usize)> {
    let rest = &bytes[at..end];
    let long = |field: usize| Some(u64_at(rest.get(1 + 8 * field..9 + 8 * field)?, 0));
    let version = long(0)?;
    let entry = match rest[0] {
        1 => {
            let length = u32_at(rest.get(9..13)?, 0) as usize;
            rest.get(13..13 + length)?;
            Entry::Record(Record {
                version,
                payload: bytes.slice(at + 13..at + 13 + length),
            })
        }
        2 => Entry::Truncation { version },
        3 => Entry::Checkpoint(Mark {
            version,
            incarnation: long(1)?,
            number: long(2)?,
            base: long(3)?,
        }),
        _ => return None,
    };
    let length = entry.encoded_length();
    Some((entry, at + length))
}
