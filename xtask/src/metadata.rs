//! The dependency graph as cargo resolved it: who builds upon whom.
//!
//! Only normal and build dependencies count; a crate's tests may use whatever they like.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::workspace::Workspace;

/// Crates by name (versions of one crate are merged), with what each depends on directly.
#[derive(Default, Debug)]
pub(crate) struct Graph {
    /// The crates of this workspace.
    pub(crate) members: BTreeSet<String>,
    direct: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    /// The direct dependencies of `name`, in alphabetical order.
    pub(crate) fn direct(&self, name: &str) -> impl Iterator<Item = &str> {
        self.direct
            .get(name)
            .into_iter()
            .flatten()
            .map(String::as_str)
    }

    /// The shortest chain of dependencies that leads from `from` to `to`, both included.
    pub(crate) fn path(&self, from: &str, to: &str) -> Option<Vec<String>> {
        let mut chains = VecDeque::from([vec![from.to_owned()]]);
        let mut seen = BTreeSet::from([from.to_owned()]);
        while let Some(chain) = chains.pop_front() {
            let last = chain.last().expect("a chain starts with `from`");
            if last == to {
                return Some(chain);
            }
            for next in self.direct(last) {
                if seen.insert(next.to_owned()) {
                    chains.push_back(chain.iter().cloned().chain([next.to_owned()]).collect());
                }
            }
        }
        None
    }

    #[cfg(test)]
    pub(crate) fn of(members: &[&str], arrows: &[(&str, &str)]) -> Self {
        let mut graph = Self {
            members: members.iter().map(|&name| name.to_owned()).collect(),
            ..Self::default()
        };
        for &(from, to) in arrows {
            graph
                .direct
                .entry(from.to_owned())
                .or_default()
                .insert(to.to_owned());
        }
        graph
    }
}

/// The graph of `workspace` on this platform.
///
/// # Errors
/// When cargo cannot resolve the workspace (`Cargo.lock` out of date included).
pub(crate) fn graph(workspace: &Workspace) -> Result<Graph> {
    let version = workspace.read("rustc -vV")?;
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("`rustc -vV` names no host")?;
    let json = workspace.read(&format!(
        "cargo metadata --locked --format-version 1 --filter-platform {host}"
    ))?;
    parse(&json)
}

/// Where cargo puts what it builds.
///
/// # Errors
/// When cargo cannot read the workspace.
pub(crate) fn target_directory(workspace: &Workspace) -> Result<PathBuf> {
    #[derive(Deserialize)]
    struct Metadata {
        target_directory: PathBuf,
    }
    let json = workspace.read("cargo metadata --locked --format-version 1 --no-deps")?;
    let metadata: Metadata =
        serde_json::from_str(&json).context("cannot understand `cargo metadata`")?;
    Ok(metadata.target_directory)
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    /// `None` is a normal dependency.
    kind: Option<String>,
}

impl Dependency {
    fn is_built_upon(&self) -> bool {
        self.dep_kinds
            .iter()
            .any(|kind| kind.kind.as_deref() != Some("dev"))
    }
}

fn parse(json: &str) -> Result<Graph> {
    let metadata: Metadata =
        serde_json::from_str(json).context("cannot understand `cargo metadata`")?;
    let names: BTreeMap<&str, &str> = metadata
        .packages
        .iter()
        .map(|package| (package.id.as_str(), package.name.as_str()))
        .collect();
    let name = |id: &str| -> Result<String> {
        let name = names
            .get(id)
            .with_context(|| format!("`cargo metadata` does not describe {id}"))?;
        Ok((*name).to_owned())
    };
    let mut graph = Graph::default();
    for id in &metadata.workspace_members {
        graph.members.insert(name(id)?);
    }
    for node in &metadata.resolve.nodes {
        let direct = graph.direct.entry(name(&node.id)?).or_default();
        for dependency in node
            .deps
            .iter()
            .filter(|dependency| dependency.is_built_upon())
        {
            direct.insert(name(&dependency.pkg)?);
        }
    }
    Ok(graph)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_dependencies_do_not_count() {
        let json = r#"{
            "packages": [{"id": "1", "name": "a"}, {"id": "2", "name": "b"}, {"id": "3", "name": "c"}],
            "workspace_members": ["1"],
            "resolve": {"nodes": [
                {"id": "1", "deps": [
                    {"pkg": "2", "dep_kinds": [{"kind": "dev"}, {"kind": null}]},
                    {"pkg": "3", "dep_kinds": [{"kind": "dev"}]}
                ]},
                {"id": "2", "deps": []},
                {"id": "3", "deps": []}
            ]}
        }"#;
        let graph = parse(json).unwrap();
        assert_eq!(graph.members, ["a".to_owned()].into());
        assert_eq!(graph.direct("a").collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn the_path_is_a_shortest_one_and_cycles_end() {
        let graph = Graph::of(
            &[],
            &[("a", "b"), ("b", "c"), ("c", "a"), ("a", "c"), ("c", "d")],
        );
        assert_eq!(graph.path("a", "d").unwrap(), ["a", "c", "d"]);
        assert_eq!(graph.path("d", "a"), None);
    }

    #[test]
    fn foreign_metadata_is_an_error() {
        let error = parse("{}").unwrap_err();
        assert!(
            format!("{error:#}").starts_with("cannot understand `cargo metadata`"),
            "{error:#}"
        );
    }
}
