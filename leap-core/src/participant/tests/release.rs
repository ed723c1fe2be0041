use super::*;

#[test]
fn a_durable_version_without_dependencies_commits_without_the_coordinator() {
    // rule P7
    let mut me = active();
    on(&mut me, Input::Touch);
    on(&mut me, Input::Output(OUTPUT));
    on(&mut me, seal());
    assert_eq!(
        on(&mut me, ticket(1)),
        [
            persisted_message(1, set(&[])),
            Effect::Release(OUTPUT),
            Effect::Committed(Version(1)),
        ]
    );
}

#[test]
fn what_depends_on_others_waits_for_the_boundary() {
    // rules P7, P8
    let mut me = active();
    on(&mut me, channel(0, peer_at(1)));
    on(&mut me, Input::Output(OUTPUT));
    on(&mut me, seal());
    assert_eq!(
        on(&mut me, ticket(1)),
        [persisted_message(1, set(&[(PEER, 1)]))]
    );
    assert_eq!(
        on(&mut me, boundary(&[(PEER, 1)])),
        [
            to_peer(PeerMessage::Acknowledge(Seq(1))),
            Effect::Release(OUTPUT),
            Effect::Committed(Version(1)),
        ]
    );
}

#[test]
fn the_boundary_commits_nothing_that_is_not_durable() {
    // rule P7
    let mut me = active();
    on(&mut me, channel(0, peer_at(1)));
    on(&mut me, seal());
    assert_eq!(on(&mut me, boundary(&[(ME, 1), (PEER, 1)])), []);
}

#[test]
fn an_output_waits_for_the_newest_version_with_content() {
    // rule P8
    let mut me = active();
    let now = [Effect::Release(OUTPUT)];
    assert_eq!(on(&mut me, Input::Output(OUTPUT)), now);
    on(&mut me, Input::Touch);
    on(&mut me, seal());
    assert_eq!(on(&mut me, Input::Output(OUTPUT)), []);
    assert!(on(&mut me, ticket(1)).contains(&now[0]));
    assert_eq!(on(&mut me, Input::Output(OUTPUT)), now);
}

#[test]
fn a_rollback_discards_what_waited() {
    // rule P8
    let mut me = active();
    on(&mut me, channel(0, peer_at(1)));
    on(&mut me, Input::Output(OUTPUT));
    assert_eq!(
        on(&mut me, decide(1, &[(ME, 0)])),
        [
            Effect::Discard(OUTPUT),
            Effect::Restore {
                version: Version(0)
            }
        ]
    );
}

#[test]
fn without_speculation_a_message_leaves_when_its_version_is_committed() {
    let me = Participant::new(ME, Incarnation(1), Speculation::Off);
    let mut me = start(me, 0, W0);
    assert_eq!(on(&mut me, send(b"a")), []);
    on(&mut me, seal());
    let committed = Header::default();
    assert_eq!(
        on(&mut me, ticket(1)),
        [
            persisted_message(1, set(&[])),
            Effect::Committed(Version(1)),
            sent(0, committed, b"a"),
        ]
    );
}
