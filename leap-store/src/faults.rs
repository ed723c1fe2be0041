//! The seam where tests make storage fail.
//!
//! Every operation that changes or reads storage asks [`Faults`] first. By default nothing is planned and the question
//! costs one branch.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

/// A storage operation that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Creating a file or directory.
    Create,
    /// Writing into a file, or putting an object.
    Write,
    /// Syncing a file.
    Sync,
    /// Giving a file its final name.
    Rename,
    /// Syncing a directory.
    SyncDirectory,
    /// Deleting a file or an object.
    Delete,
    /// Reading a file or an object.
    Read,
    /// Locking a directory.
    Lock,
    /// Hearing that a conditional put of an object took effect, which it did.
    Answer,
}

/// Decides which operations fail. Clones share one plan.
#[derive(Debug, Clone, Default)]
pub struct Faults(Option<Arc<Mutex<Plan>>>);

#[derive(Debug)]
struct Plan {
    only: Option<Operation>,
    /// Operations of the kind to let pass before the first failure; `None` fails nothing.
    after: Option<u64>,
    /// How many fail then.
    times: u64,
    kind: io::ErrorKind,
    seen: u64,
}

impl Faults {
    /// A plan under which nothing fails yet and operations are counted.
    pub fn planned() -> Self {
        Self(Some(Arc::new(Mutex::new(Plan {
            only: None,
            after: None,
            times: 0,
            kind: io::ErrorKind::Other,
            seen: 0,
        }))))
    }

    /// From now on, lets `after` operations of the kind `only` (all kinds when `None`) pass and fails all later ones.
    ///
    /// # Panics
    /// On a value that was not made by [`Faults::planned`].
    pub fn fail(&self, only: Option<Operation>, after: u64, kind: io::ErrorKind) {
        self.plan_failures(only, after, u64::MAX, kind);
    }

    /// Like [`Faults::fail`], but for one operation only.
    ///
    /// # Panics
    /// On a value that was not made by [`Faults::planned`].
    pub fn fail_once(&self, only: Option<Operation>, after: u64, kind: io::ErrorKind) {
        self.plan_failures(only, after, 1, kind);
    }

    fn plan_failures(&self, only: Option<Operation>, after: u64, times: u64, kind: io::ErrorKind) {
        *self.plan().lock() = Plan {
            only,
            after: Some(after),
            times,
            kind,
            seen: 0,
        };
    }

    /// The cause of the failures is gone.
    ///
    /// # Panics
    /// On a value that was not made by [`Faults::planned`].
    pub fn heal(&self) {
        self.plan().lock().after = None;
    }

    /// Operations of the planned kind seen since the plan was last changed by [`Faults::fail`].
    ///
    /// # Panics
    /// On a value that was not made by [`Faults::planned`].
    pub fn seen(&self) -> u64 {
        self.plan().lock().seen
    }

    fn plan(&self) -> &Mutex<Plan> {
        self.0.as_ref().expect("the faults were made by `planned`")
    }

    pub(crate) fn check(&self, operation: Operation) -> io::Result<()> {
        let Some(plan) = &self.0 else { return Ok(()) };
        let mut plan = plan.lock();
        if plan.only.is_some_and(|only| only != operation) {
            return Ok(());
        }
        plan.seen += 1;
        match plan.after {
            Some(after) if plan.seen > after && plan.seen - after <= plan.times => {
                Err(plan.kind.into())
            }
            _ => Ok(()),
        }
    }
}
