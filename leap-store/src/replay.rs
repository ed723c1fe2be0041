//! From entries in journal order to what a state object recovers.

use bytes::Bytes;

use crate::format::batch::{Entry, Mark};

/// One version's durable content.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
/// # let journal = store.claim("hotel").await?.journal;
/// journal.append(7, "room 7 is taken".into()).await?;
/// let record = &store.claim("hotel").await?.recovered.records[0];
/// assert_eq!((record.version, &*record.payload), (7, &b"room 7 is taken"[..]));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The version.
    pub version: u64,
    /// Its bytes, as they were appended.
    pub payload: Bytes,
}

/// What a journal holds once truncations are applied.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
/// # let journal = store.claim("hotel").await?.journal;
/// journal.append(1, "room 7 is taken".into()).await?;
/// journal.checkpoint(1, "taken: 7".into()).await?;
/// journal.append(2, "room 8 is taken".into()).await?;
///
/// let recovered = store.claim("hotel").await?.recovered;
/// // The state: the checkpoint, and what came after it.
/// assert_eq!(recovered.checkpoint.unwrap().payload, "taken: 7");
/// assert_eq!(recovered.records[0].payload, "room 8 is taken");
/// assert_eq!(recovered.torn_tail, None);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// The newest checkpoint that counts. It stands for all records up to its version.
    pub checkpoint: Option<Record>,
    /// The records above the checkpoint, in order.
    pub records: Vec<Record>,
    /// What a crash left half-written at the end. It was never acknowledged.
    pub torn_tail: Option<TornTail>,
}

impl Recovered {
    /// The newest version that is there.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
    /// # let journal = store.claim("hotel").await?.journal;
    /// assert_eq!(journal.read(u64::MAX).await?.version(), None);
    /// journal.append(7, "room 7 is taken".into()).await?;
    /// assert_eq!(store.claim("hotel").await?.recovered.version(), Some(7));
    /// # Ok(())
    /// # }
    /// ```
    pub fn version(&self) -> Option<u64> {
        let newest = self.records.last().or(self.checkpoint.as_ref());
        newest.map(|record| record.version)
    }
}

/// A write that a crash cut short. It is told, not an error: nothing of it was acknowledged.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
/// let recovered = store.claim("hotel").await?.recovered;
/// if let Some(torn) = recovered.torn_tail {
///     println!("{} ends at byte {}: {}", torn.what, torn.offset, torn.reason);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The file.
    pub what: String,
    /// Where the good content ends, in bytes.
    pub offset: u64,
    /// What the rest looked like.
    pub reason: String,
}

/// Applies entries one after the other.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    records: Vec<Record>,
    marks: Vec<Mark>,
}

impl Replay {
    /// Fails on a record that does not go up; nothing this program writes does that.
    pub(crate) fn apply(&mut self, entry: Entry) -> Result<(), &'static str> {
        match entry {
            Entry::Record(record) => {
                if self
                    .records
                    .last()
                    .is_some_and(|last| last.version >= record.version)
                {
                    return Err("versions do not go up");
                }
                self.records.push(record);
            }
            Entry::Truncation { version } => {
                let keep = self
                    .records
                    .partition_point(|record| record.version <= version);
                self.records.truncate(keep);
                self.marks.retain(|mark| mark.version <= version);
            }
            Entry::Checkpoint(mark) => self.marks.push(mark),
        }
        Ok(())
    }

    /// The checkpoints that were not truncated away, in journal order.
    pub(crate) fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// Applies the entries of a segment; the highest version among its records.
    pub(crate) fn apply_all(&mut self, entries: Vec<Entry>) -> Result<Option<u64>, &'static str> {
        let mut newest = None;
        for entry in entries {
            if let Entry::Record(record) = &entry {
                newest = newest.max(Some(record.version));
            }
            self.apply(entry)?;
        }
        Ok(newest)
    }

    /// Keeps only the checkpoints that `keep` says.
    pub(crate) fn retain_marks(&mut self, keep: impl FnMut(&Mark) -> bool) {
        self.marks.retain(keep);
    }

    /// The version of the oldest checkpoint.
    pub(crate) fn oldest_mark(&self) -> Option<u64> {
        self.marks.iter().map(|mark| mark.version).min()
    }

    /// The newest checkpoint at or below `up_to`.
    pub(crate) fn base(&self, up_to: u64) -> Option<Mark> {
        let eligible = self.marks.iter().filter(|mark| mark.version <= up_to);
        eligible.max_by_key(|mark| mark.version).copied()
    }

    /// The records above `base` and up to `up_to`.
    pub(crate) fn into_records(self, base: Option<Mark>, up_to: u64) -> Vec<Record> {
        let mut records = self.records;
        records.retain(|record| {
            record.version <= up_to && base.is_none_or(|mark| record.version > mark.version)
        });
        records
    }
}
