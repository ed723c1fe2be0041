//! A state, one call, the effects. Whole clusters are in `tests/protocol.rs` and `tests/model.rs`.

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

mod membership {
    use super::*;

    #[test]
    fn a_first_life_is_on_record_before_it_is_admitted() {
        // rules P10, P11
        let mut coordinator = steady(&[]);
        on(&mut coordinator, subscribe(0, None));
        assert_eq!(
            on(&mut coordinator, join(A, 1, nothing(W0))),
            [Log(joined(A))]
        );
        assert_eq!(
            on(&mut coordinator, join(A, 1, nothing(W0))),
            [],
            "told twice"
        );
        assert_eq!(
            on(&mut coordinator, Logged),
            [admitted(A, 1, W0, 0, &[(A, 0)])]
        );
    }

    #[test]
    fn an_older_incarnation_is_refused_whatever_it_says() {
        // rule P12
        let mut coordinator = announcing();
        let by = Incarnation(2);
        for input in [
            join(B, 1, nothing(W0)),
            report(B, None, nothing(W0)),
            persisted(B, 1, &[]),
            leave(B, 1),
        ] {
            assert_eq!(
                on(&mut coordinator, input),
                [refused(B, 1, Refusal::Fenced { by })]
            );
        }
    }

    #[test]
    fn it_is_shut_out_as_soon_as_the_next_life_asks_to_join() {
        // rule P12: what it still persisted would not be known to the new life.
        let mut coordinator = logging();
        let by = Incarnation(2);
        assert_eq!(
            on(&mut coordinator, persisted(B, 1, &[])),
            [refused(B, 1, Refusal::Fenced { by })]
        );
    }

    #[test]
    fn storage_that_lost_committed_versions_is_refused() {
        // rules P7, P8: somebody outside has seen them.
        let mut coordinator = steady(&[A]);
        on(&mut coordinator, persisted(A, 3, &[]));
        let refusal = Refusal::LostCommitted {
            committed: Version(3),
            found: Version(2),
        };
        assert_eq!(
            on(
                &mut coordinator,
                join(A, 2, fragment(W0, 0, &[(2, &[], true)]))
            ),
            [gather_starts(2), refused(A, 2, refusal), gather_ends(2)]
        );
        assert_eq!(coordinator.decisions().count(), 0);
    }

    #[test]
    fn who_left_comes_back_without_a_decision() {
        let mut coordinator = steady(&[A, B]);
        let record = LogRecord::Left {
            object: A,
            incarnation: Incarnation(1),
            version: Version(4),
        };
        assert_eq!(on(&mut coordinator, leave(A, 4)), [Log(record)]);
        assert_eq!(on(&mut coordinator, leave(A, 4)), [], "told twice");
        assert_eq!(
            on(&mut coordinator, Logged),
            [left(A), told_boundary(&[(A, 4)])]
        );
        assert_eq!(
            on(&mut coordinator, leave(A, 4)),
            [left(A)],
            "the answer was lost"
        );
        let again = LogRecord::Joined {
            object: A,
            incarnation: Incarnation(2),
            keep: Version(4),
        };
        assert_eq!(
            on(&mut coordinator, join(A, 2, fragment(W0, 4, &[]))),
            [Log(again)]
        );
        assert_eq!(
            on(&mut coordinator, Logged),
            [admitted(A, 2, W0, 4, &[(A, 4), (B, 0)])]
        );
    }

    #[test]
    fn who_left_is_not_waited_for() {
        let mut coordinator = restarted(&[A, B]);
        on(&mut coordinator, leave(A, 0));
        on(&mut coordinator, Logged);
        assert_eq!(coordinator.waiting_for(), [B]);
        let log = [
            joined(A),
            LogRecord::Left {
                object: A,
                incarnation: Incarnation(1),
                version: Version(4),
            },
        ];
        let coordinator = Coordinator::recover(2, None, log);
        assert_eq!(coordinator.boundary(), Some(versions(&[(A, 4)])));
    }

    #[test]
    fn it_may_leave_while_others_are_repaired() {
        // Nobody would remind it when the repair is over.
        let mut coordinator = announcing();
        on(&mut coordinator, report(A, None, fragment(W1, 1, &[])));
        on(&mut coordinator, leave(A, 1));
        assert_eq!(on(&mut coordinator, Logged), [left(A)]);
        assert_eq!(coordinator.waiting_for(), [B]);
    }
}

