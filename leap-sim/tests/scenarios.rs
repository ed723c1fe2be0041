//! Every bug that the simulator found, as a short story that once ended badly.

use std::collections::BTreeMap;

use bytes::Bytes;
use leap_core::decision::Cause;
use leap_core::{
    ChannelMessage, Decision, Effect, GatherId, Header, Incarnation, Input, ObjectId, OutputId,
    Participant, PeerMessage, Seq, Speculation, ToParticipant, Version, WorldLine,
};
use leap_sim::scenario::{End, Scenario};

const HOTEL: &str = "hotel";
const FLIGHT: &str = "flight";
const CAR: &str = "car";
const COORDINATOR: End = End::Coordinator(1);

/// Sanity of the language itself: a crash takes away what was volatile, and what depended on it.
#[test]
fn a_crash_rolls_back_what_depended_on_it() {
    let mut s = Scenario::new([HOTEL, FLIGHT, CAR]);
    s.act(HOTEL, |hotel| hotel.send(FLIGHT, "lost"));
    s.act(CAR, |car| car.send(FLIGHT, "kept"));
    s.deliver_all(CAR, FLIGHT);
    s.seal(FLIGHT);
    s.deliver_all(HOTEL, FLIGHT);
    assert_eq!(s.consumed(FLIGHT), ["kept", "lost"]);
    s.restart(HOTEL);
    s.settle();
    assert_eq!(s.consumed(FLIGHT), ["kept"]);
    assert_eq!(s.world_line(CAR), WorldLine(1));
}

/// Rule P12. A late copy of a join came after the object had committed more; the coordinator took the
/// old fragment for all that storage had, and refused the live object for having lost data.
#[test]
fn a_late_copy_of_a_join_does_not_shut_a_live_object_out() {
    let mut s = Scenario::unsettled([HOTEL]);
    s.deliver(HOTEL, COORDINATOR);
    let late = s.copy_front(HOTEL, COORDINATOR);
    s.settle();
    s.act(HOTEL, |hotel| hotel.output(1));
    s.touch(HOTEL);
    s.settle();
    assert_eq!(s.participant(HOTEL).committed(), Version(1));
    s.deliver_late(late);
    s.settle();
    assert!(!s.is_refused(HOTEL));
}

/// Rule P9. A late copy of a join made a gather take a live object for one that begins anew, so its
/// volatile versions had no part in the cut and outlived what they depended on.
#[test]
fn a_late_copy_of_a_join_does_not_hide_a_live_object_from_a_gather() {
    let mut s = Scenario::unsettled([HOTEL, FLIGHT]);
    s.deliver(FLIGHT, COORDINATOR);
    let late = s.copy_front(FLIGHT, COORDINATOR);
    s.settle();
    s.act(HOTEL, |hotel| hotel.send(FLIGHT, "lost"));
    s.deliver_all(HOTEL, FLIGHT);
    assert_eq!(s.consumed(FLIGHT), ["lost"]);
    s.restart(HOTEL);
    s.hold(FLIGHT, COORDINATOR);
    s.deliver_everything();
    s.deliver_late(late);
    s.deliver_everything();
    s.heal();
    s.settle();
    assert_eq!(s.consumed(FLIGHT), [""; 0]);
}

/// Rule P11. A late copy of a join brought back the life of an object that had left; every later gather
/// would have waited for it.
#[test]
fn a_late_copy_of_a_join_does_not_bring_back_who_has_left() {
    let mut s = Scenario::unsettled([HOTEL, FLIGHT]);
    s.deliver(FLIGHT, COORDINATOR);
    let late = s.copy_front(FLIGHT, COORDINATOR);
    s.settle();
    s.leave(FLIGHT);
    s.settle();
    assert!(s.has_left(FLIGHT));
    s.deliver_late(late);
    s.settle();
    s.restart(HOTEL);
    s.settle();
    assert_eq!(s.world_line(HOTEL), WorldLine(1));
}

/// Rules P1, P5. What the coordinator had said while a state was brought back was handled right after
/// messages had been consumed, so their actions ran under a gather or even behind a decision.
#[test]
fn what_was_said_during_a_restore_is_handled_before_any_message() {
    let mut s = Scenario::unsettled([HOTEL, FLIGHT, CAR]);
    s.slow_restores(FLIGHT);
    s.deliver_everything();
    while s.log() {}
    s.deliver_everything();
    s.act(HOTEL, |hotel| hotel.send(FLIGHT, "book"));
    s.deliver_all(HOTEL, FLIGHT);
    s.restart(CAR);
    s.deliver_everything();
    s.finish_restore(FLIGHT);
    assert!(s.participant(FLIGHT).is_frozen());
    assert_eq!(s.consumed(FLIGHT), [""; 0]);
    s.settle();
    assert_eq!(s.consumed(FLIGHT), ["book"]);
}

