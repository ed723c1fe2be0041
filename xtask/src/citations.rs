//! Every rule of the protocol is cited by code that keeps it and by a test that checks it.
//!
//! The rules are the headings of `docs/protocol.md`:
//!
//! ```text
//! ### P4 Commit ordering                    must be cited
//! ### P16 In-process levels (planned)       need not be cited yet
//! ```
//!
//! A citation is a comment: `// rule P4`, `/// Sealing, rules P2 and P4: ...`. It counts for the
//! tests when it stands in a `tests` folder, in a file `tests.rs`, below `#[cfg(test)]`, or anywhere
//! in `leap-sim`; otherwise it counts for the code. Citing a rule that does not exist is an error too.

use std::collections::BTreeSet;
use std::fmt;

use crate::files::File;

/// The number of a rule: 4 for P4.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Rule(u32);

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "P{}", self.0)
    }
}

/// A rule as `docs/protocol.md` states it.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Heading {
    rule: Rule,
    /// Nothing keeps this rule yet, and the document says so.
    planned: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Side {
    Code,
    Test,
}

#[derive(PartialEq, Eq, Debug)]
struct Citation {
    rule: Rule,
    side: Side,
    line: usize,
}

/// The rules that `document` has headings for.
pub(crate) fn headings(document: &str) -> Vec<Heading> {
    document.lines().filter_map(heading).collect()
}

fn heading(line: &str) -> Option<Heading> {
    let title = line.strip_prefix('#')?.trim_start_matches('#');
    let rule = title
        .split_whitespace()
        .find(|word| !word.eq_ignore_ascii_case("rule"))
        .and_then(rule)?;
    Some(Heading {
        rule,
        planned: title.contains("(planned)"),
    })
}

/// What is wrong with the citations in `sources`: one line per finding, nothing when all is well.
pub(crate) fn findings(rules: &[Heading], sources: &[File]) -> Vec<String> {
    let known: BTreeSet<Rule> = rules.iter().map(|heading| heading.rule).collect();
    let mut cited = BTreeSet::new();
    let mut findings = Vec::new();
    for file in sources {
        for citation in citations(file) {
            if !known.contains(&citation.rule) {
                findings.push(format!(
                    "{}:{} cites rule {}, which docs/protocol.md does not have",
                    file.path, citation.line, citation.rule
                ));
            }
            cited.insert((citation.rule, citation.side));
        }
    }
    for rule in rules
        .iter()
        .filter(|heading| !heading.planned)
        .map(|heading| heading.rule)
    {
        if !cited.contains(&(rule, Side::Code)) {
            findings.push(format!(
                "no code cites rule {rule}: write `// rule {rule}` where it is kept"
            ));
        }
        if !cited.contains(&(rule, Side::Test)) {
            findings.push(format!(
                "no test cites rule {rule}: write `// rule {rule}` where it is checked"
            ));
        }
    }
    findings
}

fn citations(file: &File) -> Vec<Citation> {
    let first_test_line = first_test_line(file);
    let mut found = Vec::new();
    for (line, text) in (1..).zip(file.text.lines()) {
        let Some((_, comment)) = text.split_once("//") else {
            continue;
        };
        let side = if line >= first_test_line {
            Side::Test
        } else {
            Side::Code
        };
        found.extend(
            rules_in(comment)
                .into_iter()
                .map(|rule| Citation { rule, side, line }),
        );
    }
    found
}

/// The number of the first line that belongs to tests; `usize::MAX` when the file has none.
fn first_test_line(file: &File) -> usize {
    let mut folders = file.path.split('/');
    if folders.any(|part| part == "tests" || part == "tests.rs" || part == "leap-sim") {
        return 1;
    }
    let lines: Vec<&str> = file.text.lines().map(str::trim).collect();
    // `#[cfg(test)] mod tests;` or `use` in the middle of a file opens nothing.
    let opens = |at: usize| {
        let item = lines[at + 1..]
            .iter()
            .find(|line| !line.is_empty() && !line.starts_with("#["));
        item.is_some_and(|item| !item.ends_with(';'))
    };
    let first = (0..lines.len()).find(|&at| lines[at] == "#[cfg(test)]" && opens(at));
    first.map_or(usize::MAX, |at| at + 1)
}

