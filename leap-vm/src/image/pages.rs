//! Pages in an image: their contents, each only once, in blocks; and the index that says which
//! page of which memory has which.
//!
//! ```text
//! pages    block … block                     64 contents each, the last may have fewer
//! block    64 × 4096 bytes, or a zstd frame of them: whichever is shorter
//! blocks   count:u32 (stored:u32 crc:u32)…
//! index    contents:u64 memories:u32 (bytes:u64 runs:u32 (run)…)…
//! run      first:u64 pages:u32 content:u64   content 2^64 - 1: they are all zeros
//! ```
//!
//! The pages of a run have consecutive contents. Pages that no run names are zeros in a full image
//! and as they were in a delta.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::ops::Range;

use leap_memory::{Delta, PAGE_BYTES, Version};

use super::Compression;
use super::error::ImageError;
use super::wire::{Decoder, Encoder};

/// Contents in a block.
pub(super) const BLOCK_PAGES: u64 = 64;
const ZEROS: u64 = u64::MAX;

/// What goes into an image of one memory.
#[derive(Debug, Default)]
pub struct MemoryPages<'a> {
    /// The memory's length.
    pub length_bytes: u64,
    /// Numbers and contents of pages, in order.
    pub pages: Vec<(u64, &'a [u8])>,
    /// Numbers of pages that became zeros, in order: runs of first and one after the last.
    pub zeroed: Vec<Range<u64>>,
}

impl<'a> From<&'a Delta> for MemoryPages<'a> {
    fn from(delta: &'a Delta) -> Self {
        Self {
            length_bytes: delta.length_bytes() as u64,
            pages: delta
                .pages()
                .map(|(page, bytes)| (page as u64, bytes))
                .collect(),
            zeroed: runs(delta.zeroed().runs()),
        }
    }
}

impl<'a> MemoryPages<'a> {
    /// All pages of a memory: those of `copy`, under those of `changes`, which came later.
    pub(crate) fn layered(copy: &'a Delta, changes: &'a Delta) -> Self {
        let length_bytes = changes.length_bytes() as u64;
        let number = |(page, bytes): (usize, &'a [u8])| (page as u64, bytes);
        let mut pages: BTreeMap<u64, &'a [u8]> = copy.pages().map(number).collect();
        pages.retain(|page, _| {
            let is_zeroed = changes.zeroed().contains(*page as usize);
            !is_zeroed && page * (PAGE_BYTES as u64) < length_bytes
        });
        pages.extend(changes.pages().map(number));
        Self {
            length_bytes,
            pages: pages.into_iter().collect(),
            zeroed: Vec::new(),
        }
    }
}

impl<'a> From<&Version<'a>> for MemoryPages<'a> {
    fn from(version: &Version<'a>) -> Self {
        Self {
            length_bytes: version.length_bytes() as u64,
            pages: version
                .pages()
                .map(|(page, bytes)| (page as u64, bytes))
                .collect(),
            zeroed: runs(version.zeroed().runs()),
        }
    }
}

fn runs(runs: impl Iterator<Item = Range<usize>>) -> Vec<Range<u64>> {
    runs.map(|run| run.start as u64..run.end as u64).collect()
}

/// Pages of a memory that follow each other, as the index has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IndexRun {
    pub(super) first: u64,
    pub(super) pages: u32,
    /// Number of the first one's content; none: zeros.
    pub(super) content: Option<u64>,
}

/// The index of one memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MemoryIndex {
    pub(super) length_bytes: u64,
    pub(super) runs: Vec<IndexRun>,
}

/// The index of all memories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    /// How many different contents there are.
    pub(super) contents: u64,
    pub(super) memories: Vec<MemoryIndex>,
}

/// One block of contents, as it lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) stored: u32,
    pub(super) crc: u32,
}

/// Writes contents and notes what the index needs.
pub(super) struct PageWriter<'a, W> {
    out: W,
    compressor: Option<zstd::bulk::Compressor<'static>>,
    /// Contents by their checksum, for finding equal ones.
    known: HashMap<u32, Vec<u64>>,
    contents: Vec<&'a [u8]>,
    pending: Vec<u8>,
    blocks: Vec<Block>,
    stored: u64,
}

impl<'a, W: Write> PageWriter<'a, W> {
    pub(super) fn new(out: W, compression: Compression) -> Result<Self, ImageError> {
        let compressor = match compression {
            Compression::None => None,
            Compression::Zstd { level } => Some(
                zstd::bulk::Compressor::new(level)
                    .map_err(ImageError::file("compress pages of"))?,
            ),
        };
        Ok(Self {
            out,
            compressor,
            known: HashMap::new(),
            contents: Vec::new(),
            pending: Vec::with_capacity(BLOCK_PAGES as usize * PAGE_BYTES),
            blocks: Vec::new(),
            stored: 0,
        })
    }

    /// Writes what is new of `memory`'s pages and answers its index.
    pub(super) fn memory(&mut self, memory: &MemoryPages<'a>) -> Result<MemoryIndex, ImageError> {
        let mut runs: Vec<IndexRun> = Vec::new();
        let mut zeroed = memory.zeroed.iter().peekable();
        for &(page, bytes) in &memory.pages {
            while let Some(zeros) = zeroed.next_if(|zeros| zeros.start < page) {
                runs.extend(zero_runs(zeros));
            }
            let content = self.content(bytes)?;
            match runs.last_mut() {
                Some(run) if run.goes_on_with(page, content) => run.pages += 1,
                _ => runs.push(IndexRun {
                    first: page,
                    pages: 1,
                    content: Some(content),
                }),
            }
        }
        runs.extend(zeroed.flat_map(zero_runs));
        Ok(MemoryIndex {
            length_bytes: memory.length_bytes,
            runs,
        })
    }

