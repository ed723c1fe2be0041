//! A file's bytes, shared between copies until one is written.
//!
//! Copies are taken for every capture and every level of speculation, so they must cost next to
//! nothing: the bytes are in chunks, and a write copies the chunk that it touches.

use std::fmt;
use std::sync::Arc;

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::abi::Errno;

/// Bytes of a chunk.
const CHUNK_BYTES: usize = 64 << 10;

/// Bytes that remembering a chunk takes, whatever is in it.
const CHUNK_PLACE_BYTES: usize = size_of::<Arc<Vec<u8>>>();

/// A file in memory is no longer than this: a hole costs nothing, but its chunks are counted.
pub(super) const LONGEST_BYTES: u64 = 1 << 36;

/// The bytes of a file.
///
/// Invariants: there are exactly as many chunks as the length needs; a chunk is as long as
/// [`CHUNK_BYTES`] or empty, for zeros; bytes of the last chunk behind the length are zeros.
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
            match self.chunks[chunk].get(within) {
                Some(bytes) => part.copy_from_slice(bytes),
                None => part.fill(0),
            }
        }
        readable
    }

    /// Bytes of memory that it takes, but for what copies share.
    pub(crate) fn taken_bytes(&self) -> u64 {
        let chunks = self.chunks.iter().filter(|chunk| !chunk.is_empty());
        (chunks.count() * CHUNK_BYTES + self.chunks.len() * CHUNK_PLACE_BYTES) as u64
    }

    /// Bytes of memory that a write of `len` bytes at `offset` takes more than that.
    pub(crate) fn bytes_to_take(&self, offset: u64, len: usize) -> u64 {
        let is_there = |chunk: usize| {
            self.chunks
                .get(chunk)
                .is_some_and(|chunk| !chunk.is_empty())
        };
        let new = pieces(offset, len).filter(|(chunk, ..)| !is_there(*chunk));
        let chunks = new.count() as u64 * CHUNK_BYTES as u64;
        chunks + self.places_to_take(offset.saturating_add(len as u64))
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
            chunk.resize(CHUNK_BYTES, 0);
            chunk[within.clone()].copy_from_slice(&bytes[at..at + within.len()]);
        }
        Ok(())
    }

    /// Cuts the file, or lengthens it by zeros.
    pub(crate) fn set_len(&mut self, len: u64) -> Result<(), Errno> {
        if len > LONGEST_BYTES {
            return Err(Errno::Fbig);
        }
        let chunks = len.div_ceil(CHUNK_BYTES as u64) as usize;
        self.chunks.resize(chunks, Arc::default());
        let in_last = (len % CHUNK_BYTES as u64) as usize;
        if let Some(last) = self
            .chunks
            .last_mut()
            .filter(|_| len < self.len && in_last > 0)
            && !last.is_empty()
        {
            Arc::make_mut(last)[in_last..].fill(0);
        }
        self.len = len;
        Ok(())
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
        let whole = chunks
            .iter()
            .all(|ChunkBuf(chunk)| chunk.is_empty() || chunk.len() == CHUNK_BYTES);
        if !as_many || !whole || len > LONGEST_BYTES {
            return Err(D::Error::custom("a file's chunks do not fit its length"));
        }
        let chunks = chunks.into_iter().map(|ChunkBuf(chunk)| Arc::new(chunk));
        let mut contents = Self {
            len,
            chunks: chunks.collect(),
        };
        // Zeros behind the end, which a forged image need not have.
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
        assert_eq!(contents.write_at(u64::MAX, &[1, 2]), Err(Errno::Fbig));
        assert_eq!(contents.write_at(1 << 60, &[1]), Err(Errno::Fbig));
    }
}
