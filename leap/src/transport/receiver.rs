//! The receiving end of a connection, the same for every network.

use std::{future::poll_fn, sync::Arc};

use bytes::Bytes;
use tokio::{sync::oneshot, time::timeout};
use tonic::Streaming;

use super::{
    frame::Frame,
    outbox::{Breach, LINGER, Outbox, Phase, Taken},
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
    Grpc(Box<Batches>),
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
            Self::Grpc(batches) => batches.next().await,
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

/// The batches of a gRPC stream. When dropped, what remains of the stream goes to whoever sees the
/// connection off: HTTP/2 would discard what we still have to send if we let go of it.
#[derive(Debug)]
pub(super) struct Batches {
    /// Taken when dropped.
    parts: Option<(Streaming<Batch>, oneshot::Sender<Streaming<Batch>>)>,
}

/// What remains of a gRPC stream when its [`FrameReceiver`] is gone.
pub(super) type Remains = oneshot::Receiver<Streaming<Batch>>;

impl Batches {
    pub(super) fn new(stream: Streaming<Batch>) -> (Box<Self>, Remains) {
        let (sender, remains) = oneshot::channel();
        let parts = Some((stream, sender));
        (Box::new(Self { parts }), remains)
    }

    async fn next(&mut self) -> Option<Vec<Bytes>> {
        let (stream, _) = self.parts.as_mut()?;
        match stream.message().await {
            Ok(batch) => batch.map(|batch| batch.frames),
            Err(status) => {
                tracing::info!(%status, "connection lost");
                None
            }
        }
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        if let Some((stream, remains)) = self.parts.take() {
            // Nobody sees it off when the connection is torn down already.
            let _ = remains.send(stream);
        }
    }
}

/// Stays with a connection over gRPC until it is over. Returns whether its socket must be torn down
/// because it broke, or did not end in time after it was closed.
pub(super) async fn see_off(outbox: &Outbox, remains: Remains) -> bool {
    if outbox.settled().await == Phase::Aborted {
        return true;
    }
    let Ok(mut stream) = remains.await else {
        return false;
    };
    let end = async { while let Ok(Some(_)) = stream.message().await {} };
    timeout(LINGER, end).await.is_err()
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn a_batch_of_anything_is_frames_up_to_the_first_that_is_none() {
        let good = Frame::Announce(Vec::new()).encode().0;
        bolero::check!()
            .with_type::<(Vec<u8>, Vec<Vec<u8>>)>()
            .for_each(|(message, frames)| {
                // What is no message of its protocol never gets as far as this.
                let received = Batch::decode(&message[..]).unwrap_or_default().frames;
                let frames = frames.iter().map(|frame| Bytes::copy_from_slice(frame));
                let after_a_good_one = [good.clone()].into_iter().chain(frames).collect();
                for batch in [received, after_a_good_one] {
                    let outbox = Outbox::new("anybody");
                    let source = Source::InProcess(Outbox::new("anybody"));
                    let receiver = FrameReceiver::new(source, Arc::clone(&outbox));
                    let mut decoded = Vec::new();
                    let count = receiver.decode(&batch, &mut decoded);
                    assert_eq!(count, decoded.len());
                    assert!(count >= usize::from(batch.first() == Some(&good)));
                    match batch.get(count) {
                        None => assert_eq!(outbox.phase(), Phase::Open),
                        Some(garbage) => {
                            assert!(Frame::decode(garbage).is_err());
                            assert_eq!(outbox.phase(), Phase::Aborted);
                        }
                    }
                }
            });
    }
}