    /// The number of this content, which is written if it is new.
    fn content(&mut self, bytes: &'a [u8]) -> Result<u64, ImageError> {
        let number = self.contents.len() as u64;
        let alike = self.known.entry(crc32c::crc32c(bytes)).or_default();
        let same = alike
            .iter()
            .find(|&&other| self.contents[other as usize] == bytes);
        if let Some(&same) = same {
            return Ok(same);
        }
        alike.push(number);
        self.contents.push(bytes);
        self.pending.extend_from_slice(bytes);
        if (self.contents.len() as u64).is_multiple_of(BLOCK_PAGES) {
            self.write_block()?;
        }
        Ok(number)
    }

    fn write_block(&mut self) -> Result<(), ImageError> {
        let compressed = match &mut self.compressor {
            None => None,
            Some(compressor) => Some(
                compressor
                    .compress(&self.pending)
                    .map_err(ImageError::file("compress pages of"))?,
            ),
        };
        let bytes = match &compressed {
            Some(compressed) if compressed.len() < self.pending.len() => compressed,
            _ => &self.pending,
        };
        self.out
            .write_all(bytes)
            .map_err(ImageError::file("write"))?;
        self.blocks.push(Block {
            stored: bytes.len() as u32,
            crc: crc32c::crc32c(bytes),
        });
        self.stored += bytes.len() as u64;
        self.pending.clear();
        Ok(())
    }

    /// Writes the last block. Answers the blocks, the bytes that they take in the file, and how
    /// many contents there are.
    pub(super) fn finish(mut self) -> Result<(Vec<Block>, u64, u64), ImageError> {
        if !self.pending.is_empty() {
            self.write_block()?;
        }
        Ok((self.blocks, self.stored, self.contents.len() as u64))
    }
}

impl IndexRun {
    fn goes_on_with(&self, page: u64, content: u64) -> bool {
        self.pages < u32::MAX
            && self.first + u64::from(self.pages) == page
            && self.content.map(|first| first + u64::from(self.pages)) == Some(content)
    }

    pub(super) fn end(&self) -> u64 {
        self.first.saturating_add(self.pages.into())
    }
}

fn zero_runs(zeros: &Range<u64>) -> impl Iterator<Item = IndexRun> + use<> {
    let end = zeros.end;
    (zeros.start..end)
        .step_by(u32::MAX as usize)
        .map(move |first| IndexRun {
            first,
            pages: (end - first).min(u32::MAX.into()) as u32,
            content: None,
        })
}

impl Index {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.u64(self.contents);
        out.count(self.memories.len());
        for memory in &self.memories {
            out.u64(memory.length_bytes);
            out.count(memory.runs.len());
            for run in &memory.runs {
                out.u64(run.first);
                out.u32(run.pages);
                out.u64(run.content.unwrap_or(ZEROS));
            }
        }
        out.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, ImageError> {
        let mut from = Decoder::new(bytes, "index of pages");
        let contents = from.u64()?;
        let memories = from.many(|from| {
            let length_bytes = from.u64()?;
            let runs = from.many(|from| {
                Ok(IndexRun {
                    first: from.u64()?,
                    pages: from.u32()?,
                    content: Some(from.u64()?).filter(|&content| content != ZEROS),
                })
            })?;
            Ok(MemoryIndex { length_bytes, runs })
        })?;
        let index = Self { contents, memories };
        match index.is_sound() {
            true => Ok(index),
            false => Err(from.damaged()),
        }
        .and_then(|index| from.finish().map(|()| index))
    }

    /// Whether the runs are in order and within their memories, and name contents that there are.
    fn is_sound(&self) -> bool {
        self.memories.iter().all(|memory| {
            let mut free_from = 0;
            let in_order = memory.runs.iter().all(|run| {
                let is_next = run.pages > 0 && run.first >= free_from;
                free_from = run.end();
                is_next
            });
            let known = memory.runs.iter().all(|run| {
                let end = run.content.unwrap_or(0).checked_add(run.pages.into());
                run.content.is_none() || end.is_some_and(|end| end <= self.contents)
            });
            in_order && known && free_from <= memory.length_bytes / PAGE_BYTES as u64
        })
    }
}

pub(super) fn encode_blocks(blocks: &[Block]) -> Vec<u8> {
    let mut out = Encoder::default();
    out.count(blocks.len());
    for block in blocks {
        out.u32(block.stored);
        out.u32(block.crc);
    }
    out.finish()
}

/// The blocks of `contents` contents that take `stored` bytes in all.
pub(super) fn decode_blocks(
    bytes: &[u8],
    contents: u64,
    stored: u64,
) -> Result<Vec<Block>, ImageError> {
    let mut from = Decoder::new(bytes, "list of blocks");
    let blocks = from.many(|from| {
        Ok(Block {
            stored: from.u32()?,
            crc: from.u32()?,
        })
    })?;
    let all: u64 = blocks.iter().map(|block| u64::from(block.stored)).sum();
    if blocks.len() as u64 != contents.div_ceil(BLOCK_PAGES) || all != stored {
        return Err(from.damaged());
    }
    from.finish()?;
    Ok(blocks)
}
