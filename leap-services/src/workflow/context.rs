//! What a workflow does things with.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use leap::{Action, CallError, ObjectId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::WorkflowError;
use super::instances::{Answer, Instances};
use super::retry::RetryPolicy;
use super::run::{Run, Turn, Undo, wait};

/// The durable steps of a running workflow. Clones are the same workflow.
///
/// Steps are numbered in the order in which these functions are called, not in which they are awaited:
/// several can be on their way at once.
///
/// ```
/// use leap_services::workflow::{WorkflowContext, WorkflowError};
///
/// async fn quote(ctx: WorkflowContext, city: String) -> Result<u64, WorkflowError> {
///     // Both are asked at once.
///     let room = ctx.call::<u64>("hotel", "price", &city);
///     let seat = ctx.call::<u64>("flight", "price", &city);
///     Ok(room.await? + seat.await?)
/// }
/// ```
///
/// The other kinds of steps:
///
/// ```
/// use std::time::Duration;
///
/// use leap_services::workflow::{RetryPolicy, WorkflowContext, WorkflowError};
///
/// async fn remind(ctx: WorkflowContext, customer: String) -> Result<(), WorkflowError> {
///     // What differs from run to run is taken from the first.
///     let number = ctx.run("draw", || async { std::process::id() }).await?;
///     ctx.sleep(Duration::from_secs(24 * 3600)).await?;
///     let policy = RetryPolicy { attempts: Some(3), ..RetryPolicy::default() };
///     // Outside, and once: whoever sends it knows it by its token.
///     let send = |token: String| {
///         let customer = customer.clone();
///         async move {
///             println!("{token}: reminder {number} for {customer}");
///             Ok::<_, std::io::Error>(())
///         }
///     };
///     ctx.effect_with("send", policy, send).await
/// }
/// ```
#[derive(Clone)]
pub struct WorkflowContext {
    run: Arc<Run>,
}

impl fmt::Debug for WorkflowContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkflowContext")
            .field("id", &self.run.id)
            .finish_non_exhaustive()
    }
}

impl WorkflowContext {
    pub(super) fn new(run: Arc<Run>) -> Self {
        Self { run }
    }

    /// The instance's id.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::workflow::*;
    /// # let host = leap::Host::builder().start().await?;
    /// async fn badge(ctx: WorkflowContext, (): ()) -> Result<String, WorkflowError> {
    ///     Ok(format!("badge of {}", ctx.id()))
    /// }
    ///
    /// # let engine = Engine::builder().register("badge", badge);
    /// # let engine = engine.start(&host, "workflows", leap::ObjectOptions::default()).await?;
    /// assert_eq!(engine.run::<String>("badge", "visitor 1", &()).await?, "badge of visitor 1");
    /// # Ok(())
    /// # });
    /// ```
    pub fn id(&self) -> &str {
        &self.run.id
    }

