//! A file's bytes, shared between copies until one is written.
//!
//! Copies are taken for every capture and every level of speculation, so they must cost next to
//! nothing: the bytes are in chunks, and a write copies the chunk that it touches. A chunk is no longer
//! than what was written in it, for there may be many small files.

use std::fmt;
use std::sync::Arc;

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::abi::Errno;

/// Bytes of a chunk, at most.
const CHUNK_BYTES: usize = 64 << 10;

/// Bytes that remembering a chunk takes, whatever is in it.
const CHUNK_PLACE_BYTES: usize = size_of::<Arc<Vec<u8>>>();

/// A file in memory is no longer than this: a hole costs nothing, but its chunks are counted.
pub(super) const LONGEST_BYTES: u64 = 1 << 36;

/// The bytes of a file.
///
/// Invariants: there are exactly as many chunks as the length needs; what a chunk lacks of
/// [`CHUNK_BYTES`] is zeros; no chunk has bytes behind the length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    len: u64,
    chunks: Vec<Arc<Vec<u8>>>,
}

impl Contents {
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Copies what there is from `offset` on; answers how much.
    pub(crate) fn read_at(&self, offset: u64, into: &mut [u8]) -> usize {
        let readable = self.len.saturating_sub(offset).min(into.len() as u64) as usize;
        for (chunk, within, at) in pieces(offset, readable) {
            let part = &mut into[at..at + within.len()];
            let chunk = &self.chunks[chunk];
            let there = &chunk[within.start.min(chunk.len())..within.end.min(chunk.len())];
            let (bytes, zeros) = part.split_at_mut(there.len());
            bytes.copy_from_slice(there);
            zeros.fill(0);
        }
        readable
    }

    /// Bytes of memory that it takes, but for what copies share.
    pub(crate) fn taken_bytes(&self) -> u64 {
        let chunks = self.chunks.iter().map(|chunk| room_for(chunk.len()));
        (chunks.sum::<usize>() + self.chunks.len() * CHUNK_PLACE_BYTES) as u64
    }

    /// Bytes of memory that a write of `len` bytes at `offset` takes more than that.
    pub(crate) fn bytes_to_take(&self, offset: u64, len: usize) -> u64 {
        let more = pieces(offset, len).map(|(chunk, within, _)| {
            let before = self.chunks.get(chunk).map_or(0, |chunk| chunk.len());
            (room_for(before.max(within.end)) - room_for(before)) as u64
        });
        more.sum::<u64>() + self.places_to_take(offset.saturating_add(len as u64))
    }

    /// Bytes of memory that a length of `len` bytes takes more.
    pub(crate) fn places_to_take(&self, len: u64) -> u64 {
        let chunks = len.div_ceil(CHUNK_BYTES as u64);
        chunks.saturating_sub(self.chunks.len() as u64) * CHUNK_PLACE_BYTES as u64
    }

    /// Writes all of `bytes` from `offset` on, and lengthens the file as needed.
    pub(crate) fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        let end = offset.checked_add(bytes.len() as u64).ok_or(Errno::Fbig)?;
        if bytes.is_empty() {
            return Ok(());
        }
        self.set_len(self.len.max(end))?;
        for (chunk, within, at) in pieces(offset, bytes.len()) {
            let chunk = Arc::make_mut(&mut self.chunks[chunk]);
            let len = chunk.len().max(within.end);
            chunk.reserve_exact(room_for(len).saturating_sub(chunk.len()));
            chunk.resize(len, 0);
            chunk[within.clone()].copy_from_slice(&bytes[at..at + within.len()]);
        }
        Ok(())
    }

    /// Refuses a length that no file in memory has.
    pub(crate) fn check_len(len: u64) -> Result<(), Errno> {
        match len {
            ..=LONGEST_BYTES => Ok(()),
            _ => Err(Errno::Fbig),
        }
    }

    /// Cuts the file, or lengthens it by zeros.
    pub(crate) fn set_len(&mut self, len: u64) -> Result<(), Errno> {
        Self::check_len(len)?;
        let chunks = len.div_ceil(CHUNK_BYTES as u64) as usize;
        self.chunks.resize(chunks, Arc::default());
        let before_last = chunks.saturating_sub(1) * CHUNK_BYTES;
        let in_last = (len - before_last as u64) as usize;
        if let Some(last) = self.chunks.last_mut()
            && last.len() > in_last
        {
            Arc::make_mut(last).truncate(in_last);
        }
        self.len = len;
        Ok(())
    }
}

