//! Services: machines whose handlers other objects, workflows and the outside world call by name.

use bytes::Bytes;
use leap_core::ObjectId;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::journaled::Action;

/// A deterministic state that changes only by applying recorded changes.
///
/// Handlers look at the state and record changes ([`Action::record`]); the journal holds the changes,
/// and recovery applies them again to the last checkpoint. So `apply` must do the same every time:
/// no clock, no randomness, no I/O. The state is serialised whole for a checkpoint.
pub trait Machine: Serialize + DeserializeOwned + Default + Send + 'static {
    /// What is recorded.
    type Change: Serialize + DeserializeOwned;

    /// Changes the state.
    fn apply(&mut self, change: Self::Change);
}

/// A machine with handlers. The attribute [`macro@crate::service`] writes this from an `impl` block.
pub trait Service: Machine {
    /// Runs the handler called `method` as part of `action` and gives its encoded result.
    ///
    /// # Errors
    ///
    /// [`CallError`] if there is no such handler or `body` is not what it takes. The state is unchanged
    /// then.
    fn call(action: &mut Action<'_, Self>, method: &str, body: &[u8]) -> Result<Bytes, CallError> {
        let _ = (action, body);
        Err(CallError::NoSuchMethod { method: method.to_owned() })
    }

    /// Takes in the answer to a call that an earlier action made ([`Action::call`]).
    fn handle_reply(action: &mut Action<'_, Self>, from: ObjectId, call: u64, reply: Result<Bytes, CallError>) {
        let _ = action;
        tracing::warn!(%from, call, ?reply, "nobody waits for this reply");
    }
}

/// Why a call has no result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum CallError {
    /// The object has no such handler.
    #[error("there is no handler called {method:?}")]
    NoSuchMethod {
        /// The handler's name.
        method: String,
    },
    /// The body is not what the handler takes.
    #[error("{method:?} does not understand its request: {reason}")]
    BadRequest {
        /// The handler's name.
        method: String,
        /// What is wrong.
        reason: String,
    },
    /// Nobody hosts an object of this name.
    #[error("there is no object called {object:?}")]
    NoSuchObject {
        /// The object's name.
        object: String,
    },
    /// The object cannot answer now; try again.
    #[error("{object:?} is not available: {reason}")]
    Unavailable {
        /// The object's name.
        object: String,
        /// Why.
        reason: String,
    },
    /// The answer is not what the caller expected.
    #[error("the reply of {method:?} cannot be read: {reason}")]
    BadReply {
        /// The handler's name.
        method: String,
        /// What is wrong.
        reason: String,
    },
}

/// What travels on channels between services.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Envelope {
    /// Run a handler and answer.
    Request { call: u64, method: String, body: Bytes },
    /// The answer.
    Reply { call: u64, reply: Result<Bytes, CallError> },
    /// Run a handler; nobody wants to know.
    Tell { method: String, body: Bytes },
}

impl Envelope {
    pub(crate) fn encode(&self) -> Bytes {
        postcard::to_extend(self, Vec::with_capacity(64)).expect("plain data has an encoding").into()
    }
}

/// A request's arguments, decoded (JSON).
///
/// # Errors
///
/// [`CallError::BadRequest`].
pub fn decode_request<T: DeserializeOwned>(method: &str, body: &[u8]) -> Result<T, CallError> {
    // No body at all is the unit value, so that `curl -X POST` is enough for handlers without argument.
    let body = if body.is_empty() { b"null" } else { body };
    serde_json::from_slice(body)
        .map_err(|error| CallError::BadRequest { method: method.to_owned(), reason: error.to_string() })
}

/// A result or request, encoded (JSON).
///
/// # Panics
///
/// If the type cannot be written as JSON, such as a map whose keys are not strings: a mistake in the
/// type's definition.
pub fn encode_value<T: Serialize>(value: &T) -> Bytes {
    serde_json::to_vec(value).expect("requests and results can be written as JSON").into()
}

/// A reply, decoded (JSON).
///
/// # Errors
///
/// [`CallError::BadReply`].
pub fn decode_reply<T: DeserializeOwned>(method: &str, reply: &[u8]) -> Result<T, CallError> {
    serde_json::from_slice(reply)
        .map_err(|error| CallError::BadReply { method: method.to_owned(), reason: error.to_string() })
}
