//! Services: machines whose handlers other objects, workflows and the outside world call by name.

use bytes::Bytes;
use leap_core::ObjectId;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::journaled::{Action, Journaled};
use crate::object::Object;

/// A deterministic state that changes only by applying recorded changes.
///
/// Handlers look at the state and record changes ([`Action::record`]); the journal holds the changes,
/// and recovery applies them again to the last checkpoint. So `apply` must do the same every time:
/// no clock, no randomness, no I/O. The state is serialised whole for a checkpoint.
///
/// ```
/// use leap::Machine;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Default, Serialize, Deserialize)]
/// struct Account {
///     cents: i64,
/// }
///
/// #[derive(Serialize, Deserialize)]
/// enum Change {
///     Deposited(i64),
///     Emptied,
/// }
///
/// impl Machine for Account {
///     type Change = Change;
///
///     fn apply(&mut self, change: Change) {
///         match change {
///             Change::Deposited(cents) => self.cents += cents,
///             Change::Emptied => self.cents = 0,
///         }
///     }
/// }
/// ```
pub trait Machine: Serialize + DeserializeOwned + Default + Send + 'static {
    /// What is recorded.
    type Change: Serialize + DeserializeOwned;

    /// Changes the state.
    ///
    /// ```
    /// use leap::Machine;
    /// use leap::testing::Counter;
    ///
    /// let mut counter = Counter(1);
    /// counter.apply(2); // recovery does this for each recorded change
    /// assert_eq!(counter, Counter(3));
    /// ```
    fn apply(&mut self, change: Self::Change);
}

/// A machine with handlers. The attribute [`macro@crate::service`] writes this from an `impl` block; by
/// hand it looks like this:
///
/// ```
/// # use bytes::Bytes;
/// use leap::{Action, CallError, Host, Machine, Service, decode_reply, decode_request, encode_value};
///
/// #[derive(Default, serde::Serialize, serde::Deserialize)]
/// struct Counter(u64);
///
/// impl Machine for Counter {
///     type Change = u64;
///     fn apply(&mut self, by: u64) {
///         self.0 += by;
///     }
/// }
///
/// impl Service for Counter {
///     fn call(action: &mut Action<'_, Self>, method: &str, body: &[u8]) -> Result<Bytes, CallError> {
///         match method {
///             "add" => {
///                 action.record(decode_request(method, body)?);
///                 Ok(encode_value(&action.0))
///             }
///             _ => Err(CallError::no_such_method(method)),
///         }
///     }
/// }
///
/// # leap::testing::run_example(async {
/// let host = Host::builder().start().await?;
/// host.add::<Counter>("counter").await?;
/// let reply = host.call("counter", "add", encode_value(&7)).await?;
/// assert_eq!(decode_reply("add", &reply), Ok(7));
/// # Ok(())
/// # });
/// ```
pub trait Service: Machine {
    /// Runs the handler called `method` as part of `action` and gives its encoded result.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::testing::Counter;
    /// use leap::{CallError, Service};
    ///
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let reply = counter.change(|action| Counter::call(action, "add", b"5")).await?;
    /// assert_eq!(reply?, "5");
    /// let refused = counter.change(|action| Counter::call(action, "multiply", b"5")).await?;
    /// assert_eq!(refused, Err(CallError::no_such_method("multiply")));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`CallError`] if there is no such handler or `body` is not what it takes. The state is unchanged
    /// then.
    fn call(action: &mut Action<'_, Self>, method: &str, body: &[u8]) -> Result<Bytes, CallError> {
        let _ = (action, body);
        Err(CallError::no_such_method(method))
    }

    /// Whether the handler called `method` only looks at the state. Such a handler is answered by
    /// [`Service::query`]; called from outside it is no action, so the object seals nothing for it (rule P2).
    ///
    /// ```
    /// use leap::Service;
    /// use leap::testing::Counter;
    ///
    /// assert!(Counter::is_query("get"));
    /// assert!(!Counter::is_query("add"));
    /// ```
    fn is_query(method: &str) -> bool {
        let _ = method;
        false
    }

    /// Runs the handler called `method`, which only looks.
    ///
    /// ```
    /// use leap::Service;
    /// use leap::testing::Counter;
    ///
    /// assert_eq!(Counter(7).query("get", b"")?, "7");
    /// # Ok::<_, leap::CallError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Service::call`].
    fn query(&self, method: &str, body: &[u8]) -> Result<Bytes, CallError> {
        let _ = body;
        Err(CallError::no_such_method(method))
    }

