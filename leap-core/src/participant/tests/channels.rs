use super::*;

#[test]
fn messages_carry_the_vertex_that_sent_them() {
    // rule P3
    let mut me = active();
    let header = Header::of(W0, ME, Version(1));
    assert_eq!(on(&mut me, send(b"a")), [sent(0, header, b"a")]);
    on(&mut me, seal());
    let header = Header::of(W0, ME, Version(2));
    assert_eq!(on(&mut me, send(b"b")), [sent(1, header, b"b")]);
}

#[test]
fn they_are_consumed_once_and_in_order() {
    // rule P14
    let mut me = active();
    assert_eq!(on(&mut me, channel(1, peer_at(1))), []);
    assert_eq!(
        on(&mut me, channel(0, peer_at(1))),
        [deliver(0), deliver(1)]
    );
    assert_eq!(on(&mut me, channel(0, peer_at(1))), []);
    assert_eq!(on(&mut me, channel(1, peer_at(1))), []);
}

#[test]
fn a_committed_duplicate_is_acknowledged_again() {
    // rule P14
    let mut me = active();
    on(&mut me, channel(0, Header::default()));
    on(&mut me, seal());
    on(&mut me, ticket(1));
    assert_eq!(
        on(&mut me, channel(0, Header::default())),
        [to_peer(PeerMessage::Acknowledge(Seq(1)))]
    );
}

#[test]
fn a_new_link_gets_all_that_is_not_acknowledged() {
    // rule P14
    let mut me = active();
    on(&mut me, send(b"a"));
    on(&mut me, send(b"b"));
    let header = || Header::of(W0, ME, Version(1));
    assert_eq!(
        on(&mut me, Input::LinkUp(PEER)),
        [
            to_peer(PeerMessage::Acknowledge(Seq(0))),
            sent(0, header(), b"a"),
            sent(1, header(), b"b"),
        ]
    );
    assert_eq!(on(&mut me, Input::LinkUp(OTHER)), []);
}

#[test]
fn an_acknowledgement_trims_what_can_no_longer_be_rolled_back() {
    // rules P13, P14
    let mut me = active();
    on(&mut me, send(b"a"));
    on(&mut me, seal());
    on(&mut me, send(b"b"));
    on(&mut me, from_peer(PeerMessage::Acknowledge(Seq(1))));
    assert_eq!(me.unacknowledged(), 2, "its own version may be rolled back");
    on(&mut me, ticket(1));
    assert_eq!(me.unacknowledged(), 1);
}

#[test]
fn what_was_never_sent_cannot_be_acknowledged() {
    let mut me = active();
    on(&mut me, send(b"a"));
    on(&mut me, from_peer(PeerMessage::Acknowledge(Seq::MAX)));
    on(&mut me, seal());
    on(&mut me, ticket(1));
    assert_eq!(me.unacknowledged(), 1);
}

#[test]
fn a_rollback_takes_back_what_was_sent_and_consumed_since() {
    // rule P14
    let mut me = active();
    on(&mut me, send(b"kept"));
    on(&mut me, channel(0, Header::default()));
    on(&mut me, seal());
    on(&mut me, channel(1, peer_at(2)));
    on(&mut me, send(b"taken back"));
    on(&mut me, decide(1, &[(ME, 1)]));
    let effects = on(&mut me, Input::Restored);
    let again = sent(0, Header::of(W1, ME, Version(1)), b"kept");
    assert!(effects.contains(&again), "{effects:?}");
    assert_eq!(me.unacknowledged(), 1);
    let same = channel_saying(
        1,
        Header {
            world_line: W1,
            ..Header::default()
        },
        b"again",
    );
    assert_eq!(on(&mut me, same), [deliver_saying(1, b"again")]);
}

#[test]
fn what_there_was_no_room_for_is_asked_for_again() {
    // rule P14: also without a change of world-line.
    let mut me = active();
    on(&mut me, gather());
    for seq in 0..5000 {
        on(&mut me, channel(seq, peer_at(1)));
    }
    let done = Input::Coordinator(ToParticipant::GatherDone { gather: GATHER });
    let effects = on(&mut me, done);
    let delivered = effects.len() as u64 - 1;
    assert!(delivered < 5000);
    assert_eq!(effects.last(), Some(&to_peer(PeerMessage::Resend(W0))));
    assert_eq!(
        on(&mut me, channel(delivered, peer_at(1))),
        [deliver(delivered)]
    );
}

#[test]
fn it_sends_again_what_was_dropped_elsewhere() {
    let mut me = active();
    on(&mut me, send(b"a"));
    let again = [sent(0, Header::of(W0, ME, Version(1)), b"a")];
    let resend = |world_line| from_peer(PeerMessage::Resend(world_line));
    assert_eq!(on(&mut me, resend(W0)), again);
    assert_eq!(
        on(&mut me, resend(W1)),
        [],
        "entering that world-line will do it"
    );
}
