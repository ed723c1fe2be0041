//! The queue of one direction of a connection: senders put frames in and never wait, the network
//! takes them out. It also holds the state of that end of the connection.
//!
//! ```text
//!            close                  all taken
//!   Open ───────────────► Closing ───────────► Ended      the network is done with this direction
//!     │  network gone         │  network gone    ▲
//!     ├───────────────────────┼──────────────────┘
//!     │  abort                │  abort, or not taken in time
//!     └───────────────────────┴──────────────► Aborted    the whole connection must go, now
//! ```

use std::{
    collections::VecDeque,
    fmt,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use leap_core::DecodeError;
use parking_lot::{Mutex, MutexGuard};
use tokio::{sync::Notify, time::Instant};

use super::frame::{Encoded, MAX_FRAME_BYTES};

/// A connection on which this much waits to be sent (encoded frames and what it costs to keep them)
/// is broken: its peer has stopped reading.
pub(super) const QUEUE_LIMIT_BYTES: usize = 64 << 20;

/// How long a closed connection may take to send what is queued, and its peer to close it too.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// What a queued frame costs beyond its bytes: its place in the queue and its allocation.
const FRAME_OVERHEAD_BYTES: usize = 64;

/// Whether a frame is worth setting out for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Haste {
    /// It leaves at once.
    Urgent,
    /// It leaves together with the next urgent frame, or at [`FrameSender::flush`].
    SentAlong,
}

/// Puts frames on their way to the peer. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct FrameSender {
    outbox: Arc<Outbox>,
}

impl FrameSender {
    pub(super) fn new(outbox: Arc<Outbox>) -> Self {
        Self { outbox }
    }

    /// Queues `frame`; never waits. On a closed connection it is dropped, and if there is too much
    /// in the queue already, or the frame is larger than [`MAX_FRAME_BYTES`], that breaks the
    /// connection: what is in flight on a broken connection is lost, whichever way it broke.
    pub(crate) fn send(&self, frame: impl Into<Encoded>) {
        self.send_with(Haste::Urgent, frame);
    }

    /// As [`FrameSender::send`], with as much haste as given.
    pub(crate) fn send_with(&self, haste: Haste, frame: impl Into<Encoded>) {
        self.outbox.push(frame.into().0, haste);
    }

    /// Sends what waits to be sent along.
    pub(crate) fn flush(&self) {
        self.outbox.flush();
    }

    /// Whether nothing more will be sent.
    #[cfg(test)]
    pub(super) fn is_closed(&self) -> bool {
        self.outbox.phase() != Phase::Open
    }

    /// Returns when nothing more will be sent.
    #[cfg(test)]
    pub(super) async fn closed(&self) {
        self.outbox.reached(|phase| phase != Phase::Open).await;
    }
}

/// Why this end breaks a connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Breach {
    /// The peer does not read.
    #[error("the peer does not read: {queued} bytes wait for it")]
    QueueFull { queued: usize },
    /// We tried to send a frame that the peer would not accept.
    #[error("a frame of {length} bytes cannot be sent, the limit is {MAX_FRAME_BYTES}")]
    FrameTooLarge { length: usize },
    /// The peer sent what is not a frame.
    #[error("the peer sent garbage")]
    Garbage(#[source] DecodeError),
    /// The connection was closed and the peer does not take the rest.
    #[error("the peer did not take the rest of a closed connection in time")]
    NotTaken,
    /// A test cut the link.
    #[error("the link is cut")]
    Cut,
}

/// See the picture in the module documentation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    Open,
    Closing,
    Ended,
    Aborted,
}

/// What [`Outbox::poll_take`] found.
#[derive(Debug)]
pub(super) enum Taken {
    /// These frames, at least one.
    Frames(Vec<Bytes>),
    /// Frames that may not arrive before then.
    NotBefore(Instant),
    /// There will be no more.
    End,
}

pub(super) struct Outbox {
    peer: String,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    phase: Phase,
    queue: VecDeque<Queued>,
    /// Something in the queue is worth setting out for.
    is_urgent: bool,
    bytes: usize,
    taker: Option<Waker>,
    latency: Duration,
}

struct Queued {
    frame: Bytes,
    /// Only on a link with latency.
    due: Option<Instant>,
}

impl Outbox {
    /// An open outbox for frames to `peer` (for the log).
    pub(super) fn new(peer: impl Into<String>) -> Arc<Self> {
        Arc::new(Self {
            peer: peer.into(),
            state: Mutex::new(State {
                phase: Phase::Open,
                queue: VecDeque::new(),
                is_urgent: false,
                bytes: 0,
                taker: None,
                latency: Duration::ZERO,
            }),
            changed: Notify::new(),
        })
    }

    pub(super) fn phase(&self) -> Phase {
        self.state.lock().phase
    }

    /// From now on what is pushed arrives `latency` later.
    pub(super) fn set_latency(&self, latency: Duration) {
        self.state.lock().latency = latency;
    }

