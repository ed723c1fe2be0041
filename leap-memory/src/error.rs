//! What can go wrong with a memory.

use std::io;

/// Why something could not be done with a [`Memory`](crate::Memory). The memory is as it was,
/// unless the variant says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// The system's pages have another size than this crate is made for.
    #[error("the system has pages of {bytes} bytes, not of {}", crate::PAGE_BYTES)]
    PageSize {
        /// The system's size.
        bytes: usize,
    },
    /// A length or a place that is no multiple of a page.
    #[error("{what} of {bytes} bytes is no whole number of pages")]
    Unaligned {
        /// What the number is.
        what: &'static str,
        /// The number.
        bytes: usize,
    },
    /// More than was reserved, or than the address space has.
    #[error("{wanted_bytes} bytes are wanted, {capacity_bytes} were reserved")]
    Capacity {
        /// The length asked for.
        wanted_bytes: usize,
        /// The length that can be had.
        capacity_bytes: usize,
    },
    /// A memory with open levels, or one that is in use, cannot be given other contents.
    #[error("the memory is in use: {why}")]
    InUse {
        /// What shows it.
        why: &'static str,
    },
    /// Another copy has been begun since, or the memory was given other contents.
    #[error("copy {number} was given up")]
    CopyGivenUp {
        /// The copy's number.
        number: u64,
    },
    /// An extent of an image reaches over the end of the file or of the memory, or the extents
    /// are not in order.
    #[error("extent of pages {first_page}..{end_page} at file offset {file_offset}: {why}")]
    Extent {
        /// The first page of the memory it is for.
        first_page: usize,
        /// The page after its last.
        end_page: usize,
        /// Where it lies in the file.
        file_offset: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// There is no such open level.
    #[error("level {level} is not open, {open} levels are")]
    NoLevel {
        /// The level asked for, counted from 0.
        level: usize,
        /// How many are open.
        open: usize,
    },
    /// This kind of dirty tracking does not exist on this system.
    #[error("the system has no {tracking} tracking of dirty pages")]
    Tracking {
        /// The kind asked for.
        tracking: &'static str,
        /// The step that failed.
        #[source]
        source: io::Error,
    },
    /// `LEAP_MEMORY_TRACKING` names no kind of tracking.
    #[error("LEAP_MEMORY_TRACKING is `{value}`: `auto`, `userfault` and `protect` are known")]
    TrackingName {
        /// The variable's value.
        value: String,
    },
    /// The system refused. After a failure while contents were being replaced (restoring an
    /// image, undoing a level) they are undefined, and the memory should be dropped.
    #[error("cannot {step}")]
    System {
        /// What was tried.
        step: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl MemoryError {
    /// Wraps what the system said to `step`.
    pub(crate) fn system<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::System {
            step,
            source: source.into(),
        }
    }
}
