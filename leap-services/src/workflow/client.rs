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
///
/// All that can be asked for:
///
/// ```
/// # leap::testing::run_example(async {
/// use std::time::Duration;
///
/// use leap::{Host, ObjectOptions};
/// use leap_services::workflow::{Engine, EngineError, EngineClient, Phase};
/// # use leap_services::workflow::{WorkflowContext, WorkflowError};
/// async fn wait(ctx: WorkflowContext, seconds: u64) -> Result<u64, WorkflowError> {
///     ctx.sleep(Duration::from_secs(seconds)).await?;
///     Ok(seconds)
/// }
///
/// let host = Host::builder().start().await?;
/// let engine = Engine::builder().register("wait", wait);
/// let engine = engine.start(&host, "workflows", ObjectOptions::default()).await?;
/// // A program outside the cluster gives a `leap::Client` in the place of the host.
/// let engine = EngineClient::new(&host, "workflows");
/// let nothing: u64 = engine.run("wait", "short", &0).await?;
/// assert_eq!(nothing, 0);
/// // An id has one result, whoever asks, and however often.
/// assert_eq!(engine.result::<u64>("short").await?, 0);
///
/// engine.start("wait", "long", &3600).await?;
/// assert_eq!(engine.status("long").await?.phase, Phase::Running);
/// engine.cancel("long").await?;
/// assert!(matches!(engine.result::<u64>("long").await, Err(EngineError::Workflow(_))));
/// let ids: Vec<_> = engine.list(None, 10).await?.into_iter().map(|instance| instance.id).collect();
/// assert_eq!(ids, ["long", "short"]);
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone)]
pub struct EngineClient<C> {
    caller: C,
    engine: String,
}

impl<C: Call> EngineClient<C> {
    /// A client of the engine called `engine`, reached through `caller`.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::workflow::*;
    /// # async fn greet(_: WorkflowContext, name: String) -> Result<String, WorkflowError> { Ok(format!("Hello {name}")) }
    /// # let host = leap::Host::builder().start().await?;
    /// # let engine = Engine::builder().register("greet", greet);
    /// # let engine = engine.start(&host, "workflows", leap::ObjectOptions::default()).await?;
    /// // Through a host; a program outside the cluster gives a `leap::Client`.
    /// let workflows = EngineClient::new(&host, "workflows");
    /// let greeting: String = workflows.run("greet", "visitor 1", &"Ada").await?;
    /// assert_eq!(greeting, "Hello Ada");
    /// # Ok(())
    /// # });
    /// ```
    pub fn new(caller: C, engine: impl Into<String>) -> Self {
        Self {
            caller,
            engine: engine.into(),
        }
    }

    /// As [`Engine::start`](super::Engine::start).
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::workflow::*;
    /// # async fn greet(_: WorkflowContext, name: String) -> Result<String, WorkflowError> { Ok(format!("Hello {name}")) }
    /// # let host = leap::Host::builder().start().await?;
    /// # let engine = Engine::builder().register("greet", greet);
    /// # let engine = engine.start(&host, "workflows", leap::ObjectOptions::default()).await?;
    /// # let workflows = EngineClient::new(&host, "workflows");
    /// workflows.start("greet", "visitor 1", &"Ada").await?;
    /// workflows.start("greet", "visitor 1", &"Ada").await?; // the same start
    /// let other = workflows.start("greet", "visitor 1", &"Bob").await;
    /// assert_eq!(other, Err(EngineError::Conflict { id: "visitor 1".into() }));
    /// # Ok(())
    /// # });
    /// ```
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
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::workflow::*;
    /// # async fn greet(_: WorkflowContext, name: String) -> Result<String, WorkflowError> { Ok(format!("Hello {name}")) }
    /// # let host = leap::Host::builder().start().await?;
    /// # let engine = Engine::builder().register("greet", greet);
    /// # let engine = engine.start(&host, "workflows", leap::ObjectOptions::default()).await?;
    /// # let workflows = EngineClient::new(&host, "workflows");
    /// let greeting: String = workflows.run("greet", "visitor 1", &"Ada").await?;
    /// assert_eq!(greeting, "Hello Ada");
    /// # Ok(())
    /// # });
    /// ```
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
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::workflow::*;
    /// # async fn greet(_: WorkflowContext, name: String) -> Result<String, WorkflowError> { Ok(format!("Hello {name}")) }
    /// # let host = leap::Host::builder().start().await?;
    /// # let engine = Engine::builder().register("greet", greet);
    /// # let engine = engine.start(&host, "workflows", leap::ObjectOptions::default()).await?;
    /// # let workflows = EngineClient::new(&host, "workflows");
    /// workflows.start("greet", "visitor 1", &"Ada").await?;
    /// assert_eq!(workflows.result::<String>("visitor 1").await?, "Hello Ada");
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn result<R: DeserializeOwned>(&self, id: &str) -> Result<R, EngineError> {
        self.ask("result", id, id).await
    }

    /// As [`Engine::status`](super::Engine::status).
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::workflow::*;
    /// # async fn greet(_: WorkflowContext, name: String) -> Result<String, WorkflowError> { Ok(format!("Hello {name}")) }
    /// # let host = leap::Host::builder().start().await?;
    /// # let engine = Engine::builder().register("greet", greet);
    /// # let engine = engine.start(&host, "workflows", leap::ObjectOptions::default()).await?;
    /// # let workflows = EngineClient::new(&host, "workflows");
    /// let _greeting: String = workflows.run("greet", "visitor 1", &"Ada").await?;
    /// assert_eq!(workflows.status("visitor 1").await?.phase, Phase::Completed);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn status(&self, id: &str) -> Result<InstanceStatus, EngineError> {
        self.ask("status", id, id).await
    }

    /// As [`Engine::list`](super::Engine::list).
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::workflow::*;
    /// # async fn greet(_: WorkflowContext, name: String) -> Result<String, WorkflowError> { Ok(format!("Hello {name}")) }
    /// # let host = leap::Host::builder().start().await?;
    /// # let engine = Engine::builder().register("greet", greet);
    /// # let engine = engine.start(&host, "workflows", leap::ObjectOptions::default()).await?;
    /// # let workflows = EngineClient::new(&host, "workflows");
    /// workflows.start("greet", "visitor 1", &"Ada").await?;
    /// workflows.start("greet", "visitor 2", &"Bob").await?;
    /// let later = workflows.list(Some("visitor 1"), 10).await?;
    /// assert_eq!(later[0].id, "visitor 2");
    /// # Ok(())
    /// # });
    /// ```
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
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::workflow::*;
    /// # async fn greet(_: WorkflowContext, name: String) -> Result<String, WorkflowError> { Ok(format!("Hello {name}")) }
    /// # let host = leap::Host::builder().start().await?;
    /// # let engine = Engine::builder().register("greet", greet);
    /// # let engine = engine.start(&host, "workflows", leap::ObjectOptions::default()).await?;
    /// # let workflows = EngineClient::new(&host, "workflows");
    /// let refused = workflows.cancel("nobody").await;
    /// assert_eq!(refused, Err(EngineError::NotFound { id: "nobody".into() }));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn cancel(&self, id: &str) -> Result<(), EngineError> {
        self.ask("cancel", id, id).await
    }

    /// Every request carries a key, so that a caller may try it again whatever happened. Which one does not
    /// matter: the engine ignores keys, since ids do their work.
    async fn ask<R: DeserializeOwned>(
        &self,
        method: &str,
        id: &str,
        request: &(impl Serialize + ?Sized),
    ) -> Result<R, EngineError> {
        let engine = ObjectClient::new(&self.caller, &self.engine).idempotency_key("any");
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
