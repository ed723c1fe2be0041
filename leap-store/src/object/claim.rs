//! Claiming a name in an object store.

use bytes::Bytes;
use object_store::UpdateVersion;
use tokio::sync::Notify;

use super::bucket::{Bucket, Put};
use super::chain::{Chain, Found};
use super::writer::{Ownership, Writer};
use super::{image_name, parse_image_name, parse_segment_name, segment_name};
use crate::format::batch::Mark;
use crate::format::checkpoint;
use crate::format::register;
use crate::format::segment::ObjectHeader;
use crate::journal::{Index, Position, Queue, Segment};
use crate::random::draw;
use crate::{Record, Recovered, StoreError, StoreOptions};

/// Fences of older incarnations that are kept. A writer must be this many claims behind before it could find its next
/// number free again.
pub(super) const FENCES_KEPT: usize = 1000;
/// How far ahead of a live predecessor the claim blocks its way at first; it doubles while that is not far enough.
const FIRST_LEAP: u64 = 64;

/// Where one journal's objects are.
#[derive(Clone)]
pub(super) struct Folders {
    pub(super) journal: Bucket,
    pub(super) segments: Bucket,
    pub(super) images: Bucket,
}

impl Folders {
    pub(super) fn new(journal: Bucket) -> Self {
        Self {
            segments: journal.folder("segments"),
            images: journal.folder("checkpoints"),
            journal,
        }
    }
}

/// The claim object's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) incarnation: u64,
    /// Segments below this number were pruned.
    pub(super) floor: u64,
    /// Names the journal; 0 in what programs wrote that did not know of it.
    pub(super) identity: u64,
}

impl Owner {
    pub(super) fn encode(self) -> Bytes {
        let value = [self.incarnation, self.floor, self.identity].map(u64::to_le_bytes);
        register::encode(draw(), value.as_flattened()).into()
    }

    pub(super) fn decode(bucket: &Bucket, bytes: &Bytes) -> Result<Self, StoreError> {
        let what = || bucket.key("claim");
        let (_, value) = register::decode(bytes).map_err(|error| error.of(what()))?;
        if !matches!(value.len(), 16 | 24) {
            return Err(StoreError::Corrupt {
                what: what(),
                offset: 24,
                reason: "it is no claim".to_owned(),
            });
        }
        let number = |at| crate::format::u64_at(&value, at);
        Ok(Self {
            incarnation: number(0),
            floor: number(8),
            identity: if value.len() == 24 { number(16) } else { 0 },
        })
    }
}

/// Claims `name` with the next incarnation and reads what is durable.
pub(super) async fn claim(
    folders: Folders,
    name: &str,
    options: &StoreOptions,
) -> Result<(Writer, Recovered), StoreError> {
    let (owner, version) = own(&folders.journal).await?;
    let listed = listed(&folders.segments).await?;
    let mut chain = Chain::new(owner.floor);
    if owner.floor > 1 && !listed.contains(&owner.floor) {
        return Err(StoreError::Corrupt {
            what: folders.segments.key(&segment_name(owner.floor)),
            offset: 0,
            reason: "it is missing, and older segments were pruned".to_owned(),
        });
    }
    chain.extend(&folders.segments, &listed).await?;
    fence(&folders.segments, name, owner.incarnation, &mut chain).await?;
    let position = Position {
        sequence: chain.end - 1,
        length: 0,
    };
    let images = folders.images.list().await?;
    let (recovered, index, live) = recover(&folders, chain, owner, &images).await?;
    delete_leftovers(&folders, owner, &listed, &images, &live).await?;
    let queue = Queue::new(
        options.group_commit,
        options.max_in_flight,
        || tokio::time::Instant::now().into_std(),
        recovered.version(),
        position,
        live,
    );
    let writer = Writer {
        queue,
        index: index.into(),
        name: name.to_owned(),
        incarnation: owner.incarnation,
        identity: owner.identity,
        folders,
        latency: options.latency,
        next: (position.sequence + 1).into(),
        ownership: tokio::sync::Mutex::new(Ownership {
            floor: owner.floor,
            version,
        }),
        work: Notify::new(),
    };
    Ok((writer, recovered))
}

/// Writes the next incarnation into the claim object.
async fn own(journal: &Bucket) -> Result<(Owner, UpdateVersion), StoreError> {
    let mut current = journal.get("claim").await?;
    loop {
        let mut owner = match &current {
            Some(object) => Owner::decode(journal, &object.bytes)?,
            None => Owner {
                incarnation: 0,
                floor: 1,
                identity: 0,
            },
        };
        owner.incarnation += 1;
        if owner.identity == 0 {
            owner.identity = draw();
        }
        let expected = current.as_ref().map(|object| &object.version);
        match journal.put_if("claim", &owner.encode(), expected).await? {
            Put::Done(version) => return Ok((owner, version)),
            Put::Refused(found) => current = found,
        }
    }
}

/// The sequence numbers in use, in order.
async fn listed(segments: &Bucket) -> Result<Vec<u64>, StoreError> {
    let names = segments.list().await?;
    let mut sequences: Vec<_> = names
        .iter()
        .filter_map(|name| parse_segment_name(name))
        .collect();
    sequences.sort_unstable();
    Ok(sequences)
}

