//! A state, one call, the effects. Whole clusters are in `tests/protocol.rs` and `tests/model.rs`.

mod channels;
mod consumption;
mod ends;
mod recovery;
mod release;
mod rollback;
mod versions;

use bytes::Bytes;

use super::*;
use crate::{
    decision::{Cause, Decision},
    id::{OutputId, Seq},
    message::{ChannelMessage, Fragment, FragmentVersion, PeerMessage, Refusal, ToCoordinator},
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
