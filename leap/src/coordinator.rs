//! The coordinator's driver: a task around [`leap_core::Coordinator`], its log and its links.

mod lag;
mod news;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use leap_core::coordinator::LinkId;
use leap_core::{
    Coordinator, CoordinatorEffect, CoordinatorInput, Decision, Fragment, Incarnation, Ledger,
    LogRecord, ObjectId, ToCoordinator, ToParticipant, Version, WorldLine,
};
use leap_store::{Journal, Recovered, Store};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::shortening::Shortening;
use crate::transport::{Connection, DirectoryEntry, Frame, FrameSender};
use lag::Lag;
use news::News;

/// Name of the coordinator's log in the store.
const LOG: &str = "leap.coordinator";

/// How long storage may take to say whether another coordinator has taken over. Everything else waits meanwhile, for
/// somebody who most likely is a stranger.
const CHECK_WITHIN: Duration = Duration::from_secs(1);

/// How long it is not asked again when it did not.
const SILENCE: Duration = Duration::from_secs(10);

/// How many inputs are handled before effects are drained; bundles boundary news under load.
const BATCH: usize = 512;

/// Why a coordinator cannot run.
///
/// ```
/// # leap::testing::run_example(async {
/// use leap::{CoordinatorError, Host, HostError, Store, StoreOptions};
///
/// let store = Store::open("memory:", StoreOptions::default()).await?;
/// // Somebody has written what is no decision into the coordinator's log.
/// let log = store.claim("leap.coordinator").await?.journal;
/// log.append(1, "?".into()).await?;
/// let refused = Host::builder().store(store).start().await.err();
/// assert!(matches!(
///     refused,
///     Some(HostError::Coordinator(CoordinatorError::Log { number: 1, .. })),
/// ));
/// # Ok(())
/// # });
/// ```
#[derive(Debug, thiserror::Error)]
pub enum CoordinatorError {
    /// Its log cannot be read or claimed.
    #[error("the coordinator's log cannot be opened")]
    Store(#[from] leap_store::StoreError),
    /// Its log holds something else.
    #[error("record {number} of the coordinator's log is malformed")]
    Log {
        /// Its position.
        number: u64,
        /// What is wrong.
        #[source]
        source: leap_core::DecodeError,
    },
}

/// What the coordinator knows, for whoever asks.
#[derive(Debug, Clone)]
pub(crate) struct CoordinatorStatus {
    pub(crate) world_line: WorldLine,
    pub(crate) boundary: Option<BTreeMap<ObjectId, Version>>,
    pub(crate) members: Vec<(ObjectId, Incarnation)>,
    pub(crate) waiting_for: Vec<ObjectId>,
    pub(crate) uncommitted: usize,
    /// How long the durable version that has waited longest for the boundary has waited.
    pub(crate) lag: Duration,
    /// Who holds the boundary back, the version awaited, and how many versions wait for it.
    pub(crate) awaited: Vec<(ObjectId, Version, usize)>,
    pub(crate) directory: Vec<DirectoryEntry>,
    pub(crate) last_repair: Option<Repair>,
}

/// A decision, and the fragments that it was taken from.
#[derive(Debug, Clone)]
pub(crate) struct Repair {
    pub(crate) decision: Decision,
    pub(crate) fragments: BTreeMap<ObjectId, Fragment>,
}

/// The newest world-line that a process knows, and the boundary as it was told.
type Known = (Option<WorldLine>, BTreeMap<ObjectId, Version>);

/// Dropping it closes a link.
type Open = oneshot::Sender<std::convert::Infallible>;

enum Event {
    Connected {
        link: LinkId,
        sender: FrameSender,
        open: Open,
        known: Known,
    },
    Frame {
        link: LinkId,
        frame: Frame,
    },
    Closed(LinkId),
    Logged(Result<(), leap_store::JournalError>),
    Status(oneshot::Sender<CoordinatorStatus>),
    Remove(ObjectId, oneshot::Sender<Removal>),
    End,
}

/// What became of the wish to remove a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    /// It is on record that the object is no member any more: nothing waits for it.
    Removed,
    /// The object is no member, or has left: nothing waits for it anyway.
    NoMember,
    /// A new incarnation of it has come, and is a member as before.
    CameBack,
}

/// Where a message comes from.
enum Origin {
    Cluster,
    Elsewhere,
    /// Storage did not say.
    Unknown,
}

