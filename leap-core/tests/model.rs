//! The protocol checked exhaustively: every order of steps in small worlds, with the real core code
//! inside (see `world`).
//!
//! Each test names a world by what may happen in it. The number of unique states is asserted from
//! below, so that a model that silently lost its steps fails.

#[allow(dead_code, reason = "scenarios need more of the world")]
mod world;

use std::collections::BTreeSet;

use leap_core::{ObjectId, Rule, Rules, Speculation};
use stateright::{Checker as _, HasDiscoveries, Model, Property};
use world::{Prompt, Step, World};

const TRANSPARENCY: &str = "rule P8: failure transparency";
const ORDER: &str = "rule P14: exactly once, in order";
const BOUNDARY: &str = "rule P7: the boundary is closed";
const EXACTNESS: &str = "rule P9: exact rollback";
const COMMIT_ORDER: &str = "rule P4: no edge points upwards";
const CONVERGENCE: &str = "whenever nothing is due, everything is repaired";

/// How often each thing that is not due by itself may happen in one run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Budget {
    sends: u8,
    changes: u8,
    crashes: u8,
    coordinator_restarts: u8,
    peer_breaks: u8,
    coordinator_breaks: u8,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct State {
    world: World,
    left: Budget,
}

struct Cluster {
    objects: u64,
    /// Who may send to whom.
    pairs: Vec<(ObjectId, ObjectId)>,
    speculation: Speculation,
    rules: Rules,
    prompt: Prompt,
    budget: Budget,
}

impl Cluster {
    fn of(objects: u64, budget: Budget) -> Self {
        let all = 1..=objects;
        let pairs = all
            .clone()
            .flat_map(|a| all.clone().map(move |b| (ObjectId(a), ObjectId(b))));
        Self {
            objects,
            pairs: pairs.filter(|(a, b)| a != b).collect(),
            speculation: Speculation::On,
            rules: Rules::default(),
            prompt: Prompt::default(),
            budget,
        }
    }

    fn with(mut self, prompt: Prompt) -> Self {
        self.prompt = prompt;
        self
    }

    fn without(mut self, rule: Rule) -> Self {
        self.rules = Rules::without(rule);
        self
    }

    fn objects(&self) -> impl Iterator<Item = ObjectId> + use<> {
        (1..=self.objects).map(ObjectId)
    }

    /// Whether a failure can reach beyond the object that fails. Then it must, in some run: a world in
    /// which it never does proves nothing.
    fn may_cascade(&self) -> bool {
        self.budget.crashes > 0 && self.budget.sends > 0 && self.speculation == Speculation::On
    }

    /// Only these pairs exchange messages.
    fn along(mut self, pairs: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let pairs = pairs.into_iter();
        self.pairs = pairs.map(|(a, b)| (ObjectId(a), ObjectId(b))).collect();
        self
    }

    /// The part of the budget that pays for `step`; nothing for what is due.
    fn price(left: &mut Budget, step: Step) -> Option<&mut u8> {
        match step {
            Step::Send { .. } => Some(&mut left.sends),
            Step::Change(_) => Some(&mut left.changes),
            Step::Crash(_) => Some(&mut left.crashes),
            Step::RestartCoordinator { .. } => Some(&mut left.coordinator_restarts),
            Step::BreakPeers { .. } => Some(&mut left.peer_breaks),
            Step::BreakCoordinator { .. } => Some(&mut left.coordinator_breaks),
            Step::Seal(_)
            | Step::Persisted(_)
            | Step::Peer { .. }
            | Step::Up(_)
            | Step::Down(_)
            | Step::Logged => None,
        }
    }
}

