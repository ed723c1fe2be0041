//! What each crate must not know, as far as its dependencies show it.
//!
//! [`ROOMS`] is the one place where this is written down for the machine; ARCHITECTURE.md says
//! it to the reader. Every crate of the workspace has a line, so a new crate starts with a
//! decision. A dependency for tests only is nobody's business.

use crate::metadata::Graph;

/// One crate and the limits of its knowledge.
pub(crate) struct Room {
    name: &'static str,
    /// When given: all the crates that it may name in its own `Cargo.toml`.
    names_only: Option<&'static [&'static str]>,
    /// Crates that it must not name in its own `Cargo.toml`; reaching them through others is fine.
    never_names: &'static [&'static str],
    /// Crates that it must not reach, not even through others.
    never_reaches: &'static [&'static str],
    /// Why: the reader of a failed check wants to know.
    because: &'static str,
}

const UNLIMITED: Room = Room {
    name: "",
    names_only: None,
    never_names: &[],
    never_reaches: &[],
    because: "it may know everything",
};

/// Only these name the engine for guests: one runs guests on it, the other compares with it alone.
const NAME_WASMTIME: [&str; 2] = ["leap-vm", "bench"];

pub(crate) const ROOMS: &[Room] = &[
    Room {
        name: "leap-core",
        names_only: Some(&["bytes", "postcard", "serde", "smallvec", "thiserror"]),
        never_reaches: &["tokio", "rand", "getrandom"],
        because: "the protocol knows no async, clock, randomness, file, socket or Wasm",
        ..UNLIMITED
    },
    Room {
        name: "leap-sim",
        never_reaches: &["tokio", "mio", "socket2", "leap-store", "leap", "wasmtime"],
        because: "a simulated run knows no tokio and no real I/O",
        ..UNLIMITED
    },
    Room {
        name: "leap-store",
        never_reaches: &["leap-core", "leap", "wasmtime"],
        because: "storage keeps bytes and does not know the protocol",
        ..UNLIMITED
    },
    Room {
        name: "leap-macros",
        never_reaches: &["leap-core", "leap-store", "leap", "tokio"],
        because: "macros only rewrite syntax",
        ..UNLIMITED
    },
    Room {
        name: "leap",
        never_reaches: &[
            "wasmtime",
            "wasmparser",
            "wasm-encoder",
            "leap-instrument",
            "leap-vm",
            "leap-node",
        ],
        because: "a Rust service compiles without any of Wasm",
        ..UNLIMITED
    },
    Room {
        name: "leap-services",
        never_reaches: &["wasmtime", "leap-vm", "leap-node"],
        because: "the services are users of `leap`, as anybody's service is",
        ..UNLIMITED
    },
    Room {
        name: "leap-instrument",
        never_reaches: &["wasmtime", "leap-core", "leap-store", "leap", "tokio"],
        because: "bus stops are a matter of Wasm alone, of no engine",
        ..UNLIMITED
    },
    Room {
        name: "leap-memory",
        never_reaches: &[
            "wasmtime",
            "wasmparser",
            "leap-core",
            "leap-store",
            "leap",
            "tokio",
        ],
        because: "pages are pages: it knows neither Wasm nor storage",
        ..UNLIMITED
    },
    Room {
        name: "leap-vm",
        never_reaches: &["leap-core", "leap-store", "leap", "leap-node", "tokio"],
        because: "a process knows no network and no protocol",
        ..UNLIMITED
    },
    Room {
        name: "leap-node",
        never_names: &["leap-instrument", "wasmparser", "wasm-encoder"],
        because: "the node does not know how guests are instrumented",
        ..UNLIMITED
    },
    Room {
        name: "leap-cli",
        never_names: &[
            "leap-core",
            "leap-store",
            "leap-instrument",
            "leap-memory",
            "wasmparser",
        ],
        because: "the command knows the API, how to embed a node and how to run a program",
        ..UNLIMITED
    },
    Room {
        name: "travel",
        never_reaches: &["leap-node", "wasmtime"],
        because: "it is an example of a user's application",
        ..UNLIMITED
    },
    Room {
        name: "guests",
        never_reaches: &["wasmtime", "wasmparser", "leap-core", "leap-vm", "tokio"],
        because: "the suite does not know who runs it, so that anybody's tests may",
        ..UNLIMITED
    },
    Room {
        name: "bench",
        ..UNLIMITED
    },
    Room {
        name: "xtask",
        never_reaches: &["leap-core", "leap-store", "leap", "tokio"],
        because: "it must build quickly, and also when the rest does not",
        ..UNLIMITED
    },
];