    /// Calls the handler `method` of the object called `object`, exactly once, and gives its result.
    ///
    /// What the object refuses in its own terms is part of the result type: `R` is
    /// `Result<Reservation, Rejected>`, say. An object that does not exist yet is waited for.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::workflow::*;
    /// # let host = leap::Host::builder().start().await?;
    /// # host.add::<leap::testing::Counter>("counter").await?;
    /// async fn count(ctx: WorkflowContext, by: u64) -> Result<u64, WorkflowError> {
    ///     ctx.call::<u64>("counter", "add", &by).await?;
    ///     // However often this function runs again after crashes, each has happened once.
    ///     ctx.call("counter", "add", &by).await
    /// }
    ///
    /// # let engine = Engine::builder().register("count", count);
    /// # let engine = engine.start(&host, "workflows", leap::ObjectOptions::default()).await?;
    /// assert_eq!(engine.run::<u64>("count", "today", &5).await?, 10);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`WorkflowError::Call`] if there is no such handler or it does not understand the request,
    /// [`WorkflowError::Type`] if the result is not an `R`, [`WorkflowError::Cancelled`],
    /// [`WorkflowError::NonDeterministic`].
    pub fn call<R: DeserializeOwned + 'static>(
        &self,
        object: &str,
        method: &str,
        request: &(impl Serialize + ?Sized),
    ) -> BoxFuture<'static, Result<R, WorkflowError>> {
        let name = format!("{object}.{method}");
        let reply = self.call_encoded(object, method, leap::encode_value(request));
        Box::pin(async move { decode(&name, &reply.await?) })
    }

    /// As [`call`](Self::call), with request and result as the bytes that travel.
    fn call_encoded(
        &self,
        object: &str,
        method: &str,
        request: Bytes,
    ) -> impl Future<Output = Result<Bytes, WorkflowError>> + Send + use<> {
        let name = format!("{object}.{method}");
        let (run, turn) = self.turn(&name);
        let (object, method) = (ObjectId::from_name(object), method.to_owned());
        async move {
            let answer = match turn {
                Turn::Refused(error) => return Err(error),
                Turn::Replayed { answer, .. } => answer,
                Turn::Fresh(step) => {
                    let call = |action: &Action<'_, Instances>| {
                        action.call(object, step.call(), &method, request);
                    };
                    run.ask(step, name, None, call).await
                }
            };
            given(answer).await
        }
    }

    /// Does `work` and records what it gives; later runs get that. For what the workflow's code must
    /// not do by itself: read a clock, draw a random number, ask someone something, compute long. If the
    /// engine crashes before the record is durable, the work is done again; so it must not change
    /// anything outside: that is what [`effect`](Self::effect) is for.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::workflow::*;
    /// # let host = leap::Host::builder().start().await?;
    /// async fn lottery(ctx: WorkflowContext, (): ()) -> Result<u32, WorkflowError> {
    ///     let drawn = ctx.run("draw", || async { std::process::id() % 49 }).await?;
    ///     // A later run of this function gets the same number here.
    ///     Ok(drawn + 1)
    /// }
    ///
    /// # let engine = Engine::builder().register("lottery", lottery);
    /// # let engine = engine.start(&host, "workflows", leap::ObjectOptions::default()).await?;
    /// assert!(engine.run::<u32>("lottery", "week 1", &()).await? <= 49);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`WorkflowError::Type`] if what is on record is not a `T`, [`WorkflowError::Cancelled`],
    /// [`WorkflowError::NonDeterministic`].
    pub fn run<T, F, W>(
        &self,
        name: &str,
        work: F,
    ) -> impl Future<Output = Result<T, WorkflowError>> + Send + use<T, F, W>
    where
        T: Serialize + DeserializeOwned + Send,
        F: FnOnce() -> W + Send,
        W: Future<Output = T> + Send,
    {
        let (run, turn) = self.turn(name);
        let name = name.to_owned();
        async move {
            match turn {
                Turn::Refused(error) => Err(error),
                Turn::Replayed { answer, .. } => decode(&name, &given(answer).await?),
                Turn::Fresh(step) if run.is_cancelled() => {
                    run.record(step, name, Err(WorkflowError::Cancelled))
                        .await?;
                    Err(WorkflowError::Cancelled)
                }
                Turn::Fresh(step) => {
                    let value = work().await;
                    run.record(step, name, Ok(leap::encode_value(&value)))
                        .await?;
                    Ok(value)
                }
            }
        }
    }

    /// Acts on the outside world: a payment, a mail. As [`effect_with`](Self::effect_with) the
    /// [default policy](RetryPolicy::default).
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::workflow::*;
    /// # let host = leap::Host::builder().start().await?;
    /// async fn greet(ctx: WorkflowContext, name: String) -> Result<(), WorkflowError> {
    ///     ctx.effect("mail", |token| {
    ///         let mail = format!("Message-Id: <{token}>\n\nHello {name}");
    ///         async move {
    ///             println!("{mail}"); // to a server that sends what has one id once
    ///             Ok::<_, std::io::Error>(())
    ///         }
    ///     })
    ///     .await
    /// }
    ///
    /// # let engine = Engine::builder().register("greet", greet);
    /// # let engine = engine.start(&host, "workflows", leap::ObjectOptions::default()).await?;
    /// engine.run::<()>("greet", "visitor 1", &"Ada").await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// As [`effect_with`](Self::effect_with).
    pub fn effect<T, E, F, W>(
        &self,
        name: &str,
        act: F,
    ) -> impl Future<Output = Result<T, WorkflowError>> + Send + use<T, E, F, W>
    where
        T: Serialize + DeserializeOwned + Send,
        E: fmt::Display + Send,
        F: FnMut(String) -> W + Send,
        W: Future<Output = Result<T, E>> + Send,
    {
        self.effect_with(name, RetryPolicy::default(), act)
    }

    /// Acts on the outside world, when all that came before in this workflow, and all that this depends
    /// on elsewhere, can never be lost (rule P8); records what `act` gives.
    ///
    /// `act` gets a token that names this effect: the same for every attempt, and nobody else's. If
    /// the engine crashes before the record is durable, `act` runs again with the same token; give it to
    /// whoever performs the effect, so that they perform it once. An error of `act` is taken for
    /// temporary, and it is tried again as `policy` says; a final refusal belongs in `T`.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::workflow::*;
    /// # let host = leap::Host::builder().start().await?;
    /// async fn pay(ctx: WorkflowContext, cents: u64) -> Result<(), WorkflowError> {
    ///     let twice = RetryPolicy { attempts: Some(2), ..RetryPolicy::default() };
    ///     let charge = |_token| async move { Err(format!("{cents} cents: the bank is closed")) };
    ///     ctx.effect_with("charge", twice, charge).await
    /// }
    ///
    /// # let engine = Engine::builder().register("pay", pay);
    /// # let engine = engine.start(&host, "workflows", leap::ObjectOptions::default()).await?;
    /// let failed = engine.run::<()>("pay", "order 17", &500).await;
    /// assert!(matches!(failed, Err(EngineError::Workflow(WorkflowError::Effect { attempts: 2, .. }))));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`WorkflowError::Effect`] after the last attempt, [`WorkflowError::Type`] if what is on record is
    /// not a `T`, [`WorkflowError::Cancelled`], [`WorkflowError::NonDeterministic`].
    pub fn effect_with<T, E, F, W>(
        &self,
        name: &str,
        policy: RetryPolicy,
        act: F,
    ) -> impl Future<Output = Result<T, WorkflowError>> + Send + use<T, E, F, W>
    where
        T: Serialize + DeserializeOwned + Send,
        E: fmt::Display + Send,
        F: FnMut(String) -> W + Send,
        W: Future<Output = Result<T, E>> + Send,
    {
        let (run, turn) = self.turn(name);
        let name = name.to_owned();
        async move {
            match turn {
                Turn::Refused(error) => Err(error),
                Turn::Replayed { answer, .. } => decode(&name, &given(answer).await?),
                Turn::Fresh(step) => {
                    run.inside_boundary().await;
                    let done = attempt(&run, &name, run.token(step), policy, act).await;
                    let answer = match &done {
                        Ok(value) => Ok(leap::encode_value(value)),
                        Err(error) => Err(error.clone()),
                    };
                    run.record(step, name, answer).await?;
                    done
                }
            }
        }
    }

    /// Waits until `duration` has passed since the first run came here. To the millisecond.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::workflow::*;
    /// # let host = leap::Host::builder().start().await?;
    /// use std::time::Duration;
    ///
    /// async fn remind(ctx: WorkflowContext, (): ()) -> Result<(), WorkflowError> {
    ///     ctx.sleep(Duration::from_millis(20)).await?; // or a month
    ///     Ok(())
    /// }
    ///
    /// # let engine = Engine::builder().register("remind", remind);
    /// # let engine = engine.start(&host, "workflows", leap::ObjectOptions::default()).await?;
    /// engine.run::<()>("remind", "customer 1", &()).await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`WorkflowError::Cancelled`], [`WorkflowError::NonDeterministic`].
    pub fn sleep(
        &self,
        duration: Duration,
    ) -> impl Future<Output = Result<(), WorkflowError>> + Send + use<> {
        const NAME: &str = "sleep";
        let (run, turn) = self.turn(NAME);
        async move {
            let (step, until_ms, answer) = match turn {
                Turn::Refused(error) => return Err(error),
                Turn::Replayed {
                    step,
                    until_ms,
                    answer,
                } => (step, until_ms.unwrap_or_default(), answer),
                Turn::Fresh(step) => {
                    let until_ms = run.rules.clock.deadline_ms(duration);
                    (
                        step,
                        until_ms,
                        run.ask(step, NAME.to_owned(), Some(until_ms), |_| ()).await,
                    )
                }
            };
            let over = tokio::time::sleep(run.rules.clock.until_ms(until_ms));
            let answer = tokio::select! {
                biased;
                answer = given(answer) => answer,
                // On record, so that a later run knows that sleep ended before anything that came after.
                () = over => run.answer(step, Ok(leap::encode_value(&()))).await,
            };
            answer.map(|_| ())
        }
    }

    /// Registers how to undo something, should the workflow fail from here on. All that is registered
    /// runs then, the last one first; the steps of `undo` are durable too, and cancelling does not
    /// interrupt them. Register it before the step that it undoes, if that can have happened without
    /// its result being known (a call that was cancelled).
    ///
    /// ```
    /// use leap_services::workflow::{WorkflowContext, WorkflowError};
    ///
    /// async fn book(ctx: WorkflowContext, trip: u64) -> Result<(), WorkflowError> {
    ///     ctx.compensate("cancel hotel", move |ctx| async move { ctx.call("hotel", "cancel", &trip).await });
    ///     ctx.call::<()>("hotel", "reserve", &trip).await?;
    ///     ctx.call::<()>("flight", "reserve", &trip).await
    /// }
    /// ```
    pub fn compensate<F, W>(&self, name: &str, undo: F)
    where
        F: FnOnce(Self) -> W + Send + 'static,
        W: Future<Output = Result<(), WorkflowError>> + Send + 'static,
    {
        let undo = Undo {
            name: name.to_owned(),
            undo: Box::new(|context| Box::pin(undo(context))),
        };
        self.run.register_undo(undo);
    }

    fn turn(&self, name: &str) -> (Arc<Run>, Turn) {
        (self.run.clone(), self.run.turn(name))
    }
}

