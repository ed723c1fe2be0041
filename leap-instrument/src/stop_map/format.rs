//! The stop map as bytes. Little-endian; numbers are unsigned LEB128 unless a width is given.
//!
//! ```text
//!   magic      8 bytes   "leapstop"
//!   format     u32       1
//!   checksum   u32       CRC-32C of magic, format and all that follows
//!   module     32 bytes  SHA-256 of the original module
//!   start                0, or 1 + index of the start function
//!   functions            how many; then of each:
//!     function           index
//!     results            types
//!     stops              how many; then of each:
//!       offset           in the original module
//!       place    u8      0 call, 1 loop, 2 tail call
//!       results          types
//!       locals           how many; of each: index, type
//!       operands         types
//!
//!   types: how many, then a byte of each, as in Wasm (0x7f i32 ... 0x69 exnref)
//! ```

use super::{FunctionStops, Stop, StopMap};
use crate::hash::ModuleHash;
use crate::plan::StopPlace;
use crate::types::ValType;

const MAGIC: &[u8; 8] = b"leapstop";
const VERSION: u32 = 1;

/// Bytes before the checksum.
const HEAD: usize = MAGIC.len() + size_of::<u32>();

fn checksum(head: &[u8], content: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(head), content)
}

/// Why bytes are no stop map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StopMapError {
    /// They do not begin like one.
    #[error("not a stop map")]
    Magic,
    /// They were written by a newer Leap.
    #[error("the stop map has format version {version}; versions up to {VERSION} can be read")]
    Version {
        /// The version found.
        version: u32,
    },
    /// They were changed or cut off.
    #[error("the stop map is damaged at byte {offset}")]
    Damaged {
        /// Where reading failed.
        offset: usize,
    },
}

impl StopMap {
    /// The map as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(self.module.as_bytes());
        number(&mut out, self.start.map_or(0, |start| u64::from(start) + 1));
        number(&mut out, self.functions.len() as u64);
        for function in &self.functions {
            function.encode(&mut out);
        }
        let checksum = checksum(&out[..HEAD], &out[HEAD..]);
        out.splice(HEAD..HEAD, checksum.to_le_bytes());
        out
    }

    /// Reads a map.
    ///
    /// # Errors
    ///
    /// [`StopMapError`], for any bytes that [`Self::encode`] did not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, StopMapError> {
        let mut reader = Reader { bytes, at: 0 };
        if reader.take(MAGIC.len()).ok() != Some(MAGIC) {
            return Err(StopMapError::Magic);
        }
        let version = u32::from_le_bytes(reader.array()?);
        if version != VERSION {
            return Err(StopMapError::Version { version });
        }
        let expected = u32::from_le_bytes(reader.array()?);
        if checksum(&bytes[..HEAD], &bytes[reader.at..]) != expected {
            return Err(reader.damaged());
        }
        let map = Self {
            module: ModuleHash::from_bytes(reader.array()?),
            start: match reader.number()? {
                0 => None,
                start => Some(start - 1),
            },
            functions: reader.list(FunctionStops::decode)?,
        };
        let ascending = map.functions.is_sorted_by(|a, b| a.function < b.function);
        if reader.at != bytes.len() || !ascending {
            return Err(reader.damaged());
        }
        Ok(map)
    }
}

impl FunctionStops {
    fn encode(&self, out: &mut Vec<u8>) {
        number(out, u64::from(self.function));
        types(out, &self.results);
        number(out, self.stops.len() as u64);
        for stop in &self.stops {
            stop.encode(out);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, StopMapError> {
        Ok(Self {
            function: reader.number()?,
            results: reader.list(Reader::ty)?,
            stops: reader.list(Stop::decode)?,
        })
    }
}

impl Stop {
    fn encode(&self, out: &mut Vec<u8>) {
        number(out, u64::from(self.offset));
        out.push(match self.place {
            StopPlace::Call => 0,
            StopPlace::Loop => 1,
            StopPlace::TailCall => 2,
        });
        types(out, &self.results);
        number(out, self.locals.len() as u64);
        for &(local, ty) in &self.locals {
            number(out, u64::from(local));
            out.push(type_byte(ty));
        }
        types(out, &self.operands);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, StopMapError> {
        Ok(Self {
            offset: reader.number()?,
            place: match reader.byte()? {
                0 => StopPlace::Call,
                1 => StopPlace::Loop,
                2 => StopPlace::TailCall,
                _ => return Err(reader.damaged()),
            },
            results: reader.list(Reader::ty)?,
            locals: reader.list(|reader| Ok((reader.number()?, reader.ty()?)))?,
            operands: reader.list(Reader::ty)?,
        })
    }
}

fn number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn types(out: &mut Vec<u8>, types: &[ValType]) {
    number(out, types.len() as u64);
    out.extend(types.iter().map(|&ty| type_byte(ty)));
}

fn type_byte(ty: ValType) -> u8 {
    match ty {
        ValType::I32 => 0x7f,
        ValType::I64 => 0x7e,
        ValType::F32 => 0x7d,
        ValType::F64 => 0x7c,
        ValType::V128 => 0x7b,
        ValType::FuncRef => 0x70,
        ValType::ExternRef => 0x6f,
        ValType::ExnRef => 0x69,
    }
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    fn damaged(&self) -> StopMapError {
        StopMapError::Damaged { offset: self.at }
    }

    fn take(&mut self, count: usize) -> Result<&'b [u8], StopMapError> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..count).ok_or(self.damaged())?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StopMapError> {
        let damaged = self.damaged();
        self.take(N)?.try_into().map_err(|_| damaged)
    }

    fn byte(&mut self) -> Result<u8, StopMapError> {
        Ok(self.array::<1>()?[0])
    }

    fn number(&mut self) -> Result<u32, StopMapError> {
        let mut number = 0_u64;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(number).map_err(|_| self.damaged());
            }
        }
        Err(self.damaged())
    }

    fn ty(&mut self) -> Result<ValType, StopMapError> {
        let byte = self.byte()?;
        let found = ValType::ALL.into_iter().find(|&ty| type_byte(ty) == byte);
        found.ok_or(self.damaged())
    }

    /// Reads a number and so many items. Each takes a byte or more, so a count that is a lie
    /// ends the reading before it costs memory.
    fn list<T>(
        &mut self,
        item: impl Fn(&mut Self) -> Result<T, StopMapError>,
    ) -> Result<Vec<T>, StopMapError> {
        let count = self.number()?;
        (0..count).map(|_| item(self)).collect()
    }
}
