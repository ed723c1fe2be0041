//! The memory itself: one reservation, what of it is accessible, and what is known of its pages.

use std::fs::File;
use std::ptr::NonNull;

use crate::copying::Copying;
use crate::delta::{Delta, Version, page_range};
use crate::image::{self, Extent};
use crate::level::Levels;
use crate::page_set::PageSet;
use crate::reservation::{Access, Reservation};
use crate::tracking::{Tracker, Tracking};
use crate::{MemoryError, PAGE_BYTES};

/// How much address space a memory gets, and how its dirty pages are found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryOptions {
    /// The most bytes that it can grow to; rounded up to pages.
    pub capacity_bytes: usize,
    /// Inaccessible bytes behind that; rounded up to pages.
    pub guard_bytes: usize,
    /// How dirty pages are tracked.
    pub tracking: Tracking,
}

/// A memory: see the crate's documentation.
#[derive(Debug)]
pub struct Memory {
    // Dropped before the pages that it watches.
    tracker: Tracker,
    pages: Reservation,
    capacity_bytes: usize,
    length_bytes: usize,
    /// The number of the version that was sealed last.
    version: u64,
    /// Pages that may differ from that version, as far as they were collected, also behind the
    /// present length.
    unsealed: PageSet,
    /// Pages that may be other than zero, as far as they were collected.
    occupied: PageSet,
    /// None until a level is opened for the first time.
    levels: Option<Levels>,
    /// Pages that may differ from the base of the levels, as far as they were collected.
    above_base: PageSet,
    /// Pages that may differ from the copy that was begun last, as far as they were collected;
    /// none if there is no such copy.
    uncopied: Option<PageSet>,
    /// The number of that copy.
    copy: u64,
}

/// Lengths, places, growth.
impl Memory {
    /// Reserves the address space. The memory has length 0.
    pub fn reserve(options: &MemoryOptions) -> Result<Self, MemoryError> {
        let system = rustix::param::page_size();
        if system != PAGE_BYTES {
            return Err(MemoryError::PageSize { bytes: system });
        }
        let too_much = |wanted_bytes| MemoryError::Capacity {
            wanted_bytes,
            capacity_bytes: isize::MAX as usize,
        };
        let whole_pages = |bytes: usize| {
            bytes
                .checked_next_multiple_of(PAGE_BYTES)
                .ok_or_else(|| too_much(bytes))
        };
        let capacity_bytes = whole_pages(options.capacity_bytes)?;
        let guard_bytes = whole_pages(options.guard_bytes)?;
        let all_bytes = capacity_bytes
            .checked_add(guard_bytes)
            .filter(|&bytes| bytes <= isize::MAX as usize)
            .ok_or_else(|| too_much(capacity_bytes))?;
        let pages = Reservation::new(all_bytes)?;
        let tracker = Tracker::new(options.tracking, &pages, capacity_bytes / PAGE_BYTES)?;
        Ok(Self {
            tracker,
            pages,
            capacity_bytes,
            length_bytes: 0,
            version: 0,
            unsealed: PageSet::default(),
            occupied: PageSet::default(),
            levels: None,
            above_base: PageSet::default(),
            uncopied: None,
            copy: 0,
        })
    }

    /// The address of the first byte. It never changes.
    ///
    /// The accessible bytes may be read and written through it whenever no reference from
    /// [`Memory::bytes`] or [`Memory::bytes_mut`] is alive and no other method runs but
    /// [`Memory::begin_copy`].
    pub fn base(&self) -> NonNull<u8> {
        self.pages.base()
    }

    /// How many bytes are accessible.
    pub fn length_bytes(&self) -> usize {
        self.length_bytes
    }

    /// How many bytes can become accessible.
    pub fn capacity_bytes(&self) -> usize {
        self.capacity_bytes
    }

    /// How dirty pages are tracked: never [`Tracking::Auto`].
    pub fn tracking(&self) -> Tracking {
        self.tracker.kind()
    }

    /// Makes the first `length_bytes` bytes accessible, a multiple of [`PAGE_BYTES`]; the new ones
    /// are zeros. A memory that is longer already stays as it is.
    pub fn grow_to(&mut self, length_bytes: usize) -> Result<(), MemoryError> {
        if !length_bytes.is_multiple_of(PAGE_BYTES) {
            return Err(MemoryError::Unaligned {
                what: "a length",
                bytes: length_bytes,
            });
        }
        if length_bytes > self.capacity_bytes {
            return Err(MemoryError::Capacity {
                wanted_bytes: length_bytes,
                capacity_bytes: self.capacity_bytes,
            });
        }
        let added = self.length_bytes / PAGE_BYTES..length_bytes / PAGE_BYTES;
        if added.is_empty() {
            return Ok(());
        }
        let grown = match &self.levels {
            None => self.pages.protect(&added, Access::ReadWrite),
            Some(levels) => {
                let offset = self.length_bytes as u64;
                self.pages.map_file(&added, levels.base(), offset)
            }
        };
        grown.map_err(MemoryError::system("make pages accessible"))?;
        self.tracker.attach(&self.pages, &added)?;
        self.length_bytes = length_bytes;
        Ok(())
    }

