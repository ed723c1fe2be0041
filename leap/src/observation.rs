//! What this process knows of the cluster, shared by its objects, sthreads and barriers.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use leap_core::{
    BarrierId, ObjectId, Observer, RolledBack, ToParticipant, Version, WorldLine, message::Refusal,
};
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use crate::links::Links;
use crate::transport::Haste;

type Waiter = oneshot::Sender<Result<(), RolledBack>>;

/// The process's [`Observer`] behind a lock, with somebody to wake for every barrier.
///
/// Invariant: it hears of a decision before any object of the process acts on it, so that a boundary
/// that an object finds by itself is never taken for one of an older world-line.
pub(crate) struct Observation {
    links: Arc<Links>,
    observer: Mutex<Observer>,
    /// Who waits; nothing when the host is gone.
    barriers: Mutex<Option<HashMap<BarrierId, Waiter>>>,
    next_barrier: AtomicU64,
    world_line: watch::Sender<Option<WorldLine>>,
}

impl fmt::Debug for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observation")
    }
}

impl Observation {
    pub(crate) fn new(links: Arc<Links>) -> Self {
        Self {
            links,
            observer: Mutex::default(),
            barriers: Mutex::new(Some(HashMap::new())),
            next_barrier: AtomicU64::default(),
            world_line: watch::Sender::new(None),
        }
    }

    /// Takes in what the coordinator says to everybody.
    pub(crate) fn handle(&self, message: &ToParticipant) {
        self.change(|observer| observer.handle(message));
        if matches!(
            message,
            ToParticipant::Welcome { .. } | ToParticipant::Decide(_)
        ) {
            let world_line = self.observer.lock().world_line();
            self.world_line
                .send_if_modified(|known| known.replace(world_line) != Some(world_line));
        }
    }

    pub(crate) fn handle_local_commit(&self, object: ObjectId, version: Version) {
        self.change(|observer| observer.handle_local_commit(object, version));
    }

    /// The newest world-line known here; nothing until the coordinator has been met.
    pub(crate) fn known(&self) -> Option<WorldLine> {
        *self.world_line.borrow()
    }

    /// Waits until the world-line is at least `world_line`.
    pub(crate) async fn reach(&self, world_line: WorldLine) {
        if self.known() >= Some(world_line) {
            return;
        }
        let mut known = self.world_line.subscribe();
        // The sender lives as long as `self`.
        let _ = known.wait_for(|known| *known >= Some(world_line)).await;
    }

    pub(crate) fn with<R>(&self, ask: impl FnOnce(&Observer) -> R) -> R {
        ask(&self.observer.lock())
    }

    /// Resolves when all that `sthread` has seen is inside the boundary (rule P8).
    pub(crate) async fn barrier(&self, sthread: leap_core::SThread) -> Result<(), BarrierError> {
        let barrier = BarrierId(self.next_barrier.fetch_add(1, Ordering::Relaxed));
        let (sender, outcome) = oneshot::channel();
        match &mut *self.barriers.lock() {
            Some(barriers) => drop(barriers.insert(barrier, sender)),
            None => return Err(BarrierError::HostGone),
        }
        let waiting = Waiting {
            observation: self,
            barrier,
        };
        let awaited = self.with(|observer| observer.uncommitted(sthread.seen()));
        if !awaited.is_empty() {
            self.links.hasten(&awaited);
            self.links.await_boundary(awaited, Haste::Urgent);
        }
        self.change(|observer| observer.barrier(barrier, sthread));
        let outcome = outcome.await;
        std::mem::forget(waiting);
        match outcome {
            Ok(result) => Ok(result?),
            Err(_) => Err(BarrierError::HostGone),
        }
    }

    /// The host is gone: nothing will be heard any more, so nobody may go on waiting.
    pub(crate) fn close(&self) {
        *self.barriers.lock() = None;
    }

    fn change(&self, change: impl FnOnce(&mut Observer)) {
        let mut observer = self.observer.lock();
        change(&mut observer);
        while let Some(outcome) = observer.poll_outcome() {
            if let Some(waiting) = self.take_waiter(outcome.barrier) {
                // Nobody may be waiting any more.
                let _ = waiting.send(outcome.result);
            }
        }
    }

