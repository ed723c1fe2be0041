//! The coordinator's dependency graph above the boundary, and the boundary itself (rule P7).
//!
//! The boundary is the largest closed set of persisted vertices. It is kept incrementally, at a cost
//! proportional to the edges of what changes:
//!
//! 1. A persisted vertex is *incomplete* while it depends on vertices that are not persisted. It counts them,
//!    and each of them names it in a list; so every submission pays for its own edges, and whatever it
//!    completes costs one decrement per edge.
//! 2. All below the lowest version of an incomplete vertex is closed, because no edge leads to a higher
//!    version (rule P4): it is committed without looking at any edge. This is the usual case.
//! 3. Above it: a complete vertex is *blocked* by an incomplete one that it can reach. All complete vertices
//!    with one blocker form a list and are looked at again only when that blocker becomes complete.
//! 4. What becomes complete, together with what it blocked, forms a group. From the group is taken, to
//!    a fixpoint, all that depends on something outside that is not committed; what remains is closed
//!    and persisted: it is the boundary's advance. If a single vertex became complete and depends on
//!    something outside, then so does all that it blocked, and the list just gets another blocker.
//!
//! Objects have dense numbers here ([`Slot`]); a vertex keeps its edges in one allocation, with the targets already looked up.
//!
//! # Invariants
//!
//! - Per object: `committed <= persisted`; the vertices kept are exactly those persisted above `committed`.
//! - Every vertex kept is either incomplete, and counts as many awaited vertices as name it, or complete
//!   and in exactly one list. Lists may still name vertices that were committed meanwhile.
//! - `layers` has every version of which a vertex is kept, with the numbers of these and of the incomplete ones.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    header::DependencySet,
    id::{ObjectId, Version},
};

/// An object's position in the graph.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct Slot(u32);