mod superseded {
    use super::*;

    #[test]
    fn a_life_that_was_admitted_elsewhere_shows_a_successor() {
        // rule P11: B's next life waits here, and was admitted by somebody else meanwhile.
        let mut coordinator = logging();
        on(&mut coordinator, report_of_life(B, 2, nothing(W0)));
        assert!(coordinator.is_superseded());
    }
}

mod removal {
    use super::*;

    fn removed(objects: &[ObjectId], cut: &[(ObjectId, u64)]) -> Decision {
        Decision {
            world_line: W1,
            cause: Cause::Removed(objects.iter().copied().collect()),
            cut: versions(cut),
        }
    }

    fn record(decision: Decision, boundary: &[(ObjectId, u64)], blindly: bool) -> LogRecord {
        let boundary = versions(boundary);
        LogRecord::Decided {
            decision,
            boundary,
            blindly,
        }
    }

    /// B has persisted 1, and 2, which depends on A's version 2, which is volatile and depends on B's 2; B is removed,
    /// and that is durable.
    fn without_b() -> Coordinator {
        let mut coordinator = steady(&[A, B]);
        on(&mut coordinator, persisted(B, 1, &[]));
        on(&mut coordinator, persisted(B, 2, &[(A, 2)]));
        assert_eq!(
            on(&mut coordinator, CoordinatorInput::Remove(B)),
            [gather_starts(2)]
        );
        assert!(!coordinator.has_member(B));
        assert_eq!(coordinator.waiting_for(), [A]);
        assert_eq!(on(&mut coordinator, persisted(B, 3, &[])), [], "too late");
        let volatile = fragment(W0, 0, &[(1, &[], false), (2, &[(B, 2)], false)]);
        let decision = removed(&[B], &[(A, 1), (B, 1)]);
        let record = record(decision.clone(), &[(A, 0), (B, 1)], false);
        assert_eq!(
            on(&mut coordinator, report(A, Some(gather(2)), volatile)),
            [Log(record)]
        );
        assert_eq!(
            on(&mut coordinator, Logged),
            [
                Broadcast(ToParticipant::Decide(decision)),
                refused(B, 1, Refusal::Removed),
                told_boundary(&[(A, 0), (B, 1)]),
            ]
        );
        assert_eq!(coordinator.waiting_for(), [A]);
        on(&mut coordinator, report(A, None, fragment(W1, 0, &[])));
        assert_eq!(coordinator.phase, Phase::Steady);
        coordinator
    }

    #[test]
    fn whoever_depends_on_what_was_not_inside_the_boundary_rolls_back() {
        // rules P9, P10
        without_b();
    }

    #[test]
    fn its_life_is_told_so_and_its_next_one_keeps_what_was_inside_the_boundary() {
        // rules P7, P12
        let mut coordinator = without_b();
        for input in [join(B, 1, nothing(W0)), report(B, None, nothing(W0))] {
            assert_eq!(
                on(&mut coordinator, input),
                [refused(B, 1, Refusal::Removed)]
            );
        }
        let stored = [
            (1, &[][..], true),
            (2, &[(A, 2)][..], true),
            (3, &[][..], true),
        ];
        let joined = LogRecord::Joined {
            object: B,
            incarnation: Incarnation(2),
            keep: Version(1),
        };
        let returns = join(B, 2, fragment(W0, 0, &stored));
        assert_eq!(on(&mut coordinator, returns), [Log(joined)]);
        assert_eq!(
            on(&mut coordinator, Logged),
            [admitted(B, 2, W1, 1, &[(A, 0), (B, 1)])]
        );
    }

    #[test]
    fn what_it_committed_by_itself_it_keeps() {
        // rule P7: version 2 depends on nothing, so B knew it to be committed and may have told outsiders.
        let mut coordinator = without_b();
        let stored = fragment(W0, 0, &[(1, &[], true), (2, &[], true)]);
        let effects = on(&mut coordinator, join(B, 2, stored));
        assert!(
            matches!(
                effects[..],
                [Log(LogRecord::Joined {
                    keep: Version(2),
                    ..
                })]
            ),
            "{effects:?}"
        );
    }

