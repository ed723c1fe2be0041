//! A state, one call, the effects. Whole clusters are in `tests/protocol.rs` and `tests/model.rs`.

use super::*;
use crate::{
    decision::{Cause, Decision},
    message::{ChannelMessage, Fragment, FragmentVersion},
};

const ME: ObjectId = ObjectId(1);
const PEER: ObjectId = ObjectId(2);
const OTHER: ObjectId = ObjectId(3);
const W0: WorldLine = WorldLine(0);
const W1: WorldLine = WorldLine(1);
const GATHER: GatherId = GatherId { term: 1, number: 1 };
const OUTPUT: OutputId = OutputId(7);

/// Hands over one input and drains what follows.
fn on(participant: &mut Participant, input: Input) -> Vec<Effect> {
    participant.handle(input);
    std::iter::from_fn(|| participant.poll_effect()).collect()
}

/// What `on` gives but for what every peer and the coordinator are told at the start of a world-line.
fn but_for_greetings(effects: Vec<Effect>) -> Vec<Effect> {
    let is_greeting = |effect: &Effect| {
        let acknowledge = PeerMessage::Acknowledge(Seq(0));
        matches!(effect, Effect::ToCoordinator(ToCoordinator::Report { .. }))
            || *effect == to_peer(acknowledge)
    };
    effects.into_iter().filter(|e| !is_greeting(e)).collect()
}

fn admit(keep: u64, world_line: WorldLine) -> Input {
    Input::Coordinator(ToParticipant::Admit {
        incarnation: Incarnation(1),
        world_line,
        keep: Version(keep),
        boundary: BTreeMap::new(),
    })
}

fn start(mut participant: Participant, keep: u64, world_line: WorldLine) -> Participant {
    let restore = on(&mut participant, admit(keep, world_line));
    let version = Version(keep);
    assert_eq!(restore, [Effect::Restore { version }]);
    on(&mut participant, Input::Restored);
    participant
}

fn active() -> Participant {
    start(Participant::new(ME, Incarnation(1), Speculation::On), 0, W0)
}

fn seal() -> Input {
    seal_to(0)
}

fn seal_to(at_least: u64) -> Input {
    Input::Seal {
        at_least: Version(at_least),
        complete: false,
    }
}

fn ticket(number: u64) -> Input {
    Input::Persisted(PersistTicket(number))
}

fn channel(seq: u64, header: Header) -> Input {
    channel_saying(seq, header, b"")
}

fn channel_saying(seq: u64, header: Header, payload: &'static [u8]) -> Input {
    Input::Peer {
        from: PEER,
        message: PeerMessage::Channel(ChannelMessage {
            seq: Seq(seq),
            header,
            payload: Bytes::from_static(payload),
        }),
    }
}

fn from_peer(message: PeerMessage) -> Input {
    Input::Peer {
        from: PEER,
        message,
    }
}

fn to_peer(message: PeerMessage) -> Effect {
    Effect::Transmit { to: PEER, message }
}

fn sent(seq: u64, header: Header, payload: &'static [u8]) -> Effect {
    to_peer(PeerMessage::Channel(ChannelMessage {
        seq: Seq(seq),
        header,
        payload: Bytes::from_static(payload),
    }))
}

fn send(payload: &'static [u8]) -> Input {
    Input::Send {
        to: PEER,
        payload: Bytes::from_static(payload),
    }
}

fn deliver(seq: u64) -> Effect {
    deliver_saying(seq, b"")
}

fn deliver_saying(seq: u64, payload: &'static [u8]) -> Effect {
    Effect::Deliver {
        from: PEER,
        seq: Seq(seq),
        payload: Bytes::from_static(payload),
    }
}

fn peer_at(version: u64) -> Header {
    Header::of(W0, PEER, Version(version))
}

fn set(entries: &[(ObjectId, u64)]) -> DependencySet {
    let entries = entries.iter().map(|&(o, v)| (o, Version(v)));
    entries.collect()
}

fn boundary(entries: &[(ObjectId, u64)]) -> Input {
    let entries = entries.iter().map(|&(o, v)| (o, Version(v)));
    Input::Coordinator(ToParticipant::Boundary(entries.collect()))
}

