//! A hosted state object: the driver of one [`Participant`].
//!
//! Actions run on whatever thread calls them, many at a time, on the shared side of a gate. One task
//! per object does everything that needs the gate's exclusive side: it seals, restores and enters
//! world-lines (rule P1). It also runs the handlers of channel messages.
//!
//! # Invariants
//!
//! - Effects that leave the object (messages, releases) are given away under the core's lock, so that
//!   they leave in the order in which the core decided them.
//! - While the shared side is held, world-line and open version do not change; that is why their
//!   copies outside the core's lock can be trusted.
//! - `ACTIVE` is set only while the core lets actions run, `DIRTY` only while the open version has
//!   changes; both are cleared on the exclusive side.

mod context;
mod task;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use crossbeam_utils::sync::{ShardedLock, ShardedLockReadGuard, ShardedLockWriteGuard};
use leap_core::{
    Admission, DependencySet, Effect, Header, Input, ObjectId, OutputId, Participant, PeerMessage,
    RolledBack, Speculation, ToParticipant, Version, WorldLine,
};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{mpsc, oneshot, watch};

pub use context::{ActionContext, Output, OutputLost};
pub(crate) use task::{SealPolicy, run};

use crate::links::Links;
use crate::observation::{Observation, ReceiveError, Stopped};
use crate::service::CallError;
use crate::state_object::{StateError, StateObject};
use crate::sthread::SThread;
use crate::transport::Haste;

const ACTIVE: u8 = 1;
const DIRTY: u8 = 2;
/// An action panicked: whatever it left behind must never be sealed.
const POISONED: u8 = 4;
/// Somebody waits for the open version while earlier ones are on their way to storage.
const HURRIED: u8 = 8;

/// Where a hosted object is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LifePhase {
    /// It waits to be admitted, or brings back an older state.
    Waiting,
    /// It runs actions.
    Active,
    /// It has stopped for good; a new incarnation may follow.
    Stopped(Stopped),
}

/// What [`Object::life`] tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// Where it is.
    pub phase: LifePhase,
    /// Its world-line.
    pub world_line: WorldLine,
    /// How many times the state was brought back to an older version, the start included.
    pub generation: u64,
}

/// The object is not running actions just now.
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
    gate: ShardedLock<()>,
    flags: AtomicU8,
    /// Copies of what the core holds, for the shared side.
    world_line: AtomicU64,
    open: AtomicU64,
    generation: AtomicU64,
    speculation: Speculation,
    core: Mutex<Participant>,
    /// The newest version of this world-line that the coordinator was told somebody waits for. Changed
    /// under the core's lock.
    awaited: AtomicU64,
    outputs: Mutex<HashMap<OutputId, oneshot::Sender<Result<(), RolledBack>>>>,
    next_output: AtomicU64,
    /// What rollbacks have taken away in this life.
    pub(crate) undone: Mutex<Undone>,
    inbox: mpsc::UnboundedSender<Event>,
    life: watch::Sender<Life>,
    links: Arc<Links>,
    observation: Arc<Observation>,
}

/// A handle to a state object that this process hosts; clones lead to the same object.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use leap::{Host, Journaled, Machine, Service};
///
/// #[derive(Default, serde::Serialize, serde::Deserialize)]
/// struct Counter(u64);
///
/// impl Machine for Counter {
///     type Change = u64;
///     fn apply(&mut self, by: u64) {
///         self.0 += by;
///     }
/// }
/// impl Service for Counter {}
///
/// let host = Host::builder().start().await?;
/// let counter = host.add::<Counter>("counter").await?;
/// let output = counter
///     .change(|counter| {
///         counter.record(1);
///         counter.output()
///     })
///     .await?;
/// // The outside world may know as soon as the change can never be lost.
/// output.await?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct Object<S> {
    shared: Arc<Shared<S>>,
}

impl<S> Clone for Object<S> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

pub(crate) struct Shared<S> {
    pub(crate) protocol: Protocol,
    pub(crate) state: S,
}

