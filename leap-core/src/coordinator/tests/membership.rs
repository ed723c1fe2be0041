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
        [refused(A, 2, refusal)],
        "nobody is displaced by it"
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

#[test]
fn a_life_that_was_admitted_elsewhere_shows_a_successor() {
    // rule P11: B's next life waits here, and was admitted by somebody else meanwhile.
    let mut coordinator = logging();
    on(&mut coordinator, report_of_life(B, 2, nothing(W0)));
    assert!(coordinator.is_superseded());
}

#[test]
fn who_comes_from_another_cluster_is_refused_and_the_coordinator_goes_on() {
    // rule P11: the driver has found that nobody has taken over.
    let mut coordinator = steady(&[A]);
    let join = join(B, 1, nothing(W3));
    assert!(coordinator.shows_successor(&join));
    let foreign = CoordinatorInput::Foreign {
        object: B,
        incarnation: Incarnation(1),
    };
    let refusal = Refusal::OtherCluster { world_line: W0 };
    assert_eq!(on(&mut coordinator, foreign), [refused(B, 1, refusal)]);
    assert!(!coordinator.is_superseded());
}

/// Life `life` of B in a storage that is not the one of its first.
fn elsewhere(life: u64) -> Incarnation {
    Incarnation::of(2, 7, life).expect("an early life")
}

fn join_as(incarnation: Incarnation, fragment: Fragment) -> CoordinatorInput {
    Message(ToCoordinator::Join {
        object: B,
        incarnation,
        fragment,
    })
}

/// A and B are members, B in the first life of a storage with a name.
fn b_in_named_storage() -> (Coordinator, Incarnation) {
    let mut coordinator = steady(&[A]);
    let home = Incarnation::of(1, 5, 1).expect("an early life");
    on(&mut coordinator, join_as(home, nothing(W0)));
    on(&mut coordinator, Logged);
    assert_eq!(coordinator.life_of(B), Some(home));
    (coordinator, home)
}

fn refused_as(incarnation: Incarnation, refusal: Refusal) -> CoordinatorEffect {
    let refused = ToParticipant::Refused {
        incarnation,
        refusal,
    };
    ToObject(B, incarnation, refused)
}

#[test]
fn whoever_comes_from_another_storage_is_refused_however_many_lives_it_counts() {
    // rule P12: incarnations are counted by storage; those of another say nothing.
    let (mut coordinator, by) = b_in_named_storage();
    let copy = Incarnation::of(1, 6, 1).expect("an early life");
    let ahead = fragment(W0, 0, &[(9, &[], true)]);
    for stranger in [
        copy,
        elsewhere(1),
        elsewhere(2),
        Incarnation(1),
        Incarnation(2),
    ] {
        assert_eq!(
            on(&mut coordinator, join_as(stranger, ahead.clone())),
            [refused_as(stranger, Refusal::OtherStorage { by })],
            "{stranger:?}"
        );
    }
    assert_eq!(coordinator.life_of(B), Some(by));
    let message = ToCoordinator::Persisted {
        object: B,
        incarnation: by,
        world_line: W0,
        version: Version(1),
        dependencies: set(&[]),
    };
    assert_eq!(
        on(&mut coordinator, Message(message)),
        [told_boundary(&[(B, 1)])],
        "and the other lives on"
    );
}

#[test]
fn a_copy_that_counts_further_takes_the_place_only_with_all_that_was_committed() {
    // As data does that was moved to another machine.
    let (mut coordinator, by) = b_in_named_storage();
    let persisted = |version| {
        Message(ToCoordinator::Persisted {
            object: B,
            incarnation: by,
            world_line: W0,
            version: Version(version),
            dependencies: set(&[]),
        })
    };
    on(&mut coordinator, persisted(2));
    let copy = Incarnation::of(1, 6, 3).expect("an early life");
    let refusal = Refusal::LostCommitted {
        committed: Version(2),
        found: Version(1),
    };
    let stored = fragment(W0, 0, &[(1, &[], true)]);
    assert_eq!(
        on(&mut coordinator, join_as(copy, stored)),
        [refused_as(copy, refusal)]
    );
    assert_eq!(
        on(&mut coordinator, persisted(3)),
        [told_boundary(&[(B, 3)])],
        "and the other lives on"
    );
    on(&mut coordinator, join_as(copy, fragment(W0, 3, &[])));
    assert_eq!(coordinator.life_of(B), Some(copy));
}

