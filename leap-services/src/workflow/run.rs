//! One run of an instance: from its beginning, over what is on record, to wherever it gets.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use leap::{Action, Journaled, Object};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::context::WorkflowContext;
use super::engine::{Rules, Workflow};
use super::error::WorkflowError;
use super::instances::{Answer, InstanceActions as _, Instances, Job, MAX_STEPS, Replay, StepId};

/// One run of an instance, in one generation of the engine's state.
pub(super) struct Run {
    object: Object<Journaled<Instances>>,
    generation: u64,
    number: u64,
    pub(super) id: String,
    pub(super) rules: Arc<Rules>,
    next_step: AtomicU64,
    /// The workflow has failed and undoes what it did: cancelling has no effect on these steps.
    is_undoing: AtomicBool,
    replay: Mutex<Vec<Option<Replay>>>,
    undo: Mutex<Vec<Undo>>,
    diverged: Mutex<Option<WorkflowError>>,
}

/// How to undo something.
pub(super) struct Undo {
    pub(super) name: String,
    pub(super) undo:
        Box<dyn FnOnce(WorkflowContext) -> BoxFuture<'static, Result<(), WorkflowError>> + Send>,
}

/// What the run finds at the next position.
pub(super) enum Turn {
    /// An earlier run asked for this step.
    Replayed {
        step: StepId,
        until_ms: Option<u64>,
        answer: Answer,
    },
    /// Nobody did.
    Fresh(StepId),
    /// The step cannot be.
    Refused(WorkflowError),
}

/// From beginning to end.
impl Run {
    pub(super) async fn execute(
        object: Object<Journaled<Instances>>,
        rules: Arc<Rules>,
        generation: u64,
        job: Job,
        workflow: Workflow,
    ) {
        let Job {
            number,
            id,
            input,
            replay,
            ..
        } = job;
        let run = Arc::new(Self {
            object,
            generation,
            number,
            id,
            rules,
            next_step: AtomicU64::new(0),
            is_undoing: AtomicBool::new(false),
            replay: Mutex::new(replay),
            undo: Mutex::default(),
            diverged: Mutex::default(),
        });
        let context = WorkflowContext::new(run.clone());
        let running = async { workflow.begin(context, input).await };
        let mut outcome = catch_panic(running).await;
        if let Err(cause) = outcome {
            outcome = Err(run.undo_all(cause).await);
        }
        run.notice_missing_steps();
        if let Some(diverged) = run.diverged() {
            outcome = Err(diverged);
        }
        run.act(|action| action.finish(number, outcome)).await;
    }

    /// Runs what undoes the steps that succeeded, the last one first; gives the error to fail with.
    async fn undo_all(self: &Arc<Self>, cause: WorkflowError) -> WorkflowError {
        self.is_undoing.store(true, Ordering::Relaxed);
        let mut failed = Vec::new();
        while let Some(Undo { name, undo }) = self.next_undo() {
            let undoing = async { undo(WorkflowContext::new(self.clone())).await };
            if let Err(error) = catch_panic(undoing).await {
                failed.push(format!("{name}: {error}"));
            }
        }
        if failed.is_empty() {
            cause
        } else {
            WorkflowError::Compensation {
                cause: Box::new(cause),
                failed,
            }
        }
    }

    /// A run that has diverged knows nothing about what was done.
    fn next_undo(&self) -> Option<Undo> {
        if self.diverged().is_some() {
            None
        } else {
            self.undo.lock().pop()
        }
    }

    pub(super) fn register_undo(&self, undo: Undo) {
        self.undo.lock().push(undo);
    }

    fn diverged(&self) -> Option<WorkflowError> {
        self.diverged.lock().clone()
    }

    fn diverge(&self, step: u64, recorded: String, asked: &str) -> WorkflowError {
        let error = WorkflowError::NonDeterministic {
            step,
            recorded,
            asked: asked.to_owned(),
        };
        self.diverged.lock().get_or_insert(error).clone()
    }

    /// An earlier run asked for more steps than this one did before it ended.
    fn notice_missing_steps(&self) {
        let left = self
            .replay
            .lock()
            .iter_mut()
            .enumerate()
            .find_map(|(at, step)| Some((at, step.take()?)));
        if let Some((position, Replay { name, .. })) = left {
            self.diverge(position as u64, name, "the end");
        }
    }
}

