//! What really happened, as nobody inside the system can know it: every version that ever had content,
//! what it truly depends on, whether it is durable, and whether it is lost.
//!
//! It is recorded from what guests do (payloads carry the vertex that sent them), not from the
//! protocol's own bookkeeping, so that it can judge that.

use std::collections::{BTreeMap, BTreeSet};

use leap_core::{Decision, Incarnation, ObjectId, Version, WorldLine, decision::Cause};

/// Names a vertex for the whole run; unlike a version number it is never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct VertexId(pub(crate) u32);

impl VertexId {
    fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Clone, Debug)]
pub(crate) struct TrueVertex {
    pub(crate) object: ObjectId,
    pub(crate) incarnation: Incarnation,
    pub(crate) version: Version,
    /// World-line in which it was opened.
    pub(crate) world_line: WorldLine,
    /// The version of the same object that it continues.
    pub(crate) previous: Option<VertexId>,
    /// What was consumed in it.
    pub(crate) edges: Vec<VertexId>,
    /// Storage holds it.
    pub(crate) durable: bool,
    /// It will never be part of the object again: a crash destroyed it or a decision removed it.
    pub(crate) lost: bool,
    /// The decision that removed it, or that removed what it grew from.
    pub(crate) removed_by: Option<WorldLine>,
    /// What others have seen of it counts as committed, whatever it depends on: see [`Truth::trust`].
    pub(crate) is_trusted: bool,
    /// The protocol has called it committed, or something that depends on it.
    pub(crate) committed: bool,
    /// Something that depends on it was released to the outside world.
    pub(crate) released: bool,
}

impl TrueVertex {
    /// Whether nobody needs to depend on it any more.
    pub(crate) fn is_settled(&self) -> bool {
        self.committed || self.is_trusted
    }
}

/// What became of an object that was removed and is not back.
#[derive(Clone, Debug, Default)]
struct Removal {
    /// The boundary at that moment.
    boundary: BTreeMap<ObjectId, Version>,
    /// Who was removed with it by a coordinator that did not know the boundary.
    unknown: BTreeSet<ObjectId>,
}

/// The true dependency graph.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    vertices: Vec<TrueVertex>,
    /// Objects that were removed and are not back.
    removed: BTreeMap<ObjectId, Removal>,
}

impl std::ops::Index<VertexId> for Truth {
    type Output = TrueVertex;

    fn index(&self, vertex: VertexId) -> &TrueVertex {
        &self.vertices[vertex.index()]
    }
}

/// Recording.
impl Truth {
    /// A version gets its first content. A fenced incarnation's work is lost from the start.
    pub(crate) fn open(
        &mut self,
        object: ObjectId,
        incarnation: Incarnation,
        version: Version,
        world_line: WorldLine,
        previous: Option<VertexId>,
        fenced: bool,
    ) -> VertexId {
        let removed_by = previous.and_then(|previous| self[previous].removed_by);
        let grows_from_lost = previous.is_some_and(|previous| self[previous].lost);
        self.vertices.push(TrueVertex {
            object,
            incarnation,
            version,
            world_line,
            previous,
            edges: Vec::new(),
            durable: false,
            lost: fenced || grows_from_lost,
            removed_by,
            is_trusted: false,
            committed: false,
            released: false,
        });
        VertexId(u32::try_from(self.vertices.len() - 1).expect("runs are short"))
    }

    /// `consumer` depends on `on` from now on.
    pub(crate) fn depend(&mut self, consumer: VertexId, on: &[VertexId]) {
        let edges = &mut self.vertices[consumer.index()].edges;
        for &vertex in on {
            if vertex != consumer && !edges.contains(&vertex) {
                edges.push(vertex);
            }
        }
    }

    pub(crate) fn set_durable(&mut self, vertex: VertexId, durable: bool) {
        self.vertices[vertex.index()].durable = durable;
    }

    /// `vertices` were called committed, which says the same of their past.
    pub(crate) fn commit(&mut self, vertices: &[VertexId]) {
        for vertex in self.past(vertices, |vertex| !vertex.committed) {
            self.vertices[vertex.index()].committed = true;
        }
    }

    /// Something that depends on `vertices` was released.
    pub(crate) fn release(&mut self, vertices: &[VertexId]) {
        for vertex in self.past(vertices, |vertex| !vertex.released) {
            self.vertices[vertex.index()].released = true;
        }
    }

