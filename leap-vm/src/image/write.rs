//! Writing an image.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use leap_instrument::StopMap;
use sha2::{Digest as _, Sha256};

use super::error::ImageError;
use super::header::{Base, HEADER_BYTES, Header, LONGEST_SECTION_BYTES, Place, Section};
use super::pages::{Index, MemoryPages, PageWriter, encode_blocks};
use super::wire::ALWAYS_DECODED_BYTES;
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
/// [`ImageError::File`]; [`ImageError::TooLarge`] if it could not be read again.
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
    for (section, bytes) in [
        (Section::Blocks, Cow::from(encode_blocks(&blocks))),
        (Section::Index, index.encode().into()),
        (Section::Process, encode_process(contents.captured)?.into()),
        (Section::System, contents.system.into()),
        (Section::Module, contents.module.unwrap_or_default().into()),
    ] {
        if bytes.len() as u64 > LONGEST_SECTION_BYTES {
            let what = section.name();
            return Err(ImageError::TooLarge { what });
        }
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
/// there is a whole image of that name or none, whatever happens, also if several are written to the same
/// name at once: then it is one of those.
///
/// # Errors
///
/// [`ImageError::File`], [`ImageError::TooLarge`].
pub fn write_file(
    path: &Path,
    contents: &Contents<'_>,
    compression: Compression,
) -> Result<ImageId, ImageError> {
    let failed = || ImageError::file("write");
    let Some(name) = path.file_name() else {
        let directory = io::Error::from(io::ErrorKind::IsADirectory);
        return Err(failed()(directory));
    };
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let (mut file, unfinished) = create_unfinished(directory, name).map_err(failed())?;
    let written = write(&mut file, contents, compression).and_then(|id| {
        file.sync_data().map_err(failed())?;
        fs::rename(&unfinished, path).map_err(failed())?;
        Ok(id)
    });
    let id = written.inspect_err(|_| {
        // It is of no use, and if it cannot be removed nothing can be done about it.
        let _ = fs::remove_file(&unfinished);
    })?;
    let directory = File::open(directory).map_err(failed())?;
    directory.sync_all().map_err(failed())?;
    Ok(id)
}

const UNFINISHED: &str = ".unfinished";

/// Whether a file of this name is an image that was not written to its end, if nobody is writing it now:
/// whoever wrote it was killed.
#[must_use]
pub fn is_unfinished(file_name: &OsStr) -> bool {
    let name = file_name.as_encoded_bytes();
    name.starts_with(b".") && name.ends_with(UNFINISHED.as_bytes())
}

/// A new file beside the image of that name, which nobody else writes.
fn create_unfinished(directory: &Path, name: &OsStr) -> io::Result<(File, PathBuf)> {
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let mut unfinished = OsString::from(".");
        unfinished.push(name);
        unfinished.push(format!(".{}-{number}{UNFINISHED}", std::process::id()));
        let path = directory.join(unfinished);
        match File::create_new(&path) {
            // Somebody with our process id was killed.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            file => return Ok((file?, path)),
        }
    }
}

/// In network form, if that can be read again: a stack without end is more than a reader takes.
fn encode_process(captured: &Captured) -> Result<Vec<u8>, ImageError> {
    let bytes = network::encode(captured);
    if bytes.len() > ALWAYS_DECODED_BYTES {
        let what = Section::Process.name();
        network::decode(&bytes).map_err(|_| ImageError::TooLarge { what })?;
    }
    Ok(bytes)
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