fn decide(world_line: u64, cut: &[(ObjectId, u64)]) -> Input {
    let cut = cut.iter().map(|&(o, v)| (o, Version(v))).collect();
    Input::Coordinator(ToParticipant::Decide(Decision {
        world_line: WorldLine(world_line),
        cause: Cause::Failed {
            object: OTHER,
            successor: Incarnation(2),
        },
        cut,
    }))
}

fn gather() -> Input {
    Input::Coordinator(ToParticipant::Gather { gather: GATHER })
}

fn persisted_message(version: u64, dependencies: DependencySet) -> Effect {
    Effect::ToCoordinator(ToCoordinator::Persisted {
        object: ME,
        incarnation: Incarnation(1),
        world_line: W0,
        version: Version(version),
        dependencies,
    })
}

mod versions {
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
}

mod consumption {
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
}

mod release {
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
}

mod rollback {
    use super::*;

    #[test]
    fn who_loses_nothing_just_renames_itself() {
        // rules P9, P10: volatile work included.
        let mut me = active();
        on(&mut me, send(b"a"));
        let effects = but_for_greetings(on(&mut me, decide(1, &[(PEER, 0)])));
        let renamed = Header::of(W1, ME, Version(1));
        let again = sent(0, renamed.clone(), b"a");
        assert_eq!(effects, [Effect::Entered(W1), again]);
        assert_eq!(me.header(), renamed);
    }

    #[test]
    fn the_report_shows_volatile_versions_and_the_open_one() {
        // rule P9
        let mut me = active();
        on(&mut me, Input::Touch);
        on(&mut me, seal());
        on(&mut me, channel(0, peer_at(2)));
        let entry = |version, dependencies, durable| FragmentVersion {
            version: Version(version),
            world_line: W0,
            dependencies,
            durable,
        };
        assert_eq!(
            on(&mut me, gather()),
            [Effect::ToCoordinator(ToCoordinator::Report {
                object: ME,
                incarnation: Incarnation(1),
                gather: Some(GATHER),
                fragment: Fragment {
                    world_line: W0,
                    committed: Version(0),
                    versions: vec![
                        entry(1, set(&[]), false),
                        entry(2, set(&[(PEER, 2)]), false)
                    ],
                },
            })]
        );
    }

    #[test]
    fn what_survives_is_reported_under_its_new_name() {
        // rule P10
        let mut me = active();
        on(&mut me, Input::Touch);
        on(&mut me, seal());
        let effects = on(&mut me, decide(1, &[]));
        let [
            _,
            Effect::ToCoordinator(ToCoordinator::Report { fragment, .. }),
        ] = &effects[..]
        else {
            panic!("{effects:?}");
        };
        assert_eq!(fragment.world_line, W1);
        assert_eq!(fragment.versions[0].world_line, W1);
    }

    #[test]
    fn a_missing_decision_is_asked_for() {
        // rule P10: overlapping failures each have their own world-line, and none is skipped.
        let mut me = active();
        let effects = on(&mut me, decide(2, &[]));
        assert!(matches!(
            effects[..],
            [Effect::ToCoordinator(ToCoordinator::Report { .. })]
        ));
        assert_eq!(me.world_line(), W0);
    }

    #[test]
    fn a_decision_told_twice_is_obeyed_once() {
        let mut me = active();
        on(&mut me, decide(1, &[]));
        assert_eq!(on(&mut me, decide(1, &[(ME, 0)])), []);
    }

    #[test]
    fn what_the_coordinator_says_while_restoring_waits() {
        // rule P1
        let mut me = active();
        on(&mut me, channel(0, peer_at(1)));
        on(&mut me, decide(1, &[(ME, 0)]));
        assert_eq!(on(&mut me, decide(2, &[])), []);
        assert_eq!(
            but_for_greetings(on(&mut me, Input::Restored)),
            [Effect::Entered(W1), Effect::Entered(WorldLine(2))]
        );
    }