    #[test]
    fn its_next_life_makes_the_request_void() {
        let mut coordinator = restarted(&[A, B]);
        on(&mut coordinator, CoordinatorInput::Remove(B));
        on(&mut coordinator, join(B, 2, nothing(W0)));
        assert!(coordinator.has_member(B));
        assert_eq!(
            on(&mut coordinator, report(A, Some(gather(1)), nothing(W0))),
            [Log(decided(decision(W1, B, 2, &[(B, 0)])))]
        );
    }

    #[test]
    fn a_gather_after_a_restart_does_not_wait_for_it() {
        // rules P7, P11: nobody can be asked for what only B knew. What A has stored may have been inside the boundary,
        // so it stays; what is volatile cannot have been.
        let mut coordinator = restarted(&[A, B]);
        let known = Subscribe {
            link: LinkId(1),
            world_line: Some(W0),
            boundary: versions(&[(B, 1)]),
        };
        on(&mut coordinator, known);
        on(&mut coordinator, CoordinatorInput::Remove(B));
        let decision = removed(&[B], &[(A, 2), (B, 2)]);
        let stored = [(2, &[(B, 2)][..], true), (3, &[(B, 3)][..], false)];
        let answer = report(A, Some(gather(1)), fragment(W0, 0, &stored));
        assert_eq!(
            on(&mut coordinator, answer),
            [Log(record(decision, &[(A, 2), (B, 2)], true))]
        );
        assert_eq!(coordinator.boundary(), None, "B is a member still");
        on(&mut coordinator, Logged);
        on(&mut coordinator, report(A, None, fragment(W1, 2, &[])));
        let refusal = Refusal::LostCommitted {
            committed: Version(2),
            found: Version(1),
        };
        assert_eq!(
            on(&mut coordinator, join(B, 2, fragment(W0, 1, &[]))),
            [refused(B, 2, refusal)],
            "it lacks what A rests on"
        );
        let effects = on(&mut coordinator, join(B, 3, fragment(W0, 4, &[])));
        assert!(
            matches!(
                effects[..],
                [Log(LogRecord::Joined {
                    keep: Version(4),
                    ..
                })]
            ),
            "{effects:?}"
        );
    }

    #[test]
    fn what_cannot_have_been_inside_the_boundary_goes_with_who_was_removed_unheard() {
        // rule P9: A's version 2 is stored, but rests on C's, which is not.
        let mut coordinator = restarted(&[A, B, C]);
        on(&mut coordinator, CoordinatorInput::Remove(B));
        let stored = fragment(W0, 0, &[(2, &[(B, 2), (C, 2)], true)]);
        on(&mut coordinator, report(A, Some(gather(1)), stored));
        let volatile = fragment(W0, 0, &[(2, &[], false)]);
        let decision = removed(&[B], &[(A, 0), (B, 0)]);
        let boundary = [(A, 0), (B, 0), (C, 0)];
        assert_eq!(
            on(&mut coordinator, report(C, Some(gather(1)), volatile)),
            [Log(record(decision, &boundary, true))]
        );
    }

    #[test]
    fn who_may_rest_on_others_that_were_removed_unheard_stays_away() {
        // rule P7: whether C had version 1 nobody knows, nor whether B's version 1 was inside the boundary.
        let mut coordinator = restarted(&[A, B, C]);
        on(&mut coordinator, CoordinatorInput::Remove(B));
        on(&mut coordinator, CoordinatorInput::Remove(C));
        on(&mut coordinator, report(A, Some(gather(1)), nothing(W0)));
        on(&mut coordinator, Logged);
        on(&mut coordinator, report(A, None, nothing(W1)));
        let in_doubt = fragment(W0, 0, &[(1, &[(C, 1)], true)]);
        assert_eq!(
            on(&mut coordinator, join(B, 2, in_doubt)),
            [refused(B, 2, Refusal::Removed)]
        );
        // A's version 1 was not stored, so it was not inside, nor was what rests on it.
        let clear = fragment(W0, 0, &[(1, &[(A, 1), (B, 1)], true)]);
        let effects = on(&mut coordinator, join(C, 2, clear));
        assert!(
            matches!(
                effects[..],
                [Log(LogRecord::Joined {
                    keep: Version::ZERO,
                    ..
                })]
            ),
            "{effects:?}"
        );
    }
}

