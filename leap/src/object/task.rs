//! The object's task: everything that needs the exclusive side of the gate, and channel messages.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use leap_core::{Effect, Input, Participant, Speculation, ToParticipant, Version};
use leap_store::GroupCommit;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{ACTIVE, ActionContext, DIRTY, Event, HURRIED, LifePhase, Shared, StopOnPanic, Undone};
use crate::observation::Stopped;
use crate::state_object::{PersistDone, StateObject};

/// How many events are taken from the inbox at a time.
const BATCH: usize = 256;

/// Seal no more often than this, unless somebody waits and nothing is on its way to storage.
const INTERVAL: Duration = Duration::from_millis(1);

/// When the open version is sealed. Durability is not waited for: this only decides how much goes
/// into one write.
///
/// The adaptive policy seals the first change after a pause at once, so that it is durable before
/// anybody asks; a version costs several processes some work, so what follows soon after is bundled.
#[derive(Debug)]
pub(crate) struct SealPolicy {
    group_commit: GroupCommit,
    last: Option<Instant>,
    due: Option<Instant>,
}

impl SealPolicy {
    pub(crate) fn new(group_commit: GroupCommit) -> Self {
        Self {
            group_commit,
            last: None,
            due: None,
        }
    }

    /// The open version has changes.
    fn dirty(&mut self) {
        let now = Instant::now();
        let due = match self.group_commit {
            GroupCommit::Fixed(interval) => now + interval,
            GroupCommit::Adaptive => self.last.map_or(now, |last| last + INTERVAL),
        };
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
    }

    /// Somebody waits for the open version, and nothing is on its way to storage.
    fn hasten(&mut self) {
        if self.due.is_some() && self.group_commit == GroupCommit::Adaptive {
            self.due = Some(Instant::now());
        }
    }

    /// A version without content is only given a number, and costs nothing.
    fn sealed(&mut self, has_changes: bool) {
        self.due = None;
        if has_changes {
            self.last = Some(Instant::now());
        }
    }

    fn is_due(&self) -> bool {
        self.due.is_some_and(|due| due <= Instant::now())
    }

    async fn wait(&self) {
        match self.due {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    }
}

/// Drives the object until it stops.
pub(crate) async fn run<S: StateObject>(
    shared: Arc<Shared<S>>,
    mut inbox: mpsc::UnboundedReceiver<Event>,
    policy: SealPolicy,
) {
    let mut task = Task {
        shared,
        policy,
        seal_wanted: None,
    };
    let mut events = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            biased;
            taken = inbox.recv_many(&mut events, BATCH) => if taken == 0 {
                return;
            },
            () = task.policy.wait() => {}
        }
        for event in events.drain(..) {
            if let Err(why) = task.handle(event).await {
                return task.shared.protocol.stop(why);
            }
        }
        if task.policy.is_due() {
            // What was just sent leaves first: somebody may be waiting for that already.
            tokio::task::yield_now().await;
            task.seal(Version::ZERO);
        }
    }
}

struct Task<S> {
    shared: Arc<Shared<S>>,
    policy: SealPolicy,
    seal_wanted: Option<Version>,
}

impl<S: StateObject> Task<S> {
    async fn handle(&mut self, event: Event) -> Result<(), Stopped> {
        let protocol = &self.shared.protocol;
        match event {
            Event::Peer { from, message } => {
                self.share(Input::Peer { from, message });
                self.seal_if_wanted();
            }
            Event::Dirty => self.schedule(),
            Event::Wanted => self.hasten(),
            Event::Durable => self.policy.hasten(),
            Event::Seal { at_least, done } => {
                self.seal(at_least);
                // Whoever asked may be gone.
                let _ = done.send(());
            }
            // Only tells how far the boundary is: nothing starts or ends, actions may go on.
            Event::Coordinator(message @ ToParticipant::Boundary(_)) => {
                let left = protocol.handle_with(Input::Coordinator(message));
                perform_committed(&self.shared, left);
            }
            Event::Coordinator(message) => self.exclude(Input::Coordinator(message)).await?,
            Event::CoordinatorLinkUp => self.exclude(Input::CoordinatorLinkUp).await?,
            Event::LinkUp(peer) => self.share(Input::LinkUp(peer)),
            Event::Leave => {
                self.seal(Version::ZERO);
                let protocol = &self.shared.protocol;
                protocol.await_latest(&protocol.core.lock());
                self.exclude(Input::Leave).await?;
            }
            Event::StorageFailed(error) => {
                return Err(Stopped::Storage {
                    reason: error.to_string(),
                });
            }
            Event::Stop(why) => return Err(why),
        }
        Ok(())
    }