    #[test]
    fn versions_that_survive_stay_on_their_way_to_storage() {
        // rule P9
        let mut me = active();
        on(&mut me, Input::Touch);
        on(&mut me, seal());
        on(&mut me, channel(0, peer_at(2)));
        on(&mut me, decide(1, &[(ME, 1)]));
        on(&mut me, Input::Restored);
        assert_eq!((me.in_flight(), me.open_version()), (1, Version(2)));
        assert!(on(&mut me, ticket(1)).contains(&Effect::Committed(Version(1))));
    }

    #[test]
    #[should_panic(expected = "rule P7")]
    fn a_coordinator_that_takes_back_what_is_committed_is_stopped() {
        let mut me = active();
        on(&mut me, Input::Touch);
        on(&mut me, seal());
        on(&mut me, ticket(1));
        on(&mut me, Input::Touch);
        on(&mut me, decide(1, &[(ME, 0)]));
    }
}

mod ends {
    use super::*;

    #[test]
    fn a_removal_ends_it_if_it_hears_of_it_in_its_own_life() {
        let removal = |world_line| {
            Input::Coordinator(ToParticipant::Decide(Decision {
                world_line,
                cause: Cause::Removed([ME, OTHER].into()),
                cut: [(ME, Version::ZERO), (OTHER, Version::ZERO)].into(),
            }))
        };
        let mut me = active();
        let since = removal(me.world_line());
        assert_eq!(on(&mut me, since), [], "it has come back since");
        assert_eq!(
            on(&mut me, removal(W1)),
            [Effect::Refused(Refusal::Removed)]
        );
    }

    #[test]
    fn a_newer_incarnation_ends_this_one() {
        // rule P12
        let decision = Decision {
            world_line: W1,
            cause: Cause::Failed {
                object: ME,
                successor: Incarnation(2),
            },
            cut: BTreeMap::new(),
        };
        let by = Incarnation(2);
        let mut me = active();
        assert_eq!(
            on(&mut me, Input::Coordinator(ToParticipant::Decide(decision))),
            [Effect::Refused(Refusal::Fenced { by })]
        );
        assert_eq!(on(&mut me, channel(0, peer_at(1))), []);
    }

    #[test]
    fn a_refusal_of_another_incarnation_is_not_meant() {
        // rule P12
        let refused = |incarnation| {
            let refusal = Refusal::Fenced { by: Incarnation(9) };
            Input::Coordinator(ToParticipant::Refused {
                incarnation: Incarnation(incarnation),
                refusal,
            })
        };
        let mut me = active();
        assert_eq!(on(&mut me, refused(8)), []);
        assert!(me.is_active());
        assert_eq!(on(&mut me, refused(1)).len(), 1);
        assert!(!me.is_active());
    }

    #[test]
    fn it_leaves_when_all_is_committed() {
        let mut me = active();
        on(&mut me, Input::Touch);
        assert_eq!(on(&mut me, Input::Leave), []);
        assert_eq!(
            on(&mut me, channel(0, peer_at(1))),
            [],
            "no action would run for it"
        );
        on(&mut me, seal());
        let leave = Effect::ToCoordinator(ToCoordinator::Leave {
            object: ME,
            incarnation: Incarnation(1),
            version: Version(1),
        });
        assert_eq!(on(&mut me, ticket(1)).last(), Some(&leave));
        assert_eq!(
            on(&mut me, Input::CoordinatorLinkUp).last(),
            Some(&leave),
            "it may have been lost"
        );
        let left = Input::Coordinator(ToParticipant::Left {
            incarnation: Incarnation(1),
        });
        assert_eq!(on(&mut me, left), [Effect::Left]);
    }

    #[test]
    fn it_may_want_to_leave_before_it_is_admitted() {
        let mut me = Participant::new(ME, Incarnation(1), Speculation::On);
        assert_eq!(on(&mut me, Input::Leave), []);
        on(&mut me, admit(0, W0));
        assert_eq!(
            on(&mut me, Input::Restored).last(),
            Some(&Effect::ToCoordinator(ToCoordinator::Leave {
                object: ME,
                incarnation: Incarnation(1),
                version: Version::ZERO,
            }))
        );
    }

