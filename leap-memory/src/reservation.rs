//! Reserved address space: the only place that maps, unmaps and protects.

use std::fs::File;
use std::io;
use std::ptr::{self, NonNull};

use rustix::mm::{self, Advice, MapFlags, MprotectFlags, ProtFlags};

use crate::page_set::Run;
use crate::{MemoryError, PAGE_BYTES};

/// Address space that nobody else gets, inaccessible at first. Dropping it unmaps it.
#[derive(Debug)]
pub(crate) struct Reservation {
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the address space belongs to this value alone, and it is as good on one thread as on
// another. (The concurrency test writes two memories from two threads.)
unsafe impl Send for Reservation {}
// SAFETY: `&Reservation` changes mappings only through the methods below, each of which is one
// atomic system call; what is read and written is governed by `Memory`.
unsafe impl Sync for Reservation {}

impl Reservation {
    /// Reserves `bytes`, a multiple of the page.
    pub(crate) fn new(bytes: usize) -> Result<Self, MemoryError> {
        // An empty mapping is an error to the system, and a memory of length 0 is none to us.
        let bytes = bytes.max(PAGE_BYTES);
        // SAFETY: without MAP_FIXED a new mapping replaces none that somebody uses. (Many
        // memories at once in the model test would overwrite each other.)
        let base = unsafe {
            mm::mmap_anonymous(
                ptr::null_mut(),
                bytes,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }
        .map_err(MemoryError::system("reserve address space"))?;
        let base = NonNull::new(base.cast()).expect("the system maps nothing at address 0");
        let reservation = Self { base, bytes };
        // SAFETY: advice on our own mapping; it changes no contents. A dirty huge page would be
        // 512 dirty pages. (`a_page_is_dirty_alone` sees one page for one store.) Kernels without
        // huge pages refuse the advice and do not need it.
        let _ = unsafe { mm::madvise(base.as_ptr().cast(), bytes, Advice::LinuxNoHugepage) };
        Ok(reservation)
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// The address of `pages` and their length in bytes.
    pub(crate) fn span(&self, pages: &Run) -> (NonNull<u8>, usize) {
        let (start, len) = (pages.start * PAGE_BYTES, pages.len() * PAGE_BYTES);
        assert!(
            start + len <= self.bytes,
            "pages {pages:?} were not reserved"
        );
        // SAFETY: `start` is within the mapping. (The assertion above, and the guard test.)
        (unsafe { self.base.add(start) }, len)
    }

    /// Makes `pages` readable and writable, or readable only.
    pub(crate) fn protect(&self, pages: &Run, access: Access) -> io::Result<()> {
        if pages.is_empty() {
            return Ok(());
        }
        let flags = match access {
            Access::Read => MprotectFlags::READ,
            Access::ReadWrite => MprotectFlags::READ | MprotectFlags::WRITE,
        };
        let (start, len) = self.span(pages);
        // SAFETY: `span` answers only for our own mapping, and no Rust reference to its contents
        // outlives a change: `Memory` makes those from `&self` and `&mut self`. (The guard test
        // reads what a wrong range would have made accessible.)
        Ok(unsafe { mm::mprotect(start.as_ptr().cast(), len, flags) }?)
    }

    /// Forgets what was written to `pages`: they show again what they are mapped to, or zeros.
    pub(crate) fn discard(&self, pages: &Run) -> io::Result<()> {
        if pages.is_empty() {
            return Ok(());
        }
        let (start, len) = self.span(pages);
        // SAFETY: our own mapping, as in `protect`; the caller has `&mut Memory`, so no reference
        // sees the contents change. (The model test compares every byte after an undo.)
        Ok(unsafe { mm::madvise(start.as_ptr().cast(), len, Advice::LinuxDontNeed) }?)
    }

    /// Shows `file` from `offset` on in `pages`, copy-on-write.
    pub(crate) fn map_file(&self, pages: &Run, file: &File, offset: u64) -> io::Result<()> {
        self.replace(pages, |start, len| {
            // SAFETY: MAP_FIXED replaces pages of our own mapping only, see `span`, and the caller
            // has `&mut Memory`. MAP_PRIVATE: what is written never reaches the file. That nobody
            // shortens the file meanwhile is a promise of `Memory::map_image`'s caller: breaking
            // it ends the process with SIGBUS, which is no undefined behaviour.
            // (`an_image_is_never_written` and the model test.)
            unsafe {
                mm::mmap(
                    start,
                    len,
                    ProtFlags::READ | ProtFlags::WRITE,
                    MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE,
                    file,
                    offset,
                )
            }
        })
    }

    /// Shows zeros in `pages`, without access.
    pub(crate) fn map_nothing(&self, pages: &Run) -> io::Result<()> {
        self.replace(pages, |start, len| {
            // SAFETY: as in `map_file`. (`abort_gives_the_length_back` grows again and sees zeros.)
            unsafe {
                mm::mmap_anonymous(
                    start,
                    len,
                    ProtFlags::empty(),
                    MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE,
                )
            }
        })
    }

    fn replace(
        &self,
        pages: &Run,
        map: impl FnOnce(*mut core::ffi::c_void, usize) -> rustix::io::Result<*mut core::ffi::c_void>,
    ) -> io::Result<()> {
        if pages.is_empty() {
            return Ok(());
        }
        let (start, len) = self.span(pages);
        let start = start.as_ptr().cast();
        let mapped = map(start, len)?;
        assert_eq!(mapped, start, "a fixed mapping went elsewhere");
        // SAFETY: advice on our own mapping, as in `new`.
        let _ = unsafe { mm::madvise(start, len, Advice::LinuxNoHugepage) };
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and with `self` the last way to it goes. (The leak test
        // reserves more than the address space holds, one after the other.)
        let unmapped = unsafe { mm::munmap(self.base.as_ptr().cast(), self.bytes) };
        assert!(unmapped.is_ok(), "our own mapping cannot be unmapped");
    }
}

/// What may be done with pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    ReadWrite,
}
