//! The engine's state: instances, their steps, and the actions on them.
//!
//! ```text
//! Running ── cancel ──> Cancelling
//!    │                      │
//!    └──── finish ──> Finished ── enough newer ones finished ──> forgotten
//! ```
//!
//! What has to be durable changes by [`Change`]s alone. Beside it lives [`Live`]: who of this process
//! waits for what. It goes wherever the state goes, so when the state is brought back to an older
//! version, everyone who waited finds out by the end of their channel.

mod actions;
mod live;
mod service;
mod stored;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use leap::Machine;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::{EngineError, WorkflowError};
pub(super) use actions::InstanceActions;
use live::Live;
pub(super) use live::{Answer, Job, Replay};
pub(super) use service::result;

const STEP_BITS: u32 = 20;

/// How many steps an instance can have.
pub(super) const MAX_STEPS: u64 = 1 << STEP_BITS;

/// How many instances one page of a list has at most.
const LONGEST_LIST: usize = 1000;

/// Names one step of one instance, and is the number of the call that the step may make.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(u64);

impl StepId {
    pub(super) fn new(instance: u64, step: u64) -> Self {
        assert!(step < MAX_STEPS, "checked when the step was asked for");
        Self(instance << STEP_BITS | step)
    }

    pub(super) fn from_call(call: u64) -> Self {
        Self(call)
    }

    pub(super) fn call(self) -> u64 {
        self.0
    }

    pub(super) fn instance(self) -> u64 {
        self.0 >> STEP_BITS
    }

    /// The step's position in its instance.
    pub(super) fn position(self) -> u64 {
        self.0 & (MAX_STEPS - 1)
    }

    fn index(self) -> usize {
        usize::try_from(self.position()).expect("steps are in memory")
    }
}

/// The durable state of an [`Engine`](super::Engine). See the [module](super) for what it is part of.
///
/// Handlers for other objects and, by name, for the outside world; requests and replies in JSON:
///
/// | handler | request | reply |
/// |---|---|---|
/// | `start` | [`StartRequest`] | `Result<(), EngineError>` |
/// | `run` (from outside only) | [`StartRequest`] | `Result<the workflow's result, EngineError>` |
/// | `result` (from outside only) | the id | the same, for an instance that exists |
/// | `status` | the id | `Result<InstanceStatus, EngineError>` |
/// | `cancel` | the id | `Result<(), EngineError>` |
/// | `list` | `(after: null or id, limit)` | `Vec<InstanceStatus>` in the order of ids |
///
/// All may be called again whatever happened, since ids make sure that it happens once; idempotency keys
/// are ignored.
///
/// ```
/// # leap::testing::run_example(async {
/// # use leap_services::workflow::*;
/// # async fn greet(_: WorkflowContext, name: String) -> Result<String, WorkflowError> { Ok(format!("Hello {name}")) }
/// # let host = leap::Host::builder().start().await?;
/// # let engine = Engine::builder().register("greet", greet);
/// # let engine = engine.start(&host, "workflows", leap::ObjectOptions::default()).await?;
/// // As any program that speaks JSON does it; in Rust there is `EngineClient`.
/// let start = leap::encode_value(&serde_json::json!({
///     "workflow": "greet", "id": "visitor 1", "input": "Ada",
/// }));
/// assert_eq!(host.call("workflows", "run", start).await?, r#"{"Ok":"Hello Ada"}"#);
/// # Ok(())
/// # });
/// ```
///
/// # Invariants
///
/// - `numbers` leads from the id of each instance to its number, and nowhere else; numbers are below `next`.
/// - `finished` has each instance that has finished once, and no other.
///
/// A stored state of which they are not true is refused, and so are changes that would break them: they
/// change nothing. An engine writes none.
#[derive(Default, Serialize, Deserialize)]
#[serde(try_from = "stored::Stored")]
pub struct Instances {
    /// The number of the next instance.
    next: u64,
    by_number: BTreeMap<u64, Instance>,
    numbers: BTreeMap<String, u64>,
    /// Those that have finished, oldest first.
    finished: VecDeque<u64>,
    #[serde(skip)]
    live: RefCell<Live>,
}