    /// Returns whether that is news.
    pub(crate) fn lose(&mut self, vertex: VertexId) -> bool {
        !std::mem::replace(&mut self.vertices[vertex.index()].lost, true)
    }

    /// What a decision removes, and what the failed object's older lives had lost before it. Returns
    /// what is newly lost.
    pub(crate) fn remove(
        &mut self,
        decision: &Decision,
        boundary: &BTreeMap<ObjectId, Version>,
        blindly: bool,
    ) -> Vec<VertexId> {
        if let Cause::Removed(objects) = &decision.cause {
            let removal = Removal {
                boundary: boundary.clone(),
                unknown: match blindly {
                    true => objects.clone(),
                    false => BTreeSet::new(),
                },
            };
            let removed = objects.iter().map(|&object| (object, removal.clone()));
            self.removed.extend(removed);
        }
        let mut lost = Vec::new();
        for (index, vertex) in self.vertices.iter_mut().enumerate() {
            // What a removed object has survives if it was inside the boundary: that shows when it is back.
            let is_cut = !vertex.lost
                && decision.removes(vertex.object, vertex.version)
                && !decision.is_removal_of(vertex.object);
            let died_with_failed = vertex.lost
                && match &decision.cause {
                    &Cause::Failed { object, successor } => {
                        vertex.object == object && successor.supersedes(vertex.incarnation)
                    }
                    Cause::Removed(objects) => objects.contains(&vertex.object),
                };
            if (is_cut || died_with_failed) && vertex.removed_by.is_none() && !vertex.is_trusted {
                vertex.removed_by = Some(decision.world_line);
            }
            if is_cut {
                vertex.lost = true;
                lost.push(VertexId(u32::try_from(index).expect("runs are short")));
            }
        }
        lost
    }
}

impl Truth {
    /// A decision removes objects without knowing what they had inside the boundary. Then whatever others have that may
    /// be inside stays, and what that has seen of the removed is trusted from here on: it need not be durable, nor
    /// what it depends on in turn.
    pub(crate) fn trust(&mut self, decision: &Decision, boundary: &BTreeMap<ObjectId, Version>) {
        let is_inside = |vertex: &TrueVertex| {
            let told = boundary.get(&vertex.object).copied().unwrap_or_default();
            vertex.version <= told
        };
        let is_known = |vertex: &TrueVertex| vertex.durable && !vertex.lost && is_inside(vertex);
        let kept = self.all().filter(|(_, vertex)| {
            decision.is_removal_of(vertex.object)
                && !decision.removes(vertex.object, vertex.version)
                && vertex.removed_by.is_none()
        });
        let trusted: Vec<_> = kept
            .map(|(id, _)| id)
            .filter(|&id| {
                let is_clear = |vertex: &TrueVertex| vertex.committed && is_known(vertex);
                let past = self.past(&[id], |vertex| !is_clear(vertex));
                past.into_iter().any(|vertex| !is_known(&self[vertex]))
            })
            .collect();
        for vertex in trusted {
            self.vertices[vertex.index()].is_trusted = true;
        }
    }

    /// Whether an object that was removed has no part in the cluster any more: it lacks what others have seen of it, or
    /// it has what rests on others that were removed with it, and nobody can say whether they had that.
    pub(crate) fn is_beyond_return(&self, object: ObjectId) -> bool {
        let Some(removal) = self.removed.get(&object) else {
            return false;
        };
        let is_outside = |target: &TrueVertex| {
            let told = removal.boundary.get(&target.object);
            removal.unknown.contains(&target.object)
                && target.version > told.copied().unwrap_or_default()
        };
        let mut own = self.all().filter(|(_, vertex)| vertex.object == object);
        own.any(|(_, vertex)| {
            let in_doubt = || vertex.edges.iter().any(|&target| is_outside(&self[target]));
            vertex.is_trusted || vertex.durable && !vertex.lost && in_doubt()
        })
    }

    /// Whether this version of an object counts as committed on trust.
    pub(crate) fn is_trusted(&self, object: ObjectId, version: Version) -> bool {
        self.all().any(|(_, vertex)| {
            vertex.is_trusted && vertex.object == object && vertex.version == version
        })
    }

