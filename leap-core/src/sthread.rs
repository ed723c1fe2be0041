//! A speculative thread's dependency set (rule P15).

use thiserror::Error;

use crate::{
    header::{DependencySet, Header},
    id::WorldLine,
};

/// What an sthread, or a message, has seen was rolled back by the decision that opened `world_line`.
///
/// ```
/// use leap_core::{RolledBack, WorldLine};
///
/// let lost = RolledBack { world_line: WorldLine(1) };
/// assert_eq!(
///     lost.to_string(),
///     "what it depends on was rolled back by the decision that opened world-line 1",
/// );
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[error("what it depends on was rolled back by the decision that opened world-line {world_line}")]
pub struct RolledBack {
    /// The world-line that the decision opened.
    pub world_line: WorldLine,
}

/// The protocol state of a speculative thread: a world-line and all it has seen in it.
///
/// It runs between actions, has no durable state and is cheap to drop. It learns of boundary and
/// decisions through the process's [`Observer`](crate::Observer): call
/// [`Observer::refresh`](crate::Observer::refresh) before using what the sthread has seen.
///
/// ```
/// use leap_core::{
///     Cause, Decision, Header, Incarnation, ObjectId, Observer, SThread, ToParticipant, Version,
///     WorldLine,
/// };
///
/// let hotel = ObjectId::from_name("hotel");
/// let mut sthread = SThread::detach(Header::of(WorldLine(0), hotel, Version(3)));
/// assert_eq!(sthread.header().dependencies.version_of(hotel), Some(Version(3)));
///
/// let mut observer = Observer::default();
/// observer.handle(&ToParticipant::Decide(Decision {
///     world_line: WorldLine(1),
///     cause: Cause::Failed { object: hotel, successor: Incarnation(2) },
///     cut: [(hotel, Version(2))].into(),
/// }));
/// assert!(observer.refresh(&mut sthread).is_err(), "the hotel has lost version 3");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct SThread {
    world_line: WorldLine,
    seen: DependencySet,
}

impl SThread {
    /// An sthread that has seen nothing yet.
    ///
    /// ```
    /// use leap_core::{SThread, WorldLine};
    ///
    /// assert!(SThread::new(WorldLine(0)).seen().is_empty());
    /// ```
    pub fn new(world_line: WorldLine) -> Self {
        Self {
            world_line,
            seen: DependencySet::new(),
        }
    }

    /// An sthread that goes on from where `header` was sent: a detach from an object's action.
    ///
    /// ```
    /// use leap_core::{Header, ObjectId, SThread, Version, WorldLine};
    ///
    /// let hotel = ObjectId::from_name("hotel");
    /// let sthread = SThread::detach(Header::of(WorldLine(0), hotel, Version(3)));
    /// assert_eq!(sthread.seen().version_of(hotel), Some(Version(3)));
    /// ```
    pub fn detach(header: Header) -> Self {
        Self {
            world_line: header.world_line,
            seen: header.dependencies,
        }
    }

    /// The world-line it runs in.
    ///
    /// ```
    /// use leap_core::{Header, ObjectId, SThread, Version, WorldLine};
    ///
    /// let hotel = ObjectId::from_name("hotel");
    /// let sthread = SThread::detach(Header::of(WorldLine(1), hotel, Version(3)));
    /// assert_eq!(sthread.world_line(), WorldLine(1));
    /// ```
    pub fn world_line(&self) -> WorldLine {
        self.world_line
    }

    /// All it has seen and that is not known to be committed.
    ///
    /// ```
    /// use leap_core::{Header, ObjectId, SThread, Version, WorldLine};
    ///
    /// let hotel = ObjectId::from_name("hotel");
    /// let sthread = SThread::detach(Header::of(WorldLine(0), hotel, Version(3)));
    /// assert_eq!(sthread.seen().len(), 1);
    /// ```
    pub fn seen(&self) -> &DependencySet {
        &self.seen
    }

    /// The header of whatever it sends: its whole set.
    ///
    /// ```
    /// use leap_core::{Header, ObjectId, SThread, Version, WorldLine};
    ///
    /// let hotel = ObjectId::from_name("hotel");
    /// let header = Header::of(WorldLine(0), hotel, Version(3));
    /// assert_eq!(SThread::detach(header.clone()).header(), header);
    /// ```
    pub fn header(&self) -> Header {
        Header {
            world_line: self.world_line,
            dependencies: self.seen.clone(),
        }
    }

    pub(crate) fn absorb(&mut self, dependencies: &DependencySet) {
        self.seen.merge(dependencies);
    }

    pub(crate) fn rename(&mut self, world_line: WorldLine) {
        self.world_line = world_line;
    }

    pub(crate) fn forget(
        &mut self,
        is_committed: impl Fn(crate::ObjectId, crate::Version) -> bool,
    ) {
        self.seen
            .retain(|object, version| !is_committed(object, version));
    }
}
