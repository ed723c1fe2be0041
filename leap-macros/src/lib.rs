//! Attribute macros of the crate `leap`, where they are documented with examples.
//!
//! They know the names of that crate's public items and nothing else of it.

mod service;

#[cfg(test)]
mod tests;

use proc_macro::TokenStream;

/// Makes the handlers in an `impl` block callable by name, and writes a typed client for them.
///
/// A handler is an associated function `fn name(action: &mut Action<'_, Self>, request: Q) -> R`,
/// with or without a request. Q and R are any types that serde takes; what handlers of one service
/// have in common can be a struct or `Result<_, _>`. Everything in the block is a handler: put other
/// functions into an `impl` block of their own.
///
/// For a type `Hotel` it generates
/// - `impl leap::Service for Hotel`, which finds the handler by its name and decodes and encodes;
/// - `HotelClient`, whose methods are the handlers from the caller's side. It goes with anything that
///   is a `leap::Call`: a host of the same process, a remote cluster, a workflow. Its visibility is the
///   widest of the handlers', and their doc comments are its methods'.
///
/// | attribute | on | effect |
/// |---|---|---|
/// | `#[leap(name = "...")]` | a handler | the name it is called by, if not that of the function |
/// | `#[reply]` | one function, which is no handler then | takes in the answers to calls that the service itself makes, as `leap::Service::handle_reply` does |
#[proc_macro_attribute]
pub fn service(arguments: TokenStream, block: TokenStream) -> TokenStream {
    service::expand(arguments.into(), block.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
