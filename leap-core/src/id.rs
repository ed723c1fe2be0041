//! Identifiers and sequence numbers. Each is a type of its own, so that none can stand for another.

use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// No honest counter ever gets here (a thousand steps a microsecond for two years). A larger number is
/// refused wherever anything is decoded, so that `next` cannot overflow.
const COUNTER_MAX: u64 = 1 << 56;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
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

/// An id that may be any number.
macro_rules! token {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        id!($(#[$doc])* $name, $prefix);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                u64::deserialize(deserializer).map(Self)
            }
        }
    };
}

/// An id that counts from 0: it has an end that no honest one reaches.
macro_rules! counter {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        id!($(#[$doc])* $name, $prefix);

        impl $name {
            /// The largest that is accepted in anything that is decoded.
            pub const MAX: Self = Self(COUNTER_MAX);

            /// The one after this one.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                match u64::deserialize(deserializer)? {
                    possible @ ..=COUNTER_MAX => Ok(Self(possible)),
                    impossible => Err(D::Error::custom(format_args!(
                        concat!("impossible ", stringify!($name), " {}"),
                        impossible
                    ))),
                }
            }
        }
    };
}

token!(
    /// A state object. Stable across its incarnations.
    ObjectId, "o"
);
counter!(
    /// The global failure counter: each rollback decision opens the next one. The first is 0.
    WorldLine, "w"
);
counter!(
    /// A recoverable point of one state object. Version 0 is the empty initial state, which is
    /// always inside the boundary; the first version that can be sealed is 1.
    Version, "v"
);
token!(
    /// One life of a state object: a fencing token. A newer one shuts the older out.
    Incarnation, "i"
);
counter!(
    /// Position of a message in the channel from one object to another. The first is 0.
    Seq, "#"
);
token!(
    /// The driver's own name for an output that waits for release (rule P8).
    OutputId, "out"
);
token!(
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

impl Version {
    /// The initial state.
    pub const ZERO: Self = Self(0);

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
