//! Versions as the pages that changed since the one before.

use std::ops::Range;

use crate::page_set::PageSet;
use crate::{PAGE_BYTES, is_zero};

/// A sealed version, seen in the memory itself: nothing is copied until somebody wants it so.
#[derive(Debug)]
pub struct Version<'a> {
    number: u64,
    bytes: &'a [u8],
    changed: PageSet,
}

impl<'a> Version<'a> {
    pub(crate) fn new(number: u64, bytes: &'a [u8], changed: PageSet) -> Self {
        Self {
            number,
            bytes,
            changed,
        }
    }

    /// Its number: 1 for the first that was sealed.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The memory's length in this version.
    pub fn length_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The numbers of all pages that may have changed.
    pub fn changed(&self) -> &PageSet {
        &self.changed
    }

    /// Number and contents of each page that may have changed and is not all zeros, in order.
    pub fn pages(&self) -> impl Iterator<Item = (usize, &'a [u8])> + '_ {
        let bytes = self.bytes;
        self.changed
            .iter()
            .map(move |page| (page, &bytes[page_range(page)]))
            .filter(|(_, contents)| !is_zero(contents))
    }

    /// The pages that may have changed and are all zeros.
    pub fn zeroed(&self) -> PageSet {
        self.changed
            .iter()
            .filter(|&page| is_zero(&self.bytes[page_range(page)]))
            .collect()
    }

    /// A copy that lives on when the memory changes.
    pub fn to_delta(&self) -> Delta {
        let mut delta = Delta {
            number: self.number,
            length_bytes: self.bytes.len(),
            ..Delta::default()
        };
        delta.contents.reserve(self.changed.len() * PAGE_BYTES);
        for page in self.changed.iter() {
            let contents = &self.bytes[page_range(page)];
            if is_zero(contents) {
                delta.zeroed.insert(page..page + 1);
            } else {
                delta.pages.insert(page..page + 1);
                delta.contents.extend_from_slice(contents);
            }
        }
        delta
    }
}

/// What changed from one version to the next: the pages with contents, the pages that became
/// zero, and the length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    number: u64,
    length_bytes: usize,
    pages: PageSet,
    zeroed: PageSet,
    /// The contents of `pages`, one after the other.
    contents: Vec<u8>,
}

impl Delta {
    /// Nothing but zeros, of that length.
    pub(crate) fn empty(length_bytes: usize) -> Self {
        Self {
            length_bytes,
            ..Self::default()
        }
    }

    /// Adds a page behind all that there are.
    pub(crate) fn push(&mut self, page: usize, contents: &[u8]) {
        self.pages.insert(page..page + 1);
        self.contents.extend_from_slice(contents);
    }

    /// The number of the version it leads to.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The memory's length in that version.
    pub fn length_bytes(&self) -> usize {
        self.length_bytes
    }

    /// The pages that became all zeros.
    pub fn zeroed(&self) -> &PageSet {
        &self.zeroed
    }

    /// Number and contents of the other pages that changed, in order.
    pub fn pages(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.pages
            .iter()
            .zip(self.contents.chunks_exact(PAGE_BYTES))
    }

    /// Makes the version before (all zeros if there was none) into this one.
    pub fn apply_to(&self, bytes: &mut Vec<u8>) {
        bytes.resize(self.length_bytes, 0);
        for page in self.zeroed.iter() {
            bytes[page_range(page)].fill(0);
        }
        for (page, contents) in self.pages() {
            bytes[page_range(page)].copy_from_slice(contents);
        }
    }
}

/// The bytes of `page` in a memory.
pub(crate) fn page_range(page: usize) -> Range<usize> {
    page * PAGE_BYTES..(page + 1) * PAGE_BYTES
}
