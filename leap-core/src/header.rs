//! What a message carries about its sender: a world-line and the vertices it depends on.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use smallvec::{SmallVec, smallvec};

use crate::{
    encoding::{DecodeError, Format},
    id::{ObjectId, Version, WorldLine},
};

/// A set of versions, at most one per object: the newest (rule P15).
///
/// Since an object's versions form a chain, depending on version n is depending on all before it,
/// so the newest per object says everything. Kept sorted by object in one piece, which is on the heap
/// only for more than two: sets are small (an object names one vertex, an sthread as many as the objects
/// it has met), and one is made for every message. A set that comes from outside in any other order, or
/// names an object twice, is refused when it is decoded.
///
/// ```
/// use leap_core::{DependencySet, ObjectId, Version};
///
/// let (hotel, flight) = (ObjectId::from_name("hotel"), ObjectId::from_name("flight"));
/// let seen: DependencySet = [(hotel, Version(3)), (flight, Version(1)), (hotel, Version(2))].into_iter().collect();
/// // Version 3 of the hotel comes after version 2 and says both.
/// assert_eq!((seen.len(), seen.version_of(hotel)), (2, Some(Version(3))));
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DependencySet {
    entries: SmallVec<[(ObjectId, Version); 2]>,
}

impl DependencySet {
    /// The set that depends on nothing.
    ///
    /// ```
    /// assert!(leap_core::DependencySet::new().is_empty());
    /// ```
    pub const fn new() -> Self {
        Self {
            entries: SmallVec::new_const(),
        }
    }

    /// Adds a dependency on `object` at `version`. Returns whether the set now says more than before.
    ///
    /// ```
    /// use leap_core::{DependencySet, ObjectId, Version};
    ///
    /// let (hotel, flight) = (ObjectId::from_name("hotel"), ObjectId::from_name("flight"));
    /// let mut seen = DependencySet::new();
    /// assert!(seen.insert(hotel, Version(3)));
    /// assert!(!seen.insert(hotel, Version(2)), "version 3 says that already");
    /// # let _ = flight;
    /// ```
    pub fn insert(&mut self, object: ObjectId, version: Version) -> bool {
        match self.position(object) {
            Ok(i) if self.entries[i].1 >= version => false,
            Ok(i) => {
                self.entries[i].1 = version;
                true
            }
            Err(i) => {
                self.entries.insert(i, (object, version));
                true
            }
        }
    }

    /// The version of `object` that the set depends on.
    ///
    /// ```
    /// use leap_core::{DependencySet, ObjectId, Version};
    ///
    /// let (hotel, flight) = (ObjectId::from_name("hotel"), ObjectId::from_name("flight"));
    /// let seen = DependencySet::from_iter([(hotel, Version(3))]);
    /// assert_eq!(seen.version_of(hotel), Some(Version(3)));
    /// assert_eq!(seen.version_of(flight), None);
    /// ```
    pub fn version_of(&self, object: ObjectId) -> Option<Version> {
        self.position(object).ok().map(|i| self.entries[i].1)
    }

    /// Drops the dependency on `object`.
    ///
    /// ```
    /// use leap_core::{DependencySet, ObjectId, Version};
    ///
    /// let (hotel, flight) = (ObjectId::from_name("hotel"), ObjectId::from_name("flight"));
    /// let mut seen = DependencySet::from_iter([(hotel, Version(3)), (flight, Version(1))]);
    /// seen.remove(hotel);
    /// assert_eq!(seen, DependencySet::from_iter([(flight, Version(1))]));
    /// ```
    pub fn remove(&mut self, object: ObjectId) {
        if let Ok(i) = self.position(object) {
            self.entries.remove(i);
        }
    }

    /// Keeps only the dependencies for which `keep` is true.
    ///
    /// ```
    /// use leap_core::{DependencySet, ObjectId, Version};
    ///
    /// let (hotel, flight) = (ObjectId::from_name("hotel"), ObjectId::from_name("flight"));
    /// let mut seen = DependencySet::from_iter([(hotel, Version(3)), (flight, Version(1))]);
    /// let committed = Version(2);
    /// seen.retain(|_object, version| version > committed);
    /// assert_eq!(seen, DependencySet::from_iter([(hotel, Version(3))]));
    /// ```
    pub fn retain(&mut self, mut keep: impl FnMut(ObjectId, Version) -> bool) {
        self.entries
            .retain(|&mut (object, version)| keep(object, version));
    }

    /// Adds all of `other`.
    ///
    /// ```
    /// use leap_core::{DependencySet, ObjectId, Version};
    ///
    /// let (hotel, flight) = (ObjectId::from_name("hotel"), ObjectId::from_name("flight"));
    /// let mut seen = DependencySet::from_iter([(hotel, Version(3))]);
    /// seen.merge(&DependencySet::from_iter([(hotel, Version(2)), (flight, Version(1))]));
    /// assert_eq!(seen, DependencySet::from_iter([(hotel, Version(3)), (flight, Version(1))]));
    /// ```
    pub fn merge(&mut self, other: &Self) {
        for (object, version) in other.iter() {
            self.insert(object, version);
        }
    }