    #[test]
    fn a_rollback_does_not_keep_it_from_leaving() {
        let mut me = active();
        on(&mut me, channel(0, peer_at(1)));
        on(&mut me, Input::Leave);
        on(&mut me, decide(1, &[(ME, 0)]));
        let effects = on(&mut me, Input::Restored);
        assert!(
            effects
                .iter()
                .any(|effect| matches!(effect, Effect::ToCoordinator(ToCoordinator::Leave { .. })))
        );
    }
}

mod channels {
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
}

mod recovery {
    use super::*;
    use crate::metadata::PeerRecord;

    /// What a life with one committed and two durable versions left in storage.
    fn stored(first_is_complete: bool) -> Vec<VersionMetadata> {
        let mut me = active();
        let mut stored = Vec::new();
        let mut inputs = [send(b"a"), send(b"b"), channel(0, peer_at(3))].into_iter();
        for version in 1..=3 {
            let mut effects = on(&mut me, inputs.next().expect("three versions"));
            effects.extend(on(
                &mut me,
                Input::Seal {
                    at_least: Version(version + 1),
                    complete: first_is_complete && version == 1,
                },
            ));
            effects.extend(on(&mut me, ticket(version)));
            stored.extend(effects.into_iter().filter_map(|effect| match effect {
                Effect::Persist { metadata, .. } => Some(metadata),
                _ => None,
            }));
        }
        assert_eq!(stored.len(), 3);
        stored
    }

    fn recover(
        checkpoint: Option<VersionMetadata>,
        later: Vec<VersionMetadata>,
    ) -> Result<Participant, RecoverError> {
        Participant::recover(ME, Incarnation(1), Speculation::On, checkpoint, later)
    }

    #[test]
    fn a_new_life_goes_on_from_checkpoint_and_later_versions() {
        // rules P6, P14
        let mut stored = stored(true);
        let later = stored.split_off(1);
        let mut me = recover(stored.pop(), later).expect("it fits");
        assert_eq!((me.committed(), me.durable()), (Version(2), Version(3)));
        let effects = on(&mut me, Input::CoordinatorLinkUp);
        let [Effect::ToCoordinator(ToCoordinator::Join { fragment, .. })] = &effects[..] else {
            panic!("{effects:?}");
        };
        assert_eq!(fragment.versions.len(), 1);
        assert_eq!(fragment.versions[0].dependencies, set(&[(PEER, 3)]));
        on(&mut me, admit(2, W1));
        let effects = on(&mut me, Input::Restored);
        let committed = || Header {
            world_line: W1,
            ..Header::default()
        };
        assert!(effects.contains(&sent(0, committed(), b"a")), "{effects:?}");
        assert!(effects.contains(&sent(1, committed(), b"b")));
        let lost = channel(0, committed());
        assert_eq!(on(&mut me, lost), [deliver(0)], "version 3 was not kept");
    }

    #[test]
    fn nothing_stored_is_a_beginning() {
        let new = Participant::new(ME, Incarnation(1), Speculation::On);
        assert_eq!(recover(None, vec![]), Ok(new));
    }

    #[test]
    fn versions_must_ascend() {
        let mut stored = stored(false);
        stored[2].version = Version(2);
        assert_eq!(
            recover(None, stored),
            Err(RecoverError::OutOfOrder {
                version: Version(2),
                previous: Version(2)
            })
        );
    }

    #[test]
    fn a_checkpoint_must_be_complete() {
        let version = Version(1);
        let first = stored(false).swap_remove(0);
        assert_eq!(
            recover(Some(first), vec![]),
            Err(RecoverError::Incomplete { version })
        );
    }

    #[test]
    fn sent_messages_must_not_be_missing() {
        let mut stored = stored(false);
        stored.remove(0);
        assert_eq!(
            recover(None, stored),
            Err(RecoverError::ChannelGap {
                version: Version(2),
                peer: PEER,
                expected: Seq(0),
                found: Seq(1)
            })
        );
    }

