//! Dirty pages by userfaultfd write protection (asynchronous) and `PAGEMAP_SCAN`.
//!
//! A page counts as written when it is present, private, not the shared page of zeros, and not
//! write-protected. So a memory needs no preparation: pages that were never touched are not
//! present, pages of a mapped image are the file's until the first write makes them private, and
//! collecting protects exactly the pages that it reports. The first write after that makes the
//! kernel lift the protection by itself; no thread and no signal is involved.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::OnceLock;

use linux_raw_sys::general::{
    _UFFDIO_API, _UFFDIO_REGISTER, PAGE_IS_FILE, PAGE_IS_PFNZERO, PAGE_IS_PRESENT, PAGE_IS_SWAPPED,
    PAGE_IS_WRITTEN, PM_SCAN_CHECK_WPASYNC, PM_SCAN_WP_MATCHING, UFFD_API,
    UFFD_FEATURE_PAGEFAULT_FLAG_WP, UFFD_FEATURE_WP_ASYNC, UFFD_FEATURE_WP_UNPOPULATED,
    UFFDIO_REGISTER_MODE_WP, page_region, pm_scan_arg, uffdio_api, uffdio_range, uffdio_register,
};
use rustix::ioctl::{Opcode, opcode};
use rustix::mm::UserfaultfdFlags;

use crate::page_set::{PageSet, Run};
use crate::reservation::Reservation;
use crate::{MemoryError, PAGE_BYTES};

const UFFDIO: u8 = 0xaa;
const API: Opcode = opcode::read_write::<uffdio_api>(UFFDIO, _UFFDIO_API as u8);
const REGISTER: Opcode = opcode::read_write::<uffdio_register>(UFFDIO, _UFFDIO_REGISTER as u8);
const PAGEMAP_SCAN: Opcode = opcode::read_write::<pm_scan_arg>(b'f', 16);

/// Runs that one scan reports; more take another.
const REGIONS: usize = 512;

/// The two handles by which every memory of this process is tracked.
#[derive(Debug)]
pub(crate) struct Userfault {
    faults: OwnedFd,
    pagemap: File,
}

