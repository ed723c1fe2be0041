//! Numbers and strings as images have them: big-endian, lengths first.

use super::error::ImageError;

/// Writes the parts of a section one after the other.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    pub(super) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn u128(&mut self, value: u128) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// Bytes whose number the reader knows.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// How many there are of what follows.
    pub(super) fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).expect("nothing that is captured has 2^32 parts"));
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.raw(bytes);
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// What is read from a section takes no more than this: a section of a gigabyte may be a few
/// kilobytes in the file, and one byte of it a value of 32.
const MOST_DECODED_BYTES: usize = 1 << 30;

/// So many bytes never become more than that.
pub(super) const ALWAYS_DECODED_BYTES: usize = MOST_DECODED_BYTES / 32;

/// Reads them back; `what` names the section in errors.
#[derive(Debug)]
pub(super) struct Decoder<'a> {
    rest: &'a [u8],
    what: &'static str,
    /// Bytes that what is still to be read may take.
    room: usize,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self {
            rest: bytes,
            what,
            room: MOST_DECODED_BYTES,
        }
    }

    pub(super) fn damaged(&self) -> ImageError {
        ImageError::Damaged { what: self.what }
    }

    pub(super) fn raw(&mut self, len: usize) -> Result<&'a [u8], ImageError> {
        let (bytes, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or_else(|| self.damaged())?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ImageError> {
        Ok(self.raw(N)?.try_into().expect("that many were taken"))
    }

    pub(super) fn u8(&mut self) -> Result<u8, ImageError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u32(&mut self) -> Result<u32, ImageError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, ImageError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    pub(super) fn u128(&mut self) -> Result<u128, ImageError> {
        Ok(u128::from_be_bytes(self.array()?))
    }

    /// As many parts as a count says, each of which takes at least one byte: so no count makes
    /// us reserve more than there is room for.
    pub(super) fn many<T>(
        &mut self,
        mut part: impl FnMut(&mut Self) -> Result<T, ImageError>,
    ) -> Result<Vec<T>, ImageError> {
        let count = self.u32()? as usize;
        let room = self.room.checked_sub(count.saturating_mul(size_of::<T>()));
        self.room = room
            .filter(|_| count <= self.rest.len())
            .ok_or_else(|| self.damaged())?;
        (0..count).map(|_| part(self)).collect()
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], ImageError> {
        let len = self.u32()? as usize;
        self.raw(len)
    }

    pub(super) fn string(&mut self) -> Result<String, ImageError> {
        let bytes = self.bytes()?.to_vec();
        String::from_utf8(bytes).map_err(|_| self.damaged())
    }

    /// Nothing may be left over.
    pub(super) fn finish(self) -> Result<(), ImageError> {
        match self.rest {
            [] => Ok(()),
            _ => Err(self.damaged()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts that are read of `count`, and whether that was well.
    fn read<T>(bytes: &[u8], part: fn(&mut Decoder<'_>) -> Result<T, ImageError>) -> (usize, bool) {
        let mut parts = 0;
        let read = Decoder::new(bytes, "test").many(|from| {
            parts += 1;
            part(from)
        });
        (parts, read.is_ok())
    }

    #[test]
    fn nothing_is_read_of_more_than_there_is_room_for() {
        let mut bytes = vec![0; 4 + 3000];
        bytes[..4].copy_from_slice(&3000_u32.to_be_bytes());
        let small = |from: &mut Decoder<'_>| from.u8();
        assert_eq!(read(&bytes, small), (3000, true));
        let large = |from: &mut Decoder<'_>| from.u8().map(|byte| [byte; 400_000]);
        assert_eq!(read(&bytes, large), (0, false));
        bytes[..4].copy_from_slice(&3001_u32.to_be_bytes());
        assert_eq!(read(&bytes, small), (0, false));
    }
}