impl Model for Cluster {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let mut world = World::new(self.objects, self.speculation, self.rules);
        world.prompt = self.prompt;
        let left = self.budget;
        vec![State { world, left }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Step>) {
        let left = state.left;
        actions.extend(state.world.due());
        if left.sends > 0 {
            let sends = self.pairs.iter();
            actions.extend(sends.map(|&(from, to)| Step::Send { from, to }));
        }
        if left.changes > 0 {
            actions.extend(self.objects().map(Step::Change));
        }
        if left.crashes > 0 {
            actions.extend(self.objects().map(Step::Crash));
        }
        if left.coordinator_restarts > 0 {
            actions.extend([false, true].map(|logged| Step::RestartCoordinator { logged }));
        }
        if left.peer_breaks > 0 {
            let links = self.pairs.iter().filter(|(a, b)| a < b);
            actions.extend(links.map(|&(a, b)| Step::BreakPeers { a, b }));
        }
        if left.coordinator_breaks > 0 {
            actions.extend(self.objects().flat_map(|object| {
                [false, true].map(|late| Step::BreakCoordinator { object, late })
            }));
        }
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        let mut next = state.clone();
        if let Some(left) = Self::price(&mut next.left, step) {
            *left -= 1;
        }
        next.world.step(step).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(TRANSPARENCY, |_, state: &State| {
                state.world.is_transparent()
            }),
            Property::always(ORDER, |_, state: &State| state.world.is_in_order()),
            Property::always(BOUNDARY, |_, state: &State| {
                state.world.is_boundary_closed()
            }),
            Property::always(EXACTNESS, |_, state: &State| {
                state.world.is_rollback_exact()
            }),
            Property::always(COMMIT_ORDER, |_, state: &State| {
                state.world.is_commit_ordered()
            }),
            Property::always("nobody is refused", |_, state: &State| {
                state.world.truth.over.is_empty()
            }),
            Property::always(CONVERGENCE, |_, state: &State| {
                !state.world.due().is_empty() || state.world.is_converged()
            }),
        ];
        if self.may_cascade() {
            properties.push(Property::sometimes(
                "a survivor rolls back",
                |_, state: &State| state.world.truth.survivor_rolled_back,
            ));
        }
        properties
    }
}

/// Explores all of `cluster`, which has at least so many states.
#[expect(
    clippy::print_stdout,
    clippy::disallowed_macros,
    reason = "how much was explored belongs into the output"
)]
#[track_caller]
fn explore(cluster: Cluster, at_least: usize) {
    let checker = cluster.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    let states = checker.unique_state_count();
    println!("{states} unique states");
    assert!(states >= at_least, "only {states} states were visited");
}

/// There is a way to break `property` in `cluster`, which breaks a rule on purpose.
#[track_caller]
fn assert_caught(cluster: Cluster, property: &'static str) {
    let when = HasDiscoveries::AnyOf(BTreeSet::from([property]));
    let checker = cluster.checker().finish_when(when).spawn_bfs().join();
    let path = checker.discovery(property).expect("the canary is caught");
    assert!(!path.into_actions().is_empty(), "not from the beginning");
}

const NOTHING: Budget = Budget {
    sends: 0,
    changes: 0,
    crashes: 0,
    coordinator_restarts: 0,
    peer_breaks: 0,
    coordinator_breaks: 0,
};

/// Links to and from the coordinator and its log are as fast as the steps that use them.
const NEAR_COORDINATOR: Prompt = Prompt {
    up: true,
    down: true,
    log: true,
    disk: false,
};

/// Everything but the log is as fast as the steps that use it.
const SLOW_LOG: Prompt = Prompt {
    up: true,
    down: true,
    log: false,
    disk: true,
};

const UP: Prompt = Prompt {
    up: true,
    down: false,
    log: false,
    disk: false,
};

#[test]
fn a_crash_with_every_delay() {
    let budget = Budget {
        sends: 1,
        crashes: 1,
        ..NOTHING
    };
    explore(Cluster::of(2, budget), 10_000);
}

#[test]
fn a_coordinator_restart_with_every_delay() {
    let budget = Budget {
        sends: 1,
        coordinator_restarts: 1,
        ..NOTHING
    };
    explore(Cluster::of(2, budget), 5_000);
}

