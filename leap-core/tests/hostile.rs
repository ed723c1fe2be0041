//! Whatever comes from outside: bytes that no encoder wrote, values that no honest sender sends, in any
//! order. Typed errors and ignored messages, never a panic.

mod dice;

use bolero::check;
use dice::Dice;
use leap_core::decision::Cause;
use leap_core::{
    Coordinator, CoordinatorEffect, CoordinatorInput, DecodeError, Effect, Header, Incarnation,
    Input, Ledger, LogRecord, ObjectId, Observer, OutputId, Participant, PeerMessage, Rules,
    SThread, Seq, Speculation, ToCoordinator, ToParticipant, Version, VersionMetadata, WorldLine,
    coordinator::LinkId,
};

const ITERATIONS: usize = 20_000;

/// What is written is read again; what is read, whoever wrote it, is written and read again; bytes
/// that are cut or changed give an error or a value like any other.
macro_rules! decoder {
    ($name:ident, $type:ty, $make:ident) => {
        #[test]
        fn $name() {
            let decode_again = |bytes: &[u8]| {
                if let Ok(value) = <$type>::decode(bytes) {
                    assert_eq!(<$type>::decode(&value.encode()), Ok(value));
                }
            };
            check!()
                .with_iterations(ITERATIONS)
                .for_each(|bytes: &[u8]| {
                    decode_again(bytes);
                    let mut dice = Dice::new(bytes);
                    let value = dice.$make();
                    let mut encoded = value.encode();
                    assert_eq!(<$type>::decode(&encoded), Ok(value));
                    let position = usize::from(dice.byte()) % encoded.len();
                    assert!(<$type>::decode(&encoded[..position]).is_err());
                    encoded[position] = dice.byte();
                    decode_again(&encoded);
                });
        }
    };
}

decoder!(header, Header, header);
decoder!(persist_metadata, VersionMetadata, metadata);
decoder!(
    messages_to_the_coordinator,
    ToCoordinator,
    message_to_coordinator
);
decoder!(
    messages_of_the_coordinator,
    ToParticipant,
    message_to_participant
);
decoder!(peer_messages, PeerMessage, peer_message);
decoder!(log_records, LogRecord, log_record);
decoder!(ledgers, Ledger, ledger);

/// A variable-length integer, as it is encoded.
fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn encoding(numbers: &[u64]) -> Vec<u8> {
    encoding_of(1, numbers)
}

fn encoding_of(format: u8, numbers: &[u64]) -> Vec<u8> {
    let numbers = numbers.iter().flat_map(|&number| varint(number));
    std::iter::once(format).chain(numbers).collect()
}

#[track_caller]
fn assert_malformed<T: std::fmt::Debug>(decoded: &Result<T, DecodeError>) {
    assert!(
        matches!(decoded, Err(DecodeError::Malformed { .. })),
        "{decoded:?}"
    );
}

#[test]
fn impossible_counters_are_refused_wherever_they_are() {
    let max = Version::MAX.0;
    for (impossible, is_refused) in [(max, false), (max + 1, true), (u64::MAX, true)] {
        // Layouts: fields in order of declaration, enums by index, sequences by length.
        let header = [3, 1, 7, impossible];
        let decoded = [
            Header::decode(&encoding(&header)).err(),
            // Its world-line.
            Header::decode(&encoding(&[impossible, 0])).err(),
            // A header inside a channel message; its position.
            PeerMessage::decode(&encoding(&[0, 5, 3, 1, 7, impossible, 0])).err(),
            PeerMessage::decode(&encoding(&[0, impossible, 3, 0, 0])).err(),
            PeerMessage::decode(&encoding(&[1, impossible])).err(),
            // A version in a fragment, and what it depends on.
            ToCoordinator::decode(&encoding(&[0, 1, 1, 0, 0, 1, impossible, 0, 0, 1])).err(),
            ToCoordinator::decode(&encoding(&[0, 1, 1, 0, 0, 1, 4, 0, 1, 7, impossible, 1])).err(),
            // The boundary; a decision's cut.
            ToParticipant::decode(&encoding_of(3, &[5, 1, 7, impossible])).err(),
            LogRecord::decode(&encoding_of(2, &[2, 1, 0, 1, 2, 1, 7, impossible, 0, 0])).err(),
            LogRecord::decode(&encoding_of(2, &[2, 1, 1, 1, 2, 0, 1, 7, impossible, 0])).err(),
            // Metadata: the version, a dependency, a channel position.
            VersionMetadata::decode(&encoding(&[impossible, 0, 0, 0, 0, 1])).err(),
            VersionMetadata::decode(&encoding(&[4, 0, 0, 1, 7, impossible, 0, 1])).err(),
            VersionMetadata::decode(&encoding(&[4, 0, 0, 0, 1, 7, impossible, 0, 0, 0, 1])).err(),
        ];
        for (index, error) in decoded.into_iter().enumerate() {
            assert_eq!(
                error.is_some(),
                is_refused,
                "{impossible} at {index}: {error:?}"
            );
        }
    }
}