/// Actions.
impl<S: StateObject> Object<S> {
    pub(crate) fn new(shared: Arc<Shared<S>>) -> Self {
        Self { shared }
    }

    pub(crate) fn protocol(&self) -> &Protocol {
        &self.shared.protocol
    }

    pub(crate) fn unavailable(&self, reason: &dyn std::fmt::Display) -> CallError {
        CallError::Unavailable {
            object: self.name().to_owned(),
            reason: reason.to_string(),
        }
    }

    /// The object's id.
    pub fn id(&self) -> ObjectId {
        self.shared.protocol.id
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        &self.shared.protocol.name
    }

    /// Its state. Looking at it outside an action is looking at speculative state: see [`Object::read`].
    pub fn state(&self) -> &S {
        &self.shared.state
    }

    /// Watches its life: phase, world-line and how often it was restored.
    pub fn life(&self) -> watch::Receiver<Life> {
        self.shared.protocol.life.subscribe()
    }

    /// Waits until actions may run.
    ///
    /// # Errors
    ///
    /// [`Stopped`] if they never will again.
    pub async fn ready(&self) -> Result<(), Stopped> {
        self.shared.protocol.ready().await
    }

    /// Runs an action: an atomic block that changes the state (rule P1). Waits while the object is
    /// being restored. The closure must not block.
    ///
    /// # Errors
    ///
    /// [`Stopped`] if the object has stopped.
    pub async fn action<R>(
        &self,
        act: impl FnOnce(&S, &ActionContext<'_>) -> R,
    ) -> Result<R, Stopped> {
        let mut act = Some(act);
        loop {
            if let Ok(shared) = self.shared.protocol.begin() {
                let act = act.take().expect("an action runs once");
                let result = self.shared.act(act);
                drop(shared);
                return Ok(result);
            }
            self.ready().await?;
        }
    }

    /// As [`Object::action`], but does not wait.
    ///
    /// # Errors
    ///
    /// [`NotActive`] if the object is not running actions just now.
    pub fn try_action<R>(
        &self,
        act: impl FnOnce(&S, &ActionContext<'_>) -> R,
    ) -> Result<R, NotActive> {
        let _shared = self.shared.protocol.begin()?;
        Ok(self.shared.act(act))
    }

    /// Runs an action that changes nothing, and gives an sthread that depends on what was read.
    ///
    /// # Errors
    ///
    /// [`Stopped`] if the object has stopped.
    pub async fn read<R>(&self, read: impl FnOnce(&S) -> R) -> Result<(R, SThread), Stopped> {
        let protocol = &self.shared.protocol;
        let mut read = Some(read);
        loop {
            if let Ok(shared) = protocol.enter_shared() {
                let read = read.take().expect("an action runs once");
                let result = read(&self.shared.state);
                // After reading: an action that ran meanwhile has marked the open version before it changed anything.
                let header = protocol.core.lock().header();
                drop(shared);
                return Ok((
                    result,
                    SThread::new(
                        leap_core::SThread::detach(header),
                        protocol.observation.clone(),
                    ),
                ));
            }
            self.ready().await?;
        }
    }

    /// Runs an action that consumes a message with `header`: the object depends on what the message
    /// depends on (rules P3 to P5). Waits for whatever must come first.
    ///
    /// # Errors
    ///
    /// [`ReceiveError::WorldLineOver`] if the message must be sent again; [`ReceiveError::Stopped`].
    pub async fn receive<R>(
        &self,
        header: &Header,
        act: impl FnOnce(&S, &ActionContext<'_>) -> R,
    ) -> Result<R, ReceiveError> {
        let protocol = &self.shared.protocol;
        let mut life = self.life();
        let mut act = Some(act);
        loop {
            life.mark_unchanged();
            let admission = match protocol.begin_receiving(header) {
                Ok(shared) => {
                    let act = act.take().expect("an action runs once");
                    let result = self.shared.act(act);
                    drop(shared);
                    return Ok(result);
                }
                Err(admission) => admission,
            };
            match admission {
                Admission::SealFirst(at_least) => protocol.sealed(at_least).await?,
                Admission::Discard { current } => {
                    return Err(ReceiveError::WorldLineOver { current });
                }
                Admission::Hold | Admission::Consumed => protocol.changed(&mut life).await?,
            }
        }
    }

    /// As [`Object::receive`], but does not wait.
    ///
    /// # Errors
    ///
    /// What must come first: see [`Admission`].
    pub fn try_receive<R>(
        &self,
        header: &Header,
        act: impl FnOnce(&S, &ActionContext<'_>) -> R,
    ) -> Result<R, Admission> {
        let _shared = self.shared.protocol.begin_receiving(header)?;
        Ok(self.shared.act(act))
    }

    /// Runs an action in which an sthread merges into the object.
    ///
    /// # Errors
    ///
    /// As [`Object::receive`]; [`ReceiveError::RolledBack`] if what the sthread has seen is lost.
    pub async fn merge<R>(
        &self,
        mut sthread: SThread,
        act: impl FnOnce(&S, &ActionContext<'_>) -> R,
    ) -> Result<R, ReceiveError> {
        let header = sthread.header()?;
        self.receive(&header, act).await
    }

    /// Leaves the cluster when everything is inside the boundary; nobody will have to roll back. No
    /// further action may be started.
    ///
    /// # Errors
    ///
    /// [`Stopped`] if the object stopped for another reason before it was done.
    pub async fn leave(&self) -> Result<(), Stopped> {
        self.shared.protocol.tell(Event::Leave);
        match self.shared.protocol.stopped().await {
            Stopped::Left => Ok(()),
            other => Err(other),
        }
    }

    /// Waits until the object has stopped, and tells why.
    pub async fn stopped(&self) -> Stopped {
        self.shared.protocol.stopped().await
    }
}

impl<S: StateObject> Shared<S> {
    fn act<R>(&self, act: impl FnOnce(&S, &ActionContext<'_>) -> R) -> R {
        let unwinding = StopOnPanic(&self.protocol);
        let result = act(&self.state, &ActionContext::new(&self.protocol));
        std::mem::forget(unwinding);
        result
    }
}

/// An action that panics may have left the state half changed: it must never become durable.
struct StopOnPanic<'a>(&'a Protocol);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        let reason = "an action panicked; what it changed is thrown away".to_owned();
        self.0.flags.store(POISONED, Ordering::Release);
        self.0.end(Stopped::Failed {
            reason: reason.clone(),
        });
        self.0.tell(Event::Stop(Stopped::Failed { reason }));
    }
}

/// The shared side.
impl Protocol {
    pub(crate) fn new(
        name: &str,
        participant: Participant,
        speculation: Speculation,
        inbox: mpsc::UnboundedSender<Event>,
        links: Arc<Links>,
        observation: Arc<Observation>,
    ) -> Self {
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
    fn shared_side(&self) -> ShardedLockReadGuard<'_, ()> {
        self.gate.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody else holds any side meanwhile (rule P1).
    fn exclusive_side(&self) -> ShardedLockWriteGuard<'_, ()> {
        self.gate.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter_shared(&self) -> Result<ShardedLockReadGuard<'_, ()>, NotActive> {
        let shared = self.shared_side();
        if self.flags.load(Ordering::Acquire) & ACTIVE == 0 {
            Err(NotActive)
        } else {
            Ok(shared)
        }
    }

    /// Begins an action that changes the state.
    fn begin(&self) -> Result<ShardedLockReadGuard<'_, ()>, NotActive> {
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
    fn begin_receiving(&self, header: &Header) -> Result<ShardedLockReadGuard<'_, ()>, Admission> {
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
    fn mark_dirty(&self) {
        if self.flags.fetch_or(DIRTY, Ordering::AcqRel) & DIRTY == 0 {
            self.tell(Event::Dirty);
        }
    }

    pub(crate) fn tell(&self, event: Event) {
        // The task is gone only when the object has stopped, and then nothing matters any more.
        let _ = self.inbox.send(event);
    }

    /// Tells the core something that needs no lock on the gate, and performs what follows.
    fn handle(&self, input: Input) {
        let left = self.handle_with(input);
        assert!(left.is_empty(), "{left:?} is for the object's task");
    }

    fn handle_with(&self, input: Input) -> Vec<Effect> {
        let mut core = self.core.lock();
        core.handle(input);
        self.drain(&mut core)
    }

    /// Gives away what leaves the object; returns what only the object's task can do.
    fn drain(&self, core: &mut MutexGuard<'_, Participant>) -> Vec<Effect> {
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

    fn settle(&self, output: OutputId, outcome: Result<(), RolledBack>) {
        if let Some(waiting) = self.outputs.lock().remove(&output) {
            // Nobody may be interested any more.
            let _ = waiting.send(outcome);
        }
    }

    fn output(&self) -> Output {
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
    fn await_latest(&self, core: &Participant) {
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
    fn await_what_messages_wait_for(&self) {
        let core = self.core.lock();
        if self.speculation == Speculation::Off && core.committed() < core.durable() {
            self.await_latest(&core);
        }
    }

    fn send(&self, to: ObjectId, payload: Bytes) {
        self.handle(Input::Send { to, payload });
    }

    /// Valid while the shared side is held and the open version is dirty.
    fn header(&self) -> Header {
        let world_line = WorldLine(self.world_line.load(Ordering::Relaxed));
        Header::of(
            world_line,
            self.id,
            Version(self.open.load(Ordering::Relaxed)),
        )
    }
}

/// Waiting, and being asked.
impl Protocol {
    pub(crate) fn phase(&self) -> LifePhase {
        self.life.borrow().phase.clone()
    }

    async fn ready(&self) -> Result<(), Stopped> {
        let mut life = self.life.subscribe();
        let life = life.wait_for(|life| life.phase != LifePhase::Waiting).await;
        match &life.expect("the sender lives as long as the object").phase {
            LifePhase::Stopped(why) => Err(why.clone()),
            LifePhase::Active | LifePhase::Waiting => Ok(()),
        }
    }

    pub(crate) async fn stopped(&self) -> Stopped {
        let mut life = self.life.subscribe();
        let stopped = life
            .wait_for(|life| matches!(life.phase, LifePhase::Stopped(_)))
            .await;
        match &stopped
            .expect("the sender lives as long as the object")
            .phase
        {
            LifePhase::Stopped(why) => why.clone(),
            phase => unreachable!("waited for the end, got {phase:?}"),
        }
    }

    /// Waits for the next change of `life`.
    async fn changed(&self, life: &mut watch::Receiver<Life>) -> Result<(), Stopped> {
        if let LifePhase::Stopped(why) = &life.borrow().phase {
            return Err(why.clone());
        }
        life.changed()
            .await
            .expect("the sender lives as long as the object");
        Ok(())
    }

    /// Waits until the open version is at least `at_least`.
    async fn sealed(&self, at_least: Version) -> Result<(), Stopped> {
        let (done, sealed) = oneshot::channel();
        self.tell(Event::Seal { at_least, done });
        match sealed.await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.stopped().await),
        }
    }

    /// Ends the object's life, whatever its task does.
    pub(crate) fn stop(&self, why: Stopped) {
        let _exclusive_side = self.exclusive_side();
        self.flags.store(0, Ordering::Release);
        self.end(why);
    }

    /// Tells everybody that the object has stopped, the first time.
    fn end(&self, why: Stopped) {
        self.outputs.lock().clear();
        self.life.send_if_modified(|life| {
            let first = !matches!(life.phase, LifePhase::Stopped(_));
            if first {
                tracing::info!(object = %self.name, %why, "object stopped");
                life.phase = LifePhase::Stopped(why);
            }
            first
        });
    }

    fn is_poisoned(&self) -> bool {
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
