//! What an action can do besides changing the state.

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use leap_core::{Header, ObjectId, RolledBack, Version, WorldLine};
use tokio::sync::oneshot;

use super::Protocol;
use crate::sthread::SThread;

/// The running action, as the state sees it.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// # use leap::{Host, Machine, Service};
/// # #[derive(Default, serde::Serialize, serde::Deserialize)]
/// # struct Counter;
/// # impl Machine for Counter { type Change = (); fn apply(&mut self, (): ()) {} }
/// # impl Service for Counter {}
/// # let host = Host::builder().start().await?;
/// # let object = host.add::<Counter>("counter").await?;
/// let (header, mut sthread) = object.action(|_state, context| (context.header(), context.detach())).await?;
/// // A message with this header, and whatever the sthread does, depend on the version of the action.
/// assert_eq!(sthread.header()?, header);
/// sthread.barrier().await?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct ActionContext<'a> {
    protocol: &'a Protocol,
}

impl<'a> ActionContext<'a> {
    pub(super) fn new(protocol: &'a Protocol) -> Self {
        Self { protocol }
    }

    /// The object that acts.
    pub fn object(&self) -> ObjectId {
        self.protocol.id
    }

    /// The world-line the action runs in.
    pub fn world_line(&self) -> WorldLine {
        WorldLine(self.protocol.world_line.load(Ordering::Relaxed))
    }

    /// The version the action belongs to.
    pub fn version(&self) -> Version {
        Version(self.protocol.open.load(Ordering::Relaxed))
    }

    /// How many times the state was brought back to an older version. Code that runs between actions
    /// and finds another number than last time speaks of a state that is no more.
    pub fn generation(&self) -> u64 {
        self.protocol.generation.load(Ordering::Relaxed)
    }

    /// The header of a message that leaves by other ways than a channel: it names this version.
    pub fn header(&self) -> Header {
        self.protocol.header()
    }

    /// An sthread that goes on from here: it has seen this version.
    pub fn detach(&self) -> SThread {
        let core = leap_core::SThread::detach(self.header());
        SThread::new(core, self.protocol.observation.clone())
    }

    /// Sends `payload` to another object, exactly once and in order (rule P14). It becomes part of
    /// this version and leaves at once (or, without speculation, as soon as the version is committed).
    pub fn send(&self, to: ObjectId, payload: impl Into<Bytes>) {
        self.protocol.send(to, payload.into());
    }

    /// Something for the outside world: resolves when all it depends on is inside the boundary
    /// (rule P8). Call it at the end of the action.
    pub fn output(&self) -> Output {
        self.protocol.output()
    }
}

/// Why an output will never be released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutputLost {
    /// What it depends on was rolled back; doing it again is safe.
    #[error(transparent)]
    RolledBack(#[from] RolledBack),
    /// The object stopped first. Its next incarnation may or may not have the change.
    #[error("the object stopped before the output could be released")]
    Stopped,
}

/// Resolves when an action's result may be given to the outside world.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// # use leap::{Host, Machine, OutputLost, Service};
/// # #[derive(Default, serde::Serialize, serde::Deserialize)]
/// # struct Tickets(u64);
/// # impl Machine for Tickets { type Change = u64; fn apply(&mut self, by: u64) { self.0 += by; } }
/// # impl Service for Tickets {}
/// # let host = Host::builder().start().await?;
/// # let tickets = host.add::<Tickets>("tickets").await?;
/// let sell = tickets.change(|tickets| {
///     tickets.record(1);
///     (tickets.0, tickets.output())
/// });
/// let (number, output) = sell.await?;
/// match output.await {
///     Ok(()) => println!("ticket {number} is yours"),
///     Err(OutputLost::RolledBack(_)) => println!("nothing was sold; try again"),
///     Err(OutputLost::Stopped) => println!("the next life of the object may know"),
/// }
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
#[must_use = "the outside world may know only when this has resolved"]
pub struct Output {
    released: oneshot::Receiver<Result<(), RolledBack>>,
}

impl Output {
    pub(super) fn new(released: oneshot::Receiver<Result<(), RolledBack>>) -> Self {
        Self { released }
    }
}

impl Future for Output {
    type Output = Result<(), OutputLost>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.released)
            .poll(context)
            .map(|outcome| match outcome {
                Ok(outcome) => outcome.map_err(OutputLost::RolledBack),
                Err(_) => Err(OutputLost::Stopped),
            })
    }
}