mod log {
    use super::*;

    /// B fails three times; then one checkpoint takes the place of the log.
    fn shortened() -> (Coordinator, Ledger) {
        let mut coordinator = announcing();
        for (life, world_line) in [(3, W1), (4, W2)] {
            on(
                &mut coordinator,
                report(A, None, fragment(world_line, 1, &[])),
            );
            on(&mut coordinator, join(B, life, nothing(world_line)));
            let answer = gather(life);
            on(
                &mut coordinator,
                report(A, Some(answer), fragment(world_line, 1, &[])),
            );
            on(&mut coordinator, Logged);
        }
        on(&mut coordinator, report(A, None, fragment(W3, 1, &[])));
        let effects = on(&mut coordinator, report_of_life(B, 4, nothing(W3)));
        let [CoordinatorEffect::Checkpoint(ledger)] = &effects[..] else {
            panic!("{effects:?}");
        };
        (coordinator, ledger.clone())
    }

    #[test]
    fn many_failures_leave_few_entries() {
        // rule P13: two members, two cuts, three decisions for processes that were away.
        let (coordinator, ledger) = shortened();
        assert_eq!(ledger.world_line(), W3);
        assert_eq!(ledger.len(), 7);
        let restarted = Coordinator::recover(2, Some(ledger), []);
        assert_eq!(restarted.world_line(), coordinator.world_line());
        assert_eq!(restarted.waiting_for(), [A, B]);
    }

    #[test]
    fn what_was_removed_does_not_come_back_after_it() {
        // rules P9, P13: A was cut to version 1, and its storage still holds version 2 of the old world-line.
        let (_, ledger) = shortened();
        let stored = fragment(W0, 0, &[(1, &[], true), (2, &[(B, 1)], true)]);
        let mut restarted = Coordinator::recover(1, Some(ledger), []);
        restarted.poll_effect();
        on(&mut restarted, join(A, 2, stored));
        let answer = Message(ToCoordinator::Report {
            object: B,
            incarnation: Incarnation(4),
            gather: Some(gather(1)),
            fragment: nothing(W3),
        });
        assert_eq!(
            on(&mut restarted, answer),
            [Log(decided(decision(WorldLine(4), A, 2, &[(A, 1)])))]
        );
    }
}

mod ledger {
    use super::{cut::newest, *};

    const MEMBERS: u64 = 8000;

    /// An id that takes as many bytes as one made from a name.
    fn object(index: u64) -> ObjectId {
        ObjectId(u64::MAX - index)
    }

    /// As many members as one boundary has; the first half was removed by one decision.
    fn without_half() -> Ledger {
        let incarnation = Incarnation(1);
        let mut ledger = Ledger::default();
        for object in (0..MEMBERS).map(object) {
            let keep = Version(0);
            let joined = LogRecord::Joined {
                object,
                incarnation,
                keep,
            };
            ledger.apply(&joined, REMEMBERED);
        }
        let removed = || (0..MEMBERS / 2).map(object);
        let decision = Decision {
            world_line: W1,
            cause: Cause::Removed(removed().collect()),
            cut: removed().map(|object| (object, Version(1))).collect(),
        };
        let record = LogRecord::Decided {
            decision,
            boundary: (0..MEMBERS).map(|i| (object(i), Version(1))).collect(),
            blindly: true,
        };
        assert_eq!(LogRecord::decode(&record.encode()), Ok(record.clone()));
        ledger.apply(&record, REMEMBERED);
        ledger
    }

    #[test]
    fn a_removal_of_thousands_takes_one_entry() {
        // rule P13: a coordinator must be able to read it when it starts.
        let ledger = without_half();
        let removal = 1;
        let decision = 1;
        assert_eq!(ledger.len() as u64, MEMBERS + removal + decision);
        let encoded = ledger.encode();
        let bytes_per_member = encoded.len() as u64 / MEMBERS;
        assert!(bytes_per_member < 64, "{bytes_per_member}");
        assert_eq!(Ledger::decode(&encoded), Ok(ledger));
    }

