//! Every public item of the crates that users write against shows how it is used: an example in its
//! documentation, which the tests compile and mostly run.
//!
//! Rustdoc can count examples on nightly only, and counts nothing that a private module defines. So the
//! sources are read as syntax. What is `pub` there can be reached by users: the lint `unreachable_pub`
//! refuses the rest. Fields, variants and associated types are shown by the example of their type; what
//! macros make is not seen, except by `pin_project!`.

use anyhow::{Context as _, Result};
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ImplItem, Item, Lit, Meta, TraitItem, Type, Visibility};

use crate::files::File;

/// The crates in which every public item has an example.
pub(crate) const CRATES: [&str; 5] = [
    "leap",
    "leap-core",
    "leap-services",
    "leap-store",
    "leap-node",
];

/// Public items in `sources` that have no example: one line each, nothing when all is well.
///
/// # Errors
/// When a file is no Rust.
pub(crate) fn findings(sources: &[File]) -> Result<Vec<String>> {
    let mut hidden = Vec::new();
    let mut found = Vec::new();
    for file in sources {
        let path = &file.path;
        let parsed = syn::parse_file(&file.text).with_context(|| format!("cannot parse {path}"))?;
        let mut items = Items::default();
        items.add_all(&parsed.items);
        found.push((path, items.without_example));
        hidden.extend(
            parsed
                .items
                .iter()
                .filter_map(|item| hidden_file(path, item)),
        );
    }
    found.retain(|(path, _)| !hidden.contains(path));
    let findings = found.iter().flat_map(|(path, items)| {
        items
            .iter()
            .map(move |item| format!("{path}: {item} has no example"))
    });
    Ok(findings.collect())
}

/// Public items without an example, by name.
#[derive(Default)]
struct Items {
    without_example: Vec<String>,
}

impl Items {
    fn add(&mut self, visibility: &Visibility, attributes: &[Attribute], name: &impl ToString) {
        let is_public = matches!(visibility, Visibility::Public(_));
        if is_public && !is_hidden(attributes) && !has_example(attributes) {
            self.without_example.push(name.to_string());
        }
    }

    fn add_all(&mut self, items: &[Item]) {
        for item in items {
            match item {
                Item::Const(item) => self.add(&item.vis, &item.attrs, &item.ident),
                Item::Enum(item) => self.add(&item.vis, &item.attrs, &item.ident),
                Item::Fn(item) => self.add(&item.vis, &item.attrs, &item.sig.ident),
                Item::Static(item) => self.add(&item.vis, &item.attrs, &item.ident),
                Item::Struct(item) => self.add(&item.vis, &item.attrs, &item.ident),
                Item::Type(item) => self.add(&item.vis, &item.attrs, &item.ident),
                Item::Union(item) => self.add(&item.vis, &item.attrs, &item.ident),
                Item::Trait(item) => {
                    self.add(&item.vis, &item.attrs, &item.ident);
                    self.add_members(item);
                }
                Item::Impl(item) if item.trait_.is_none() && !is_hidden(&item.attrs) => {
                    self.add_inherent(item);
                }
                Item::Mod(item) if !is_hidden(&item.attrs) => {
                    let inline = item.content.as_ref();
                    self.add_all(inline.map_or(&[], |(_, items)| items));
                }
                Item::Macro(item) if item.mac.path.is_ident("pin_project") => {
                    let inside: Result<syn::File, _> = item.mac.parse_body();
                    self.add_all(&inside.map_or(Vec::new(), |inside| inside.items));
                }
                _ => {}
            }
        }
    }

    /// As public as their trait.
    fn add_members(&mut self, of: &syn::ItemTrait) {
        for member in &of.items {
            let (attributes, name) = match member {
                TraitItem::Const(member) => (&member.attrs, &member.ident),
                TraitItem::Fn(member) => (&member.attrs, &member.sig.ident),
                _ => continue,
            };
            self.add(&of.vis, attributes, &format_args!("{}::{name}", of.ident));
        }
    }

    fn add_inherent(&mut self, of: &syn::ItemImpl) {
        let Type::Path(of_type) = &*of.self_ty else {
            return;
        };
        let of_type = &of_type
            .path
            .segments
            .last()
            .expect("a path leads somewhere")
            .ident;
        for member in &of.items {
            let (visibility, attributes, name) = match member {
                ImplItem::Const(member) => (&member.vis, &member.attrs, &member.ident),
                ImplItem::Fn(member) => (&member.vis, &member.attrs, &member.sig.ident),
                _ => continue,
            };
            self.add(visibility, attributes, &format_args!("{of_type}::{name}"));
        }
    }
}

