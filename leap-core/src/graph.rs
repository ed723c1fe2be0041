//! The coordinator's dependency graph above the boundary, and the boundary itself (rule P7).
//!
//! The boundary is the largest closed set of persisted vertices. It is kept incrementally, at a cost
//! proportional to the edges of what changes:
//!
//! 1. A persisted vertex is *incomplete* while it depends on a vertex that is not persisted. It watches
//!    one such vertex at a time; since a persisted vertex stays so, it looks at each of its edges once.
//! 2. All below the lowest version of an incomplete vertex is closed, because no edge leads to a higher
//!    version (rule P4): it is committed without looking at any edge. This is the usual case.
//! 3. Above it: a complete vertex is *blocked* by an incomplete one that it can reach. All complete vertices
//!    with one blocker form a list and are looked at again only when that blocker becomes complete.
//! 4. What becomes complete, together with what it blocked, forms a group. From the group is taken, to
//!    a fixpoint, all that depends on something outside that is not committed; what remains is closed
//!    and persisted: it is the boundary's advance. If a single vertex became complete and depends on
//!    something outside, then so does all that it blocked, and the list just gets another blocker.
//!
//! The order in which a vertex looks at its edges is scattered, so that in whatever order the versions
//! it waits for arrive, it is woken a logarithmic number of times.
//!
//! # Invariants
//!
//! - Per object: `committed <= persisted`; the vertices kept are exactly those persisted above `committed`.
//! - Every vertex kept is either watching (incomplete) or in exactly one list (complete). Lists may
//!   still name vertices that were committed meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    header::DependencySet,
    id::{ObjectId, Version},
};

