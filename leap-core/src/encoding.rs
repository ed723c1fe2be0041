//! The one way in which this crate's types become bytes and come back.
//!
//! ```text
//! byte 0      format version of the thing that follows
//! byte 1..    postcard (variable-length integers, fields in declaration order)
//! ```
//!
//! Decoding never panics, refuses what is left over at the end, and allocates in proportion to the
//! input (a claimed count alone reserves 1 MiB at most). What no honest sender writes, such as an
//! impossible counter or an unsorted set, is refused by the type that it would break, so that every
//! decoder refuses it. An encoding is *not* unique (a variable-length integer may be padded): compare
//! values, never bytes.

use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

/// Why bytes from outside were refused.
///
/// ```
/// use leap_core::{DecodeError, Header};
///
/// assert_eq!(Header::decode(&[]), Err(DecodeError::Empty { what: "header" }));
/// assert!(matches!(Header::decode(&[99, 0]), Err(DecodeError::UnknownVersion { found: 99, .. })));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Nothing there at all.
    #[error("{what} is empty")]
    Empty {
        /// What was being decoded.
        what: &'static str,
    },
    /// Written by a newer release (or not ours).
    #[error("{what} has format version {found}, this release reads {supported}")]
    UnknownVersion {
        /// What was being decoded.
        what: &'static str,
        /// The version byte found.
        found: u8,
        /// The version this release writes and reads.
        supported: u8,
    },
    /// Longer than anything honest.
    #[error("{what} has {length} bytes, at most {limit} are accepted")]
    TooLong {
        /// What was being decoded.
        what: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Truncated, overlong or otherwise not an encoding.
    #[error("{what} is malformed: {reason}")]
    Malformed {
        /// What was being decoded.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

/// Name, format version and size limit of one encoded thing.
pub(crate) struct Format {
    pub(crate) what: &'static str,
    pub(crate) version: u8,
    pub(crate) limit: usize,
}

impl Format {
    pub(crate) fn encode<T: Serialize>(&self, value: &T) -> Vec<u8> {
        postcard::to_extend(value, vec![self.version])
            .expect("plain data in memory always has an encoding")
    }

    pub(crate) fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, DecodeError> {
        let what = self.what;
        if bytes.len() > self.limit {
            return Err(DecodeError::TooLong {
                what,
                length: bytes.len(),
                limit: self.limit,
            });
        }
        let (&version, body) = bytes.split_first().ok_or(DecodeError::Empty { what })?;
        if version != self.version {
            return Err(DecodeError::UnknownVersion {
                what,
                found: version,
                supported: self.version,
            });
        }
        let (value, rest) =
            postcard::take_from_bytes(body).map_err(|error| self.malformed(error))?;
        if rest.is_empty() {
            Ok(value)
        } else {
            Err(self.malformed(format_args!("{} bytes left over", rest.len())))
        }
    }

    fn malformed(&self, reason: impl core::fmt::Display) -> DecodeError {
        DecodeError::Malformed {
            what: self.what,
            reason: reason.to_string(),
        }
    }
}