/// The file of a module that is not for users, if `item` of the file at `path` declares one.
fn hidden_file(path: &str, item: &Item) -> Option<String> {
    let (folder, file) = path.rsplit_once('/')?;
    let module = match item {
        Item::Mod(module) if is_hidden(&module.attrs) => &module.ident,
        _ => return None,
    };
    Some(match file.strip_suffix(".rs")? {
        "lib" => format!("{folder}/{module}.rs"),
        parent => format!("{folder}/{parent}/{module}.rs"),
    })
}

/// Whether what has these attributes is not for users: it is for tests, or `#[doc(hidden)]`.
fn is_hidden(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let for_tests = attribute.path().is_ident("cfg") && names(attribute, "test");
        for_tests || attribute.path().is_ident("doc") && names(attribute, "hidden")
    })
}

/// Whether `word` stands alone in the parentheses of `attribute`.
fn names(attribute: &Attribute, word: &str) -> bool {
    let words = attribute.parse_args_with(Punctuated::<Meta, syn::Token![,]>::parse_terminated);
    words.is_ok_and(|words| words.iter().any(|meta| meta.path().is_ident(word)))
}

/// Whether the documentation among these attributes has a code block that is compiled.
fn has_example(attributes: &[Attribute]) -> bool {
    let documentation: Vec<String> = attributes.iter().filter_map(documentation).collect();
    let lines = documentation.iter().flat_map(|text| text.lines());
    let fences = lines.filter_map(|line| line.trim_start().strip_prefix("```"));
    // Every second one closes.
    fences.step_by(2).any(is_compiled)
}

fn documentation(attribute: &Attribute) -> Option<String> {
    match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
            Expr::Lit(value) => match &value.lit {
                Lit::Str(text) => Some(text.value()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// Whether a code block that begins with these words is compiled.
fn is_compiled(words: &str) -> bool {
    let mut words = words.split([',', ' ']).filter(|word| !word.is_empty());
    words.all(|word| matches!(word, "rust" | "no_run" | "should_panic" | "compile_fail"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without_example(text: &str) -> Vec<String> {
        let mut items = Items::default();
        items.add_all(&syn::parse_file(text).unwrap().items);
        items.without_example
    }

    #[test]
    fn every_kind_of_public_item_needs_an_example() {
        let text = "
            pub const C: u8 = 0; pub static S: u8 = 0; pub type T = u8; pub fn f() {}
            pub struct A { pub field: u8 } pub enum E { Variant } pub union U { of: u8 }
            pub trait Trait { const C: u8; type T; fn f(); }
            impl<T> inner::A<T> { pub const C: u8 = 0; pub fn f(&self) {} fn private() {} }
            mod inline { pub fn g() {} }
            pin_project! { pub struct Pinned { #[pin] field: u8 } }
            #[must_use] /** Documented. */ pub fn documented() {}";
        let expected = "C S T f A E U Trait Trait::C Trait::f A::C A::f g Pinned documented";
        assert_eq!(without_example(text).join(" "), expected);
    }

    #[test]
    fn what_no_user_sees_needs_none() {
        let text = "
            fn f() {} pub(crate) struct A; trait Trait { fn f(); }
            impl Clone for A { fn clone(&self) -> A { A } }
            #[doc(hidden)] pub fn hidden() {} #[cfg(test)] mod tests { pub fn f() {} }";
        assert!(without_example(text).is_empty());
    }

    #[test]
    fn files_of_hidden_modules_are_left_out() {
        let file = |path: &str, text: &str| File {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let sources = [
            file("a/src/lib.rs", "#[doc(hidden)] pub mod faults; pub mod kv;"),
            file("a/src/kv.rs", "#[cfg(test)] mod tests; pub fn get() {}"),
            file("a/src/faults.rs", "pub fn fail() {}"),
            file("a/src/kv/tests.rs", "pub fn put() {}"),
        ];
        let found = findings(&sources).unwrap();
        assert_eq!(found, ["a/src/kv.rs: get has no example"]);
    }

    #[test]
    fn an_example_is_a_code_block_that_is_compiled() {
        let of = |lines: &[&str]| {
            let lines = lines.iter().map(|line| format!("/// {line}\n"));
            without_example(&format!("{}pub fn f() {{}}", lines.collect::<String>())).is_empty()
        };
        assert!(of(&["What it does.", "```", "f();", "```"]));
        assert!(of(&["```rust,no_run", "f();", "```"]));
        assert!(of(&[
            "```text",
            "a picture",
            "```",
            "",
            "```",
            "f();",
            "```"
        ]));
        assert!(!of(&["```text", "a picture", "```"]));
        assert!(!of(&["```ignore", "f();", "```"]));
        assert!(!of(&["`f()` alone"]));
    }
}