    /// A poisoned object is about to be stopped; nothing of it may go anywhere any more.
    fn is_poisoned(&self) -> bool {
        self.shared.protocol.is_poisoned()
    }

    /// Handles an input on the shared side; what it delivers runs as part of the open version.
    fn share(&mut self, input: Input) {
        let shared = self.shared.clone();
        let _shared_side = shared.protocol.shared_side();
        if self.is_poisoned() {
            return;
        }
        let left = shared.protocol.handle_with(input);
        self.perform(left);
    }

    /// Handles an input on the exclusive side, and restores if that is what it comes to.
    async fn exclude(&mut self, input: Input) -> Result<(), Stopped> {
        let mut input = Some(input);
        while let Some(next) = input.take() {
            if let Some(version) = self.exclude_once(next)? {
                let restored = self.shared.state.restore(version).await;
                restored.map_err(|error| Stopped::Storage {
                    reason: error.to_string(),
                })?;
                input = Some(Input::Restored);
            }
        }
        self.seal_if_wanted();
        Ok(())
    }

    /// Returns the version to restore, if that is what must be done.
    fn exclude_once(&mut self, input: Input) -> Result<Option<Version>, Stopped> {
        let shared = self.shared.clone();
        let protocol = &shared.protocol;
        let _exclusive_side = protocol.exclusive_side();
        if self.is_poisoned() {
            return Ok(None);
        }
        let before = protocol.ask(work);
        let mut left = protocol.handle_with(input);
        let mut restore = None;
        if let Some(end) = left
            .iter()
            .position(|effect| matches!(effect, Effect::Refused(_) | Effect::Left))
        {
            return Err(match left.swap_remove(end) {
                Effect::Refused(refusal) => Stopped::Refused(refusal),
                _ => Stopped::Left,
            });
        }
        left.retain(|effect| match effect {
            Effect::Restore { version } => {
                restore = Some(*version);
                false
            }
            Effect::Entered(_) => {
                // From here on a version's number can mean something else.
                protocol.awaited.store(0, Ordering::Relaxed);
                false
            }
            _ => true,
        });
        if restore.is_some() {
            protocol.generation.fetch_add(1, Ordering::Relaxed);
            let after = protocol.ask(work);
            let mut undone = protocol.undone.lock();
            undone.versions += before.versions - after.versions;
            undone.messages += before.messages - after.messages;
        }
        self.refresh();
        self.perform(left);
        Ok(restore)
    }

    /// Copies what the core says to where the shared side looks. On the exclusive side only.
    fn refresh(&mut self) {
        let shared = self.shared.clone();
        let protocol = &shared.protocol;
        let core = protocol.core.lock();
        let (active, dirty) = (core.is_active(), core.is_dirty());
        protocol
            .world_line
            .store(core.world_line().0, Ordering::Relaxed);
        protocol
            .open
            .store(core.open_version().0, Ordering::Relaxed);
        let flags = if active { ACTIVE } else { 0 } | if active && dirty { DIRTY } else { 0 };
        protocol.flags.store(flags, Ordering::Release);
        let world_line = core.world_line();
        drop(core);
        if flags & DIRTY != 0 {
            self.schedule();
        }
        let phase = if active {
            LifePhase::Active
        } else {
            LifePhase::Waiting
        };
        let generation = protocol.generation.load(Ordering::Relaxed);
        protocol.life.send_if_modified(|life| {
            let now = super::Life {
                phase,
                world_line,
                generation,
            };
            let changed = *life != now && !matches!(life.phase, LifePhase::Stopped(_));
            if !changed {
                return false;
            }
            *life = now;
            true
        });
    }