    #[test]
    fn it_lasts_until_the_last_of_them_is_back() {
        // rule P9
        let mut ledger = without_half();
        let stored = |other: u64| {
            let needs = (object(other), 2);
            let versions = [(1, &[][..], true), (2, &[needs][..], true)];
            fragment(W0, 0, &versions)
        };
        for index in 0..MEMBERS / 2 {
            let object = object(index);
            let (known, unknown) = (stored(MEMBERS - 1), stored(MEMBERS / 2 - 1 - index));
            assert_eq!(newest(&ledger.surviving(object, known.clone())), Version(1));
            assert!(!ledger.is_in_doubt(object, &known));
            assert!(ledger.is_in_doubt(object, &unknown));
            let back = LogRecord::Joined {
                object,
                incarnation: Incarnation(2),
                keep: Version(1),
            };
            ledger.apply(&back, REMEMBERED);
            assert!(!ledger.is_in_doubt(object, &unknown));
            assert_eq!(newest(&ledger.surviving(object, unknown)), Version(1));
        }
        // Of each there is a cut now, as of one that failed.
        ledger.forget(|_| Version(2));
        assert_eq!(ledger.len() as u64, MEMBERS + 1);
    }
}

mod boundary {
    use super::*;

    #[test]
    fn it_is_the_largest_closed_set_of_persisted_versions() {
        // rule P7
        let mut coordinator = steady(&[A, B]);
        assert_eq!(on(&mut coordinator, persisted(A, 2, &[(B, 1)])), []);
        assert_eq!(
            on(&mut coordinator, persisted(B, 1, &[])),
            [told_boundary(&[(A, 2), (B, 1)])]
        );
        assert_eq!(on(&mut coordinator, persisted(B, 1, &[])), [], "told twice");
    }

    #[test]
    fn news_of_several_inputs_comes_in_one_piece() {
        // rule P7: pushed, not polled.
        let mut coordinator = steady(&[A, B]);
        coordinator.handle(persisted(A, 1, &[]));
        coordinator.handle(persisted(A, 2, &[]));
        assert_eq!(
            on(&mut coordinator, persisted(B, 1, &[])),
            [told_boundary(&[(A, 2), (B, 1)])]
        );
    }

    #[test]
    fn nothing_of_another_world_line_counts() {
        // rule P5
        let mut coordinator = announcing();
        assert_eq!(on(&mut coordinator, persisted(A, 2, &[])), []);
        assert_eq!(coordinator.boundary(), Some(versions(&[(A, 1), (B, 0)])));
    }

    #[test]
    fn it_is_unknown_until_all_have_answered() {
        // rule P11
        let mut coordinator = restarted(&[A, B]);
        let durable = |version| fragment(W0, 0, &[(version, &[], true)]);
        assert_eq!(
            on(&mut coordinator, report(A, Some(gather(1)), durable(3))),
            []
        );
        assert_eq!(coordinator.boundary(), None);
        assert_eq!(
            on(&mut coordinator, subscribe(9, None)),
            [ToLink(
                LinkId(9),
                ToParticipant::Welcome {
                    world_line: W0,
                    decisions: vec![],
                    boundary: BTreeMap::new(),
                }
            )]
        );
        assert_eq!(
            on(&mut coordinator, report(B, Some(gather(1)), durable(2))),
            [gather_ends(1), told_boundary(&[(A, 3), (B, 2)])]
        );
    }

    #[test]
    fn whoever_connects_late_learns_all_it_missed() {
        // rules P7, P10
        let mut coordinator = announcing();
        let welcome = |known, decisions| {
            ToLink(
                LinkId(9),
                ToParticipant::Welcome {
                    world_line: known,
                    decisions,
                    boundary: versions(&[(A, 1), (B, 0)]),
                },
            )
        };
        let subscribe = |world_line| subscribe(9, world_line);
        assert_eq!(
            on(&mut coordinator, subscribe(Some(W0))),
            [welcome(W0, vec![repair()])]
        );
        assert_eq!(on(&mut coordinator, subscribe(None)), [welcome(W1, vec![])]);
    }
}

mod repair {
    use super::*;

