//! Which functions may be captured while they run, and so need stops.
//!
//! A function may capture if it holds a loop, calls an import, or calls a function that may
//! capture; and if it takes part in a recursion, for that is a loop too. The others run for a
//! bounded time that the host can wait for: they, and the calls of them, stay as they were.
//!
//! An indirect call goes to any function of its type that a reference may point to: those named
//! in element segments, in the initial values of globals and by `ref.func`. If its table can
//! hold functions of the host (it is imported, or some import brings references in), the call
//! counts as a call of an import.

use std::collections::BTreeMap;

use crate::abi::Deed;
use crate::body::{Body, Callee, FrameKind, Op};
use crate::module::Module;
use crate::types::{FuncType, ValType};

/// The answer for all functions and types of a module.
pub(crate) struct CaptureGraph {
    /// By function.
    may_capture: Vec<bool>,
    /// By type: whether an indirect call of that type may.
    indirect_may_capture: Vec<bool>,
    /// Groups of nodes that reach each other by tail calls alone.
    tail_groups: Vec<u32>,
    /// Node of an indirect call, by type.
    indirect_node: Vec<u32>,
    /// By node: whether a reference points to an import of that type.
    import_is_referenced: Vec<bool>,
}

/// What the graph needs to know of one body.
#[derive(Default)]
pub(crate) struct Calls {
    has_loop: bool,
    calls: Vec<Callee>,
    tail_calls: Vec<Callee>,
    referenced: Vec<u32>,
}

impl Calls {
    pub(crate) fn of(body: &Body) -> Self {
        let mut found = Self::default();
        for inst in &body.code {
            match &inst.op {
                Op::Open(frame) => {
                    found.has_loop |= body.frame(*frame).kind == FrameKind::Loop;
                }
                Op::Call { callee, .. } => found.calls.push(*callee),
                Op::TailCall { callee, .. } => found.tail_calls.push(*callee),
                Op::Deed(Deed::RefFunc { function }) => found.referenced.push(*function),
                _ => {}
            }
        }
        found
    }
}

impl CaptureGraph {
    /// `calls`: of the defined functions, in order.
    pub(crate) fn new(module: &Module, calls: &[Calls]) -> Self {
        let functions = module.functions.len();
        let (indirect_node, nodes) = number_indirect_calls(module);
        let mut graph = Graph::new(nodes);
        let mut tail_graph = Graph::new(nodes);
        let mut seeds = vec![false; nodes];

        seeds[..module.imported.functions as usize].fill(true);
        let node = |callee: Callee| match callee {
            Callee::Function(function) => function,
            Callee::Indirect { ty, .. } => indirect_node[ty as usize],
        };
        for (defined, calls) in calls.iter().enumerate() {
            let function = module.imported.functions + defined as u32;
            seeds[function as usize] |= calls.has_loop;
            for &callee in calls.calls.iter().chain(&calls.tail_calls) {
                graph.add(function, node(callee));
                if reaches_host(module, callee) {
                    seeds[function as usize] = true;
                }
            }
            for &callee in &calls.tail_calls {
                tail_graph.add(function, node(callee));
            }
        }
        let mut referenced = module.referenced.clone();
        for &function in calls.iter().flat_map(|calls| &calls.referenced) {
            referenced[function as usize] = true;
        }
        let mut import_is_referenced = vec![false; nodes];
        for (function, _) in referenced.iter().enumerate().filter(|(_, is)| **is) {
            let target = indirect_node[module.functions[function] as usize];
            graph.add(target, function as u32);
            import_is_referenced[target as usize] |= (function as u32) < module.imported.functions;
            tail_graph.add(target, function as u32);
        }

        let groups = graph.components();
        for recursive in graph.in_cycles(&groups) {
            seeds[recursive as usize] = true;
        }
        graph.spread_to_callers(&mut seeds);
        Self {
            indirect_may_capture: indirect_node
                .iter()
                .map(|&node| seeds[node as usize])
                .collect(),
            may_capture: seeds[..functions].to_vec(),
            tail_groups: tail_graph.components(),
            indirect_node,
            import_is_referenced,
        }
    }

    pub(crate) fn may_capture(&self, function: u32) -> bool {
        self.may_capture[function as usize]
    }

    /// Whether a call of `callee` may return while a capture is under way.
    pub(crate) fn call_may_capture(&self, module: &Module, callee: Callee) -> bool {
        match callee {
            Callee::Function(function) => self.may_capture(function),
            Callee::Indirect { ty, .. } => {
                reaches_host(module, callee) || self.indirect_may_capture[ty as usize]
            }
        }
    }

