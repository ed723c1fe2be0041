//! Which segment files are the journal, and what they hold.
//!
//! Each segment names its parent and how much of it counts, so the newest segment of the highest incarnation determines
//! the whole journal. Files that are not on this chain were written by incarnations that had been shut out.

use std::collections::VecDeque;
use std::path::Path;

use bytes::Bytes;

use super::disk::{Folder, Name, is_missing};
use crate::format::batch::{Place, scan};
use crate::format::segment::{FileHeader, HEADER, Parent};
use crate::journal::{Index, Position, Segment};
use crate::replay::{Replay, TornTail};
use crate::{Recovered, StoreError};

/// A journal read from its files.
pub(super) struct Chain {
    pub(super) index: Index,
    pub(super) replay: Replay,
    pub(super) torn_tail: Option<TornTail>,
}

/// A segment's file, read and with its header checked.
struct Link {
    header: FileHeader,
    bytes: Bytes,
}

impl Chain {
    /// Reads the journal that ends with the newest segment among `names`.
    pub(super) fn read(folder: &Folder, names: &[Name]) -> Result<Self, StoreError> {
        let mut chain = Self {
            index: Index::default(),
            replay: Replay::default(),
            torn_tail: None,
        };
        let (links, pruned) = links(folder, names)?;
        chain.index.pruned = pruned;
        let mut links = links.into_iter().peekable();
        while let Some(link) = links.next() {
            let adopted = links.peek().and_then(|next| next.header.parent);
            chain.add(folder, &link, adopted)?;
        }
        Ok(chain)
    }

    /// Reads the part of the journal that `index` lists, up to `end`.
    pub(super) fn read_up_to(
        folder: &Folder,
        index: &[Segment],
        end: Position,
    ) -> Result<Replay, StoreError> {
        let mut replay = Replay::default();
        for segment in index
            .iter()
            .filter(|segment| segment.sequence <= end.sequence)
        {
            let path = folder.segment(segment.sequence, segment.incarnation);
            let length = if segment.sequence == end.sequence {
                end.length
            } else {
                segment.length
            };
            let bytes = folder.disk.read(&path)?;
            let header =
                FileHeader::decode(&bytes).map_err(|error| error.of(path.display().to_string()))?;
            scan_exactly(&path, header, &bytes, length, &mut replay)?;
        }
        Ok(replay)
    }

    /// Adds a segment whose first `adopted` bytes count; the newest segment counts as far as it is good.
    fn add(
        &mut self,
        folder: &Folder,
        link: &Link,
        adopted: Option<Parent>,
    ) -> Result<(), StoreError> {
        let FileHeader {
            sequence,
            incarnation,
            ..
        } = link.header;
        let path = folder.segment(sequence, incarnation);
        let (length, newest) = match adopted {
            Some(Parent { length, .. }) => {
                let entries =
                    scan_exactly(&path, link.header, &link.bytes, length, &mut self.replay)?;
                (length, entries)
            }
            None => self.add_newest(&path, link)?,
        };
        self.index.segments.push_back(Segment {
            sequence,
            incarnation,
            length,
            newest,
        });
        Ok(())
    }

    fn add_newest(&mut self, path: &Path, link: &Link) -> Result<(u64, Option<u64>), StoreError> {
        let scan = scan(place(link.header), &link.bytes);
        let scan = scan.map_err(|error| error.of(path.display().to_string()))?;
        self.torn_tail = scan.torn.map(|reason| TornTail {
            what: path.display().to_string(),
            offset: scan.end as u64,
            reason: reason.to_owned(),
        });
        let newest = self
            .replay
            .apply_all(scan.entries)
            .map_err(|reason| StoreError::Corrupt {
                what: path.display().to_string(),
                offset: 0,
                reason: reason.to_owned(),
            })?;
        Ok((scan.end as u64, newest))
    }

    /// Forgets empty segments at the end, so that claims without appends leave nothing behind.
    pub(super) fn drop_empty_end(&mut self) {
        let empty = |segment: &Segment| segment.length == HEADER as u64;
        while self.index.segments.len() > 1 && self.index.segments.back().is_some_and(empty) {
            self.index.segments.pop_back();
        }
        if !self.index.pruned && self.index.segments.back().is_some_and(empty) {
            self.index.segments.pop_back();
        }
    }