    fn push(&self, frame: Bytes, haste: Haste) {
        let mut state = self.state.lock();
        if state.phase != Phase::Open {
            return;
        }
        let length = frame.len();
        let queued = state.bytes + length + FRAME_OVERHEAD_BYTES;
        if length > MAX_FRAME_BYTES {
            drop(state);
            return self.abort(&Breach::FrameTooLarge { length });
        }
        if queued > QUEUE_LIMIT_BYTES {
            drop(state);
            return self.abort(&Breach::QueueFull { queued });
        }
        state.bytes = queued;
        let due = (!state.latency.is_zero()).then(|| Instant::now() + state.latency);
        state.queue.push_back(Queued { frame, due });
        if haste == Haste::Urgent {
            state.is_urgent = true;
            wake(state);
        }
    }

    fn flush(&self) {
        let mut state = self.state.lock();
        if !state.queue.is_empty() {
            state.is_urgent = true;
            wake(state);
        }
    }

    /// Takes frames from the front until they have `limit` bytes or more.
    pub(super) fn poll_take(&self, cx: &mut Context<'_>, limit: usize) -> Poll<Taken> {
        let mut state = self.state.lock();
        match (state.phase, state.queue.front()) {
            (Phase::Ended | Phase::Aborted, _) => Poll::Ready(Taken::End),
            (_, Some(&Queued { due: Some(due), .. })) if due > Instant::now() => {
                Poll::Ready(Taken::NotBefore(due))
            }
            (Phase::Closing, Some(_)) => Poll::Ready(Taken::Frames(state.take(limit))),
            (Phase::Open, Some(_)) if state.is_urgent => {
                Poll::Ready(Taken::Frames(state.take(limit)))
            }
            (Phase::Closing, None) => {
                drop(state);
                self.end();
                Poll::Ready(Taken::End)
            }
            (Phase::Open, _) => {
                state.taker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Lets what is queued leave, then ends.
    pub(super) fn close(&self) {
        self.advance(Phase::Closing);
    }

    /// Nobody takes frames any more.
    pub(super) fn end(&self) {
        self.advance(Phase::Ended);
    }

    /// Breaks the connection.
    pub(super) fn abort(&self, breach: &Breach) {
        if self.advance(Phase::Aborted) {
            let source = std::error::Error::source(breach);
            tracing::warn!(
                peer = self.peer,
                cause = source.map(tracing::field::display),
                "connection broken: {breach}"
            );
        }
    }

    /// Returns once `condition` holds of the phase.
    pub(super) async fn reached(&self, condition: impl Fn(Phase) -> bool) -> Phase {
        loop {
            // Created before the phase is read, so that no change is missed in between.
            let changed = self.changed.notified();
            let phase = self.phase();
            if condition(phase) {
                return phase;
            }
            changed.await;
        }
    }

    /// Waits for the end of this direction: [`Phase::Ended`] when its carrier is done with it,
    /// [`Phase::Aborted`] when the carrier must be torn down, also because the peer did not take
    /// the rest of a closed connection in time.
    pub(super) async fn settled(&self) -> Phase {
        self.reached(|phase| phase != Phase::Open).await;
        let settled = self.reached(|phase| matches!(phase, Phase::Ended | Phase::Aborted));
        if tokio::time::timeout(LINGER, settled).await.is_err() {
            self.abort(&Breach::NotTaken);
        }
        self.phase()
    }

    /// Goes on to `phase` unless already there or further; says whether it did.
    fn advance(&self, phase: Phase) -> bool {
        let mut state = self.state.lock();
        let further = match state.phase {
            Phase::Open => true,
            Phase::Closing => phase != Phase::Closing,
            Phase::Ended | Phase::Aborted => false,
        };
        if !further {
            return false;
        }
        state.phase = phase;
        if phase != Phase::Closing {
            state.queue = VecDeque::new();
            state.bytes = 0;
        }
        wake(state);
        self.changed.notify_waiters();
        true
    }
}

fn wake(mut state: MutexGuard<'_, State>) {
    let taker = state.taker.take();
    drop(state);
    if let Some(taker) = taker {
        taker.wake();
    }
}

impl State {
    fn take(&mut self, limit: usize) -> Vec<Bytes> {
        let mut taken = Vec::new();
        let mut bytes = 0;
        while bytes < limit && self.queue.front().is_some_and(is_due) {
            let Queued { frame, .. } = self.queue.pop_front().expect("there is a front");
            bytes += frame.len();
            taken.push(frame);
        }
        self.bytes -= bytes + taken.len() * FRAME_OVERHEAD_BYTES;
        self.is_urgent &= !self.queue.is_empty();
        taken
    }
}

fn is_due(queued: &Queued) -> bool {
    queued.due.is_none_or(|due| due <= Instant::now())
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("peer", &self.peer)
            .field("phase", &self.phase())
            .finish_non_exhaustive()
    }
}