/// Rules P1, P5. A participant that had missed two decisions learned of both at once, and consumed a
/// message of the first's world-line in between: its action ran in the second's.
#[test]
fn nothing_is_consumed_between_two_decisions_that_come_at_once() {
    let [hotel, flight] = [HOTEL, FLIGHT].map(ObjectId::from_name);
    let mut participant = admitted(flight);
    let message = ChannelMessage {
        seq: Seq(0),
        header: Header::of(WorldLine(1), hotel, Version(1)),
        payload: Bytes::from_static(b"lost"),
    };
    participant.handle(Input::Peer {
        from: hotel,
        message: PeerMessage::Channel(message),
    });
    let decide = |world_line, keep| Decision {
        world_line: WorldLine(world_line),
        cause: Cause::Failed {
            object: hotel,
            successor: Incarnation(world_line + 1),
        },
        cut: BTreeMap::from([(hotel, Version(keep))]),
    };
    let welcome = ToParticipant::Welcome {
        world_line: WorldLine(0),
        decisions: vec![decide(1, 0), decide(2, 0)],
        boundary: BTreeMap::new(),
    };
    participant.handle(Input::Coordinator(welcome));
    let effects: Vec<_> = std::iter::from_fn(|| participant.poll_effect()).collect();
    assert_eq!(participant.world_line(), WorldLine(2));
    assert!(
        !effects
            .iter()
            .any(|effect| matches!(effect, Effect::Deliver { .. }))
    );
}

/// Rule P9. A participant that had answered a gather was linked to a superseded coordinator, which
/// ended that gather for it. It consumed from what the decision, already in the log, was about.
#[test]
fn a_superseded_coordinator_does_not_end_its_successors_gather() {
    let mut s = Scenario::new([HOTEL, FLIGHT, CAR]);
    s.act(HOTEL, |hotel| hotel.send(FLIGHT, "lost"));
    let successor = s.start_coordinator();
    for name in [FLIGHT, CAR] {
        s.link_to_coordinator(name, successor);
    }
    s.hold(HOTEL, FLIGHT);
    s.crash(CAR);
    s.start(CAR);
    s.link_to_coordinator(HOTEL, successor);
    s.deliver_everything();
    assert!(s.participant(FLIGHT).is_frozen());
    s.link_to_coordinator(FLIGHT, 1);
    s.deliver_everything();
    assert!(
        s.participant(FLIGHT).is_frozen(),
        "the gather is not the old coordinator's to end"
    );
    assert!(s.coordinator(1).is_superseded());
}

/// Rule P9. The same by a detour: the superseded coordinator began a gather of its own, and ended that.
#[test]
fn an_older_gather_does_not_replace_a_newer_one() {
    let mut participant = admitted(ObjectId::from_name(FLIGHT));
    let gather = |term, number| GatherId { term, number };
    let (newer, older) = (gather(2, 1), gather(1, 2));
    for message in [
        ToParticipant::Gather { gather: newer },
        ToParticipant::Gather { gather: older },
        ToParticipant::GatherDone { gather: older },
    ] {
        participant.handle(Input::Coordinator(message));
    }
    assert!(participant.is_frozen());
}

/// Rule P7. A superseded coordinator learned from a joining object of a version that was named after
/// its successor's decision, and took it for the one of that number which the decision had removed:
/// it told that something was committed that was long rolled back.
#[test]
fn a_superseded_coordinator_does_not_mix_up_names_of_two_world_lines() {
    let mut s = Scenario::new([HOTEL, FLIGHT]);
    s.act(HOTEL, |hotel| hotel.send(FLIGHT, "lost"));
    s.deliver_all(HOTEL, FLIGHT);
    s.seal(FLIGHT);
    s.store(FLIGHT);
    // Both crash; the successor decides about the hotel, which commits another first version.
    let successor = s.start_coordinator();
    s.crash(FLIGHT);
    s.restart(HOTEL);
    s.start(FLIGHT);
    s.hold(COORDINATOR, FLIGHT);
    s.hold(End::Coordinator(successor), FLIGHT);
    s.deliver_everything();
    s.log();
    s.deliver_everything();
    assert_eq!(s.world_line(HOTEL), WorldLine(1));
    s.act(HOTEL, |hotel| hotel.output(1));
    s.touch(HOTEL);
    s.seal(HOTEL);
    s.store(HOTEL);
    // Both begin again and find the old coordinator.
    s.crash(FLIGHT);
    s.restart(HOTEL);
    s.start(FLIGHT);
    s.heal();
    for name in [HOTEL, FLIGHT] {
        s.link_to_coordinator(name, 1);
    }
    s.deliver_everything();
    let told = s.coordinator(1).boundary().unwrap_or_default();
    let flight = ObjectId::from_name(FLIGHT);
    assert_eq!(
        told.get(&flight).copied().unwrap_or_default(),
        Version::ZERO
    );
    assert!(s.coordinator(1).is_superseded());
}