/// A handle to a running coordinator.
#[derive(Clone)]
pub(crate) struct CoordinatorHandle {
    inbox: mpsc::UnboundedSender<Event>,
    next_link: std::sync::Arc<std::sync::atomic::AtomicU64>,
    /// Its sender goes when the coordinator writes nothing any more.
    writing: watch::Receiver<()>,
}

/// Opens the log and gives the coordinator's task to be spawned, with a handle to it.
pub(crate) async fn start(
    store: &Store,
) -> Result<(CoordinatorHandle, impl Future<Output = ()> + Send + 'static), CoordinatorError> {
    let claim = store.claim(LOG).await?;
    let next_number = claim.recovered.version().unwrap_or_default() + 1;
    let (checkpoint, records) = read(claim.recovered)?;
    let (inbox, events) = mpsc::unbounded_channel();
    let (writes, writing) = watch::channel(());
    let driver = Driver {
        core: Coordinator::recover(claim.incarnation, checkpoint, records),
        shortening: Shortening::new(claim.journal.clone()),
        journal: claim.journal,
        next_number,
        inbox: inbox.clone(),
        links: HashMap::new(),
        open: HashMap::new(),
        homes: HashMap::new(),
        announced: HashMap::new(),
        directory: BTreeMap::new(),
        silent_until: None,
        removals: Vec::new(),
        is_ending: false,
        writes,
        news: News::default(),
        lag: Lag::default(),
        fragments: BTreeMap::new(),
        last_repair: None,
    };
    Ok((
        CoordinatorHandle {
            inbox,
            next_link: std::sync::Arc::default(),
            writing,
        },
        driver.run(events),
    ))
}

/// What the log holds.
fn read(recovered: Recovered) -> Result<(Option<Ledger>, Vec<LogRecord>), CoordinatorError> {
    let malformed = |number| move |source| CoordinatorError::Log { number, source };
    let checkpoint = recovered
        .checkpoint
        .map(|image| Ledger::decode(&image.payload).map_err(malformed(image.version)));
    let records = recovered
        .records
        .into_iter()
        .map(|record| LogRecord::decode(&record.payload).map_err(malformed(record.version)));
    Ok((checkpoint.transpose()?, records.collect::<Result<_, _>>()?))
}

impl CoordinatorHandle {
    /// Serves a participant's connection, whose greeting has been read, to its end.
    /// `frames` are those that came right after the greeting.
    pub(crate) async fn serve(
        &self,
        mut connection: Connection,
        known: Known,
        mut frames: Vec<Frame>,
    ) {
        let link = LinkId(
            self.next_link
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed),
        );
        let sender = connection.outgoing.clone();
        let (open, mut closed) = oneshot::channel();
        self.tell(Event::Connected {
            link,
            sender,
            open,
            known,
        });
        loop {
            for frame in frames.drain(..) {
                self.tell(Event::Frame { link, frame });
            }
            tokio::select! {
                received = connection.incoming.recv_many(&mut frames) => if received == 0 {
                    break;
                },
                // The coordinator has ended, or will not listen: the participant must look for another.
                _ = &mut closed => break,
            }
        }
        self.tell(Event::Closed(link));
    }

    pub(crate) async fn status(&self) -> Option<CoordinatorStatus> {
        let (sender, status) = oneshot::channel();
        self.tell(Event::Status(sender));
        status.await.ok()
    }

    /// Removes a member that will never come back, so that nothing waits for it: it loses what is not inside the
    /// boundary. Resolves when that is on record, or will not be; with nothing if the coordinator ended before
    /// it could tell which.
    ///
    /// Who removes a member that lives ends it: it is refused. [`Host::remove`](crate::Host::remove) says what becomes
    /// of it, and what the removal takes back when the boundary is not known.
    pub(crate) async fn remove(&self, object: ObjectId) -> Option<Removal> {
        let (sender, removal) = oneshot::channel();
        self.tell(Event::Remove(object, sender));
        removal.await.ok()
    }

    /// Ends it; resolves when it writes nothing any more.
    pub(crate) async fn end(&self) {
        self.tell(Event::End);
        let mut writing = self.writing.clone();
        while writing.changed().await.is_ok() {}
    }

    fn tell(&self, event: Event) {
        // A coordinator that has ended has closed its links, and their ends will be noticed.
        let _ = self.inbox.send(event);
    }
}

