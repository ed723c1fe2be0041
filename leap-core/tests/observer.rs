//! What one OS process knows, and how it judges sthreads and barriers.

use leap_core::decision::Cause;
use leap_core::{
    Admission, BarrierId, BarrierOutcome, Decision, DependencySet, Header, Incarnation, ObjectId,
    Observer, RolledBack, Rule, Rules, SThread, ToParticipant, Version, WorldLine,
};

const A: ObjectId = ObjectId(1);
const B: ObjectId = ObjectId(2);
const W0: WorldLine = WorldLine(0);
const W1: WorldLine = WorldLine(1);
const W2: WorldLine = WorldLine(2);
const BARRIER: BarrierId = BarrierId(7);

fn observer() -> Observer {
    Observer::new(Rules::default())
}

fn decision(world_line: WorldLine, cut: &[(ObjectId, u64)]) -> Decision {
    Decision {
        world_line,
        cause: Cause::Failed {
            object: B,
            successor: Incarnation(2),
        },
        cut: cut.iter().map(|&(o, v)| (o, Version(v))).collect(),
    }
}

fn decide(observer: &mut Observer, world_line: WorldLine, cut: &[(ObjectId, u64)]) {
    observer.handle(&ToParticipant::Decide(decision(world_line, cut)));
}

fn advance(observer: &mut Observer, boundary: &[(ObjectId, u64)]) {
    let boundary = boundary.iter().map(|&(o, v)| (o, Version(v)));
    observer.handle(&ToParticipant::Boundary(boundary.collect()));
}

fn at(world_line: WorldLine, object: ObjectId, version: u64) -> Header {
    Header::of(world_line, object, Version(version))
}

fn sees(header: Header) -> SThread {
    SThread::detach(header)
}

fn outcomes(observer: &mut Observer) -> Vec<Result<(), RolledBack>> {
    let all = std::iter::from_fn(|| observer.poll_outcome());
    all.map(|BarrierOutcome { barrier, result }| {
        assert_eq!(barrier, BARRIER);
        result
    })
    .collect()
}

mod sthreads {
    use super::*;

    #[test]
    fn a_set_names_the_newest_version_of_each_object() {
        // rule P15
        let observer = observer();
        let mut sthread = SThread::new(W0);
        for (object, version) in [(A, 3), (B, 1), (A, 2), (A, 5)] {
            let header = at(W0, object, version);
            assert_eq!(
                observer.consume(&mut sthread, &header),
                Ok(Admission::Consumed)
            );
        }
        let seen: Vec<_> = sthread.seen().iter().collect();
        assert_eq!(seen, [(A, Version(5)), (B, Version(1))]);
    }

    #[test]
    fn its_messages_carry_the_whole_set() {
        // rule P15
        let observer = observer();
        let mut sthread = sees(at(W0, A, 3));
        let _ = observer.consume(&mut sthread, &at(W0, B, 1));
        let header = sthread.header();
        assert_eq!(header.world_line, W0);
        assert_eq!(&header.dependencies, sthread.seen());
        assert_eq!(header.dependencies.len(), 2);
    }

    #[test]
    fn what_is_committed_is_forgotten() {
        // rule P15: sets stay bounded.
        let mut observer = observer();
        let mut sthread = sees(at(W0, A, 3));
        advance(&mut observer, &[(A, 3)]);
        assert_eq!(observer.refresh(&mut sthread), Ok(()));
        assert!(sthread.seen().is_empty());
        assert_eq!(
            observer.consume(&mut sthread, &at(W0, A, 2)),
            Ok(Admission::Consumed)
        );
        assert!(sthread.seen().is_empty());
    }

    #[test]
    fn it_consumes_only_in_its_own_world_line() {
        // rule P5
        let mut observer = observer();
        decide(&mut observer, W1, &[]);
        let mut sthread = SThread::new(W0);
        assert_eq!(
            observer.consume(&mut sthread, &at(W0, A, 1)),
            Ok(Admission::Discard { current: W1 })
        );
        assert_eq!(
            observer.consume(&mut sthread, &at(W2, A, 1)),
            Ok(Admission::Hold)
        );
        assert!(sthread.seen().is_empty());
        assert_eq!(
            observer.consume(&mut sthread, &at(W1, A, 1)),
            Ok(Admission::Consumed)
        );
    }

