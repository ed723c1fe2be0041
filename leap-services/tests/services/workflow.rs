//! Workflows run to their end exactly once, whatever crashes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Result;
use futures::future::join_all;
use leap::{Action, GroupCommit, Host, Machine, ObjectClient, ObjectOptions, Speculation};
use leap_services::workflow::{
    Engine, EngineBuilder, EngineClient, EngineError, Phase, RetryPolicy, WorkflowContext,
    WorkflowError,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::world::{World, without_speculation};

/// Money. Doing anything twice shows in the balance.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Account {
    balance: i64,
    changes: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("overdrawn")]
pub(crate) struct Overdrawn;

impl Machine for Account {
    type Change = i64;

    fn apply(&mut self, amount: i64) {
        self.balance += amount;
        self.changes += 1;
    }
}

#[leap::service]
impl Account {
    fn add(action: &mut Action<'_, Self>, amount: i64) -> Result<i64, Overdrawn> {
        if action.balance + amount < -10_000 {
            return Err(Overdrawn);
        }
        action.record(amount);
        Ok(action.balance)
    }

    fn read(action: &mut Action<'_, Self>) -> (i64, u64) {
        (action.balance, action.changes)
    }
}

const ACCOUNTS: [&str; 2] = ["left", "right"];

async fn host_accounts(world: &World, options: ObjectOptions) -> Result<()> {
    for name in ACCOUNTS {
        world.host.add_with::<Account>(name, options).await?;
    }
    Ok(())
}

/// Balances and numbers of changes.
async fn accounts(world: &World) -> Result<[(i64, u64); 2]> {
    let [left, right] = ACCOUNTS.map(|name| AccountClient::new(&world.host, name));
    Ok([left.read().await?, right.read().await?])
}

async fn add(ctx: &WorkflowContext, account: &str, amount: i64) -> Result<i64, WorkflowError> {
    let added: Result<i64, Overdrawn> = ctx.call(account, "add", &amount).await?;
    added.map_err(WorkflowError::failed)
}

/// Takes money from the left and gives it to the right, or takes it back.
async fn transfer(
    ctx: WorkflowContext,
    amount: i64,
    thoughts: Arc<AtomicU32>,
) -> Result<i64, WorkflowError> {
    add(&ctx, "left", -amount).await?;
    ctx.compensate("take back", move |ctx| async move {
        add(&ctx, "left", amount).await.map(drop)
    });
    ctx.run("think", || async move {
        thoughts.fetch_add(1, Ordering::Relaxed)
    })
    .await?;
    add(&ctx, "right", amount).await?;
    Ok(amount)
}

pub(crate) fn engine() -> EngineBuilder {
    Engine::builder().register("transfer", |ctx, amount| {
        transfer(ctx, amount, Arc::default())
    })
}

async fn start(world: &World, builder: EngineBuilder) -> Result<Engine> {
    start_with(world, builder, ObjectOptions::default()).await
}

async fn start_with(
    world: &World,
    builder: EngineBuilder,
    options: ObjectOptions,
) -> Result<Engine> {
    Ok(builder.start(&world.host, "workflows", options).await?)
}

/// Leaves enough in open versions for a crash to take something away.
const SLOW_TO_SEAL: ObjectOptions = ObjectOptions {
    speculation: Speculation::On,
    group_commit: GroupCommit::Fixed(Duration::from_millis(3)),
};

/// What crashes while transfers are on their way.
#[derive(Clone, Copy, PartialEq)]
enum Crash {
    Engine,
    Service,
    EngineAndServices,
    Process,
}

impl Crash {
    /// Makes it happen. Without the process dying, somebody takes over: for the cluster that is a crash
    /// of whoever was there before.
    async fn happen(self, world: &mut World, round: usize) -> Result<()> {
        let options = SLOW_TO_SEAL;
        match self {
            // Whoever starts the next one takes over.
            Self::Engine => {}
            Self::Service => {
                let name = ACCOUNTS[round % 2];
                drop(world.host.add_with::<Account>(name, options).await?);
            }
            Self::EngineAndServices => host_accounts(world, options).await?,
            Self::Process => {
                world.crash().await?;
                host_accounts(world, options).await?;
            }
        }
        Ok(())
    }
}