impl Userfault {
    /// Opens them once. The error is asked for anew each time: it may be passing.
    pub(crate) fn of_this_process() -> Result<&'static Self, MemoryError> {
        static OPENED: OnceLock<Userfault> = OnceLock::new();
        if let Some(opened) = OPENED.get() {
            return Ok(opened);
        }
        let opened = Self::open().map_err(|source| MemoryError::Tracking {
            tracking: "userfault",
            source,
        })?;
        // Two threads may both have come here; one pair of handles is as good as the other, and
        // none has memories yet.
        Ok(OPENED.get_or_init(|| opened))
    }

    fn open() -> io::Result<Self> {
        // Without USER_MODE_ONLY the call wants a privilege; asynchronous protection lets the
        // kernel's own writes through all the same.
        let flags = UserfaultfdFlags::CLOEXEC
            | UserfaultfdFlags::NONBLOCK
            | UserfaultfdFlags::from_bits_retain(linux_raw_sys::general::UFFD_USER_MODE_ONLY);
        // SAFETY: the handle stays private to this module, which registers only memory of
        // `Reservation`s, for write protection only: no fault is ever left waiting for us. (Every
        // test here would hang if one were.)
        let faults = unsafe { rustix::mm::userfaultfd(flags) }?;
        let features = u64::from(
            UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_UNPOPULATED | UFFD_FEATURE_WP_ASYNC,
        );
        let mut api = uffdio_api {
            api: u64::from(UFFD_API),
            features,
            ioctls: 0,
        };
        // SAFETY: `API` reads and writes one `uffdio_api`, which this is. (A wrong size would be
        // another request, which the kernel refuses: `this_system_has_both`.)
        unsafe { ioctl(&faults, API, &mut api) }?;
        let pagemap = File::open("/proc/self/pagemap")?;
        let userfault = Self { faults, pagemap };
        userfault.try_out()?;
        Ok(userfault)
    }

    /// Older kernels have the one half but not the other, and sandboxes refuse either.
    fn try_out(&self) -> io::Result<()> {
        let probe = Reservation::new(PAGE_BYTES).map_err(io::Error::other)?;
        probe.protect(&(0..1), crate::reservation::Access::ReadWrite)?;
        self.register(&probe, &(0..1))?;
        self.scan(&probe, &(0..1), &mut PageSet::default())
    }

    pub(super) fn attach(&self, memory: &Reservation, pages: &Run) -> Result<(), MemoryError> {
        self.register(memory, pages)
            .map_err(MemoryError::system("register pages for tracking"))
    }

    pub(super) fn collect(
        &self,
        memory: &Reservation,
        pages: &Run,
        dirty: &mut PageSet,
    ) -> Result<(), MemoryError> {
        self.scan(memory, pages, dirty)
            .map_err(MemoryError::system("scan for dirty pages"))
    }

    fn register(&self, memory: &Reservation, pages: &Run) -> io::Result<()> {
        let (start, len) = memory.span(pages);
        let mut register = uffdio_register {
            range: uffdio_range {
                start: start.addr().get() as u64,
                len: len as u64,
            },
            mode: u64::from(UFFDIO_REGISTER_MODE_WP),
            ioctls: 0,
        };
        // SAFETY: `REGISTER` reads and writes one `uffdio_register`; the range is our own
        // mapping. (A range that were not would be somebody's whose pages then show up as dirty.)
        unsafe { ioctl(&self.faults, REGISTER, &mut register) }?;
        Ok(())
    }

    fn scan(&self, memory: &Reservation, pages: &Run, dirty: &mut PageSet) -> io::Result<()> {
        let base = memory.base().addr().get() as u64;
        let (start, len) = memory.span(pages);
        let end = start.addr().get() as u64 + len as u64;
        let mut regions = [page_region {
            start: 0,
            end: 0,
            categories: 0,
        }; REGIONS];
        let mut from = start.addr().get() as u64;
        while from < end {
            let mut scan = pm_scan_arg {
                size: size_of::<pm_scan_arg>() as u64,
                flags: u64::from(PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC),
                start: from,
                end,
                walk_end: 0,
                vec: regions.as_mut_ptr().addr() as u64,
                vec_len: REGIONS as u64,
                max_pages: 0,
                // Inverted: matches where the page is *not* the file's and *not* the zero page.
                category_inverted: u64::from(PAGE_IS_FILE | PAGE_IS_PFNZERO),
                category_mask: u64::from(PAGE_IS_WRITTEN | PAGE_IS_FILE | PAGE_IS_PFNZERO),
                category_anyof_mask: u64::from(PAGE_IS_PRESENT | PAGE_IS_SWAPPED),
                return_mask: u64::from(PAGE_IS_WRITTEN),
            };
            regions.as_mut_ptr().expose_provenance();
            // SAFETY: `PAGEMAP_SCAN` reads and writes one `pm_scan_arg` and writes at most
            // `vec_len` regions to `vec`, which has that many and lives until the call is over.
            // It protects our own mapping only. (`many_runs_take_many_scans` fills the vector.)
            let found = unsafe { ioctl(&self.pagemap, PAGEMAP_SCAN, &mut scan) }?;
            for region in &regions[..found] {
                let page = |address: u64| (address - base) as usize / PAGE_BYTES;
                dirty.insert(page(region.start)..page(region.end));
            }
            assert!(scan.walk_end > from, "a scan that does not advance");
            from = scan.walk_end;
        }
        Ok(())
    }
}

/// # Safety
/// `request` must be one that reads and writes a `T`, and do nothing unsafe by itself.
unsafe fn ioctl<T>(
    file: &impl std::os::fd::AsFd,
    request: Opcode,
    argument: &mut T,
) -> io::Result<usize> {
    let file = file.as_fd().as_raw_fd();
    // SAFETY: the caller's promise. (rustix's own `ioctl` does not hand on the result.)
    let result = unsafe { libc::ioctl(file, request as _, std::ptr::from_mut(argument)) };
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
