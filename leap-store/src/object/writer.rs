//! The writing end of one incarnation's segment objects.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesOrdered;
use object_store::UpdateVersion;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::bucket::{Bucket, Put};
use super::chain::{self, Found};
use super::claim::{Folders, Owner, listed_segment, read_image};
use super::{image_name, segment_name};
use crate::format::batch::{self, Entry, Mark, Place};
use crate::format::segment::{HEADER, ObjectHeader};
use crate::journal::{Index, Position, Queue, Take, poisoning};
use crate::replay::Replay;
use crate::{Record, StoreError};

pub(crate) struct Writer {
    pub(crate) queue: Queue,
    pub(crate) index: Mutex<Index>,
    pub(super) name: String,
    pub(super) incarnation: u64,
    pub(super) identity: u64,
    pub(super) folders: Folders,
    pub(super) latency: Duration,
    /// The next sequence number; moved by the pump only.
    pub(super) next: AtomicU64,
    pub(super) ownership: tokio::sync::Mutex<Ownership>,
    /// The queue has something, or the journal is dropped.
    pub(super) work: Notify,
}

/// What this incarnation last wrote into the claim object.
pub(super) struct Ownership {
    pub(super) floor: u64,
    pub(super) version: UpdateVersion,
}

/// A segment on its way.
struct Sent {
    entries: Vec<Entry>,
    sequence: u64,
}

impl Writer {
    pub(crate) fn incarnation(&self) -> u64 {
        self.incarnation
    }

    pub(crate) fn identity(&self) -> u64 {
        self.identity
    }

    pub(crate) fn wake(&self) {
        self.work.notify_one();
    }

    /// Puts segments, several at a time, and acknowledges them in order. Ends with the journal.
    pub(super) async fn pump(self: Arc<Self>) {
        // However this ends, nobody may wait for ever.
        let last_word = self.queue.last_word();
        let mut in_flight = FuturesOrdered::new();
        loop {
            let later = loop {
                match self.queue.take() {
                    Take::Batch(entries) => in_flight.push_back(self.send(entries)),
                    Take::Later(when) => break Some(Instant::from_std(when)),
                    Take::Idle => break None,
                }
            };
            if in_flight.is_empty() && later.is_none() && self.queue.is_finished() {
                return last_word.withhold();
            }
            tokio::select! {
                Some(sent) = in_flight.next() => {
                    if let Err(error) = sent.map(|sent| self.acknowledge(&sent)) {
                        tracing::warn!(journal = self.name, %error, "the journal stops");
                        return self.queue.fail(&poisoning(error));
                    }
                }
                () = sleep_until(later.unwrap_or_else(Instant::now)), if later.is_some() => {}
                () = self.work.notified() => {}
            }
        }
    }

    fn acknowledge(&self, sent: &Sent) {
        let position = Position {
            sequence: sent.sequence,
            length: 0,
        };
        // The pump asks for more after this anyway, so it needs no waking.
        let _ = self.queue.acknowledge(&sent.entries, position);
    }

    /// Gives the batch its number and sends it; sequence numbers follow the order of calls, not of awaits.
    fn send(
        self: &Arc<Self>,
        mut entries: Vec<Entry>,
    ) -> impl Future<Output = Result<Sent, StoreError>> + use<> {
        let sequence = self.next.fetch_add(1, Ordering::Relaxed);
        for entry in &mut entries {
            if let Entry::Checkpoint(mark) = entry {
                mark.base = self.index.lock().base(mark.version, sequence);
            }
        }
        let bytes = self.encode(sequence, &entries);
        let mut segment = listed_segment(sequence, self.incarnation, bytes.len() as u64);
        segment.note(&entries);
        self.index.lock().segments.push_back(segment);
        let writer = Arc::clone(self);
        async move {
            writer.put(sequence, &bytes).await?;
            writer.queue.count_write(entries.len(), bytes.len());
            if !writer.latency.is_zero() {
                sleep(writer.latency).await;
            }
            Ok(Sent { entries, sequence })
        }
    }

