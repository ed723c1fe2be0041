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

#[test]
fn a_life_that_was_admitted_elsewhere_shows_a_successor() {
    // rule P11: B's next life waits here, and was admitted by somebody else meanwhile.
    let mut coordinator = logging();
    on(&mut coordinator, report_of_life(B, 2, nothing(W0)));
    assert!(coordinator.is_superseded());
}
