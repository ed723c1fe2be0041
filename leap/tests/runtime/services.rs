//! The services that the tests run, and how they wait.

use std::time::Duration;

use leap::testing::Cluster;
use leap::{
    Action, Bytes, CallError, GroupCommit, Host, Journaled, Machine, Object, ObjectId,
    ObjectOptions, Speculation,
};
use serde::{Deserialize, Serialize};

/// Remembers numbers.
#[derive(Default, Debug, Serialize, Deserialize)]
pub(crate) struct Taker {
    pub(crate) taken: Vec<u64>,
}

impl Machine for Taker {
    type Change = u64;

    fn apply(&mut self, number: u64) {
        self.taken.push(number);
    }
}

#[leap::service]
impl Taker {
    /// Remembers `number` and gives how many there are.
    pub(crate) fn take(action: &mut Action<'_, Self>, number: u64) -> usize {
        action.record(number);
        action.taken.len()
    }

    /// All that was taken, in order.
    pub(crate) fn taken(&self) -> Vec<u64> {
        self.taken.clone()
    }

    /// Refuses odd numbers.
    #[leap(name = "take-even")]
    pub(crate) fn take_even(action: &mut Action<'_, Self>, number: u64) -> Result<usize, Odd> {
        if number % 2 == 1 {
            return Err(Odd { number });
        }
        Ok(Self::take(action, number))
    }

    /// Takes a number and panics.
    pub(crate) fn explode(action: &mut Action<'_, Self>, number: u64) {
        action.record(number);
        panic!("boom at {number}");
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Odd {
    pub(crate) number: u64,
}

/// Passes numbers on to the object called `taker`, and remembers the answers.
#[derive(Default, Debug, Serialize, Deserialize)]
pub(crate) struct Giver {
    pub(crate) given: Vec<u64>,
    pub(crate) answered: Vec<u64>,
    pub(crate) refused: Vec<u64>,
}

#[derive(Serialize, Deserialize)]
pub(crate) enum GiverChange {
    Given(u64),
    Answered(u64),
    Refused(u64),
}

impl Machine for Giver {
    type Change = GiverChange;

    fn apply(&mut self, change: GiverChange) {
        match change {
            GiverChange::Given(number) => self.given.push(number),
            GiverChange::Answered(number) => self.answered.push(number),
            GiverChange::Refused(number) => self.refused.push(number),
        }
    }
}

#[leap::service]
impl Giver {
    /// Passes `number` on; the answer comes later.
    pub(crate) fn give(action: &mut Action<'_, Self>, number: u64) {
        action.record(GiverChange::Given(number));
        action.call(
            ObjectId::from_name("taker"),
            number,
            "take",
            leap::encode_value(&number),
        );
    }

    /// Calls a handler that does not exist.
    pub(crate) fn misspell(action: &mut Action<'_, Self>, number: u64) {
        action.call(
            ObjectId::from_name("taker"),
            number,
            "tkae",
            leap::encode_value(&number),
        );
    }

    /// Passes `number` on; nobody wants an answer.
    pub(crate) fn drop_off(action: &mut Action<'_, Self>, number: u64) {
        action.record(GiverChange::Given(number));
        action.tell(
            ObjectId::from_name("taker"),
            "take",
            leap::encode_value(&number),
        );
    }

    #[reply]
    fn answered(
        action: &mut Action<'_, Self>,
        from: ObjectId,
        call: u64,
        reply: Result<Bytes, CallError>,
    ) {
        assert_eq!(from, ObjectId::from_name("taker"));
        action.record(match reply {
            Ok(_) => GiverChange::Answered(call),
            Err(_) => GiverChange::Refused(call),
        });
    }
}

/// Versions are sealed this long after their first change: so long can work be lost.
pub(crate) const INTERVAL: Duration = Duration::from_millis(10);

pub(crate) const SLOW_TO_SEAL: ObjectOptions = ObjectOptions {
    speculation: Speculation::On,
    group_commit: GroupCommit::Fixed(INTERVAL),
};

/// Hosts `taker` on host `b` and `giver` on host `a`.
pub(crate) async fn pair(
    cluster: &Cluster,
) -> (Object<Journaled<Giver>>, Object<Journaled<Taker>>) {
    let giver = cluster.host("a").await.add("giver").await.unwrap();
    let taker = cluster.host("b").await.add("taker").await.unwrap();
    giver.ready().await.unwrap();
    taker.ready().await.unwrap();
    (giver, taker)
}

/// Waits until `condition` holds, on the cluster's clock; fails after a minute of it.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let holds = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(60), holds).await;
    assert!(in_time.is_ok(), "never: {what}");
}

/// Calls until it works, as a patient client does.
pub(crate) async fn insist<R, F: Future<Output = Result<R, CallError>>>(
    mut call: impl FnMut() -> F,
) -> R {
    for _ in 0..1000 {
        match call().await {
            Ok(reply) => return reply,
            Err(error) => assert!(error.is_temporary(), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never works: {:?}", call().await.err());
}

/// A host with a taker called `taker`.
pub(crate) async fn taker_on(host: &Host) -> Object<Journaled<Taker>> {
    let taker = host.add("taker").await.unwrap();
    taker.ready().await.unwrap();
    taker
}

/// What nobody has taken.
pub(crate) const NONE: [u64; 0] = [];

pub(crate) fn taken(taker: &Object<Journaled<Taker>>) -> Vec<u64> {
    taker.state().view(|taker| taker.taken.clone())
}

/// Makes the giver pass a number on.
pub(crate) async fn drop_off(giver: &Object<Journaled<Giver>>, number: u64) {
    let given = giver.change(|action| Giver::drop_off(action, number));
    given.await.unwrap();
}

/// Makes the taker take a number from outside.
pub(crate) async fn take(taker: &Object<Journaled<Taker>>, number: u64) {
    let taken = taker.change(|action| Taker::take(action, number));
    taken.await.unwrap();
}

/// Crashes the giver's host, and hosts what survived of the giver there again.
pub(crate) async fn restart_giver(cluster: &Cluster) -> Object<Journaled<Giver>> {
    let giver = cluster.restart("a").await.add("giver").await;
    giver.unwrap()
}
