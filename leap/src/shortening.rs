//! Shortens a journal in the background (rule P13).

use bytes::Bytes;
use leap_store::Journal;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// Puts images in the place of a journal's records while its owner goes on.
///
/// Whoever ends in order waits for [`done`](Self::done), because the journal's place may go away then; after any
/// other end the work that is under way ends by itself.
pub(crate) struct Shortening {
    journal: Journal,
    runtime: Handle,
    under_way: Mutex<JoinSet<()>>,
}

impl Shortening {
    /// Nothing is under way. Called from a runtime, which the work will run on.
    pub(crate) fn new(journal: Journal) -> Self {
        Self {
            journal,
            // It is not always asked for on a thread of the runtime.
            runtime: Handle::current(),
            under_way: Mutex::default(),
        }
    }

    /// Makes `image` durable in the place of all records up to `version`, and deletes those.
    pub(crate) fn start(&self, version: u64, image: Bytes) {
        let journal = self.journal.clone();
        let checkpoint = journal.checkpoint(version, image);
        let shorten = async move {
            let pruned = match checkpoint.await {
                Ok(()) => journal.prune(version).await,
                failed => failed,
            };
            if let Err(error) = pruned {
                // Whether anything can be written at all is noticed by the next record.
                tracing::warn!(version, %error, "a checkpoint failed; the journal grows until the next one");
            }
        };
        let mut under_way = self.under_way.lock();
        while under_way.try_join_next().is_some() {}
        under_way.spawn_on(shorten, &self.runtime);
    }

    /// Waits until all that was started before is done.
    pub(crate) async fn done(&self) {
        let mut under_way = std::mem::take(&mut *self.under_way.lock());
        while under_way.join_next().await.is_some() {}
    }
}

impl Drop for Shortening {
    fn drop(&mut self) {
        self.under_way.get_mut().detach_all();
    }
}
