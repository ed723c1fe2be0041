//! The consistent cut that survives a failure (rule P9).

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    id::{ObjectId, Version},
    message::Fragment,
};

/// What each object keeps when those that failed keep all up to `keep`: the largest set of vertices that
/// depends on nothing that is removed. Objects that lose nothing are not in the answer.
///
/// The removed set is the least fixpoint: it starts with what the failed objects lost, and takes in
/// a version (and with it all later ones of that object) only if it depends on something removed.
pub(super) fn consistent(
    keep: BTreeMap<ObjectId, Version>,
    fragments: &BTreeMap<ObjectId, Fragment>,
) -> BTreeMap<ObjectId, Version> {
    let dependents = dependents(fragments);
    let mut cut = keep;
    let mut changed: BTreeSet<_> = cut.keys().copied().collect();
    while let Some(object) = changed.pop_first() {
        let keep = cut[&object];
        for &(needs, dependent, version) in dependents.get(&object).into_iter().flatten() {
            let is_lost = needs > keep && cut.get(&dependent).is_none_or(|&kept| version <= kept);
            if is_lost {
                cut.insert(dependent, predecessor(&fragments[&dependent], version));
                changed.insert(dependent);
            }
        }
    }
    cut
}

/// The newest version of each of `objects`, about which nothing is known, that something rests on that may be inside
/// the boundary: something durable that depends on nothing volatile, as far as `fragments` tell.
pub(super) fn rested_on(
    objects: &BTreeSet<ObjectId>,
    fragments: &BTreeMap<ObjectId, Fragment>,
) -> BTreeMap<ObjectId, Version> {
    let durable = fragments
        .iter()
        .map(|(&object, fragment)| (object, durable(fragment)))
        .collect();
    let possible = consistent(durable, fragments);
    let mut rested_on = BTreeMap::new();
    for (object, fragment) in fragments {
        let up_to = possible[object];
        let versions = fragment.versions.iter();
        for entry in versions.take_while(|entry| entry.version <= up_to) {
            let needs = entry.dependencies.iter();
            for (target, version) in needs.filter(|(target, _)| objects.contains(target)) {
                let newest = rested_on.entry(target).or_default();
                *newest = version.max(*newest);
            }
        }
    }
    rested_on
}

/// The newest version that is durable.
fn durable(fragment: &Fragment) -> Version {
    let durable = fragment.versions.iter().take_while(|entry| entry.durable);
    durable
        .last()
        .map_or(fragment.committed, |entry| entry.version)
}

/// For each object: who depends on which version of it.
fn dependents(
    fragments: &BTreeMap<ObjectId, Fragment>,
) -> BTreeMap<ObjectId, Vec<(Version, ObjectId, Version)>> {
    let mut dependents: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (&object, fragment) in fragments {
        for entry in &fragment.versions {
            for (target, needs) in entry.dependencies.iter() {
                dependents
                    .entry(target)
                    .or_default()
                    .push((needs, object, entry.version));
            }
        }
    }
    dependents
}

/// The version before `version` in the fragment's chain.
fn predecessor(fragment: &Fragment, version: Version) -> Version {
    let earlier = fragment
        .versions
        .iter()
        .map(|entry| entry.version)
        .take_while(|&earlier| earlier < version);
    earlier.last().unwrap_or(fragment.committed)
}

/// The newest version of a fragment.
pub(super) fn newest(fragment: &Fragment) -> Version {
    fragment
        .versions
        .last()
        .map_or(fragment.committed, |entry| entry.version)
}
