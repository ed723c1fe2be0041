//! Copying a memory while it is written, so that it need not stand still for long.
//!
//! ```text
//! begin_copy                 learns what there is to copy; from here on, notes what is written
//! Copying::read              copies, while the program runs; what is written meanwhile may be torn
//! seal_over                  the program stands still: shows what was written since the beginning
//! ```
//!
//! The copy with what `seal_over` shows laid over it is the memory as it was then. So the program stands
//! still for what it writes in the time that a copy takes, not for all that it has.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use crate::delta::Delta;
use crate::page_set::PageSet;
use crate::{MemoryError, PAGE_BYTES, is_zero};

/// Pages that are read at once.
const PAGES_AT_ONCE: usize = 64;

/// What [`Memory::begin_copy`](crate::Memory::begin_copy) found to be copied.
#[derive(Debug)]
pub struct Copying {
    number: u64,
    base: usize,
    length_bytes: usize,
    pages: PageSet,
}

impl Copying {
    pub(crate) fn new(number: u64, base: usize, length_bytes: usize, pages: PageSet) -> Self {
        Self {
            number,
            base,
            length_bytes,
            pages,
        }
    }

    /// Names the copy to [`Memory::seal_over`](crate::Memory::seal_over).
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Copies the pages, whatever is written to them meanwhile. The memory must not be dropped before
    /// this is done: what is at its place then would be copied.
    pub fn read(&self) -> Result<Delta, MemoryError> {
        let failed = || MemoryError::system("copy pages in use");
        // Through the system: a program may not read what another thread of it writes.
        let all = File::open("/proc/self/mem").map_err(failed())?;
        let mut copy = Delta::empty(self.length_bytes);
        let mut buffer = vec![0; PAGES_AT_ONCE * PAGE_BYTES];
        for run in self.pages.runs() {
            for first in run.clone().step_by(PAGES_AT_ONCE) {
                let end = run.end.min(first + PAGES_AT_ONCE);
                let bytes = &mut buffer[..(end - first) * PAGE_BYTES];
                let address = self.base + first * PAGE_BYTES;
                all.read_exact_at(bytes, address as u64).map_err(failed())?;
                for (page, contents) in (first..end).zip(bytes.chunks_exact(PAGE_BYTES)) {
                    if !is_zero(contents) {
                        copy.push(page, contents);
                    }
                }
            }
        }
        Ok(copy)
    }
}
