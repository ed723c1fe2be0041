//! Carries calls to other processes, and errors back.
//!
//! A [`CallError`] travels as a gRPC status whose code says how to react, for clients of any language,
//! with the error itself as JSON in the metadata `leap-error-bin`, for ours.

use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::net::TcpStream;
use tonic::body::Body;
use tonic::metadata::MetadataValue;

use super::ClientError;
use crate::service::CallError;
use crate::transport::proto::leap_client::LeapClient;
use crate::transport::proto::{CallReply, CallRequest};
use crate::transport::{InProcess, MAX_FRAME_BYTES, Network};

use bytes::Bytes;

const ERROR: &str = "leap-error-bin";

/// Set on a call that a node passes on, so that two nodes that disagree do not play ball with it.
const FORWARDED: &str = "leap-forwarded";

/// The way to call objects of other processes. Clones share connections.
#[derive(Clone, Debug)]
pub(crate) enum Remote {
    Grpc(Box<legacy::Client<HttpConnector, Body>>),
    InProcess { hub: InProcess, local: String },
}

impl Remote {
    pub(crate) fn grpc() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = legacy::Client::builder(TokioExecutor::new())
            .http2_only(true)
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .build(connector);
        Self::Grpc(Box::new(client))
    }

    /// The same network that frames take.
    pub(crate) fn of(network: &Network) -> Self {
        match network {
            Network::Grpc => Self::grpc(),
            Network::InProcess { hub, local } => Self::InProcess {
                hub: hub.clone(),
                local: local.clone(),
            },
        }
    }

    /// Calls an object through the node at `address`.
    pub(crate) async fn call(
        &self,
        address: &str,
        request: CallRequest,
        forwarded: bool,
    ) -> Result<Bytes, CallError> {
        let CallRequest { object, method, .. } = &request;
        let (object, method) = (object.clone(), method.clone());
        if request.body.len() > MAX_FRAME_BYTES {
            let reason = format!(
                "{} bytes are more than the limit of {MAX_FRAME_BYTES}",
                request.body.len()
            );
            return Err(CallError::BadRequest { method, reason });
        }
        let mut request = tonic::Request::new(request);
        if forwarded {
            request
                .metadata_mut()
                .insert(FORWARDED, MetadataValue::from_static("1"));
        }
        let reply = match self {
            Self::Grpc(client) => call_grpc(client, address, request).await,
            Self::InProcess { hub, local } => {
                hub.call(local, address, request, unreachable_status).await
            }
        };
        reply
            .map(|reply| reply.into_inner().body)
            .map_err(|status| error_of(&status, address, &object))
    }
}

async fn call_grpc(
    client: &legacy::Client<HttpConnector, Body>,
    address: &str,
    request: tonic::Request<CallRequest>,
) -> Result<tonic::Response<CallReply>, tonic::Status> {
    let origin = address
        .parse()
        .map_err(|error| unreachable_status(&format!("{address:?} is not an address: {error}")))?;
    LeapClient::with_origin(client.clone(), origin)
        .max_decoding_message_size(MAX_FRAME_BYTES)
        .call(request)
        .await
}

/// Whether another node has passed this call on to us.
pub(crate) fn is_forwarded(request: &tonic::Request<CallRequest>) -> bool {
    request.metadata().contains_key(FORWARDED)
}

/// Makes sure that somebody listens at `url`.
pub(super) async fn check(url: &str) -> Result<(), ClientError> {
    let refuse = |reason: String| ClientError::Address {
        url: url.to_owned(),
        reason,
    };
    let uri: http::Uri = url
        .parse()
        .map_err(|error: http::uri::InvalidUri| refuse(error.to_string()))?;
    let authority = match (uri.scheme_str(), uri.authority(), uri.port_u16()) {
        (Some("http"), Some(authority), Some(_)) => authority.as_str(),
        _ => return Err(refuse("it is written http://host:port".to_owned())),
    };
    let reached = TcpStream::connect(authority).await;
    reached.map(drop).map_err(|error| ClientError::Unreachable {
        url: url.to_owned(),
        reason: error.to_string(),
    })
}

/// A status that says that the call was never sent.
pub(crate) fn unreachable_status(reason: &str) -> tonic::Status {
    status_of(&CallError::Unreachable {
        address: String::new(),
        reason: reason.to_owned(),
    })
}