/// Where `graph` breaks the limits of `rooms`: one line per finding, nothing when all is well.
pub(crate) fn findings(graph: &Graph, rooms: &[Room]) -> Vec<String> {
    let unlisted = graph
        .members
        .iter()
        .filter(|&member| rooms.iter().all(|room| room.name != member));
    let mut findings: Vec<String> = unlisted
        .map(|member| {
            format!("{member} has no line in xtask/src/rooms.rs: say what it must not know")
        })
        .collect();
    for room in rooms {
        if !graph.members.contains(room.name) {
            findings.push(format!(
                "xtask/src/rooms.rs lists {}, which is no crate of the workspace",
                room.name
            ));
        }
        let names_wasmtime = !NAME_WASMTIME.contains(&room.name)
            && graph.direct(room.name).any(|name| name == "wasmtime");
        if names_wasmtime {
            findings.push(format!(
                "{} depends on wasmtime: only {} may",
                room.name,
                NAME_WASMTIME.join(" and ")
            ));
        }
        findings.extend(room.findings(graph));
    }
    findings
}

impl Room {
    fn findings(&self, graph: &Graph) -> Vec<String> {
        let Self { name, because, .. } = self;
        let is_allowed = |other: &str| self.names_only.is_none_or(|only| only.contains(&other));
        let named = graph
            .direct(name)
            .filter(|other| self.never_names.contains(other) || !is_allowed(other));
        let reached = self
            .never_reaches
            .iter()
            .filter_map(|other| graph.path(name, other));
        let named = named.map(|other| format!("{name} depends on {other}: {because}"));
        let reached =
            reached.map(|path| format!("{name} reaches {}: {because}", path.join(" -> ")));
        named.chain(reached).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORE: Room = Room {
        name: "core",
        names_only: Some(&["serde"]),
        because: "it is pure",
        ..UNLIMITED
    };
    const NODE: Room = Room {
        name: "node",
        never_names: &["passes"],
        never_reaches: &["tokio"],
        because: "it is a node",
        ..UNLIMITED
    };

    #[test]
    fn knowing_what_is_allowed_is_fine() {
        let graph = Graph::of(
            &["core", "node"],
            &[
                ("core", "serde"),
                ("serde", "serde_derive"),
                ("node", "vm"),
                ("vm", "passes"),
                ("vm", "core"),
            ],
        );
        assert_eq!(findings(&graph, &[CORE, NODE]), Vec::<String>::new());
    }

    #[test]
    fn each_kind_of_limit_is_kept() {
        let graph = Graph::of(
            &["core", "node"],
            &[
                ("core", "rand"),
                ("node", "passes"),
                ("node", "http"),
                ("http", "tokio"),
                ("node", "wasmtime"),
            ],
        );
        assert_eq!(
            findings(&graph, &[CORE, NODE]),
            [
                "core depends on rand: it is pure",
                "node depends on wasmtime: only leap-vm and bench may",
                "node depends on passes: it is a node",
                "node reaches node -> http -> tokio: it is a node",
            ]
        );
    }

    #[test]
    fn crates_and_lines_belong_together() {
        let graph = Graph::of(&["core", "newcomer"], &[]);
        assert_eq!(
            findings(&graph, &[CORE, NODE]),
            [
                "newcomer has no line in xtask/src/rooms.rs: say what it must not know",
                "xtask/src/rooms.rs lists node, which is no crate of the workspace",
            ]
        );
    }
}