    fn schedule(&mut self) {
        self.policy.dirty();
        if self.shared.protocol.speculation == Speculation::Off {
            // Every message waits for its version.
            self.hasten();
        }
    }

    /// Somebody waits for the open version: seals it as soon as nothing is on its way to storage.
    fn hasten(&mut self) {
        let protocol = &self.shared.protocol;
        let core = protocol.core.lock();
        if core.in_flight() == 0 {
            self.policy.hasten();
        } else {
            // Under the core's lock, so that the write which is under way cannot end unnoticed.
            protocol.flags.fetch_or(HURRIED, Ordering::Relaxed);
        }
    }

    fn seal_if_wanted(&mut self) {
        while let Some(at_least) = self.seal_wanted.take() {
            self.seal(at_least);
        }
    }

    fn seal(&mut self, at_least: Version) {
        let shared = self.shared.clone();
        let protocol = &shared.protocol;
        let _exclusive_side = protocol.exclusive_side();
        let has_changes = protocol.flags.load(Ordering::Relaxed) & DIRTY != 0;
        self.policy.sealed(has_changes);
        if self.is_poisoned() {
            return;
        }
        let complete = shared.state.wants_checkpoint();
        let left = protocol.handle_with(Input::Seal { at_least, complete });
        self.refresh();
        self.perform(left);
    }

    /// Does what the core wants of the object itself, under either side of the gate.
    fn perform(&mut self, effects: Vec<Effect>) {
        let shared = self.shared.clone();
        for effect in effects {
            match effect {
                Effect::Deliver { from, payload, .. } => {
                    shared.protocol.mark_dirty();
                    let unwinding = StopOnPanic(&shared.protocol);
                    shared
                        .state
                        .receive(&ActionContext::new(&shared.protocol), from, payload);
                    std::mem::forget(unwinding);
                }
                Effect::SealNeeded { at_least } => {
                    self.seal_wanted = self.seal_wanted.max(Some(at_least));
                }
                Effect::Persist { ticket, metadata } => {
                    let done = persisted(&shared, ticket);
                    shared.state.persist(metadata, done);
                }
                Effect::Committed(version) => committed(&shared, version),
                other => unreachable!("{other:?} is handled elsewhere"),
            }
        }
    }
}

/// The work that a rollback could take away some of.
fn work(participant: &Participant) -> Undone {
    Undone {
        versions: participant.uncommitted_versions() as u64,
        messages: participant.consumed(),
    }
}

/// What a write's completion does, on whatever thread it comes.
fn persisted<S: StateObject>(
    shared: &Arc<Shared<S>>,
    ticket: leap_core::PersistTicket,
) -> PersistDone {
    let shared = shared.clone();
    PersistDone::new(move |result| match result {
        Ok(()) => {
            let left = shared.protocol.handle_with(Input::Persisted(ticket));
            perform_committed(&shared, left);
            shared.protocol.await_what_messages_wait_for();
            if shared.protocol.flags.fetch_and(!HURRIED, Ordering::Relaxed) & HURRIED != 0 {
                shared.protocol.tell(Event::Durable);
            }
        }
        Err(error) => shared.protocol.tell(Event::StorageFailed(error)),
    })
}

fn perform_committed<S: StateObject>(shared: &Shared<S>, effects: Vec<Effect>) {
    for effect in effects {
        match effect {
            Effect::Committed(version) => committed(shared, version),
            other => unreachable!("{other:?} does not follow from durability or boundary"),
        }
    }
}

fn committed<S: StateObject>(shared: &Shared<S>, version: Version) {
    shared
        .protocol
        .observation
        .handle_local_commit(shared.protocol.id, version);
    shared.state.prune(version);
}
