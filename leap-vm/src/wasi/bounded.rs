//! Decoding of states that may come from anywhere.
//!
//! An image of a few kilobytes may hold a section of a gigabyte, and a byte of that can become
//! a string or a node of some two hundred bytes. So what is not the contents of files or strings,
//! which take as much memory as they are long, is limited.

use postcard::de_flavors::{Flavor, Slice};
use postcard::{Deserializer, Error, Result};
use serde::de::DeserializeOwned;

use crate::image::LONGEST_SECTION_BYTES;

/// Bytes of a state that are not within contents or strings: room for hundreds of thousands of files.
const STRUCTURE_BYTES_AT_MOST: usize = 1 << 24;

/// Whether `bytes`, an encoded value of this type, fit into an image and are decoded by [`decode`].
pub(crate) fn can_decode<T: DeserializeOwned>(bytes: &[u8]) -> bool {
    let is_small = bytes.len() <= STRUCTURE_BYTES_AT_MOST;
    is_small || bytes.len() as u64 <= LONGEST_SECTION_BYTES && decode::<T>(bytes).is_some()
}

/// Decodes all of `bytes`; none if they are no such value or its structure is too large.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let mut deserializer = Deserializer::from_flavor(Bounded {
        bytes: Slice::new(bytes),
        left: STRUCTURE_BYTES_AT_MOST,
    });
    let value = T::deserialize(&mut deserializer).ok()?;
    let rest = deserializer.finalize().ok()?;
    rest.is_empty().then_some(value)
}

/// A slice of which only so many bytes can be taken one by one.
struct Bounded<'de> {
    bytes: Slice<'de>,
    left: usize,
}

impl<'de> Flavor<'de> for Bounded<'de> {
    type Remainder = &'de [u8];
    type Source = &'de [u8];

    fn pop(&mut self) -> Result<u8> {
        self.left = self
            .left
            .checked_sub(1)
            .ok_or(Error::DeserializeUnexpectedEnd)?;
        self.bytes.pop()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.bytes.size_hint()?.min(self.left))
    }

    fn try_take_n(&mut self, count: usize) -> Result<&'de [u8]> {
        self.bytes.try_take_n(count)
    }

    fn finalize(self) -> Result<&'de [u8]> {
        self.bytes.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structure_is_limited_and_contents_are_not() {
        let many = vec![String::new(); STRUCTURE_BYTES_AT_MOST - 8];
        let encoded = postcard::to_stdvec(&many).expect("it can be encoded");
        assert_eq!(decode(&encoded), Some(many));
        let too_many = vec![0; STRUCTURE_BYTES_AT_MOST + 8];
        // As many empty strings, and their number in front.
        let mut encoded = postcard::to_stdvec(&too_many.len()).expect("it can be encoded");
        encoded.extend(too_many);
        assert_eq!(decode::<Vec<String>>(&encoded), None);
        let long = "x".repeat(STRUCTURE_BYTES_AT_MOST + 8);
        let encoded = postcard::to_stdvec(&long).expect("it can be encoded");
        assert_eq!(decode(&encoded), Some(long));
    }

    #[test]
    fn what_is_behind_the_value_is_refused() {
        assert_eq!(decode::<u8>(&[7]), Some(7));
        assert_eq!(decode::<u8>(&[7, 0]), None);
        assert_eq!(decode::<u8>(&[]), None);
    }
}