    /// An object joins with what it has up to `keep`. If it had been removed, the rest is lost now: returns it.
    pub(crate) fn come_back(&mut self, object: ObjectId, keep: Version) -> Vec<VertexId> {
        if self.removed.remove(&object).is_none() {
            return Vec::new();
        }
        let own = self.all().filter(|(_, vertex)| vertex.object == object);
        let beyond = own.filter(|(_, vertex)| vertex.version > keep);
        beyond.map(|(id, _)| id).collect()
    }

    /// Whether an object was removed and is not back: nobody cares what its storage holds.
    pub(crate) fn is_removed(&self, object: ObjectId) -> bool {
        self.removed.contains_key(&object)
    }
}

/// Judging.
impl Truth {
    pub(crate) fn all(&self) -> impl Iterator<Item = (VertexId, &TrueVertex)> {
        self.vertices.iter().enumerate().map(|(index, vertex)| {
            (
                VertexId(u32::try_from(index).expect("runs are short")),
                vertex,
            )
        })
    }

    /// The causal past of `vertices`, themselves included, as far as `enter` lets the search go. What is trusted has
    /// none.
    fn past(&self, vertices: &[VertexId], enter: impl Fn(&TrueVertex) -> bool) -> Vec<VertexId> {
        let mut seen = BTreeSet::new();
        let mut stack = vertices.to_vec();
        while let Some(vertex) = stack.pop() {
            let known = &self[vertex];
            if !known.is_trusted && enter(known) && seen.insert(vertex) {
                stack.extend(known.edges.iter().copied().chain(known.previous));
            }
        }
        seen.into_iter().collect()
    }

    /// A vertex in the past of `vertices` that is not durable, or lost: what keeps them outside of the
    /// boundary.
    pub(crate) fn outside(&self, vertices: &[VertexId]) -> Option<VertexId> {
        // The past of what is committed was looked at when that was claimed.
        let past = self.past(vertices, |vertex| !vertex.committed || vertex.lost);
        past.into_iter()
            .find(|&vertex| self[vertex].lost || !self[vertex].durable)
    }

    /// For every vertex, whether it is `bad` or depends on one that is, over paths whose inner
    /// vertices `conduct`.
    pub(crate) fn tainted(
        &self,
        bad: impl Fn(VertexId, &TrueVertex) -> bool,
        conduct: impl Fn(&TrueVertex) -> bool,
    ) -> Vec<bool> {
        let mut dependents = vec![Vec::new(); self.vertices.len()];
        for (vertex, known) in self.all() {
            for on in known.edges.iter().copied().chain(known.previous) {
                dependents[on.index()].push(vertex);
            }
        }
        let mut tainted = vec![false; self.vertices.len()];
        let mut stack: Vec<_> = self
            .all()
            .filter(|&(id, vertex)| bad(id, vertex))
            .map(|(vertex, _)| vertex)
            .collect();
        while let Some(vertex) = stack.pop() {
            if self[vertex].is_trusted || std::mem::replace(&mut tainted[vertex.index()], true) {
                continue;
            }
            if bad(vertex, &self[vertex]) || conduct(&self[vertex]) {
                stack.extend(&dependents[vertex.index()]);
            }
        }
        tainted
    }

    /// Those of certain vertices that are not inside the boundary.
    pub(crate) fn not_closed(&self, certain: impl Fn(&TrueVertex) -> bool) -> BTreeSet<VertexId> {
        let certain = self.all().filter(|(_, vertex)| certain(vertex));
        let ids = certain.map(|(id, _)| id);
        ids.filter(|&id| self.outside(&[id]).is_some()).collect()
    }

    /// The largest closed set of persisted vertices, as the newest version per object.
    pub(crate) fn boundary(&self) -> BTreeMap<ObjectId, Version> {
        let outside = self.tainted(|_, vertex| !vertex.durable || vertex.lost, |_| true);
        let mut boundary = BTreeMap::new();
        for (id, vertex) in self.all() {
            if !outside[id.index()] {
                let version = boundary.entry(vertex.object).or_default();
                *version = vertex.version.max(*version);
            }
        }
        boundary
    }

    pub(crate) fn is_tainted(tainted: &[bool], vertex: VertexId) -> bool {
        tainted[vertex.index()]
    }

    /// The durable vertex that is `version` of `object`.
    pub(crate) fn durable(&self, object: ObjectId, version: Version) -> Option<VertexId> {
        self.all()
            .find(|(_, vertex)| {
                vertex.object == object
                    && vertex.version == version
                    && vertex.durable
                    && !vertex.lost
            })
            .map(|(id, _)| id)
    }
}
