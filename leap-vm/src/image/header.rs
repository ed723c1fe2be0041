//! The first page of an image: what it is, what reading it takes, and where everything lies.
//!
//! ```text
//!    0   8  magic "leapimag"
//!    8   4  format, little-endian
//!   12   4  CRC-32C of all else in this page, little-endian
//!   16   4  length of the body
//!   20   …  body
//!    …      zeros up to 4096
//!
//! body      kind:u8 base compression:u8 module[32] stops[32] features sections
//! base      for kind 1: id[32] name
//! features  count:u32 (name)…
//! sections  6 × (offset:u64 stored:u64 length:u64 crc:u32), in the order of `Section`
//! ```
//!
//! The first 16 bytes are as in everything that Leap keeps. The id of an image is the SHA-256 of this
//! page, which has the checksums of all else.

use leap_instrument::ModuleHash;
use sha2::{Digest as _, Sha256};

use super::error::ImageError;
use super::wire::{Decoder, Encoder};
use super::{Compression, ImageId};

pub(super) const MAGIC: &[u8; 8] = b"leapimag";
/// The newest format, which is what is written.
pub(super) const FORMAT: u32 = 1;
/// Bytes of the header with its zeros: the pages behind it are aligned.
pub(super) const HEADER_BYTES: usize = 4096;
/// What is before the body.
const PREFIX_BYTES: usize = 20;

/// A section but for the pages, uncompressed, is no longer than this: a short file must not fill the
/// memory.
pub(crate) const LONGEST_SECTION_BYTES: u64 = 1 << 30;

/// What a reader must be able to do. An image names what it takes, so that a reader that cannot
/// do it says so.
pub(super) const FEATURES: &[&str] = &["delta", "frames", "wasi-preview1", "zstd"];

/// The parts behind the header, in their order in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// The contents of pages, in blocks.
    Pages,
    /// Length and checksum of each block of pages.
    Blocks,
    /// Which pages of which memory have which contents.
    Index,
    /// The captured process in network form.
    Process,
    /// The system interface's state.
    System,
    /// The original module; may be empty.
    Module,
}

impl Section {
    pub(super) const ALL: [Self; 6] = [
        Self::Pages,
        Self::Blocks,
        Self::Index,
        Self::Process,
        Self::System,
        Self::Module,
    ];

    /// Its name in errors.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pages => "pages",
            Self::Blocks => "list of blocks",
            Self::Index => "index of pages",
            Self::Process => "process state",
            Self::System => "system state",
            Self::Module => "module",
        }
    }
}

/// Where a section lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u64,
    /// Bytes in the file; fewer than `length` when it is compressed.
    pub(super) stored: u64,
    pub(super) length: u64,
    /// Of the bytes in the file. 0 for the pages, whose blocks have their own.
    pub(super) crc: u32,
}

/// What an image's changes are relative to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// The image.
    pub id: ImageId,
    /// The name of its file, in the same directory.
    pub name: String,
}

/// The header of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) base: Option<Base>,
    pub(super) compression: Compression,
    pub(super) module: ModuleHash,
    /// SHA-256 of the module's encoded stop map.
    pub(super) stops: [u8; 32],
    pub(super) features: Vec<String>,
    pub(super) sections: [Place; 6],
}

impl Header {
    pub(super) fn place(&self, section: Section) -> Place {
        self.sections[section as usize]
    }