const TRANSFERS: usize = 60;
const CRASHES: usize = 12;

/// Runs a transfer from outside, again and again until there is an answer.
async fn client(current: &Mutex<Host>, number: usize) -> Result<i64> {
    tokio::time::sleep(Duration::from_millis(3 * number as u64)).await;
    loop {
        let host = current.lock().clone();
        let workflows = EngineClient::new(host, "workflows");
        let amount = number + 1;
        match workflows
            .run("transfer", &number.to_string(), &amount)
            .await
        {
            Err(EngineError::Call(_)) => tokio::time::sleep(Duration::from_millis(1)).await,
            settled => return Ok(settled?),
        }
    }
}

async fn transfers_survive(crash: Crash) -> Result<()> {
    let thoughts = Arc::new(AtomicU32::new(0));
    let engine = || {
        let thoughts = thoughts.clone();
        Engine::builder().register("transfer", move |ctx, amount| {
            transfer(ctx, amount, thoughts.clone())
        })
    };
    let mut world = World::with_latency(Duration::from_millis(5)).await?;
    host_accounts(&world, SLOW_TO_SEAL).await?;
    start_with(&world, engine(), SLOW_TO_SEAL).await?;
    let current = Mutex::new(world.host.clone());
    let crashes = async {
        for round in 0..CRASHES {
            tokio::time::sleep(Duration::from_millis(7)).await;
            crash.happen(&mut world, round).await?;
            if crash != Crash::Service {
                start_with(&world, engine(), SLOW_TO_SEAL).await?;
            }
            *current.lock() = world.host.clone();
        }
        anyhow::Ok(())
    };
    let clients = join_all((0..TRANSFERS).map(|number| client(&current, number)));
    let (crashed, results) = futures::join!(crashes, clients);
    crashed?;
    let results = results.into_iter().collect::<Result<Vec<_>>>()?;
    assert_eq!(results, (1..=TRANSFERS as i64).collect::<Vec<_>>());
    let (total, each_once) = (results.iter().sum::<i64>(), TRANSFERS as u64);
    assert_eq!(
        accounts(&world).await?,
        [(-total, each_once), (total, each_once)]
    );
    let thoughts = thoughts.load(Ordering::Relaxed);
    assert!(
        thoughts > TRANSFERS as u32,
        "no crash took any work away, so this has tested nothing"
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_crash_of_the_engine_does_nothing_twice() -> Result<()> {
    transfers_survive(Crash::Engine).await
}

#[tokio::test(start_paused = true)]
async fn a_crash_of_a_service_does_nothing_twice() -> Result<()> {
    transfers_survive(Crash::Service).await
}

#[tokio::test(start_paused = true)]
async fn a_crash_of_engine_and_services_does_nothing_twice() -> Result<()> {
    transfers_survive(Crash::EngineAndServices).await
}

#[tokio::test(start_paused = true)]
async fn a_crash_of_the_process_does_nothing_twice() -> Result<()> {
    transfers_survive(Crash::Process).await
}

#[tokio::test(start_paused = true)]
async fn the_same_start_is_the_same_instance() -> Result<()> {
    let world = World::new().await?;
    host_accounts(&world, ObjectOptions::default()).await?;
    let workflows = start(&world, engine()).await?;
    let same = join_all((0..5).map(|_| workflows.run::<i64>("transfer", "once", &7))).await;
    assert!(same.iter().all(|result| *result == Ok(7)), "{same:?}");
    assert_eq!(accounts(&world).await?, [(-7, 1), (7, 1)]);

    let other = workflows.run::<i64>("transfer", "once", &8).await;
    assert_eq!(other, Err(EngineError::Conflict { id: "once".into() }));
    let unknown = workflows.run::<i64>("trnsfer", "twice", &8).await;
    assert_eq!(
        unknown,
        Err(EngineError::UnknownWorkflow {
            workflow: "trnsfer".into()
        })
    );
    let missing = workflows.result::<i64>("twice").await;
    assert_eq!(missing, Err(EngineError::NotFound { id: "twice".into() }));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_engine_is_called_by_name() -> Result<()> {
    let world = World::new().await?;
    host_accounts(&world, ObjectOptions::default()).await?;
    start(&world, engine()).await?;
    let workflows = EngineClient::new(&world.host, "workflows");
    workflows.start("transfer", "a", &1).await?;
    assert_eq!(workflows.result::<i64>("a").await?, 1);
    assert_eq!(workflows.run::<i64>("transfer", "b", &2).await?, 2);
    assert_eq!(workflows.status("b").await?.phase, Phase::Completed);
    assert_eq!(workflows.list(Some("a"), 10).await?.len(), 1);
    let conflict = workflows.run::<i64>("transfer", "b", &3).await;
    assert_eq!(conflict, Err(EngineError::Conflict { id: "b".into() }));
    let wrong = workflows.run::<String>("transfer", "b", &2).await;
    assert!(
        matches!(wrong, Err(EngineError::BadResult { .. })),
        "{wrong:?}"
    );
    workflows.cancel("b").await?;
    assert_eq!(workflows.status("b").await?.phase, Phase::Completed);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn calls_of_one_workflow_can_be_under_way_together() -> Result<()> {
    async fn both(ctx: WorkflowContext, _: ()) -> Result<i64, WorkflowError> {
        let left = ctx.call::<Result<i64, Overdrawn>>("left", "add", &1);
        let right = ctx.call::<Result<i64, Overdrawn>>("right", "add", &2);
        let (right, left) = futures::join!(right, left);
        Ok(left?.map_err(WorkflowError::failed)? + right?.map_err(WorkflowError::failed)?)
    }
    let mut world = World::new().await?;
    host_accounts(&world, ObjectOptions::default()).await?;
    start(&world, Engine::builder().register("both", both))
        .await?
        .start("both", "1", &())
        .await?;
    world.crash().await?;
    host_accounts(&world, ObjectOptions::default()).await?;
    let workflows = start(&world, Engine::builder().register("both", both)).await?;
    assert_eq!(workflows.result::<i64>("1").await?, 3);
    assert_eq!(accounts(&world).await?, [(1, 1), (2, 1)]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn failure_undoes_what_was_done() -> Result<()> {
    let world = World::new().await?;
    host_accounts(&world, ObjectOptions::default()).await?;
    AccountClient::new(&world.host, "right")
        .add(&-9900)
        .await??;
    let workflows = start(&world, engine()).await?;
    let failed = workflows.run::<i64>("transfer", "too much", &-200).await;
    assert_eq!(
        failed,
        Err(EngineError::Workflow(WorkflowError::failed("overdrawn")))
    );
    assert_eq!(accounts(&world).await?, [(0, 2), (-9900, 1)]);
    let status = workflows.status("too much").await?;
    assert_eq!(
        (status.phase, status.error),
        (Phase::Failed, Some(WorkflowError::failed("overdrawn")))
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure() -> Result<()> {
    async fn panics(ctx: WorkflowContext, _: ()) -> Result<(), WorkflowError> {
        add(&ctx, "left", 5).await?;
        ctx.compensate("take back", |ctx| async move {
            add(&ctx, "left", -5).await.map(drop)
        });
        ctx.compensate("cannot", |_| async { Err(WorkflowError::failed("no")) });
        panic!("out of ideas")
    }
    let world = World::new().await?;
    host_accounts(&world, ObjectOptions::default()).await?;
    let workflows = start(&world, Engine::builder().register("panics", panics)).await?;
    let error = WorkflowError::Compensation {
        cause: Box::new(WorkflowError::Panicked {
            reason: "out of ideas".into(),
        }),
        failed: vec!["cannot: no".into()],
    };
    assert_eq!(
        workflows.run::<()>("panics", "1", &()).await,
        Err(EngineError::Workflow(error))
    );
    assert_eq!(accounts(&world).await?[0], (0, 2));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn code_that_asks_for_another_step_is_found_out() -> Result<()> {
    async fn old(ctx: WorkflowContext, _: ()) -> Result<(), WorkflowError> {
        add(&ctx, "left", 1).await?;
        ctx.sleep(Duration::from_secs(3600)).await
    }
    async fn other_step(ctx: WorkflowContext, _: ()) -> Result<(), WorkflowError> {
        // That the code goes on regardless does not help it.
        let _ = add(&ctx, "right", 1).await;
        add(&ctx, "right", 1).await.map(drop)
    }
    async fn fewer_steps(_: WorkflowContext, _: ()) -> Result<(), WorkflowError> {
        Ok(())
    }
    let found_out = async |new: EngineBuilder, asked: &str| {
        let mut world = World::new().await?;
        host_accounts(&world, ObjectOptions::default()).await?;
        let workflows = start(&world, Engine::builder().register("changes", old)).await?;
        workflows.start("changes", "1", &()).await?;
        while workflows.status("1").await?.steps < 2 {}
        world.end().await?;
        host_accounts(&world, ObjectOptions::default()).await?;
        let workflows = start(&world, new).await?;
        let recorded = "left.add".to_owned();
        let error = WorkflowError::NonDeterministic {
            step: 0,
            recorded,
            asked: asked.to_owned(),
        };
        assert_eq!(
            workflows.result::<()>("1").await,
            Err(EngineError::Workflow(error))
        );
        assert_eq!(accounts(&world).await?, [(1, 1), (0, 0)]);
        anyhow::Ok(())
    };
    found_out(
        Engine::builder().register("changes", other_step),
        "right.add",
    )
    .await?;
    found_out(
        Engine::builder().register("changes", fewer_steps),
        "the end",
    )
    .await
}

/// Long enough to see the difference between what waits for storage and what does not.
const LATENCY: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn an_effect_waits_for_what_came_before() -> Result<()> {
    let acted = Arc::new(AtomicU32::new(0));
    let workflow = {
        let acted = acted.clone();
        move |ctx: WorkflowContext, (): ()| {
            let acted = acted.clone();
            async move {
                let balance = add(&ctx, "left", 1).await?;
                let token = ctx.effect("pay", move |token| {
                    acted.fetch_add(1, Ordering::Relaxed);
                    async { Ok::<_, String>(token) }
                });
                Ok((balance, token.await?))
            }
        }
    };
    let builder = || Engine::builder().register("pay", workflow.clone());
    let mut world = World::with_latency(LATENCY).await?;
    host_accounts(&world, ObjectOptions::default()).await?;
    let workflows = start(&world, builder()).await?;
    let running = workflows.run::<(i64, String)>("pay", "1", &());
    // The call has its reply long before this, and nothing of it is durable.
    assert!(tokio::time::timeout(LATENCY / 2, running).await.is_err());
    assert_eq!(acted.load(Ordering::Relaxed), 0);
    world.crash().await?;
    assert_eq!(acted.load(Ordering::Relaxed), 0);

    host_accounts(&world, ObjectOptions::default()).await?;
    let workflows = start(&world, builder()).await?;
    let begin = Instant::now();
    let (balance, token) = workflows.run::<(i64, String)>("pay", "1", &()).await?;
    assert!(
        begin.elapsed() >= 2 * LATENCY,
        "once for what the effect waits for, once for its record"
    );
    assert_eq!(acted.load(Ordering::Relaxed), 1);
    assert_eq!((balance, token.as_str()), (1, "workflows/1/0.1"));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_effect_is_tried_again_with_growing_pauses() -> Result<()> {
    async fn stubborn(ctx: WorkflowContext, failures: u32) -> Result<(u32, bool), WorkflowError> {
        let mut tokens = Vec::new();
        let attempts = Arc::new(AtomicU32::new(0));
        let policy = RetryPolicy {
            attempts: Some(4),
            ..RetryPolicy::default()
        };
        let count = attempts.clone();
        let effect = ctx.effect_with("knock", policy, |token| {
            tokens.push(token);
            let attempt = count.fetch_add(1, Ordering::Relaxed) + 1;
            async move {
                if attempt > failures {
                    Ok(attempt)
                } else {
                    Err("nobody opens")
                }
            }
        });
        let attempts = effect.await?;
        tokens.dedup();
        Ok((attempts, tokens.len() == 1))
    }
    let world = World::new().await?;
    let workflows = start(&world, Engine::builder().register("stubborn", stubborn)).await?;
    let begin = Instant::now();
    assert_eq!(
        workflows.run::<(u32, bool)>("stubborn", "3", &3).await?,
        (4, true)
    );
    let (elapsed, pauses) = (begin.elapsed(), Duration::from_millis(50 + 100 + 200));
    assert!(elapsed >= pauses && elapsed < 2 * pauses, "{elapsed:?}");
    let failed = workflows.run::<(u32, bool)>("stubborn", "4", &4).await;
    let error = WorkflowError::Effect {
        effect: "knock".into(),
        attempts: 4,
        reason: "nobody opens".into(),
    };
    assert_eq!(failed, Err(EngineError::Workflow(error)));
    Ok(())
}

async fn nap(ctx: WorkflowContext, seconds: u64) -> Result<(), WorkflowError> {
    ctx.compensate(
        "note",
        |ctx| async move { add(&ctx, "left", 1).await.map(drop) },
    );
    ctx.sleep(Duration::from_secs(seconds)).await
}

#[tokio::test(start_paused = true)]
async fn sleep_goes_on_over_restarts() -> Result<()> {
    let mut world = World::new().await?;
    let begin = Instant::now();
    let workflows = start(&world, Engine::builder().register("nap", nap)).await?;
    workflows.start("nap", "1", &3600).await?;
    while workflows.status("1").await?.steps < 1 {}
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(600)).await;
        world.crash().await?;
        start(&world, Engine::builder().register("nap", nap)).await?;
    }
    let workflows = start(&world, Engine::builder().register("nap", nap)).await?;
    workflows.result::<()>("1").await?;
    let elapsed = begin.elapsed().as_secs();
    assert!((3600..3610).contains(&elapsed), "{elapsed} s");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn cancelling_ends_what_waits_and_compensates() -> Result<()> {
    let mut world = World::new().await?;
    host_accounts(&world, ObjectOptions::default()).await?;
    let begin = Instant::now();
    let workflows = start(&world, Engine::builder().register("nap", nap)).await?;
    workflows.start("nap", "1", &3600).await?;
    while workflows.status("1").await?.steps < 1 {}
    workflows.cancel("1").await?;
    world.crash().await?;
    host_accounts(&world, ObjectOptions::default()).await?;
    let workflows = start(&world, Engine::builder().register("nap", nap)).await?;
    let cancelled = workflows.result::<()>("1").await;
    assert_eq!(
        cancelled,
        Err(EngineError::Workflow(WorkflowError::Cancelled))
    );
    assert!(begin.elapsed() < Duration::from_secs(60));
    assert_eq!(accounts(&world).await?[0], (1, 1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn cancelling_does_not_wait_for_the_next_attempt() -> Result<()> {
    const HOUR: Duration = Duration::from_secs(3600);
    let attempts = Arc::new(AtomicU32::new(0));
    let workflow = {
        let attempts = attempts.clone();
        move |ctx: WorkflowContext, (): ()| {
            let attempts = attempts.clone();
            async move {
                let policy = RetryPolicy {
                    first_pause: HOUR,
                    longest_pause: HOUR,
                    ..RetryPolicy::default()
                };
                let effect = ctx.effect_with("knock", policy, move |_token| {
                    attempts.fetch_add(1, Ordering::Relaxed);
                    async { Err::<(), _>("nobody opens") }
                });
                effect.await
            }
        }
    };
    let world = World::new().await?;
    let begin = Instant::now();
    let workflows = start(&world, Engine::builder().register("knock", workflow)).await?;
    workflows.start("knock", "1", &()).await?;
    while attempts.load(Ordering::Relaxed) < 1 {
        workflows.status("1").await?;
    }
    workflows.cancel("1").await?;
    let cancelled = workflows.result::<()>("1").await;
    assert_eq!(
        cancelled,
        Err(EngineError::Workflow(WorkflowError::Cancelled))
    );
    assert!(begin.elapsed() < Duration::from_secs(60));
    assert_eq!(attempts.load(Ordering::Relaxed), 1);
    Ok(())
}

/// Two calls; tells after how many milliseconds each had its reply.
async fn stopwatch(ctx: WorkflowContext, _: ()) -> Result<[u64; 2], WorkflowError> {
    let begin = Instant::now();
    add(&ctx, "left", 1).await?;
    let first = begin.elapsed().as_millis() as u64;
    add(&ctx, "right", 1).await?;
    Ok([first, begin.elapsed().as_millis() as u64])
}

#[tokio::test(start_paused = true)]
async fn speculation_hides_storage_and_can_be_turned_off() -> Result<()> {
    let timed = async |options: ObjectOptions| {
        let world = World::with_latency(LATENCY).await?;
        host_accounts(&world, options).await?;
        let builder = Engine::builder().register("stopwatch", stopwatch);
        let workflows = builder.start(&world.host, "workflows", options).await?;
        let replies = workflows.run::<[u64; 2]>("stopwatch", "1", &()).await?;
        anyhow::Ok(replies.map(Duration::from_millis))
    };
    let [first, second] = timed(ObjectOptions::default()).await?;
    assert!(
        second < LATENCY,
        "neither reply waited for storage: {first:?}, {second:?}"
    );
    // The request leaves when the step's record is durable, the reply when the service's is.
    let [first, second] = timed(without_speculation()).await?;
    assert!(
        first >= 2 * LATENCY && second >= 4 * LATENCY,
        "each step waited twice: {first:?}, {second:?}"
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn finished_instances_are_forgotten() -> Result<()> {
    let mut world = World::new().await?;
    host_accounts(&world, ObjectOptions::default()).await?;
    let workflows = start(&world, engine().keep_finished(3)).await?;
    for number in 0..10 {
        workflows
            .run::<i64>("transfer", &number.to_string(), &1)
            .await?;
    }
    world.crash().await?;
    host_accounts(&world, ObjectOptions::default()).await?;
    let workflows = start(&world, engine().keep_finished(3)).await?;
    let kept = workflows.list(None, 100).await?;
    assert_eq!(
        kept.iter()
            .map(|status| status.id.as_str())
            .collect::<Vec<_>>(),
        ["7", "8", "9"]
    );
    assert_eq!(workflows.result::<i64>("9").await?, 1);
    assert_eq!(
        workflows.result::<i64>("6").await,
        Err(EngineError::NotFound { id: "6".into() })
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn typed_clients_work_in_workflows() -> Result<()> {
    async fn typed(ctx: WorkflowContext, _: ()) -> Result<i64, WorkflowError> {
        let account = AccountClient::new(ctx, "left");
        account.add(&3).await?.map_err(WorkflowError::failed)?;
        account.add(&4).await?.map_err(WorkflowError::failed)
    }
    let world = World::new().await?;
    host_accounts(&world, ObjectOptions::default()).await?;
    let workflows = start(&world, Engine::builder().register("typed", typed)).await?;
    assert_eq!(workflows.run::<i64>("typed", "1", &()).await?, 7);
    assert_eq!(accounts(&world).await?[0], (7, 2));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_understood_fails_the_step() -> Result<()> {
    async fn lost(ctx: WorkflowContext, method: String) -> Result<(), WorkflowError> {
        ctx.call("left", &method, "nonsense").await
    }
    let world = World::new().await?;
    host_accounts(&world, ObjectOptions::default()).await?;
    let workflows = start(&world, Engine::builder().register("lost", lost)).await?;
    let body: ObjectClient<_> = ObjectClient::new(&world.host, "left");
    for method in ["add", "subtract"] {
        let expected = body
            .call::<()>(method, "nonsense")
            .await
            .expect_err("nobody understands this");
        let call = format!("left.{method}");
        let error = WorkflowError::Call {
            call,
            source: expected,
        };
        assert_eq!(
            workflows.run::<()>("lost", method, &method).await,
            Err(EngineError::Workflow(error))
        );
    }
    Ok(())
}