    fn take_waiter(&self, barrier: BarrierId) -> Option<Waiter> {
        self.barriers.lock().as_mut()?.remove(&barrier)
    }
}

/// Takes a barrier back when whoever waited for it is gone.
struct Waiting<'a> {
    observation: &'a Observation,
    barrier: BarrierId,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.observation
            .change(|observer| observer.cancel(self.barrier));
        self.observation.take_waiter(self.barrier);
    }
}

/// Why an object of this process has stopped.
///
/// ```
/// # leap::testing::run_example(async {
/// use leap::Stopped;
/// use leap::testing::Counter;
///
/// # let host = leap::Host::builder().start().await?;
/// let counter = host.add::<Counter>("counter").await?;
/// let _successor = host.add::<Counter>("counter").await?;
/// match counter.stopped().await {
///     Stopped::Refused(_) => println!("a newer life of it runs"),
///     Stopped::Storage { reason } | Stopped::Failed { reason } => println!("to be repaired: {reason}"),
///     Stopped::Left | Stopped::HostGone => println!("as was wished"),
/// }
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// The coordinator refuses this incarnation (rule P12).
    #[error("refused by the coordinator: {0}")]
    Refused(#[from] Refusal),
    /// Its storage failed or belongs to a newer incarnation; nothing is acknowledged any more.
    #[error("storage failed: {reason}")]
    Storage {
        /// What the storage said.
        reason: String,
    },
    /// Its own code failed.
    #[error("it failed: {reason}")]
    Failed {
        /// What happened.
        reason: String,
    },
    /// It left the cluster in order.
    #[error("it has left")]
    Left,
    /// Its host shut down, or was dropped.
    #[error("its host shut down")]
    HostGone,
}

/// Why a barrier lets nobody through.
///
/// ```
/// # leap::testing::run_example(async {
/// use leap::BarrierError;
///
/// # let host = leap::Host::builder().start().await?;
/// let mut sthread = host.sthread().await;
/// drop(host);
/// match sthread.barrier().await {
///     Ok(()) => println!("the outside world may know"),
///     Err(BarrierError::RolledBack(_)) => println!("start again with a new sthread"),
///     Err(BarrierError::HostGone) => println!("somebody else has to"),
/// }
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BarrierError {
    /// What the sthread has seen was rolled back.
    #[error(transparent)]
    RolledBack(#[from] RolledBack),
    /// The host was shut down or killed, and hears nothing of the boundary any more.
    #[error("the host shut down")]
    HostGone,
}

/// A message from a world-line that is over, or ahead of one whose cluster is gone.
///
/// ```
/// # leap::testing::run_example(async {
/// use leap::testing::{Cluster, Counter};
/// use leap::{ReceiveError, WorldLine};
///
/// let cluster = Cluster::new().await;
/// let other = cluster.host("b").await.add::<Counter>("other").await?;
/// let one = cluster.host("a").await.add::<Counter>("one").await?;
/// let (_, mut seen) = one.view(|one| one.0).await?;
/// let header = seen.header()?;
///
/// // A failure: what was under way belongs to a world-line that is over.
/// let host = cluster.restart("a").await;
/// host.add::<Counter>("one").await?.ready().await?;
/// # let mut life = other.life();
/// # life.wait_for(|life| life.world_line == WorldLine(1)).await?;
/// let refused = other.receive(&header, |_state, _context| ()).await;
/// assert_eq!(refused, Err(ReceiveError::WorldLineOver { current: WorldLine(1) }));
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiveError {
    /// The message's world-line is over; send it again from the current one (rule P5).
    #[error("the message's world-line is over, the current one is {current}")]
    WorldLineOver {
        /// The current world-line.
        current: WorldLine,
    },
    /// What the receiver has seen was rolled back.
    #[error(transparent)]
    RolledBack(#[from] RolledBack),
    /// The object has stopped.
    #[error("the object has stopped: {0}")]
    Stopped(#[from] Stopped),
}
