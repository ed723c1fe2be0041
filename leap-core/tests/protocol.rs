//! Named scenarios: small clusters with the real core code, each step chosen by hand (see `world`).
//!
//! `world.check()` compares with the ground truth after each: nothing released was lost, nothing is
//! there twice, the boundary is closed, rollbacks are exact, and when nothing is due any more everything
//! is repaired.

#[allow(dead_code, reason = "the model checker needs more of the world")]
mod world;

use leap_core::{
    Effect, Input, ObjectId, Rules, Speculation, Version, WorldLine, message::Refusal,
};
use world::{Prompt, Step, World};

const A: ObjectId = ObjectId(1);
const B: ObjectId = ObjectId(2);
const C: ObjectId = ObjectId(3);

fn cluster(objects: u64) -> World {
    World::new(objects, Speculation::On, Rules::default())
}

fn send(from: ObjectId, to: ObjectId) -> Step {
    Step::Send { from, to }
}

fn arrives(from: ObjectId, to: ObjectId) -> Step {
    Step::Peer { from, to }
}

#[track_caller]
fn run(world: &mut World, steps: &[Step]) {
    for &step in steps {
        assert!(world.step(step), "{step:?} is not possible");
        world.check();
    }
}

#[track_caller]
fn settle(world: &mut World) {
    world.settle();
    world.check();
}

/// A's volatile work is seen by B, and B's by C; nothing is durable.
fn chain() -> World {
    let mut world = cluster(3);
    run(
        &mut world,
        &[send(A, B), arrives(A, B), send(B, C), arrives(B, C)],
    );
    world
}

#[test]
fn without_failures_all_is_committed_and_released() {
    // rules P7, P8
    let mut world = chain();
    assert_eq!(world.released(), 0, "nothing is durable yet");
    settle(&mut world);
    assert_eq!(world.released(), 2);
    assert_eq!(world.coordinator.decisions().count(), 0);
    for object in [A, B, C] {
        assert_eq!(world.participant(object).unacknowledged(), 0, "rule P13");
    }
}

#[test]
fn whoever_depends_on_lost_work_rolls_back() {
    // rule P9
    let mut world = chain();
    run(&mut world, &[Step::Crash(A)]);
    settle(&mut world);
    for object in [A, B, C] {
        assert_eq!(world.seen(object), 0);
        assert_eq!(world.participant(object).world_line(), WorldLine(1));
    }
}

#[test]
fn whoever_does_not_keeps_even_volatile_work() {
    // rules P9, P10
    let mut world = chain();
    run(&mut world, &[Step::Change(C), Step::Crash(C)]);
    settle(&mut world);
    assert_eq!((world.seen(A), world.seen(B)), (1, 2));
    assert_eq!(world.seen(C), 2, "B sends to C again");
    assert_eq!(world.released(), 2, "and is released after all");
    assert_eq!(world.coordinator.world_line(), WorldLine(1));
}

#[test]
fn durable_work_survives_the_crash() {
    // rule P6
    let mut world = chain();
    run(
        &mut world,
        &[Step::Seal(A), Step::Persisted(A), Step::Crash(A)],
    );
    settle(&mut world);
    assert_eq!((world.seen(A), world.seen(C)), (1, 2));
}

#[test]
fn a_new_life_goes_on_in_the_old_conversation() {
    // rule P14
    let mut world = chain();
    settle(&mut world);
    run(&mut world, &[Step::Crash(B), send(A, B)]);
    settle(&mut world);
    run(&mut world, &[send(B, C)]);
    settle(&mut world);
    assert_eq!(world.seen(C), 4);
}

#[test]
fn no_dependency_points_upwards() {
    // rule P4: A is at version 4 when it sends.
    let mut world = cluster(2);
    for _ in 0..3 {
        run(&mut world, &[Step::Change(A), Step::Seal(A)]);
    }
    run(&mut world, &[Step::Change(B), send(A, B), arrives(A, B)]);
    assert_eq!(world.participant(B).open_version(), Version(4));
    assert_eq!(
        world.participant(B).in_flight(),
        1,
        "sealed, not waited for"
    );
    settle(&mut world);
}

#[test]
fn a_message_of_the_old_world_line_arrives_after_the_repair() {
    // rule P5: it is discarded, what survived is sent again.
    let mut world = cluster(2);
    run(&mut world, &[send(A, B), Step::Crash(A)]);
    world.settle_but(|step| step == arrives(A, B));
    settle(&mut world);
    assert_eq!(world.seen(B), 0);
}

