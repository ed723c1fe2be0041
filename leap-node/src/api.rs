//! The HTTP API: status and calls, for people, scripts and other languages.

use std::sync::{Arc, OnceLock};

use axum::Json;
use axum::Router;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use bytes::Bytes;
use leap::{Call, CallError, Host, MAX_IDEMPOTENCY_KEY_BYTES, RemoveError, WeakHost};
use serde::Serialize;

/// The largest request body in bytes.
const MAX_BODY_BYTES: usize = 4 << 20;

/// What there is, for whoever asks for something else.
const ROUTES: &str =
    "GET /health, GET /status, POST /call/{object}/{handler}, DELETE /members/{object}";

/// Two calls of one handler with the same value of this header have the effect of one.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The routes, and the host behind them as soon as there is one: a host is given its routes before
/// it starts, and lives no longer for having them.
#[derive(Clone, Default)]
pub(crate) struct Api {
    host: Arc<OnceLock<WeakHost>>,
}

impl Api {
    pub(crate) fn routes(&self) -> Router {
        Router::new()
            .route("/health", get(|| async { "ok\n" }))
            .route("/status", get(status))
            .route("/call/{object}/{method}", post(call))
            .route("/members/{object}", delete(remove))
            .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
            .fallback(async |uri: Uri| ApiError::NoSuchRoute(uri.path().to_owned()))
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .with_state(self.clone())
    }

    pub(crate) fn serve(&self, host: &Host) {
        // Set once, right after the start.
        let _ = self.host.set(host.downgrade());
    }

    fn host(&self) -> Result<Host, ApiError> {
        self.host
            .get()
            .and_then(WeakHost::upgrade)
            .ok_or(ApiError::NotServing)
    }
}

async fn status(State(api): State<Api>) -> Result<Response, ApiError> {
    Ok(Json(api.host()?.status().await).into_response())
}

async fn call(
    State(api): State<Api>,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let Path((object, method)) = path?;
    let key = idempotency_key(&headers)?;
    let reply = Call::call(&api.host()?, &object, &method, body?, key).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], reply).into_response())
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let (Some(key), another) = (keys.next(), keys.next()) else {
        return Ok(None);
    };
    // Callers that forgot to fill theirs in would all have the same, and of two nobody knows which one counts.
    let fits = |key: &&str| (1..=MAX_IDEMPOTENCY_KEY_BYTES).contains(&key.len());
    let key = key.to_str().ok().filter(fits).filter(|_| another.is_none());
    key.map(Some).ok_or(ApiError::BadKey)
}

async fn remove(
    State(api): State<Api>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let Path(object) = path?;
    api.host()?.remove(&object).await?;
    Ok(Json(serde_json::json!({ "removed": object })).into_response())
}

/// What goes wrong, by the reaction it calls for.
#[derive(Debug, thiserror::Error)]
enum ApiError {
    #[error("the node is starting or stopping")]
    NotServing,
    #[error("there is nothing at {0}")]
    NoSuchRoute(String),
    #[error("this path takes another method")]
    MethodNotAllowed,
    #[error(transparent)]
    BadPath(#[from] PathRejection),
    #[error(transparent)]
    BadBody(#[from] BytesRejection),
    #[error("the idempotency key is empty, not plain ASCII, too long, or not the only one")]
    BadKey,
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Remove(#[from] RemoveError),
}

#[derive(Serialize)]
struct ErrorBody {
    error: &'static str,
    message: String,
    hint: &'static str,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, error, hint) = match &self {
            Self::NotServing
            | Self::Call(CallError::Unavailable { .. } | CallError::Unreachable { .. }) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "try again in a moment",
            ),
            Self::NoSuchRoute(_) => (StatusCode::NOT_FOUND, "no_such_route", ROUTES),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", ROUTES)
            }
            Self::BadBody(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                "a request's body has 4 MiB at most",
            ),
            Self::BadPath(_) | Self::BadBody(_) => (
                StatusCode::BAD_REQUEST,
                "bad_request",
                "the path is UTF-8, percent-encoded; the body as long as it says",
            ),
            Self::BadKey => (
                StatusCode::BAD_REQUEST,
                "bad_request",
                "an idempotency-key is one text of visible ASCII, 256 bytes at most",
            ),
            Self::Call(CallError::NoSuchObject { .. }) => (
                StatusCode::NOT_FOUND,
                "no_such_object",
                "GET /status lists the objects",
            ),
            Self::Remove(RemoveError::NoMember) => (
                StatusCode::NOT_FOUND,
                "no_such_member",
                "GET /status lists the members",
            ),
            Self::Remove(RemoveError::InDoubt) => (
                StatusCode::BAD_GATEWAY,
                "in_doubt",
                "ask again where the coordinator runs next; to remove twice does no harm",
            ),
            Self::Remove(_) => (
                StatusCode::CONFLICT,
                "not_removed",
                "GET /status shows how the cluster is",
            ),
            Self::Call(CallError::NoSuchMethod { .. }) => (
                StatusCode::NOT_FOUND,
                "no_such_method",
                "see the service's documentation for its handlers",
            ),
            Self::Call(CallError::BadRequest { .. }) => (
                StatusCode::BAD_REQUEST,
                "bad_request",
                "the body is the handler's argument as JSON",
            ),
            Self::Call(CallError::InDoubt { .. }) => (
                StatusCode::BAD_GATEWAY,
                "in_doubt",
                "it may have happened; try again with the same idempotency-key, if it had one",
            ),
            Self::Call(CallError::Timeout { .. }) => (
                StatusCode::GATEWAY_TIMEOUT,
                "timeout",
                "it may have happened or still happen; try again with the same idempotency-key, if it had one",
            ),
            Self::Call(CallError::Failed { .. }) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "failed",
                "the handler panicked; see the service's log",
            ),
            Self::Call(CallError::BadReply { .. }) => (
                StatusCode::BAD_GATEWAY,
                "bad_reply",
                "caller and service seem to be of different releases",
            ),
        };
        (
            status,
            Json(ErrorBody {
                error,
                message: self.to_string(),
                hint,
            }),
        )
            .into_response()
    }
}
