//! Reading images: one, and a chain of them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use leap_instrument::{ModuleHash, StopMap};
use leap_memory::{Extent, Memory, PAGE_BYTES};

use super::error::ImageError;
use super::header::{Base, HEADER_BYTES, Header, LONGEST_SECTION_BYTES, Section};
use super::pages::{BLOCK_PAGES, Block, Index, MemoryIndex, decode_blocks};
use super::write::StopsDigest;
use super::{Compression, ImageId, network};
use crate::state::Captured;

/// A chain of deltas is no longer than this.
const LONGEST_CHAIN: usize = 4096;

/// An image whose header, index and process state were read and found whole. The pages are read,
/// and checked, when they are used.
#[derive(Debug)]
pub struct Image {
    file: File,
    id: ImageId,
    header: Header,
    index: Index,
    blocks: Vec<Block>,
    captured: Captured,
    file_bytes: u64,
}

impl Image {
    /// Reads the image in `file`.
    ///
    /// # Errors
    ///
    /// [`ImageError::File`], [`ImageError::NotAnImage`], [`ImageError::NewerFormat`],
    /// [`ImageError::UnknownFeature`], [`ImageError::Damaged`].
    pub fn read(file: File) -> Result<Self, ImageError> {
        let metadata = file.metadata().map_err(ImageError::file("read"))?;
        let file_bytes = metadata.len();
        let mut page = vec![0; HEADER_BYTES.min(file_bytes as usize)];
        file.read_exact_at(&mut page, 0)
            .map_err(ImageError::file("read"))?;
        let (header, id) = Header::decode(&page)?;
        header.fits(file_bytes)?;

        let section = |section| read_section(&file, &header, section);
        let index = Index::decode(&section(Section::Index)?)?;
        let stored = header.place(Section::Pages).stored;
        let blocks = decode_blocks(&section(Section::Blocks)?, index.contents, stored)?;
        let captured = network::decode(&section(Section::Process)?)?;
        let shapes = captured.memories.iter();
        let lengths = shapes.map(|shape| shape.pages.checked_mul(shape.page_bytes));
        let indexed = index
            .memories
            .iter()
            .map(|memory| Some(memory.length_bytes));
        if captured.module != header.module || !lengths.eq(indexed) {
            return Err(ImageError::Damaged {
                what: Section::Process.name(),
            });
        }
        Ok(Self {
            file,
            id,
            header,
            index,
            blocks,
            captured,
            file_bytes,
        })
    }

    /// Its name.
    pub fn id(&self) -> ImageId {
        self.id
    }

    /// The module that the process runs.
    pub fn module_hash(&self) -> ModuleHash {
        self.header.module
    }

    /// What its pages are relative to; none for a full image.
    pub fn base(&self) -> Option<&Base> {
        self.header.base.as_ref()
    }

    /// The process but for its pages.
    pub fn captured(&self) -> &Captured {
        &self.captured
    }

    /// The system interface's state.
    pub fn system(&self) -> Result<Vec<u8>, ImageError> {
        read_section(&self.file, &self.header, Section::System)
    }

    /// The original module, if the image holds it.
    pub fn module(&self) -> Result<Option<Vec<u8>>, ImageError> {
        let module = read_section(&self.file, &self.header, Section::Module)?;
        if module.is_empty() {
            return Ok(None);
        }
        match ModuleHash::of(&module) == self.header.module {
            true => Ok(Some(module)),
            false => Err(ImageError::Damaged {
                what: Section::Module.name(),
            }),
        }
    }

    /// Bytes of the file.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Pages that are in it, of all memories, but for zeros.
    pub fn pages(&self) -> u64 {
        self.pages_by_memory().sum()
    }