    #[test]
    fn a_decision_ends_it_or_renames_it() {
        // rules P9, P10
        let mut observer = observer();
        decide(&mut observer, W1, &[(A, 2)]);
        let world_line = W1;
        let mut kept = sees(at(W0, A, 2));
        assert_eq!(observer.refresh(&mut kept), Ok(()));
        assert_eq!(kept.world_line(), W1);
        let mut lost = sees(at(W0, A, 3));
        assert_eq!(observer.refresh(&mut lost), Err(RolledBack { world_line }));
        assert_eq!(
            observer.consume(&mut lost, &at(W1, B, 1)),
            Err(RolledBack { world_line })
        );
    }

    #[test]
    fn a_version_of_the_new_world_line_is_not_the_lost_one() {
        // rules P5, P7: version 3 was lost, and is there and committed again.
        let mut observer = observer();
        decide(&mut observer, W1, &[(A, 2)]);
        advance(&mut observer, &[(A, 3)]);
        let world_line = W1;
        assert_eq!(
            observer.refresh(&mut sees(at(W0, A, 3))),
            Err(RolledBack { world_line })
        );
        assert_eq!(observer.refresh(&mut sees(at(W1, A, 3))), Ok(()));
    }

    #[test]
    fn what_is_ahead_of_the_observer_is_left_alone() {
        let observer = observer();
        let mut ahead = sees(at(W2, A, 3));
        assert_eq!(observer.refresh(&mut ahead), Ok(()));
        assert_eq!(ahead.world_line(), W2);
    }
}

mod barriers {
    use super::*;

    #[test]
    fn a_barrier_with_nothing_to_wait_for_ends_at_once() {
        let mut observer = observer();
        observer.barrier(BARRIER, SThread::new(W0));
        assert_eq!(outcomes(&mut observer), [Ok(())]);
    }

    #[test]
    fn it_waits_for_all_that_was_seen() {
        // rule P8
        let mut observer = observer();
        let mut sthread = sees(at(W0, A, 3));
        let _ = observer.consume(&mut sthread, &at(W0, B, 1));
        observer.barrier(BARRIER, sthread);
        advance(&mut observer, &[(A, 3)]);
        assert_eq!(outcomes(&mut observer), []);
        // rule P7: known locally
        observer.handle_local_commit(B, Version(4));
        assert_eq!(outcomes(&mut observer), [Ok(())]);
    }

    #[test]
    fn it_tells_of_a_rollback() {
        let mut observer = observer();
        observer.barrier(BARRIER, sees(at(W0, A, 3)));
        decide(&mut observer, W1, &[(A, 2)]);
        let world_line = W1;
        assert_eq!(outcomes(&mut observer), [Err(RolledBack { world_line })]);
    }

    #[test]
    fn it_survives_a_decision_about_others() {
        let mut observer = observer();
        observer.barrier(BARRIER, sees(at(W0, A, 3)));
        decide(&mut observer, W1, &[(B, 0)]);
        assert_eq!(outcomes(&mut observer), []);
        advance(&mut observer, &[(A, 3)]);
        assert_eq!(outcomes(&mut observer), [Ok(())]);
    }

    #[test]
    fn one_that_is_ahead_waits_for_the_decision_too() {
        // rule P8: version 3 is committed here, but it may be the one that the decision removes.
        let mut observer = observer();
        advance(&mut observer, &[(A, 3)]);
        observer.barrier(BARRIER, sees(at(W1, A, 3)));
        assert_eq!(outcomes(&mut observer), []);
        decide(&mut observer, W1, &[(B, 0)]);
        assert_eq!(outcomes(&mut observer), [Ok(())]);
    }

