//! Calls from outside: answered here, or passed on to where the object lives.

use std::panic::AssertUnwindSafe;
use std::sync::Weak;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use leap_core::ObjectId;

use super::{Host, Hosted, Inner};
use crate::client::Call;
use crate::client::remote::{is_forwarded, status_of, unreachable_status};
use crate::journaled::{Journaled, check_key};
use crate::object::{LifePhase, Object};
use crate::service::{CallError, Service};
use crate::transport::CallHandler;
use crate::transport::proto::{CallReply, CallRequest};

impl Call for Host {
    async fn call(
        &self,
        object: &str,
        method: &str,
        body: Bytes,
        idempotency_key: Option<&str>,
    ) -> Result<Bytes, CallError> {
        let request = CallRequest {
            object: object.to_owned(),
            method: method.to_owned(),
            body,
            idempotency_key: idempotency_key.map(str::to_owned),
        };
        self.inner().call(request, Forward::Allowed).await
    }
}

/// Whether a call may be passed on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Forward {
    Allowed,
    /// It was passed on already.
    Done,
}

/// Answers the calls that other processes make to the host.
pub(super) fn handler(host: Weak<Inner>) -> CallHandler {
    CallHandler::new(move |request: tonic::Request<CallRequest>| {
        let host = host.clone();
        async move {
            let Some(host) = host.upgrade() else {
                return Err(unreachable_status("the host shut down"));
            };
            refuse_header(&request)?;
            let forward = if is_forwarded(&request) {
                Forward::Done
            } else {
                Forward::Allowed
            };
            let reply = host.call(request.into_inner(), forward).await;
            reply
                .map(|body| tonic::Response::new(CallReply { body }))
                .map_err(|error| status_of(&error))
        }
    })
}

/// A call is made as by the outside world. Who is inside would be told nothing of what its answer depends on, and what it
/// has seen itself would be lost on the way: that is what channels and the tower layers are for.
fn refuse_header<T>(request: &tonic::Request<T>) -> Result<(), tonic::Status> {
    if request.metadata().contains_key("leap-header-bin") {
        let why = "calls of this API carry no leap-header-bin: what they depend on is waited for, never told";
        return Err(tonic::Status::invalid_argument(why));
    }
    Ok(())
}

impl Inner {
    pub(super) async fn call(
        &self,
        request: CallRequest,
        forward: Forward,
    ) -> Result<Bytes, CallError> {
        if let Some(key) = &request.idempotency_key {
            check_key(&request.method, key)?;
        }
        let id = ObjectId::from_name(&request.object);
        let here = self.objects.read().get(&id).cloned();
        let elsewhere = self
            .links
            .address(id)
            .filter(|address| Some(address) != self.address.lock().as_ref());
        match (here, elsewhere) {
            // One that stopped here may live on elsewhere.
            (Some(object), elsewhere) if elsewhere.is_none() || !has_stopped(&*object) => {
                object
                    .call(
                        &request.method,
                        request.body,
                        request.idempotency_key.as_deref(),
                    )
                    .await
            }
            (_, Some(address)) if forward == Forward::Allowed => {
                self.forward(&address, request).await
            }
            (_, Some(address)) => Err(CallError::unavailable(
                request.object,
                format_args!("it has moved, perhaps to {address}"),
            )),
            (_, None) if self.observation.known().is_none() => Err(CallError::unavailable(
                request.object,
                "this node has not met the coordinator yet",
            )),
            (_, None) => Err(self.missing(request.object).await),
        }
    }

    /// Why nobody is known to host the object: it does not exist, or is just not up.
    async fn missing(&self, object: String) -> CallError {
        match self.store.usage(&object).await {
            Ok(usage) if usage.files > 0 => CallError::unavailable(object, "nobody hosts it now"),
            Ok(_) | Err(_) => CallError::NoSuchObject { object },
        }
    }

    async fn forward(&self, address: &str, request: CallRequest) -> Result<Bytes, CallError> {
        let object = request.object.clone();
        match self.remote.call(address, request, true).await {
            // The caller has reached a node: ours.
            Err(error @ CallError::Unreachable { .. }) => {
                Err(CallError::unavailable(object, error))
            }
            answer => answer,
        }
    }
}

fn has_stopped(object: &dyn Hosted) -> bool {
    matches!(object.protocol().phase(), LifePhase::Stopped(_))
}

/// Calls a hosted service. A panic in a handler stops the object and nothing else.
pub(super) fn call_service<'a, S: Service>(
    object: &'a Object<Journaled<S>>,
    method: &'a str,
    body: Bytes,
    idempotency_key: Option<&'a str>,
) -> BoxFuture<'a, Result<Bytes, CallError>> {
    let answer = async move {
        match idempotency_key {
            Some(key) => S::answer_once(object, method, body, key).await,
            None => S::answer(object, method, body).await,
        }
    };
    let caught = AssertUnwindSafe(answer).catch_unwind();
    Box::pin(caught.map(move |outcome| {
        outcome.unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<&str>().copied();
            let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            let reason = format!("it panicked: {}", said.unwrap_or("without a message"));
            Err(CallError::Failed {
                method: method.to_owned(),
                reason,
            })
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_refused_and_not_overlooked() {
        let mut request = tonic::Request::new(());
        assert!(refuse_header(&request).is_ok());
        crate::tower::set_grpc_header(request.metadata_mut(), &leap_core::Header::default());
        let refused = refuse_header(&request).expect_err("it is not for this API");
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    }
}