struct Driver {
    core: Coordinator,
    journal: Journal,
    shortening: Shortening,
    next_number: u64,
    inbox: mpsc::UnboundedSender<Event>,
    /// The links that are listened to.
    links: HashMap<LinkId, FrameSender>,
    /// All that are open: those too who were told to go.
    open: HashMap<LinkId, Open>,
    /// The link over which each incarnation of an object was last heard.
    homes: HashMap<(ObjectId, Incarnation), LinkId>,
    /// What the hosts that are connected say that they have, by mistake too.
    announced: HashMap<(ObjectId, Incarnation), (LinkId, DirectoryEntry)>,
    /// Where the newest life of each object is.
    directory: BTreeMap<ObjectId, DirectoryEntry>,
    /// Storage was asked in vain: it is not asked before this.
    silent_until: Option<Instant>,
    /// Who waits for a removal.
    removals: Vec<(ObjectId, oneshot::Sender<Removal>)>,
    /// Somebody has asked it to end.
    is_ending: bool,
    /// Tells by going that nothing is written any more.
    writes: watch::Sender<()>,
    news: News,
    lag: Lag,
    /// What each object has last said of its versions. Only for people: the core has its own.
    fragments: BTreeMap<ObjectId, Fragment>,
    last_repair: Option<Repair>,
}

