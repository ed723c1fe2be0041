//! The guest's memory, as a function of the interface reads and writes it.
//!
//! Every address comes from the guest and is checked: what lies outside is [`Errno::Fault`]. All
//! access is by ordinary loads and stores; no system call ever gets an address in here.

use super::abi::{Errno, size};

/// The guest's memory for the length of one call.
pub(crate) struct Guest<'a> {
    bytes: &'a mut [u8],
}

impl<'a> Guest<'a> {
    pub(crate) fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes }
    }

    /// The `len` bytes at `at`.
    pub(crate) fn slice(&self, at: u32, len: u32) -> Result<&[u8], Errno> {
        self.bytes
            .get(at as usize..at as usize + len as usize)
            .ok_or(Errno::Fault)
    }

    /// The `len` bytes at `at`, to write.
    pub(crate) fn slice_mut(&mut self, at: u32, len: u32) -> Result<&mut [u8], Errno> {
        self.bytes
            .get_mut(at as usize..at as usize + len as usize)
            .ok_or(Errno::Fault)
    }

    /// A string, which must be UTF-8 without zero bytes.
    pub(crate) fn string(&self, at: u32, len: u32) -> Result<&str, Errno> {
        let text = std::str::from_utf8(self.slice(at, len)?).map_err(|_| Errno::Ilseq)?;
        if text.contains('\0') {
            return Err(Errno::Inval);
        }
        Ok(text)
    }

    pub(crate) fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), Errno> {
        let len = u32::try_from(bytes.len()).map_err(|_| Errno::Fault)?;
        self.slice_mut(at, len)?.copy_from_slice(bytes);
        Ok(())
    }

    pub(crate) fn write_u32(&mut self, at: u32, value: u32) -> Result<(), Errno> {
        self.write(at, &value.to_le_bytes())
    }

    pub(crate) fn write_u64(&mut self, at: u32, value: u64) -> Result<(), Errno> {
        self.write(at, &value.to_le_bytes())
    }

    /// The places and lengths that `count` vectors at `at` name, each within the memory.
    pub(crate) fn io_vectors(&self, at: u32, count: u32) -> Result<Vec<(u32, u32)>, Errno> {
        let len = count.checked_mul(size::IO_VECTOR).ok_or(Errno::Fault)?;
        let vectors = self.slice(at, len)?;
        let vectors = vectors
            .chunks_exact(size::IO_VECTOR as usize)
            .map(|vector| {
                let (at, len) = (le_u32(&vector[..4]), le_u32(&vector[4..]));
                self.slice(at, len).map(|_| (at, len))
            });
        vectors.collect()
    }
}

/// The number in the first four bytes.
pub(crate) fn le_u32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes[..4].try_into().expect("four bytes"))
}

/// The number in the first eight bytes.
pub(crate) fn le_u64(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"))
}