    /// The dependencies in order of object.
    ///
    /// ```
    /// use leap_core::{DependencySet, ObjectId, Version};
    ///
    /// let (hotel, flight) = (ObjectId::from_name("hotel"), ObjectId::from_name("flight"));
    /// let seen = DependencySet::from_iter([(hotel, Version(3)), (flight, Version(1))]);
    /// assert_eq!(seen.iter().map(|(_object, version)| version).max(), Some(Version(3)));
    /// ```
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ObjectId, Version)> + '_ {
        self.entries.iter().copied()
    }

    /// How many objects the set depends on.
    ///
    /// ```
    /// use leap_core::{DependencySet, ObjectId, Version};
    ///
    /// let (hotel, flight) = (ObjectId::from_name("hotel"), ObjectId::from_name("flight"));
    /// let seen = DependencySet::from_iter([(hotel, Version(3)), (flight, Version(1))]);
    /// assert_eq!(seen.len(), 2);
    /// ```
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the set depends on nothing.
    ///
    /// ```
    /// assert!(leap_core::DependencySet::default().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets everything.
    ///
    /// ```
    /// use leap_core::{DependencySet, ObjectId, Version};
    ///
    /// let (hotel, flight) = (ObjectId::from_name("hotel"), ObjectId::from_name("flight"));
    /// let mut seen = DependencySet::from_iter([(hotel, Version(3)), (flight, Version(1))]);
    /// seen.clear();
    /// assert!(seen.is_empty());
    /// ```
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    fn position(&self, object: ObjectId) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&object, |&(o, _)| o)
    }
}

impl Serialize for DependencySet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.entries)
    }
}

impl<'de> Deserialize<'de> for DependencySet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = Vec::<(ObjectId, Version)>::deserialize(deserializer)?;
        if entries.is_sorted_by(|a, b| a.0 < b.0) {
            let entries = SmallVec::from_vec(entries);
            Ok(Self { entries })
        } else {
            Err(D::Error::custom("objects are not in ascending order"))
        }
    }
}

impl core::fmt::Debug for DependencySet {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl FromIterator<(ObjectId, Version)> for DependencySet {
    fn from_iter<I: IntoIterator<Item = (ObjectId, Version)>>(iter: I) -> Self {
        let mut set = Self::new();
        for (object, version) in iter {
            set.insert(object, version);
        }
        set
    }
}

/// What a message carries: the world-line it was sent in and the vertices it depends on. From a
/// state object that is its own vertex (rule P3); from an sthread its whole set (rule P15).
///
/// ```
/// use leap_core::{Header, ObjectId, Version, WorldLine};
/// let header = Header::of(WorldLine(3), ObjectId(7), Version(12));
/// assert_eq!(Header::decode(&header.encode()), Ok(header));
/// assert!(Header::decode(&[1, 3]).is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Header {
    /// World-line of the sender when it sent.
    pub world_line: WorldLine,
    /// Vertices (all in `world_line`) that whoever consumes the message comes to depend on.
    pub dependencies: DependencySet,
}

const FORMAT: Format = Format {
    what: "header",
    version: 1,
    limit: 64 * 1024,
};

impl Header {
    /// The header of a message that depends on one vertex.
    ///
    /// ```
    /// use leap_core::{Header, ObjectId, Version, WorldLine};
    ///
    /// let hotel = ObjectId::from_name("hotel");
    /// let header = Header::of(WorldLine(0), hotel, Version(3));
    /// assert_eq!(header.dependencies.version_of(hotel), Some(Version(3)));
    /// ```
    pub fn of(world_line: WorldLine, object: ObjectId, version: Version) -> Self {
        Self {
            world_line,
            dependencies: DependencySet {
                entries: smallvec![(object, version)],
            },
        }
    }

    /// The bytes that travel beside a message.
    ///
    /// ```
    /// use leap_core::{Header, ObjectId, Version, WorldLine};
    ///
    /// let header = Header::of(WorldLine(0), ObjectId::from_name("hotel"), Version(3));
    /// assert!(header.encode().len() < 20, "an object and two small numbers");
    /// ```
    pub fn encode(&self) -> Vec<u8> {
        FORMAT.encode(self)
    }

    /// Reads what [`Header::encode`] wrote.
    ///
    /// ```
    /// use leap_core::Header;
    ///
    /// let header = Header::default();
    /// assert_eq!(Header::decode(&header.encode()), Ok(header));
    /// assert!(Header::decode(b"anything").is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// Anything that is not exactly one header of this format version; see [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        FORMAT.decode(bytes)
    }
}