/// Puts this incarnation's fence at the first free number, taking what an older one still writes onto the chain.
///
/// A predecessor that is alive and under load would stay ahead of us number by number. So when it takes the first number
/// that we try, we first block its way some numbers ahead and then close up to the block.
async fn fence(
    segments: &Bucket,
    name: &str,
    incarnation: u64,
    chain: &mut Chain,
) -> Result<(), StoreError> {
    if try_fence(segments, name, incarnation, chain).await? {
        return Ok(());
    }
    block(segments, incarnation, chain.end).await?;
    while !try_fence(segments, name, incarnation, chain).await? {}
    Ok(())
}

/// Tries the number at the end of the chain. False when an older incarnation took it; it is on the chain then.
async fn try_fence(
    segments: &Bucket,
    name: &str,
    incarnation: u64,
    chain: &mut Chain,
) -> Result<bool, StoreError> {
    let fenced = |by| StoreError::Fenced {
        name: name.to_owned(),
        incarnation,
        by,
    };
    if chain.incarnation > incarnation {
        return Err(fenced(chain.incarnation));
    }
    let sequence = chain.end;
    let header = ObjectHeader {
        incarnation,
        sequence,
        settled: sequence,
    };
    let bytes = Bytes::from(header.encode());
    let mut expected = None;
    loop {
        let put = segments
            .put_if(&segment_name(sequence), &bytes, expected.as_ref())
            .await?;
        let found = match put {
            Put::Done(version) => {
                let object = super::bucket::Object { bytes, version };
                chain.push(segments, &Found::decode(segments, sequence, object)?)?;
                return Ok(true);
            }
            Put::Refused(None) => {
                expected = None;
                continue;
            }
            Put::Refused(Some(object)) => Found::decode(segments, sequence, object)?,
        };
        let by = found.header.incarnation;
        if by > incarnation {
            return Err(fenced(by));
        }
        if by == incarnation {
            // Our own block, put here with another `settled`.
            chain.push(segments, &found)?;
            return Ok(true);
        }
        if chain.continues(&found) {
            chain.push(segments, &found)?;
            return Ok(false);
        }
        expected = Some(found.version);
    }
}

/// Puts a segment of ours somewhere ahead of `end`, where the older incarnation must stop.
async fn block(segments: &Bucket, incarnation: u64, end: u64) -> Result<(), StoreError> {
    let mut leap = FIRST_LEAP;
    loop {
        let header = ObjectHeader {
            incarnation,
            sequence: end + leap,
            settled: end,
        };
        let name = segment_name(header.sequence);
        match segments
            .put_if(&name, &header.encode().into(), None)
            .await?
        {
            Put::Done(_) => return Ok(()),
            Put::Refused(_) => leap *= 2,
        }
    }
}

async fn recover(
    folders: &Folders,
    mut chain: Chain,
    owner: Owner,
    images: &[String],
) -> Result<(Recovered, Index, Vec<Mark>), StoreError> {
    chain
        .replay
        .retain_marks(|mark| images.contains(&image_name(mark.incarnation, mark.number)));
    let base = chain.replay.base(u64::MAX);
    if chain.index.pruned && base.is_none_or(|mark| mark.base < owner.floor) {
        return Err(StoreError::Corrupt {
            what: folders.journal.key("checkpoints"),
            offset: 0,
            reason: format!(
                "segments below {} were pruned, their checkpoint is missing",
                owner.floor
            ),
        });
    }
    let checkpoint = match base {
        Some(mark) => Some(read_image(&folders.images, mark).await?),
        None => None,
    };
    let live = chain.replay.marks().to_vec();
    let recovered = Recovered {
        checkpoint,
        records: chain.replay.into_records(base, u64::MAX),
        torn_tail: None,
    };
    Ok((recovered, chain.index, live))
}

pub(super) async fn read_image(images: &Bucket, mark: Mark) -> Result<Record, StoreError> {
    let name = image_name(mark.incarnation, mark.number);
    let corrupt = |reason: String| StoreError::Corrupt {
        what: images.key(&name),
        offset: 0,
        reason,
    };
    let Some(object) = images.get(&name).await? else {
        return Err(corrupt("it is missing".to_owned()));
    };
    let image = checkpoint::decode(&object.bytes).map_err(|error| error.of(images.key(&name)))?;
    if image.version != mark.version {
        return Err(corrupt(format!(
            "it is version {}, not {}",
            image.version, mark.version
        )));
    }
    Ok(image)
}

/// Deletes images that nothing refers to, and fences so old that no writer can be behind them.
async fn delete_leftovers(
    folders: &Folders,
    owner: Owner,
    listed: &[u64],
    images: &[String],
    live: &[Mark],
) -> Result<(), StoreError> {
    let unused = |name: &&String| {
        parse_image_name(name).is_some_and(|(incarnation, number)| {
            incarnation < owner.incarnation
                && !live
                    .iter()
                    .any(|m| (m.incarnation, m.number) == (incarnation, number))
        })
    };
    folders
        .images
        .delete(images.iter().filter(unused).cloned().collect())
        .await?;
    let below = &listed[..listed.partition_point(|&sequence| sequence < owner.floor)];
    let old = &below[..below.len().saturating_sub(FENCES_KEPT)];
    folders
        .segments
        .delete(old.iter().map(|&sequence| segment_name(sequence)).collect())
        .await
}

/// The entry of a segment in the index.
pub(super) fn listed_segment(sequence: u64, incarnation: u64, length: u64) -> Segment {
    Segment {
        sequence,
        incarnation,
        length,
        newest: None,
    }
}
