use super::{cut::newest, *};

const MEMBERS: u64 = 8000;

/// An id that takes as many bytes as one made from a name.
fn object(index: u64) -> ObjectId {
    ObjectId(u64::MAX - index)
}

/// As many members as one boundary has; the first half was removed by one decision.
fn without_half() -> Ledger {
    let incarnation = Incarnation(1);
    let mut ledger = Ledger::default();
    for object in (0..MEMBERS).map(object) {
        let keep = Version(0);
        let joined = LogRecord::Joined {
            object,
            incarnation,
            keep,
        };
        ledger.apply(&joined, REMEMBERED);
    }
    let removed = || (0..MEMBERS / 2).map(object);
    let decision = Decision {
        world_line: W1,
        cause: Cause::Removed(removed().collect()),
        cut: removed().map(|object| (object, Version(1))).collect(),
    };
    let record = LogRecord::Decided {
        decision,
        boundary: (0..MEMBERS).map(|i| (object(i), Version(1))).collect(),
        blindly: true,
    };
    assert_eq!(LogRecord::decode(&record.encode()), Ok(record.clone()));
    ledger.apply(&record, REMEMBERED);
    ledger
}

#[test]
fn a_removal_of_thousands_takes_one_entry() {
    // rule P13: a coordinator must be able to read it when it starts.
    let ledger = without_half();
    let removal = 1;
    let decision = 1;
    assert_eq!(ledger.len() as u64, MEMBERS + removal + decision);
    let encoded = ledger.encode();
    let bytes_per_member = encoded.len() as u64 / MEMBERS;
    assert!(bytes_per_member < 64, "{bytes_per_member}");
    assert_eq!(Ledger::decode(&encoded), Ok(ledger));
}

#[test]
fn it_lasts_until_the_last_of_them_is_back() {
    // rule P9
    let mut ledger = without_half();
    let stored = |other: u64| {
        let needs = (object(other), 2);
        let versions = [(1, &[][..], true), (2, &[needs][..], true)];
        fragment(W0, 0, &versions)
    };
    for index in 0..MEMBERS / 2 {
        let object = object(index);
        let (known, unknown) = (stored(MEMBERS - 1), stored(MEMBERS / 2 - 1 - index));
        assert_eq!(newest(&ledger.surviving(object, known.clone())), Version(1));
        assert!(!ledger.is_in_doubt(object, &known));
        assert!(ledger.is_in_doubt(object, &unknown));
        let back = LogRecord::Joined {
            object,
            incarnation: Incarnation(2),
            keep: Version(1),
        };
        ledger.apply(&back, REMEMBERED);
        assert!(!ledger.is_in_doubt(object, &unknown));
        assert_eq!(newest(&ledger.surviving(object, unknown)), Version(1));
    }
    // Of each there is a cut now, as of one that failed.
    ledger.forget(|_| Version(2));
    assert_eq!(ledger.len() as u64, MEMBERS + 1);
}