    /// The same of each memory.
    pub fn pages_by_memory(&self) -> impl Iterator<Item = u64> + '_ {
        self.index.memories.iter().map(|memory| {
            let with_content = memory.runs.iter().filter(|run| run.content.is_some());
            with_content.map(|run| u64::from(run.pages)).sum()
        })
    }

    /// How many of those are different from each other.
    pub fn different_pages(&self) -> u64 {
        self.index.contents
    }

    /// How its pages are compressed; the level is not known any more.
    pub fn compression(&self) -> Compression {
        self.header.compression
    }

    /// Refuses a module, or stops of it, that the image was not made with; answers what the next
    /// image of the process needs.
    pub fn check_stops(&self, stops: &StopMap) -> Result<StopsDigest, ImageError> {
        if stops.module != self.header.module {
            return Err(ImageError::OtherModule {
                image: self.header.module,
                module: stops.module,
            });
        }
        match StopsDigest::of(stops) {
            digest if digest.0 == self.header.stops => Ok(digest),
            _ => Err(ImageError::OtherStops),
        }
    }

    /// Reads every block of pages and compares its checksum.
    pub fn verify(&self) -> Result<(), ImageError> {
        self.system()?;
        self.module()?;
        self.for_each_block(|_, _| ())
    }

    /// Writes the pages of a memory over `bytes`, which hold what the image is relative to.
    fn copy_into(&self, index: usize, bytes: &mut [u8]) -> Result<(), ImageError> {
        let memory = self.memory(index)?;
        // Pages behind the end: the memory is shorter in a later image.
        let end = (bytes.len() / PAGE_BYTES) as u64;
        let place = |page: u64| page as usize * PAGE_BYTES..(page as usize + 1) * PAGE_BYTES;
        let mut wanted = Vec::new();
        for run in &memory.runs {
            for (page, nth) in (run.first..run.end().min(end)).zip(0..) {
                match run.content {
                    Some(first) => wanted.push((first + nth, page)),
                    None => clear(&mut bytes[place(page)]),
                }
            }
        }
        wanted.sort_unstable();
        let mut wanted = wanted.into_iter().peekable();
        self.for_each_block(|first, contents| {
            for (number, content) in (first..).zip(contents.chunks_exact(PAGE_BYTES)) {
                while let Some((_, page)) = wanted.next_if(|&(wanted, _)| wanted == number) {
                    bytes[place(page)].copy_from_slice(content);
                }
            }
        })
    }

    /// Calls `f` with the number of the first content of each block, and its contents.
    fn for_each_block(&self, mut f: impl FnMut(u64, &[u8])) -> Result<(), ImageError> {
        const DAMAGED: ImageError = ImageError::Damaged { what: "pages" };
        let mut offset = self.header.place(Section::Pages).offset;
        let mut stored = Vec::new();
        let mut contents = Vec::new();
        for (first, block) in (0..).step_by(BLOCK_PAGES as usize).zip(&self.blocks) {
            let pages = (self.index.contents - first).min(BLOCK_PAGES) as usize;
            let length = pages * PAGE_BYTES;
            if block.stored as usize > length {
                return Err(DAMAGED);
            }
            stored.resize(block.stored as usize, 0);
            self.file
                .read_exact_at(&mut stored, offset)
                .map_err(ImageError::file("read"))?;
            if crc32c::crc32c(&stored) != block.crc {
                return Err(DAMAGED);
            }
            offset += u64::from(block.stored);
            if stored.len() == length {
                f(first, &stored);
                continue;
            }
            contents = decompress(&stored, length, contents).ok_or(DAMAGED)?;
            f(first, &contents);
        }
        Ok(())
    }

    fn memory(&self, index: usize) -> Result<&MemoryIndex, ImageError> {
        self.index
            .memories
            .get(index)
            .ok_or(ImageError::Memory { index })
    }

    /// Where the pages of a memory lie in the file; none if they are compressed.
    fn extents(&self, index: usize) -> Result<Option<Vec<Extent>>, ImageError> {
        let length = self.index.contents.checked_mul(PAGE_BYTES as u64);
        let pages = self.header.place(Section::Pages);
        if self.header.compression != Compression::None || length != Some(pages.stored) {
            return Ok(None);
        }
        let runs = self.memory(index)?.runs.iter();
        let extents = runs.filter_map(|run| {
            let file_offset = pages.offset + run.content? * PAGE_BYTES as u64;
            Some(Extent {
                pages: run.first as usize..run.end() as usize,
                file_offset,
            })
        });
        Ok(Some(extents.collect()))
    }
}

/// An image with all that it is relative to.
#[derive(Debug)]
pub struct Chain {
    /// From the full image to the newest.
    images: Vec<Image>,
}

