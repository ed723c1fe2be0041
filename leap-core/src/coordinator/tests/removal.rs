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

#[test]
fn who_comes_while_its_removal_is_on_its_way_to_the_log_is_judged_after_it() {
    // What counts as committed is part of the decision.
    let mut coordinator = steady(&[A, B]);
    on(&mut coordinator, persisted(B, 3, &[]));
    on(&mut coordinator, CoordinatorInput::Remove(B));
    let logging = on(&mut coordinator, report(A, Some(gather(2)), nothing(W0)));
    assert!(matches!(logging[..], [Log(LogRecord::Decided { .. })]));
    let stored = fragment(W0, 0, &[(2, &[], true)]);
    assert_eq!(on(&mut coordinator, join(B, 2, stored)), []);
    on(&mut coordinator, Logged);
    let refusal = Refusal::LostCommitted {
        committed: Version(3),
        found: Version(2),
    };
    assert_eq!(
        on(&mut coordinator, report(A, None, nothing(W1))),
        [refused(B, 2, refusal)]
    );
}
