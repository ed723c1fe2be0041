//! An engine from anywhere: through a client of the cluster, or a host that knows where it is.

use leap::{Call, CallError, ObjectClient};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::engine::request;
use super::error::EngineError;
use super::instances::InstanceStatus;

/// Calls an [`Engine`](super::Engine) by its name. As the engine itself, it gives only what can never be
/// lost, and everything may be asked for again: ids make sure that it happens once.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use leap::Client;
/// use leap_services::workflow::EngineClient;
///
/// let client = Client::connect("http://127.0.0.1:7400").await?;
/// let workflows = EngineClient::new(client, "workflows");
/// let greeting: String = workflows.run("greet", "visitor-1", &"Ada").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct EngineClient<C> {
    caller: C,
    engine: String,
}

impl<C: Call> EngineClient<C> {
    /// A client of the engine called `engine`, reached through `caller`.
    pub fn new(caller: C, engine: impl Into<String>) -> Self {
        Self {
            caller,
            engine: engine.into(),
        }
    }

    /// As [`Engine::start`](super::Engine::start).
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn start(
        &self,
        workflow: &str,
        id: &str,
        input: &impl Serialize,
    ) -> Result<(), EngineError> {
        self.ask("start", id, &request(workflow, id, input)).await
    }

    /// As [`Engine::run`](super::Engine::run).
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn run<R: DeserializeOwned>(
        &self,
        workflow: &str,
        id: &str,
        input: &impl Serialize,
    ) -> Result<R, EngineError> {
        self.ask("run", id, &request(workflow, id, input)).await
    }

    /// As [`Engine::result`](super::Engine::result).
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn result<R: DeserializeOwned>(&self, id: &str) -> Result<R, EngineError> {
        self.ask("result", id, id).await
    }

    /// As [`Engine::status`](super::Engine::status).
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn status(&self, id: &str) -> Result<InstanceStatus, EngineError> {
        self.ask("status", id, id).await
    }

    /// As [`Engine::list`](super::Engine::list).
    ///
    /// # Errors
    ///
    /// [`EngineError::Call`].
    pub async fn list(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<InstanceStatus>, EngineError> {
        Ok(ObjectClient::new(&self.caller, &self.engine)
            .call("list", &(after, limit))
            .await?)
    }

    /// As [`Engine::cancel`](super::Engine::cancel).
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn cancel(&self, id: &str) -> Result<(), EngineError> {
        self.ask("cancel", id, id).await
    }

    /// Every request carries a key, so that a caller may try it again whatever happened.
    async fn ask<R: DeserializeOwned>(
        &self,
        method: &str,
        id: &str,
        request: &(impl Serialize + ?Sized),
    ) -> Result<R, EngineError> {
        let engine = ObjectClient::new(&self.caller, &self.engine).idempotency_key(id);
        let reply: Result<R, EngineError> =
            engine
                .call(method, request)
                .await
                .map_err(|error| match error {
                    CallError::BadReply { reason, .. } => EngineError::BadResult {
                        id: id.to_owned(),
                        reason,
                    },
                    error => EngineError::Call(error),
                })?;
        reply
    }
}