impl Driver {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Event>) {
        self.serve(&mut inbox).await;
        // Participants must look for another at once, however long the log takes to come to rest.
        drop(inbox);
        self.links.clear();
        self.open.clear();
        self.shortening.end().await;
        drop(self.writes);
    }

    /// Does what it is told until it has to end.
    async fn serve(&mut self, inbox: &mut mpsc::UnboundedReceiver<Event>) {
        let mut events = Vec::with_capacity(BATCH);
        self.drain();
        loop {
            tokio::select! {
                biased;
                () = self.news.ripe() => self.spread_news(),
                taken = inbox.recv_many(&mut events, BATCH) => if taken == 0 {
                    return;
                },
            }
            for event in events.drain(..) {
                if let Err(error) = self.handle(event).await {
                    tracing::error!(%error, "the coordinator's log failed; the coordinator stops");
                    return;
                }
            }
            self.drain();
            self.settle_removals();
            if self.is_ending {
                return;
            }
            if self.core.is_superseded() {
                tracing::warn!("another coordinator has taken over; this one stops");
                return;
            }
        }
    }

    async fn handle(&mut self, event: Event) -> Result<(), leap_store::JournalError> {
        match event {
            Event::Connected {
                link,
                sender,
                open,
                known,
            } => {
                // What was decided before is in its welcome, which comes first.
                self.drain();
                let subscribe = CoordinatorInput::Subscribe {
                    link,
                    world_line: known.0,
                    boundary: known.1,
                };
                match self.judge(&subscribe).await {
                    Origin::Cluster => {}
                    Origin::Unknown => return Ok(()),
                    Origin::Elsewhere => {
                        self.open.insert(link, open);
                        sender.send(Frame::TurnedAway(format!(
                            "the cluster there is another one, in world-line {} only, or its coordinator has lost its log",
                            self.core.world_line()
                        )));
                        return Ok(());
                    }
                }
                sender.send(Frame::Announce(self.directory.values().cloned().collect()));
                self.links.insert(link, sender);
                self.open.insert(link, open);
                self.core.handle(subscribe);
            }
            Event::Frame { link, frame } => {
                if self.links.contains_key(&link) {
                    self.handle_frame(link, frame).await;
                }
            }
            Event::Closed(link) => self.close(link),
            Event::Logged(result) => {
                result?;
                self.core.handle(CoordinatorInput::Logged);
            }
            Event::Status(reply) => {
                // Whoever asked may be gone.
                let _ = reply.send(self.status());
            }
            Event::Remove(object, reply) => self.remove(object, reply),
            Event::End => self.is_ending = true,
        }
        Ok(())
    }

    fn close(&mut self, link: LinkId) {
        self.links.remove(&link);
        self.open.remove(&link);
        self.homes.retain(|_, home| *home != link);
        self.announced.retain(|_, (home, _)| *home != link);
        self.news.forget(link);
    }

    fn remove(&mut self, object: ObjectId, reply: oneshot::Sender<Removal>) {
        if self.core.has_member(object) {
            self.core.handle(CoordinatorInput::Remove(object));
            self.removals.push((object, reply));
        } else {
            let _ = reply.send(Removal::NoMember);
        }
    }

    /// Answers those who wait for a removal that was decided or will not be.
    fn settle_removals(&mut self) {
        for (object, reply) in std::mem::take(&mut self.removals) {
            // Whoever asked may be gone.
            if self.core.has_member(object) {
                let _ = reply.send(Removal::CameBack);
            } else if self.core.members().any(|(member, _)| member == object) {
                self.removals.push((object, reply));
            } else {
                // Its next life may have asked to join already.
                let life = self.core.life_of(object);
                if self.directory.get(&object).map(|entry| entry.incarnation) != life {
                    self.directory.remove(&object);
                }
                let _ = reply.send(Removal::Removed);
            }
        }
    }

    async fn handle_frame(&mut self, link: LinkId, frame: Frame) {
        match frame {
            Frame::ToCoordinator(message) => self.handle_message(link, message).await,
            Frame::Announce(entries) => self.announce(link, &entries),
            Frame::Await(versions) => self.news.expect(link, &versions),
            other => tracing::warn!(?other, "a participant says what only others say"),
        }
    }

    async fn handle_message(&mut self, link: LinkId, message: ToCoordinator) {
        let sender @ (object, incarnation) = message.sender();
        // A late message of an old link must not take the object's route back to it.
        let home = self.homes.entry(sender).or_insert(link);
        *home = link.max(*home);
        let joins = matches!(message, ToCoordinator::Join { .. });
        let input = CoordinatorInput::Message(message);
        match self.judge(&input).await {
            Origin::Cluster => {}
            Origin::Unknown => {
                // It will say all of this again when it has connected again.
                self.close(link);
                return;
            }
            Origin::Elsewhere => {
                tracing::warn!(%object, world_line = %self.core.world_line(), "refused an object of another cluster");
                self.core.handle(CoordinatorInput::Foreign {
                    object,
                    incarnation,
                });
                return;
            }
        }
        if let CoordinatorInput::Message(message) = &input
            && self.core.refusal_of(object, incarnation).is_none()
        {
            self.note(message);
        }
        self.core.handle(input);
        if joins {
            self.publish([object].into());
        }
    }

    /// Whose word this is: what shows a successor of this coordinator is of another cluster if there is none.
    async fn judge(&mut self, input: &CoordinatorInput) -> Origin {
        if !self.core.shows_successor(input) {
            return Origin::Cluster;
        }
        if self
            .silent_until
            .is_some_and(|until| Instant::now() < until)
        {
            return Origin::Unknown;
        }
        let check = tokio::time::timeout(CHECK_WITHIN, self.journal.check_claim());
        match check.await {
            Ok(Ok(())) => Origin::Elsewhere,
            Ok(Err(leap_store::StoreError::Fenced { .. })) => Origin::Cluster,
            failed => {
                let error = failed.map_err(|_| "storage does not answer");
                tracing::warn!(
                    ?error,
                    "cannot look whether another coordinator has taken over"
                );
                self.silent_until = Some(Instant::now() + SILENCE);
                Origin::Unknown
            }
        }
    }

    /// Takes in what people may ask about.
    fn note(&mut self, message: &ToCoordinator) {
        match message {
            ToCoordinator::Join {
                object, fragment, ..
            }
            | ToCoordinator::Report {
                object, fragment, ..
            } => {
                let durable = fragment.versions.iter().filter(|entry| entry.durable);
                durable.for_each(|entry| self.lag.persisted(*object, entry.version));
                self.fragments.insert(*object, fragment.clone());
            }
            ToCoordinator::Persisted {
                object, version, ..
            } => self.lag.persisted(*object, *version),
            ToCoordinator::Leave { .. } => {}
        }
    }

    /// Hosts tell what they have before its lives ask to join, and what they have by mistake (rule P12): only of lives
    /// that the core has let ask is everybody told.
    fn announce(&mut self, link: LinkId, entries: &[DirectoryEntry]) {
        for entry in entries {
            let known = self.directory.get(&entry.object);
            if known.is_some_and(|known| known.name != entry.name) {
                tracing::error!(object = %entry.object, name = entry.name, "two names have the same object id");
                continue;
            }
            let life = (entry.object, entry.incarnation);
            self.announced.insert(life, (link, entry.clone()));
        }
        self.publish(entries.iter().map(|entry| entry.object).collect());
    }

    /// Tells everybody where these objects are, if that is news.
    fn publish(&mut self, objects: BTreeSet<ObjectId>) {
        let mut news = Vec::new();
        for object in objects {
            let Some(life) = self.core.life_of(object) else {
                continue;
            };
            let announced = self.announced.get(&(object, life));
            if let Some((_, entry)) = announced
                && self.directory.get(&object) != Some(entry)
            {
                news.push(entry.clone());
                self.directory.insert(object, entry.clone());
                // They will not come again.
                self.announced
                    .retain(|(other, old), _| *other != object || !life.supersedes(*old));
            }
        }
        if !news.is_empty() {
            let links = self.links.values();
            links.for_each(|link| link.send(Frame::Announce(news.clone())));
        }
    }

    fn drain(&mut self) {
        while let Some(effect) = self.core.poll_effect() {
            match effect {
                CoordinatorEffect::Log(record) => self.log(&record),
                CoordinatorEffect::Checkpoint(ledger) => self.shorten_log(&ledger),
                CoordinatorEffect::ToLink(link, message) => self.send(link, None, message),
                CoordinatorEffect::ToObject(object, incarnation, message) => {
                    if let Some(&link) = self.homes.get(&(object, incarnation)) {
                        self.send(link, Some((object, incarnation)), message);
                    }
                }
                CoordinatorEffect::Broadcast(ToParticipant::Boundary(advanced)) => {
                    self.lag.committed(&advanced);
                    self.news.add(advanced);
                }
                CoordinatorEffect::Broadcast(message) => {
                    if let ToParticipant::Decide(decision) = &message {
                        self.lag.decided(decision);
                    }
                    // Everybody hears of things in the order in which they happened.
                    self.spread_news();
                    self.broadcast(message);
                }
            }
        }
        self.tell_who_waits();
    }

    fn broadcast(&self, message: ToParticipant) {
        let frame = Frame::FromCoordinator { to: None, message }.encode();
        self.links
            .values()
            .for_each(|link| link.send(frame.clone()));
    }

    fn spread_news(&mut self) {
        let news = self.news.take();
        if !news.is_empty() {
            self.broadcast(ToParticipant::Boundary(news));
        }
    }

    fn tell_who_waits(&mut self) {
        for (link, news) in self.news.take_awaited() {
            if let Some(link) = self.links.get(&link) {
                link.send(Frame::Reached(news));
            }
        }
    }

    fn send(&self, link: LinkId, to: Option<(ObjectId, Incarnation)>, message: ToParticipant) {
        if let Some(link) = self.links.get(&link) {
            link.send(Frame::FromCoordinator { to, message });
        }
    }

    /// Puts `ledger` in the place of all records so far (rule P13).
    fn shorten_log(&self, ledger: &Ledger) {
        self.shortening
            .start(self.next_number - 1, ledger.encode().into());
    }

    fn log(&mut self, record: &LogRecord) {
        if let LogRecord::Decided { decision, .. } = record {
            tracing::info!(world_line = %decision.world_line, cause = ?decision.cause, cut = ?decision.cut, "rollback decided");
            self.last_repair = Some(Repair {
                decision: decision.clone(),
                fragments: self.fragments.clone(),
            });
        }
        let inbox = self.inbox.clone();
        let number = self.next_number;
        self.next_number += 1;
        self.journal
            .append_then(number, record.encode().into(), move |result| {
                // The coordinator may have ended meanwhile.
                let _ = inbox.send(Event::Logged(result));
            });
    }

    fn status(&self) -> CoordinatorStatus {
        CoordinatorStatus {
            world_line: self.core.world_line(),
            boundary: self.core.boundary(),
            members: self.core.members().collect(),
            waiting_for: self.core.waiting_for(),
            uncommitted: self.core.uncommitted(),
            lag: match self.core.uncommitted() {
                // It may know that versions are committed that were not told yet, or not in its life.
                0 => Duration::ZERO,
                _ => self.lag.longest(),
            },
            awaited: self.core.awaited().collect(),
            directory: self.directory.values().cloned().collect(),
            last_repair: self.last_repair.clone(),
        }
    }
}
