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