/// What goes over the wire in place of a reply.
pub(crate) fn status_of(error: &CallError) -> tonic::Status {
    let code = match error {
        CallError::NoSuchMethod { .. } => tonic::Code::Unimplemented,
        CallError::BadRequest { .. } => tonic::Code::InvalidArgument,
        CallError::NoSuchObject { .. } => tonic::Code::NotFound,
        CallError::Unavailable { .. } | CallError::Unreachable { .. } => tonic::Code::Unavailable,
        CallError::InDoubt { .. } => tonic::Code::Unknown,
        CallError::Timeout { .. } => tonic::Code::DeadlineExceeded,
        CallError::Failed { .. } | CallError::BadReply { .. } => tonic::Code::Internal,
    };
    let mut status = tonic::Status::new(code, error.to_string());
    let encoded = serde_json::to_vec(error).expect("an error is plain data");
    status
        .metadata_mut()
        .insert_bin(ERROR, MetadataValue::from_bytes(&encoded));
    status
}

/// What a status says about the call.
fn error_of(status: &tonic::Status, address: &str, object: &str) -> CallError {
    let told = status
        .metadata()
        .get_bin(ERROR)
        .and_then(|value| value.to_bytes().ok());
    let told = told.and_then(|encoded| serde_json::from_slice(&encoded).ok());
    match told {
        Some(CallError::Unreachable { reason, .. }) => CallError::Unreachable {
            address: address.to_owned(),
            reason,
        },
        Some(error) => error,
        None if was_never_sent(status) => CallError::Unreachable {
            address: address.to_owned(),
            reason: crate::error_chain(status),
        },
        None => CallError::InDoubt {
            object: object.to_owned(),
            reason: crate::error_chain(status),
        },
    }
}

fn was_never_sent(status: &tonic::Status) -> bool {
    let source = std::error::Error::source(status);
    let source = source.and_then(|source| source.downcast_ref::<legacy::Error>());
    source.is_some_and(legacy::Error::is_connect)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};
    use tonic::metadata::MetadataMap;

    use super::*;

    fn told(encoded: &[u8]) -> tonic::Status {
        let mut status = tonic::Status::unknown("told by a node");
        let value = MetadataValue::from_bytes(encoded);
        status.metadata_mut().insert_bin(ERROR, value);
        status
    }

    fn errors() -> [CallError; 9] {
        let text = String::new;
        [
            CallError::NoSuchMethod { method: text() },
            CallError::BadRequest {
                method: text(),
                reason: text(),
            },
            CallError::NoSuchObject { object: text() },
            CallError::Unavailable {
                object: text(),
                reason: text(),
            },
            CallError::BadReply {
                method: text(),
                reason: text(),
            },
            CallError::Unreachable {
                address: "address".to_owned(),
                reason: text(),
            },
            CallError::InDoubt {
                object: text(),
                reason: text(),
            },
            CallError::Timeout {
                object: text(),
                waited_ms: 7,
            },
            CallError::Failed {
                method: text(),
                reason: text(),
            },
        ]
    }

    #[test]
    fn an_error_comes_back_as_it_was() {
        for error in errors() {
            assert_eq!(error_of(&status_of(&error), "address", "object"), error);
        }
    }

    #[test]
    fn a_status_that_says_anything_is_an_error_like_any_other() {
        bolero::check!()
            .with_type::<(u8, u8, u8, Vec<u8>)>()
            .for_each(|(error, at, byte, any)| {
                // What cannot be read tells nothing, and then the call may have happened.
                let doubtful = |status: &tonic::Status| {
                    let error = error_of(status, "address", "object");
                    matches!(error, CallError::InDoubt { .. })
                };
                assert!(doubtful(&told(any)) || serde_json::from_slice::<CallError>(any).is_ok());
                // Almost right: one byte is another.
                let errors = errors();
                let error = &errors[usize::from(*error) % errors.len()];
                let mut encoded = serde_json::to_vec(error).unwrap();
                let at = usize::from(*at) % encoded.len();
                encoded[at] = *byte;
                error_of(&told(&encoded), "address", "object");
                assert!(doubtful(&told(&encoded[..at])));
                // Not even what binary metadata is written in.
                if let Ok(value) = HeaderValue::from_bytes(any) {
                    let headers = HeaderMap::from_iter([(ERROR.parse().unwrap(), value)]);
                    let mut status = tonic::Status::unknown("told by a node");
                    *status.metadata_mut() = MetadataMap::from_headers(headers);
                    error_of(&status, "address", "object");
                }
            });
    }
}
