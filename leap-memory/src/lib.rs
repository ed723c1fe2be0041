//! Process memory: reserved address space, dirty pages, versions as page deltas, levels of undo.
//!
//! A [`Memory`] is a stretch of reserved address space whose beginning is accessible and grows in
//! place; its base never moves. The kernel tells which pages were written, so
//! - [`Memory::seal`] gives the pages that changed since the last version, and nothing else;
//! - [`Memory::open_level`] and [`Memory::abort_level`] undo, at the cost of what changed;
//! - [`Memory::begin_copy`] and [`Memory::seal_over`] give all of it, and most while it is written;
//! - [`Memory::map_image`] starts from a file whose pages are read when they are touched.
//!
//! The crate knows neither WebAssembly nor storage: it deals in pages of [`PAGE_BYTES`].
//!
//! Invariants:
//! - What lies behind the accessible length faults, up to the end of the guard.
//! - A page that was written since the last [`Memory::seal`] is in the next one, and a page that is
//!   in it was written, undone or named in [`Memory::mark_changed`] since.
//! - Pages that were never written take no memory and are in no version.
//! - `abort_level` leaves every byte and the length as they were when the level was opened.
//!
//! The memory is written by ordinary stores, from the program that lives in it and from its host.
//! A system call must not be given its address to write to: under one of the two kinds of
//! [`Tracking`] a page that was not written yet makes the call fail with `EFAULT`.
//!
//! ```
//! use leap_memory::{Memory, MemoryOptions, PAGE_BYTES};
//!
//! let mut memory = Memory::reserve(&MemoryOptions { capacity_bytes: 1 << 32, ..Default::default() })?;
//! memory.grow_to(16 * PAGE_BYTES)?;
//! memory.bytes_mut()[3 * PAGE_BYTES] = 7;
//! let version = memory.seal()?;
//! assert_eq!(version.pages().map(|(page, _)| page).collect::<Vec<_>>(), [3]);
//!
//! memory.open_level()?;
//! memory.bytes_mut()[3 * PAGE_BYTES] = 8;
//! memory.abort_level(0)?;
//! assert_eq!(memory.bytes()[3 * PAGE_BYTES], 7);
//! # Ok::<(), leap_memory::MemoryError>(())
//! ```

mod copying;
mod delta;
mod error;
mod image;
mod level;
mod memory;
mod page_set;
mod reservation;
mod tracking;

pub use copying::Copying;
pub use delta::{Delta, Version};
pub use error::MemoryError;
pub use image::Extent;
pub use memory::{Memory, MemoryOptions};
pub use page_set::{PageSet, Run};
pub use tracking::Tracking;

/// Bytes of a page: of the system's pages, which are the unit of everything here.
pub const PAGE_BYTES: usize = 4096;

/// Whether `page` holds nothing but zeros.
fn is_zero(page: &[u8]) -> bool {
    page.iter().all(|&byte| byte == 0)
}
