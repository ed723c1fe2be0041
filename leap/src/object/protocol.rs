//! The protocol half of a hosted object: what every action passes through, whatever the state.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use crossbeam_utils::sync::{ShardedLock, ShardedLockReadGuard, ShardedLockWriteGuard};
use leap_core::{
    Admission, DependencySet, Effect, Header, Input, ObjectId, OutputId, Participant, PeerMessage,
    RolledBack, Speculation, ToParticipant, Version, WorldLine,
};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::context::Output;
use super::life::{Life, LifePhase};
use crate::links::Links;
use crate::observation::{Observation, Stopped};
use crate::state_object::StateError;
use crate::transport::Haste;

pub(super) const ACTIVE: u8 = 1;
pub(super) const DIRTY: u8 = 2;
/// An action panicked: whatever it left behind must never be sealed.
pub(super) const POISONED: u8 = 4;
/// Somebody waits for the open version while earlier ones are on their way to storage.
pub(super) const HURRIED: u8 = 8;

/// The object is not running actions just now.
///
/// ```
/// # leap::testing::run_example(async {
/// use leap::NotActive;
///
/// # let host = leap::Host::builder().start().await?;
/// # let counter = host.add::<leap::testing::Counter>("counter").await?;
/// counter.leave().await?;
/// assert_eq!(counter.try_action(|_state, _context| ()), Err(NotActive));
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the object is not active")]
pub struct NotActive;

/// What the object's task is told.
#[derive(Debug)]
pub(crate) enum Event {
    CoordinatorLinkUp,
    Coordinator(ToParticipant),
    LinkUp(ObjectId),
    Peer {
        from: ObjectId,
        message: PeerMessage,
    },
    /// The open version has its first change.
    Dirty,
    /// Somebody waits until the open version is inside the boundary.
    Wanted,
    /// A version became durable while somebody waited for the open one.
    Durable,
    /// Somebody cannot go on before this version is open (rule P4).
    Seal {
        at_least: Version,
        done: oneshot::Sender<()>,
    },
    StorageFailed(StateError),
    Leave,
    Stop(Stopped),
}

/// Work that rollbacks took away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Undone {
    /// Versions with content.
    pub(crate) versions: u64,
    /// Messages that were consumed on channels, and are consumed again if their senders survived.
    pub(crate) messages: u64,
}

/// The protocol half of a hosted object, whatever its state.
pub(crate) struct Protocol {
    pub(crate) id: ObjectId,
    pub(crate) name: Arc<str>,
    pub(super) gate: ShardedLock<()>,
    pub(super) flags: AtomicU8,
    /// Copies of what the core holds, for the shared side.
    pub(super) world_line: AtomicU64,
    pub(super) open: AtomicU64,
    pub(super) generation: AtomicU64,
    pub(super) speculation: Speculation,
    pub(super) core: Mutex<Participant>,
    /// The newest version of this world-line that the coordinator was told somebody waits for. Changed
    /// under the core's lock.
    pub(super) awaited: AtomicU64,
    pub(super) outputs: Mutex<HashMap<OutputId, oneshot::Sender<Result<(), RolledBack>>>>,
    pub(super) next_output: AtomicU64,
    /// When each version that may not be inside the boundary got its first content, oldest first.
    begun: Mutex<VecDeque<(Version, Instant)>>,
    /// What rollbacks have taken away in this life.
    pub(crate) undone: Mutex<Undone>,
    pub(super) inbox: mpsc::UnboundedSender<Event>,
    pub(super) life: watch::Sender<Life>,
    pub(super) links: Arc<Links>,
    pub(super) observation: Arc<Observation>,
}

