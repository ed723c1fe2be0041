//! Shortens a journal in the background (rule P13).

use bytes::Bytes;
use leap_store::Journal;
use tokio::runtime::Handle;

use crate::turnstile::Turnstile;

/// Puts images in the place of a journal's records while its owner goes on.
///
/// Whoever ends in order waits for [`end`](Self::end), because the journal's place may go away then; after any
/// other end the work that is under way ends by itself.
pub(crate) struct Shortening {
    journal: Journal,
    runtime: Handle,
    under_way: Turnstile,
}

impl Shortening {
    /// Nothing is under way. Called from a runtime, which the work will run on.
    pub(crate) fn new(journal: Journal) -> Self {
        Self {
            journal,
            // It is not always asked for on a thread of the runtime.
            runtime: Handle::current(),
            under_way: Turnstile::default(),
        }
    }

    /// Makes `image` durable in the place of all records up to `version`, and deletes those. Does nothing after
    /// [`end`](Self::end): the journal stays as long as it is.
    pub(crate) fn start(&self, version: u64, image: Bytes) {
        let Some(pass) = self.under_way.enter() else {
            return;
        };
        let journal = self.journal.clone();
        let checkpoint = journal.checkpoint(version, image);
        self.runtime.spawn(async move {
            let pruned = match checkpoint.await {
                Ok(()) => journal.prune(version).await,
                failed => failed,
            };
            if let Err(error) = pruned {
                // Whether anything can be written at all is noticed by the next record.
                tracing::warn!(version, %error, "a checkpoint failed; the journal grows until the next one");
            }
            drop(pass);
        });
    }

    /// Starts nothing any more, and waits until the journal is at rest: what is under way is done, and all that was
    /// appended is durable or never will be.
    pub(crate) async fn end(&self) {
        self.under_way.close().await;
        if let Err(error) = self.journal.clone().close().await {
            // Whoever appended was told.
            tracing::debug!(%error, "a journal ended with a failure");
        }
    }
}
