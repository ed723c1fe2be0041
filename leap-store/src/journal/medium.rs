//! The seam between a journal and what makes it durable.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Index, Position, Queue, Wake};
use crate::format::batch::Mark;
use crate::replay::Replay;
use crate::{Record, StoreError, local, object};

/// The two ways to be durable.
#[derive(Clone)]
pub(crate) enum Medium {
    Local(Arc<local::Writer>),
    Object(Arc<object::Writer>),
}

impl Medium {
    pub(crate) fn incarnation(&self) -> u64 {
        match self {
            Self::Local(writer) => writer.incarnation(),
            Self::Object(writer) => writer.incarnation(),
        }
    }

    pub(crate) fn identity(&self) -> u64 {
        match self {
            Self::Local(writer) => writer.identity(),
            Self::Object(writer) => writer.identity(),
        }
    }

    pub(crate) fn queue(&self) -> &Queue {
        match self {
            Self::Local(writer) => &writer.queue,
            Self::Object(writer) => &writer.queue,
        }
    }

    pub(crate) fn index(&self) -> &Mutex<Index> {
        match self {
            Self::Local(writer) => &writer.index,
            Self::Object(writer) => &writer.index,
        }
    }

    /// Fails when a newer incarnation has claimed the name.
    pub(crate) async fn check_claim(&self) -> Result<(), StoreError> {
        match self {
            Self::Local(writer) => {
                let writer = Arc::clone(writer);
                blocking(move || writer.check_claim()).await
            }
            Self::Object(writer) => writer.check_claim().await,
        }
    }

    /// The queue has something for the writer.
    pub(crate) fn wake(&self, wake: Wake) {
        match self {
            Self::Local(writer) => writer.wake(wake),
            // It waits for the end of a group-commit interval by itself.
            Self::Object(writer) => writer.wake(),
        }
    }

    /// No handle is left that could append.
    pub(crate) fn retire(&self) {
        self.queue().close();
        if let Self::Object(writer) = self {
            writer.wake();
        }
    }

    /// Writes a checkpoint image durably.
    pub(crate) async fn write_image(&self, number: u64, image: Bytes) -> Result<(), StoreError> {
        match self {
            Self::Local(writer) => {
                let writer = Arc::clone(writer);
                blocking(move || writer.write_image(number, &image)).await
            }
            Self::Object(writer) => writer.write_image(number, image).await,
        }
    }

    pub(crate) async fn read_image(&self, mark: Mark) -> Result<Record, StoreError> {
        match self {
            Self::Local(writer) => {
                let writer = Arc::clone(writer);
                blocking(move || writer.read_image(mark)).await
            }
            Self::Object(writer) => writer.read_image(mark).await,
        }
    }

    /// Replays the durable journal up to `end`.
    pub(crate) async fn read(&self, end: Position) -> Result<Replay, StoreError> {
        match self {
            Self::Local(writer) => {
                let writer = Arc::clone(writer);
                blocking(move || writer.read(end)).await
            }
            Self::Object(writer) => writer.read(end).await,
        }
    }

    /// Deletes the segments below `base`, and the images.
    pub(crate) async fn prune(&self, base: u64, images: &[(u64, u64)]) -> Result<(), StoreError> {
        match self {
            Self::Local(writer) => {
                let (writer, images) = (Arc::clone(writer), images.to_vec());
                blocking(move || writer.prune(base, &images)).await
            }
            Self::Object(writer) => writer.prune(base, images).await,
        }
    }
}

/// Runs work that blocks on a thread that may be blocked.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // Blocking tasks cannot be cancelled once they run, so this is a panic of ours, or the end of the runtime.
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => std::future::pending().await,
        },
    }
}