    #[test]
    fn giving_up_leaves_nothing_behind() {
        let mut observer = observer();
        observer.barrier(BARRIER, sees(at(W0, A, 3)));
        observer.cancel(BARRIER);
        advance(&mut observer, &[(A, 3)]);
        assert_eq!(outcomes(&mut observer), []);
        assert_eq!(observer, {
            let mut same = super::observer();
            advance(&mut same, &[(A, 3)]);
            same
        });
    }

    #[test]
    fn without_rule_p8_it_waits_for_nothing() {
        // rule P8: the canary.
        let mut observer = Observer::new(Rules::without(Rule::P8));
        observer.barrier(BARRIER, sees(at(W0, A, 3)));
        assert_eq!(outcomes(&mut observer), [Ok(())]);
    }
}

mod news {
    use super::*;

    #[test]
    fn the_boundary_never_goes_back() {
        // rule P7
        let mut observer = observer();
        advance(&mut observer, &[(A, 3)]);
        advance(&mut observer, &[(A, 2), (B, 1)]);
        let known: Vec<_> = observer.boundary().iter().map(|(&o, &v)| (o, v)).collect();
        assert_eq!(known, [(A, Version(3)), (B, Version(1))]);
    }

    #[test]
    fn a_late_observer_starts_at_the_current_world_line() {
        let mut observer = observer();
        observer.handle(&ToParticipant::Welcome {
            world_line: W2,
            decisions: vec![],
            boundary: [(A, Version(3))].into(),
        });
        assert_eq!(observer.world_line(), W2);
        decide(&mut observer, WorldLine(3), &[(A, 4)]);
        let world_line = WorldLine(3);
        assert_eq!(
            observer.refresh(&mut sees(at(W2, A, 5))),
            Err(RolledBack { world_line })
        );
    }

    #[test]
    fn a_welcome_brings_what_was_missed() {
        // rule P10
        let mut observer = observer();
        decide(&mut observer, W1, &[]);
        let lost = decision(W2, &[(A, 2)]);
        observer.handle(&ToParticipant::Welcome {
            world_line: W1,
            decisions: vec![lost],
            boundary: [].into(),
        });
        let world_line = W2;
        assert_eq!(
            observer.refresh(&mut sees(at(W0, A, 3))),
            Err(RolledBack { world_line })
        );
    }

    #[test]
    fn no_decision_is_skipped_or_taken_twice() {
        // rule P10
        let mut observer = observer();
        decide(&mut observer, W2, &[]);
        assert_eq!(observer.world_line(), W0);
        decide(&mut observer, W1, &[]);
        decide(&mut observer, W1, &[(A, 0)]);
        assert_eq!(observer.refresh(&mut sees(at(W0, A, 3))), Ok(()));
        assert_eq!(observer.world_line(), W1);
    }

    #[test]
    fn uncommitted_is_what_a_barrier_would_wait_for() {
        let mut observer = observer();
        advance(&mut observer, &[(A, 3)]);
        let set: DependencySet = [(A, Version(3)), (B, Version(0)), (ObjectId(3), Version(1))]
            .into_iter()
            .collect();
        let left: Vec<_> = observer.uncommitted(&set).iter().collect();
        assert_eq!(left, [(ObjectId(3), Version(1))]);
    }
}

mod sets {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_set_is_a_map_to_the_newest_version(
            first in prop::collection::vec((0..6u64, 0..9u64), 0..12),
            second in prop::collection::vec((0..6u64, 0..9u64), 0..12),
        ) {
            // rule P15
            let set = |entries: &[(u64, u64)]| -> DependencySet {
                entries.iter().map(|&(o, v)| (ObjectId(o), Version(v))).collect()
            };
            let mut expected = BTreeMap::new();
            for &(object, version) in first.iter().chain(&second) {
                let newest = expected.entry(ObjectId(object)).or_insert(Version(version));
                *newest = Version(version).max(*newest);
            }
            let mut merged = set(&first);
            merged.merge(&set(&second));
            prop_assert_eq!(merged.len(), expected.len());
            for object in (0..6).map(ObjectId) {
                prop_assert_eq!(merged.version_of(object), expected.get(&object).copied());
            }
            prop_assert!(merged.iter().eq(expected));
        }
    }
}
