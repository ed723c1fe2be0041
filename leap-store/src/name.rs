//! Names of state objects and registers as file names and object keys.
//!
//! Names are arbitrary strings of users. Letters, digits, `-`, `_` and inner dots stand for themselves; every other
//! byte becomes `=XX`. Capital letters are encoded too, so that two names never meet on a file system that folds case.
//! The encoding has exactly one form per name, holds no separator, is never empty, `.` or `..`, and can be read back.

use crate::StoreError;

/// What an encoded name may take: file names are limited to 255 bytes, and some room is kept for suffixes.
const LIMIT: usize = 240;

/// Encodes a name.
pub(crate) fn encode(name: &str) -> Result<String, StoreError> {
    let mut encoded = String::with_capacity(name.len());
    for (position, byte) in name.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => encoded.push(byte as char),
            b'.' if position > 0 && position + 1 < name.len() => encoded.push('.'),
            _ => encoded.push_str(&format!("={byte:02X}")),
        }
    }
    if encoded.is_empty() {
        encoded.push('=');
    }
    if encoded.len() > LIMIT {
        return Err(StoreError::NameTooLong {
            name: name.to_owned(),
            bytes: encoded.len(),
            limit: LIMIT,
        });
    }
    Ok(encoded)
}

/// Reads an encoded name back; `None` for what [`encode`] did not write.
pub(crate) fn decode(encoded: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'=' if encoded.len() == 1 => {}
            b'=' => {
                let digits = [rest.next()?, rest.next()?];
                let digits = std::str::from_utf8(&digits).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
            }
            byte => bytes.push(byte),
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    (encode(&name).ok()? == encoded).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_round_trip_and_cannot_leave_their_folder() {
        for name in [
            "", ".", "..", "a.b", "hotel/7", "Hotel", "hotel", "=", "ä ö", "\0", "a\\b", "-",
            "a%2F",
        ] {
            let encoded = encode(name).expect("short names have an encoding");
            assert!(!encoded.is_empty() && !encoded.contains(['/', '\\', '\0']) && encoded != "..");
            assert!(!encoded.starts_with('.'));
            assert_eq!(decode(&encoded).as_deref(), Some(name));
        }
        assert!(encode(&"ä".repeat(100)).is_err());
        assert_eq!(decode("Upper"), None, "only the one form is read back");
        assert_eq!(decode("=2"), None);
    }
}
