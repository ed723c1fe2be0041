//! A store in an object store (S3, Azure Blob, Google Cloud Storage), or in memory for tests.
//!
//! ```text
//! PREFIX/
//!   journals/NAME/claim                          the newest incarnation, the floor that pruning has reached, the journal's identity
//!   journals/NAME/segments/SEQUENCE              one batch each; or none: a fence
//!   journals/NAME/checkpoints/INCARNATION-NUMBER images; they count once a segment has their mark
//!   registers/NAME
//! ```
//! NAME is encoded (see `name.rs`); the numbers are 16 hexadecimal digits.
//!
//! # Why an older incarnation can do no harm (rule P12)
//!
//! Segments are created only where none is, with numbers that leave no holes. A writer has several on their way and
//! acknowledges them in order, so what is acknowledged is a prefix without holes. A claim writes the next incarnation
//! into the claim object, reads the segments, and puts its *fence*, a segment without a batch, at the first free number.
//!
//! - If the fence is put at n, the older writer's put of n fails, now or later. It acknowledged nothing from n on, and
//!   never will. Everything below n was read. *What is acknowledged is never lost to a claim.*
//! - If the older writer's put of n came first, the claim takes n onto the chain and tries n+1.
//! - What the older writer had already put above n is ignored: the chain never goes back to an older incarnation. The new
//!   writer replaces such a segment when it comes to its number, by compare-and-swap, so that a still newer fence wins.
//! - A claim that races a live writer blocks its way some numbers ahead, with a second segment without a batch. Only an
//!   incarnation's first one on the chain is its fence. Any other is a block whose number is free: the incarnation's own
//!   writer replaces it when it comes there, or a newer fence does, by compare-and-swap both.
//! - A fence is what stops a writer however late it wakes up, so pruning leaves fences where they are. The oldest are
//!   deleted once a thousand claims came after them.
//! - Pruning raises the floor in the claim object by compare-and-swap before it deletes: an older incarnation cannot, and
//!   a reader knows which segments are gone by right. A hole above the floor below which a later segment says that all
//!   was durable is damage.

mod bucket;
mod chain;
mod claim;
mod open;
mod register;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;

use crate::{Recovered, StoreError, StoreOptions, name};
use bucket::Bucket;
use claim::Folders;
pub(crate) use register::ObjectRegister;
pub(crate) use writer::Writer;

#[derive(Clone)]
pub(crate) struct Objects {
    journals: Bucket,
    registers: Bucket,
}

impl Objects {
    pub(crate) fn memory(name: &str, options: &StoreOptions) -> Self {
        Self::new(open::memory(name), Path::default(), options)
    }

    pub(crate) fn open(url: &str, options: &StoreOptions) -> Result<Self, StoreError> {
        let (store, prefix) = open::client(url, options)?;
        Ok(Self::new(store, prefix, options))
    }

    fn new(store: Arc<dyn ObjectStore>, prefix: Path, options: &StoreOptions) -> Self {
        let root = Bucket::new(store, prefix, options.retry_for, options.faults.clone());
        Self {
            journals: root.folder("journals"),
            registers: root.folder("registers"),
        }
    }

    pub(crate) async fn claim(
        &self,
        name: &str,
        options: &StoreOptions,
    ) -> Result<(Arc<Writer>, Recovered), StoreError> {
        let folders = Folders::new(self.journals.folder(&name::encode(name)?));
        let (writer, recovered) = claim::claim(folders, name, options).await?;
        let writer = Arc::new(writer);
        tokio::spawn(Arc::clone(&writer).pump());
        Ok((writer, recovered))
    }

    pub(crate) async fn names(&self) -> Result<Vec<String>, StoreError> {
        let folders = self.journals.folders().await?;
        let mut names: Vec<_> = folders
            .iter()
            .filter_map(|name| name::decode(name))
            .collect();
        names.sort();
        Ok(names)
    }

    pub(crate) async fn usage(&self, name: &str) -> Result<(u64, u64), StoreError> {
        self.journals.folder(&name::encode(name)?).usage().await
    }

    pub(crate) fn register(&self, name: &str) -> Result<ObjectRegister, StoreError> {
        Ok(ObjectRegister::new(
            self.registers.clone(),
            name::encode(name)?,
        ))
    }
}

fn segment_name(sequence: u64) -> String {
    format!("{sequence:016x}")
}

/// Nothing for what [`segment_name`] did not write.
fn parse_segment_name(name: &str) -> Option<u64> {
    let sequence = u64::from_str_radix(name, 16).ok()?;
    (segment_name(sequence) == name).then_some(sequence)
}

fn image_name(incarnation: u64, number: u64) -> String {
    format!("{incarnation:016x}-{number:016x}")
}

fn parse_image_name(name: &str) -> Option<(u64, u64)> {
    let (incarnation, number) = name.split_once('-')?;
    Some((
        parse_segment_name(incarnation)?,
        parse_segment_name(number)?,
    ))
}
