//! Images come back as they went; anything else is refused.

use std::fs::{self, File};
use std::io::Cursor;
use std::path::PathBuf;

use anyhow::Result;
use leap_instrument::{ModuleHash, StopMap};
use leap_memory::{Memory, MemoryOptions, PAGE_BYTES};
use tempfile::TempDir;

use super::header::{Header, MAGIC};
use super::pages::{Index, decode_blocks};
use super::*;
use crate::state::{
    Captured, Entry, Exception, FrameRecord, HostFrame, MemoryShape, Reference, Stage, StopKind,
    TableState, Value,
};

const MODULE: &[u8] = b"not Wasm, but who is to know";

/// A process with one of everything, and a memory of that many system pages.
fn captured(pages: usize) -> Captured {
    Captured {
        module: ModuleHash::of(MODULE),
        entry: Entry {
            name: "_start".into(),
            arguments: vec![Value::I32(-1)],
        },
        stage: Stage::Entry,
        frames: vec![
            FrameRecord {
                function: 3,
                stop: 1,
                kind: StopKind::InCall,
                values: vec![
                    Value::I64(i64::MIN),
                    Value::F32(0x7fc0_0001),
                    Value::F64(u64::MAX),
                    Value::V128(1 << 127),
                ],
            },
            FrameRecord {
                function: 4,
                stop: 0,
                kind: StopKind::After,
                values: vec![Value::Reference(Reference::Exception(0))],
            },
        ],
        host: Some(HostFrame {
            module: "wasi_snapshot_preview1".into(),
            name: "poll_oneoff".into(),
            state: vec![1, 2, 3],
        }),
        memories: vec![MemoryShape {
            pages: pages as u64,
            page_bytes: PAGE_BYTES as u64,
        }],
        globals: vec![Value::Reference(Reference::Null)],
        tables: vec![TableState {
            elements: vec![Reference::Function(7), Reference::Null],
        }],
        dropped_data: vec![2],
        dropped_elements: vec![],
        exceptions: vec![Exception {
            tag: 5,
            fields: vec![Value::I32(9)],
        }],
    }
}

fn stops() -> StopMap {
    StopMap {
        module: ModuleHash::of(MODULE),
        start: None,
        functions: Vec::new(),
    }
}

/// A process's memory, and images of it in a directory.
struct Album {
    directory: TempDir,
    memory: Memory,
    compression: Compression,
    last: Option<Base>,
}

