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