/// Steps.
impl Run {
    /// The next step. Positions are given in the order in which steps are asked for, not in the order in
    /// which they are awaited or done.
    pub(super) fn turn(&self, name: &str) -> Turn {
        if let Some(diverged) = self.diverged() {
            return Turn::Refused(diverged);
        }
        let position = self.next_step.fetch_add(1, Ordering::Relaxed);
        if position >= MAX_STEPS {
            return Turn::Refused(WorkflowError::TooManySteps { limit: MAX_STEPS });
        }
        let step = StepId::new(self.number, position);
        let index = usize::try_from(position).expect("steps are in memory");
        match self.replay.lock().get_mut(index).and_then(Option::take) {
            None => Turn::Fresh(step),
            Some(Replay { name: recorded, .. }) if recorded != name => {
                Turn::Refused(self.diverge(position, recorded, name))
            }
            Some(Replay {
                until_ms, answer, ..
            }) => Turn::Replayed {
                step,
                until_ms,
                answer,
            },
        }
    }

    /// Begins a step whose answer comes later.
    pub(super) async fn ask(
        &self,
        step: StepId,
        name: String,
        until_ms: Option<u64>,
        ask: impl FnOnce(&Action<'_, Instances>),
    ) -> Answer {
        let is_undoing = self.is_undoing();
        self.act(|action| action.ask(step, name, until_ms, is_undoing, ask))
            .await
    }

    pub(super) async fn answer(
        &self,
        step: StepId,
        answer: Result<Bytes, WorkflowError>,
    ) -> Result<Bytes, WorkflowError> {
        self.act(|action| action.answer(step, answer)).await
    }

    /// Puts a step on record that is over.
    pub(super) async fn record(
        &self,
        step: StepId,
        name: String,
        answer: Result<Bytes, WorkflowError>,
    ) -> Result<Bytes, WorkflowError> {
        let change = super::instances::Change::Recorded {
            step,
            name,
            answer: answer.clone(),
        };
        self.act(|action| action.record(change)).await;
        answer
    }

    /// Whether steps of this run are refused because somebody cancelled the instance.
    pub(super) fn is_cancelled(&self) -> bool {
        !self.is_undoing()
            && self
                .object
                .state()
                .view(|instances| instances.is_cancelling(self.number))
    }

    fn is_undoing(&self) -> bool {
        self.is_undoing.load(Ordering::Relaxed)
    }

    /// Runs an action on the state that this run belongs to. Never comes back if that state is no more.
    async fn act<R>(&self, act: impl FnOnce(&mut Action<'_, Instances>) -> R) -> R {
        let generation = self.generation;
        let acted = self
            .object
            .change(|action| (action.context().generation() == generation).then(|| act(action)));
        match acted.await {
            Ok(Some(result)) => result,
            Ok(None) | Err(_) => is_over().await,
        }
    }

    /// Waits until all that this run has seen is inside the boundary (rule P8). Never comes back if it
    /// never will be.
    pub(super) async fn inside_boundary(&self) {
        let Ok(((), mut sthread)) = self.object.read(|_| ()).await else {
            return is_over().await;
        };
        let is_inside = sthread.barrier().await.is_ok();
        // The generation is counted up before the state is touched: unchanged now, it was this
        // run's state that the sthread has seen.
        if !is_inside || self.object.life().borrow().generation != self.generation {
            is_over::<()>().await;
        }
    }

    /// Names an effect: the same for every attempt, in every life of the engine.
    pub(super) fn token(&self, step: StepId) -> String {
        format!(
            "{}/{}/{}.{}",
            self.object.name(),
            self.id,
            self.number,
            step.position()
        )
    }
}

/// Waits for an answer. Never comes back if the state that it belongs to is no more.
pub(super) async fn wait(
    answer: oneshot::Receiver<Result<Bytes, WorkflowError>>,
) -> Result<Bytes, WorkflowError> {
    match answer.await {
        Ok(answer) => answer,
        Err(_) => is_over().await,
    }
}

/// Where a run waits for its task to be ended.
async fn is_over<R>() -> R {
    std::future::pending().await
}

async fn catch_panic<R>(
    running: impl Future<Output = Result<R, WorkflowError>>,
) -> Result<R, WorkflowError> {
    match AssertUnwindSafe(running).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(panic) => Err(WorkflowError::Panicked {
            reason: message_of(&*panic),
        }),
    }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let literal = panic
        .downcast_ref::<&str>()
        .map(|&message| message.to_owned());
    let message = literal.or_else(|| panic.downcast_ref::<String>().cloned());
    message.unwrap_or_else(|| "it did not say why".to_owned())
}