    /// The accessible bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: that many bytes are mapped readable from there on, and stay so while `self` is
        // borrowed. Writes through `base` are excluded by its contract. (The guard test: one byte
        // more faults.)
        unsafe { std::slice::from_raw_parts(self.pages.base().as_ptr(), self.length_bytes) }
    }

    /// The accessible bytes, to change.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; a page that is protected for tracking is made writable by the
        // kernel or the handler before the store goes on. (The model test, for both.)
        unsafe { std::slice::from_raw_parts_mut(self.pages.base().as_ptr(), self.length_bytes) }
    }
}

/// Versions.
impl Memory {
    /// Seals the present contents as the next version and shows what changed since the last.
    pub fn seal(&mut self) -> Result<Version<'_>, MemoryError> {
        self.collect()?;
        self.version += 1;
        let mut changed = std::mem::take(&mut self.unsealed);
        changed.split_off(self.length_bytes / PAGE_BYTES);
        Ok(Version::new(self.version, self.bytes(), changed))
    }

    /// As [`Memory::seal`], but shows every page that may be other than zero: what a version has
    /// that stands by itself.
    pub fn seal_whole(&mut self) -> Result<Version<'_>, MemoryError> {
        self.collect()?;
        self.version += 1;
        self.unsealed = PageSet::default();
        let occupied = self.occupied.clone();
        Ok(Version::new(self.version, self.bytes(), occupied))
    }

    /// Begins to copy all pages that may be other than zero, while they are written through
    /// [`Memory::base`]: see [`Copying`]. A copy that was begun before is given up.
    pub fn begin_copy(&mut self) -> Result<Copying, MemoryError> {
        self.collect()?;
        self.uncopied = Some(PageSet::default());
        self.copy += 1;
        let base = self.pages.base().addr().get();
        let pages = self.occupied.clone();
        Ok(Copying::new(self.copy, base, self.length_bytes, pages))
    }

    /// As [`Memory::seal_whole`], but shows only the pages that may have changed since the copy of
    /// that number was begun.
    pub fn seal_over(&mut self, number: u64) -> Result<Version<'_>, MemoryError> {
        self.collect()?;
        let uncopied = self.uncopied.take_if(|_| self.copy == number);
        let mut changed = uncopied.ok_or(MemoryError::CopyGivenUp { number })?;
        changed.split_off(self.length_bytes / PAGE_BYTES);
        self.version += 1;
        self.unsealed = PageSet::default();
        Ok(Version::new(self.version, self.bytes(), changed))
    }

    /// Puts `pages` into the next version whether they change or not: the version that had them
    /// was not kept after all.
    pub fn mark_changed(&mut self, pages: &PageSet) {
        self.unsealed.union(pages);
    }

    /// All pages that may be other than zero: what a whole image holds.
    pub fn occupied(&mut self) -> Result<&PageSet, MemoryError> {
        self.collect()?;
        Ok(&self.occupied)
    }

    /// Writes what a delta changed. It counts as written here, and is in the next version.
    pub fn apply(&mut self, delta: &Delta) -> Result<(), MemoryError> {
        self.grow_to(delta.length_bytes())?;
        let bytes = self.bytes_mut();
        for page in delta.zeroed().iter() {
            bytes[page_range(page)].fill(0);
        }
        for (page, contents) in delta.pages() {
            bytes[page_range(page)].copy_from_slice(contents);
        }
        Ok(())
    }

    /// Gives the memory the contents of an image: a length, and extents of `file` in the order of
    /// their pages; the rest is zeros. Larger extents are mapped copy-on-write, so their pages are
    /// read when they are touched and what was never written takes no memory of its own.
    ///
    /// The contents count as sealed: the next version is relative to the image. `file` must stay
    /// as it is while the memory lives; if it is shortened, touching what is gone ends the
    /// operating system's process (SIGBUS).
    pub fn map_image(
        &mut self,
        file: &File,
        extents: &[Extent],
        length_bytes: usize,
    ) -> Result<(), MemoryError> {
        if self.open_levels() > 0 {
            return Err(MemoryError::InUse {
                why: "a level is open",
            });
        }
        if length_bytes < self.length_bytes {
            return Err(MemoryError::InUse {
                why: "it is longer than the image",
            });
        }
        let metadata = file
            .metadata()
            .map_err(MemoryError::system("ask for the image's length"))?;
        image::check(extents, metadata.len(), length_bytes)?;
        self.clear()?;
        self.grow_to(length_bytes)?;

        let (mapped, read) = image::plan(extents);
        for extent in read {
            image::read(extent, file, self.bytes_mut())?;
        }
        for Extent { pages, file_offset } in mapped {
            self.pages
                .map_file(pages, file, *file_offset)
                .map_err(MemoryError::system("map the image"))?;
            self.tracker.attach(&self.pages, pages)?;
        }
        self.collect()?;
        self.unsealed = PageSet::default();
        for extent in extents {
            self.occupied.insert(extent.pages.clone());
        }
        Ok(())
    }

    /// Back to length 0, without a base.
    fn clear(&mut self) -> Result<(), MemoryError> {
        self.shrink_to(0)?;
        self.levels = None;
        self.above_base = PageSet::default();
        self.occupied = PageSet::default();
        self.unsealed = PageSet::default();
        self.uncopied = None;
        Ok(())
    }

    fn shrink_to(&mut self, length_bytes: usize) -> Result<(), MemoryError> {
        let taken_back = length_bytes / PAGE_BYTES..self.length_bytes / PAGE_BYTES;
        if taken_back.is_empty() {
            return Ok(());
        }
        self.tracker.detach(taken_back.start);
        self.length_bytes = length_bytes;
        // Should the memory grow again before it is sealed, what was there has become zeros.
        let gone = self.occupied.split_off(taken_back.start);
        self.unsealed.union(&gone);
        if let Some(uncopied) = &mut self.uncopied {
            uncopied.union(&gone);
        }
        self.above_base.split_off(taken_back.start);
        self.pages
            .map_nothing(&taken_back)
            .map_err(MemoryError::system("take pages back"))
    }

    /// Learns what was written, and starts anew.
    fn collect(&mut self) -> Result<(), MemoryError> {
        let mut dirty = PageSet::default();
        let all = 0..self.length_bytes / PAGE_BYTES;
        self.tracker.collect(&self.pages, &all, &mut dirty)?;
        self.unsealed.union(&dirty);
        self.occupied.union(&dirty);
        if self.levels.is_some() {
            self.above_base.union(&dirty);
        }
        if let Some(uncopied) = &mut self.uncopied {
            uncopied.union(&dirty);
        }
        Ok(())
    }
}