    #[test]
    fn nobody_learns_of_a_decision_before_it_is_durable() {
        // rule P10
        let mut coordinator = logging();
        let subscribe = subscribe(9, Some(W0));
        let effects = on(&mut coordinator, subscribe);
        assert!(matches!(
            &effects[..],
            [ToLink(_, ToParticipant::Welcome { decisions, .. })] if decisions.is_empty()
        ));
        assert_eq!(coordinator.world_line(), W0);
    }

    #[test]
    fn it_is_over_when_all_have_entered_the_new_world_line() {
        // rule P10
        let mut coordinator = announcing();
        on(&mut coordinator, report(A, None, fragment(W1, 1, &[])));
        assert_eq!(coordinator.waiting_for(), [B]);
        on(&mut coordinator, report_of_life(B, 2, nothing(W1)));
        assert_eq!(coordinator.phase, Phase::Steady);
    }

    #[test]
    fn who_did_not_hear_of_it_is_told_again() {
        // rule P10
        let mut coordinator = announcing();
        assert_eq!(
            on(&mut coordinator, report(A, Some(gather(2)), nothing(W0))),
            [ToObject(A, Incarnation(1), ToParticipant::Decide(repair()))]
        );
        assert_eq!(coordinator.waiting_for(), [A, B]);
    }

    #[test]
    fn a_lost_admission_is_repeated() {
        let mut coordinator = announcing();
        assert_eq!(
            on(&mut coordinator, join(B, 2, nothing(W0))),
            [admitted(B, 2, W1, 0, &[(A, 1), (B, 0)])]
        );
        assert_eq!(coordinator.waiting_for(), [A, B]);
    }

    #[test]
    fn a_lost_admission_is_repeated_after_a_restart() {
        // rule P11
        let log = [joined(A), joined(B), decided(repair())];
        let mut coordinator = Coordinator::recover(2, None, log);
        coordinator.poll_effect();
        assert_eq!(coordinator.waiting_for(), [A, B]);
        assert_eq!(
            on(&mut coordinator, join(B, 2, nothing(W0))),
            [admitted(B, 2, W1, 0, &[])]
        );
        assert_eq!(coordinator.waiting_for(), [A, B]);
    }

    #[test]
    fn a_lost_question_is_repeated_and_a_lost_end_too() {
        let mut coordinator = restarted(&[A]);
        let tell = |message| [ToObject(A, Incarnation(1), message)];
        let stale = GatherId { term: 0, number: 7 };
        for answered in [None, Some(stale)] {
            assert_eq!(
                on(&mut coordinator, report(A, answered, nothing(W0))),
                tell(ToParticipant::Gather { gather: gather(1) })
            );
        }
        on(&mut coordinator, report(A, Some(gather(1)), nothing(W0)));
        assert_eq!(
            on(&mut coordinator, report(A, Some(gather(1)), nothing(W0))),
            tell(ToParticipant::GatherDone { gather: gather(1) })
        );
    }

    #[test]
    fn another_failure_meanwhile_gets_the_next_world_line() {
        // rule P10
        let mut coordinator = announcing();
        assert_eq!(
            on(&mut coordinator, join(A, 2, fragment(W0, 1, &[]))),
            [],
            "it waits its turn"
        );
        assert_eq!(
            on(&mut coordinator, report_of_life(B, 2, nothing(W1))),
            [gather_starts(3)]
        );
        let answer = Message(ToCoordinator::Report {
            object: B,
            incarnation: Incarnation(2),
            gather: Some(gather(3)),
            fragment: nothing(W1),
        });
        let second = decision(W2, A, 2, &[(A, 1)]);
        assert_eq!(on(&mut coordinator, answer), [Log(decided(second))]);
    }

    #[test]
    fn an_object_that_fails_again_meanwhile_is_not_admitted_twice() {
        // rule P10
        let mut coordinator = logging();
        on(&mut coordinator, join(B, 3, nothing(W0)));
        assert_eq!(
            on(&mut coordinator, Logged),
            [
                Broadcast(ToParticipant::Decide(repair())),
                told_boundary(&[(A, 1), (B, 0)]),
            ]
        );
        assert_eq!(coordinator.waiting_for(), [A]);
        assert_eq!(
            on(&mut coordinator, report(A, None, fragment(W1, 1, &[]))),
            [gather_starts(3)]
        );
    }

