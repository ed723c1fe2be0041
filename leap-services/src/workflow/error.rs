//! Why workflows fail, and why an engine refuses.

use std::fmt;

use leap::CallError;
use serde::{Deserialize, Serialize};

/// Why a workflow, or one of its steps, failed. Part of the record: the same after every recovery.
///
/// ```
/// # leap::testing::run_example(async {
/// # use leap_services::workflow::*;
/// # let host = leap::Host::builder().start().await?;
/// use leap_services::workflow::WorkflowError;
///
/// async fn order(_ctx: WorkflowContext, portions: u32) -> Result<u32, WorkflowError> {
///     portions.checked_mul(1000).ok_or_else(|| WorkflowError::failed("nobody eats that much"))
/// }
///
/// # let engine = Engine::builder().register("order", order);
/// # let engine = engine.start(&host, "workflows", leap::ObjectOptions::default()).await?;
/// match engine.run::<u32>("order", "table 7", &u32::MAX).await {
///     Err(EngineError::Workflow(WorkflowError::Failed { reason })) => println!("{reason}"),
///     other => panic!("{other:?}"),
/// }
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum WorkflowError {
    /// The workflow says so itself: see [`WorkflowError::failed`].
    #[error("{reason}")]
    Failed {
        /// What it says.
        reason: String,
    },
    /// A call has no result.
    #[error("the call {call} has no result")]
    Call {
        /// The object and its handler.
        call: String,
        /// Why.
        source: CallError,
    },
    /// An effect failed as often as its [`RetryPolicy`](super::RetryPolicy) allows.
    #[error("the effect {effect:?} failed {attempts} times, at last: {reason}")]
    Effect {
        /// Its name.
        effect: String,
        /// How often it was tried.
        attempts: u32,
        /// What went wrong the last time.
        reason: String,
    },
    /// The workflow asks for another step than the one on record: its code has changed, or depends on
    /// something besides its input and its steps. It is given up without compensation, since what it
    /// would compensate is not known.
    #[error("step {step} is on record as {recorded:?}, and now the workflow asks for {asked:?}")]
    NonDeterministic {
        /// The step's position, from 0.
        step: u64,
        /// What an earlier run asked for.
        recorded: String,
        /// What this run asked for.
        asked: String,
    },
    /// Somebody cancelled it.
    #[error("cancelled")]
    Cancelled,
    /// Its code panicked.
    #[error("panicked: {reason}")]
    Panicked {
        /// What it said.
        reason: String,
    },
    /// It failed, and so did some of its compensation.
    #[error("{cause}; and compensation failed: {}", failed.join(", "))]
    Compensation {
        /// Why it failed in the first place.
        cause: Box<Self>,
        /// The compensations that failed, each with its reason.
        failed: Vec<String>,
    },
    /// It asked for more steps than an instance can have.
    #[error("more than {limit} steps")]
    TooManySteps {
        /// How many there can be.
        limit: u64,
    },
    /// Bytes are not of the type that the workflow's code takes them for.
    #[error("{what} is not what the workflow takes it for: {reason}")]
    Type {
        /// The input, or the name of a step.
        what: String,
        /// What is wrong.
        reason: String,
    },
}

impl WorkflowError {
    /// The workflow gives up because of `reason`.
    ///
    /// ```
    /// use leap_services::workflow::WorkflowError;
    ///
    /// let error = WorkflowError::failed("sold out");
    /// assert_eq!(error, WorkflowError::Failed { reason: "sold out".into() });
    /// ```
    pub fn failed(reason: impl fmt::Display) -> Self {
        Self::Failed {
            reason: reason.to_string(),
        }
    }

    pub(super) fn ill_typed(what: &str, error: impl fmt::Display) -> Self {
        Self::Type {
            what: what.to_owned(),
            reason: error.to_string(),
        }
    }
}

/// For workflows that use typed clients.
impl From<CallError> for WorkflowError {
    fn from(error: CallError) -> Self {
        Self::failed(error)
    }
}

/// Why an engine does not do, or give, what it is asked for.
///
/// ```
/// # leap::testing::run_example(async {
/// # use leap_services::workflow::*;
/// # async fn greet(_: WorkflowContext, name: String) -> Result<String, WorkflowError> { Ok(format!("Hello {name}")) }
/// # let host = leap::Host::builder().start().await?;
/// # let engine = Engine::builder().register("greet", greet);
/// # let engine = engine.start(&host, "workflows", leap::ObjectOptions::default()).await?;
/// use leap_services::workflow::EngineError;
///
/// match engine.run::<String>("greet", "visitor 1", &"Ada").await {
///     Ok(greeting) => println!("{greeting}"),
///     Err(EngineError::Workflow(why)) => println!("it ended without success: {why}"),
///     Err(EngineError::Call(why)) => println!("ask again with the same id: {why}"),
///     Err(mistake) => println!("the caller's: {mistake}"),
/// }
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// No workflow of this name is registered.
    #[error("there is no workflow called {workflow:?}")]
    UnknownWorkflow {
        /// The name.
        workflow: String,
    },
    /// The id belongs to an instance with another workflow or input.
    #[error("an instance {id:?} exists, with another workflow or input")]
    Conflict {
        /// The id.
        id: String,
    },
    /// No instance has this id, or it finished long ago and is forgotten.
    #[error("there is no instance {id:?}")]
    NotFound {
        /// The id.
        id: String,
    },
    /// The workflow has finished, without success.
    #[error("the workflow failed")]
    Workflow(#[from] WorkflowError),
    /// The result is not of the type that the caller wants.
    #[error("the result of {id:?} cannot be read: {reason}")]
    BadResult {
        /// The instance's id.
        id: String,
        /// What is wrong.
        reason: String,
    },
    /// The engine does not answer now. All it is asked for may be asked for again: ids make sure that
    /// it happens once.
    #[error("the engine does not answer")]
    Call(#[from] CallError),
}
