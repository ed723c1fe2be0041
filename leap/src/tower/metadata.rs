//! Headers of the protocol as headers of HTTP.

use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use leap_core::Header;

use super::error::SpeculationError;

/// The current world-line, in a refusal.
pub(super) const WORLD_LINE: &str = "leap-world-line";

/// More than this is not sent in one HTTP header: common limits for all of them together begin at
/// 8 KiB. There is room for more than 200 objects.
const LONGEST_SENT_BYTES: usize = 4 << 10;

/// As gRPC prescribes for binary metadata: padding is not written, and accepted.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The two ways to speak over HTTP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Manner {
    Grpc,
    Plain,
}

impl Manner {
    /// How a request with `headers` speaks.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let content_type = headers.get(header::CONTENT_TYPE);
        if content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc")) {
            Self::Grpc
        } else {
            Self::Plain
        }
    }

    fn name(self) -> HeaderName {
        HeaderName::from_static(match self {
            Self::Grpc => "leap-header-bin",
            Self::Plain => "leap-header",
        })
    }

    /// Puts `header` into `headers`.
    pub(super) fn insert(self, header: &Header, headers: &mut HeaderMap) {
        let value = HeaderValue::try_from(BASE64.encode(header.encode()));
        let mut value = value.expect("base64 is ASCII");
        // It is different in almost every message: in HTTP/2's table of headers seen before it would
        // only take the place of others.
        value.set_sensitive(true);
        headers.insert(self.name(), value);
    }

    /// The header in `headers`, if there is one.
    pub(super) fn extract(self, headers: &HeaderMap) -> Result<Option<Header>, SpeculationError> {
        let malformed = |reason: String| SpeculationError::Malformed { reason };
        let mut values = headers.get_all(self.name()).into_iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(malformed("there is more than one".to_owned()));
        }
        let bytes = BASE64
            .decode(value)
            .map_err(|error| malformed(error.to_string()))?;
        Ok(Some(Header::decode(&bytes)?))
    }
}

/// Whether `header` is short enough to be sent.
pub(super) fn fits(header: &Header) -> bool {
    // Four characters for three bytes.
    header.encode().len() <= LONGEST_SENT_BYTES / 4 * 3
}

#[cfg(test)]
mod tests {
    use leap_core::{ObjectId, Version, WorldLine};

    use super::*;

    fn headers(name: &str, values: &[&[u8]]) -> HeaderMap {
        let name = HeaderName::try_from(name).unwrap();
        let values = values
            .iter()
            .filter_map(|value| HeaderValue::from_bytes(value).ok());
        values.map(|value| (name.clone(), value)).collect()
    }

    #[test]
    fn a_header_comes_back_with_or_without_padding() {
        for dependencies in 0..4 {
            let header = Header {
                world_line: WorldLine(7),
                dependencies: (0..dependencies)
                    .map(|n| (ObjectId(n), Version(n + 1)))
                    .collect(),
            };
            for manner in [Manner::Grpc, Manner::Plain] {
                let mut map = HeaderMap::new();
                manner.insert(&header, &mut map);
                assert_eq!(manner.extract(&map), Ok(Some(header.clone())));
                let padded = base64::prelude::BASE64_STANDARD.encode(header.encode());
                let map = headers(manner.name().as_str(), &[padded.as_bytes()]);
                assert_eq!(manner.extract(&map), Ok(Some(header.clone())));
            }
        }
    }

    #[test]
    fn no_header_is_no_error_and_two_are() {
        assert_eq!(Manner::Plain.extract(&HeaderMap::new()), Ok(None));
        let mut map = HeaderMap::new();
        Manner::Plain.insert(&Header::default(), &mut map);
        // The other kind's name says nothing here.
        assert_eq!(Manner::Grpc.extract(&map), Ok(None));
        let value = map["leap-header"].as_bytes().to_vec();
        let twice = headers("leap-header", &[&value, &value]);
        assert!(matches!(
            Manner::Plain.extract(&twice),
            Err(SpeculationError::Malformed { .. })
        ));
    }

    #[test]
    fn extracting_from_anything_never_panics() {
        bolero::check!().for_each(|bytes: &[u8]| {
            let encoded = BASE64.encode(bytes);
            for value in [bytes, encoded.as_bytes()] {
                let map = headers("leap-header", &[value]);
                if let Ok(Some(header)) = Manner::Plain.extract(&map) {
                    assert_eq!(Header::decode(&header.encode()), Ok(header));
                }
            }
        });
    }
}