/// The rules that `comment` cites: all that follow the word "rule" or "rules".
fn rules_in(comment: &str) -> Vec<Rule> {
    let mut found = Vec::new();
    let mut citing = false;
    for word in comment.split(|c: char| c.is_whitespace() || c == '/') {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric());
        match rule(word) {
            Some(rule) if citing => found.push(rule),
            _ => citing = is_rule_word(word) || citing && joins(word),
        }
    }
    found
}

fn is_rule_word(word: &str) -> bool {
    matches!(word, "rule" | "rules" | "Rule" | "Rules")
}

/// Whether a list of rules goes on after `word`.
fn joins(word: &str) -> bool {
    matches!(word, "" | "and" | "or")
}

/// `P4`, also as in `P4:` and `P4's`.
fn rule(word: &str) -> Option<Rule> {
    let rest = word.strip_prefix('P')?;
    let number = rest.split(|c: char| !c.is_alphanumeric()).next()?;
    number.parse().ok().map(Rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    fn cited(comment: &str) -> Vec<u32> {
        rules_in(comment).into_iter().map(|rule| rule.0).collect()
    }

    #[test]
    fn headings_of_the_protocol_are_its_rules() {
        let document = "# Protocol\n## P1 Atomic actions\ntext P9\n### P2. Versions\n\
                        ### Rule P16: levels (planned)\n## Proofs\n";
        let rules = [(1, false), (2, false), (16, true)];
        assert_eq!(
            headings(document),
            rules.map(|(rule, planned)| Heading {
                rule: Rule(rule),
                planned
            })
        );
    }

    #[test]
    fn a_citation_needs_the_word_rule() {
        assert_eq!(cited(" rule P4"), [4]);
        assert_eq!(cited(" rule P4's consequence"), [4]);
        assert_eq!(cited("/ Seals first (rule P4)."), [4]);
        assert_eq!(cited(" rule: P12, because"), [12]);
        assert_eq!(cited(" Rules P2, P4 and P16: order"), [2, 4, 16]);
        assert_eq!(cited(" rules P4/P5"), [4, 5]);
        assert!(cited(" P4 alone is a name, not a citation").is_empty());
        assert!(cited(" a rule about P4").is_empty());
    }

    #[test]
    fn the_place_of_a_citation_decides_its_side() {
        let sides = |path: &str, text: &str| -> Vec<(u32, Side)> {
            citations(&file(path, text))
                .iter()
                .map(|citation| (citation.rule.0, citation.side))
                .collect()
        };
        let text = "// rule P1\n#[cfg(test)]\nmod tests {\n    // rule P2\n}\n";
        assert_eq!(
            sides("leap-core/src/a.rs", text),
            [(1, Side::Code), (2, Side::Test)]
        );
        assert_eq!(
            sides("leap-core/tests/a.rs", "// rule P1"),
            [(1, Side::Test)]
        );
        assert_eq!(
            sides("leap-core/src/a/tests.rs", "// rule P1"),
            [(1, Side::Test)]
        );
        assert_eq!(
            sides("leap-sim/src/check.rs", "// rule P1"),
            [(1, Side::Test)]
        );
        let declared = "#[cfg(test)]\nmod tests;\n// rule P1\n";
        assert_eq!(sides("leap-core/src/a.rs", declared), [(1, Side::Code)]);
        assert_eq!(sides("leap-core/src/a.rs", "let s = \"rule P1\";"), []);
    }

    #[test]
    fn an_uncited_rule_is_reported_once_per_side() {
        let rules = headings("## P1 a\n## P2 b\n## P3 c (planned)\n");
        let sources = [
            file("leap-core/src/a.rs", "// rule P1\n// rule P2\n"),
            file("leap-core/tests/a.rs", "// rule P1\n"),
        ];
        assert_eq!(
            findings(&rules, &sources),
            ["no test cites rule P2: write `// rule P2` where it is checked"]
        );
    }

    #[test]
    fn a_rule_that_does_not_exist_cannot_be_cited() {
        let sources = [file("leap/src/a.rs", "//\n// rule P77\n")];
        assert_eq!(
            findings(&[], &sources),
            ["leap/src/a.rs:2 cites rule P77, which docs/protocol.md does not have"]
        );
    }
}
