//! What of this process waits for the state, and is told by it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use leap::{Action, Output};
use tokio::sync::{mpsc, oneshot};

use super::{Instance, Instances, State, StepId};
use crate::workflow::engine::Rules;
use crate::workflow::error::WorkflowError;

/// What of this process waits for the state, and is told by it.
#[derive(Default)]
pub(super) struct Live {
    /// Absent until the engine's task has attached.
    pub(super) attached: Option<Attached>,
    pub(super) answers: BTreeMap<StepId, oneshot::Sender<Result<Bytes, WorkflowError>>>,
    pub(super) results: HashMap<u64, Vec<oneshot::Sender<Finish>>>,
}

pub(super) struct Attached {
    pub(super) rules: Arc<Rules>,
    /// Where new instances go to be run.
    pub(super) jobs: mpsc::UnboundedSender<Job>,
}

/// An instance to be run.
pub(in crate::workflow) struct Job {
    pub(in crate::workflow) number: u64,
    pub(in crate::workflow) workflow: String,
    pub(in crate::workflow) id: String,
    pub(in crate::workflow) input: Bytes,
    /// What earlier runs did, by position.
    pub(in crate::workflow) replay: Vec<Option<Replay>>,
}

/// A step that an earlier run asked for.
pub(in crate::workflow) struct Replay {
    pub(in crate::workflow) name: String,
    pub(in crate::workflow) until_ms: Option<u64>,
    pub(in crate::workflow) answer: Answer,
}

/// What a step gives: now, or later.
pub(in crate::workflow) enum Answer {
    Now(Result<Bytes, WorkflowError>),
    /// The channel ends without an answer when the state it belongs to is no more.
    Later(oneshot::Receiver<Result<Bytes, WorkflowError>>),
}

/// A result, to be given away when its output is released.
pub(in crate::workflow) struct Finish {
    pub(super) outcome: Result<Bytes, WorkflowError>,
    pub(super) output: Output,
}

/// How to get at an instance's result.
pub(super) enum Watch {
    Finished(Finish),
    Running(oneshot::Receiver<Finish>),
}

impl Live {
    /// All who wait for steps of an instance.
    pub(super) fn take_answers(
        &mut self,
        instance: u64,
    ) -> impl Iterator<Item = oneshot::Sender<Result<Bytes, WorkflowError>>> {
        let mut taken = self.answers.split_off(&StepId::new(instance, 0));
        let mut others = taken.split_off(&StepId::new(instance + 1, 0));
        self.answers.append(&mut others);
        taken.into_values()
    }

    /// What it takes to run an instance again; open steps are waited for from here on.
    pub(super) fn job(&mut self, number: u64, instance: &Instance) -> Job {
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

/// How to get at the result of the instance with this number.
pub(super) fn watch(action: &Action<'_, Instances>, number: u64) -> Watch {
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
