//! Which segments a journal consists of, and which of them a checkpoint makes superfluous.

use std::collections::VecDeque;

use crate::format::batch::Entry;

/// One segment of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) sequence: u64,
    pub(crate) incarnation: u64,
    /// Bytes that count.
    pub(crate) length: u64,
    /// The highest version in it, truncated ones included: a bound is enough.
    pub(crate) newest: Option<u64>,
}

impl Segment {
    pub(crate) fn note(&mut self, entries: &[Entry]) {
        for entry in entries {
            if let Entry::Record(record) = entry {
                self.newest = self.newest.max(Some(record.version));
            }
        }
    }
}

/// The segments in order of their sequence numbers.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) segments: VecDeque<Segment>,
    /// Segments before the first were deleted.
    pub(crate) pruned: bool,
    /// No part of the journal any more, but perhaps not deleted yet.
    doomed: Vec<Segment>,
}

impl Index {
    pub(crate) fn new(pruned: bool) -> Self {
        Self {
            pruned,
            ..Self::default()
        }
    }

    /// The first segment that is needed on top of a checkpoint of `version`; `current` is the one being written.
    pub(crate) fn base(&self, version: u64, current: u64) -> u64 {
        let needed = |segment: &&Segment| segment.newest > Some(version);
        let first = self.segments.iter().find(needed);
        first.map_or(current, |segment| segment.sequence.min(current))
    }

    pub(crate) fn contains(&self, sequence: u64, incarnation: u64) -> bool {
        let mut segments = self.segments.iter();
        segments.any(|segment| (segment.sequence, segment.incarnation) == (sequence, incarnation))
    }

    /// Takes out what lies below `base`, and hands out all that is still to be deleted.
    pub(crate) fn doom_below(&mut self, base: u64) -> Vec<Segment> {
        let below = self
            .segments
            .partition_point(|segment| segment.sequence < base);
        self.pruned |= below > 0;
        self.doomed.extend(self.segments.drain(..below));
        self.doomed.clone()
    }

    /// What was handed out is deleted.
    pub(crate) fn bury(&mut self) {
        self.doomed.clear();
    }
}
