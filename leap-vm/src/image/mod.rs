//! Process images: a captured process as one file, which any machine can go on from.
//!
//! An image is *full*, or a *delta* against an earlier image of the same process. Pages are kept
//! once however often they occur, zeros and unchanged pages not at all. Everything in the file is
//! covered by a checksum, so damage is refused as such; what can be wrong in spite of right
//! checksums (an image made by hand) is found here or by [`Process::rebuild`](crate::Process), before
//! anything of it runs. The layout is in docs/formats.md and above each part's code.
//!
//! With [`Compression::None`] the pages of a full image lie in the file as they are, aligned, so
//! that a memory can map them ([`Chain::map_into`]): the process starts before they are read. That
//! is worth its place on a local disk; for anything that travels, compress.
//!
//! This module knows neither the engine nor the system interface, whose state is bytes to it.

mod error;
mod header;
mod network;
mod pages;
mod read;
#[cfg(test)]
mod tests;
mod wire;
mod write;

use std::fmt;

pub use error::ImageError;
pub use header::Base;
pub(crate) use header::LONGEST_SECTION_BYTES;
pub use pages::MemoryPages;
pub use read::{Chain, Image};
pub use write::{Contents, StopsDigest, is_unfinished, write, write_file};

/// Names an image by what is in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageId([u8; 32]);

impl fmt::Display for ImageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As much as people can compare.
        self.0[..8]
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for ImageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ImageId({self})")
    }
}

/// How the pages of an image are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all: they can be mapped.
    None,
    /// By zstd.
    Zstd {
        /// Its level; negative ones are faster.
        level: i32,
    },
}

impl Default for Compression {
    /// The level that compresses about as fast as a disk writes.
    fn default() -> Self {
        Self::Zstd { level: 1 }
    }
}
