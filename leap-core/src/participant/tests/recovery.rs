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
