//! What a participant is told, what it wants done, and what it answers.

use bytes::Bytes;

use crate::{
    id::{ObjectId, OutputId, PersistTicket, Seq, Version, WorldLine},
    message::{PeerMessage, Refusal, ToCoordinator, ToParticipant},
    metadata::VersionMetadata,
};

/// Whether an object runs ahead of its own persistence.
///
/// ```
/// use leap_core::Speculation;
///
/// assert_eq!(Speculation::default(), Speculation::On);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Speculation {
    /// Messages leave at once, naming a version that is not durable yet.
    #[default]
    On,
    /// Messages leave when the version that sent them is inside the boundary, as in systems that
    /// wait for storage at every step. Nothing then ever depends on what may be lost.
    Off,
}

/// What a participant can be told. The comment says who tells it.
///
/// ```
/// # use leap_core::*;
/// # let mut hotel = Participant::new(ObjectId::from_name("hotel"), Incarnation(1), Speculation::On);
/// # let (incarnation, world_line) = (Incarnation(1), WorldLine(0));
/// # let admit = ToParticipant::Admit { incarnation, world_line, keep: Version::ZERO, boundary: Default::default() };
/// # hotel.handle(Input::Coordinator(admit));
/// # hotel.handle(Input::Restored);
/// # while hotel.poll_effect().is_some() {}
/// use leap_core::{Effect, Input, Version};
///
/// // An action changes the state, and its version is sealed.
/// hotel.handle(Input::Touch);
/// hotel.handle(Input::Seal { at_least: Version::ZERO, complete: false });
/// assert!(matches!(hotel.poll_effect(), Some(Effect::Persist { .. })));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Input {
    /// The driver's link to the coordinator is up, for the first time or again. What was sent on an
    /// earlier link may be lost.
    CoordinatorLinkUp,
    /// The coordinator says something. No action may be running.
    Coordinator(ToParticipant),
    /// The link to a peer is up, for the first time or again. What was sent to it on an earlier link
    /// may be lost.
    LinkUp(ObjectId),
    /// A peer says something. Messages to be consumed come back as [`Effect::Deliver`].
    Peer {
        /// The sender.
        from: ObjectId,
        /// What it says.
        message: PeerMessage,
    },
    /// The running action sends a message on the channel to `to`.
    Send {
        /// The receiver.
        to: ObjectId,
        /// The application's bytes.
        payload: Bytes,
    },
    /// The running action changes the object's state.
    Touch,
    /// The running action has a result for the outside world, to be released by rule P8.
    Output(OutputId),
    /// Seal the open version if anything changed in it (rule P2). No action may be running.
    Seal {
        /// The next open version is at least this one (rule P4).
        at_least: Version,
        /// Whether the metadata must hold the whole channel state, for a checkpoint.
        complete: bool,
    },
    /// The write of a version is durable. Writes become durable in order.
    Persisted(PersistTicket),
    /// The state is what [`Effect::Restore`] asked for.
    Restored,
    /// The object ends its life in order: no further action will run and nothing more is delivered.
    /// [`Effect::Left`] follows when all is inside the boundary. Ignored before the first
    /// [`Effect::Entered`]: until then the driver may simply stop.
    Leave,
}

/// What the driver must do, in order.
///
/// ```
/// # use leap_core::*;
/// # let mut hotel = Participant::new(ObjectId::from_name("hotel"), Incarnation(1), Speculation::On);
/// # let (incarnation, world_line) = (Incarnation(1), WorldLine(0));
/// # let admit = ToParticipant::Admit { incarnation, world_line, keep: Version::ZERO, boundary: Default::default() };
/// # hotel.handle(Input::Coordinator(admit));
/// # hotel.handle(Input::Restored);
/// # while hotel.poll_effect().is_some() {}
/// use leap_core::{Effect, Input, ObjectId};
///
/// // An action sends a message. A driver obeys what follows from it, in order.
/// hotel.handle(Input::Send { to: ObjectId::from_name("kitchen"), payload: "cook".into() });
/// while let Some(effect) = hotel.poll_effect() {
///     match effect {
///         Effect::Transmit { to, .. } => assert_eq!(to, ObjectId::from_name("kitchen")),
///         other => println!("to be done: {other:?}"),
///     }
/// }
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Effect {
    /// Send to the coordinator; drop it when the link is down.
    ToCoordinator(ToCoordinator),
    /// Send to a peer, in order per peer; drop it when the link is down.
    Transmit {
        /// The receiver.
        to: ObjectId,
        /// What to send.
        message: PeerMessage,
    },
    /// Run the handler for this message as an action of the version that is open now: nothing may
    /// be sealed between this effect and the end of that action.
    Deliver {
        /// The sender.
        from: ObjectId,
        /// Position in its channel.
        seq: Seq,
        /// The application's bytes.
        payload: Bytes,
    },
    /// A message waits for the open version to reach `at_least` (rule P4): give [`Input::Seal`] as
    /// soon as no action runs.
    SealNeeded {
        /// The version that must be open.
        at_least: Version,
    },
    /// Make the state at the end of this version durable, with its metadata, then give
    /// [`Input::Persisted`]. The content is fixed now; durability may come later.
    Persist {
        /// Names the write.
        ticket: PersistTicket,
        /// What is stored beside the state.
        metadata: VersionMetadata,
    },
    /// Bring the state back to the end of `version`, drop all later ones from storage (in order
    /// before any later write) and give [`Input::Restored`]. Until then no action may run.
    Restore {
        /// The version that survives.
        version: Version,
    },
    /// The object is now in this world-line and may run actions.
    Entered(WorldLine),
    /// This version and all before it are inside the boundary: they can never be rolled back, and
    /// what is older can be pruned (rule P13).
    Committed(Version),
    /// Give this output to the outside world.
    Release(OutputId),
    /// This output will never be released: what it depends on was rolled back.
    Discard(OutputId),
    /// The coordinator refuses this incarnation; stop.
    Refused(Refusal),
    /// The object has left; stop.
    Left,
}

/// What becomes of a message that is not on a channel.
///
/// ```
/// use leap_core::{Admission, WorldLine};
///
/// // What a driver does with a message that came by other ways than a channel.
/// fn react(admission: Admission) -> String {
///     match admission {
///         Admission::Consumed => "run the handler".to_owned(),
///         Admission::SealFirst(version) => format!("seal up to {version}, and ask again"),
///         Admission::Hold => "ask again when the world-line changes".to_owned(),
///         Admission::Discard { current } => format!("tell the sender: it is world-line {current}"),
///     }
/// }
///
/// let over = Admission::Discard { current: WorldLine(3) };
/// assert_eq!(react(over), "tell the sender: it is world-line 3");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Admission {
    /// Its dependencies are recorded: run the handler in this version.
    Consumed,
    /// Give [`Input::Seal`] with this version first, then ask again (rule P4).
    SealFirst(Version),
    /// Ask again after the next change of world-line or phase (rule P5).
    Hold,
    /// Drop it and tell the sender this world-line (rule P5).
    Discard {
        /// The current world-line.
        current: WorldLine,
    },
}