    /// The header's page, and the image's id.
    pub(super) fn encode(&self) -> (Vec<u8>, ImageId) {
        let mut body = Encoder::default();
        body.u8(self.base.is_some().into());
        if let Some(base) = &self.base {
            body.raw(&base.id.0);
            body.bytes(base.name.as_bytes());
        }
        body.u8(match self.compression {
            Compression::None => 0,
            Compression::Zstd { .. } => 1,
        });
        body.raw(self.module.as_bytes());
        body.raw(&self.stops);
        body.count(self.features.len());
        for feature in &self.features {
            body.bytes(feature.as_bytes());
        }
        for place in &self.sections {
            body.u64(place.offset);
            body.u64(place.stored);
            body.u64(place.length);
            body.u32(place.crc);
        }
        let body = body.finish();
        let mut page = Vec::with_capacity(HEADER_BYTES);
        page.extend_from_slice(MAGIC);
        page.extend_from_slice(&FORMAT.to_le_bytes());
        page.extend_from_slice(&[0; 4]);
        page.extend_from_slice(&(body.len() as u32).to_be_bytes());
        page.extend_from_slice(&body);
        assert!(page.len() <= HEADER_BYTES, "a header of more than a page");
        page.resize(HEADER_BYTES, 0);
        let crc = checksum(&page);
        page[12..16].copy_from_slice(&crc.to_le_bytes());
        let id = ImageId(Sha256::digest(&page).into());
        (page, id)
    }

    /// Reads a header's page; whatever is behind it in `page` does not matter.
    pub(super) fn decode(page: &[u8]) -> Result<(Self, ImageId), ImageError> {
        const DAMAGED: ImageError = ImageError::Damaged { what: "header" };
        if page.get(..8) != Some(MAGIC) {
            return Err(ImageError::NotAnImage);
        }
        let page = page.get(..HEADER_BYTES).ok_or(DAMAGED)?;
        let word = |at: usize| page[at..at + 4].try_into().expect("four bytes");
        let format = u32::from_le_bytes(word(8));
        if format > FORMAT {
            return Err(ImageError::NewerFormat {
                found: format,
                known: FORMAT,
            });
        }
        if format == 0 || checksum(page) != u32::from_le_bytes(word(12)) {
            return Err(DAMAGED);
        }
        let body_end = PREFIX_BYTES.saturating_add(u32::from_be_bytes(word(16)) as usize);
        let body = page.get(PREFIX_BYTES..body_end).ok_or(DAMAGED)?;
        let header = Self::decode_body(body)?;
        Ok((header, ImageId(Sha256::digest(page).into())))
    }

    fn decode_body(body: &[u8]) -> Result<Self, ImageError> {
        let mut from = Decoder::new(body, "header");
        let base = match from.u8()? {
            0 => None,
            1 => Some(Base {
                id: ImageId(from.array()?),
                name: from.string()?,
            }),
            _ => return Err(from.damaged()),
        };
        let compression = match from.u8()? {
            0 => Compression::None,
            1 => Compression::default(),
            _ => return Err(from.damaged()),
        };
        let module = ModuleHash::from_bytes(from.array()?);
        let stops = from.array()?;
        let features = from.many(Decoder::string)?;
        let unknown = features
            .iter()
            .find(|&name| !FEATURES.contains(&name.as_str()));
        if let Some(feature) = unknown {
            return Err(ImageError::UnknownFeature {
                feature: feature.clone(),
            });
        }
        let mut sections = [Place::default(); 6];
        for place in &mut sections {
            *place = Place {
                offset: from.u64()?,
                stored: from.u64()?,
                length: from.u64()?,
                crc: from.u32()?,
            };
        }
        from.finish()?;
        Ok(Self {
            base,
            compression,
            module,
            stops,
            features,
            sections,
        })
    }

    /// Whether the sections lie one after the other, from the header to the end of a file of that
    /// many bytes.
    pub(super) fn fits(&self, file_bytes: u64) -> Result<(), ImageError> {
        let mut end = HEADER_BYTES as u64;
        for (section, place) in Section::ALL.into_iter().zip(&self.sections) {
            let what = section.name();
            if place.offset != end {
                return Err(ImageError::Damaged { what });
            }
            end = end
                .checked_add(place.stored)
                .filter(|&end| end <= file_bytes)
                .ok_or(ImageError::Damaged { what })?;
        }
        match end == file_bytes {
            true => Ok(()),
            false => Err(ImageError::Damaged { what: "end" }),
        }
    }
}

/// Of a header's page but for the checksum itself.
fn checksum(page: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&page[..12]), &page[16..])
}
