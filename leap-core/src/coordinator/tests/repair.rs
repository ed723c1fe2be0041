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