    #[test]
    fn positions_must_not_go_back() {
        type Spoil = fn(&mut PeerRecord);
        let spoils: [Spoil; 3] = [
            |record| record.in_next = Seq(0),
            |record| record.acknowledged = Seq(9),
            |record| record.sent = vec![(Version(9), Bytes::new())],
        ];
        for spoil in spoils {
            let mut stored = stored(false);
            for metadata in &mut stored[..2] {
                let record = metadata.channels.get_mut(&PEER).expect("it was touched");
                record.in_next = Seq(1);
            }
            let last = stored[2].channels.get_mut(&PEER).expect("it was touched");
            spoil(last);
            assert_eq!(
                recover(None, stored),
                Err(RecoverError::ChannelContradiction {
                    version: Version(3),
                    peer: PEER
                })
            );
        }
    }
}

/// Every phase and what each input makes of it.
#[test]
fn transitions() {
    type Named<T> = (&'static str, T);
    let joining = || Participant::new(ME, Incarnation(1), Speculation::On);
    let frozen = || {
        let mut me = active();
        on(&mut me, gather());
        me
    };
    let leaving = || {
        let mut me = active();
        on(&mut me, channel(0, peer_at(1)));
        on(&mut me, Input::Leave);
        me
    };
    let restoring = || {
        let mut me = active();
        on(&mut me, channel(0, peer_at(1)));
        on(&mut me, decide(1, &[(ME, 0)]));
        me
    };
    let phases: [Named<&dyn Fn() -> Participant>; 5] = [
        ("joining", &joining),
        ("active", &active),
        ("frozen", &frozen),
        ("leaving", &leaving),
        ("restoring", &restoring),
    ];
    let incarnation = Incarnation(1);
    let refusal = Refusal::Fenced { by: Incarnation(2) };
    let inputs: [Named<Input>; 9] = [
        ("link up", Input::CoordinatorLinkUp),
        ("admit", admit(0, W1)),
        ("gather", gather()),
        (
            "gather done",
            Input::Coordinator(ToParticipant::GatherDone { gather: GATHER }),
        ),
        ("decide: keep", decide(1, &[])),
        ("decide: lose", decide(1, &[(ME, 0)])),
        ("leave", Input::Leave),
        (
            "left",
            Input::Coordinator(ToParticipant::Left { incarnation }),
        ),
        (
            "refused",
            Input::Coordinator(ToParticipant::Refused {
                incarnation,
                refusal,
            }),
        ),
    ];
    let name = |phase: &Phase| match phase {
        Phase::Joining { leaving: false } => "joining",
        Phase::Joining { leaving: true } => "joining, leaving",
        Phase::Restoring { leaving: false, .. } => "restoring",
        Phase::Restoring { leaving: true, .. } => "restoring, leaving",
        Phase::Active {
            frozen: None,
            leaving: false,
        } => "active",
        Phase::Active {
            frozen: Some(_),
            leaving: false,
        } => "frozen",
        Phase::Active {
            frozen: None,
            leaving: true,
        } => "leaving",
        Phase::Active {
            frozen: Some(_),
            leaving: true,
        } => "frozen, leaving",
        Phase::Over => "over",
    };
    let mut table = String::new();
    for (from, build) in phases {
        for (label, input) in &inputs {
            let mut me = build();
            on(&mut me, input.clone());
            let to = name(&me.phase);
            if to != from {
                table += &format!("{from} -- {label} --> {to}\n");
            }
        }
    }
    assert_eq!(
        table,
        "\
joining -- admit --> restoring
joining -- leave --> joining, leaving
joining -- refused --> over
active -- gather --> frozen
active -- leave --> leaving
active -- left --> over
active -- refused --> over
frozen -- gather done --> active
frozen -- decide: keep --> active
frozen -- decide: lose --> active
frozen -- leave --> frozen, leaving
frozen -- left --> over
frozen -- refused --> over
leaving -- gather --> frozen, leaving
leaving -- decide: lose --> restoring, leaving
leaving -- left --> over
leaving -- refused --> over
restoring -- leave --> restoring, leaving
restoring -- refused --> over
"
    );
}
