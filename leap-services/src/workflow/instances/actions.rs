//! The actions on instances: each is one change of the durable state and of who waits for it.

use std::sync::Arc;

use bytes::Bytes;
use leap::Action;
use tokio::sync::{mpsc, oneshot};

use super::live::{Answer, Attached, Finish, Job, Live};
use super::{Change, Instances, StartRequest, State, StepId};
use crate::workflow::engine::Rules;
use crate::workflow::error::{EngineError, WorkflowError};

/// Actions.
pub(in crate::workflow) trait InstanceActions {
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