    /// Takes in the answer to a call that an earlier action made ([`Action::call`]).
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::{Action, Bytes, CallError, Machine, ObjectId, Service};
    ///
    /// #[derive(Default, serde::Serialize, serde::Deserialize)]
    /// struct Trip {
    ///     is_booked: bool,
    /// }
    ///
    /// impl Machine for Trip {
    ///     type Change = bool;
    ///     fn apply(&mut self, is_booked: bool) {
    ///         self.is_booked = is_booked;
    ///     }
    /// }
    ///
    /// impl Service for Trip {
    ///     fn handle_reply(
    ///         action: &mut Action<'_, Self>,
    ///         _hotel: ObjectId,
    ///         _call: u64,
    ///         reply: Result<Bytes, CallError>,
    ///     ) {
    ///         action.record(reply.is_ok());
    ///     }
    /// }
    ///
    /// # let host = leap::Host::builder().start().await?;
    /// let trip = host.add::<Trip>("trip").await?;
    /// // The runtime does this when the answer arrives.
    /// let hotel = ObjectId::from_name("hotel");
    /// trip.change(|trip| Trip::handle_reply(trip, hotel, 1, Ok(Bytes::new()))).await?;
    /// assert!(trip.view_released(|trip| trip.is_booked).await?);
    /// # Ok(())
    /// # });
    /// ```
    fn handle_reply(
        action: &mut Action<'_, Self>,
        from: ObjectId,
        call: u64,
        reply: Result<Bytes, CallError>,
    ) {
        let _ = action;
        tracing::warn!(%from, call, ?reply, "nobody waits for this reply");
    }

    /// Answers a call from outside, by default with [`Object::call_released`]. A service that answers
    /// later than its action ends says so here; whatever it gives must be released (rule P8;
    /// [`Object::view_released`], [`Action::output`]).
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::testing::Counter;
    /// use leap::{Service, encode_value};
    ///
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// // As a host does for a call that comes from outside.
    /// assert_eq!(Counter::answer(&counter, "add", encode_value(&5)).await?, "5");
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Service::call`]; [`CallError::Unavailable`] if the object has stopped.
    fn answer(
        object: &Object<Journaled<Self>>,
        method: &str,
        body: Bytes,
    ) -> impl Future<Output = Result<Bytes, CallError>> + Send {
        async move { object.call_released(method, &body).await }
    }

    /// Answers a call from outside that carries an idempotency key. By default runs [`Service::call`]
    /// and records the reply together with the change ([`Action::once`]); a handler that only looks, or
    /// that `call` does not know, is left to [`Service::answer`].
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::testing::Counter;
    /// use leap::{Service, encode_value};
    ///
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// for _attempt in 0..2 {
    ///     let reply = Counter::answer_once(&counter, "add", encode_value(&5), "order 17");
    ///     assert_eq!(reply.await?, "5");
    /// }
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Service::answer`].
    fn answer_once(
        object: &Object<Journaled<Self>>,
        method: &str,
        body: Bytes,
        idempotency_key: &str,
    ) -> impl Future<Output = Result<Bytes, CallError>> + Send {
        async move {
            if Self::is_query(method) {
                return Self::answer(object, method, body).await;
            }
            let once = |action: &mut Action<'_, Self>| {
                action.once(method, idempotency_key, |action| {
                    Self::call(action, method, &body)
                })
            };
            match object.change_released(once).await? {
                Err(CallError::NoSuchMethod { .. }) => Self::answer(object, method, body).await,
                reply => reply,
            }
        }
    }
}

/// Why a call has no result.
///
/// ```
/// # leap::testing::run_example(async {
/// use leap::{CallError, ObjectClient};
///
/// # let host = leap::Host::builder().start().await?;
/// # host.sthread().await;
/// let counter = ObjectClient::new(&host, "counter");
/// match counter.call::<u64>("add", &1).await {
///     Ok(sum) => println!("the sum is {sum}"),
///     Err(CallError::NoSuchObject { object }) => println!("{object} was never hosted"),
///     Err(error) if error.may_have_happened() => println!("find out whether: {error}"),
///     Err(error) if error.is_temporary() => println!("try again: {error}"),
///     Err(error) => println!("do not try again: {error}"),
/// }
/// # Ok(())
/// # });
/// ```
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
    /// The object cannot answer now, and nothing has happened: try again.
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
    /// No node could be reached, and nothing has happened: try again.
    #[error("the node at {address} cannot be reached: {reason}")]
    Unreachable {
        /// Where.
        address: String,
        /// Why.
        reason: String,
    },
    /// The call may or may not have happened: the answer was lost. Try again with the same idempotency
    /// key, if the call had one, or find out.
    #[error("nobody knows whether {object:?} executed the call: {reason}")]
    InDoubt {
        /// The object's name.
        object: String,
        /// What happened to the answer.
        reason: String,
    },
    /// No answer in time; the call may or may not have happened, or still happen.
    #[error("{object:?} did not answer within {waited_ms} ms")]
    Timeout {
        /// The object's name.
        object: String,
        /// How long was waited, in milliseconds.
        waited_ms: u64,
    },
    /// The handler panicked. Whatever it did is thrown away; it would fail again.
    #[error("{method:?} failed: {reason}")]
    Failed {
        /// The handler's name.
        method: String,
        /// What it said.
        reason: String,
    },
}

