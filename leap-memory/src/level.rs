//! Levels: what is needed to undo.
//!
//! The *base* is an unnamed file that holds the memory as it was when the newest level was opened;
//! the memory maps it copy-on-write. So undoing the newest level is to forget the private copies.
//! Opening another level moves the base on to the present contents; what it overwrites there is
//! kept in the level that was the newest until then.
//!
//! ```text
//! level 0:  undo { page 3: as when level 0 was opened }      pages written in 0 before 1 was opened
//! level 1:  undo { }                                         the newest has none
//! base:     the memory when level 1 was opened
//! memory:   base + private copies of the pages written in level 1
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use rustix::fs::MemfdFlags;

use crate::page_set::{PageSet, Run};
use crate::{MemoryError, PAGE_BYTES, is_zero};

/// The base and the open levels over it.
#[derive(Debug)]
pub(crate) struct Levels {
    base: File,
    capacity_bytes: usize,
    open: Vec<Level>,
}

/// One open level.
#[derive(Debug)]
struct Level {
    /// The memory's length when it was opened.
    length_bytes: usize,
    /// The pages that a newer level's base has overwritten, as they were when this was opened;
    /// none for zeros.
    undo: BTreeMap<usize, Option<Box<[u8]>>>,
}

impl Levels {
    /// A base of zeros, and no level.
    pub(crate) fn new(capacity_bytes: usize) -> Result<Self, MemoryError> {
        let base = rustix::fs::memfd_create("leap-memory base", MemfdFlags::CLOEXEC)
            .map_err(MemoryError::system("create a base for levels"))?;
        let base = File::from(base);
        base.set_len(capacity_bytes as u64)
            .map_err(MemoryError::system("size the base of levels"))?;
        Ok(Self {
            base,
            capacity_bytes,
            open: Vec::new(),
        })
    }

    pub(crate) fn base(&self) -> &File {
        &self.base
    }

    pub(crate) fn count(&self) -> usize {
        self.open.len()
    }

    /// Opens a level over the present base.
    pub(crate) fn push(&mut self, length_bytes: usize) {
        self.open.push(Level {
            length_bytes,
            undo: BTreeMap::new(),
        });
    }

    /// Moves the base on to what `memory` has in `pages`.
    pub(crate) fn flush(&mut self, memory: &[u8], pages: &PageSet) -> Result<(), MemoryError> {
        for run in pages.runs() {
            if let Some(newest) = self.open.last_mut() {
                newest.keep(&self.base, run.clone())?;
            }
            let bytes = run.start * PAGE_BYTES..run.end * PAGE_BYTES;
            let offset = bytes.start as u64;
            self.base
                .write_all_at(&memory[bytes], offset)
                .map_err(MemoryError::system("write the base of levels"))?;
        }
        Ok(())
    }

    /// Drops the levels from `level` on and moves the base back to where `level` was opened.
    /// Answers the memory's length then, and the pages of the base that changed.
    pub(crate) fn abort(&mut self, level: usize) -> Result<(usize, PageSet), MemoryError> {
        self.check(level)?;
        let mut changed = PageSet::default();
        // From the newest to the oldest: the oldest knowledge of a page is the one that counts.
        for aborted in self.open[level..].iter().rev() {
            for (&page, contents) in &aborted.undo {
                let zeros = [0; PAGE_BYTES];
                let contents = contents.as_deref().unwrap_or(&zeros);
                self.base
                    .write_all_at(contents, (page * PAGE_BYTES) as u64)
                    .map_err(MemoryError::system("write the base of levels"))?;
                changed.insert(page..page + 1);
            }
        }
        let length_bytes = self.open[level].length_bytes;
        self.open.truncate(level);
        // Cut and lengthened again, it has zeros behind: a later growth shows them.
        for bytes in [length_bytes, self.capacity_bytes] {
            self.base
                .set_len(bytes as u64)
                .map_err(MemoryError::system("size the base of levels"))?;
        }
        Ok((length_bytes, changed))
    }

    /// Closes `level`: what it would have undone, the level around it will.
    pub(crate) fn commit(&mut self, level: usize) -> Result<(), MemoryError> {
        self.check(level)?;
        let committed = self.open.remove(level);
        if let Some(parent) = level.checked_sub(1).map(|parent| &mut self.open[parent]) {
            for (page, contents) in committed.undo {
                parent.undo.entry(page).or_insert(contents);
            }
        }
        Ok(())
    }

    pub(crate) fn check(&self, level: usize) -> Result<(), MemoryError> {
        match self.open.len() {
            open if level < open => Ok(()),
            open => Err(MemoryError::NoLevel { level, open }),
        }
    }
}

impl Level {
    /// Keeps what `base` has in `pages`, unless older contents of them are kept already.
    fn keep(&mut self, base: &File, pages: Run) -> Result<(), MemoryError> {
        for page in pages {
            if self.undo.contains_key(&page) {
                continue;
            }
            let mut contents = vec![0; PAGE_BYTES];
            base.read_exact_at(&mut contents, (page * PAGE_BYTES) as u64)
                .map_err(MemoryError::system("read the base of levels"))?;
            let contents = (!is_zero(&contents)).then(|| contents.into_boxed_slice());
            self.undo.insert(page, contents);
        }
        Ok(())
    }
}