/// Rules P13, P14. A link came up while the receiver's state was being brought back, so its lost
/// acknowledgement was not repeated and the sender kept the message for ever.
#[test]
fn an_acknowledgement_that_was_lost_during_a_restore_is_repeated() {
    let mut s = Scenario::new([HOTEL, FLIGHT, CAR]);
    s.slow_restores(FLIGHT);
    s.hold(FLIGHT, HOTEL);
    s.act(HOTEL, |hotel| hotel.send(FLIGHT, "book"));
    s.settle();
    assert_eq!(s.participant(HOTEL).unacknowledged(), 1);
    s.act(CAR, |car| car.send(FLIGHT, "lost"));
    s.deliver_all(CAR, FLIGHT);
    s.restart(CAR);
    s.deliver_everything();
    s.log();
    s.deliver_everything();
    // Only the flight's side of the link was broken.
    s.lose(FLIGHT.into(), HOTEL.into());
    s.heal();
    s.finish_restore(FLIGHT);
    s.settle();
    assert_eq!(s.participant(HOTEL).unacknowledged(), 0);
}

/// Rules P7, P9. The flight had consumed from the hotel's committed version and was removed; then the hotel was
/// removed by a coordinator that did not know the boundary, and lost that version. What the flight had in storage
/// survived all the same, or its own committed version was missed, and it was stuck for ever.
#[test]
fn a_removal_does_not_give_up_what_an_earlier_one_is_measured_by() {
    let mut s = Scenario::new([HOTEL, FLIGHT]);
    // Nobody learns that this is committed.
    s.hold(COORDINATOR, HOTEL);
    s.hold(COORDINATOR, FLIGHT);
    s.act(HOTEL, |hotel| hotel.send(FLIGHT, "book"));
    s.deliver_all(HOTEL, FLIGHT);
    for name in [FLIGHT, HOTEL] {
        s.seal(name);
        s.store(name);
    }
    s.deliver_everything();
    s.crash(FLIGHT);
    s.remove(FLIGHT);
    s.heal();
    s.settle();
    assert_eq!(s.world_line(HOTEL), WorldLine(1));
    s.crash(HOTEL);
    let successor = s.restart_coordinator();
    s.remove(HOTEL);
    s.settle();
    let removed = &s.decisions()[1];
    assert!(removed.is_removal_of(ObjectId::from_name(HOTEL)));
    assert_eq!(removed.cut[&ObjectId::from_name(HOTEL)], Version(1));
    for name in [HOTEL, FLIGHT] {
        s.start(name);
        s.link_to_coordinator(name, successor);
    }
    s.settle();
    for name in [HOTEL, FLIGHT] {
        assert!(!s.is_refused(name), "{name} cannot come back");
        assert_eq!(s.participant(name).committed(), Version(1));
    }
    assert_eq!(s.participant(HOTEL).unacknowledged(), 0);
}

/// The car's booking reaches the hotel, and what the hotel then tells reaches the flight. All of it is committed; only
/// the flight knows, and it has that from its storage, which does not say what its committed version rests on. Then
/// the coordinator begins anew, and the car is removed without having been heard.
fn flight_rests_on_hotel_and_hotel_on_removed_car() -> Scenario {
    let mut s = Scenario::new([HOTEL, FLIGHT, CAR]);
    s.hold(COORDINATOR, HOTEL);
    s.hold(COORDINATOR, CAR);
    s.act(CAR, |car| car.send(HOTEL, "car"));
    s.deliver_all(CAR, HOTEL);
    s.act(HOTEL, |hotel| hotel.send(FLIGHT, "hotel"));
    s.deliver_all(HOTEL, FLIGHT);
    s.act(FLIGHT, |flight| flight.output(1));
    for name in [CAR, HOTEL, FLIGHT] {
        s.seal(name);
        s.store(name);
    }
    s.deliver_everything();
    assert_eq!(s.released(FLIGHT), [OutputId(1)]);
    s.touch(FLIGHT);
    s.seal(FLIGHT);
    s.store(FLIGHT);
    s.restart(FLIGHT);
    s.crash(CAR);
    s.heal();
    s.restart_coordinator();
    s.remove(CAR);
    s.settle();
    let car = ObjectId::from_name(CAR);
    assert!(s.decisions()[0].is_removal_of(car));
    s
}

