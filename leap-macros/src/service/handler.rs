//! One handler, as its signature says.

use proc_macro2::{Group, TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::{
    Attribute, Error, FnArg, Ident, ImplItemFn, LitStr, PatType, Result, ReturnType, Type,
    Visibility, parse_quote,
};

use super::take_attribute;

/// What the generated client's own functions are called.
const RESERVED: [&str; 2] = ["new", "idempotency_key"];

pub(super) struct Handler {
    /// The function.
    pub(super) function: Ident,
    /// The name it is called by.
    pub(super) name: String,
    /// Whether it takes `&self`, and so changes nothing.
    pub(super) is_query: bool,
    pub(super) visibility: Visibility,
    pub(super) docs: Vec<Attribute>,
    /// Types as they can be written outside the block: without `Self`.
    pub(super) request: Option<Type>,
    pub(super) reply: Type,
}

impl Handler {
    pub(super) fn read(function: &mut ImplItemFn, target: &Type) -> Result<Self> {
        let name = take_attribute(&mut function.attrs, "leap")
            .map(|attribute| name_in(&attribute))
            .transpose()?;
        let signature = &function.sig;
        if let Some(word) = &signature.asyncness {
            return Err(Error::new_spanned(
                word,
                "a handler is one atomic action and cannot wait; let a workflow wait",
            ));
        }
        if !signature.generics.params.is_empty() {
            return Err(Error::new_spanned(
                &signature.generics,
                "a handler has no type parameters: callers only know its name",
            ));
        }
        if name.is_none() && RESERVED.iter().any(|reserved| signature.ident == reserved) {
            let message = "the client has a function of this name; call the handler something else";
            return Err(Error::new_spanned(&signature.ident, message));
        }
        let mut arguments = signature.inputs.iter();
        let first = arguments.next();
        let is_query = first.is_some_and(is_reference_to_self);
        if !is_query && !first.is_some_and(takes_action) {
            let message = "a handler takes `action: &mut Action<'_, Self>` first, or `&self` if it changes nothing; \
                           put other functions into an `impl` block of their own";
            let span = first.map_or_else(|| signature.ident.span(), syn::spanned::Spanned::span);
            return Err(Error::new(span, message));
        }
        let request = arguments
            .next()
            .map(|argument| request_type(argument, target))
            .transpose()?;
        if let Some(more) = arguments.next() {
            return Err(Error::new_spanned(
                more,
                "a handler takes one request: put what it needs into a struct",
            ));
        }
        Ok(Self {
            function: signature.ident.clone(),
            name: name.unwrap_or_else(|| signature.ident.to_string()),
            is_query,
            visibility: function.vis.clone(),
            docs: function
                .attrs
                .iter()
                .filter(|attribute| attribute.path().is_ident("doc"))
                .cloned()
                .collect(),
            request,
            reply: match &signature.output {
                ReturnType::Default => parse_quote!(()),
                ReturnType::Type(_, reply) => without_self(reply, target),
            },
        })
    }
}

/// The name in `#[leap(name = "...")]`.
fn name_in(attribute: &Attribute) -> Result<String> {
    let mut name = None;
    attribute.parse_nested_meta(|meta| {
        if !meta.path.is_ident("name") {
            return Err(meta.error("the only thing to set is `name`"));
        }
        let literal: LitStr = meta.value()?.parse()?;
        if literal.value().is_empty() {
            return Err(Error::new_spanned(
                literal,
                "a name has at least one letter",
            ));
        }
        name = Some(literal.value());
        Ok(())
    })?;
    name.ok_or_else(|| Error::new_spanned(attribute, "write `#[leap(name = \"...\")]`"))
}

fn is_reference_to_self(argument: &FnArg) -> bool {
    let FnArg::Receiver(receiver) = argument else {
        return false;
    };
    receiver.reference.is_some() && receiver.mutability.is_none()
}

/// Whether this is `action: &mut Action<…>`, however the path is written.
fn takes_action(argument: &FnArg) -> bool {
    let FnArg::Typed(PatType { ty, .. }) = argument else {
        return false;
    };
    let Type::Reference(reference) = &**ty else {
        return false;
    };
    let Type::Path(path) = &*reference.elem else {
        return false;
    };
    reference.mutability.is_some()
        && path
            .path
            .segments
            .last()
            .is_some_and(|segment| segment.ident == "Action")
}

fn request_type(argument: &FnArg, target: &Type) -> Result<Type> {
    let FnArg::Typed(PatType { ty, .. }) = argument else {
        return Err(Error::new_spanned(
            argument,
            "a handler has no `self`: the state is behind `action`",
        ));
    };
    match &**ty {
        Type::Reference(_) => Err(Error::new_spanned(
            ty,
            "a request is decoded from what the caller sent: take it by value",
        )),
        Type::ImplTrait(_) => Err(Error::new_spanned(ty, "a request has one concrete type")),
        _ => Ok(without_self(ty, target)),
    }
}

/// The same type with the target's name in place of `Self`, which means another type in the client.
fn without_self(ty: &Type, target: &Type) -> Type {
    let written = replace_self(ty.to_token_stream(), &target.to_token_stream());
    syn::parse2(written).expect("a type's name can stand where `Self` stood")
}

fn replace_self(tokens: TokenStream, target: &TokenStream) -> TokenStream {
    let replaced = tokens.into_iter().map(|token| match token {
        TokenTree::Ident(ident) if ident == "Self" => target.clone(),
        TokenTree::Group(group) => {
            let mut replaced = Group::new(group.delimiter(), replace_self(group.stream(), target));
            replaced.set_span(group.span());
            TokenTree::Group(replaced).into()
        }
        other => other.into(),
    });
    replaced.collect()
}