#[test]
fn of_two_storages_the_one_that_asks_first_is_let_in() {
    let mut coordinator = steady(&[A]);
    on(&mut coordinator, join_as(elsewhere(1), nothing(W0)));
    let second = Incarnation::of(1, 5, 1).expect("an early life");
    let by = elsewhere(1);
    assert_eq!(
        on(&mut coordinator, join_as(second, nothing(W0))),
        [refused_as(second, Refusal::OtherStorage { by })]
    );
    assert_eq!(
        on(&mut coordinator, Logged),
        [ToObject(
            B,
            by,
            ToParticipant::Admit {
                incarnation: by,
                world_line: W0,
                keep: Version::ZERO,
                boundary: versions(&[(A, 0), (B, 0)]),
            }
        )]
    );
}

/// B leaves with all up to `version` committed.
fn b_has_left(version: u64) -> (Coordinator, Incarnation) {
    let (mut coordinator, by) = b_in_named_storage();
    let leave = ToCoordinator::Leave {
        object: B,
        incarnation: by,
        version: Version(version),
    };
    on(&mut coordinator, Message(leave));
    on(&mut coordinator, Logged);
    (coordinator, by)
}

#[test]
fn who_left_comes_back_from_its_own_storage_only() {
    let (mut coordinator, by) = b_has_left(2);
    let stored = fragment(W0, 2, &[]);
    assert_eq!(
        on(&mut coordinator, join_as(elsewhere(2), stored.clone())),
        [refused_as(elsewhere(2), Refusal::OtherStorage { by })]
    );
    let next = Incarnation::of(1, 3, 2).expect("an early life");
    assert!(matches!(
        on(&mut coordinator, join_as(next, stored))[..],
        [Log(LogRecord::Joined { .. })]
    ));
}

#[test]
fn who_left_with_nothing_committed_comes_back_from_anywhere() {
    // A host that keeps nothing has another storage each time.
    let (mut coordinator, by) = b_has_left(0);
    let older = Incarnation::of(1, 3, 0).expect("an early life");
    assert_eq!(
        on(&mut coordinator, join_as(older, nothing(W0))),
        [refused_as(older, Refusal::Fenced { by })]
    );
    assert!(matches!(
        on(&mut coordinator, join_as(elsewhere(1), nothing(W0)))[..],
        [Log(LogRecord::Joined { .. })]
    ));
    let next = Incarnation::of(1, 3, 2).expect("an early life");
    assert_eq!(
        on(&mut coordinator, join_as(next, nothing(W0))),
        [refused_as(next, Refusal::OtherStorage { by: elsewhere(1) })],
        "while that one waits to be on record"
    );
}

/// B is removed, with all up to `committed` inside the boundary. Its last life is the second result.
fn without_b_in_named_storage(committed: u64) -> (Coordinator, Incarnation) {
    let (mut coordinator, by) = b_in_named_storage();
    if committed > 0 {
        let message = ToCoordinator::Persisted {
            object: B,
            incarnation: by,
            world_line: W0,
            version: Version(committed),
            dependencies: set(&[]),
        };
        on(&mut coordinator, Message(message));
    }
    on(&mut coordinator, CoordinatorInput::Remove(B));
    on(&mut coordinator, report(A, Some(gather(2)), nothing(W0)));
    on(&mut coordinator, Logged);
    on(&mut coordinator, report(A, None, nothing(W1)));
    assert_eq!(coordinator.life_of(B), None);
    assert_eq!(
        on(&mut coordinator, join_as(by, nothing(W0))),
        [refused_as(by, Refusal::Removed)]
    );
    (coordinator, by)
}

#[test]
fn after_a_removal_what_was_committed_comes_back_from_its_storage_or_a_copy() {
    let (mut coordinator, by) = without_b_in_named_storage(3);
    let stored = fragment(W0, 3, &[]);
    for stranger in [elsewhere(9), Incarnation(9)] {
        assert_eq!(
            on(&mut coordinator, join_as(stranger, stored.clone())),
            [refused_as(stranger, Refusal::OtherStorage { by })]
        );
    }
    let copy = Incarnation::of(1, 6, 1).expect("an early life");
    assert!(matches!(
        on(&mut coordinator, join_as(copy, stored))[..],
        [Log(LogRecord::Joined { .. })]
    ));
}

#[test]
fn after_a_removal_with_nothing_committed_it_may_come_from_anywhere() {
    let (mut coordinator, last) = without_b_in_named_storage(0);
    // Its number is lower, whatever storage it is of.
    assert!(matches!(
        on(&mut coordinator, join_as(elsewhere(1), nothing(W0)))[..],
        [Log(LogRecord::Joined { .. })]
    ));
    on(&mut coordinator, Logged);
    assert_eq!(coordinator.life_of(B), Some(elsewhere(1)));
    let next = Incarnation::of(1, 3, 2).expect("an early life");
    assert!(next.supersedes(last));
    assert_eq!(
        on(&mut coordinator, join_as(next, nothing(W0))),
        [refused_as(next, Refusal::OtherStorage { by: elsewhere(1) })],
        "the storage that was given up"
    );
}