impl Chain {
    /// Reads the image at `path` and those that it is relative to, which lie beside it.
    ///
    /// # Errors
    ///
    /// Those of [`Image::read`], [`ImageError::MissingBase`], [`ImageError::OtherBase`].
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        let file = File::open(path).map_err(ImageError::file("open"))?;
        let mut images = vec![Image::read(file)?];
        let directory = path.parent().unwrap_or_else(|| Path::new(""));
        while let Some(base) = images.last().and_then(Image::base).cloned() {
            if images.len() >= LONGEST_CHAIN {
                return Err(ImageError::Damaged { what: "chain" });
            }
            let image = open_base(&base, directory)?;
            let is_alike = |image: &Image, other: &Image| {
                image.header.module == other.header.module
                    && image.header.stops == other.header.stops
            };
            if !images.last().is_some_and(|newer| is_alike(newer, &image)) {
                return Err(ImageError::Damaged { what: "chain" });
            }
            images.push(image);
        }
        images.reverse();
        Ok(Self { images })
    }

    /// A full image by itself; any other is not enough.
    pub fn of(image: Image) -> Result<Self, ImageError> {
        match image.base() {
            None => Ok(Self {
                images: vec![image],
            }),
            Some(base) => Err(ImageError::MissingBase {
                base: base.id,
                path: PathBuf::from(&base.name),
            }),
        }
    }

    /// The newest image: the state that the chain stands for.
    pub fn newest(&self) -> &Image {
        self.images.last().expect("a chain has an image")
    }

    /// Reads all that the images hold and compares checksums: what opening a chain leaves to its use.
    ///
    /// # Errors
    ///
    /// [`ImageError::Damaged`], [`ImageError::File`].
    pub fn verify(&self) -> Result<(), ImageError> {
        self.images.iter().try_for_each(Image::verify)
    }

    /// The images from the full one to the newest.
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// The original module, from whichever image holds it.
    pub fn module(&self) -> Result<Vec<u8>, ImageError> {
        for image in &self.images {
            if let Some(module) = image.module()? {
                return Ok(module);
            }
        }
        Err(ImageError::NoModule {
            module: self.newest().module_hash(),
        })
    }

    /// Writes the memory with that index to `bytes`, which have its length and may hold anything.
    /// After an error their contents are undefined.
    pub fn copy_into(&self, index: usize, bytes: &mut [u8]) -> Result<(), ImageError> {
        if self.length_bytes(index)? != bytes.len() {
            return Err(ImageError::Memory { index });
        }
        bytes.fill(0);
        self.images
            .iter()
            .try_for_each(|image| image.copy_into(index, bytes))
    }

    /// Gives `memory`, which is not longer, the contents of the memory with that index. Pages
    /// that the full image has uncompressed are mapped, and read when they are touched; they are
    /// checked for damage first only if `verify` says so, which reads them once.
    pub fn map_into(
        &self,
        index: usize,
        memory: &mut Memory,
        verify: bool,
    ) -> Result<(), ImageError> {
        let (full, deltas) = self.images.split_first().expect("a chain has an image");
        let extents = full.extents(index)?;
        let is_mapped = extents.is_some();
        if is_mapped && verify {
            full.verify()?;
        }
        let extents = extents.unwrap_or_default();
        memory.map_image(&full.file, &extents, self.length_bytes(index)?)?;
        if !is_mapped {
            full.copy_into(index, memory.bytes_mut())?;
        }
        deltas
            .iter()
            .try_for_each(|image| image.copy_into(index, memory.bytes_mut()))
    }

    fn length_bytes(&self, index: usize) -> Result<usize, ImageError> {
        let length_bytes = self.newest().memory(index)?.length_bytes;
        usize::try_from(length_bytes).map_err(|_| ImageError::Memory { index })
    }
}

/// Makes a page zeros. One that is need not become anybody's memory for that.
fn clear(page: &mut [u8]) {
    if page.iter().any(|&byte| byte != 0) {
        page.fill(0);
    }
}

fn open_base(base: &Base, directory: &Path) -> Result<Image, ImageError> {
    let path = directory.join(&base.name);
    let missing = |path| ImageError::MissingBase {
        base: base.id,
        path,
    };
    // A name, and no path to elsewhere.
    let is_name = Path::new(&base.name)
        .file_name()
        .is_some_and(|name| name == base.name.as_str());
    if !is_name || base.name.contains('\0') {
        return Err(missing(PathBuf::from(&base.name)));
    }
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing(path)),
        opened => opened.map_err(ImageError::file("open the base of"))?,
    };
    let image = Image::read(file)?;
    match image.id == base.id {
        true => Ok(image),
        false => Err(ImageError::OtherBase {
            base: base.id,
            found: image.id,
            path,
        }),
    }
}

fn read_section(file: &File, header: &Header, section: Section) -> Result<Vec<u8>, ImageError> {
    let damaged = || ImageError::Damaged {
        what: section.name(),
    };
    let place = header.place(section);
    if place.stored > place.length || place.length > LONGEST_SECTION_BYTES {
        return Err(damaged());
    }
    let mut stored = vec![0; place.stored as usize];
    file.read_exact_at(&mut stored, place.offset)
        .map_err(ImageError::file("read"))?;
    if crc32c::crc32c(&stored) != place.crc {
        return Err(damaged());
    }
    match place.stored == place.length {
        true => Ok(stored),
        false => decompress(&stored, place.length as usize, Vec::new()).ok_or_else(damaged),
    }
}

/// The `length` bytes that `stored` was made from; `buffer` is used again.
fn decompress(stored: &[u8], length: usize, mut buffer: Vec<u8>) -> Option<Vec<u8>> {
    buffer.clear();
    buffer.reserve_exact(length);
    let mut decompressor = zstd::bulk::Decompressor::new().ok()?;
    let written = decompressor
        .decompress_to_buffer(stored, &mut buffer)
        .ok()?;
    (written == length && buffer.len() == length).then_some(buffer)
}
