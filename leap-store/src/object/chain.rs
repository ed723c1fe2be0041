//! Which segment objects are the journal.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::UpdateVersion;

use super::bucket::{Bucket, Object, PARALLEL};
use super::segment_name;
use crate::StoreError;
use crate::format::batch::{Place, scan};
use crate::format::segment::{HEADER, ObjectHeader};
use crate::journal::{Index, Segment};
use crate::replay::Replay;

/// A segment object with its header checked.
pub(super) struct Found {
    pub(super) header: ObjectHeader,
    bytes: Bytes,
    pub(super) version: UpdateVersion,
}

impl Found {
    pub(super) fn decode(
        bucket: &Bucket,
        sequence: u64,
        object: Object,
    ) -> Result<Self, StoreError> {
        let what = bucket.key(&segment_name(sequence));
        let header =
            ObjectHeader::decode(&object.bytes).map_err(|error| error.of(what.as_str()))?;
        if header.sequence != sequence {
            return Err(StoreError::Corrupt {
                what,
                offset: 24,
                reason: "its key and its header differ".to_owned(),
            });
        }
        Ok(Self {
            header,
            bytes: object.bytes,
            version: object.version,
        })
    }

    /// A segment without a batch marks where an incarnation begins.
    pub(super) fn is_fence(&self) -> bool {
        self.bytes.len() <= HEADER
    }
}

/// A journal being read from its objects: everything from the floor up to, not including, `end`.
pub(super) struct Chain {
    pub(super) index: Index,
    pub(super) replay: Replay,
    /// The next sequence number.
    pub(super) end: u64,
    /// The newest incarnation on the chain.
    pub(super) incarnation: u64,
}

impl Chain {
    pub(super) fn new(floor: u64) -> Self {
        Self {
            index: Index::new(floor > 1),
            replay: Replay::default(),
            end: floor,
            incarnation: 0,
        }
    }

    /// Whether a segment at the end continues the chain. Otherwise its number is free: it was written by an incarnation
    /// shut out before, or it is a block that the newest incarnation's claim put there and its writer may yet replace.
    pub(super) fn continues(&self, found: &Found) -> bool {
        let incarnation = found.header.incarnation;
        incarnation > self.incarnation || incarnation == self.incarnation && !found.is_fence()
    }

    /// Takes the segment at the end onto the chain.
    pub(super) fn push(&mut self, bucket: &Bucket, found: &Found) -> Result<(), StoreError> {
        assert!(found.header.sequence == self.end && self.continues(found));
        let newest = apply(bucket, found, &mut self.replay)?;
        self.incarnation = found.header.incarnation;
        self.index.segments.push_back(Segment {
            sequence: self.end,
            incarnation: self.incarnation,
            length: found.bytes.len() as u64,
            newest,
        });
        self.end += 1;
        Ok(())
    }

    /// Takes what is listed onto the chain, up to the first hole.
    ///
    /// A live predecessor writes on while we list and read, so a segment can be missing in the list although a later one,
    /// read afterwards, knows that it was durable. Then it must be there by now; if it is not, that is damage.
    pub(super) async fn extend(
        &mut self,
        bucket: &Bucket,
        listed: &[u64],
    ) -> Result<(), StoreError> {
        let mut found = fetch(bucket, listed.iter().copied().filter(|&s| s >= self.end)).await?;
        loop {
            while let Some(next) = found.remove(&self.end) {
                if !self.continues(&next) {
                    return Ok(());
                }
                self.push(bucket, &next)?;
            }
            let Some(witness) = found.values().find(|found| found.header.settled > self.end) else {
                return Ok(());
            };
            let witness = witness.header.sequence;
            let missed = fetch(bucket, std::iter::once(self.end)).await?;
            if missed.is_empty() {
                return Err(StoreError::Corrupt {
                    what: bucket.key(&segment_name(self.end)),
                    offset: 0,
                    reason: format!("it is missing, but segment {witness} was written after it"),
                });
            }
            found.extend(missed);
        }
    }
}

/// Replays the segments that `index` lists, up to and including `end`.
pub(super) async fn replay(
    bucket: &Bucket,
    index: &[Segment],
    end: u64,
) -> Result<Replay, StoreError> {
    let sequences = index.iter().map(|segment| segment.sequence);
    let wanted = sequences.take_while(|&sequence| sequence <= end);
    let found = fetch(bucket, wanted).await?;
    let mut replay = Replay::default();
    for segment in index.iter().filter(|segment| segment.sequence <= end) {
        let Some(found) = found.get(&segment.sequence) else {
            return Err(StoreError::Corrupt {
                what: bucket.key(&segment_name(segment.sequence)),
                offset: 0,
                reason: "it is missing".to_owned(),
            });
        };
        apply(bucket, found, &mut replay)?;
    }
    Ok(replay)
}

async fn fetch(
    bucket: &Bucket,
    sequences: impl Iterator<Item = u64>,
) -> Result<BTreeMap<u64, Found>, StoreError> {
    // Collected first: a borrowed iterator inside the stream would tie the future to its lifetime.
    let sequences: Vec<u64> = sequences.collect();
    let gets = sequences.into_iter().map(|sequence| async move {
        match bucket.get(&segment_name(sequence)).await? {
            Some(object) => Ok(Some((sequence, Found::decode(bucket, sequence, object)?))),
            None => Ok(None),
        }
    });
    let found: Vec<_> = stream::iter(gets)
        .buffer_unordered(PARALLEL)
        .try_collect()
        .await?;
    Ok(found.into_iter().flatten().collect())
}

fn apply(bucket: &Bucket, found: &Found, replay: &mut Replay) -> Result<Option<u64>, StoreError> {
    let place = Place {
        incarnation: found.header.incarnation,
        sequence: found.header.sequence,
        offset: HEADER as u64,
    };
    let what = || bucket.key(&segment_name(found.header.sequence));
    let corrupt = |offset: usize, reason: &str| StoreError::Corrupt {
        what: what(),
        offset: offset as u64,
        reason: reason.to_owned(),
    };
    let scan = scan(place, &found.bytes).map_err(|error| error.of(what()))?;
    // An object is there as a whole or not at all, so there is no torn tail to forgive.
    if let Some(reason) = scan.torn {
        return Err(corrupt(scan.end, reason));
    }
    if scan.end != found.bytes.len() {
        return Err(corrupt(scan.end, "something follows its batches"));
    }
    replay
        .apply_all(scan.entries)
        .map_err(|reason| corrupt(HEADER, reason))
}
