//! Identifiers and sequence numbers. Each is a type of its own, so that none can stand for another.

use core::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

id!(
    /// A state object. Stable across its incarnations.
    ObjectId, "o"
);
id!(
    /// The global failure counter: each rollback decision opens the next one. The first is 0.
    WorldLine, "w"
);
id!(
    /// A recoverable point of one state object. Version 0 is the empty initial state, which is
    /// always inside the boundary; the first version that can be sealed is 1.
    Version, "v"
);
id!(
    /// One life of a state object: a fencing token. A newer one shuts the older out.
    Incarnation, "i"
);
id!(
    /// Position of a message in the channel from one object to another. The first is 0.
    Seq, "#"
);
id!(
    /// The driver's own name for an output that waits for release (rule P8).
    OutputId, "out"
);
id!(
    /// Names one write of a sealed version, so that a late completion of a write whose version was
    /// rolled back is recognised and ignored.
    PersistTicket, "t"
);

impl ObjectId {
    /// The id of the object called `name`: FNV-1a, 64 bits, the same on every machine.
    ///
    /// Whoever keeps names must refuse a second name with the same id.
    ///
    /// ```
    /// use leap_core::ObjectId;
    /// assert_eq!(ObjectId::from_name("hotel"), ObjectId::from_name("hotel"));
    /// assert_ne!(ObjectId::from_name("hotel"), ObjectId::from_name("flight"));
    /// ```
    pub const fn from_name(name: &str) -> Self {
        let bytes = name.as_bytes();
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut i = 0;
        while i < bytes.len() {
            hash ^= bytes[i] as u64;
            hash = hash.wrapping_mul(0x0000_0100_0000_01b3);
            i += 1;
        }
        Self(hash)
    }
}

impl WorldLine {
    /// The world-line that the next rollback decision opens.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Version {
    /// The initial state.
    pub const ZERO: Self = Self(0);

    /// No honest object ever gets here; a larger number in a message is refused when decoded, so
    /// that a hostile header cannot push a peer's version counter to its end (rule P4 would follow it).
    pub const MAX: Self = Self(1 << 56);

    /// The version after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The version before this one; the initial state has none before it and gives itself.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl Incarnation {
    /// The incarnation that supersedes this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Seq {
    /// The position after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl PersistTicket {
    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A node of the dependency graph: one version of one object in one world-line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Vertex {
    /// The object.
    pub object: ObjectId,
    /// The world-line in which the version is named.
    pub world_line: WorldLine,
    /// The version.
    pub version: Version,
}

impl fmt::Debug for Vertex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?}.{:?}@{:?}",
            self.object, self.version, self.world_line
        )
    }
}
