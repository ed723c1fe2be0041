//! Bytes that people can read where they are text.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Any bytes. In a format for people (JSON) they are a string where they are UTF-8, and otherwise
/// `{"hex": "…"}`; in any other format they are bytes.
///
/// ```
/// use leap_services::Payload;
///
/// let text = Payload::from("room 7");
/// assert_eq!(serde_json::to_string(&text)?, r#""room 7""#);
/// let bytes = Payload::from(vec![0xff, 0x00]);
/// assert_eq!(serde_json::to_string(&bytes)?, r#"{"hex":"ff00"}"#);
/// assert_eq!(serde_json::from_str::<Payload>(r#"{"hex":"ff00"}"#)?, bytes);
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Payload(Bytes);

impl Payload {
    /// The bytes.
    ///
    /// ```
    /// use leap_services::Payload;
    ///
    /// assert_eq!(Payload::from("room 7").into_bytes(), "room 7");
    /// ```
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<String> for Payload {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&str> for Payload {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_bytes(&self.0);
        }
        if let Ok(text) = std::str::from_utf8(&self.0) {
            return serializer.serialize_str(text);
        }
        let mut map = serializer.serialize_map(Some(1))?;
        let hex: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        map.serialize_entry("hex", &hex)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(Readable)
        } else {
            Bytes::deserialize(deserializer).map(Self)
        }
    }
}

struct Readable;

impl<'de> Visitor<'de> for Readable {
    type Value = Payload;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, or {\"hex\": \"…\"}")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Payload, E> {
        Ok(text.into())
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Payload, E> {
        Ok(text.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Payload, A::Error> {
        let (key, hex) = map
            .next_entry::<String, String>()?
            .ok_or_else(|| de::Error::invalid_length(0, &"one entry"))?;
        if key != "hex" || map.next_key::<String>()?.is_some() {
            return Err(de::Error::custom("the only entry is \"hex\""));
        }
        let bytes = bytes_of(&hex)
            .ok_or_else(|| de::Error::custom("two hexadecimal digits for each byte"))?;
        Ok(bytes.into())
    }
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = hex.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits?;
    let bytes = digits.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(high << 4 | low).ok(),
        _ => None,
    });
    bytes.collect()
}
