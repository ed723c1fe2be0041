//! Every decoder takes any bytes without panicking, and takes nothing that it could not have written.

use bolero::check;
use bytes::Bytes;

use super::batch::{self, Entry, Mark, Place};
use super::segment::{FileHeader, HEADER, ObjectHeader, Parent};
use super::{FORMAT, FormatError, PREFIX, checkpoint, identity, register};
use crate::Record;

const PLACE: Place = Place {
    incarnation: 3,
    sequence: 7,
    offset: HEADER as u64,
};

/// Puts a fitting checksum into what starts like one of ours, so that random bytes get past it.
fn resealed(bytes: &[u8], magic: &[u8; 8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.len() >= PREFIX {
        bytes[..8].copy_from_slice(magic);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        let (prefix, content) = bytes.split_at(PREFIX);
        let checksum = super::checksum(&prefix[..12], content);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    }
    bytes
}

/// A segment with a batch of this body, and a fitting checksum.
fn with_body(body: &[u8]) -> Bytes {
    let mut bytes = vec![0; HEADER];
    batch::encode_with(PLACE, &mut bytes, |out| out.extend_from_slice(body));
    bytes.into()
}

#[test]
fn fuzz_segment_headers() {
    check!().for_each(|bytes: &[u8]| {
        for bytes in [bytes.to_vec(), resealed(bytes, b"leapsegf")] {
            if let Ok(header) = FileHeader::decode(&bytes) {
                assert_eq!(header.encode(), bytes[..HEADER]);
            }
        }
    });
}

#[test]
fn fuzz_fences() {
    check!().for_each(|bytes: &[u8]| {
        for bytes in [bytes.to_vec(), resealed(bytes, b"leapsego")] {
            if let Ok(header) = ObjectHeader::decode(&bytes) {
                assert_eq!(header.encode()[16..40], bytes[16..40]);
            }
        }
    });
}

#[test]
fn fuzz_batches() {
    check!().for_each(|bytes: &[u8]| {
        let raw = [&[0; HEADER], bytes].concat().into();
        let _ = batch::scan(PLACE, &raw);
        if bytes.is_empty() {
            return;
        }
        let bytes = with_body(bytes);
        if let Ok(scan) = batch::scan(PLACE, &bytes) {
            let mut again = vec![0; HEADER];
            batch::encode(PLACE, &scan.entries, &mut again);
            assert_eq!(again, bytes[..scan.end]);
        }
    });
}

#[test]
fn fuzz_checkpoints() {
    check!().for_each(|bytes: &[u8]| {
        for bytes in [bytes.to_vec(), resealed(bytes, b"leapckpt")].map(Bytes::from) {
            if let Ok(image) = checkpoint::decode(&bytes) {
                assert_eq!(checkpoint::encode(image.version, &image.payload), bytes);
            }
        }
    });
}

#[test]
fn fuzz_registers() {
    check!().for_each(|bytes: &[u8]| {
        for bytes in [bytes.to_vec(), resealed(bytes, b"leapregi")].map(Bytes::from) {
            if let Ok((stamp, value)) = register::decode(&bytes) {
                assert_eq!(register::encode(stamp, &value), bytes);
            }
        }
    });
}

#[test]
fn fuzz_identities() {
    check!().for_each(|bytes: &[u8]| {
        for bytes in [bytes.to_vec(), resealed(bytes, b"leapiden")] {
            if let Ok(identity) = identity::decode(&bytes) {
                assert_eq!(identity::encode(identity), bytes);
            }
        }
    });
}

fn entries() -> Vec<Entry> {
    let record = |version, payload: &'static [u8]| {
        Entry::Record(Record {
            version,
            payload: payload.into(),
        })
    };
    vec![
        record(1, b""),
        record(2, b"btch"),
        Entry::Truncation { version: 1 },
        Entry::Checkpoint(Mark {
            version: 1,
            incarnation: 2,
            number: 3,
            base: 4,
        }),
    ]
}

#[test]
fn what_was_written_is_read() {
    let header = FileHeader {
        incarnation: 3,
        sequence: 7,
        parent: Some(Parent {
            incarnation: 2,
            length: 100,
        }),
    };
    let mut bytes = header.encode();
    batch::encode(PLACE, &entries(), &mut bytes);
    assert_eq!(FileHeader::decode(&bytes), Ok(header));
    let end = bytes.len();
    bytes.resize(end + 100, 0);
    let scan = batch::scan(PLACE, &bytes.into()).expect("it is good");
    assert_eq!((scan.entries, scan.end, scan.torn), (entries(), end, None));
}

#[test]
fn a_batch_counts_only_where_it_was_written() {
    let mut bytes = vec![0; HEADER];
    batch::encode(PLACE, &entries(), &mut bytes);
    for place in [
        Place {
            incarnation: 4,
            ..PLACE
        },
        Place {
            sequence: 8,
            ..PLACE
        },
    ] {
        let scan = batch::scan(place, &bytes.clone().into()).expect("no batch follows");
        assert!(scan.entries.is_empty() && scan.torn.is_some());
    }
    // A payload that holds a whole journal is no proof of a later batch, because it lies elsewhere.
    let held = Entry::Record(Record {
        version: 1,
        payload: bytes.into(),
    });
    let mut outer = vec![0; HEADER];
    batch::encode(PLACE, [&held], &mut outer);
    outer[HEADER + 20] ^= 1;
    let scan = batch::scan(PLACE, &outer.into()).expect("a torn tail");
    assert!(scan.entries.is_empty() && scan.torn.is_some());
}

#[test]
fn damage_before_a_later_batch_is_told_with_its_place() {
    let mut bytes = vec![0; HEADER];
    batch::encode(PLACE, &entries(), &mut bytes);
    let next = Place {
        offset: bytes.len() as u64,
        ..PLACE
    };
    batch::encode(next, &entries(), &mut bytes);
    bytes[HEADER + 17] ^= 1;
    let damaged = batch::scan(PLACE, &bytes.into());
    assert_eq!(
        damaged,
        Err(FormatError::Damaged {
            offset: HEADER as u64,
            reason: "a batch's checksum does not fit",
        })
    );
}