impl CallError {
    /// The object has no handler called `method`.
    ///
    /// ```
    /// use leap::CallError;
    ///
    /// let refused = CallError::no_such_method("multiply");
    /// assert_eq!(refused.to_string(), r#"there is no handler called "multiply""#);
    /// ```
    pub fn no_such_method(method: impl Into<String>) -> Self {
        Self::NoSuchMethod {
            method: method.into(),
        }
    }

    /// The object called `object` cannot answer now, and nothing has happened.
    ///
    /// ```
    /// use leap::CallError;
    ///
    /// let closed = CallError::unavailable("hotel", "it opens at 9");
    /// assert_eq!(closed.to_string(), r#""hotel" is not available: it opens at 9"#);
    /// ```
    pub fn unavailable(object: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::Unavailable {
            object: object.into(),
            reason: reason.to_string(),
        }
    }

    /// Whether the call may have been executed all the same. If not, calling again is safe; if so, only
    /// with the idempotency key that the call had.
    ///
    /// ```
    /// use leap::CallError;
    /// let lost = CallError::InDoubt { object: "hotel".into(), reason: "connection lost".into() };
    /// assert!(lost.may_have_happened());
    /// let early = CallError::unavailable("hotel", "it is restored");
    /// assert!(!early.may_have_happened());
    /// ```
    pub fn may_have_happened(&self) -> bool {
        matches!(
            self,
            Self::InDoubt { .. } | Self::Timeout { .. } | Self::BadReply { .. }
        )
    }

    /// Whether the same call may succeed a little later.
    ///
    /// ```
    /// use leap::CallError;
    ///
    /// assert!(CallError::unavailable("hotel", "it is restored").is_temporary());
    /// assert!(!CallError::no_such_method("multiply").is_temporary());
    /// ```
    pub fn is_temporary(&self) -> bool {
        use CallError::{InDoubt, Timeout, Unavailable, Unreachable};
        matches!(
            self,
            Unavailable { .. } | Unreachable { .. } | InDoubt { .. } | Timeout { .. }
        )
    }
}

/// What travels on channels between services.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Envelope {
    /// Run a handler and answer.
    Request {
        call: u64,
        method: String,
        body: Bytes,
    },
    /// The answer.
    Reply {
        call: u64,
        reply: Result<Bytes, CallError>,
    },
    /// Run a handler; nobody wants to know.
    Tell { method: String, body: Bytes },
}

impl Envelope {
    pub(crate) fn encode(&self) -> Bytes {
        postcard::to_extend(self, Vec::with_capacity(64))
            .expect("plain data has an encoding")
            .into()
    }
}

/// A request's arguments, decoded (JSON). No bytes at all are the unit value.
///
/// ```
/// use leap::{CallError, decode_request};
///
/// assert_eq!(decode_request("reserve", br#"["room 7", 2]"#), Ok(("room 7".to_owned(), 2)));
/// assert_eq!(decode_request("taken", b""), Ok(()));
/// let refused = decode_request::<u32>("reserve", b"many");
/// assert!(matches!(refused, Err(CallError::BadRequest { .. })));
/// ```
///
/// # Errors
///
/// [`CallError::BadRequest`].
pub fn decode_request<T: DeserializeOwned>(method: &str, body: &[u8]) -> Result<T, CallError> {
    // No body at all is the unit value, so that `curl -X POST` is enough for handlers without argument.
    let body = if body.is_empty() { b"null" } else { body };
    serde_json::from_slice(body).map_err(|error| CallError::BadRequest {
        method: method.to_owned(),
        reason: error.to_string(),
    })
}

/// A result or request, encoded (JSON).
///
/// ```
/// assert_eq!(leap::encode_value(&("room 7", 2)), r#"["room 7",2]"#);
/// ```
///
/// # Panics
///
/// If the type cannot be written as JSON, such as a map whose keys are not strings: a mistake in the
/// type's definition.
pub fn encode_value<T: Serialize + ?Sized>(value: &T) -> Bytes {
    serde_json::to_vec(value)
        .expect("requests and results can be written as JSON")
        .into()
}

/// A reply, decoded (JSON).
///
/// ```
/// use leap::{CallError, decode_reply};
///
/// assert_eq!(decode_reply("taken", b"7"), Ok(7));
/// let other = decode_reply::<u32>("taken", b"null");
/// assert!(matches!(other, Err(CallError::BadReply { .. })));
/// ```
///
/// # Errors
///
/// [`CallError::BadReply`].
pub fn decode_reply<T: DeserializeOwned>(method: &str, reply: &[u8]) -> Result<T, CallError> {
    serde_json::from_slice(reply).map_err(|error| CallError::BadReply {
        method: method.to_owned(),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_of_anything_is_one_or_none() {
        bolero::check!().for_each(|bytes: &[u8]| {
            // As they are, most fail at the first byte, which is the kind.
            for kind in 0..3 {
                let bytes = [&[kind], bytes].concat();
                if let Ok(envelope) = postcard::from_bytes::<Envelope>(&bytes) {
                    let encoded = envelope.encode();
                    let again: Envelope = postcard::from_bytes(&encoded).expect("it was written");
                    assert_eq!(again.encode(), encoded);
                }
            }
        });
    }
}