#[test]
fn sets_out_of_order_are_refused_wherever_they_are() {
    // rule P15: one vertex per object, in order.
    for (first, second, is_refused) in [(1, 2, false), (2, 1, true), (1, 1, true)] {
        let decoded = [
            Header::decode(&encoding(&[0, 2, first, 5, second, 5])).err(),
            PeerMessage::decode(&encoding(&[0, 0, 0, 2, first, 5, second, 5, 0])).err(),
            VersionMetadata::decode(&encoding(&[4, 0, 0, 2, first, 5, second, 5, 0, 1])).err(),
            // A fragment's versions.
            ToCoordinator::decode(&encoding(&[
                0, 1, 1, 0, 0, 2, first, 0, 0, 1, second, 0, 0, 1,
            ]))
            .err(),
        ];
        for (index, error) in decoded.into_iter().enumerate() {
            assert_eq!(
                error.is_some(),
                is_refused,
                "{first}, {second} at {index}: {error:?}"
            );
        }
    }
}

#[test]
fn a_huge_count_is_refused_before_it_is_believed() {
    let huge = u64::MAX >> 1;
    assert_malformed(&Header::decode(&encoding(&[0, huge, 1, 1])));
    assert_malformed(&PeerMessage::decode(&encoding(&[0, 0, 0, 0, huge])));
    assert_malformed(&ToCoordinator::decode(&encoding(&[0, 1, 1, 0, 0, huge])));
    assert_malformed(&ToParticipant::decode(&encoding_of(3, &[5, huge])));
    assert_malformed(&VersionMetadata::decode(&encoding(&[4, 0, 0, 0, huge])));
    assert_malformed(&LogRecord::decode(&encoding_of(2, &[2, 1, 0, 1, 2, huge])));
    assert_malformed(&Ledger::decode(&encoding_of(2, &[0, 0, huge])));
}

#[test]
fn other_things_are_named_for_what_they_are() {
    let what = "header";
    assert_eq!(Header::decode(&[]), Err(DecodeError::Empty { what }));
    assert_eq!(
        Header::decode(&[9, 0, 0]),
        Err(DecodeError::UnknownVersion {
            what,
            found: 9,
            supported: 1
        })
    );
    let length = 64 * 1024 + 1;
    assert_eq!(
        Header::decode(&vec![1; length]),
        Err(DecodeError::TooLong {
            what,
            length,
            limit: length - 1
        })
    );
    assert_malformed(&Header::decode(&[1, 0, 0, 0]));
}

/// Obeys a participant's effects like an honest driver.
fn obey(participant: &mut Participant, writing: &mut Vec<Input>) {
    loop {
        let mut next = None;
        while let Some(effect) = participant.poll_effect() {
            match effect {
                Effect::Persist { ticket, metadata } => {
                    assert_eq!(VersionMetadata::decode(&metadata.encode()), Ok(metadata));
                    writing.push(Input::Persisted(ticket));
                }
                Effect::Restore { .. } => next = Some(Input::Restored),
                Effect::SealNeeded { at_least } => {
                    let complete = false;
                    next = Some(Input::Seal { at_least, complete });
                }
                _ => {}
            }
        }
        let Some(input) = next else { return };
        participant.handle(input);
    }
}

/// Peers say anything; the driver and the coordinator keep to the protocol.
#[test]
fn peers_cannot_stop_a_participant() {
    check!()
        .with_iterations(ITERATIONS)
        .for_each(|bytes: &[u8]| {
            let mut dice = Dice::new(bytes);
            let me = ObjectId(0);
            let mut participant = Participant::new(me, Incarnation(1), Speculation::On);
            let mut writing = Vec::new();
            let mut world_line = WorldLine(0);
            participant.handle(Input::Coordinator(ToParticipant::Admit {
                incarnation: Incarnation(1),
                world_line,
                keep: Version(0),
                boundary: [].into(),
            }));
            obey(&mut participant, &mut writing);
            while !dice.is_empty() {
                let input = match dice.roll(16) {
                    0 => Input::Seal {
                        at_least: Version(0),
                        complete: dice.coin(),
                    },
                    1 if !writing.is_empty() => writing.remove(0),
                    2 => Input::LinkUp(dice.object()),
                    3 => Input::Send {
                        to: dice.object(),
                        payload: dice.payload(),
                    },
                    4 => Input::Output(OutputId(0)),
                    5 => Input::Coordinator(ToParticipant::Gather {
                        gather: dice.gather(),
                    }),
                    6 => {
                        world_line = world_line.next();
                        let mut decision = dice.decision();
                        decision.world_line = world_line;
                        decision.cause = Cause::Failed {
                            object: ObjectId(9),
                            successor: Incarnation(9),
                        };
                        let keep = participant.committed();
                        decision.cut.insert(me, keep);
                        Input::Coordinator(ToParticipant::Decide(decision))
                    }
                    7 => {
                        participant.consume(&dice.header());
                        continue;
                    }
                    _ => Input::Peer {
                        from: dice.object(),
                        message: dice.peer_message(),
                    },
                };
                participant.handle(input);
                obey(&mut participant, &mut writing);
                participant.validate();
            }
        });
}

