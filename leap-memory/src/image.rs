//! Starting from an image: a file whose pages are the memory's, read when they are touched.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use crate::delta::page_range;
use crate::page_set::Run;
use crate::{MemoryError, PAGE_BYTES};

/// Pages of a memory that lie one after the other in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The pages of the memory.
    pub pages: Run,
    /// Where in the file the first of them begins; a multiple of [`PAGE_BYTES`].
    pub file_offset: u64,
}

/// At most this many extents are mapped, the largest first: each costs the kernel a mapping, of
/// which a process has 65,530 in all. The others are read at once.
const MAPPED_AT_MOST: usize = 1024;

/// An extent of fewer pages is not worth a mapping.
const MAPPED_PAGES_AT_LEAST: usize = 4;

/// `extents` sorted into those to map and those to read.
pub(crate) fn plan(extents: &[Extent]) -> (Vec<&Extent>, Vec<&Extent>) {
    let mut by_size: Vec<&Extent> = extents.iter().collect();
    by_size.sort_by_key(|extent| std::cmp::Reverse(extent.pages.len()));
    let mapped = by_size
        .iter()
        .take(MAPPED_AT_MOST)
        .take_while(|extent| extent.pages.len() >= MAPPED_PAGES_AT_LEAST)
        .count();
    let read = by_size.split_off(mapped);
    (by_size, read)
}

/// Refuses extents that are out of order, overlap, or lie outside the memory or the file.
pub(crate) fn check(
    extents: &[Extent],
    file_bytes: u64,
    length_bytes: usize,
) -> Result<(), MemoryError> {
    let mut free_from = 0;
    for extent in extents {
        let Extent { pages, file_offset } = extent;
        let in_file = (pages.len() as u64)
            .checked_mul(PAGE_BYTES as u64)
            .and_then(|bytes| bytes.checked_add(*file_offset))
            .is_some_and(|end| end <= file_bytes);
        let why = if pages.is_empty() {
            Some("it is empty")
        } else if pages.start < free_from {
            Some("it is out of order or overlaps the one before")
        } else if pages.end > length_bytes / PAGE_BYTES {
            Some("the memory ends before")
        } else if !file_offset.is_multiple_of(PAGE_BYTES as u64) {
            Some("the file offset is no multiple of a page")
        } else if !in_file {
            Some("the file ends before")
        } else {
            None
        };
        if let Some(why) = why {
            return Err(MemoryError::Extent {
                first_page: pages.start,
                end_page: pages.end,
                file_offset: *file_offset,
                why,
            });
        }
        free_from = pages.end;
    }
    Ok(())
}

/// Reads `extent` into `memory`, through a buffer: see the crate's word on system calls.
pub(crate) fn read(extent: &Extent, file: &File, memory: &mut [u8]) -> Result<(), MemoryError> {
    let mut buffer = vec![0; PAGE_BYTES];
    let mut file_offset = extent.file_offset;
    for page in extent.pages.clone() {
        file.read_exact_at(&mut buffer, file_offset)
            .map_err(MemoryError::system("read a page of the image"))?;
        memory[page_range(page)].copy_from_slice(&buffer);
        file_offset += PAGE_BYTES as u64;
    }
    Ok(())
}
