use super::*;

#[test]
fn what_changed_nothing_seals_nothing() {
    // rule P2
    let mut me = active();
    assert_eq!(on(&mut me, seal()), []);
    assert_eq!(me.open_version(), Version(1));
}

#[test]
fn several_versions_are_written_at_once_and_commit_in_order() {
    // rules P2, P7
    let mut me = active();
    for number in 1..=3 {
        on(&mut me, Input::Touch);
        let effects = on(&mut me, seal());
        assert!(
            matches!(&effects[..], [Effect::Persist { ticket, metadata }]
                if *ticket == PersistTicket(number) && metadata.version == Version(number))
        );
    }
    assert_eq!((me.in_flight(), me.open_version()), (3, Version(4)));
    assert_eq!(
        on(&mut me, ticket(1)),
        [
            persisted_message(1, set(&[])),
            Effect::Committed(Version(1))
        ]
    );
    on(&mut me, ticket(2));
    assert_eq!((me.committed(), me.in_flight()), (Version(2), 1));
}

#[test]
#[should_panic(expected = "rule P2")]
fn a_driver_that_completes_writes_out_of_order_is_stopped() {
    let mut me = active();
    for _ in 0..2 {
        on(&mut me, Input::Touch);
        on(&mut me, seal());
    }
    on(&mut me, ticket(2));
}

#[test]
fn a_late_completion_of_a_removed_version_means_nothing() {
    let mut me = active();
    on(&mut me, channel(0, peer_at(1)));
    on(&mut me, seal());
    on(&mut me, decide(1, &[(ME, 0)]));
    on(&mut me, Input::Restored);
    assert_eq!(on(&mut me, ticket(1)), []);
}

#[test]
fn metadata_holds_the_edges_that_are_not_committed() {
    // rules P3, P6
    let mut me = active();
    on(&mut me, boundary(&[(OTHER, 5)]));
    on(&mut me, seal_to(9));
    assert_eq!(
        me.consume(&Header {
            world_line: W0,
            dependencies: set(&[(ME, 3), (PEER, 2), (OTHER, 5)]),
        }),
        Admission::Consumed
    );
    let effects = on(&mut me, seal());
    let [Effect::Persist { metadata, .. }] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(metadata.version, Version(9));
    assert_eq!(metadata.dependencies, set(&[(PEER, 2)]));
}
