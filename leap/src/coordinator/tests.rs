//! Who is listened to.

use std::io::ErrorKind;

use leap_store::StoreOptions;
use leap_store::faults::{Faults, Operation};

use super::*;
use crate::transport::Network;

/// A coordinator in world-line 0, whose log's storage obeys the plan, and somebody who comes with world-line 5; what the
/// coordinator says to him until it hangs up, or he does.
async fn said_to_a_stranger(faults: impl FnOnce(&Faults)) -> Vec<Frame> {
    let directory = tempfile::tempdir().expect("a directory");
    let plan = Faults::planned();
    let options = StoreOptions {
        faults: plan.clone(),
        ..StoreOptions::default()
    };
    let location = directory.path().to_str().expect("a UTF-8 path");
    let store = Store::open(location, options).await.expect("it is new");
    let (coordinator, task) = start(&store).await.expect("it is new");
    tokio::spawn(task);
    faults(&plan);
    let network = Network::in_process();
    let mut listener = network.listen("coordinator").await.expect("it is free");
    let mut stranger = network.connect("coordinator").await.expect("it listens");
    let served = listener.accept().await.expect("somebody dialled");
    let known = (Some(WorldLine(5)), BTreeMap::new());
    let serving = tokio::spawn(async move { coordinator.serve(served, known, vec![]).await });
    let mut said = Vec::new();
    while stranger.incoming.recv_many(&mut said).await > 0 {
        if matches!(said.last(), Some(Frame::TurnedAway(_))) {
            break;
        }
    }
    drop(stranger);
    serving.await.expect("it ends when the link does");
    said
}

#[tokio::test]
async fn a_stranger_is_told_why_he_must_go() {
    let said = said_to_a_stranger(|_| {}).await;
    let [Frame::TurnedAway(why)] = &said[..] else {
        panic!("{said:?}");
    };
    assert!(why.contains("world-line 0"), "{why}");
}

/// He could be of a successor.
#[tokio::test]
async fn nobody_is_judged_while_storage_does_not_answer() {
    let refuse = |plan: &Faults| plan.fail(Some(Operation::Read), 0, ErrorKind::PermissionDenied);
    assert_eq!(said_to_a_stranger(refuse).await, []);
}