/// Levels.
impl Memory {
    /// How many levels are open; they are counted from 0, the outermost.
    pub fn open_levels(&self) -> usize {
        self.levels.as_ref().map_or(0, Levels::count)
    }

    /// Opens a level and answers its number. The first one copies the memory once; the others
    /// cost what changed since the one before.
    pub fn open_level(&mut self) -> Result<usize, MemoryError> {
        self.collect()?;
        match self.levels.take() {
            None => self.found_base()?,
            Some(mut levels) => {
                let done = levels.flush(self.bytes(), &self.above_base);
                self.levels = Some(levels);
                done?;
                let flushed = std::mem::take(&mut self.above_base);
                self.show_base(&flushed)?;
            }
        }
        let length_bytes = self.length_bytes;
        let levels = self.levels.as_mut().expect("there is a base by now");
        levels.push(length_bytes);
        Ok(levels.count() - 1)
    }

    /// Undoes `level` and every newer one: bytes and length are as when it was opened, and those
    /// levels are closed.
    pub fn abort_level(&mut self, level: usize) -> Result<(), MemoryError> {
        self.check_level(level)?;
        self.collect()?;
        let levels = self.levels.as_mut().expect("it has an open level");
        let (length_bytes, in_base) = levels.abort(level)?;
        self.above_base.union(&in_base);
        self.shrink_to(length_bytes)?;
        let mut undone = std::mem::take(&mut self.above_base);
        undone.split_off(length_bytes / PAGE_BYTES);
        // They may have been sealed meanwhile, with the contents that are now undone.
        self.unsealed.union(&undone);
        if let Some(uncopied) = &mut self.uncopied {
            uncopied.union(&undone);
        }
        self.show_base(&undone)
    }

    /// Closes `level` and keeps what was written in it, as part of the level around it; newer
    /// levels stay open, renumbered.
    pub fn commit_level(&mut self, level: usize) -> Result<(), MemoryError> {
        self.check_level(level)?;
        let levels = self.levels.as_mut().expect("it has an open level");
        levels.commit(level)
    }

    fn check_level(&self, level: usize) -> Result<(), MemoryError> {
        match &self.levels {
            Some(levels) => levels.check(level),
            None => Err(MemoryError::NoLevel { level, open: 0 }),
        }
    }

    /// Copies the memory to a first base and maps that.
    fn found_base(&mut self) -> Result<(), MemoryError> {
        let mut levels = Levels::new(self.capacity_bytes)?;
        levels.flush(self.bytes(), &self.occupied)?;
        let all = 0..self.length_bytes / PAGE_BYTES;
        self.pages
            .map_file(&all, levels.base(), 0)
            .map_err(MemoryError::system("map the base of levels"))?;
        self.tracker.attach(&self.pages, &all)?;
        self.above_base = PageSet::default();
        self.levels = Some(levels);
        Ok(())
    }

    /// Forgets the private copies of `pages`.
    fn show_base(&self, pages: &PageSet) -> Result<(), MemoryError> {
        pages.runs().try_for_each(|run| {
            self.pages
                .discard(&run)
                .map_err(MemoryError::system("undo pages"))
        })
    }
}
