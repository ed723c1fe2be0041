//! The incremental boundary against its definition, worked out from nothing after every step.

use super::*;
use proptest::prelude::*;

const OBJECTS: u64 = 4;
const VERSIONS: u64 = 12;

/// Everything that was persisted and not rolled back, and the definition of the boundary.
#[derive(Default)]
struct Model {
    vertices: BTreeMap<ObjectId, BTreeMap<Version, DependencySet>>,
    committed: BTreeMap<ObjectId, Version>,
}

impl Model {
    fn persisted(&self, object: ObjectId) -> Version {
        let versions = self.vertices.get(&object);
        let newest = versions.and_then(BTreeMap::last_key_value);
        newest.map_or(self.committed(object), |(&version, _)| version)
    }

    fn committed(&self, object: ObjectId) -> Version {
        self.committed.get(&object).copied().unwrap_or_default()
    }

    fn persist(&mut self, object: ObjectId, version: Version, dependencies: DependencySet) {
        if version > self.persisted(object) {
            let versions = self.vertices.entry(object).or_default();
            versions.insert(version, dependencies);
        }
    }

    fn roll_back(&mut self, cut: &BTreeMap<ObjectId, Version>) {
        for (object, keep) in cut {
            if let Some(versions) = self.vertices.get_mut(object) {
                versions.retain(|version, _| version <= keep);
            }
        }
    }

    fn remember(&mut self, object: ObjectId, version: Version) {
        let committed = self.committed.entry(object).or_default();
        *committed = version.max(*committed);
    }

    /// Rule P7: start with all that is persisted; take away what has an edge that leads out, until
    /// nothing has. An edge leads to the oldest version that is not older than the one it names.
    fn settle(&mut self) {
        let mut inside: BTreeMap<ObjectId, Version> = self
            .vertices
            .keys()
            .map(|&object| (object, self.persisted(object).max(self.committed(object))))
            .collect();
        loop {
            let before = inside.clone();
            for (&object, versions) in &self.vertices {
                let mut last = self.committed(object);
                let uncommitted = versions.range(last.next()..);
                for (&version, dependencies) in uncommitted {
                    let is_inside = |(target, needs): (ObjectId, Version)| {
                        self.reaches(target, needs).is_some_and(|found| {
                            found <= self.committed(target)
                                || inside.get(&target).is_some_and(|&last| found <= last)
                        })
                    };
                    if version > inside[&object] || !dependencies.iter().all(is_inside) {
                        break;
                    }
                    last = version;
                }
                inside.insert(object, last);
            }
            if inside == before {
                break;
            }
        }
        for (object, version) in inside {
            self.remember(object, version);
        }
    }

