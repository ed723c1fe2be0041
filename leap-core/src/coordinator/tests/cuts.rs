use super::*;
use proptest::prelude::*;

/// Rule P9, as it is written: remove whatever depends on something removed, until nothing changes.
fn brute_force(
    failed: ObjectId,
    keep: Version,
    fragments: &BTreeMap<ObjectId, Fragment>,
) -> BTreeMap<ObjectId, Version> {
    let mut cut = BTreeMap::from([(failed, keep)]);
    loop {
        let before = cut.clone();
        for (&object, fragment) in fragments {
            let mut kept = fragment.committed;
            for entry in &fragment.versions {
                let is_removed = |object: &ObjectId, version| {
                    cut.get(object).is_some_and(|&kept| version > kept)
                };
                let mut needs = entry.dependencies.iter();
                if is_removed(&object, entry.version)
                    || needs.any(|(target, version)| is_removed(&target, version))
                {
                    let entry = cut.entry(object).or_insert(kept);
                    *entry = kept.min(*entry);
                    break;
                }
                kept = entry.version;
            }
        }
        if cut == before {
            return cut;
        }
    }
}

fn fragments() -> impl Strategy<Value = BTreeMap<ObjectId, Fragment>> {
    let dependencies = prop::collection::vec((0..5u64, 1..12u64), 0..4);
    let versions = prop::collection::btree_map(1..12u64, dependencies, 0..6);
    prop::collection::vec(versions, 5).prop_map(|objects| {
        let fragment_of = |versions: BTreeMap<u64, Vec<(u64, u64)>>| Fragment {
            world_line: W0,
            committed: Version::ZERO,
            versions: versions
                .into_iter()
                .map(|(version, needs)| FragmentVersion {
                    version: Version(version),
                    world_line: W0,
                    dependencies: needs
                        .into_iter()
                        .map(|(o, v)| (ObjectId(o), Version(v)))
                        .collect(),
                    durable: false,
                })
                .collect(),
        };
        let objects = (0..).map(ObjectId).zip(objects);
        objects
            .map(|(o, versions)| (o, fragment_of(versions)))
            .collect()
    })
}

proptest! {
    #[test]
    fn a_cut_is_the_least_fixpoint(fragments in fragments(), failed in 0..5u64, keep in 0..6usize) {
        // rule P9: with upward, cyclic and dangling edges as well.
        let failed = ObjectId(failed);
        let versions = &fragments[&failed].versions;
        let keep = keep.checked_sub(1).and_then(|i| versions.get(i)).map_or(Version::ZERO, |e| e.version);
        prop_assert_eq!(
            cut::consistent(BTreeMap::from([(failed, keep)]), &fragments),
            brute_force(failed, keep, &fragments)
        );
    }
}