impl Slot {
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// A vertex within the current world-line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct Node {
    slot: Slot,
    version: Version,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct ObjectState {
    object: ObjectId,
    committed: Version,
    persisted: Version,
    /// Persisted above `committed`, oldest first.
    vertices: VecDeque<PersistedVertex>,
    /// Vertices that wait until this object has persisted at least the key.
    waiting: BTreeMap<Version, Vec<Node>>,
    /// Whether `advanced` names it.
    has_advanced: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct PersistedVertex {
    version: Version,
    /// What it depends on and was not committed when it came, the object's previous version included.
    edges: Box<[Node]>,
    /// It has an edge that breaks rule P4, or that names no version of its object: only a peer that
    /// does not obey the protocol makes such edges.
    is_irregular: bool,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Stage {
    /// So many of its edges lead to what is not persisted.
    Incomplete { missing: u32 },
    /// All it depends on is persisted; it is being looked at, at this position of a group.
    Complete { position: u32 },
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

/// The vertices kept that have one version number.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct Layer {
    /// Their objects, and those of others that were committed meanwhile.
    slots: Vec<Slot>,
    kept: usize,
    incomplete: usize,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Graph {
    objects: Vec<ObjectState>,
    /// Where each object is, in order of object.
    slots: Vec<(ObjectId, Slot)>,
    layers: BTreeMap<Version, Layer>,
    /// How many vertices are kept.
    kept: usize,
    /// How many of those are irregular; as long as there are any, versions say nothing.
    irregular: usize,
    lists: BTreeMap<ListId, BlockedList>,
    /// The list of each vertex that blocks any.
    blockers: BTreeMap<Node, ListId>,
    next_list: ListId,
    /// Where the boundary advanced since it was last asked for.
    advanced: Vec<Slot>,
}

/// Asking it.
impl Graph {
    pub(crate) fn boundary(&self) -> BTreeMap<ObjectId, Version> {
        self.objects
            .iter()
            .map(|state| (state.object, state.committed))
            .collect()
    }

    pub(crate) fn committed(&self, object: ObjectId) -> Version {
        self.position(0, object)
            .map_or(Version::ZERO, |at| self.state(self.slots[at].1).committed)
    }

    /// The boundary's advance since the last call.
    pub(crate) fn take_advanced(&mut self) -> BTreeMap<ObjectId, Version> {
        let advanced = std::mem::take(&mut self.advanced);
        advanced
            .into_iter()
            .map(|slot| {
                let state = self.state_mut(slot);
                state.has_advanced = false;
                (state.object, state.committed)
            })
            .collect()
    }

    /// Tells the whole boundary as news.
    pub(crate) fn tell_all(&mut self) {
        for (index, state) in (0..).zip(&mut self.objects) {
            if !std::mem::replace(&mut state.has_advanced, true) {
                self.advanced.push(Slot(index));
            }
        }
    }

    pub(crate) fn has_advanced(&self) -> bool {
        !self.advanced.is_empty()
    }

    /// The vertices that are persisted and not inside the boundary.
    pub(crate) fn uncommitted(&self) -> usize {
        self.kept
    }

    /// Who holds the boundary back: for each object that others wait for, the oldest version that is
    /// not persisted and how many persisted vertices wait for it.
    pub(crate) fn awaited(&self) -> impl Iterator<Item = (ObjectId, Version, usize)> + '_ {
        self.slots.iter().filter_map(|&(object, slot)| {
            let (&version, waiting) = self.state(slot).waiting.first_key_value()?;
            Some((object, version, waiting.len()))
        })
    }
}

/// What changes it.
impl Graph {
    /// `version` of `object` is persisted. Told twice, the second time says nothing new.
    pub(crate) fn persist(
        &mut self,
        object: ObjectId,
        version: Version,
        dependencies: &DependencySet,
    ) {
        let slot = self.slot(object);
        let previous = self.state(slot).persisted;
        if version <= previous {
            return;
        }
        let mut edges = Vec::with_capacity(dependencies.len() + 1);
        let mut from = 0;
        for (target, at) in dependencies.iter() {
            let (position, slot) = self.find_or_insert(from, target);
            from = position + 1;
            edges.push(Node { slot, version: at });
        }
        // The previous version is implied.
        edges.push(Node {
            slot,
            version: previous,
        });
        self.add(Node { slot, version }, edges);
    }

    /// All up to these versions is inside the boundary, as the objects themselves remember.
    pub(crate) fn remember_committed(
        &mut self,
        committed: impl IntoIterator<Item = (ObjectId, Version)>,
    ) {
        let mut changed = false;
        for (object, version) in committed {
            let slot = self.slot(object);
            if version > self.state(slot).committed {
                self.advance(slot, version);
                changed = true;
            }
        }
        if changed {
            self.rebuild();
        }
    }

    /// Removes what a decision does not keep.
    pub(crate) fn roll_back(&mut self, cut: &BTreeMap<ObjectId, Version>) {
        for (&object, &keep) in cut {
            let slot = self.slot(object);
            let state = self.state_mut(slot);
            assert!(
                keep >= state.committed,
                "rule P7: {object:?} is committed at {:?}",
                state.committed
            );
            state.vertices.retain(|vertex| vertex.version <= keep);
        }
        self.rebuild();
    }

    /// Derives everything from the vertices again, where the cheap way does not apply.
    fn rebuild(&mut self) {
        self.layers.clear();
        self.kept = 0;
        self.irregular = 0;
        self.lists.clear();
        self.blockers.clear();
        let mut vertices = Vec::new();
        for (index, state) in (0..).zip(&mut self.objects) {
            let slot = Slot(index);
            let kept = std::mem::take(&mut state.vertices).into_iter();
            let kept = kept.filter(|vertex| vertex.version > state.committed);
            vertices.extend(kept.map(|vertex| (slot, vertex.version, vertex.edges)));
            state.waiting.clear();
            state.persisted = state.committed;
        }
        for (slot, version, edges) in vertices {
            self.add(Node { slot, version }, edges.into_vec());
        }
    }
}

/// Rule 1: what is complete.
impl Graph {
    /// A vertex is persisted, the next one of its object.
    fn add(&mut self, node: Node, mut edges: Vec<Node>) {
        self.state_mut(node.slot).persisted = node.version;
        edges.retain(|edge| edge.version > self.state(edge.slot).committed);
        let (missing, is_irregular) = self.wait_for(node, &edges);
        self.irregular += usize::from(is_irregular);
        self.kept += 1;
        let layer = self.layers.entry(node.version).or_default();
        layer.slots.push(node.slot);
        layer.kept += 1;
        layer.incomplete += 1;
        self.state_mut(node.slot)
            .vertices
            .push_back(PersistedVertex {
                version: node.version,
                edges: edges.into_boxed_slice(),
                is_irregular,
                stage: Stage::Incomplete { missing },
            });
        let complete = self.complete(node);
        if !complete.is_empty() {
            self.commit_low_versions();
            self.resolve(complete);
        }
    }

    /// Enters a vertex into the lists of all that it has to wait for; answers how many these are, and
    /// whether any of its edges is irregular as far as can be seen now.
    fn wait_for(&mut self, node: Node, edges: &[Node]) -> (u32, bool) {
        let mut missing = 0;
        let mut is_irregular = false;
        for &edge in edges {
            is_irregular |= edge.version > node.version;
            let state = self.state_mut(edge.slot);
            if edge.version > state.persisted {
                missing += 1;
                state.waiting.entry(edge.version).or_default().push(node);
            } else if edge != node {
                is_irregular |= state.index_of(edge.version).is_err();
            }
        }
        (missing, is_irregular)
    }

    /// The vertices that `node`, just persisted, makes complete: itself perhaps, and those that waited for
    /// nothing else.
    fn complete(&mut self, node: Node) -> Vec<Node> {
        let mut complete = Vec::new();
        if self.stage(node) == Some(Stage::Incomplete { missing: 0 }) {
            complete.push(node);
        }
        let state = self.state_mut(node.slot);
        let later = state.waiting.split_off(&node.version.next());
        for (version, waiting) in std::mem::replace(&mut state.waiting, later) {
            for waits in waiting {
                if self.arrived(waits, version != node.version) {
                    complete.push(waits);
                }
            }
        }
        for &node in &complete {
            self.set_stage(node, Stage::Complete { position: 0 });
            let layer = self.layers.get_mut(&node.version);
            layer.expect("what is kept has a layer").incomplete -= 1;
        }
        complete
    }

    /// Something that `node` waited for is persisted; if only a later version of it is, the edge is irregular.
    /// Returns whether nothing else is missing.
    fn arrived(&mut self, node: Node, is_irregular: bool) -> bool {
        let vertex = self.vertex_mut(node).expect("whoever waits is kept");
        let is_news = is_irregular && !std::mem::replace(&mut vertex.is_irregular, true);
        let Stage::Incomplete { missing } = &mut vertex.stage else {
            unreachable!("{node:?} is complete and waits");
        };
        *missing -= 1;
        let is_complete = *missing == 0;
        self.irregular += usize::from(is_news);
        is_complete
    }
}

/// Rule 2: what is below all that is incomplete.
impl Graph {
    /// Commits all below the lowest incomplete version: what these vertices depend on has no higher
    /// version (rule P4) and so is persisted, complete and among them.
    fn commit_low_versions(&mut self) {
        while self.irregular == 0
            && let Some(layer) = self.layers.first_entry()
            && layer.get().incomplete == 0
        {
            let version = *layer.key();
            for slot in layer.remove().slots {
                // Others of the layer may have been committed before it.
                if self.state(slot).committed < version {
                    self.commit(Node { slot, version });
                }
            }
        }
    }

    /// Takes a vertex inside the boundary, where nothing needs to be known of it any more (rule P13).
    fn commit(&mut self, node: Node) {
        let vertex = self.state_mut(node.slot).vertices.pop_front();
        let vertex = vertex.expect("the vertex is kept");
        assert_eq!(vertex.version, node.version, "versions are a chain");
        self.irregular -= usize::from(vertex.is_irregular);
        self.kept -= 1;
        if let Some(layer) = self.layers.get_mut(&node.version) {
            layer.kept -= 1;
            if layer.kept == 0 {
                self.layers.remove(&node.version);
            }
        }
        self.advance(node.slot, node.version);
    }

    fn advance(&mut self, slot: Slot, committed: Version) {
        let state = self.state_mut(slot);
        state.committed = committed;
        if !std::mem::replace(&mut state.has_advanced, true) {
            self.advanced.push(slot);
        }
    }
}

/// Rules 3 and 4: what is complete above it.
impl Graph {
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
        let mut group = Vec::new();
        for node in complete {
            group.push(node);
            let list = self.take_list(node);
            group.extend(list.into_iter().flat_map(|list| list.members));
        }
        group.retain(|&node| self.stage(node).is_some());
        group.sort_unstable();
        group.dedup();
        self.resolve_group(&group);
    }

    /// An incomplete vertex that `node` reaches through a vertex that it does not block itself.
    fn outside_blocker(&self, node: Node) -> Option<Node> {
        let own = self.blockers.get(&node);
        self.targets(node).find_map(|(target, stage)| match stage {
            Stage::Incomplete { .. } => Some(target),
            Stage::Blocked(list) if Some(&list) != own => Some(self.lists[&list].blocker),
            Stage::Blocked(_) | Stage::Complete { .. } => None,
        })
    }

    /// Commits the largest closed part of `group`, which is in order, and hangs the rest below what blocks it.
    fn resolve_group(&mut self, group: &[Node]) {
        for (position, &node) in (0..).zip(group) {
            self.set_stage(node, Stage::Complete { position });
        }
        let mut is_stuck = vec![false; group.len()];
        let mut stuck = self.stuck(group);
        if !stuck.is_empty() {
            let dependents = self.dependents(group);
            while let Some((position, blocker)) = stuck.pop() {
                if !std::mem::replace(&mut is_stuck[position as usize], true) {
                    self.block(group[position as usize], blocker);
                    let above = dependents[position as usize].iter();
                    stuck.extend(above.map(|&above| (above, blocker)));
                }
            }
        }
        for (&node, is_stuck) in group.iter().zip(is_stuck) {
            if !is_stuck {
                self.commit(node);
            }
        }
    }

    /// The positions of those in `group` that depend on something outside, each with what blocks it.
    fn stuck(&self, group: &[Node]) -> Vec<(u32, Node)> {
        let mut stuck = Vec::new();
        for (position, &node) in (0..).zip(group) {
            let blocker = self.targets(node).find_map(|(target, stage)| match stage {
                Stage::Complete { .. } => None,
                Stage::Incomplete { .. } => Some(target),
                Stage::Blocked(list) => Some(self.lists[&list].blocker),
            });
            stuck.extend(blocker.map(|blocker| (position, blocker)));
        }
        stuck
    }

    /// For each vertex of `group` the positions of those in the group that depend on it.
    fn dependents(&self, group: &[Node]) -> Vec<Vec<u32>> {
        let mut dependents = vec![Vec::new(); group.len()];
        for (above, &node) in (0..).zip(group) {
            for (_, stage) in self.targets(node) {
                if let Stage::Complete { position } = stage {
                    dependents[position as usize].push(above);
                }
            }
        }
        dependents
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
        self.set_stage(node, Stage::Blocked(list));
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
            if let Some(vertex) = self.vertex_mut(node) {
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
    fn targets(&self, node: Node) -> impl Iterator<Item = (Node, Stage)> + '_ {
        let vertex = self.vertex(node).expect("what is complete is kept");
        vertex.edges.iter().filter_map(|&edge| self.target(edge))
    }

    /// The vertex that an edge leads to, unless it is committed: the oldest kept one that is not
    /// older than the version the edge names.
    fn target(&self, edge: Node) -> Option<(Node, Stage)> {
        let state = self.state(edge.slot);
        if edge.version <= state.committed {
            return None;
        }
        let (Ok(index) | Err(index)) = state.index_of(edge.version);
        let found = &state.vertices[index];
        let version = found.version;
        Some((Node { version, ..edge }, found.stage))
    }
}

/// Finding things.
impl Graph {
    fn state(&self, slot: Slot) -> &ObjectState {
        &self.objects[slot.index()]
    }

    fn state_mut(&mut self, slot: Slot) -> &mut ObjectState {
        &mut self.objects[slot.index()]
    }

    fn vertex(&self, node: Node) -> Option<&PersistedVertex> {
        let state = self.state(node.slot);
        Some(&state.vertices[state.index_of(node.version).ok()?])
    }

    fn vertex_mut(&mut self, node: Node) -> Option<&mut PersistedVertex> {
        let state = self.state_mut(node.slot);
        let index = state.index_of(node.version).ok()?;
        Some(&mut state.vertices[index])
    }

    /// The stage of a vertex, if it is kept.
    fn stage(&self, node: Node) -> Option<Stage> {
        self.vertex(node).map(|vertex| vertex.stage)
    }

    fn set_stage(&mut self, node: Node, stage: Stage) {
        self.vertex_mut(node).expect("the vertex is kept").stage = stage;
    }

    fn slot(&mut self, object: ObjectId) -> Slot {
        self.find_or_insert(0, object).1
    }

    /// The position in `slots` of an object that is not before position `from`, and its slot. Finds it
    /// at once if it is the very next one.
    fn find_or_insert(&mut self, from: usize, object: ObjectId) -> (usize, Slot) {
        match self.position(from, object) {
            Ok(position) => (position, self.slots[position].1),
            Err(position) => {
                let slot = u32::try_from(self.objects.len()).map(Slot);
                let slot = slot.expect("a cluster has fewer than 2^32 objects");
                self.objects.push(ObjectState::new(object));
                self.slots.insert(position, (object, slot));
                (position, slot)
            }
        }
    }

    /// Where in `slots`, from position `from` on, `object` is or would be. The nearer it is, the faster:
    /// the dependencies of a vertex come in order.
    fn position(&self, from: usize, object: ObjectId) -> Result<usize, usize> {
        let rest = &self.slots[from..];
        let mut reach = 1;
        while rest
            .get(reach - 1)
            .is_some_and(|&(other, _)| other < object)
        {
            reach *= 2;
        }
        let near = &rest[reach / 2..rest.len().min(reach)];
        near.binary_search_by_key(&object, |&(other, _)| other)
            .map(|found| from + reach / 2 + found)
            .map_err(|place| from + reach / 2 + place)
    }
}

impl ObjectState {
    fn new(object: ObjectId) -> Self {
        Self {
            object,
            committed: Version::ZERO,
            persisted: Version::ZERO,
            vertices: VecDeque::new(),
            waiting: BTreeMap::new(),
            has_advanced: false,
        }
    }

    /// Where among its vertices `version` is, or would be.
    fn index_of(&self, version: Version) -> Result<usize, usize> {
        self.vertices
            .binary_search_by_key(&version, |vertex| vertex.version)
    }
}

#[cfg(test)]
mod tests;