/// Participants say anything, in any order; the coordinator's own log is honest.
#[test]
fn participants_cannot_stop_the_coordinator() {
    check!()
        .with_iterations(ITERATIONS)
        .for_each(|bytes: &[u8]| {
            let mut dice = Dice::new(bytes);
            let mut log = Vec::new();
            let mut checkpoint = None;
            let mut writing = Vec::new();
            let mut coordinator = Coordinator::recover(0, None, []);
            let mut term = 0;
            while !dice.is_empty() {
                dice.newest = coordinator.world_line().0;
                match dice.roll(24) {
                    _ if coordinator.is_superseded() => {
                        term += 1;
                        writing.clear();
                        coordinator =
                            Coordinator::recover(term, checkpoint.clone(), log.iter().cloned());
                    }
                    0 => {
                        writing.clear();
                        term += 1;
                        coordinator =
                            Coordinator::recover(term, checkpoint.clone(), log.iter().cloned());
                    }
                    1..=6 if !writing.is_empty() => {
                        log.push(writing.remove(0));
                        coordinator.handle(CoordinatorInput::Logged);
                    }
                    7 => coordinator.handle(CoordinatorInput::Subscribe {
                        link: LinkId(0),
                        world_line: dice.coin().then(|| dice.world_line()),
                        boundary: dice.versions(),
                    }),
                    8 => coordinator.handle(CoordinatorInput::Remove(dice.object())),
                    _ => {
                        coordinator
                            .handle(CoordinatorInput::Message(dice.message_to_coordinator()));
                    }
                }
                while let Some(effect) = coordinator.poll_effect() {
                    match effect {
                        CoordinatorEffect::Log(record) => {
                            assert_eq!(LogRecord::decode(&record.encode()), Ok(record.clone()));
                            writing.push(record);
                        }
                        CoordinatorEffect::Checkpoint(ledger) => {
                            assert_eq!(Ledger::decode(&ledger.encode()), Ok(ledger.clone()));
                            assert!(writing.is_empty(), "it stands for what is durable");
                            log.clear();
                            checkpoint = Some(ledger);
                        }
                        _ => {}
                    }
                }
            }
        });
}

/// Storage gives back anything that can be decoded: it fits, or the error says why not.
#[test]
fn storage_cannot_stop_a_recovery() {
    check!()
        .with_iterations(ITERATIONS)
        .for_each(|bytes: &[u8]| {
            let mut dice = Dice::new(bytes);
            let me = ObjectId(0);
            let checkpoint = dice.coin().then(|| dice.metadata());
            let later = (0..dice.roll(4)).map(|_| dice.metadata()).collect();
            let incarnation = Incarnation(1);
            let recovered =
                Participant::recover(me, incarnation, Speculation::On, checkpoint, later);
            let Ok(mut participant) = recovered else {
                return;
            };
            let keep = if dice.coin() {
                participant.durable()
            } else {
                participant.committed()
            };
            participant.handle(Input::CoordinatorLinkUp);
            participant.handle(Input::Coordinator(ToParticipant::Admit {
                incarnation,
                world_line: WorldLine(9),
                keep,
                boundary: [].into(),
            }));
            obey(&mut participant, &mut Vec::new());
            participant.validate();
        });
}

/// An observer and an sthread, told anything.
#[test]
fn nobody_can_stop_an_observer() {
    check!()
        .with_iterations(ITERATIONS)
        .for_each(|bytes: &[u8]| {
            let mut dice = Dice::new(bytes);
            let mut observer = Observer::new(Rules::default());
            let mut sthread = SThread::new(WorldLine(0));
            while !dice.is_empty() {
                match dice.roll(4) {
                    0 => {
                        if observer.consume(&mut sthread, &dice.header()).is_err() {
                            sthread = SThread::new(observer.world_line());
                        }
                    }
                    1 => observer.barrier(leap_core::BarrierId(0), sthread.clone()),
                    _ => observer.handle(&dice.message_to_participant()),
                }
                observer.poll_outcome();
            }
        });
}

#[test]
fn positions_at_their_end_are_held_and_do_no_harm() {
    let mut participant = Participant::new(ObjectId(0), Incarnation(1), Speculation::On);
    let last = PeerMessage::decode(&encoding(&[0, Seq::MAX.0, 0, 0, 0])).expect("possible");
    participant.handle(Input::Peer {
        from: ObjectId(1),
        message: last,
    });
    assert_eq!(participant.held(), 1);
}
