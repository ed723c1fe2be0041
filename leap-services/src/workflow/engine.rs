//! The engine: what is registered, the handle, and the task that runs instances.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _};
use leap::{Host, Journaled, LifePhase, Object, ObjectOptions, StateError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::to_raw_value;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::clock::Clock;
use super::context::WorkflowContext;
use super::error::{EngineError, WorkflowError};
use super::instances::{
    InstanceActions as _, InstanceStatus, Instances, Job, StartRequest, result,
};
use super::run::Run;

/// How many finished instances are kept unless the builder says otherwise.
const KEEP_FINISHED: usize = 10_000;

/// A registered function, with encoded input and result.
trait Begin: Send + Sync {
    fn begin(
        &self,
        context: WorkflowContext,
        input: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, WorkflowError>>;
}

impl<F> Begin for F
where
    F: Fn(WorkflowContext, Bytes) -> BoxFuture<'static, Result<Bytes, WorkflowError>> + Send + Sync,
{
    fn begin(
        &self,
        context: WorkflowContext,
        input: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, WorkflowError>> {
        self(context, input)
    }
}

/// As the engine knows it.
#[derive(Clone)]
pub(super) struct Workflow(Arc<dyn Begin>);

impl Workflow {
    fn new<I, R, F, W>(workflow: F) -> Self
    where
        I: DeserializeOwned + Send + 'static,
        R: Serialize + 'static,
        F: Fn(WorkflowContext, I) -> W + Send + Sync + 'static,
        W: Future<Output = Result<R, WorkflowError>> + Send + 'static,
    {
        let workflow = Arc::new(workflow);
        Self(Arc::new(move |context: WorkflowContext, input: Bytes| {
            let workflow = workflow.clone();
            let running = async move {
                let input = serde_json::from_slice(&input);
                let input = input.map_err(|error| WorkflowError::ill_typed("the input", error))?;
                let result = workflow(context, input).await?;
                Ok(leap::encode_value(&result))
            };
            running.boxed()
        }))
    }

    pub(super) fn begin(
        &self,
        context: WorkflowContext,
        input: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, WorkflowError>> {
        self.0.begin(context, input)
    }
}

/// What the builder was told.
pub(super) struct Rules {
    workflows: HashMap<String, Workflow>,
    pub(super) keep_finished: usize,
    pub(super) clock: Clock,
}

impl Rules {
    pub(super) fn knows(&self, workflow: &str) -> bool {
        self.workflows.contains_key(workflow)
    }
}

/// An engine that is about to start; see [`Engine::builder`].
///
/// ```
/// # leap::testing::run_example(async {
/// use leap::{Host, ObjectOptions};
/// use leap_services::workflow::{Engine, WorkflowContext, WorkflowError};
///
/// async fn greet(_ctx: WorkflowContext, name: String) -> Result<String, WorkflowError> {
///     Ok(format!("Hello {name}"))
/// }
///
/// let host = Host::builder().start().await?;
/// let builder = Engine::builder().register("greet", greet).keep_finished(100_000);
/// let engine = builder.start(&host, "workflows", ObjectOptions::default()).await?;
/// # drop(engine);
/// # Ok(())
/// # });
/// ```
#[must_use = "a builder does nothing until it is started"]
pub struct EngineBuilder {
    rules: Rules,
}

impl EngineBuilder {
    /// Makes `workflow` known as `name`. The name is on record: instances that run when the engine
    /// starts again go on with whatever is registered under it then. Those of a name that is not
    /// registered wait until it is.
    ///
    /// ```
    /// use leap_services::workflow::{Engine, WorkflowContext, WorkflowError};
    ///
    /// async fn greet(_ctx: WorkflowContext, name: String) -> Result<String, WorkflowError> {
    ///     Ok(format!("Hello {name}"))
    /// }
    ///
    /// let builder = Engine::builder().register("greet", greet);
    /// ```
    pub fn register<I, R, F, W>(mut self, name: &str, workflow: F) -> Self
    where
        I: DeserializeOwned + Send + 'static,
        R: Serialize + 'static,
        F: Fn(WorkflowContext, I) -> W + Send + Sync + 'static,
        W: Future<Output = Result<R, WorkflowError>> + Send + 'static,
    {
        self.rules
            .workflows
            .insert(name.to_owned(), Workflow::new(workflow));
        self
    }

    /// How many finished instances are kept, so that a second start or a question after the result
    /// finds them; 10,000 unless set. Keep at least as many as can finish between two attempts of
    /// one caller: an instance that is forgotten can be started again.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::workflow::*;
    /// # async fn greet(_: WorkflowContext, name: String) -> Result<String, WorkflowError> { Ok(format!("Hello {name}")) }
    /// # let host = leap::Host::builder().start().await?;
    /// let builder = Engine::builder().register("greet", greet).keep_finished(1);
    /// # let engine = builder.start(&host, "workflows", leap::ObjectOptions::default()).await?;
    /// # for (id, name) in [("visitor 1", "Ada"), ("visitor 2", "Bob")] { let _: String = engine.run("greet", id, &name).await?; }
    /// // … once two have finished:
    /// let forgotten = engine.result::<String>("visitor 1").await;
    /// assert_eq!(forgotten, Err(EngineError::NotFound { id: "visitor 1".into() }));
    /// # Ok(())
    /// # });
    /// ```
    pub fn keep_finished(mut self, count: usize) -> Self {
        self.rules.keep_finished = count;
        self
    }

    /// What time it is for [`WorkflowContext::sleep`], in milliseconds since 1970. Unless set, the wall
    /// clock at the start of the process, carried on by the runtime's clock.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// use leap_services::workflow::Engine;
    ///
    /// // The wall clock, and what an administrator does to it.
    /// let builder = Engine::builder().clock(|| {
    ///     let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO);
    ///     u64::try_from(since_1970.as_millis()).expect("it is not that late")
    /// });
    /// ```
    pub fn clock(mut self, now_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        self.rules.clock = Clock::new(now_ms);
        self
    }

    /// Hosts the engine as the object called `name`, and runs what is unfinished. It is brought back
    /// when its storage fails and recovers.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::workflow::*;
    /// # async fn greet(_: WorkflowContext, name: String) -> Result<String, WorkflowError> { Ok(format!("Hello {name}")) }
    /// # let host = leap::Host::builder().start().await?;
    /// let builder = Engine::builder().register("greet", greet);
    /// let engine = builder.start(&host, "workflows", leap::ObjectOptions::default()).await?;
    /// assert_eq!(engine.run::<String>("greet", "visitor 1", &"Ada").await?, "Hello Ada");
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`StateError`] if its storage cannot be read.
    pub async fn start(
        self,
        host: &Host,
        name: &str,
        options: ObjectOptions,
    ) -> Result<Engine, StateError> {
        let rules = Arc::new(self.rules);
        let (current, object) = watch::channel(None);
        let started = move |object: Object<Journaled<Instances>>| {
            tokio::spawn(attend(rules.clone(), object.clone()));
            current.send_replace(Some(object));
        };
        host.supervise(name, options, started).await?;
        Ok(Engine { object })
    }
}

/// A hosted workflow engine. Clones are the same engine. It lives as long as its host does.
///
/// All that it answers is for the outside world: it comes when it can never be lost (rule P8).
///
/// ```
/// # leap::testing::run_example(async {
/// use std::time::Duration;
///
/// use leap::{Host, ObjectOptions};
/// use leap_services::workflow::{Engine, EngineError, Phase};
/// # use leap_services::workflow::{WorkflowContext, WorkflowError};
/// async fn wait(ctx: WorkflowContext, seconds: u64) -> Result<u64, WorkflowError> {
///     ctx.sleep(Duration::from_secs(seconds)).await?;
///     Ok(seconds)
/// }
///
/// let host = Host::builder().start().await?;
/// let engine = Engine::builder().register("wait", wait);
/// let engine = engine.start(&host, "workflows", ObjectOptions::default()).await?;
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
#[derive(Clone)]
pub struct Engine {
    object: watch::Receiver<Option<Object<Journaled<Instances>>>>,
}

impl Engine {
    /// An engine with nothing registered.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap_services::workflow::{Engine, EngineError};
    ///
    /// # let host = leap::Host::builder().start().await?;
    /// let engine = Engine::builder().start(&host, "workflows", leap::ObjectOptions::default()).await?;
    /// let refused = engine.start("greet", "visitor 1", &"Ada").await;
    /// assert_eq!(refused, Err(EngineError::UnknownWorkflow { workflow: "greet".into() }));
    /// # Ok(())
    /// # });
    /// ```
    pub fn builder() -> EngineBuilder {
        let rules = Rules {
            workflows: HashMap::new(),
            keep_finished: KEEP_FINISHED,
            clock: Clock::default(),
        };
        EngineBuilder { rules }
    }

    /// The engine as a state object, in its present life.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::workflow::*;
    /// # async fn greet(_: WorkflowContext, name: String) -> Result<String, WorkflowError> { Ok(format!("Hello {name}")) }
    /// # let host = leap::Host::builder().start().await?;
    /// # let engine = Engine::builder().register("greet", greet);
    /// # let engine = engine.start(&host, "workflows", leap::ObjectOptions::default()).await?;
    /// engine.object().ready().await?;
    /// assert_eq!(engine.object().name(), "workflows");
    /// # Ok(())
    /// # });
    /// ```
    pub fn object(&self) -> Object<Journaled<Instances>> {
        self.object
            .borrow()
            .clone()
            .expect("set before there is an engine")
    }

    /// Starts an instance called `id`; returns when the start can never be lost. Starting again with the
    /// same id, workflow and input does nothing.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::workflow::*;
    /// # async fn greet(_: WorkflowContext, name: String) -> Result<String, WorkflowError> { Ok(format!("Hello {name}")) }
    /// # let host = leap::Host::builder().start().await?;
    /// # let engine = Engine::builder().register("greet", greet);
    /// # let engine = engine.start(&host, "workflows", leap::ObjectOptions::default()).await?;
    /// engine.start("greet", "visitor 1", &"Ada").await?;
    /// engine.start("greet", "visitor 1", &"Ada").await?; // the same start
    /// let other = engine.start("greet", "visitor 1", &"Bob").await;
    /// assert_eq!(other, Err(EngineError::Conflict { id: "visitor 1".into() }));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`EngineError::UnknownWorkflow`], [`EngineError::Conflict`], [`EngineError::Call`].
    pub async fn start(
        &self,
        workflow: &str,
        id: &str,
        input: &impl Serialize,
    ) -> Result<(), EngineError> {
        let request = request(workflow, id, input);
        self.object()
            .change_released(|action| action.start(&request))
            .await?
            .map(|_| ())
    }

    /// Starts an instance called `id`, or finds the one that was started before, and waits for its result.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::workflow::*;
    /// # async fn greet(_: WorkflowContext, name: String) -> Result<String, WorkflowError> { Ok(format!("Hello {name}")) }
    /// # let host = leap::Host::builder().start().await?;
    /// # let engine = Engine::builder().register("greet", greet);
    /// # let engine = engine.start(&host, "workflows", leap::ObjectOptions::default()).await?;
    /// let greeting: String = engine.run("greet", "visitor 1", &"Ada").await?;
    /// assert_eq!(greeting, "Hello Ada");
    /// let again: String = engine.run("greet", "visitor 1", &"Ada").await?; // the result of the first
    /// assert_eq!(again, greeting);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Engine::start`]; [`EngineError::Workflow`] if it fails.
    pub async fn run<R: DeserializeOwned>(
        &self,
        workflow: &str,
        id: &str,
        input: &impl Serialize,
    ) -> Result<R, EngineError> {
        let request = request(workflow, id, input);
        decode(
            id,
            &result(&self.object(), |action| action.start(&request)).await?,
        )
    }

    /// Waits for the result of an instance.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::workflow::*;
    /// # async fn greet(_: WorkflowContext, name: String) -> Result<String, WorkflowError> { Ok(format!("Hello {name}")) }
    /// # let host = leap::Host::builder().start().await?;
    /// # let engine = Engine::builder().register("greet", greet);
    /// # let engine = engine.start(&host, "workflows", leap::ObjectOptions::default()).await?;
    /// engine.start("greet", "visitor 1", &"Ada").await?;
    /// assert_eq!(engine.result::<String>("visitor 1").await?, "Hello Ada");
    /// let ill_typed = engine.result::<u64>("visitor 1").await;
    /// assert!(matches!(ill_typed, Err(EngineError::BadResult { .. })));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`], [`EngineError::Workflow`] if it fails, [`EngineError::Call`].
    pub async fn result<R: DeserializeOwned>(&self, id: &str) -> Result<R, EngineError> {
        let find = |action: &mut leap::Action<'_, Instances>| action.number_of(id);
        decode(id, &result(&self.object(), find).await?)
    }

    /// How far an instance is.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::workflow::*;
    /// # async fn greet(_: WorkflowContext, name: String) -> Result<String, WorkflowError> { Ok(format!("Hello {name}")) }
    /// # let host = leap::Host::builder().start().await?;
    /// # let engine = Engine::builder().register("greet", greet);
    /// # let engine = engine.start(&host, "workflows", leap::ObjectOptions::default()).await?;
    /// let _greeting: String = engine.run("greet", "visitor 1", &"Ada").await?;
    /// assert_eq!(engine.status("visitor 1").await?.phase, Phase::Completed);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`], [`EngineError::Call`].
    pub async fn status(&self, id: &str) -> Result<InstanceStatus, EngineError> {
        self.object()
            .view_released(|instances| instances.status(id))
            .await?
    }

    /// Up to `limit` instances (1000 at most) in the order of their ids, after the one called `after`.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::workflow::*;
    /// # async fn greet(_: WorkflowContext, name: String) -> Result<String, WorkflowError> { Ok(format!("Hello {name}")) }
    /// # let host = leap::Host::builder().start().await?;
    /// # let engine = Engine::builder().register("greet", greet);
    /// # let engine = engine.start(&host, "workflows", leap::ObjectOptions::default()).await?;
    /// engine.start("greet", "visitor 1", &"Ada").await?;
    /// engine.start("greet", "visitor 2", &"Bob").await?;
    /// let first = engine.list(None, 1).await?;
    /// let second = engine.list(Some(&first[0].id), 1).await?;
    /// assert_eq!((&*first[0].id, &*second[0].id), ("visitor 1", "visitor 2"));
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
        Ok(self
            .object()
            .view_released(|instances| instances.list(after, limit))
            .await?)
    }

    /// Asks an instance to end early: steps that it waits for, and those that it asks for from now on,
    /// fail with [`WorkflowError::Cancelled`], until it gives up and compensates. An effect's running
    /// attempt is not interrupted. One that has finished is left as it is.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::workflow::*;
    /// # let host = leap::Host::builder().start().await?;
    /// async fn wait(ctx: WorkflowContext, (): ()) -> Result<(), WorkflowError> {
    ///     ctx.sleep(std::time::Duration::from_secs(3600)).await
    /// }
    ///
    /// # let engine = Engine::builder().register("wait", wait);
    /// # let engine = engine.start(&host, "workflows", leap::ObjectOptions::default()).await?;
    /// engine.start("wait", "long", &()).await?;
    /// engine.cancel("long").await?;
    /// let ended = engine.result::<()>("long").await;
    /// assert_eq!(ended, Err(EngineError::Workflow(WorkflowError::Cancelled)));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`], [`EngineError::Call`].
    pub async fn cancel(&self, id: &str) -> Result<(), EngineError> {
        self.object()
            .change_released(|action| action.cancel(id))
            .await?
    }
}

pub(super) fn request(workflow: &str, id: &str, input: &impl Serialize) -> StartRequest {
    let input = to_raw_value(input).expect("inputs can be written as JSON");
    StartRequest {
        workflow: workflow.to_owned(),
        id: id.to_owned(),
        input,
    }
}

fn decode<R: DeserializeOwned>(id: &str, result: &[u8]) -> Result<R, EngineError> {
    serde_json::from_slice(result).map_err(|error| EngineError::BadResult {
        id: id.to_owned(),
        reason: error.to_string(),
    })
}

/// Runs the instances of one life of the engine: for each generation of the state, those that are
/// unfinished in it and those that are started.
async fn attend(rules: Arc<Rules>, object: Object<Journaled<Instances>>) {
    let mut life = object.life();
    let mut runs = JoinSet::new();
    while object.ready().await.is_ok() {
        let (sender, mut jobs) = mpsc::unbounded_channel();
        let attached =
            object.change(|action| (action.context().generation(), action.attach(&rules, sender)));
        let Ok((generation, unfinished)) = attached.await else {
            break;
        };
        let start =
            |runs: &mut JoinSet<()>, job: Job| match rules.workflows.get(&job.workflow).cloned() {
                Some(workflow) => {
                    runs.spawn(Run::execute(
                        object.clone(),
                        rules.clone(),
                        generation,
                        job,
                        workflow,
                    ));
                }
                None => {
                    let Job { workflow, id, .. } = job;
                    tracing::warn!(
                        workflow,
                        id,
                        "an instance waits for its workflow to be registered"
                    );
                }
            };
        unfinished.into_iter().for_each(|job| start(&mut runs, job));
        let is_over = |life: &leap::Life| {
            life.generation != generation || matches!(life.phase, LifePhase::Stopped(_))
        };
        loop {
            tokio::select! {
                Some(job) = jobs.recv() => start(&mut runs, job),
                Some(ended) = runs.join_next() => if let Err(error) = ended {
                    tracing::error!(%error, "running a workflow failed");
                },
                () = async { drop(life.wait_for(is_over).await) } => break,
            }
        }
        // None of the old ones may be left when the new ones begin.
        runs.shutdown().await;
    }
}
