//! Workflows: async Rust functions that run to their end, whatever crashes.
//!
//! An [`Engine`] is a state object that hosts them. A workflow does everything that matters in *durable
//! steps* of its [`WorkflowContext`]; the engine records their results. When the engine comes back from
//! a crash or a rollback, the function runs again from its beginning, gets the recorded results where
//! it asks for the same steps, and goes on where the record ends.
//!
//! | step | what it does |
//! |---|---|
//! | [`call`](WorkflowContext::call) | calls an object, exactly once |
//! | [`run`](WorkflowContext::run) | computes or reads something; the result is what the first run got |
//! | [`effect`](WorkflowContext::effect) | acts on the outside world, once nothing before it can be lost |
//! | [`sleep`](WorkflowContext::sleep) | waits, over restarts too |
//! | [`compensate`](WorkflowContext::compensate) | says how to undo what was done, should the workflow fail |
//!
//! Nothing waits for the disk. A call leaves at once and its result is used at once, while records are
//! on their way to storage; only [`effect`](WorkflowContext::effect) and whoever asks for the result
//! from outside wait until all that came before is inside the boundary (rule P8). With
//! [`Speculation::Off`](leap::Speculation::Off) each call waits for the record of the step before it,
//! because it leaves only when the version it was made in is committed.
//!
//! # What a workflow must not do
//!
//! It must ask for the same steps when it runs again. So it takes time, randomness and whatever it reads
//! from elsewhere through [`run`](WorkflowContext::run). One that asks for another step than the one on
//! record fails with [`WorkflowError::NonDeterministic`], which names both.
//!
//! # Invariants
//!
//! - One task runs an instance, and it belongs to one *generation* of the engine's state. When the state
//!   is brought back to an older version, all tasks end before the new ones start from what survived.
//! - A task acts on the state only through actions that compare generations first. So a task that
//!   still knows what a rollback took away can never put it into the restored state: its step never
//!   comes back, until the task ends.
//! - A step has one answer, ever: what comes later (a reply after the instance was cancelled) is dropped.
//! - Numbers of instances are never used twice. So neither are the tokens of effects.
//! - At most [`keep_finished`](EngineBuilder::keep_finished) finished instances are kept (rule P13).
//!
//! # Not yet
//!
//! Signals, child workflows, versions of workflow code, time limits on steps, starting workflows from
//! other objects with the result as reply.
//!
//! # Example
//!
//! ```
//! # leap::testing::run_example(async {
//! use leap::{Host, ObjectOptions};
//! use leap_services::workflow::{Engine, WorkflowContext, WorkflowError};
//!
//! async fn greet(ctx: WorkflowContext, name: String) -> Result<String, WorkflowError> {
//!     let length = ctx.run("count", || async { name.len() }).await?;
//!     ctx.effect("send", |token| async move {
//!         println!("sent, {token}");
//!         Ok::<_, std::io::Error>(())
//!     })
//!     .await?;
//!     Ok(format!("Hello {name}, your name has {length} letters"))
//! }
//!
//! let host = Host::builder().start().await?;
//! let engine = Engine::builder()
//!     .register("greet", greet)
//!     .start(&host, "workflows", ObjectOptions::default())
//!     .await?;
//! let greeting: String = engine.run("greet", "visitor-1", &"Ada").await?;
//! assert_eq!(greeting, "Hello Ada, your name has 3 letters");
//! # Ok(())
//! # });
//! ```

mod client;
mod clock;
mod context;
mod engine;
mod error;
mod instances;
mod retry;
mod run;

pub use client::EngineClient;
pub use context::WorkflowContext;
pub use engine::{Engine, EngineBuilder};
pub use error::{EngineError, WorkflowError};
pub use instances::{InstanceStatus, Instances, Phase, StartRequest};
pub use retry::RetryPolicy;