    /// Whether an indirect call may enter a function of the host.
    pub(crate) fn may_be_import(&self, module: &Module, callee: Callee) -> bool {
        let may_be_referenced = match callee {
            Callee::Function(_) => false,
            Callee::Indirect { ty, .. } => {
                self.import_is_referenced[self.indirect_node[ty as usize] as usize]
            }
        };
        may_be_referenced || reaches_host(module, callee)
    }

    /// Whether a tail call may come back to its caller without any call that returns: a loop
    /// that no check after a call ever sees.
    pub(crate) fn is_tail_loop(&self, function: u32, callee: Callee) -> bool {
        let node = match callee {
            Callee::Function(callee) => callee,
            Callee::Indirect { ty, .. } => self.indirect_node[ty as usize],
        };
        self.tail_groups[function as usize] == self.tail_groups[node as usize]
    }
}

/// Gives a node after the functions' to each distinct type; equal types share one.
fn number_indirect_calls(module: &Module) -> (Vec<u32>, usize) {
    let mut by_type = BTreeMap::<&FuncType, u32>::new();
    let mut next = module.functions.len();
    let nodes = module
        .types
        .iter()
        .map(|ty| {
            *by_type.entry(ty).or_insert_with(|| {
                next += 1;
                next as u32 - 1
            })
        })
        .collect();
    (nodes, next)
}

/// Whether the table of an indirect call may hold functions from outside.
fn reaches_host(module: &Module, callee: Callee) -> bool {
    if matches!(callee, Callee::Function(_)) {
        return false;
    }
    let imports = &module.functions[..module.imported.functions as usize];
    let brings_references = |&ty: &u32| {
        module.types[ty as usize]
            .results
            .contains(&ValType::FuncRef)
    };
    module.imported.tables > 0
        || module.imported_function_reference
        || imports.iter().any(brings_references)
}

/// A directed graph over numbered nodes.
struct Graph {
    edges: Vec<Vec<u32>>,
}

impl Graph {
    fn new(nodes: usize) -> Self {
        Self {
            edges: vec![Vec::new(); nodes],
        }
    }

    fn add(&mut self, from: u32, to: u32) {
        let edges = &mut self.edges[from as usize];
        if edges.last() != Some(&to) {
            edges.push(to);
        }
    }

    /// Marks all that reach a marked node.
    fn spread_to_callers(&self, marked: &mut [bool]) {
        let mut callers = vec![Vec::new(); self.edges.len()];
        for (from, edges) in self.edges.iter().enumerate() {
            for &to in edges {
                callers[to as usize].push(from as u32);
            }
        }
        let mut work: Vec<u32> = (0..self.edges.len() as u32)
            .filter(|&node| marked[node as usize])
            .collect();
        while let Some(node) = work.pop() {
            for &caller in &callers[node as usize] {
                if !std::mem::replace(&mut marked[caller as usize], true) {
                    work.push(caller);
                }
            }
        }
    }

    /// The nodes that lie on a cycle, given the components.
    fn in_cycles(&self, groups: &[u32]) -> Vec<u32> {
        let mut sizes = vec![0_u32; self.edges.len()];
        for &group in groups {
            sizes[group as usize] += 1;
        }
        (0..self.edges.len() as u32)
            .filter(|&node| {
                let group = groups[node as usize] as usize;
                sizes[group] > 1 || self.edges[node as usize].contains(&node)
            })
            .collect()
    }

    /// The strongly connected component of each node (Tarjan's algorithm, without recursion).
    fn components(&self) -> Vec<u32> {
        const NEW: u32 = u32::MAX;
        let nodes = self.edges.len();
        let mut order = vec![NEW; nodes];
        let mut low = vec![0_u32; nodes];
        let mut group = vec![NEW; nodes];
        let (mut next_order, mut next_group) = (0, 0);
        let mut on_path = Vec::new();
        let mut work: Vec<(u32, usize)> = Vec::new();
        for root in 0..nodes as u32 {
            if order[root as usize] != NEW {
                continue;
            }
            work.push((root, 0));
            while let Some((node, edge)) = work.pop() {
                let at = node as usize;
                if edge == 0 {
                    order[at] = next_order;
                    low[at] = next_order;
                    next_order += 1;
                    on_path.push(node);
                }
                if let Some(&to) = self.edges[at].get(edge) {
                    work.push((node, edge + 1));
                    let target = to as usize;
                    if order[target] == NEW {
                        work.push((to, 0));
                    } else if group[target] == NEW {
                        low[at] = low[at].min(order[target]);
                    }
                    continue;
                }
                if low[at] == order[at] {
                    while let Some(member) = on_path.pop() {
                        group[member as usize] = next_group;
                        if member == node {
                            break;
                        }
                    }
                    next_group += 1;
                }
                if let Some(&(parent, _)) = work.last() {
                    let parent = parent as usize;
                    low[parent] = low[parent].min(low[at]);
                }
            }
        }
        group
    }
}