#[derive(Serialize, Deserialize)]
struct Instance {
    workflow: String,
    id: String,
    input: Bytes,
    /// By position; a position that nothing is known of yet is empty.
    steps: Vec<Option<Step>>,
    state: State,
}

#[derive(Serialize, Deserialize)]
enum State {
    Running,
    Cancelling,
    Finished(Result<Bytes, WorkflowError>),
}

#[derive(Serialize, Deserialize)]
struct Step {
    name: String,
    /// For sleep: when it is over.
    until_ms: Option<u64>,
    answer: Option<Result<Bytes, WorkflowError>>,
}

/// What is recorded.
#[doc(hidden)]
#[derive(Serialize, Deserialize)]
pub enum Change {
    /// The next instance begins.
    Started {
        /// The registered function.
        workflow: String,
        /// The caller's name for the instance.
        id: String,
        /// The encoded input.
        input: Bytes,
    },
    /// A step begins whose answer comes later.
    Asked {
        /// Which.
        step: StepId,
        /// What the code calls it.
        name: String,
        /// For sleep: when it is over.
        until_ms: Option<u64>,
    },
    /// The answer to a step that was asked.
    Answered {
        /// Which.
        step: StepId,
        /// What came of it.
        answer: Result<Bytes, WorkflowError>,
    },
    /// A step that began and ended at once.
    Recorded {
        /// Which.
        step: StepId,
        /// What the code calls it.
        name: String,
        /// What came of it.
        answer: Result<Bytes, WorkflowError>,
    },
    /// An instance is to end early: its open steps are answered, and so is each new one.
    CancelRequested {
        /// Which.
        instance: u64,
    },
    /// An instance has ended.
    Finished {
        /// Which.
        instance: u64,
        /// Its result.
        outcome: Result<Bytes, WorkflowError>,
    },
    /// The oldest finished instances are forgotten.
    Forgotten {
        /// How many.
        count: usize,
    },
}

impl Machine for Instances {
    type Change = Change;

    fn apply(&mut self, change: Change) {
        match change {
            Change::Started {
                workflow,
                id,
                input,
            } if !self.numbers.contains_key(&id) => {
                self.numbers.insert(id.clone(), self.next);
                let instance = Instance {
                    workflow,
                    id,
                    input,
                    steps: Vec::new(),
                    state: State::Running,
                };
                self.by_number.insert(self.next, instance);
                self.next += 1;
            }
            Change::Started { .. } => {}
            Change::Asked {
                step,
                name,
                until_ms,
            } => self.put(
                step,
                Step {
                    name,
                    until_ms,
                    answer: None,
                },
            ),
            Change::Answered { step, answer } => {
                if let Some(open) = self.open_step(step) {
                    open.answer = Some(answer);
                }
            }
            Change::Recorded { step, name, answer } => {
                self.put(
                    step,
                    Step {
                        name,
                        until_ms: None,
                        answer: Some(answer),
                    },
                );
            }
            Change::CancelRequested { instance } => self.cancel(instance),
            Change::Finished { instance, outcome } => {
                if let Some(ended) = self.unfinished(instance) {
                    ended.state = State::Finished(outcome);
                    ended.steps = Vec::new();
                    self.finished.push_back(instance);
                }
            }
            Change::Forgotten { count } => {
                let count = count.min(self.finished.len());
                for number in self.finished.drain(..count) {
                    if let Some(forgotten) = self.by_number.remove(&number) {
                        self.numbers.remove(&forgotten.id);
                    }
                }
            }
        }
    }
}

impl Instances {
    fn put(&mut self, step: StepId, content: Step) {
        if let Some(instance) = self.unfinished(step.instance()) {
            let index = step.index();
            if instance.steps.len() <= index {
                instance.steps.resize_with(index + 1, || None);
            }
            instance.steps[index] = Some(content);
        }
    }

    fn unfinished(&mut self, number: u64) -> Option<&mut Instance> {
        let instance = self.by_number.get_mut(&number)?;
        (!matches!(instance.state, State::Finished(_))).then_some(instance)
    }

    fn cancel(&mut self, instance: u64) {
        if let Some(instance) = self.unfinished(instance) {
            instance.state = State::Cancelling;
            let open = instance
                .steps
                .iter_mut()
                .flatten()
                .filter(|step| step.answer.is_none());
            open.for_each(|step| step.answer = Some(Err(WorkflowError::Cancelled)));
        }
    }

