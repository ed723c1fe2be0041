//! A store in a local directory.
//!
//! ```text
//! DIR/
//!   lock                                         held by the node that works here; holds its process id
//!   journals/NAME/
//!     identity                                   a number drawn when the journal began
//!     INCARNATION.claim                          empty; the highest one owns the name
//!     SEQUENCE-INCARNATION.segment               written by that incarnation only
//!     INCARNATION-NUMBER.checkpoint              images; they count once a segment has their mark
//!   registers/NAME.register, registers/NAME.lock
//! ```
//! NAME is encoded (see `name.rs`); the numbers are 16 hexadecimal digits.
//!
//! # Why an older incarnation can do no harm (rule P12)
//!
//! A claim (1) creates the claim file of the next incarnation, durably (under a lock, so each number is made once),
//! (2) reads the older segments, (3) writes a first segment of its own that says durably how much of them it adopted,
//! and (4) looks whether it is still the newest. A writer syncs a batch, then looks whether it is still the newest, and only then acknowledges.
//!
//! - If the writer's look finds no newer claim, any newer claim is made after it, hence after the sync, and so is that
//!   claim's read: it sees the batch. *What is acknowledged is never lost to a claim.*
//! - If it finds one, it acknowledges nothing from then on. The batch may or may not have been adopted: it was never
//!   acknowledged, so both are right.
//! - What an old incarnation writes after it was read lies behind the adopted length, or in segments that the newer
//!   incarnation's chain of segments does not name. It is never read.
//! - Step 4 is the same look, with the claim's first segment in the place of the batch: a claim that succeeds is seen by
//!   every later one.

mod chain;
mod claim;
mod disk;
mod pool;
mod register;
mod timer;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

pub(crate) use writer::Writer;

use crate::journal::blocking;
use crate::{Recovered, StoreError, StoreOptions, name};
use disk::{Disk, Folder};
use pool::Pool;
pub use register::DirectoryLock;
pub(crate) use register::LocalRegister;
use timer::Timer;

/// How often a claim reads when files vanish under it. The incarnation that deletes them is shut out already and can be in
/// the middle of one prune at most.
const READ_ATTEMPTS: u32 = 4;

#[derive(Clone)]
pub(crate) struct Local {
    directory: PathBuf,
    disk: Disk,
    pool: Arc<Pool>,
    timer: Arc<Timer>,
}

impl Local {
    pub(crate) async fn open(
        directory: PathBuf,
        options: &StoreOptions,
    ) -> Result<Self, StoreError> {
        let disk = Disk {
            faults: options.faults.clone(),
        };
        let local = Self {
            directory,
            disk,
            pool: Arc::default(),
            timer: Arc::default(),
        };
        let opened = local.clone();
        blocking(move || opened.disk.create_directory(&opened.journals())).await?;
        Ok(local)
    }

    pub(crate) async fn claim(
        &self,
        name: &str,
        options: &StoreOptions,
    ) -> Result<(Arc<Writer>, Recovered), StoreError> {
        let folder = Folder {
            disk: self.disk.clone(),
            path: self.journals().join(name::encode(name)?),
        };
        let (local, name, options) = (self.clone(), name.to_owned(), options.clone());
        blocking(move || claim::claim(&local, &name, &folder, &options)).await
    }

    pub(crate) async fn names(&self) -> Result<Vec<String>, StoreError> {
        let local = self.clone();
        let names = blocking(move || local.disk.list(&local.journals())).await?;
        let mut names: Vec<_> = names.iter().filter_map(|name| name::decode(name)).collect();
        names.sort();
        Ok(names)
    }

    pub(crate) async fn usage(&self, name: &str) -> Result<(u64, u64), StoreError> {
        let path = self.journals().join(name::encode(name)?);
        let disk = self.disk.clone();
        blocking(move || disk.usage(&path)).await
    }

    pub(crate) fn register(&self, name: &str) -> Result<LocalRegister, StoreError> {
        let path = self.directory.join("registers").join(name::encode(name)?);
        Ok(LocalRegister::new(self.disk.clone(), &path))
    }

    pub(crate) async fn lock(&self) -> Result<DirectoryLock, StoreError> {
        let local = self.clone();
        blocking(move || DirectoryLock::take(&local.disk, &local.directory)).await
    }

    fn journals(&self) -> PathBuf {
        self.directory.join("journals")
    }
}
