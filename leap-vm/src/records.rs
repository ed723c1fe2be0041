//! Frame records in the control memory: the guest's writing and reading, seen from the host.
//!
//! `memory` is all of it but the flag, which comes first and which other threads write at any time.
//! Addresses are the guest's.

use leap_instrument::abi::{control, kind, record, value_bytes};
use leap_instrument::{Stop, StopMap, StopPlace, ValType};

use crate::error::VmError;
use crate::references::misfit;
use crate::state::{FrameRecord, StopKind};

/// A record with its references still being places of the reference tables.
pub(crate) struct RawRecord {
    pub(crate) function: u32,
    pub(crate) stop: u32,
    pub(crate) kind: StopKind,
    pub(crate) values: Vec<RawValue>,
}

impl RawRecord {
    /// Its values that are references.
    pub(crate) fn references(&self) -> impl Iterator<Item = &RawValue> {
        self.values.iter().filter(|value| value.ty.is_reference())
    }

    pub(crate) fn references_mut(&mut self) -> impl Iterator<Item = &mut RawValue> {
        let values = self.values.iter_mut();
        values.filter(|value| value.ty.is_reference())
    }
}

/// The bits of a value, low ones first.
#[derive(Clone, Copy)]
pub(crate) struct RawValue {
    pub(crate) ty: ValType,
    pub(crate) bits: u128,
}

/// The first byte that is the host's to see.
pub(crate) const FIRST: u32 = control::SAVE;

fn place(address: u32) -> usize {
    (address - FIRST) as usize
}

/// A word of the control memory.
pub(crate) fn word(memory: &[u8], address: u32) -> u32 {
    let at = place(address);
    let bytes = memory.get(at..at + 4);
    bytes.map_or(0, |bytes| {
        u32::from_le_bytes(bytes.try_into().expect("four bytes"))
    })
}

pub(crate) fn set_word(memory: &mut [u8], address: u32, word: u32) {
    let at = place(address);
    memory[at..at + 4].copy_from_slice(&word.to_le_bytes());
}

/// Reads what an unwinding guest has written; gives the records outermost first.
pub(crate) fn read(
    memory: &[u8],
    stops: &StopMap,
    has_host_frame: bool,
) -> Result<Vec<RawRecord>, VmError> {
    let end = word(memory, control::SAVE);
    let mut records = Vec::new();
    let mut at = control::AREA;
    while at < end {
        let function = word(memory, at + record::FUNCTION);
        let stop = word(memory, at + record::STOP);
        let layout = stops
            .stop(function, stop)
            .ok_or_else(|| misfit("a frame record at an unknown stop"))?;
        // The innermost comes first.
        let kind = if records.is_empty() && !has_host_frame {
            StopKind::After
        } else {
            StopKind::InCall
        };
        let values = layout.layout().map(|(offset, ty)| RawValue {
            ty,
            bits: read_value(memory, at + offset, ty),
        });
        records.push(RawRecord {
            function,
            stop,
            kind,
            values: values.collect(),
        });
        at += layout.record_bytes();
    }
    records.reverse();
    Ok(records)
}

fn read_value(memory: &[u8], address: u32, ty: ValType) -> u128 {
    let length = value_bytes(ty) as usize;
    let mut bits = [0; 16];
    if let Some(bytes) = memory.get(place(address)..place(address) + length) {
        bits[..length].copy_from_slice(bytes);
    }
    u128::from_le_bytes(bits)
}

/// Writes records, outermost first, for continuations to read. Frames that save themselves put
/// their references behind the first `references` places.
pub(crate) fn write<'r>(
    memory: &mut [u8],
    records: impl Iterator<Item = (&'r RawRecord, &'r Stop)>,
    references: u32,
) -> Result<(), VmError> {
    let mut at = control::AREA;
    for (record, layout) in records {
        let end = at.saturating_add(layout.record_bytes());
        if place(end) > memory.len() {
            return Err(misfit("more frames than the control memory holds"));
        }
        set_word(memory, at + record::FUNCTION, record.function);
        set_word(memory, at + record::STOP, record.stop);
        let kind = match record.kind {
            StopKind::After => kind::AFTER,
            StopKind::InCall => kind::IN_CALL,
        };
        set_word(memory, at + record::KIND, kind);
        for ((offset, ty), value) in layout.layout().zip(&record.values) {
            let length = value_bytes(ty) as usize;
            let start = place(at + offset);
            memory[start..start + length].copy_from_slice(&value.bits.to_le_bytes()[..length]);
        }
        at = end;
    }
    ready(memory, references);
    Ok(())
}

/// Whether continuations have read every one of `records` that were written last.
pub(crate) fn are_all_read<'r>(memory: &[u8], records: impl Iterator<Item = &'r Stop>) -> bool {
    let end = records.fold(control::AREA, |at, layout| {
        at.saturating_add(layout.record_bytes())
    });
    word(memory, control::RESTORE) == end
}

/// Sets all words but the flag and the countdown to their values at the start. The first
/// `references` places of the reference tables are taken.
pub(crate) fn ready(memory: &mut [u8], references: u32) {
    set_word(memory, control::SAVE, control::AREA);
    set_word(memory, control::RESTORE, control::AREA);
    set_word(memory, control::RESUMED, 0);
    set_word(memory, control::REFERENCES, references);
}

/// Checks that frames can be a stack of the module: the outermost returns what is called for,
/// and each returns what the frame outside of it waits for.
pub(crate) fn validate(
    stops: &StopMap,
    frames: &[FrameRecord],
    has_host_frame: bool,
    results: &[ValType],
) -> Result<(), VmError> {
    let mut awaited = results;
    for (place, frame) in frames.iter().enumerate() {
        let function = stops
            .function(frame.function)
            .ok_or_else(|| misfit("a frame of a function without stops"))?;
        let stop = function
            .stops
            .get(frame.stop as usize)
            .ok_or_else(|| misfit("a frame at an unknown stop"))?;
        if function.results != awaited {
            return Err(misfit(
                "a frame with other results than its caller waits for",
            ));
        }
        let is_innermost = place + 1 == frames.len();
        let waits = frame.kind == StopKind::InCall;
        if waits != (!is_innermost || has_host_frame) {
            return Err(misfit("a stack that does not end where its frames say"));
        }
        if waits && stop.place != StopPlace::Call {
            return Err(misfit("a frame that waits where nothing is called"));
        }
        if stop.values().count() != frame.values.len() {
            return Err(misfit(
                "a frame with another number of values than its stop's",
            ));
        }
        awaited = &stop.results;
    }
    // With no frame at all, the host's function is called by tail calls alone.
    if frames.is_empty() && !has_host_frame {
        return Err(misfit("a stack without an innermost frame"));
    }
    Ok(())
}
