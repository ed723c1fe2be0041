//! A state, one call, the effects. Whole clusters are in `tests/protocol.rs` and `tests/model.rs`.

mod boundary;
mod cuts;
mod ledger;
mod log;
mod membership;
mod removal;
mod repair;

use super::*;
use crate::{
    decision::Cause,
    header::DependencySet,
    message::{FragmentVersion, Refusal},
};

const A: ObjectId = ObjectId(1);
const B: ObjectId = ObjectId(2);
const C: ObjectId = ObjectId(3);
const W0: WorldLine = WorldLine(0);
const W1: WorldLine = WorldLine(1);
const W2: WorldLine = WorldLine(2);
const W3: WorldLine = WorldLine(3);

use CoordinatorEffect::{Broadcast, Log, ToLink, ToObject};
use CoordinatorInput::{Logged, Message, Subscribe};

fn on(coordinator: &mut Coordinator, input: CoordinatorInput) -> Vec<CoordinatorEffect> {
    coordinator.handle(input);
    std::iter::from_fn(|| coordinator.poll_effect()).collect()
}

/// A version, what it depends on, and whether it is durable.
type Entry<'a> = (u64, &'a [(ObjectId, u64)], bool);

fn fragment(world_line: WorldLine, committed: u64, versions: &[Entry<'_>]) -> Fragment {
    let versions = versions
        .iter()
        .map(|&(version, dependencies, durable)| FragmentVersion {
            version: Version(version),
            world_line,
            dependencies: set(dependencies),
            durable,
        });
    Fragment {
        world_line,
        committed: Version(committed),
        versions: versions.collect(),
    }
}

fn nothing(world_line: WorldLine) -> Fragment {
    fragment(world_line, 0, &[])
}

fn set(entries: &[(ObjectId, u64)]) -> DependencySet {
    let entries = entries.iter().map(|&(o, v)| (o, Version(v)));
    entries.collect()
}

fn versions(entries: &[(ObjectId, u64)]) -> BTreeMap<ObjectId, Version> {
    entries.iter().map(|&(o, v)| (o, Version(v))).collect()
}

fn join(object: ObjectId, life: u64, fragment: Fragment) -> CoordinatorInput {
    Message(ToCoordinator::Join {
        object,
        incarnation: Incarnation(life),
        fragment,
    })
}

fn report(object: ObjectId, gather: Option<GatherId>, fragment: Fragment) -> CoordinatorInput {
    Message(ToCoordinator::Report {
        object,
        incarnation: Incarnation(1),
        gather,
        fragment,
    })
}

fn report_of_life(object: ObjectId, life: u64, fragment: Fragment) -> CoordinatorInput {
    Message(ToCoordinator::Report {
        object,
        incarnation: Incarnation(life),
        gather: None,
        fragment,
    })
}

fn persisted(object: ObjectId, version: u64, dependencies: &[(ObjectId, u64)]) -> CoordinatorInput {
    Message(ToCoordinator::Persisted {
        object,
        incarnation: Incarnation(1),
        world_line: W0,
        version: Version(version),
        dependencies: set(dependencies),
    })
}

fn leave(object: ObjectId, version: u64) -> CoordinatorInput {
    Message(ToCoordinator::Leave {
        object,
        incarnation: Incarnation(1),
        version: Version(version),
    })
}

fn left(object: ObjectId) -> CoordinatorEffect {
    let incarnation = Incarnation(1);
    ToObject(object, incarnation, ToParticipant::Left { incarnation })
}

fn joined(object: ObjectId) -> LogRecord {
    LogRecord::Joined {
        object,
        incarnation: Incarnation(1),
        keep: Version::ZERO,
    }
}

fn decided(decision: Decision) -> LogRecord {
    let boundary = BTreeMap::new();
    LogRecord::Decided {
        decision,
        boundary,
        blindly: false,
    }
}

fn subscribe(link: u64, world_line: Option<WorldLine>) -> CoordinatorInput {
    Subscribe {
        link: LinkId(link),
        world_line,
        boundary: BTreeMap::new(),
    }
}

fn gather(number: u64) -> GatherId {
    GatherId { term: 1, number }
}

fn gather_starts(number: u64) -> CoordinatorEffect {
    let gather = gather(number);
    Broadcast(ToParticipant::Gather { gather })
}

fn gather_ends(number: u64) -> CoordinatorEffect {
    let gather = gather(number);
    Broadcast(ToParticipant::GatherDone { gather })
}

fn told_boundary(entries: &[(ObjectId, u64)]) -> CoordinatorEffect {
    Broadcast(ToParticipant::Boundary(versions(entries)))
}

fn admitted(
    object: ObjectId,
    life: u64,
    world_line: WorldLine,
    keep: u64,
    boundary: &[(ObjectId, u64)],
) -> CoordinatorEffect {
    let incarnation = Incarnation(life);
    ToObject(
        object,
        incarnation,
        ToParticipant::Admit {
            incarnation,
            world_line,
            keep: Version(keep),
            boundary: versions(boundary),
        },
    )
}

fn refused(object: ObjectId, life: u64, refusal: Refusal) -> CoordinatorEffect {
    let incarnation = Incarnation(life);
    let message = ToParticipant::Refused {
        incarnation,
        refusal,
    };
    ToObject(object, incarnation, message)
}

fn decision(
    world_line: WorldLine,
    failed: ObjectId,
    life: u64,
    cut: &[(ObjectId, u64)],
) -> Decision {
    Decision {
        world_line,
        cause: Cause::Failed {
            object: failed,
            successor: Incarnation(life),
        },
        cut: versions(cut),
    }
}

/// A coordinator with these members in its log, waiting for their reports.
fn restarted(members: &[ObjectId]) -> Coordinator {
    let mut coordinator =
        Coordinator::recover(1, None, members.iter().map(|&object| joined(object)));
    assert_eq!(coordinator.poll_effect(), Some(gather_starts(1)));
    assert_eq!(coordinator.waiting_for(), members);
    coordinator
}

/// A coordinator with these members and nothing to repair.
fn steady(members: &[ObjectId]) -> Coordinator {
    let mut coordinator = restarted(members);
    for &member in members {
        on(
            &mut coordinator,
            report(member, Some(gather(1)), nothing(W0)),
        );
    }
    assert_eq!(coordinator.phase, Phase::Steady);
    coordinator
}

/// A and B are members; B has failed, depends on nothing, and had A depend on it. The decision is on
/// its way to the log.
fn logging() -> Coordinator {
    let mut coordinator = steady(&[A, B]);
    assert_eq!(
        on(&mut coordinator, join(B, 2, nothing(W0))),
        [gather_starts(2)]
    );
    let volatile = fragment(W0, 0, &[(1, &[], true), (2, &[(B, 1)], false)]);
    assert_eq!(
        on(&mut coordinator, report(A, Some(gather(2)), volatile)),
        [Log(decided(repair()))],
        "news of the boundary wait for the log"
    );
    coordinator
}

/// What `logging` decides.
fn repair() -> Decision {
    decision(W1, B, 2, &[(A, 1), (B, 0)])
}

/// `logging`, and the decision is durable.
fn announcing() -> Coordinator {
    let mut coordinator = logging();
    assert_eq!(
        on(&mut coordinator, Logged),
        [
            Broadcast(ToParticipant::Decide(repair())),
            admitted(B, 2, W1, 0, &[(A, 1), (B, 0)]),
            told_boundary(&[(A, 1), (B, 0)]),
        ]
    );
    assert_eq!(coordinator.waiting_for(), [A, B]);
    coordinator
}

/// Every phase and what each input makes of it.
#[test]
fn transitions() {
    type Named<T> = (&'static str, T);
    let gathering = || {
        let mut coordinator = steady(&[A, B]);
        on(&mut coordinator, join(B, 2, nothing(W0)));
        coordinator
    };
    let steady = || steady(&[A, B]);
    let phases: [Named<&dyn Fn() -> Coordinator>; 4] = [
        ("steady", &steady),
        ("gathering", &gathering),
        ("logging", &logging),
        ("announcing", &announcing),
    ];
    let inputs: [Named<Vec<CoordinatorInput>>; 8] = [
        ("a stranger joins", vec![join(C, 1, nothing(W0))]),
        ("B's next life joins", vec![join(B, 3, nothing(W0))]),
        (
            "A's next life joins",
            vec![join(A, 2, fragment(W0, 1, &[]))],
        ),
        ("A answers", vec![report(A, Some(gather(2)), nothing(W0))]),
        ("A enters", vec![report(A, None, fragment(W1, 1, &[]))]),
        (
            "A and B enter",
            vec![
                report(A, None, fragment(W1, 1, &[])),
                report_of_life(B, 2, nothing(W1)),
            ],
        ),
        ("A persists", vec![persisted(A, 3, &[])]),
        ("A leaves", vec![leave(A, 1)]),
    ];
    let name = |phase: &Phase| match phase {
        Phase::Steady => "steady",
        Phase::Gathering { .. } => "gathering",
        Phase::Logging => "logging",
        Phase::Announcing { .. } => "announcing",
    };
    let mut table = String::new();
    for (from, build) in phases {
        for (label, inputs) in &inputs {
            let mut coordinator = build();
            for input in inputs {
                on(&mut coordinator, input.clone());
            }
            let to = name(&coordinator.phase);
            if to != from {
                table += &format!("{from} -- {label} --> {to}\n");
            }
        }
        let mut coordinator = build();
        if !coordinator.logging.is_empty() {
            on(&mut coordinator, Logged);
            table += &format!("{from} -- logged --> {}\n", name(&coordinator.phase));
        }
    }
    assert_eq!(
        table,
        "\
steady -- B's next life joins --> gathering
steady -- A's next life joins --> gathering
gathering -- A's next life joins --> logging
gathering -- A answers --> logging
logging -- logged --> announcing
announcing -- A and B enter --> steady
"
    );
}
