//! Why a speculative message is not consumed, and how that is said over gRPC and HTTP.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use leap_core::{DecodeError, RolledBack, WorldLine};
use tonic::{Code, Status};

use super::metadata::WORLD_LINE;
use crate::{BarrierError, ReceiveError, Stopped};

/// Why a speculative request or response is not consumed.
///
/// Handlers can return it, as the error of an axum handler or (by `?`) as a [`tonic::Status`]. A
/// [`ClientLayer`](super::ClientLayer) fails calls with it; for gRPC calls it is the source of the status.
///
/// ```
/// use leap::WorldLine;
/// use leap::tower::SpeculationError;
///
/// let refused = tonic::Status::from(SpeculationError::WorldLineOver { current: WorldLine(3) });
/// assert_eq!(refused.code(), tonic::Code::Aborted);
/// // What a caller needs to send it again:
/// assert_eq!(refused.metadata().get("leap-world-line").unwrap(), "3");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpeculationError {
    /// The message has a header that is not one.
    #[error("the speculation header is refused: {reason}")]
    Malformed {
        /// What is wrong with it.
        reason: String,
    },
    /// The message's world-line is over: send it again from the current one (rule P5).
    #[error("the message's world-line is over, the current one is {current}")]
    WorldLineOver {
        /// The current world-line.
        current: WorldLine,
    },
    /// What the sthread has seen is lost; start over with a new one.
    #[error(transparent)]
    RolledBack(#[from] RolledBack),
    /// This host does not know the message's world-line yet, or not even the coordinator.
    #[error("this host did not catch up with the message within {} ms", waited.as_millis())]
    NotReady {
        /// How long was waited.
        waited: Duration,
    },
    /// An object that the request needs has stopped.
    #[error("an object has stopped: {0}")]
    Stopped(Stopped),
    /// What the answer to the outside world depended on was rolled back (rule P8). Doing it again is safe.
    #[error("what the answer depended on was rolled back; try again")]
    Unreleased,
}

impl SpeculationError {
    fn code(&self) -> (Code, StatusCode) {
        match self {
            Self::Malformed { .. } => (Code::InvalidArgument, StatusCode::BAD_REQUEST),
            Self::WorldLineOver { .. } | Self::RolledBack(_) => {
                (Code::Aborted, StatusCode::CONFLICT)
            }
            Self::NotReady { .. } | Self::Stopped(_) | Self::Unreleased => {
                (Code::Unavailable, StatusCode::SERVICE_UNAVAILABLE)
            }
        }
    }

    /// The current world-line, for a sender that is not in it.
    fn current(&self) -> Option<WorldLine> {
        match self {
            Self::WorldLineOver { current } => Some(*current),
            Self::RolledBack(rolled_back) => Some(rolled_back.world_line),
            _ => None,
        }
    }
}

impl From<DecodeError> for SpeculationError {
    fn from(error: DecodeError) -> Self {
        let reason = error.to_string();
        Self::Malformed { reason }
    }
}

impl From<BarrierError> for SpeculationError {
    fn from(error: BarrierError) -> Self {
        match error {
            BarrierError::RolledBack(rolled_back) => Self::RolledBack(rolled_back),
            BarrierError::HostGone => Self::Stopped(Stopped::HostGone),
        }
    }
}

impl From<ReceiveError> for SpeculationError {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::WorldLineOver { current } => Self::WorldLineOver { current },
            ReceiveError::RolledBack(rolled_back) => Self::RolledBack(rolled_back),
            ReceiveError::Stopped(stopped) => Self::Stopped(stopped),
        }
    }
}

impl From<SpeculationError> for Status {
    fn from(error: SpeculationError) -> Self {
        let mut status = Self::new(error.code().0, error.to_string());
        if let Some(WorldLine(current)) = error.current() {
            status.metadata_mut().insert(WORLD_LINE, current.into());
        }
        status.set_source(std::sync::Arc::new(error));
        status
    }
}

impl IntoResponse for SpeculationError {
    fn into_response(self) -> Response {
        let mut response = (self.code().1, self.to_string()).into_response();
        let headers = response.headers_mut();
        if let Some(WorldLine(current)) = self.current() {
            headers.insert(WORLD_LINE, current.into());
        }
        if self == Self::Unreleased {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("0"));
        }
        response
    }
}
