//! After a crash, exactly what depends on lost work is undone (rule P9).

use leap::testing::Cluster;
use leap::{OutputLost, WorldLine};

use crate::services::{
    Giver, INTERVAL, SLOW_TO_SEAL, Taker, drop_off, eventually, pair, restart_giver, take, taken,
};

#[tokio::test(start_paused = true)]
async fn a_survivor_forgets_what_the_crashed_object_never_made_durable() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let (giver, taker) = pair(&cluster).await;
    drop_off(&giver, 1).await;
    cluster.settled().await;
    let before = taker.life().borrow().clone();

    drop_off(&giver, 2).await;
    eventually("the second number arrives", || taken(&taker) == [1, 2]).await;
    cluster.crash("a");
    let giver = restart_giver(&cluster).await;
    giver.ready().await.unwrap();
    cluster.settled().await;

    assert_eq!(giver.state().view(|giver| giver.given.clone()), [1]);
    assert_eq!(
        taken(&taker),
        [1],
        "what was taken from a lost version is gone"
    );
    let after = taker.life().borrow().clone();
    assert_eq!(
        after.generation,
        before.generation + 1,
        "code between actions can tell"
    );
    assert_eq!(after.world_line, WorldLine(before.world_line.0 + 1));

    drop_off(&giver, 3).await;
    cluster.settled().await;
    assert_eq!(taken(&taker), [1, 3], "and life goes on");
}

#[tokio::test(start_paused = true)]
async fn who_saw_nothing_of_it_is_only_renamed() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let (giver, _taker) = pair(&cluster).await;
    let bystander = cluster
        .host("c")
        .await
        .add::<Taker>("bystander")
        .await
        .unwrap();
    bystander.ready().await.unwrap();
    drop_off(&giver, 1).await;
    // Volatile, too, but it depends on nothing that is lost.
    take(&bystander, 5).await;
    let before = bystander.life().borrow().clone();
    restart_giver(&cluster).await;
    cluster.settled().await;
    let after = bystander.life().borrow().clone();
    assert_eq!(bystander.state().view(|taker| taker.taken.clone()), [5]);
    assert_eq!(after.generation, before.generation);
    assert!(after.world_line > before.world_line);
}

#[tokio::test(start_paused = true)]
async fn an_output_that_depends_on_lost_work_is_never_released() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let (giver, taker) = pair(&cluster).await;
    drop_off(&giver, 1).await;
    eventually("the number arrives", || taken(&taker) == [1]).await;
    let (seen, output) = taker
        .change(|action| (action.taken.clone(), action.output()))
        .await
        .unwrap();
    assert_eq!(seen, [1]);
    restart_giver(&cluster).await;
    assert!(matches!(output.await, Err(OutputLost::RolledBack(_))));
}

#[tokio::test(start_paused = true)]
async fn an_output_is_released_once_its_version_is_durable_and_not_before() {
    let cluster = Cluster::with(SLOW_TO_SEAL).await;
    let (_, taker) = pair(&cluster).await;
    let began = tokio::time::Instant::now();
    let output = taker
        .change(|action| (Taker::take(action, 1), action.output()).1)
        .await
        .unwrap();
    output.await.unwrap();
    assert!(
        began.elapsed() >= INTERVAL,
        "nothing is durable before the first seal"
    );
}

#[tokio::test(start_paused = true)]
async fn leaving_and_coming_back_rolls_nobody_back() {
    let cluster = Cluster::new().await;
    let (giver, taker) = pair(&cluster).await;
    giver.change(|action| Giver::give(action, 1)).await.unwrap();
    cluster.settled().await;
    let before = giver.life().borrow().clone();
    taker.leave().await.unwrap();
    let taker = crate::services::taker_on(&cluster.host("c").await).await;
    assert_eq!(taken(&taker), [1], "it has moved to another host");
    giver.change(|action| Giver::give(action, 2)).await.unwrap();
    cluster.settled().await;
    assert_eq!(taken(&taker), [1, 2]);
    assert_eq!(
        *giver.life().borrow(),
        before,
        "no failure, no new world-line"
    );
}