#[test]
fn messages_both_ways_and_a_crash() {
    let budget = Budget {
        sends: 2,
        crashes: 1,
        ..NOTHING
    };
    explore(Cluster::of(2, budget).with(NEAR_COORDINATOR), 50_000);
}

/// Rule P10: both failures are repaired, each in a world-line of its own.
#[test]
fn overlapping_crashes() {
    let budget = Budget {
        sends: 1,
        crashes: 2,
        ..NOTHING
    };
    explore(Cluster::of(2, budget).with(UP), 10_000);
}

/// Rules P10, P11: the coordinator ends anywhere between a failure and the end of its repair.
#[test]
fn a_crash_and_a_coordinator_restart() {
    let budget = Budget {
        sends: 1,
        crashes: 1,
        coordinator_restarts: 1,
        ..NOTHING
    };
    explore(Cluster::of(2, budget).with(UP), 10_000);
}

#[test]
fn a_crash_and_a_broken_link_to_the_coordinator() {
    let budget = Budget {
        sends: 1,
        crashes: 1,
        coordinator_breaks: 1,
        ..NOTHING
    };
    explore(Cluster::of(2, budget).along([(1, 2)]), 10_000);
}

/// Rule P14.
#[test]
fn a_crash_and_a_broken_link_between_peers() {
    let budget = Budget {
        sends: 2,
        crashes: 1,
        peer_breaks: 1,
        ..NOTHING
    };
    explore(
        Cluster::of(2, budget)
            .with(NEAR_COORDINATOR)
            .along([(1, 2)]),
        10_000,
    );
}

/// A chain of dependencies through a third object that does not fail itself.
#[test]
fn three_objects_and_a_crash() {
    let budget = Budget {
        sends: 2,
        crashes: 1,
        ..NOTHING
    };
    let chain = [(1, 2), (2, 3)];
    explore(
        Cluster::of(3, budget).with(NEAR_COORDINATOR).along(chain),
        10_000,
    );
}

/// Rules P9, P10, P11: the coordinator ends anywhere between a failure and the end of a repair that reaches a third
/// object. Links to the coordinator and disks take no time here, so that there are few enough orders; the log and the
/// links between objects take any.
#[test]
fn three_objects_a_crash_and_a_coordinator_restart() {
    let budget = Budget {
        sends: 2,
        crashes: 1,
        coordinator_restarts: 1,
        ..NOTHING
    };
    let chain = [(1, 2), (2, 3)];
    explore(Cluster::of(3, budget).with(SLOW_LOG).along(chain), 100_000);
}

#[test]
fn speculation_off_and_a_crash() {
    let budget = Budget {
        sends: 2,
        crashes: 1,
        ..NOTHING
    };
    let mut cluster = Cluster::of(2, budget).with(NEAR_COORDINATOR);
    cluster.speculation = Speculation::Off;
    explore(cluster, 10_000);
}

#[test]
fn canary_p4() {
    let budget = Budget {
        sends: 2,
        changes: 1,
        ..NOTHING
    };
    let cluster = Cluster::of(2, budget).with(NEAR_COORDINATOR);
    assert_caught(cluster.without(Rule::P4), COMMIT_ORDER);
}

#[test]
fn canary_p5() {
    let budget = Budget {
        sends: 1,
        changes: 1,
        crashes: 1,
        ..NOTHING
    };
    let cluster = Cluster::of(2, budget)
        .with(NEAR_COORDINATOR)
        .along([(1, 2)]);
    assert_caught(cluster.without(Rule::P5), BOUNDARY);
}

#[test]
fn canary_p8() {
    let budget = Budget {
        sends: 1,
        crashes: 1,
        ..NOTHING
    };
    assert_caught(Cluster::of(2, budget).without(Rule::P8), TRANSPARENCY);
}

#[test]
fn canary_p10() {
    let budget = Budget {
        crashes: 1,
        coordinator_restarts: 1,
        ..NOTHING
    };
    assert_caught(Cluster::of(2, budget).without(Rule::P10), CONVERGENCE);
}
