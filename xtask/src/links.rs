//! Links between the documents and to files of the repository lead somewhere.
//!
//! Checked are inline links (`[text](docs/glossary.md#barrier)`), images and reference
//! definitions (`[glossary]: docs/glossary.md`): the file or folder exists and, for a Markdown
//! target, so does the heading. Links to the world outside are not followed: a check that
//! depends on somebody else's server proves nothing about this repository.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::files::File;

/// The links in `documents` that lead nowhere: one line per finding.
///
/// Targets that are not among `documents` are looked up below `root`.
pub(crate) fn findings(root: &Path, documents: &[File]) -> Vec<String> {
    let anchors: BTreeMap<&str, BTreeSet<String>> = documents
        .iter()
        .map(|document| (document.path.as_str(), anchors(&document.text)))
        .collect();
    let mut findings = Vec::new();
    for document in documents {
        for (line, target) in links(&document.text) {
            if let Some(problem) = problem(root, &anchors, &document.path, &target) {
                findings.push(format!(
                    "{}:{line} links to {target}: {problem}",
                    document.path
                ));
            }
        }
    }
    findings
}

fn problem(
    root: &Path,
    anchors: &BTreeMap<&str, BTreeSet<String>>,
    document: &str,
    target: &str,
) -> Option<String> {
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let Some(path) = resolve(document, file) else {
        return Some("it leaves the repository".to_owned());
    };
    if !root.join(&path).exists() {
        return Some(format!("{path} does not exist"));
    }
    let known = anchors.get(path.as_str())?;
    let missing = !anchor.is_empty() && !known.contains(anchor);
    missing.then(|| format!("{path} has no heading #{anchor}"))
}

/// The path from the root that `target` means in `document`; none when it is outside.
fn resolve(document: &str, target: &str) -> Option<String> {
    if target.is_empty() {
        return Some(document.to_owned());
    }
    let mut parts: Vec<&str> = match target.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => document
            .split('/')
            .rev()
            .skip(1)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect(),
    };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The local targets in `text` with their line numbers.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (line, prose) in prose_lines(text) {
        let definition = prose
            .trim_start()
            .strip_prefix('[')
            .and_then(|rest| rest.split_once("]:"));
        let inline = prose.split("](").skip(1);
        let targets = definition
            .map(|(_, target)| target)
            .into_iter()
            .chain(inline);
        found.extend(
            targets
                .filter_map(target)
                .filter(|target| is_local(target))
                .map(|target| (line, target)),
        );
    }
    found
}

/// The link target at the start of `rest`: up to a blank (a title follows) or the closing parenthesis.
fn target(rest: &str) -> Option<String> {
    let end = |c: char| c.is_whitespace() || c == ')' || c == '>';
    let target = rest
        .trim_start()
        .trim_start_matches('<')
        .split(end)
        .next()?;
    (!target.is_empty()).then(|| target.to_owned())
}

fn is_local(target: &str) -> bool {
    !target.contains("://") && !target.starts_with("mailto:")
}

/// The numbered lines of `text` outside of code blocks, without their inline code.
fn prose_lines(text: &str) -> Vec<(usize, String)> {
    let mut in_code = false;
    let mut prose = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let is_fence = line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~");
        in_code ^= is_fence;
        if !in_code && !is_fence {
            let outside_backticks = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
            prose.push((number, outside_backticks));
        }
    }
    prose
}

/// The anchors that `text` offers: one per heading, as GitHub names them, and explicit ids.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut anchors = BTreeSet::new();
    for title in headings(text) {
        let slug = slug(title);
        let repeats = seen.entry(slug.clone()).or_default();
        anchors.insert(if *repeats == 0 {
            slug
        } else {
            format!("{slug}-{repeats}")
        });
        *repeats += 1;
    }
    anchors.extend(
        text.split("id=\"")
            .skip(1)
            .filter_map(|rest| rest.split_once('"'))
            .map(|(id, _)| id.to_owned()),
    );
    anchors
}

fn headings(text: &str) -> Vec<&str> {
    let prose: BTreeSet<usize> = prose_lines(text)
        .into_iter()
        .map(|(line, _)| line)
        .collect();
    let lines = (1..)
        .zip(text.lines())
        .filter(|(line, _)| prose.contains(line));
    lines
        .filter_map(|(_, line)| line.strip_prefix('#'))
        .map(|title| title.trim_start_matches('#').trim())
        .collect()
}

/// A heading's anchor: lower case, blanks as hyphens, punctuation dropped.
fn slug(title: &str) -> String {
    let kept = title.to_lowercase().replace(' ', "-");
    kept.chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn targets(text: &str) -> Vec<String> {
        links(text).into_iter().map(|(_, target)| target).collect()
    }

    #[test]
    fn finds_every_kind_of_local_link() {
        let text = "See [a](docs/a.md), ![b](b.png \"title\") and [c](<c.md>).\n[d]: d.md#x\n";
        assert_eq!(targets(text), ["docs/a.md", "b.png", "c.md", "d.md#x"]);
    }

    #[test]
    fn passes_over_code_and_the_world_outside() {
        let text = "`[a](a.md)` [b](https://example.org/b.md) [c](mailto:c@example.org)\n\
                    ```text\n[d](d.md)\n```\n";
        assert_eq!(targets(text), Vec::<String>::new());
    }

    #[test]
    fn resolves_against_the_document_or_the_root() {
        assert_eq!(resolve("docs/a.md", "b.md").as_deref(), Some("docs/b.md"));
        assert_eq!(
            resolve("docs/a.md", "../README.md").as_deref(),
            Some("README.md")
        );
        assert_eq!(
            resolve("docs/a.md", "/leap/src").as_deref(),
            Some("leap/src")
        );
        assert_eq!(resolve("docs/a.md", "").as_deref(), Some("docs/a.md"));
        assert_eq!(resolve("README.md", "../else.md"), None);
    }

    #[test]
    fn headings_become_anchors_as_on_the_web() {
        let anchors = anchors(
            "# P4 Commit ordering\n## `persist`: what?\n## Twice\n## Twice\n```\n# no\n```\n",
        );
        let expected = ["p4-commit-ordering", "persist-what", "twice", "twice-1"];
        assert_eq!(anchors, expected.map(str::to_owned).into());
    }

    #[test]
    fn reports_missing_files_headings_and_escapes() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("docs")).unwrap();
        let text =
            "# Here\n[ok](#here) [ok](../docs) [gone](b.md)\n[no](a.md#there) [out](../../x.md)\n";
        fs::write(root.path().join("docs/a.md"), text).unwrap();
        let documents = [File {
            path: "docs/a.md".to_owned(),
            text: text.to_owned(),
        }];
        assert_eq!(
            findings(root.path(), &documents),
            [
                "docs/a.md:2 links to b.md: docs/b.md does not exist",
                "docs/a.md:3 links to a.md#there: docs/a.md has no heading #there",
                "docs/a.md:3 links to ../../x.md: it leaves the repository",
            ]
        );
    }
}
