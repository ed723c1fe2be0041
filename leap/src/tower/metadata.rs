//! Headers of the protocol as headers of HTTP.
//!
//! An object's header stays the same until its version is sealed, and so does that of whoever has seen
//! nothing else: at thousands of messages per second most headers repeat one that was sent or received just
//! before. Each thread remembers the last of both, as the type and as what travels.

use std::cell::RefCell;

use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use leap_core::Header;
use tonic::metadata::MetadataMap;

use super::error::SpeculationError;

thread_local! {
    static LAST_SENT: RefCell<(Header, Option<HeaderValue>)> = RefCell::default();
    static LAST_RECEIVED: RefCell<(Header, Option<HeaderValue>)> = RefCell::default();
}

/// The current world-line, in a refusal.
pub(super) const WORLD_LINE: &str = "leap-world-line";

/// More than this is not sent in one HTTP header: common limits for all of them together begin at
/// 8 KiB. There is room for more than 200 objects.
const LONGEST_SENT_BYTES: usize = 4 << 10;

/// An object and a version take no more, and neither does the rest of a header.
const LONGEST_VERTEX_BYTES: usize = 2 * 10;

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

    const fn name(self) -> HeaderName {
        const GRPC: HeaderName = HeaderName::from_static("leap-header-bin");
        const PLAIN: HeaderName = HeaderName::from_static("leap-header");
        match self {
            Self::Grpc => GRPC,
            Self::Plain => PLAIN,
        }
    }

    /// Puts `header` into `headers`.
    pub(super) fn insert(self, header: &Header, headers: &mut HeaderMap) {
        headers.insert(self.name(), value_of(header));
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
        header_of(value).map(Some)
    }
}

/// What travels for `header`.
///
/// The first time it is kept out of HTTP/2's table of headers seen before, where most would only take the
/// place of others; one that is sent again is worth its place.
fn value_of(header: &Header) -> HeaderValue {
    LAST_SENT.with_borrow_mut(|(last, value)| {
        if let Some(value) = value.as_ref().filter(|_| last == header) {
            return value.clone();
        }
        let encoded = HeaderValue::try_from(BASE64.encode(header.encode()));
        let mut encoded = encoded.expect("base64 is ASCII");
        last.clone_from(header);
        *value = Some(encoded.clone());
        encoded.set_sensitive(true);
        encoded
    })
}

/// What has travelled as `value`.
fn header_of(value: &HeaderValue) -> Result<Header, SpeculationError> {
    LAST_RECEIVED.with_borrow_mut(|(header, last)| {
        if last.as_ref() == Some(value) {
            return Ok(header.clone());
        }
        let bytes = BASE64.decode(value);
        let bytes = bytes.map_err(|error| SpeculationError::Malformed {
            reason: error.to_string(),
        })?;
        *header = Header::decode(&bytes)?;
        *last = Some(value.clone());
        Ok(header.clone())
    })
}

/// The header of a gRPC message whose sender is inside, for services and clients without the layers; nothing
/// if the sender is outside.
///
/// ```
/// use leap::Header;
/// use leap::tower::{grpc_header, set_grpc_header};
///
/// let mut request = tonic::Request::new("a message");
/// assert_eq!(grpc_header(request.metadata())?, None);
/// set_grpc_header(request.metadata_mut(), &Header::default());
/// assert_eq!(grpc_header(request.metadata())?, Some(Header::default()));
/// # Ok::<_, leap::tower::SpeculationError>(())
/// ```
///
/// # Errors
///
/// [`SpeculationError::Malformed`].
pub fn grpc_header(metadata: &MetadataMap) -> Result<Option<Header>, SpeculationError> {
    Manner::Grpc.extract(metadata.as_ref())
}

/// Lets a gRPC message say what it depends on; see [`grpc_header`].
///
/// ```
/// # leap::testing::run_example(async {
/// use leap::tower::set_grpc_header;
///
/// # let host = leap::Host::builder().start().await?;
/// let mut sthread = host.sthread().await;
/// let mut request = tonic::Request::new("a message");
/// set_grpc_header(request.metadata_mut(), &sthread.header()?);
/// assert!(request.metadata().contains_key("leap-header-bin"));
/// # Ok(())
/// # });
/// ```
pub fn set_grpc_header(metadata: &mut MetadataMap, header: &Header) {
    Manner::Grpc.insert(header, metadata.as_mut());
}

/// Whether `header` is short enough to be sent.
pub(super) fn fits(header: &Header) -> bool {
    // Four characters for three bytes.
    let limit = LONGEST_SENT_BYTES / 4 * 3;
    LONGEST_VERTEX_BYTES * (header.dependencies.len() + 1) <= limit
        || header.encode().len() <= limit
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
    fn a_header_that_repeats_is_told_apart_from_the_next_one() {
        let header = |version| Header::of(WorldLine(1), ObjectId(7), Version(version));
        for version in [1, 1, 2, 2, 1] {
            let mut map = HeaderMap::new();
            Manner::Grpc.insert(&header(version), &mut map);
            assert_eq!(Manner::Grpc.extract(&map), Ok(Some(header(version))));
        }
    }

    #[test]
    fn only_what_repeats_may_take_a_place_in_the_table_of_http2() {
        let header = Header::of(WorldLine(1), ObjectId(9), Version(4));
        let is_sensitive = [(); 3].map(|()| value_of(&header).is_sensitive());
        assert_eq!(is_sensitive, [true, false, false]);
    }

    #[test]
    fn what_is_refused_is_refused_again() {
        let good = value_of(&Header::of(WorldLine(1), ObjectId(7), Version(2)));
        let bad = HeaderValue::from_static("AAAA");
        for value in [&good, &bad, &bad, &good] {
            assert_eq!(header_of(value).is_ok(), value == good);
        }
    }

    #[test]
    fn the_quick_look_at_a_headers_length_is_on_the_safe_side() {
        for objects in [0, 100, 150, 152, 153, 400] {
            let header = Header {
                world_line: WorldLine(u64::MAX),
                dependencies: (0..objects)
                    .map(|n| (ObjectId(u64::MAX - n), Version(u64::MAX)))
                    .collect(),
            };
            let length = header.encode().len();
            assert!(length <= LONGEST_VERTEX_BYTES * (objects as usize + 1));
            assert_eq!(fits(&header), length <= LONGEST_SENT_BYTES / 4 * 3);
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
