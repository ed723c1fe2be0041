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