impl Protocol {
    pub(crate) fn new(
        name: &str,
        participant: Participant,
        speculation: Speculation,
        inbox: mpsc::UnboundedSender<Event>,
        links: Arc<Links>,
        observation: Arc<Observation>,
    ) -> Self {
        let (committed, latest) = (participant.committed(), participant.latest());
        let found = (committed < latest).then(|| (committed.next(), Instant::now()));
        Self {
            id: participant.id(),
            name: name.into(),
            gate: ShardedLock::new(()),
            flags: AtomicU8::new(0),
            world_line: AtomicU64::new(0),
            open: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            speculation,
            core: Mutex::new(participant),
            awaited: AtomicU64::new(0),
            outputs: Mutex::default(),
            next_output: AtomicU64::new(0),
            begun: Mutex::new(found.into_iter().collect()),
            undone: Mutex::default(),
            inbox,
            life: watch::Sender::new(Life {
                phase: LifePhase::Waiting,
                world_line: WorldLine::default(),
                generation: 0,
            }),
            links,
            observation,
        }
    }

    /// Many actions at a time hold this side. The lock guards no data of its own that a panic could
    /// leave half changed: what an action changes is the state, which `POISONED` speaks for.
    pub(super) fn shared_side(&self) -> ShardedLockReadGuard<'_, ()> {
        self.gate.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody else holds any side meanwhile (rule P1).
    pub(super) fn exclusive_side(&self) -> ShardedLockWriteGuard<'_, ()> {
        self.gate.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter_shared(&self) -> Result<ShardedLockReadGuard<'_, ()>, NotActive> {
        let shared = self.shared_side();
        if self.flags.load(Ordering::Acquire) & ACTIVE == 0 {
            Err(NotActive)
        } else {
            Ok(shared)
        }
    }

    /// Begins an action that changes the state.
    pub(super) fn begin(&self) -> Result<ShardedLockReadGuard<'_, ()>, NotActive> {
        let shared = self.shared_side();
        match self.flags.load(Ordering::Acquire) {
            flags if flags & ACTIVE == 0 => return Err(NotActive),
            flags if flags & DIRTY == 0 => {
                self.core.lock().handle(Input::Touch);
                self.mark_dirty();
            }
            _ => {}
        }
        Ok(shared)
    }

    /// Begins an action that consumes a message, or says what must come first.
    pub(super) fn begin_receiving(
        &self,
        header: &Header,
    ) -> Result<ShardedLockReadGuard<'_, ()>, Admission> {
        let shared = self.shared_side();
        if self.flags.load(Ordering::Acquire) & ACTIVE == 0 {
            return Err(Admission::Hold);
        }
        let admission = self.core.lock().consume(header);
        if admission != Admission::Consumed {
            return Err(admission);
        }
        if self.flags.load(Ordering::Relaxed) & DIRTY == 0 {
            self.mark_dirty();
        }
        Ok(shared)
    }

    /// Under the shared side, after the core was told.
    pub(super) fn mark_dirty(&self) {
        if self.flags.fetch_or(DIRTY, Ordering::AcqRel) & DIRTY == 0 {
            self.stamp();
            self.tell(Event::Dirty);
        }
    }

    /// The open version gets its first content now.
    fn stamp(&self) {
        let (committed, open) = self.ask(|core| (core.committed(), core.open_version()));
        let mut begun = self.begun.lock();
        while begun
            .front()
            .is_some_and(|&(version, _)| version <= committed)
        {
            begun.pop_front();
        }
        // Versions may have been rolled back, and their numbers come again.
        while begun.back().is_some_and(|&(version, _)| version >= open) {
            begun.pop_back();
        }
        begun.push_back((open, Instant::now()));
    }

    /// How long ago the oldest version that is not inside the boundary got its first content.
    pub(crate) fn lag(&self) -> Duration {
        let (committed, latest) = self.ask(|core| {
            let open = core.is_dirty().then(|| core.open_version());
            (
                core.committed(),
                core.latest().max(open.unwrap_or_default()),
            )
        });
        let begun = self.begun.lock();
        let mut outside = begun
            .iter()
            .filter(|&&(version, _)| committed < version && version <= latest);
        outside
            .next()
            .map_or(Duration::ZERO, |(_, since)| since.elapsed())
    }

    pub(crate) fn tell(&self, event: Event) {
        // The task is gone only when the object has stopped, and then nothing matters any more.
        let _ = self.inbox.send(event);
    }

    /// Tells the core something that needs no lock on the gate, and performs what follows.
    pub(super) fn handle(&self, input: Input) {
        let left = self.handle_with(input);
        assert!(left.is_empty(), "{left:?} is for the object's task");
    }

    pub(super) fn handle_with(&self, input: Input) -> Vec<Effect> {
        let mut core = self.core.lock();
        core.handle(input);
        self.drain(&mut core)
    }

    /// Gives away what leaves the object; returns what only the object's task can do.
    pub(super) fn drain(&self, core: &mut MutexGuard<'_, Participant>) -> Vec<Effect> {
        let mut left = Vec::new();
        while let Some(effect) = core.poll_effect() {
            match effect {
                Effect::ToCoordinator(message) => self.links.to_coordinator(message),
                Effect::Transmit { to, message } => self.links.to_peer(self.id, to, message),
                Effect::Release(output) => self.settle(output, Ok(())),
                Effect::Discard(output) => {
                    let world_line = core.world_line().next();
                    self.settle(output, Err(RolledBack { world_line }));
                }
                other => left.push(other),
            }
        }
        left
    }

    pub(super) fn settle(&self, output: OutputId, outcome: Result<(), RolledBack>) {
        if let Some(waiting) = self.outputs.lock().remove(&output) {
            // Nobody may be interested any more.
            let _ = waiting.send(outcome);
        }
    }

    pub(super) fn output(&self) -> Output {
        let output = OutputId(self.next_output.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = oneshot::channel();
        self.outputs.lock().insert(output, sender);
        let mut core = self.core.lock();
        core.handle(Input::Output(output));
        let left = self.drain(&mut core);
        assert!(left.is_empty(), "{left:?} is for the object's task");
        self.await_latest(&core);
        Output::new(receiver)
    }

    /// Somebody waits for all that the object has done so far.
    pub(super) fn await_latest(&self, core: &Participant) {
        let latest = core.latest();
        if latest <= core.committed() || self.awaited.swap(latest.0, Ordering::Relaxed) == latest.0
        {
            return;
        }
        let versions = DependencySet::from_iter([(self.id, latest)]);
        if core.is_dirty() {
            // The report of this version will come along.
            self.links.await_boundary(versions, Haste::SentAlong);
            self.tell(Event::Wanted);
        } else {
            self.links.await_boundary(versions, Haste::Urgent);
        }
    }

    /// Without speculation messages leave when their version is inside the boundary, so somebody waits
    /// for every version. Mostly it is there as soon as it is durable.
    pub(super) fn await_what_messages_wait_for(&self) {
        let core = self.core.lock();
        if self.speculation == Speculation::Off && core.committed() < core.durable() {
            self.await_latest(&core);
        }
    }

    pub(super) fn send(&self, to: ObjectId, payload: Bytes) {
        self.handle(Input::Send { to, payload });
    }

    /// Valid while the shared side is held and the open version is dirty.
    pub(super) fn header(&self) -> Header {
        let world_line = WorldLine(self.world_line.load(Ordering::Relaxed));
        Header::of(
            world_line,
            self.id,
            Version(self.open.load(Ordering::Relaxed)),
        )
    }
}

/// Being asked.
impl Protocol {
    pub(super) fn is_poisoned(&self) -> bool {
        self.flags.load(Ordering::Acquire) & POISONED != 0
    }

    /// What the object has done and is not inside the boundary yet, in words.
    pub(crate) fn unsettled(&self) -> Option<String> {
        match self.phase() {
            LifePhase::Stopped(_) => return None,
            LifePhase::Waiting => {
                return Some(format!("{:?} waits to be admitted or restored", self.name));
            }
            LifePhase::Active => {}
        }
        let core = self.core.lock();
        let (latest, committed) = (core.latest(), core.committed());
        let (unacknowledged, held) = (core.unacknowledged(), core.held());
        let settled = committed == latest && !core.is_dirty() && unacknowledged == 0 && held == 0;
        (!settled).then(|| {
            format!(
                "{:?} is at version {latest}, {committed} is committed, {unacknowledged} of its messages are not \
                 acknowledged and {held} that it received wait",
                self.name
            )
        })
    }

    pub(crate) fn ask<R>(&self, ask: impl FnOnce(&Participant) -> R) -> R {
        ask(&self.core.lock())
    }
}