    fn reaches(&self, object: ObjectId, needs: Version) -> Option<Version> {
        if needs <= self.committed(object) {
            return Some(needs);
        }
        let versions = self.vertices.get(&object)?;
        versions.range(needs..).next().map(|(&found, _)| found)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Persist {
        object: ObjectId,
        skip: u64,
        dependencies: Vec<(u64, u64)>,
    },
    RollBack(Vec<u64>),
    Remember {
        object: ObjectId,
        advance: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let object = || (0..OBJECTS).prop_map(ObjectId);
    let dependencies = prop::collection::vec((0..OBJECTS, 0..VERSIONS), 0..4);
    prop_oneof![
        20 => (object(), 0..3u64, dependencies).prop_map(|(object, skip, dependencies)| Step::Persist {
            object,
            skip,
            dependencies,
        }),
        1 => prop::collection::vec(0..3u64, OBJECTS as usize).prop_map(Step::RollBack),
        1 => (object(), 0..3u64).prop_map(|(object, advance)| Step::Remember { object, advance }),
    ]
}

/// Takes all steps in both and compares after each. `obeys_p4` cuts edges to what rule P4 allows.
fn compare(steps: Vec<Step>, obeys_p4: bool) -> Result<(), TestCaseError> {
    let mut graph = Graph::default();
    let mut model = Model::default();
    let mut before = BTreeMap::new();
    for step in steps {
        match step {
            Step::Persist {
                object,
                skip,
                dependencies,
            } => {
                let version = Version(model.persisted(object).0 + 1 + skip);
                let dependencies: DependencySet = dependencies
                    .into_iter()
                    .map(|(target, needs)| (ObjectId(target), Version(needs)))
                    .map(|(target, needs)| match obeys_p4 {
                        true => (target, needs.min(version)),
                        false => (target, needs),
                    })
                    .filter(|&(target, _)| target != object)
                    .collect();
                graph.persist(object, version, &dependencies);
                model.persist(object, version, dependencies);
            }
            Step::RollBack(losses) => {
                let objects = (0..OBJECTS).map(ObjectId).zip(losses);
                let cut = objects
                    .filter(|&(_, loss)| loss > 0)
                    .map(|(object, loss)| {
                        let keep = Version(model.persisted(object).0.saturating_sub(loss));
                        (object, keep.max(model.committed(object)))
                    })
                    .collect();
                graph.roll_back(&cut);
                model.roll_back(&cut);
            }
            Step::Remember { object, advance } => {
                let version = Version(model.committed(object).0 + advance);
                graph.remember_committed([(object, version)]);
                model.remember(object, version);
            }
        }
        model.settle();
        for object in (0..OBJECTS).map(ObjectId) {
            prop_assert_eq!(graph.committed(object), model.committed(object));
        }
        let uncommitted = model.vertices.iter().map(|(&object, versions)| {
            let above = model.committed(object).next();
            versions.range(above..).count()
        });
        prop_assert_eq!(graph.uncommitted(), uncommitted.sum::<usize>());
        for (object, version) in graph.take_advanced() {
            let told = before.insert(object, version).unwrap_or_default();
            prop_assert!(version > told, "the boundary only grows");
        }
        for (object, committed) in graph.boundary() {
            let told = before.get(&object).copied().unwrap_or_default();
            prop_assert_eq!(committed, told, "every advance is told");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_boundary_is_the_greatest_fixpoint(steps in prop::collection::vec(step(), 0..60)) {
        // rule P7, with edges as rule P4 allows them
        compare(steps, true)?;
    }

    #[test]
    fn it_is_so_whatever_the_edges(steps in prop::collection::vec(step(), 0..60)) {
        // rule P7, with upward edges and cycles
        compare(steps, false)?;
    }
}

fn depends_on(dependencies: &[(u64, u64)]) -> DependencySet {
    let dependencies = dependencies.iter();
    dependencies
        .map(|&(object, version)| (ObjectId(object), Version(version)))
        .collect()
}

#[test]
fn a_cycle_commits_as_a_whole() {
    let mut graph = Graph::default();
    graph.persist(ObjectId(1), Version(1), &depends_on(&[(2, 1)]));
    graph.persist(ObjectId(2), Version(1), &depends_on(&[(3, 1)]));
    assert!(!graph.has_advanced());
    graph.persist(ObjectId(3), Version(1), &depends_on(&[(1, 1)]));
    assert_eq!(graph.take_advanced().len(), 3);
    assert_eq!(graph.uncommitted(), 0);
}

#[test]
fn an_edge_to_a_version_that_was_skipped_leads_to_the_next_one() {
    let mut graph = Graph::default();
    graph.persist(ObjectId(1), Version(3), &depends_on(&[(2, 2)]));
    graph.persist(ObjectId(2), Version(1), &depends_on(&[]));
    assert_eq!(graph.committed(ObjectId(1)), Version(0));
    graph.persist(ObjectId(2), Version(5), &depends_on(&[]));
    assert_eq!(graph.committed(ObjectId(1)), Version(3));
}

#[test]
fn what_waits_below_one_blocker_waits_cheaply() {
    // Rule 3 of the module documentation: a long chain that hangs below one missing vertex is not
    // looked at again while ever more is added to it.
    let mut graph = Graph::default();
    graph.persist(ObjectId(0), Version(1), &depends_on(&[(9, 1)]));
    for version in 1..=20_000 {
        graph.persist(
            ObjectId(1),
            Version(version),
            &depends_on(&[(0, 1), (2, version - 1)]),
        );
        graph.persist(ObjectId(2), Version(version), &depends_on(&[(1, version)]));
    }
    assert_eq!(graph.uncommitted(), 40_001);
    graph.persist(ObjectId(9), Version(1), &depends_on(&[]));
    assert_eq!(graph.uncommitted(), 0);
    let members: usize = graph.lists.values().map(|list| list.members.len()).sum();
    assert_eq!(members, 0);
}
