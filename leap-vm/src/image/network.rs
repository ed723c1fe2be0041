//! A captured process in network form: the same bytes whatever machine it was captured on.
//!
//! ```text
//! captured   module[32] entry stage:u8 frames host memories globals tables dropped dropped exceptions
//! entry      name values
//! frame      function:u32 stop:u32 kind:u8 values        kind 0 after, 1 in call
//! host       0 | 1 module name state
//! memory     pages:u64 page_bytes:u64
//! table      references
//! exception  tag:u32 values
//! value      0 i32:u32 | 1 i64:u64 | 2 f32:u32 | 3 f64:u64 | 4 v128:u128 | reference
//! reference  5 | 6 function:u32 | 7 exception:u32
//! ```
//!
//! Numbers are big-endian; names, states and everything in the plural begin with a u32 count.

use leap_instrument::ModuleHash;

use super::error::ImageError;
use super::wire::{Decoder, Encoder};
use crate::state::{
    Captured, Entry, Exception, FrameRecord, HostFrame, MemoryShape, Reference, Stage, StopKind,
    TableState, Value,
};

pub(super) fn encode(captured: &Captured) -> Vec<u8> {
    let mut out = Encoder::default();
    out.raw(captured.module.as_bytes());
    out.bytes(captured.entry.name.as_bytes());
    encode_values(&mut out, &captured.entry.arguments);
    out.u8(match captured.stage {
        Stage::Start => 0,
        Stage::Entry => 1,
    });
    out.count(captured.frames.len());
    for frame in &captured.frames {
        encode_frame(&mut out, frame);
    }
    encode_host(&mut out, captured.host.as_ref());
    out.count(captured.memories.len());
    for memory in &captured.memories {
        out.u64(memory.pages);
        out.u64(memory.page_bytes);
    }
    encode_values(&mut out, &captured.globals);
    out.count(captured.tables.len());
    for table in &captured.tables {
        out.count(table.elements.len());
        for &element in &table.elements {
            encode_reference(&mut out, element);
        }
    }
    for dropped in [&captured.dropped_data, &captured.dropped_elements] {
        out.count(dropped.len());
        for &segment in dropped {
            out.u32(segment);
        }
    }
    out.count(captured.exceptions.len());
    for exception in &captured.exceptions {
        out.u32(exception.tag);
        encode_values(&mut out, &exception.fields);
    }
    out.finish()
}

fn encode_frame(out: &mut Encoder, frame: &FrameRecord) {
    out.u32(frame.function);
    out.u32(frame.stop);
    out.u8(match frame.kind {
        StopKind::After => 0,
        StopKind::InCall => 1,
    });
    encode_values(out, &frame.values);
}

fn encode_host(out: &mut Encoder, host: Option<&HostFrame>) {
    out.u8(host.is_some().into());
    if let Some(HostFrame {
        module,
        name,
        state,
    }) = host
    {
        for part in [module.as_bytes(), name.as_bytes(), state] {
            out.bytes(part);
        }
    }
}

fn encode_values(out: &mut Encoder, values: &[Value]) {
    out.count(values.len());
    for &value in values {
        match value {
            Value::I32(value) => {
                out.u8(0);
                out.u32(value.cast_unsigned());
            }
            Value::I64(value) => {
                out.u8(1);
                out.u64(value.cast_unsigned());
            }
            Value::F32(bits) => {
                out.u8(2);
                out.u32(bits);
            }
            Value::F64(bits) => {
                out.u8(3);
                out.u64(bits);
            }
            Value::V128(bits) => {
                out.u8(4);
                out.u128(bits);
            }
            Value::Reference(reference) => encode_reference(out, reference),
        }
    }
}

fn encode_reference(out: &mut Encoder, reference: Reference) {
    match reference {
        Reference::Null => out.u8(5),
        Reference::Function(function) => {
            out.u8(6);
            out.u32(function);
        }
        Reference::Exception(exception) => {
            out.u8(7);
            out.u32(exception);
        }
    }
}

pub(super) fn decode(bytes: &[u8]) -> Result<Captured, ImageError> {
    let mut from = Decoder::new(bytes, "process state");
    let captured = Captured {
        module: ModuleHash::from_bytes(from.array()?),
        entry: Entry {
            name: from.string()?,
            arguments: from.many(decode_value)?,
        },
        stage: match from.u8()? {
            0 => Stage::Start,
            1 => Stage::Entry,
            _ => return Err(from.damaged()),
        },
        frames: from.many(decode_frame)?,
        host: match from.u8()? {
            0 => None,
            1 => Some(HostFrame {
                module: from.string()?,
                name: from.string()?,
                state: from.bytes()?.to_vec(),
            }),
            _ => return Err(from.damaged()),
        },
        memories: from.many(|from| {
            Ok(MemoryShape {
                pages: from.u64()?,
                page_bytes: from.u64()?,
            })
        })?,
        globals: from.many(decode_value)?,
        tables: from.many(|from| {
            let elements = from.many(decode_reference)?;
            Ok(TableState { elements })
        })?,
        dropped_data: from.many(Decoder::u32)?,
        dropped_elements: from.many(Decoder::u32)?,
        exceptions: from.many(|from| {
            Ok(Exception {
                tag: from.u32()?,
                fields: from.many(decode_value)?,
            })
        })?,
    };
    from.finish()?;
    Ok(captured)
}

fn decode_frame(from: &mut Decoder<'_>) -> Result<FrameRecord, ImageError> {
    Ok(FrameRecord {
        function: from.u32()?,
        stop: from.u32()?,
        kind: match from.u8()? {
            0 => StopKind::After,
            1 => StopKind::InCall,
            _ => return Err(from.damaged()),
        },
        values: from.many(decode_value)?,
    })
}

fn decode_value(from: &mut Decoder<'_>) -> Result<Value, ImageError> {
    Ok(match from.u8()? {
        0 => Value::I32(from.u32()?.cast_signed()),
        1 => Value::I64(from.u64()?.cast_signed()),
        2 => Value::F32(from.u32()?),
        3 => Value::F64(from.u64()?),
        4 => Value::V128(from.u128()?),
        tag => Value::Reference(reference(from, tag)?),
    })
}

fn decode_reference(from: &mut Decoder<'_>) -> Result<Reference, ImageError> {
    let tag = from.u8()?;
    reference(from, tag)
}

fn reference(from: &mut Decoder<'_>, tag: u8) -> Result<Reference, ImageError> {
    match tag {
        5 => Ok(Reference::Null),
        6 => Ok(Reference::Function(from.u32()?)),
        7 => Ok(Reference::Exception(from.u32()?)),
        _ => Err(from.damaged()),
    }
}
