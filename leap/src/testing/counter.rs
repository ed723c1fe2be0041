//! A service for tests of what carries calls.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::journaled::Action;
use crate::service::{CallError, Machine, Service, decode_request, encode_value};

/// The smallest service, a number: for tests of whatever carries calls or hosts objects, and for
/// examples. Its handlers are `add`, which takes a number and gives the sum, and `get`, which only looks.
///
/// ```
/// use leap::ObjectClient;
/// use leap::testing::Counter;
///
/// # leap::testing::run_example(async {
/// # let host = leap::Host::builder().start().await?;
/// host.add::<Counter>("counter").await?;
/// let counter = ObjectClient::new(host, "counter");
/// assert_eq!(counter.call("add", &2).await, Ok(2));
/// assert_eq!(counter.call("get", &()).await, Ok(2));
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter(pub u64);

impl Machine for Counter {
    type Change = u64;

    fn apply(&mut self, by: u64) {
        self.0 += by;
    }
}

impl Service for Counter {
    fn call(action: &mut Action<'_, Self>, method: &str, body: &[u8]) -> Result<Bytes, CallError> {
        if method != "add" {
            return action.query(method, body);
        }
        action.record(decode_request(method, body)?);
        Ok(encode_value(&action.0))
    }

    fn is_query(method: &str) -> bool {
        method == "get"
    }

    fn query(&self, method: &str, body: &[u8]) -> Result<Bytes, CallError> {
        if method != "get" {
            return Err(CallError::no_such_method(method));
        }
        let () = decode_request(method, body)?;
        Ok(encode_value(&self.0))
    }
}
