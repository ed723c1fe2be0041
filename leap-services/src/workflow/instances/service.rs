//! How instances are reached: by other objects, and from the outside world.

use bytes::Bytes;
use leap::{
    Action, CallError, Journaled, Object, ObjectId, OutputLost, Service, decode_request,
    encode_value,
};
use tokio::sync::oneshot;

use super::live::{Finish, Watch, watch};
use super::{InstanceActions as _, Instances, StepId};
use crate::workflow::error::{EngineError, WorkflowError};

/// Waits for the result of the instance that `find` finds or starts, for the outside world (rule P8).
pub(in crate::workflow) async fn result(
    object: &Object<Journaled<Instances>>,
    mut find: impl FnMut(&mut Action<'_, Instances>) -> Result<u64, EngineError>,
) -> Result<Bytes, EngineError> {
    loop {
        let found = object.change(|action| match find(action) {
            Ok(number) => Ok(watch(action, number)),
            Err(refusal) => Err((refusal, action.output())),
        });
        let (outcome, output) = match found.await.map_err(|why| unavailable(object, &why))? {
            Ok(Watch::Finished(Finish { outcome, output })) => {
                (outcome.map_err(EngineError::Workflow), output)
            }
            Ok(Watch::Running(finish)) => match finished(object, finish).await? {
                Some(Finish { outcome, output }) => {
                    (outcome.map_err(EngineError::Workflow), output)
                }
                None => continue,
            },
            Err((refusal, output)) => (Err(refusal), output),
        };
        match output.await {
            Ok(()) => return outcome,
            Err(OutputLost::RolledBack(_)) => {}
            Err(lost @ OutputLost::Stopped) => return Err(unavailable(object, &lost)),
        }
    }
}

/// Nothing if the state was brought back to an older version first.
async fn finished(
    object: &Object<Journaled<Instances>>,
    finish: oneshot::Receiver<Finish>,
) -> Result<Option<Finish>, EngineError> {
    tokio::select! {
        biased;
        finish = finish => Ok(finish.ok()),
        why = object.stopped() => Err(unavailable(object, &why)),
    }
}

/// Ids make every request repeatable, so whatever happened to it, it may be made again.
fn unavailable(
    object: &Object<Journaled<Instances>>,
    reason: &dyn std::fmt::Display,
) -> EngineError {
    EngineError::Call(CallError::unavailable(object.name(), reason))
}

impl Service for Instances {
    fn call(action: &mut Action<'_, Self>, method: &str, body: &[u8]) -> Result<Bytes, CallError> {
        Ok(match method {
            "start" => encode_value(&action.start(&decode_request(method, body)?).map(|_| ())),
            "cancel" => encode_value(&action.cancel(&decode_request::<String>(method, body)?)),
            _ => return Self::query(action, method, body),
        })
    }

    fn is_query(method: &str) -> bool {
        matches!(method, "status" | "list")
    }

    fn query(&self, method: &str, body: &[u8]) -> Result<Bytes, CallError> {
        Ok(match method {
            "status" => encode_value(&self.status(&decode_request::<String>(method, body)?)),
            "list" => {
                let (after, limit): (Option<String>, usize) = decode_request(method, body)?;
                encode_value(&self.list(after.as_deref(), limit))
            }
            _ => return Err(CallError::no_such_method(method)),
        })
    }

    fn handle_reply(
        action: &mut Action<'_, Self>,
        _from: ObjectId,
        call: u64,
        reply: Result<Bytes, CallError>,
    ) {
        let step = StepId::from_call(call);
        // Its instance may be over: cancelled, or given up.
        let Some(name) = action.step(step).map(|step| step.name.clone()) else {
            return;
        };
        // The answer goes to whoever waits for it.
        let _ = action.answer(
            step,
            reply.map_err(|source| WorkflowError::Call { call: name, source }),
        );
    }

    async fn answer(
        object: &Object<Journaled<Self>>,
        method: &str,
        body: Bytes,
    ) -> Result<Bytes, CallError> {
        let outcome = match method {
            "run" => {
                let request = decode_request(method, &body)?;
                result(object, |action| action.start(&request)).await
            }
            "result" => {
                let id: String = decode_request(method, &body)?;
                result(object, |action| action.number_of(&id)).await
            }
            _ => return object.call_released(method, &body).await,
        };
        match outcome {
            // The result is JSON already.
            Ok(result) => Ok([b"{\"Ok\":".as_slice(), result.as_ref(), b"}".as_slice()]
                .concat()
                .into()),
            Err(EngineError::Call(error)) => Err(error),
            Err(error) => Ok(encode_value(&Err::<(), _>(error))),
        }
    }

    /// Ids make sure already that things happen once. A reply that was kept would even be wrong: an id
    /// that is forgotten can be used again, and what is asked for is about the new instance then.
    async fn answer_once(
        object: &Object<Journaled<Self>>,
        method: &str,
        body: Bytes,
        _idempotency_key: &str,
    ) -> Result<Bytes, CallError> {
        Self::answer(object, method, body).await
    }
}