/// A vertex within the current world-line.
type Node = (ObjectId, Version);

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct ObjectState {
    committed: Version,
    persisted: Version,
    /// Persisted above `committed`.
    vertices: BTreeMap<Version, PersistedVertex>,
    /// Vertices that wait until this object has persisted at least the key.
    watchers: BTreeMap<Version, Vec<Node>>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct PersistedVertex {
    dependencies: DependencySet,
    /// How many of the dependencies, in scattered order, are known to be persisted.
    checked: usize,
    /// What makes the order scattered: see [`stride`].
    stride: usize,
    /// It has an edge that breaks rule P4, or that names no version of its object: only a peer that
    /// does not obey the protocol makes such edges.
    is_irregular: bool,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Stage {
    /// Watches a vertex that is not persisted.
    Incomplete,
    /// All it depends on is persisted; it is being looked at.
    Complete,
    /// Complete, and a member of this list.
    Blocked(ListId),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
struct ListId(u64);

/// Complete vertices that one incomplete vertex blocks.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct BlockedList {
    blocker: Node,
    members: Vec<Node>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Graph {
    objects: BTreeMap<ObjectId, ObjectState>,
    /// All vertices kept, by version.
    kept: BTreeSet<(Version, ObjectId)>,
    /// Those that are incomplete.
    incomplete: BTreeSet<(Version, ObjectId)>,
    /// How many of those kept are irregular; as long as there are any, versions say nothing.
    irregular: usize,
    lists: BTreeMap<ListId, BlockedList>,
    /// The list of each vertex that blocks any.
    blockers: BTreeMap<Node, ListId>,
    next_list: ListId,
    /// Where the boundary advanced since it was last asked for.
    advanced: BTreeMap<ObjectId, Version>,
}

impl Graph {
    pub(crate) fn boundary(&self) -> BTreeMap<ObjectId, Version> {
        self.objects
            .iter()
            .map(|(&object, state)| (object, state.committed))
            .collect()
    }

    pub(crate) fn committed(&self, object: ObjectId) -> Version {
        self.objects
            .get(&object)
            .map_or(Version::ZERO, |state| state.committed)
    }

    /// The boundary's advance since the last call.
    pub(crate) fn take_advanced(&mut self) -> BTreeMap<ObjectId, Version> {
        std::mem::take(&mut self.advanced)
    }

    pub(crate) fn has_advanced(&self) -> bool {
        !self.advanced.is_empty()
    }

    /// The vertices that are persisted and not inside the boundary.
    pub(crate) fn uncommitted(&self) -> usize {
        self.kept.len()
    }

    /// Who holds the boundary back: for each object that others wait for, the oldest version that is
    /// not persisted and how many persisted vertices wait for it.
    pub(crate) fn awaited(&self) -> impl Iterator<Item = (ObjectId, Version, usize)> + '_ {
        self.objects.iter().filter_map(|(&object, state)| {
            let (&version, waiting) = state.watchers.first_key_value()?;
            Some((object, version, waiting.len()))
        })
    }

    /// `version` of `object` is persisted. Told twice, the second time says nothing new.
    pub(crate) fn persist(
        &mut self,
        object: ObjectId,
        version: Version,
        mut dependencies: DependencySet,
    ) {
        let state = self.objects.entry(object).or_default();
        if version <= state.persisted {
            return;
        }
        // The previous version is implied.
        dependencies.insert(object, state.persisted);
        state.persisted = version;
        let vertex = PersistedVertex {
            stride: stride(dependencies.len()),
            dependencies,
            checked: 0,
            is_irregular: false,
            stage: Stage::Incomplete,
        };
        state.vertices.insert(version, vertex);
        self.kept.insert((version, object));
        self.incomplete.insert((version, object));
        let mut later = state.watchers.split_off(&version.next());
        std::mem::swap(&mut state.watchers, &mut later);
        let mut candidates: Vec<Node> = later.into_values().flatten().collect();
        candidates.push((object, version));
        candidates.retain(|&node| self.complete(node));
        if candidates.is_empty() {
            return;
        }
        self.commit_low_versions();
        self.resolve(candidates);
    }

    /// All up to these versions is inside the boundary, as the objects themselves remember.
    pub(crate) fn remember_committed(
        &mut self,
        committed: impl IntoIterator<Item = (ObjectId, Version)>,
    ) {
        let mut changed = false;
        for (object, version) in committed {
            let state = self.objects.entry(object).or_default();
            if version > state.committed {
                state.committed = version;
                self.advanced.insert(object, version);
                changed = true;
            }
        }
        if changed {
            self.rebuild();
        }
    }

    /// Removes what a decision does not keep.
    pub(crate) fn roll_back(&mut self, cut: &BTreeMap<ObjectId, Version>) {
        for (object, &keep) in cut {
            if let Some(state) = self.objects.get_mut(object) {
                assert!(
                    keep >= state.committed,
                    "rule P7: {object:?} is committed at {:?}",
                    state.committed
                );
                state.vertices.split_off(&keep.next());
                let newest = state.vertices.last_key_value().map(|(&version, _)| version);
                state.persisted = newest.unwrap_or(state.committed);
            }
        }
        self.rebuild();
    }

    /// Derives everything from the vertices again, where the cheap way does not apply.
    fn rebuild(&mut self) {
        self.kept.clear();
        self.incomplete.clear();
        self.irregular = 0;
        self.lists.clear();
        self.blockers.clear();
        let mut vertices = Vec::new();
        for (&object, state) in &mut self.objects {
            state.watchers.clear();
            let kept = std::mem::take(&mut state.vertices).split_off(&state.committed.next());
            vertices.extend(
                kept.into_iter()
                    .map(|(version, vertex)| (object, version, vertex.dependencies)),
            );
            state.persisted = state.committed;
        }
        for (object, version, dependencies) in vertices {
            self.persist(object, version, dependencies);
        }
    }

    /// Steps over the edges of `node` that lead to persisted vertices; watches the first that does
    /// not. Returns whether the node is complete.
    fn complete(&mut self, node: Node) -> bool {
        let vertex = &self.objects[&node.0].vertices[&node.1];
        let edges = vertex.dependencies.len();
        let mut checked = vertex.checked;
        let mut is_irregular = vertex.is_irregular;
        let mut missing = None;
        while checked < edges {
            let (on, at) = vertex.dependencies.nth(checked * vertex.stride % edges);
            let state = self.objects.get(&on);
            if at != Version::ZERO && state.is_none_or(|state| at > state.persisted) {
                missing = Some((on, at));
                break;
            }
            let is_known =
                |state: &ObjectState| at <= state.committed || state.vertices.contains_key(&at);
            is_irregular |= at > node.1 || state.is_some_and(|state| !is_known(state));
            checked += 1;
        }
        let vertex = self.vertex(node).expect("candidates are kept");
        vertex.checked = checked;
        let is_newly_irregular =
            is_irregular && !std::mem::replace(&mut vertex.is_irregular, is_irregular);
        if missing.is_none() {
            vertex.stage = Stage::Complete;
            self.incomplete.remove(&(node.1, node.0));
        }
        self.irregular += usize::from(is_newly_irregular);
        let Some((on, at)) = missing else {
            return true;
        };
        let watchers = &mut self.objects.entry(on).or_default().watchers;
        watchers.entry(at).or_default().push(node);
        false
    }

    /// Commits all below the lowest incomplete version: what these vertices depend on has no higher
    /// version (rule P4) and so is persisted, complete and among them.
    fn commit_low_versions(&mut self) {
        let limit = self.incomplete.first().map(|&(version, _)| version);
        while self.irregular == 0
            && let Some(&(version, object)) = self.kept.first()
            && limit.is_none_or(|limit| version < limit)
        {
            self.commit((object, version));
        }
    }

    /// Takes a vertex inside the boundary, where nothing needs to be known of it any more (rule P13).
    fn commit(&mut self, (object, version): Node) {
        let state = self
            .objects
            .get_mut(&object)
            .expect("kept vertices have an object");
        let vertex = state.vertices.remove(&version).expect("the vertex is kept");
        state.committed = state.committed.max(version);
        self.irregular -= usize::from(vertex.is_irregular);
        self.advanced.insert(object, state.committed);
        self.kept.remove(&(version, object));
    }

    /// Takes in vertices that have just become complete, some of which may be committed already.
    fn resolve(&mut self, complete: Vec<Node>) {
        if let [only] = complete[..]
            && self.stage(only).is_some()
            && let Some(blocker) = self.outside_blocker(only)
        {
            self.move_list(only, blocker);
            self.block(only, blocker);
            return;
        }
        let mut group: BTreeSet<Node> = BTreeSet::new();
        for node in complete {
            group.insert(node);
            group.extend(
                self.take_list(node)
                    .into_iter()
                    .flat_map(|list| list.members),
            );
        }
        group.retain(|&node| self.stage(node).is_some());
        self.resolve_group(group);
    }

    /// An incomplete vertex that `node` reaches through a vertex that it does not block itself.
    fn outside_blocker(&self, node: Node) -> Option<Node> {
        let own = self.blockers.get(&node);
        self.targets(node)
            .find_map(|target| match self.stage(target) {
                Some(Stage::Incomplete) => Some(target),
                Some(Stage::Blocked(list)) if Some(&list) != own => Some(self.lists[&list].blocker),
                Some(Stage::Blocked(_) | Stage::Complete) | None => None,
            })
    }

    /// Commits the largest closed part of `group` and hangs the rest below what blocks it.
    fn resolve_group(&mut self, mut group: BTreeSet<Node>) {
        let mut dependents: BTreeMap<Node, Vec<Node>> = BTreeMap::new();
        let mut stuck: Vec<(Node, Node)> = Vec::new();
        for &node in &group {
            for target in self.targets(node) {
                match self.stage(target) {
                    _ if group.contains(&target) => {
                        dependents.entry(target).or_default().push(node);
                    }
                    Some(Stage::Incomplete) => stuck.push((node, target)),
                    Some(Stage::Blocked(list)) => stuck.push((node, self.lists[&list].blocker)),
                    Some(Stage::Complete) | None => {
                        unreachable!("what is kept and being looked at is in the group")
                    }
                }
            }
        }
        while let Some((node, blocker)) = stuck.pop() {
            if group.remove(&node) {
                self.block(node, blocker);
                stuck.extend(
                    dependents
                        .remove(&node)
                        .into_iter()
                        .flatten()
                        .map(|above| (above, blocker)),
                );
            }
        }
        for node in group {
            self.commit(node);
        }
    }

    fn take_list(&mut self, blocker: Node) -> Option<BlockedList> {
        let list = self.blockers.remove(&blocker)?;
        self.lists.remove(&list)
    }

    fn block(&mut self, node: Node, blocker: Node) {
        let list = *self.blockers.entry(blocker).or_insert_with(|| {
            self.next_list.0 += 1;
            self.next_list
        });
        let members = Vec::new();
        self.lists
            .entry(list)
            .or_insert(BlockedList { blocker, members })
            .members
            .push(node);
        self.vertex(node)
            .expect("only kept vertices are blocked")
            .stage = Stage::Blocked(list);
    }

    /// Hangs what `from` blocked below `to`. Of two lists the shorter is relabelled, so that no
    /// vertex is relabelled more than a logarithmic number of times.
    fn move_list(&mut self, from: Node, to: Node) {
        let Some(moved) = self.blockers.remove(&from) else {
            return;
        };
        let kept = match self.blockers.get(&to) {
            Some(&other) if self.lists[&other].members.len() > self.lists[&moved].members.len() => {
                self.append_list(moved, other)
            }
            Some(&other) => self.append_list(other, moved),
            None => moved,
        };
        self.blockers.insert(to, kept);
        self.lists.get_mut(&kept).expect("the list is kept").blocker = to;
    }

    fn append_list(&mut self, short: ListId, long: ListId) -> ListId {
        let short = self.lists.remove(&short).expect("the list is kept");
        for &node in &short.members {
            if let Some(vertex) = self.vertex(node) {
                vertex.stage = Stage::Blocked(long);
            }
        }
        self.lists
            .get_mut(&long)
            .expect("the list is kept")
            .members
            .extend(short.members);
        long
    }

    /// The uncommitted vertices that the edges of `node`, a complete vertex, lead to.
    fn targets(&self, node: Node) -> impl Iterator<Item = Node> + '_ {
        let dependencies = &self.objects[&node.0].vertices[&node.1].dependencies;
        dependencies.iter().filter_map(|edge| self.target(edge))
    }

    /// The stage of a vertex, if it is kept.
    fn stage(&self, (object, version): Node) -> Option<Stage> {
        let vertex = self.objects.get(&object)?.vertices.get(&version)?;
        Some(vertex.stage)
    }

    /// The vertex that an edge leads to, unless it is committed: the oldest kept one that is not
    /// older than the version the edge names.
    fn target(&self, (object, version): (ObjectId, Version)) -> Option<Node> {
        let state = self.objects.get(&object)?;
        if version <= state.committed {
            return None;
        }
        let (&found, _) = state
            .vertices
            .range(version..)
            .next()
            .expect("complete vertices depend on persisted ones");
        Some((object, found))
    }

    fn vertex(&mut self, (object, version): Node) -> Option<&mut PersistedVertex> {
        self.objects.get_mut(&object)?.vertices.get_mut(&version)
    }
}

/// A step with which one comes by every position of `0..length` before one comes back, and which
/// spreads any few positions in a row over the whole: about the golden section of it.
fn stride(length: usize) -> usize {
    let golden = length * 5 / 8 + 1;
    (golden..)
        .find(|&step| gcd(step, length) == 1)
        .expect("one above the length has no common divisor")
}

fn gcd(mut a: usize, mut b: usize) -> usize {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests;