/// Bytes of memory that a chunk with so many bytes takes: it grows by doubling.
fn room_for(len: usize) -> usize {
    match len {
        0 => 0,
        len => len.next_power_of_two().max(64),
    }
}

/// The parts of `len` bytes from `offset` on that lie in one chunk each: the chunk, the bytes
/// within it, and how many bytes come before.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (usize, std::ops::Range<usize>, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let at = offset + done as u64;
        let start = (at % CHUNK_BYTES as u64) as usize;
        let end = CHUNK_BYTES.min(start + (len - done));
        let piece = ((at / CHUNK_BYTES as u64) as usize, start..end, done);
        done += end - start;
        Some(piece)
    })
}

/// The bytes of a chunk, as one piece.
struct Chunk<'a>(&'a [u8]);

impl Serialize for Chunk<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

struct ChunkBuf(Vec<u8>);

impl<'de> Deserialize<'de> for ChunkBuf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Piece;
        impl Visitor<'_> for Piece {
            type Value = ChunkBuf;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<ChunkBuf, E> {
                Ok(ChunkBuf(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Piece)
    }
}

impl Serialize for Contents {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let chunks = self.chunks.iter();
        let chunks: Vec<Chunk<'_>> = chunks.map(|chunk| Chunk(chunk)).collect();
        (self.len, chunks).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Contents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (len, chunks) = <(u64, Vec<ChunkBuf>)>::deserialize(deserializer)?;
        let as_many = len.div_ceil(CHUNK_BYTES as u64) == chunks.len() as u64;
        let fit = chunks
            .iter()
            .all(|ChunkBuf(chunk)| chunk.len() <= CHUNK_BYTES);
        if !as_many || !fit || len > LONGEST_BYTES {
            return Err(D::Error::custom("a file's chunks do not fit its length"));
        }
        let chunks = chunks.into_iter().map(|ChunkBuf(chunk)| Arc::new(chunk));
        let mut contents = Self {
            len,
            chunks: chunks.collect(),
        };
        // Nothing behind the end, which a forged image may have.
        contents
            .set_len(len)
            .map_err(|_| D::Error::custom("too long"))?;
        Ok(contents)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(contents: &Contents) -> Vec<u8> {
        let mut bytes = vec![1; contents.len() as usize + 7];
        let read = contents.read_at(0, &mut bytes);
        bytes.truncate(read);
        bytes
    }

    #[test]
    fn contents_are_like_a_vector() {
        let mut contents = Contents::default();
        let mut model: Vec<u8> = Vec::new();
        let writes = [
            (0, 10),
            (CHUNK_BYTES - 3, 7),
            (5 * CHUNK_BYTES + 1, 2 * CHUNK_BYTES),
            (3, 1),
        ];
        for (byte, (offset, len)) in (1_u8..).zip(writes) {
            let before = contents.clone();
            let bytes = vec![byte; len];
            contents.write_at(offset as u64, &bytes).expect("it fits");
            let was = model.clone();
            model.resize(model.len().max(offset + len), 0);
            model[offset..offset + len].copy_from_slice(&bytes);
            assert!(all(&contents) == model);
            assert!(all(&before) == was, "a copy changed with the original");
        }
        for len in [5 * CHUNK_BYTES + 9, 8, 0, 3 * CHUNK_BYTES] {
            contents.set_len(len as u64).expect("it fits");
            model.resize(len, 0);
            assert!(all(&contents) == model);
            let encoded = postcard::to_stdvec(&contents).expect("it can be encoded");
            assert_eq!(postcard::from_bytes(&encoded), Ok(contents.clone()));
        }
        assert_eq!(contents.read_at(u64::MAX, &mut [0; 4]), 0);

        // A byte after the other, and what that takes is known before.
        let mut small = Contents::default();
        for at in 0..200 {
            let taken = small.taken_bytes() + small.bytes_to_take(at, 1);
            small.write_at(at, &[7]).expect("it fits");
            assert_eq!(small.taken_bytes(), taken);
        }
        assert_eq!(small.taken_bytes(), 256 + CHUNK_PLACE_BYTES as u64);
        assert_eq!(contents.write_at(u64::MAX, &[1, 2]), Err(Errno::Fbig));
        assert_eq!(contents.write_at(1 << 60, &[1]), Err(Errno::Fbig));
    }
}
