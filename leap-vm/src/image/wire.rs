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

/// Reads them back; `what` names the section in errors.
#[derive(Debug)]
pub(super) struct Decoder<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
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
    /// us reserve more than the section has.
    pub(super) fn many<T>(
        &mut self,
        mut part: impl FnMut(&mut Self) -> Result<T, ImageError>,
    ) -> Result<Vec<T>, ImageError> {
        let count = self.u32()? as usize;
        if count > self.rest.len() {
            return Err(self.damaged());
        }
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
