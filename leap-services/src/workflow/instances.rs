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

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use leap::{
    Action, CallError, Journaled, Machine, Object, ObjectId, Output, OutputLost, Service,
    decode_request, encode_value,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};

use super::engine::Rules;
use super::error::{EngineError, WorkflowError};

const STEP_BITS: u32 = 20;

/// How many steps an instance can have.
pub(super) const MAX_STEPS: u64 = 1 << STEP_BITS;

/// How many instances one page of a list has at most.
const LONGEST_LIST: usize = 1000;

/// Names one step of one instance, and is the number of the call that the step may make.
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
#[derive(Default, Serialize, Deserialize)]
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
            } => {
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
                if let Some(ended) = self.by_number.get_mut(&instance) {
                    ended.state = State::Finished(outcome);
                    ended.steps = Vec::new();
                    self.finished.push_back(instance);
                }
            }
            Change::Forgotten { count } => {
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
        if let Some(instance) = self.by_number.get_mut(&step.instance()) {
            let index = step.index();
            if instance.steps.len() <= index {
                instance.steps.resize_with(index + 1, || None);
            }
            instance.steps[index] = Some(content);
        }
    }

    fn cancel(&mut self, instance: u64) {
        if let Some(instance) = self.by_number.get_mut(&instance) {
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

/// What of this process waits for the state, and is told by it.
#[derive(Default)]
struct Live {
    /// Absent until the engine's task has attached.
    attached: Option<Attached>,
    answers: BTreeMap<StepId, oneshot::Sender<Result<Bytes, WorkflowError>>>,
    results: HashMap<u64, Vec<oneshot::Sender<Finish>>>,
}

struct Attached {
    rules: Arc<Rules>,
    /// Where new instances go to be run.
    jobs: mpsc::UnboundedSender<Job>,
}

/// An instance to be run.
pub(super) struct Job {
    pub(super) number: u64,
    pub(super) workflow: String,
    pub(super) id: String,
    pub(super) input: Bytes,
    /// What earlier runs did, by position.
    pub(super) replay: Vec<Option<Replay>>,
}

/// A step that an earlier run asked for.
pub(super) struct Replay {
    pub(super) name: String,
    pub(super) until_ms: Option<u64>,
    pub(super) answer: Answer,
}

/// What a step gives: now, or later.
pub(super) enum Answer {
    Now(Result<Bytes, WorkflowError>),
    /// The channel ends without an answer when the state it belongs to is no more.
    Later(oneshot::Receiver<Result<Bytes, WorkflowError>>),
}

/// A result, to be given away when its output is released.
pub(super) struct Finish {
    outcome: Result<Bytes, WorkflowError>,
    output: Output,
}

/// How to get at an instance's result.
enum Watch {
    Finished(Finish),
    Running(oneshot::Receiver<Finish>),
}

/// What starts an instance.
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

/// Actions.
pub(super) trait InstanceActions {
    /// Becomes the one who is given new instances, and takes over those that run.
    fn attach(&mut self, rules: &Arc<Rules>, jobs: mpsc::UnboundedSender<Job>) -> Vec<Job>;
    /// Starts an instance, unless this start was made before; gives its number.
    fn start(&mut self, request: &StartRequest) -> Result<u64, EngineError>;
    /// Begins a step whose answer comes later; `ask` is what makes it come.
    fn ask(
        &mut self,
        step: StepId,
        name: String,
        until_ms: Option<u64>,
        is_undo: bool,
        ask: impl FnOnce(&Self),
    ) -> Answer;
    /// Answers a step that was asked for, and gives the answer it has now.
    fn answer(
        &mut self,
        step: StepId,
        answer: Result<Bytes, WorkflowError>,
    ) -> Result<Bytes, WorkflowError>;
    /// Asks an instance to end early.
    fn cancel(&mut self, id: &str) -> Result<(), EngineError>;
    /// Ends an instance.
    fn finish(&mut self, instance: u64, outcome: Result<Bytes, WorkflowError>);
}

impl InstanceActions for Action<'_, Instances> {
    fn attach(&mut self, rules: &Arc<Rules>, jobs: mpsc::UnboundedSender<Job>) -> Vec<Job> {
        let mut live = Live {
            attached: Some(Attached {
                rules: rules.clone(),
                jobs,
            }),
            ..Live::default()
        };
        let unfinished = self
            .by_number
            .iter()
            .filter(|(_, instance)| !matches!(instance.state, State::Finished(_)));
        let jobs = unfinished
            .map(|(&number, instance)| live.job(number, instance))
            .collect();
        // Whoever waited for the state before this one is told by the end of their channel.
        self.live.replace(live);
        jobs
    }

    fn start(&mut self, request: &StartRequest) -> Result<u64, EngineError> {
        let StartRequest {
            workflow,
            id,
            input,
        } = request;
        if let Ok((number, existing)) = self.find(id) {
            let is_same = existing.workflow == *workflow && existing.input == input.get();
            return if is_same {
                Ok(number)
            } else {
                Err(EngineError::Conflict { id: id.clone() })
            };
        }
        if self
            .live
            .borrow()
            .attached
            .as_ref()
            .is_some_and(|attached| !attached.rules.knows(workflow))
        {
            return Err(EngineError::UnknownWorkflow {
                workflow: workflow.clone(),
            });
        }
        let number = self.next;
        let input = Bytes::copy_from_slice(input.get().as_bytes());
        self.record(Change::Started {
            workflow: workflow.clone(),
            id: id.clone(),
            input: input.clone(),
        });
        if let Some(attached) = &self.live.borrow().attached {
            let job = Job {
                number,
                workflow: workflow.clone(),
                id: id.clone(),
                input,
                replay: Vec::new(),
            };
            // Without its task the engine is about to end.
            let _ = attached.jobs.send(job);
        }
        Ok(number)
    }

    fn ask(
        &mut self,
        step: StepId,
        name: String,
        until_ms: Option<u64>,
        is_undo: bool,
        ask: impl FnOnce(&Self),
    ) -> Answer {
        if self.is_cancelling(step.instance()) && !is_undo {
            let answer = Err(WorkflowError::Cancelled);
            self.record(Change::Recorded {
                step,
                name,
                answer: answer.clone(),
            });
            return Answer::Now(answer);
        }
        self.record(Change::Asked {
            step,
            name,
            until_ms,
        });
        ask(self);
        let (sender, receiver) = oneshot::channel();
        self.live.borrow_mut().answers.insert(step, sender);
        Answer::Later(receiver)
    }

    fn answer(
        &mut self,
        step: StepId,
        answer: Result<Bytes, WorkflowError>,
    ) -> Result<Bytes, WorkflowError> {
        let waiting = self.live.borrow_mut().answers.remove(&step);
        if let Some(earlier) = self.step(step).and_then(|step| step.answer.clone()) {
            return earlier;
        }
        self.record(Change::Answered {
            step,
            answer: answer.clone(),
        });
        if let Some(waiting) = waiting {
            // Whoever asked may not care any more.
            let _ = waiting.send(answer.clone());
        }
        answer
    }

    fn cancel(&mut self, id: &str) -> Result<(), EngineError> {
        let (instance, state) = self
            .find(id)
            .map(|(number, instance)| (number, &instance.state))?;
        if matches!(state, State::Running) {
            self.record(Change::CancelRequested { instance });
            let mut live = self.live.borrow_mut();
            for waiting in live.take_answers(instance) {
                let _ = waiting.send(Err(WorkflowError::Cancelled));
            }
        }
        Ok(())
    }

    fn finish(&mut self, instance: u64, outcome: Result<Bytes, WorkflowError>) {
        self.record(Change::Finished {
            instance,
            outcome: outcome.clone(),
        });
        let (waiting, keep) = {
            let mut live = self.live.borrow_mut();
            let keep = live
                .attached
                .as_ref()
                .map_or(usize::MAX, |attached| attached.rules.keep_finished);
            (live.results.remove(&instance), keep)
        };
        let count = self.finished.len().saturating_sub(keep);
        if count > 0 {
            self.record(Change::Forgotten { count });
        }
        for waiting in waiting.into_iter().flatten() {
            // Whoever asked may have gone.
            let _ = waiting.send(Finish {
                outcome: outcome.clone(),
                output: self.output(),
            });
        }
    }
}

impl Live {
    /// All who wait for steps of an instance.
    fn take_answers(
        &mut self,
        instance: u64,
    ) -> impl Iterator<Item = oneshot::Sender<Result<Bytes, WorkflowError>>> {
        let mut taken = self.answers.split_off(&StepId::new(instance, 0));
        let mut others = taken.split_off(&StepId::new(instance + 1, 0));
        self.answers.append(&mut others);
        taken.into_values()
    }

    /// What it takes to run an instance again; open steps are waited for from here on.
    fn job(&mut self, number: u64, instance: &Instance) -> Job {
        let replay = instance.steps.iter().enumerate().map(|(position, step)| {
            let step = step.as_ref()?;
            let answer = match &step.answer {
                Some(answer) => Answer::Now(answer.clone()),
                None => {
                    let (sender, receiver) = oneshot::channel();
                    self.answers
                        .insert(StepId::new(number, position as u64), sender);
                    Answer::Later(receiver)
                }
            };
            Some(Replay {
                name: step.name.clone(),
                until_ms: step.until_ms,
                answer,
            })
        });
        let replay = replay.collect();
        Job {
            number,
            workflow: instance.workflow.clone(),
            id: instance.id.clone(),
            input: instance.input.clone(),
            replay,
        }
    }
}

fn watch(action: &Action<'_, Instances>, number: u64) -> Watch {
    match &action.by_number[&number].state {
        State::Finished(outcome) => Watch::Finished(Finish {
            outcome: outcome.clone(),
            output: action.output(),
        }),
        State::Running | State::Cancelling => {
            let (sender, receiver) = oneshot::channel();
            let mut live = action.live.borrow_mut();
            let waiting = live.results.entry(number).or_default();
            waiting.retain(|waiting| !waiting.is_closed());
            waiting.push(sender);
            Watch::Running(receiver)
        }
    }
}

/// Waits for the result of the instance that `find` finds or starts, for the outside world (rule P8).
pub(super) async fn result(
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
    let error = CallError::Unavailable {
        object: object.name().to_owned(),
        reason: reason.to_string(),
    };
    EngineError::Call(error)
}

impl Service for Instances {
    fn call(action: &mut Action<'_, Self>, method: &str, body: &[u8]) -> Result<Bytes, CallError> {
        Ok(match method {
            "start" => encode_value(&action.start(&decode_request(method, body)?).map(|_| ())),
            "cancel" => encode_value(&action.cancel(&decode_request::<String>(method, body)?)),
            "status" => encode_value(&action.status(&decode_request::<String>(method, body)?)),
            "list" => {
                let (after, limit): (Option<String>, usize) = decode_request(method, body)?;
                encode_value(&action.list(after.as_deref(), limit))
            }
            _ => {
                return Err(CallError::NoSuchMethod {
                    method: method.to_owned(),
                });
            }
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
            "status" => {
                let id: String = decode_request(method, &body)?;
                return object
                    .view_released(|instances| encode_value(&instances.status(&id)))
                    .await;
            }
            "list" => {
                let (after, limit): (Option<String>, usize) = decode_request(method, &body)?;
                return object
                    .view_released(|instances| {
                        encode_value(&instances.list(after.as_deref(), limit))
                    })
                    .await;
            }
            _ => {
                return object
                    .change_released(|action| Self::call(action, method, &body))
                    .await?;
            }
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

    /// Ids make sure already that things happen once.
    async fn answer_once(
        object: &Object<Journaled<Self>>,
        method: &str,
        body: Bytes,
        _idempotency_key: &str,
    ) -> Result<Bytes, CallError> {
        Self::answer(object, method, body).await
    }
}
