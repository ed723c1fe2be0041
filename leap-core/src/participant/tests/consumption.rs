use super::*;

#[test]
fn a_higher_version_is_consumed_only_after_sealing_up_to_it() {
    // rule P4: no wait for durability.
    let mut me = active();
    on(&mut me, Input::Touch);
    assert_eq!(
        on(&mut me, channel(0, peer_at(5))),
        [Effect::SealNeeded {
            at_least: Version(5)
        }]
    );
    let effects = on(&mut me, seal_to(5));
    assert!(matches!(&effects[..], [Effect::Persist { .. }, last] if *last == deliver(0)));
    assert_eq!(me.open_version(), Version(5));
    assert_eq!(me.waits_for(), set(&[(PEER, 5)]));
}

#[test]
fn a_seal_is_asked_for_once() {
    let mut me = active();
    assert_eq!(on(&mut me, channel(0, peer_at(5))).len(), 1);
    assert_eq!(on(&mut me, channel(1, peer_at(6))), []);
    assert_eq!(
        on(&mut me, seal_to(5)),
        [
            deliver(0),
            Effect::SealNeeded {
                at_least: Version(6)
            }
        ]
    );
    assert!(on(&mut me, seal_to(6)).contains(&deliver(1)));
}

#[test]
fn a_lower_version_and_a_committed_one_are_consumed_at_once() {
    // rule P4
    let mut me = active();
    assert_eq!(on(&mut me, channel(0, peer_at(1))), [deliver(0)]);
    on(&mut me, boundary(&[(PEER, 9)]));
    assert_eq!(on(&mut me, channel(1, peer_at(9))), [deliver(1)]);
    assert_eq!(me.waits_for(), set(&[]));
}

#[test]
fn requests_are_judged_like_messages() {
    // rules P3, P4, P5
    let mut me = start(Participant::new(ME, Incarnation(1), Speculation::On), 0, W1);
    let at = |world_line, version| Header::of(WorldLine(world_line), PEER, Version(version));
    assert_eq!(me.consume(&at(0, 1)), Admission::Discard { current: W1 });
    assert_eq!(me.consume(&at(2, 1)), Admission::Hold);
    assert_eq!(me.consume(&at(1, 3)), Admission::SealFirst(Version(3)));
    assert!(!me.is_dirty(), "what was not consumed leaves no trace");
    assert_eq!(me.consume(&at(1, 1)), Admission::Consumed);
    on(&mut me, gather());
    assert_eq!(me.consume(&at(1, 1)), Admission::Hold);
}

#[test]
fn a_message_of_a_lower_world_line_is_discarded_and_the_sender_told() {
    // rule P5
    let mut me = start(Participant::new(ME, Incarnation(1), Speculation::On), 0, W1);
    let told = to_peer(PeerMessage::WorldLine(W1));
    assert_eq!(on(&mut me, channel(0, peer_at(1))), [told]);
    // Whoever is told asks the coordinator for the decision that it missed.
    let mut sender = active();
    let effects = on(&mut sender, from_peer(PeerMessage::WorldLine(W1)));
    assert!(matches!(
        effects[..],
        [Effect::ToCoordinator(ToCoordinator::Report { .. })]
    ));
    assert_eq!(on(&mut sender, from_peer(PeerMessage::WorldLine(W0))), []);
}

#[test]
fn a_message_of_a_higher_world_line_is_held() {
    // rule P5
    let mut me = active();
    let ahead = Header::of(W1, PEER, Version(1));
    assert_eq!(on(&mut me, channel(0, ahead)), []);
    assert_eq!(
        but_for_greetings(on(&mut me, decide(1, &[]))),
        [Effect::Entered(W1), deliver(0)]
    );
}

#[test]
fn a_number_that_was_consumed_in_this_world_line_is_held_for_the_next() {
    // rules P5, P14: the peer rolled back and sent something else under the same number; the
    // decision that undoes what was consumed here is still on its way.
    let mut me = active();
    let lost = channel_saying(0, peer_at(1), b"lost");
    assert_eq!(on(&mut me, lost), [deliver_saying(0, b"lost")]);
    let ahead = Header::of(W1, PEER, Version(1));
    assert_eq!(on(&mut me, channel_saying(0, ahead, b"new")), []);
    let version = Version(0);
    assert_eq!(
        on(&mut me, decide(1, &[(ME, 0)])),
        [Effect::Restore { version }]
    );
    assert_eq!(
        but_for_greetings(on(&mut me, Input::Restored)),
        [Effect::Entered(W1), deliver_saying(0, b"new")]
    );
}

#[test]
fn a_number_that_survives_is_a_duplicate_in_the_next_world_line() {
    // rule P14
    let mut me = active();
    on(&mut me, channel(0, peer_at(1)));
    on(&mut me, channel(0, Header::of(W1, PEER, Version(1))));
    assert_eq!(
        but_for_greetings(on(&mut me, decide(1, &[]))),
        [Effect::Entered(W1)]
    );
}

#[test]
fn a_gather_stops_consumption_until_it_ends() {
    // rule P9: what is consumed after the answer would be missing from it.
    let mut me = active();
    on(&mut me, gather());
    assert!(me.is_frozen());
    assert_eq!(on(&mut me, channel(0, peer_at(1))), []);
    let done = |gather| Input::Coordinator(ToParticipant::GatherDone { gather });
    let other = GatherId { term: 1, number: 0 };
    assert_eq!(on(&mut me, done(other)), []);
    assert!(me.is_frozen());
    assert_eq!(on(&mut me, done(GATHER)), [deliver(0)]);
}