/// Typed clients work in workflows: each call is a durable step.
impl leap::Call for WorkflowContext {
    /// The idempotency key is not needed: a step calls exactly once.
    fn call(
        &self,
        object: &str,
        method: &str,
        body: Bytes,
        _idempotency_key: Option<&str>,
    ) -> impl Future<Output = Result<Bytes, CallError>> + Send {
        let reply = self.call_encoded(object, method, body);
        let method = method.to_owned();
        async move {
            reply.await.map_err(|error| match error {
                WorkflowError::Call { source, .. } => source,
                other => CallError::Failed {
                    method,
                    reason: other.to_string(),
                },
            })
        }
    }
}

/// Tries an effect until it succeeds, the policy ends it, or the workflow is cancelled.
async fn attempt<T, E, F, W>(
    run: &Run,
    name: &str,
    token: String,
    policy: RetryPolicy,
    mut act: F,
) -> Result<T, WorkflowError>
where
    E: fmt::Display,
    F: FnMut(String) -> W,
    W: Future<Output = Result<T, E>>,
{
    let mut attempts = 0;
    loop {
        if run.is_cancelled() {
            return Err(WorkflowError::Cancelled);
        }
        let error = match act(token.clone()).await {
            Ok(value) => return Ok(value),
            Err(error) => error.to_string(),
        };
        attempts += 1;
        if !policy.allows_another_after(attempts) {
            return Err(WorkflowError::Effect {
                effect: name.to_owned(),
                attempts,
                reason: error,
            });
        }
        tracing::debug!(
            effect = name,
            attempts,
            error,
            "an effect failed and is tried again"
        );
        pause(run, policy.pause_after(attempts)).await;
    }
}

/// Waits, but not for long once the workflow is cancelled.
async fn pause(run: &Run, mut left: Duration) {
    const LOOK: Duration = Duration::from_secs(1);
    while !left.is_zero() && !run.is_cancelled() {
        let slice = left.min(LOOK);
        tokio::time::sleep(slice).await;
        left -= slice;
    }
}

async fn given(answer: Answer) -> Result<Bytes, WorkflowError> {
    match answer {
        Answer::Now(answer) => answer,
        Answer::Later(answer) => wait(answer).await,
    }
}

fn decode<T: DeserializeOwned>(step: &str, result: &[u8]) -> Result<T, WorkflowError> {
    serde_json::from_slice(result).map_err(|error| WorkflowError::ill_typed(step, error))
}
