//! The receiving end of a connection, the same for every network.

use std::{future::poll_fn, sync::Arc};

use bytes::Bytes;
use tonic::Streaming;

use super::{
    frame::Frame,
    outbox::{Breach, Outbox, Phase, Taken},
    proto::Batch,
};

/// Takes so much at a time from the other party of an in-process link.
const TAKE_BYTES: usize = 64 << 10;

/// Gives the frames of the peer. The connection lives as long as this.
#[derive(Debug)]
pub(crate) struct FrameReceiver {
    source: Source,
    /// Our own direction, which ends when the peer's does.
    outbox: Arc<Outbox>,
}

#[derive(Debug)]
pub(super) enum Source {
    Grpc(Streaming<Batch>),
    /// The outbox of the other party.
    InProcess(Arc<Outbox>),
}

impl FrameReceiver {
    pub(super) fn new(source: Source, outbox: Arc<Outbox>) -> Self {
        Self { source, outbox }
    }

    /// Waits for frames and appends all that are there to `frames`. Returns how many; 0 means that
    /// the connection has ended. Dropping the future before it is ready loses nothing.
    pub(crate) async fn recv_many(&mut self, frames: &mut Vec<Frame>) -> usize {
        loop {
            let next = tokio::select! {
                biased;
                _ = self.outbox.reached(|phase| phase == Phase::Aborted) => None,
                batch = self.source.next() => batch,
            };
            let Some(batch) = next else {
                self.outbox.close();
                return 0;
            };
            let decoded = self.decode(&batch, frames);
            if decoded > 0 {
                return decoded;
            }
        }
    }

    /// Decodes up to the first that is no frame, which breaks the connection.
    fn decode(&self, batch: &[Bytes], frames: &mut Vec<Frame>) -> usize {
        let before = frames.len();
        frames.reserve(batch.len());
        for bytes in batch {
            match Frame::decode(bytes) {
                Ok(frame) => frames.push(frame),
                Err(error) => {
                    self.outbox.abort(&Breach::Garbage(error));
                    break;
                }
            }
        }
        frames.len() - before
    }
}

impl Source {
    async fn next(&mut self) -> Option<Vec<Bytes>> {
        match self {
            Self::Grpc(batches) => match batches.message().await {
                Ok(batch) => batch.map(|batch| batch.frames),
                Err(status) => {
                    tracing::info!(%status, "connection lost");
                    None
                }
            },
            Self::InProcess(outbox) => loop {
                match poll_fn(|cx| outbox.poll_take(cx, TAKE_BYTES)).await {
                    Taken::Frames(frames) => return Some(frames),
                    Taken::NotBefore(due) => tokio::time::sleep_until(due).await,
                    Taken::End => return None,
                }
            },
        }
    }
}

impl Drop for FrameReceiver {
    fn drop(&mut self) {
        self.outbox.close();
        if let Source::InProcess(peer) = &self.source {
            peer.end();
        }
    }
}