    fn step(&self, step: StepId) -> Option<&Step> {
        self.by_number
            .get(&step.instance())?
            .steps
            .get(step.index())?
            .as_ref()
    }

    fn open_step(&mut self, step: StepId) -> Option<&mut Step> {
        let step = self
            .by_number
            .get_mut(&step.instance())?
            .steps
            .get_mut(step.index())?
            .as_mut()?;
        step.answer.is_none().then_some(step)
    }

    pub(super) fn is_cancelling(&self, instance: u64) -> bool {
        self.by_number
            .get(&instance)
            .is_some_and(|instance| matches!(instance.state, State::Cancelling))
    }

    fn find(&self, id: &str) -> Result<(u64, &Instance), EngineError> {
        let number = self
            .numbers
            .get(id)
            .ok_or_else(|| EngineError::NotFound { id: id.to_owned() })?;
        Ok((*number, &self.by_number[number]))
    }

    pub(super) fn number_of(&self, id: &str) -> Result<u64, EngineError> {
        self.find(id).map(|(number, _)| number)
    }

    pub(super) fn status(&self, id: &str) -> Result<InstanceStatus, EngineError> {
        self.find(id).map(|(_, instance)| instance.status())
    }

    pub(super) fn list(&self, after: Option<&str>, limit: usize) -> Vec<InstanceStatus> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        let page = self
            .numbers
            .range::<str, _>((from, Unbounded))
            .take(limit.min(LONGEST_LIST));
        page.map(|(_, number)| self.by_number[number].status())
            .collect()
    }
}

/// An instance, from outside.
///
/// ```
/// # leap::testing::run_example(async {
/// # use leap_services::workflow::*;
/// # async fn greet(_: WorkflowContext, name: String) -> Result<String, WorkflowError> { Ok(format!("Hello {name}")) }
/// # let host = leap::Host::builder().start().await?;
/// # let engine = Engine::builder().register("greet", greet);
/// # let engine = engine.start(&host, "workflows", leap::ObjectOptions::default()).await?;
/// let _greeting: String = engine.run("greet", "visitor 1", &"Ada").await?;
/// let status = engine.status("visitor 1").await?;
/// assert_eq!((&*status.workflow, status.phase, status.error), ("greet", Phase::Completed, None));
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// The caller's name for it.
    pub id: String,
    /// Which workflow it runs.
    pub workflow: String,
    /// How far it is.
    pub phase: Phase,
    /// How many steps it has begun; 0 again when it has finished.
    pub steps: usize,
    /// Why it failed, if it did.
    pub error: Option<WorkflowError>,
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
/// use leap_services::workflow::Phase;
///
/// let _greeting: String = engine.run("greet", "visitor 1", &"Ada").await?;
/// let instances = engine.list(None, 100).await?;
/// let running = instances.iter().filter(|instance| instance.phase == Phase::Running);
/// assert_eq!(running.count(), 0);
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// It runs.
    Running,
    /// It was cancelled and compensates.
    Cancelling,
    /// It finished with a result.
    Completed,
    /// It finished without.
    Failed,
}

impl Instance {
    fn status(&self) -> InstanceStatus {
        let (phase, error) = match &self.state {
            State::Running => (Phase::Running, None),
            State::Cancelling => (Phase::Cancelling, None),
            State::Finished(Ok(_)) => (Phase::Completed, None),
            State::Finished(Err(error)) => (Phase::Failed, Some(error.clone())),
        };
        InstanceStatus {
            id: self.id.clone(),
            workflow: self.workflow.clone(),
            phase,
            steps: self.steps.len(),
            error,
        }
    }
}

/// What starts an instance.
///
/// ```
/// use leap_services::workflow::StartRequest;
///
/// let request: StartRequest =
///     serde_json::from_str(r#"{ "workflow": "greet", "id": "visitor 1", "input": "Ada" }"#)?;
/// assert_eq!(request.input.get(), r#""Ada""#);
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StartRequest {
    /// Which workflow.
    pub workflow: String,
    /// The caller's name for the instance. A second start with the same id, workflow and input is
    /// the same start.
    pub id: String,
    /// The workflow's input. Inputs are the same if their text is.
    pub input: Box<RawValue>,
}