#[test]
fn a_message_of_the_new_world_line_arrives_before_the_decision() {
    // rules P5, P14: B has consumed the lost message under the same number, and does not know yet.
    let mut world = cluster(2);
    run(&mut world, &[send(A, B), arrives(A, B), Step::Crash(A)]);
    let is_behind = |step| step == Step::Down(B) || step == arrives(A, B);
    // Up to the decision B takes part.
    world.settle_but(|step| step == Step::Logged);
    world.settle_but(is_behind);
    assert_eq!(world.participant(A).world_line(), WorldLine(1));
    run(&mut world, &[send(A, B)]);
    world.settle_but(|step| step == Step::Down(B));
    assert_eq!(world.participant(B).world_line(), WorldLine(0));
    assert_eq!(world.participant(B).held(), 1, "not a duplicate");
    settle(&mut world);
    assert_eq!((world.seen(A), world.seen(B)), (1, 1));
}

/// The steps of a repair after `A` crashed, each held back in turn: whatever comes between, comes there.
const HELD: [fn(Step) -> bool; 8] = [
    |step| step == Step::Up(A),
    |step| step == Step::Up(B),
    |step| step == Step::Down(A),
    |step| step == Step::Down(B),
    |step| matches!(step, Step::Down(_)),
    |step| step == Step::Logged,
    |step| matches!(step, Step::Peer { .. }),
    |_| false,
];

/// Lets `second` happen in every phase of the repair that `first` makes necessary: after all that can
/// happen while one kind of step is held back, and the log record is held back or not.
#[track_caller]
fn in_every_phase(build: fn() -> World, first: Step, second: &[Step]) {
    for held in HELD {
        for logged_first in [false, true] {
            let mut world = build();
            run(&mut world, &[first]);
            if logged_first {
                world.settle_but(|step| step == Step::Logged);
                world.step(Step::Logged);
            }
            world.settle_but(held);
            world.check();
            run(&mut world, second);
            settle(&mut world);
        }
    }
}

#[test]
fn the_coordinator_restarts_in_every_phase() {
    // rules P10, P11
    for logged in [false, true] {
        let restart = Step::RestartCoordinator { logged };
        in_every_phase(chain, Step::Crash(A), &[restart]);
        in_every_phase(chain, Step::Crash(A), &[restart, restart]);
        in_every_phase(chain, restart, &[restart]);
    }
}

#[test]
fn another_object_fails_in_every_phase() {
    // rule P10: overlapping failures.
    for other in [B, C] {
        in_every_phase(chain, Step::Crash(A), &[Step::Crash(other)]);
    }
    in_every_phase(
        chain,
        Step::Crash(A),
        &[Step::Crash(B), Step::Crash(C), Step::Crash(A)],
    );
}

#[test]
fn the_same_object_fails_again_in_every_phase() {
    // rule P10
    in_every_phase(chain, Step::Crash(A), &[Step::Crash(A)]);
    in_every_phase(chain, Step::Crash(A), &[Step::Crash(A), Step::Crash(A)]);
}

#[test]
fn an_object_and_the_coordinator_fail_in_every_phase() {
    // rules P10, P11
    let restart = Step::RestartCoordinator { logged: false };
    in_every_phase(chain, Step::Crash(A), &[Step::Crash(B), restart]);
    in_every_phase(chain, Step::Crash(A), &[restart, Step::Crash(A)]);
    in_every_phase(chain, restart, &[Step::Crash(C)]);
}

#[test]
fn a_link_to_the_coordinator_breaks_in_every_phase() {
    // A lost question, answer, decision, admission and end of a gather are all repeated.
    for object in [A, B, C] {
        for late in [false, true] {
            let broken = Step::BreakCoordinator { object, late };
            in_every_phase(chain, Step::Crash(A), &[broken]);
            in_every_phase(chain, Step::Crash(A), &[broken, broken]);
        }
    }
}

#[test]
fn a_link_between_peers_breaks_in_every_phase() {
    // rule P14
    in_every_phase(chain, Step::Crash(A), &[Step::BreakPeers { a: A, b: B }]);
    in_every_phase(chain, Step::Crash(B), &[Step::BreakPeers { a: B, b: C }]);
}

#[test]
fn work_goes_on_in_every_phase() {
    // rules P5, P9
    in_every_phase(
        chain,
        Step::Crash(A),
        &[Step::Change(C), send(C, B), send(B, C), Step::Seal(C)],
    );
}