/// Rules P7, P9, P14. The hotel was rolled back, since nobody knew that the car's version was committed, and with it
/// that the hotel's was. The flight rested on that, and an outsider had seen it. And the hotel gave a number that the
/// flight had consumed to its next message: the flight took that for a duplicate, and it was lost.
#[test]
fn a_removal_takes_nothing_back_that_somebody_may_rest_on() {
    let mut s = flight_rests_on_hotel_and_hotel_on_removed_car();
    let hotel = ObjectId::from_name(HOTEL);
    assert_eq!(s.decisions()[0].cut.get(&hotel), None);
    assert_eq!(s.participant(HOTEL).committed(), Version(1));
    s.act(HOTEL, |hotel| hotel.send(FLIGHT, "next"));
    s.settle();
    assert_eq!(s.consumed(FLIGHT), ["next"]);
}

#[test]
fn who_was_removed_unheard_comes_back_with_all_that_others_have_seen_of_it() {
    let mut s = flight_rests_on_hotel_and_hotel_on_removed_car();
    s.start(CAR);
    s.settle();
    assert!(!s.is_refused(CAR));
    assert_eq!(s.participant(CAR).committed(), Version(1));
    s.act(CAR, |car| car.send(HOTEL, "again"));
    s.settle();
    assert_eq!(s.consumed(HOTEL), ["car", "again"]);
}

/// Rule P7. What the hotel has stored stays although the car never stored what it rests on: nobody can know that. The
/// car itself cannot come back, since it would contradict what the hotel has seen of it.
#[test]
fn who_was_removed_unheard_and_lacks_what_others_have_seen_of_it_stays_away() {
    let mut s = Scenario::new([HOTEL, CAR]);
    s.act(CAR, |car| car.send(HOTEL, "volatile"));
    s.deliver_all(CAR, HOTEL);
    s.seal(HOTEL);
    s.store(HOTEL);
    s.crash(CAR);
    s.restart_coordinator();
    s.remove(CAR);
    s.settle();
    assert_eq!(s.consumed(HOTEL), ["volatile"]);
    assert_eq!(s.participant(HOTEL).committed(), Version(1));
    s.start(CAR);
    s.settle();
    assert!(s.is_refused(CAR));
}

/// Rule P9. What was volatile cannot have been inside the boundary, so it goes, and the car is free to come back.
#[test]
fn a_removal_takes_back_what_nobody_has_stored() {
    let mut s = Scenario::new([HOTEL, CAR]);
    s.act(CAR, |car| car.send(HOTEL, "volatile"));
    s.deliver_all(CAR, HOTEL);
    s.crash(CAR);
    s.restart_coordinator();
    s.remove(CAR);
    s.settle();
    assert_eq!(s.consumed(HOTEL), [""; 0]);
    s.start(CAR);
    s.settle();
    assert!(!s.is_refused(CAR));
}

/// Rule P8, as a canary of this language: an output waits for what it depends on.
#[test]
fn an_output_waits_for_all_that_it_depends_on() {
    let mut s = Scenario::new([HOTEL, FLIGHT]);
    s.act(HOTEL, |hotel| hotel.send(FLIGHT, "book"));
    s.deliver_all(HOTEL, FLIGHT);
    s.act(FLIGHT, |flight| flight.output(1));
    s.seal(FLIGHT);
    s.store(FLIGHT);
    s.deliver_everything();
    assert_eq!(s.released(FLIGHT), []);
    s.settle();
    assert_eq!(s.released(FLIGHT), [OutputId(1)]);
}

/// A participant that lives in the first world-line.
fn admitted(object: ObjectId) -> Participant {
    let mut participant = Participant::new(object, Incarnation(1), Speculation::On);
    let admit = ToParticipant::Admit {
        incarnation: Incarnation(1),
        world_line: WorldLine(0),
        keep: Version::ZERO,
        boundary: BTreeMap::new(),
    };
    participant.handle(Input::Coordinator(admit));
    participant.handle(Input::Restored);
    participant
}