    fn encode(&self, sequence: u64, entries: &[Entry]) -> Bytes {
        let header = ObjectHeader {
            incarnation: self.incarnation,
            sequence,
            settled: self.queue.position().sequence + 1,
        };
        let place = Place {
            incarnation: self.incarnation,
            sequence,
            offset: HEADER as u64,
        };
        let mut bytes = header.encode();
        batch::encode(place, entries, &mut bytes);
        bytes.into()
    }

    /// Puts a segment. What lies there from an older incarnation, or from our own claim as a block, is replaced.
    async fn put(&self, sequence: u64, bytes: &Bytes) -> Result<(), StoreError> {
        let segments = &self.folders.segments;
        let mut expected = None;
        loop {
            let put = segments
                .put_if(&segment_name(sequence), bytes, expected.as_ref())
                .await?;
            let found = match put {
                Put::Done(_) => return Ok(()),
                Put::Refused(None) => {
                    expected = None;
                    continue;
                }
                Put::Refused(Some(object)) => Found::decode(segments, sequence, object)?,
            };
            let by = found.header.incarnation;
            if by > self.incarnation {
                return Err(self.fenced(by));
            }
            assert!(
                by < self.incarnation || found.is_fence(),
                "segment {sequence} of incarnation {by} is written twice"
            );
            expected = Some(found.version);
        }
    }

    /// Fails when a newer incarnation has claimed the name.
    pub(crate) async fn check_claim(&self) -> Result<(), StoreError> {
        let journal: &Bucket = &self.folders.journal;
        let newest = match journal.get("claim").await? {
            Some(object) => Owner::decode(journal, &object.bytes)?.incarnation,
            None => return Err(missing_claim(journal)),
        };
        match newest == self.incarnation {
            true => Ok(()),
            false => Err(self.fenced(newest)),
        }
    }

    fn fenced(&self, by: u64) -> StoreError {
        StoreError::Fenced {
            name: self.name.clone(),
            incarnation: self.incarnation,
            by,
        }
    }

    pub(crate) async fn write_image(&self, number: u64, image: Bytes) -> Result<(), StoreError> {
        self.folders
            .images
            .put(&image_name(self.incarnation, number), image)
            .await
    }

    pub(crate) async fn read_image(&self, mark: Mark) -> Result<Record, StoreError> {
        read_image(&self.folders.images, mark).await
    }

    pub(crate) async fn read(&self, end: Position) -> Result<Replay, StoreError> {
        let segments: Vec<_> = self.index.lock().segments.iter().copied().collect();
        chain::replay(&self.folders.segments, &segments, end.sequence).await
    }

    /// Raises the floor first, so that no reader takes the deleted segments for a hole.
    pub(crate) async fn prune(&self, base: u64, images: &[(u64, u64)]) -> Result<(), StoreError> {
        self.raise_floor(base).await?;
        let images = images
            .iter()
            .map(|&(incarnation, number)| image_name(incarnation, number));
        self.folders.images.delete(images.collect()).await?;
        let doomed = self.index.lock().doom_below(base);
        // Fences stay: they keep the incarnations before them out.
        let unused = doomed
            .iter()
            .filter(|segment| segment.length > HEADER as u64);
        let unused = unused
            .map(|segment| segment_name(segment.sequence))
            .collect();
        self.folders.segments.delete(unused).await?;
        self.index.lock().bury();
        Ok(())
    }

    async fn raise_floor(&self, floor: u64) -> Result<(), StoreError> {
        let mut ownership = self.ownership.lock().await;
        if floor <= ownership.floor {
            return Ok(());
        }
        let journal: &Bucket = &self.folders.journal;
        let owner = Owner {
            incarnation: self.incarnation,
            floor,
            identity: self.identity,
        };
        match journal
            .put_if("claim", &owner.encode(), Some(&ownership.version))
            .await?
        {
            Put::Done(version) => {
                *ownership = Ownership { floor, version };
                Ok(())
            }
            Put::Refused(Some(object)) => {
                Err(self.fenced(Owner::decode(journal, &object.bytes)?.incarnation))
            }
            Put::Refused(None) => Err(missing_claim(journal)),
        }
    }
}

fn missing_claim(journal: &Bucket) -> StoreError {
    StoreError::Corrupt {
        what: journal.key("claim"),
        offset: 0,
        reason: "it is missing".to_owned(),
    }
}