#[test]
fn a_lost_admission_is_repeated() {
    let mut world = chain();
    run(&mut world, &[Step::Crash(A)]);
    world.settle_but(|step| step == Step::Down(A));
    assert!(!world.participant(A).is_active());
    let lost = Step::BreakCoordinator {
        object: A,
        late: false,
    };
    run(&mut world, &[lost]);
    settle(&mut world);
    assert!(world.participant(A).is_active());
}

#[test]
fn a_failure_while_the_coordinator_asks_everybody() {
    // rule P11: B answers with what storage has, A and C with what they still have.
    let mut world = chain();
    run(
        &mut world,
        &[Step::RestartCoordinator { logged: false }, Step::Crash(B)],
    );
    assert_eq!(world.coordinator.boundary(), None);
    settle(&mut world);
    assert_eq!((world.seen(A), world.seen(B), world.seen(C)), (1, 1, 0));
}

#[test]
fn a_restarted_coordinator_knows_the_whole_boundary() {
    // rules P7, P11
    let mut world = chain();
    settle(&mut world);
    let before = world.coordinator.boundary();
    run(&mut world, &[Step::RestartCoordinator { logged: false }]);
    assert_eq!(world.coordinator.boundary(), None);
    settle(&mut world);
    assert_eq!(world.coordinator.boundary(), before);
}

#[test]
fn an_object_leaves_and_comes_back() {
    let mut world = chain();
    settle(&mut world);
    world.input(B, Input::Leave);
    world.settle();
    assert_eq!(world.truth.over[&B], Effect::Left);
    // Others fail and are repaired without it.
    run(&mut world, &[Step::Change(A), Step::Crash(A)]);
    world.settle();
    assert_eq!(world.coordinator.waiting_for(), []);
    assert_eq!(world.coordinator.world_line(), WorldLine(1));
    world.come_back(B);
    settle(&mut world);
    assert_eq!(
        world.coordinator.world_line(),
        WorldLine(1),
        "its return is no failure"
    );
    run(&mut world, &[send(A, B), send(B, C)]);
    settle(&mut world);
}

#[test]
fn it_leaves_in_every_phase() {
    for held in HELD {
        let mut world = chain();
        run(&mut world, &[Step::Crash(A)]);
        world.settle_but(held);
        world.input(C, Input::Leave);
        world.settle();
        assert_eq!(world.truth.over.get(&C), Some(&Effect::Left));
        assert_eq!(world.coordinator.waiting_for(), []);
    }
}

#[test]
fn an_empty_disk_is_refused_when_something_was_committed() {
    // rules P7, P8
    let mut world = chain();
    settle(&mut world);
    world.lose_storage(A);
    assert!(world.step(Step::Crash(A)));
    world.settle();
    let committed = Version(1);
    let found = Version(0);
    let refusal = Refusal::LostCommitted { committed, found };
    assert_eq!(world.truth.over[&A], Effect::Refused(refusal));
    assert_eq!(world.coordinator.decisions().count(), 0);
}

#[test]
fn without_speculation_nobody_else_rolls_back() {
    let mut world = World::new(2, Speculation::Off, Rules::default());
    run(&mut world, &[send(A, B)]);
    world.settle_but(|step| matches!(step, Step::Persisted(_)));
    assert_eq!(world.seen(B), 0, "the message waits for its version");
    run(&mut world, &[Step::Change(B), Step::Crash(A)]);
    settle(&mut world);
    assert_eq!((world.seen(A), world.seen(B)), (0, 1));
    run(&mut world, &[send(A, B)]);
    settle(&mut world);
    assert_eq!(world.seen(B), 2);
}

#[test]
fn a_late_message_of_a_dead_life_is_not_consumed() {
    // rule P5: A's message was under way when A crashed twice.
    let mut world = cluster(2);
    run(&mut world, &[send(A, B), Step::Crash(A), Step::Crash(A)]);
    world.settle_but(|step| step == arrives(A, B));
    settle(&mut world);
    assert_eq!(world.seen(B), 0);
    assert_eq!(
        world.coordinator.world_line(),
        WorldLine(1),
        "two lives lost, one repair: the first never took part"
    );
}

#[test]
fn the_same_steps_give_the_same_world() {
    let play = || {
        let mut world = chain();
        world.prompt = Prompt {
            up: true,
            ..Prompt::default()
        };
        run(&mut world, &[Step::Crash(A), Step::Crash(B)]);
        settle(&mut world);
        world
    };
    assert_eq!(play(), play());
}
