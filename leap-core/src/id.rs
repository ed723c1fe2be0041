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
            ///
            /// ```
            /// assert!(leap_core::Version::MAX > leap_core::Version(1_000_000_000_000));
            /// ```
            pub const MAX: Self = Self(COUNTER_MAX);

            /// The one after this one.
            ///
            /// ```
            /// assert_eq!(leap_core::Version(1).next(), leap_core::Version(2));
            /// ```
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
    ///
    /// ```
    /// use leap_core::ObjectId;
    ///
    /// let hotel = ObjectId::from_name("hotel");
    /// assert_ne!(hotel, ObjectId::from_name("flight"));
    /// ```
    ObjectId, "o"
);
counter!(
    /// The global failure counter: each rollback decision opens the next one. The first is 0.
    ///
    /// ```
    /// use leap_core::WorldLine;
    ///
    /// let now = WorldLine(3); // three rollbacks have been decided
    /// assert_eq!(now.next(), WorldLine(4));
    /// ```
    WorldLine, "w"
);
counter!(
    /// A recoverable point of one state object. Version 0 is the empty initial state, which is
    /// always inside the boundary; the first version that can be sealed is 1.
    ///
    /// ```
    /// use leap_core::Version;
    ///
    /// assert!(Version::ZERO < Version(1));
    /// assert_eq!(Version(1).to_string(), "1");
    /// ```
    Version, "v"
);
counter!(
    /// Position of a message in the channel from one object to another. The first is 0.
    ///
    /// ```
    /// use leap_core::Seq;
    ///
    /// assert_eq!(Seq(0).next(), Seq(1));
    /// ```
    Seq, "#"
);
token!(
    /// The driver's own name for an output that waits for release (rule P8).
    ///
    /// ```
    /// use leap_core::{Input, OutputId};
    ///
    /// // The driver counts its outputs, and hears of each by its number when it may leave.
    /// let input = Input::Output(OutputId(17));
    /// # drop(input);
    /// ```
    OutputId, "out"
);
token!(
    /// Names one write of a sealed version, so that a late completion of a write whose version was
    /// rolled back is recognised and ignored.
    ///
    /// ```
    /// use leap_core::{Input, PersistTicket};
    ///
    /// // From `Effect::Persist`, to be given back when the write is durable.
    /// let ticket = PersistTicket(1);
    /// let input = Input::Persisted(ticket);
    /// # drop(input);
    /// ```
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
    ///
    /// ```
    /// use leap_core::Version;
    ///
    /// assert_eq!(Version::ZERO.next(), Version(1), "the first that can be sealed");
    /// ```
    pub const ZERO: Self = Self(0);

    /// The version before this one; the initial state has none before it and gives itself.
    ///
    /// ```
    /// use leap_core::Version;
    ///
    /// assert_eq!(Version(3).previous(), Version(2));
    /// assert_eq!(Version::ZERO.previous(), Version::ZERO);
    /// ```
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl PersistTicket {
    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A node of the dependency graph: one version of one object in one world-line.
///
/// ```
/// use leap_core::{ObjectId, Version, Vertex, WorldLine};
///
/// let vertex = Vertex { object: ObjectId(7), world_line: WorldLine(1), version: Version(3) };
/// assert_eq!(format!("{vertex:?}"), "o7.v3@w1");
/// ```
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
