//! Rollback decisions and the coordinator's log.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    encoding::{DecodeError, Format},
    header::DependencySet,
    id::{Incarnation, ObjectId, Version, WorldLine},
};

/// What survives one failure (rules P9, P10). It opens `world_line`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Decision {
    /// The world-line that the decision opens.
    pub world_line: WorldLine,
    /// The object whose failure is repaired.
    pub failed: ObjectId,
    /// The incarnation that takes its place; every older one is fenced.
    pub incarnation: Incarnation,
    /// For each object that loses something: the newest version that it keeps. Objects that are not
    /// named keep everything, volatile work included, and just rename themselves.
    pub cut: BTreeMap<ObjectId, Version>,
}

impl Decision {
    /// Whether the decision removes `version` of `object`.
    pub fn removes(&self, object: ObjectId, version: Version) -> bool {
        self.cut.get(&object).is_some_and(|&kept| version > kept)
    }

    /// Whether the decision removes anything that `dependencies` names.
    pub fn removes_any(&self, dependencies: &DependencySet) -> bool {
        // The cut is usually the smaller of the two.
        self.cut.iter().any(|(&object, &kept)| {
            dependencies
                .version_of(object)
                .is_some_and(|version| version > kept)
        })
    }
}

/// One entry of the coordinator's durable log: all that it ever writes (rule P11).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum LogRecord {
    /// `object` is a member from here on, in this incarnation, and nothing was lost with the last one.
    Joined {
        /// The member.
        object: ObjectId,
        /// Its life.
        incarnation: Incarnation,
    },
    /// `object` left with everything inside the boundary; its return is no failure.
    Left {
        /// The member.
        object: ObjectId,
        /// Its life that ended.
        incarnation: Incarnation,
        /// Its last version, committed.
        version: Version,
    },
    /// A rollback decision.
    Decided(Decision),
}

const FORMAT: Format = Format {
    what: "coordinator log record",
    version: 1,
    limit: 16 << 20,
};

impl LogRecord {
    /// The bytes to store.
    pub fn encode(&self) -> Vec<u8> {
        FORMAT.encode(self)
    }

    /// Reads what [`LogRecord::encode`] wrote.
    ///
    /// # Errors
    ///
    /// Anything that is not exactly one record of this format version.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        FORMAT.decode(bytes)
    }
}
