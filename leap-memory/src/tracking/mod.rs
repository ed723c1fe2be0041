//! Which pages were written: two ways to have the kernel tell.
//!
//! Both answer the same question, `collect`: the pages of a range that were written since they
//! were last collected (or since they were mapped), once. They may be written meanwhile: what is
//! written before `collect` returns is in its answer or in the next one, and what is written later
//! in the next one.

mod protect;
mod userfault;

use std::str::FromStr;

use crate::MemoryError;
use crate::page_set::{PageSet, Run};
use crate::reservation::Reservation;

pub(crate) use protect::Protect;
pub(crate) use userfault::Userfault;

/// How dirty pages are tracked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tracking {
    /// As the environment variable `LEAP_MEMORY_TRACKING` says (`userfault` or `protect`);
    /// without it [`Tracking::Userfault`] where the system has it, else [`Tracking::Protect`].
    #[default]
    Auto,
    /// Write protection by userfaultfd, asynchronous, read by `PAGEMAP_SCAN`: Linux 6.7 and
    /// later, without privileges. No signal, no code of ours in a page fault.
    Userfault,
    /// `mprotect` and a handler for SIGSEGV, which hands on what is not about our pages. Works
    /// everywhere, at several times the cost of a first write.
    ///
    /// The handler must come before those of others, such as an engine's that turns faults of
    /// its guests into traps. It is (again) put first with every memory that is reserved: set
    /// up the other one before any memory of this kind is written.
    Protect,
}

impl FromStr for Tracking {
    type Err = MemoryError;

    fn from_str(name: &str) -> Result<Self, MemoryError> {
        match name {
            "" | "auto" => Ok(Self::Auto),
            "userfault" => Ok(Self::Userfault),
            "protect" => Ok(Self::Protect),
            _ => Err(MemoryError::TrackingName {
                value: name.to_owned(),
            }),
        }
    }
}

/// One memory's tracking.
#[derive(Debug)]
pub(crate) enum Tracker {
    Userfault(&'static Userfault),
    Protect(Protect),
}

impl Tracker {
    /// The tracking of the memory that is to live in `reservation`, of at most `pages`.
    pub(crate) fn new(
        tracking: Tracking,
        reservation: &Reservation,
        pages: usize,
    ) -> Result<Self, MemoryError> {
        let protect = || Protect::new(reservation, pages).map(Self::Protect);
        match tracking {
            Tracking::Userfault => Ok(Self::Userfault(Userfault::of_this_process()?)),
            Tracking::Protect => protect(),
            Tracking::Auto => match std::env::var("LEAP_MEMORY_TRACKING") {
                Ok(name) if Tracking::from_str(&name)? != Tracking::Auto => {
                    Self::new(name.parse()?, reservation, pages)
                }
                _ => Userfault::of_this_process()
                    .map(Self::Userfault)
                    .or_else(|_| protect()),
            },
        }
    }

    /// Its kind: never `Auto`.
    pub(crate) fn kind(&self) -> Tracking {
        match self {
            Self::Userfault(_) => Tracking::Userfault,
            Self::Protect(_) => Tracking::Protect,
        }
    }

    /// Begins to track `pages`, which were just mapped readable and writable and count as clean.
    pub(crate) fn attach(&self, reservation: &Reservation, pages: &Run) -> Result<(), MemoryError> {
        if pages.is_empty() {
            return Ok(());
        }
        match self {
            Self::Userfault(userfault) => userfault.attach(reservation, pages),
            Self::Protect(protect) => protect.attach(reservation, pages),
        }
    }

    /// Adds to `dirty` what was written in `pages`, and counts it as clean from now on.
    pub(crate) fn collect(
        &self,
        reservation: &Reservation,
        pages: &Run,
        dirty: &mut PageSet,
    ) -> Result<(), MemoryError> {
        if pages.is_empty() {
            return Ok(());
        }
        match self {
            Self::Userfault(userfault) => userfault.collect(reservation, pages, dirty),
            Self::Protect(protect) => protect.collect(reservation, pages, dirty),
        }
    }

    /// Stops tracking from `end` on: those pages are about to be taken back.
    pub(crate) fn detach(&self, end: usize) {
        match self {
            // The registration goes with the mapping.
            Self::Userfault(_) => {}
            Self::Protect(protect) => protect.detach(end),
        }
    }
}