    /// What a claim recovers, with checkpoints as `images` says they are there.
    pub(super) fn recover(
        mut self,
        folder: &Folder,
        has_image: impl Fn(u64, u64) -> bool,
    ) -> Result<(Recovered, Index, Vec<crate::format::batch::Mark>), StoreError> {
        self.replay
            .retain_marks(|mark| has_image(mark.incarnation, mark.number));
        let base = self.replay.base(u64::MAX);
        let first = self
            .index
            .segments
            .front()
            .map_or(0, |segment| segment.sequence);
        if self.index.pruned && base.is_none_or(|mark| mark.base < first) {
            return Err(StoreError::Corrupt {
                what: folder.path.display().to_string(),
                offset: 0,
                reason: format!("the segment before number {first} is missing"),
            });
        }
        let checkpoint = base.map(|mark| read_image(folder, mark)).transpose()?;
        let live = self.replay.marks().to_vec();
        let recovered = Recovered {
            checkpoint,
            records: self.replay.into_records(base, u64::MAX),
            torn_tail: self.torn_tail,
        };
        Ok((recovered, self.index, live))
    }
}

pub(super) fn read_image(
    folder: &Folder,
    mark: crate::format::batch::Mark,
) -> Result<crate::Record, StoreError> {
    let path = folder.image(mark.incarnation, mark.number);
    let bytes = folder.disk.read(&path)?;
    let image =
        crate::format::checkpoint::decode(&bytes).map_err(|e| e.of(path.display().to_string()))?;
    if image.version != mark.version {
        return Err(StoreError::Corrupt {
            what: path.display().to_string(),
            offset: 16,
            reason: format!("it is version {}, not {}", image.version, mark.version),
        });
    }
    Ok(image)
}

/// The segments from the oldest to the newest, and whether older ones were deleted.
fn links(folder: &Folder, names: &[Name]) -> Result<(VecDeque<Link>, bool), StoreError> {
    let mut links = VecDeque::new();
    let newest = names.iter().filter_map(|name| match *name {
        Name::Segment {
            sequence,
            incarnation,
        } => Some((incarnation, sequence)),
        _ => None,
    });
    let Some((mut incarnation, mut sequence)) = newest.max() else {
        return Ok((links, false));
    };
    loop {
        let link = match read_link(folder, sequence, incarnation) {
            Err(error) if is_missing(&error) && !links.is_empty() => return Ok((links, true)),
            link => link?,
        };
        let parent = link.header.parent;
        links.push_front(link);
        let Some(parent) = parent else {
            return Ok((links, false));
        };
        incarnation = parent.incarnation;
        sequence -= 1;
    }
}

fn read_link(folder: &Folder, sequence: u64, incarnation: u64) -> Result<Link, StoreError> {
    let path = folder.segment(sequence, incarnation);
    let bytes = folder.disk.read(&path)?;
    let header =
        FileHeader::decode(&bytes).map_err(|error| error.of(path.display().to_string()))?;
    if (header.sequence, header.incarnation) != (sequence, incarnation) {
        return Err(StoreError::Corrupt {
            what: path.display().to_string(),
            offset: 16,
            reason: "its name and its header differ".to_owned(),
        });
    }
    Ok(Link { header, bytes })
}

fn place(header: FileHeader) -> Place {
    Place {
        incarnation: header.incarnation,
        sequence: header.sequence,
        offset: HEADER as u64,
    }
}

/// Scans the first `length` bytes of a segment, all of which were durable once.
fn scan_exactly(
    path: &Path,
    header: FileHeader,
    bytes: &Bytes,
    length: u64,
    replay: &mut Replay,
) -> Result<Option<u64>, StoreError> {
    let corrupt = |offset: usize, reason: &str| StoreError::Corrupt {
        what: path.display().to_string(),
        offset: offset as u64,
        reason: reason.to_owned(),
    };
    if (bytes.len() as u64) < length {
        return Err(corrupt(bytes.len(), "it is shorter than it was"));
    }
    let bytes = bytes.slice(..length as usize);
    let scan = scan(place(header), &bytes).map_err(|error| error.of(path.display().to_string()))?;
    if scan.end != bytes.len() {
        return Err(corrupt(
            scan.end,
            scan.torn.unwrap_or("batches are missing"),
        ));
    }
    replay
        .apply_all(scan.entries)
        .map_err(|reason| corrupt(HEADER, reason))
}
