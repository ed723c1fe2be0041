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
