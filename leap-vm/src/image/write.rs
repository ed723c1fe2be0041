//! Writing an image.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use leap_instrument::StopMap;
use sha2::{Digest as _, Sha256};

use super::error::ImageError;
use super::header::{Base, HEADER_BYTES, Header, Place};
use super::pages::{Index, MemoryPages, PageWriter, encode_blocks};
use super::{Compression, ImageId, network};
use crate::state::Captured;

/// What goes into an image.
#[derive(Debug)]
pub struct Contents<'a> {
    /// The process but for its pages.
    pub captured: &'a Captured,
    /// The stops of its module.
    pub stops: StopsDigest,
    /// The system interface's state.
    pub system: &'a [u8],
    /// The original module; without it the image can be used only by who has the module.
    pub module: Option<&'a [u8]>,
    /// The memories in their order. Relative to `base`, if there is one.
    pub memories: Vec<MemoryPages<'a>>,
    /// The image that the memories are relative to.
    pub base: Option<Base>,
}

/// Writes an image at the beginning of `out`. The header comes last: a file that was not written
/// to its end is no image.
///
/// # Errors
///
/// [`ImageError::File`].
pub fn write(
    out: &mut (impl Write + Seek),
    contents: &Contents<'_>,
    compression: Compression,
) -> Result<ImageId, ImageError> {
    let failed = || ImageError::file("write");
    out.write_all(&[0; HEADER_BYTES]).map_err(failed())?;

    let mut pages = PageWriter::new(&mut *out, compression)?;
    let memories = contents.memories.iter();
    let memories = memories
        .map(|memory| pages.memory(memory))
        .collect::<Result<_, _>>()?;
    let (blocks, stored, count) = pages.finish()?;
    let index = Index {
        contents: count,
        memories,
    };
    let mut sections = vec![Place {
        offset: HEADER_BYTES as u64,
        stored,
        length: stored,
        crc: 0,
    }];
    for bytes in [
        encode_blocks(&blocks),
        index.encode(),
        network::encode(contents.captured),
        contents.system.to_vec(),
        contents.module.unwrap_or_default().to_vec(),
    ] {
        let last = sections.last().expect("the pages come first");
        let section = write_section(out, last.offset + last.stored, &bytes)?;
        sections.push(section);
    }

    let mut features = vec!["frames", "wasi-preview1", "zstd"];
    features.extend(contents.base.is_some().then_some("delta"));
    let header = Header {
        base: contents.base.clone(),
        compression,
        module: contents.captured.module,
        stops: contents.stops.0,
        features: features.into_iter().map(str::to_owned).collect(),
        sections: sections.try_into().expect("there are six"),
    };
    let (page, id) = header.encode();
    out.seek(SeekFrom::Start(0)).map_err(failed())?;
    out.write_all(&page).map_err(failed())?;
    out.flush().map_err(failed())?;
    Ok(id)
}

/// Writes an image to `path`: under another name first, and durably before it gets its own. So
/// there is a whole image of that name or none, whatever happens.
///
/// # Errors
///
/// [`ImageError::File`].
pub fn write_file(
    path: &Path,
    contents: &Contents<'_>,
    compression: Compression,
) -> Result<ImageId, ImageError> {
    let failed = || ImageError::file("write");
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = directory.join(format!(".{name}.{}.unfinished", std::process::id()));
    let written = write_durably(&unfinished, contents, compression);
    let id = match written {
        Ok(id) => id,
        Err(error) => {
            // It is of no use, and if it cannot be removed nothing can be done about it.
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
    };
    fs::rename(&unfinished, path).map_err(failed())?;
    let directory = File::open(directory).map_err(failed())?;
    directory.sync_all().map_err(failed())?;
    Ok(id)
}

fn write_durably(
    path: &Path,
    contents: &Contents<'_>,
    compression: Compression,
) -> Result<ImageId, ImageError> {
    let failed = || ImageError::file("write");
    let mut file = File::create(path).map_err(failed())?;
    let id = write(&mut file, contents, compression)?;
    file.sync_data().map_err(failed())?;
    Ok(id)
}

/// Compressed if that makes it shorter.
fn write_section(out: &mut impl Write, offset: u64, bytes: &[u8]) -> Result<Place, ImageError> {
    const LEVEL: i32 = 1;
    let compressed =
        zstd::bulk::compress(bytes, LEVEL).map_err(ImageError::file("compress a part of"))?;
    let stored = match compressed.len() < bytes.len() {
        true => compressed.as_slice(),
        false => bytes,
    };
    out.write_all(stored).map_err(ImageError::file("write"))?;
    Ok(Place {
        offset,
        stored: stored.len() as u64,
        length: bytes.len() as u64,
        crc: crc32c::crc32c(stored),
    })
}

/// SHA-256 of a module's encoded stop map: what an image must fit. It takes a while for a large
/// module, so it is computed once for many images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopsDigest(pub(super) [u8; 32]);

impl StopsDigest {
    /// That of a stop map.
    pub fn of(stops: &StopMap) -> Self {
        Self(Sha256::digest(stops.encode()).into())
    }
}