    #[test]
    fn what_storage_still_has_of_a_lost_version_does_not_come_back() {
        // rule P9: A was cut to version 1 while it was down; its storage holds version 2 of the old
        // world-line.
        let log = [joined(A), joined(B), decided(repair())];
        let mut coordinator = Coordinator::recover(1, None, log);
        let stored = fragment(W0, 0, &[(1, &[], true), (2, &[(B, 1)], true)]);
        on(&mut coordinator, join(A, 2, stored));
        let answer = Message(ToCoordinator::Report {
            object: B,
            incarnation: Incarnation(2),
            gather: Some(gather(1)),
            fragment: nothing(W1),
        });
        let effects = on(&mut coordinator, answer);
        let second = decision(W2, A, 2, &[(A, 1)]);
        assert!(effects.contains(&Log(decided(second))), "{effects:?}");
    }

    #[test]
    fn a_claim_against_the_boundary_has_no_effect() {
        // rule P7: A contradicts what it had persisted itself.
        let mut coordinator = steady(&[A, B]);
        on(&mut coordinator, persisted(A, 2, &[]));
        on(&mut coordinator, join(B, 2, nothing(W0)));
        let lie = fragment(W0, 0, &[(1, &[(B, 1)], false)]);
        assert_eq!(
            on(&mut coordinator, report(A, Some(gather(2)), lie)),
            [Log(decided(decision(W1, B, 2, &[(B, 0)])))]
        );
        on(&mut coordinator, Logged);
        assert_eq!(coordinator.boundary(), Some(versions(&[(A, 2), (B, 0)])));
    }
}

mod cuts {
    use super::*;
    use proptest::prelude::*;

    /// Rule P9, as it is written: remove whatever depends on something removed, until nothing changes.
    fn brute_force(
        failed: ObjectId,
        keep: Version,
        fragments: &BTreeMap<ObjectId, Fragment>,
    ) -> BTreeMap<ObjectId, Version> {
        let mut cut = BTreeMap::from([(failed, keep)]);
        loop {
            let before = cut.clone();
            for (&object, fragment) in fragments {
                let mut kept = fragment.committed;
                for entry in &fragment.versions {
                    let is_removed = |object: &ObjectId, version| {
                        cut.get(object).is_some_and(|&kept| version > kept)
                    };
                    let mut needs = entry.dependencies.iter();
                    if is_removed(&object, entry.version)
                        || needs.any(|(target, version)| is_removed(&target, version))
                    {
                        let entry = cut.entry(object).or_insert(kept);
                        *entry = kept.min(*entry);
                        break;
                    }
                    kept = entry.version;
                }
            }
            if cut == before {
                return cut;
            }
        }
    }

    fn fragments() -> impl Strategy<Value = BTreeMap<ObjectId, Fragment>> {
        let dependencies = prop::collection::vec((0..5u64, 1..12u64), 0..4);
        let versions = prop::collection::btree_map(1..12u64, dependencies, 0..6);
        prop::collection::vec(versions, 5).prop_map(|objects| {
            let fragment_of = |versions: BTreeMap<u64, Vec<(u64, u64)>>| Fragment {
                world_line: W0,
                committed: Version::ZERO,
                versions: versions
                    .into_iter()
                    .map(|(version, needs)| FragmentVersion {
                        version: Version(version),
                        world_line: W0,
                        dependencies: needs
                            .into_iter()
                            .map(|(o, v)| (ObjectId(o), Version(v)))
                            .collect(),
                        durable: false,
                    })
                    .collect(),
            };
            let objects = (0..).map(ObjectId).zip(objects);
            objects
                .map(|(o, versions)| (o, fragment_of(versions)))
                .collect()
        })
    }

    proptest! {
        #[test]
        fn a_cut_is_the_least_fixpoint(fragments in fragments(), failed in 0..5u64, keep in 0..6usize) {
            // rule P9: with upward, cyclic and dangling edges as well.
            let failed = ObjectId(failed);
            let versions = &fragments[&failed].versions;
            let keep = keep.checked_sub(1).and_then(|i| versions.get(i)).map_or(Version::ZERO, |e| e.version);
            prop_assert_eq!(
                cut::consistent(BTreeMap::from([(failed, keep)]), &fragments),
                brute_force(failed, keep, &fragments)
            );
        }
    }
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