impl Album {
    fn new(compression: Compression) -> Result<Self> {
        let mut memory = Memory::reserve(&MemoryOptions {
            capacity_bytes: 1 << 24,
            ..MemoryOptions::default()
        })?;
        memory.grow_to(300 * PAGE_BYTES)?;
        Ok(Self {
            directory: tempfile::tempdir()?,
            memory,
            compression,
            last: None,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Fills a page with something that compresses a little.
    fn fill(&mut self, page: usize, seed: u8) {
        let bytes = &mut self.memory.bytes_mut()[page * PAGE_BYTES..(page + 1) * PAGE_BYTES];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = ((at / 7) as u8).wrapping_mul(seed).wrapping_add(seed);
        }
    }

    /// Writes what changed since the last image, or everything.
    fn shoot(&mut self, name: &str) -> Result<ImageId> {
        let captured = captured(self.memory.length_bytes() / PAGE_BYTES);
        let version = match self.last {
            None => self.memory.seal_whole()?,
            Some(_) => self.memory.seal()?,
        };
        let contents = Contents {
            captured: &captured,
            stops: StopsDigest::of(&stops()),
            system: b"system state, system state, system state",
            module: self.last.is_none().then_some(MODULE),
            memories: vec![MemoryPages::from(&version)],
            base: self.last.clone(),
        };
        let mut bytes = Cursor::new(Vec::new());
        let id = write(&mut bytes, &contents, self.compression)?;
        fs::write(self.directory.path().join(name), bytes.into_inner())?;
        self.last = Some(Base {
            id,
            name: name.to_owned(),
        });
        Ok(id)
    }

    /// What the image gives is the memory as it is now.
    fn check(&self, name: &str) -> Result<()> {
        let chain = Chain::open(&self.path(name))?;
        assert_eq!(
            chain.newest().captured(),
            &captured(self.memory.length_bytes() / PAGE_BYTES)
        );
        let system = chain.newest().system()?;
        assert_eq!(system, b"system state, system state, system state");
        assert_eq!(chain.module()?, MODULE);
        chain.newest().check_stops(&stops())?;
        let mut bytes = vec![7; self.memory.length_bytes()];
        chain.copy_into(0, &mut bytes)?;
        assert!(bytes == self.memory.bytes(), "{name} copied");
        let mut memory = Memory::reserve(&MemoryOptions {
            capacity_bytes: 1 << 24,
            ..MemoryOptions::default()
        })?;
        memory.grow_to(PAGE_BYTES)?;
        memory.bytes_mut()[5] = 5;
        chain.map_into(0, &mut memory, true)?;
        assert!(memory.bytes() == self.memory.bytes(), "{name} mapped");
        Ok(())
    }
}

#[test]
fn full_images_and_deltas_come_back() -> Result<()> {
    for compression in [Compression::None, Compression::default()] {
        let mut album = Album::new(compression)?;
        for page in 0..200 {
            album.fill(page, page as u8);
        }
        let full = album.shoot("full")?;
        album.check("full")?;
        album.fill(3, 99);
        album.memory.bytes_mut()[4 * PAGE_BYTES..6 * PAGE_BYTES].fill(0);
        album.memory.grow_to(310 * PAGE_BYTES)?;
        album.fill(305, 1);
        album.shoot("first")?;
        album.check("first")?;
        album.fill(5, 1);
        let second = album.shoot("second")?;
        album.check("second")?;

        let chain = Chain::open(&album.path("second"))?;
        assert_eq!(chain.newest().id(), second);
        assert_eq!(chain.images()[0].id(), full);
        assert_eq!(chain.images()[1].pages(), 2);
        assert_eq!(chain.newest().pages(), 1);
    }
    Ok(())
}

#[test]
fn equal_pages_are_kept_once_and_zeros_not_at_all() -> Result<()> {
    let mut album = Album::new(Compression::None)?;
    for page in 0..250 {
        album.fill(page, (page % 3) as u8 + 1);
    }
    album.memory.bytes_mut()[250 * PAGE_BYTES..].fill(0);
    album.shoot("image")?;
    album.check("image")?;
    let image = Image::read(File::open(album.path("image"))?)?;
    assert_eq!(image.pages(), 250);
    assert_eq!(image.different_pages(), 3);
    assert!(image.file_bytes() < 10 * PAGE_BYTES as u64);
    Ok(())
}

/// Reads everything that there is in an image.
fn read_all(bytes: &[u8]) -> Result<Captured, ImageError> {
    use std::io::Write as _;
    let mut file = tempfile::tempfile().expect("a file can be made");
    file.write_all(bytes).expect("it can be written");
    let image = Image::read(file)?;
    image.verify()?;
    image.module()?;
    image.system()?;
    Ok(image.captured().clone())
}

/// A small image, so that everything can be tried with it.
fn small(compression: Compression) -> Result<Vec<u8>> {
    let mut album = Album::new(compression)?;
    album.fill(2, 3);
    album.fill(3, 5);
    album.shoot("small")?;
    Ok(fs::read(album.path("small"))?)
}

#[test]
fn every_flipped_bit_is_noticed() -> Result<()> {
    for compression in [Compression::None, Compression::default()] {
        let bytes = small(compression)?;
        assert_eq!(read_all(&bytes)?, captured(300));
        for at in 0..bytes.len() {
            // All bits; of pages that lie in it as they are, all bits where the structure is, and
            // here and there one.
            let bits = match at {
                _ if compression != Compression::None => 0..8,
                0..600 => 0..8,
                _ if at + 600 > bytes.len() => 0..8,
                _ if at % 7 == 0 => at % 8..at % 8 + 1,
                _ => continue,
            };
            for bit in bits {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                match read_all(&flipped) {
                    Err(ImageError::NotAnImage) => assert!(at < 8),
                    Err(ImageError::NewerFormat { .. }) => assert!((8..12).contains(&at)),
                    Err(ImageError::Damaged { .. }) => {}
                    other => panic!("byte {at}, bit {bit}: {other:?}"),
                }
            }
        }
    }
    Ok(())
}

#[test]
fn an_image_that_is_cut_off_is_refused() -> Result<()> {
    let bytes = small(Compression::default())?;
    for len in 0..bytes.len() {
        match read_all(&bytes[..len]) {
            Err(ImageError::NotAnImage) => assert!(len < 8),
            Err(ImageError::Damaged { .. }) => {}
            other => panic!("{len} bytes: {other:?}"),
        }
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(matches!(
        read_all(&longer),
        Err(ImageError::Damaged { what: "end" })
    ));
    Ok(())
}

#[test]
fn an_image_that_was_not_finished_is_none() -> Result<()> {
    let mut bytes = small(Compression::default())?;
    bytes[..4096].fill(0);
    assert!(matches!(read_all(&bytes), Err(ImageError::NotAnImage)));
    Ok(())
}

/// A part that no reader would take is not written.
#[test]
fn what_cannot_be_read_is_refused() -> Result<()> {
    let captured = captured(0);
    // Zeros that nobody touches take no memory.
    let system = vec![0; (1 << 30) + 1];
    let contents = Contents {
        captured: &captured,
        stops: StopsDigest::of(&stops()),
        system: &system,
        module: None,
        memories: Vec::new(),
        base: None,
    };
    let directory = tempfile::tempdir()?;
    let written = write_file(
        &directory.path().join("image"),
        &contents,
        Compression::default(),
    );
    assert!(matches!(written, Err(ImageError::TooLarge { .. })));
    assert_eq!(fs::read_dir(directory.path())?.count(), 0);
    Ok(())
}

#[test]
fn what_is_newer_says_so() -> Result<()> {
    let mut bytes = small(Compression::default())?;
    let (mut header, _) = Header::decode(&bytes)?;
    header.features.push("teleport".into());
    bytes[..4096].copy_from_slice(&header.encode().0);
    let refusal = read_all(&bytes).expect_err("there is no such feature");
    assert_eq!(
        refusal.to_string(),
        "the image needs `teleport`, which this program does not have"
    );
    bytes[8..12].copy_from_slice(&7_u32.to_le_bytes());
    let refusal = read_all(&bytes).expect_err("there is no such format");
    assert_eq!(
        refusal.to_string(),
        "the image has format 7, this program knows up to 1: use a newer one"
    );
    Ok(())
}

#[test]
fn another_module_and_other_stops_are_refused() -> Result<()> {
    let mut album = Album::new(Compression::default())?;
    album.shoot("image")?;
    let image = Image::read(File::open(album.path("image"))?)?;
    let other = StopMap {
        module: ModuleHash::of(b"another"),
        ..stops()
    };
    assert!(matches!(
        image.check_stops(&other),
        Err(ImageError::OtherModule { .. })
    ));
    let other = StopMap {
        start: Some(1),
        ..stops()
    };
    assert!(matches!(
        image.check_stops(&other),
        Err(ImageError::OtherStops)
    ));
    Ok(())
}

#[test]
fn a_delta_needs_its_base() -> Result<()> {
    let mut album = Album::new(Compression::default())?;
    album.fill(1, 1);
    album.shoot("full")?;
    album.fill(2, 2);
    album.shoot("delta")?;
    let alone = Image::read(File::open(album.path("delta"))?)?;
    assert!(matches!(
        Chain::of(alone),
        Err(ImageError::MissingBase { .. })
    ));

    fs::rename(album.path("full"), album.path("kept"))?;
    let missing = Chain::open(&album.path("delta"));
    assert!(matches!(missing, Err(ImageError::MissingBase { .. })));
    // Another image in its place, and the delta itself.
    let mut another = Album::new(Compression::default())?;
    another.fill(1, 2);
    another.shoot("full")?;
    fs::copy(another.path("full"), album.path("full"))?;
    let other = Chain::open(&album.path("delta"));
    assert!(matches!(other, Err(ImageError::OtherBase { .. })));
    fs::copy(album.path("delta"), album.path("full"))?;
    let other = Chain::open(&album.path("delta"));
    assert!(matches!(other, Err(ImageError::OtherBase { .. })));
    fs::rename(album.path("kept"), album.path("full"))?;
    album.check("delta")
}

/// A short image may speak of a memory of any length, and of any number of zeros in it.
#[test]
fn zeros_behind_the_memorys_end_take_no_time() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut base = None;
    for (name, pages) in [("huge", 1 << 50), ("small", 1)] {
        let captured = captured(pages);
        let contents = Contents {
            captured: &captured,
            stops: StopsDigest::of(&stops()),
            system: b"",
            module: None,
            memories: vec![MemoryPages {
                length_bytes: (pages * PAGE_BYTES) as u64,
                pages: Vec::new(),
                zeroed: std::iter::once(0..(pages as u64).min(1 << 40)).collect(),
            }],
            base: base.take(),
        };
        let id = write_file(&directory.path().join(name), &contents, Compression::None)?;
        base = Some(Base {
            id,
            name: name.to_owned(),
        });
    }
    let chain = Chain::open(&directory.path().join("small"))?;
    let mut bytes = vec![7; PAGE_BYTES];
    chain.copy_into(0, &mut bytes)?;
    assert!(bytes.iter().all(|&byte| byte == 0));
    Ok(())
}

#[test]
fn a_base_is_looked_for_beside_the_image_only() -> Result<()> {
    let mut album = Album::new(Compression::default())?;
    let id = album.shoot("full")?;
    for name in ["../full", "/etc/passwd", "", "..", "a/b", "a\0b"] {
        album.last = Some(Base {
            id,
            name: name.into(),
        });
        album.shoot("delta")?;
        let refused = Chain::open(&album.path("delta"));
        assert!(
            matches!(refused, Err(ImageError::MissingBase { .. })),
            "{name}"
        );
    }
    Ok(())
}

#[test]
fn fuzz_images_that_are_almost_right() {
    let bytes = small(Compression::default()).expect("it can be written");
    let (header, _) = Header::decode(&bytes).expect("it was just written");
    bolero::check!()
        .with_type::<Vec<(u16, u8)>>()
        .for_each(|changes: &Vec<(u16, u8)>| {
            let mut changed = bytes.clone();
            for &(at, byte) in changes {
                let at = at as usize % changed.len();
                changed[at] ^= byte;
            }
            // With fitting checksums, so that the decoders behind them get something to do.
            let mut header = header.clone();
            for place in &mut header.sections[1..] {
                let range = place.offset as usize..(place.offset + place.stored) as usize;
                place.crc = crc32c::crc32c(&changed[range]);
            }
            changed[..4096].copy_from_slice(&header.encode().0);
            let _ = read_all(&changed);
        });
}

#[test]
fn fuzz_decoders() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let _ = network::decode(bytes);
        let _ = Index::decode(bytes);
        let _ = decode_blocks(bytes, bytes.len() as u64 * 7, 4096);
        let mut page = vec![0; 4096];
        page[..8].copy_from_slice(MAGIC);
        page[8] = 1;
        let body = &bytes[..bytes.len().min(2000)];
        page[16..20].copy_from_slice(&(body.len() as u32).to_be_bytes());
        page[20..20 + body.len()].copy_from_slice(body);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&page[..12]), &page[16..]);
        page[12..16].copy_from_slice(&crc.to_le_bytes());
        if let Ok((header, id)) = Header::decode(&page) {
            // Whatever is taken is what would be written.
            assert_eq!(header.encode(), (page, id));
        }
    });
}

#[test]
fn the_network_form_is_what_it_was() {
    // Written down, for no program of another version can be asked.
    let mut small = captured(1);
    small.module = ModuleHash::from_bytes([0xab; 32]);
    let bytes = network::encode(&small);
    assert_eq!(network::decode(&bytes).expect("it was just written"), small);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = [
        &"ab".repeat(32),
        "000000065f7374617274",
        "0000000100ffffffff",
        "01",
        "00000002",
        "000000030000000101",
        "00000004018000000000000000027fc0000103ffffffffffffffff0480000000000000000000000000000000",
        "000000040000000000",
        "000000010700000000",
        "01",
        "00000016",
        "776173695f736e617073686f745f7072657669657731",
        "0000000b",
        "706f6c6c5f6f6e656f6666",
        "00000003010203",
        "0000000100000000000000010000000000001000",
        "0000000105",
        "0000000100000002060000000705",
        "0000000100000002",
        "00000000",
        "0000000100000005",
        "000000010000000009",
    ];
    assert_eq!(hex, expected.concat());
}
