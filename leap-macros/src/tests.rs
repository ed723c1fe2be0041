//! What is refused: the message, and the piece of code that it underlines.

use proc_macro2::TokenStream;

use crate::service::expand;

/// Expands `code`; gives each error's underlined code and message.
fn refused(code: &str) -> Vec<(String, String)> {
    let block: TokenStream = code.parse().expect("the example is made of tokens");
    let error = expand(TokenStream::new(), block)
        .err()
        .unwrap_or_else(|| panic!("accepted: {code}"));
    error
        .into_iter()
        .map(|error| {
            (
                error.span().source_text().unwrap_or_default(),
                error.to_string(),
            )
        })
        .collect()
}

#[track_caller]
fn check(code: &str, underlined: &str, message: &str) {
    let errors = refused(code);
    let [(at, said)] = errors.as_slice() else {
        panic!("one error expected: {errors:?}")
    };
    assert!(said.contains(message), "{said:?} should say {message:?}");
    assert_eq!(at, underlined);
}

#[test]
fn what_is_no_handler_is_refused_where_it_stands() {
    check(
        "impl Hotel { fn rooms(&mut self) -> u32 { 0 } }",
        "&mut self",
        "`action: &mut Action<'_, Self>` first",
    );
    check(
        "impl Hotel { fn rooms() -> u32 { 0 } }",
        "rooms",
        "`action: &mut Action<'_, Self>` first",
    );
    check(
        "impl Hotel { fn f(action: &Action<'_, Self>) {} }",
        "action: &Action<'_, Self>",
        "first",
    );
    check(
        "impl Hotel { const ROOMS: u32 = 7; }",
        "const ROOMS: u32 = 7;",
        "only handlers go here",
    );
}

#[test]
fn a_handlers_signature_says_all() {
    check(
        "impl Hotel { async fn f(action: &mut Action<'_, Self>) {} }",
        "async",
        "cannot wait",
    );
    check(
        "impl Hotel { fn f<T>(action: &mut Action<'_, Self>, request: T) {} }",
        "<T>",
        "no type parameters",
    );
    check(
        "impl Hotel { fn f(action: &mut Action<'_, Self>, request: &str) {} }",
        "&str",
        "by value",
    );
    check(
        "impl Hotel { fn f(action: &mut Action<'_, Self>, request: impl Copy) {} }",
        "impl Copy",
        "concrete",
    );
    check(
        "impl Hotel { fn f(action: &mut Action<'_, Self>, a: u8, b: u8) {} }",
        "b: u8",
        "one request",
    );
}

#[test]
fn names_are_checked() {
    check(
        "impl Hotel { fn new(action: &mut Action<'_, Self>) {} }",
        "new",
        "the client has a function",
    );
    check(
        "impl Hotel { fn a(action: &mut Action<'_, Self>) {} #[leap(name = \"a\")] fn b(action: &mut Action<'_, Self>) {} }",
        "b",
        "called \"a\" already",
    );
    check(
        "impl Hotel { #[leap(nam = \"a\")] fn b(action: &mut Action<'_, Self>) {} }",
        "nam",
        "only thing to set",
    );
    check(
        "impl Hotel { #[leap(name = \"\")] fn b(action: &mut Action<'_, Self>) {} }",
        "\"\"",
        "at least one letter",
    );
    check(
        "impl Hotel { #[reply] fn a() {} #[reply] fn b() {} }",
        "#[reply]",
        "already",
    );
}

#[test]
fn the_block_is_a_plain_types_own() {
    check("impl Machine for Hotel {}", "Machine", "without a trait");
    check("impl<T> Hotel<T> {}", "<T>", "no type parameters");
    check("impl [u8] {}", "[u8]", "plain name");
    check("struct Hotel;", "struct", "goes on an `impl` block");
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let errors = refused("impl Hotel { fn a() {} fn b() {} }");
    assert_eq!(errors.len(), 2, "{errors:?}");
}

#[test]
fn arguments_of_the_attribute_are_refused() {
    let block = "impl Hotel {}".parse().expect("tokens");
    let error = expand(quote::quote!(name = "x"), block).expect_err("nothing can be set");
    assert_eq!(error.to_string(), "`service` takes no arguments");
}
