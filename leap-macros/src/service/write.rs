//! The code that is generated.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::Visibility;

use super::Service;
use super::handler::Handler;

/// `impl leap::Service`.
pub(super) fn service(service: &Service) -> TokenStream {
    let target = &service.target;
    let (queries, actions): (Vec<_>, Vec<_>) = service
        .handlers
        .iter()
        .partition(|handler| handler.is_query);
    let query = (!queries.is_empty()).then(|| write_query(&queries));
    let arms = actions.into_iter().map(arm);
    let reply = service.reply.as_ref().map(|reply| {
        let takes_in = quote_spanned!(reply.span()=> <#target>::#reply(action, from, call, reply));
        quote! {
            fn handle_reply(
                action: &mut ::leap::Action<'_, Self>,
                from: ::leap::ObjectId,
                call: u64,
                reply: ::core::result::Result<::leap::Bytes, ::leap::CallError>,
            ) {
                #takes_in
            }
        }
    });
    quote! {
        #[automatically_derived]
        impl ::leap::Service for #target {
            fn call(
                action: &mut ::leap::Action<'_, Self>,
                method: &str,
                body: &[u8],
            ) -> ::core::result::Result<::leap::Bytes, ::leap::CallError> {
                match method {
                    #(#arms)*
                    _ => Self::query(action, method, body),
                }
            }

            #query

            #reply
        }
    }
}

/// What tells which handlers change nothing, and runs them.
fn write_query(handlers: &[&Handler]) -> TokenStream {
    let names = handlers.iter().map(|handler| &handler.name);
    let arms = handlers.iter().copied().map(arm);
    quote! {
        fn is_query(method: &str) -> bool {
            matches!(method, #(#names)|*)
        }

        fn query(
            &self,
            method: &str,
            body: &[u8],
        ) -> ::core::result::Result<::leap::Bytes, ::leap::CallError> {
            match method {
                #(#arms)*
                _ => ::core::result::Result::Err(::leap::CallError::no_such_method(method)),
            }
        }
    }
}

fn arm(handler: &Handler) -> TokenStream {
    let Handler { function, name, .. } = handler;
    let first = if handler.is_query {
        quote!(self)
    } else {
        quote!(action)
    };
    let reply = match &handler.request {
        Some(request) => quote_spanned! {function.span()=> {
            let request: #request = ::leap::decode_request(method, body)?;
            ::leap::encode_value(&Self::#function(#first, request))
        }},
        None => quote_spanned! {function.span()=> {
            let () = ::leap::decode_request(method, body)?;
            ::leap::encode_value(&Self::#function(#first))
        }},
    };
    quote!(#name => ::core::result::Result::Ok(#reply),)
}

/// The typed client.
pub(super) fn client(service: &Service) -> TokenStream {
    let client = format_ident!("{}Client", service.name);
    let visibility = widest(service.handlers.iter().map(|handler| &handler.visibility));
    let methods = service.handlers.iter().map(method);
    let about = format!(
        "Calls the handlers of a [`{}`] from outside it.",
        service.name
    );
    quote! {
        #[doc = #about]
        #[derive(Clone, Debug)]
        #visibility struct #client<C> {
            object: ::leap::ObjectClient<C>,
        }

        #[automatically_derived]
        #[allow(dead_code, reason = "not everyone calls every handler")]
        impl<C: ::leap::Call> #client<C> {
            /// A client of the object called `object`, reached through `caller`.
            #visibility fn new(caller: C, object: impl ::core::convert::Into<::std::string::String>) -> Self {
                Self { object: ::leap::ObjectClient::new(caller, object) }
            }

            /// From now on calls carry `key`: two calls of one handler of one object with the same key have
            /// the effect of one, and the same reply.
            #[must_use]
            #visibility fn idempotency_key(self, key: impl ::core::convert::Into<::std::string::String>) -> Self {
                Self { object: self.object.idempotency_key(key) }
            }

            #(#methods)*
        }
    }
}

fn method(handler: &Handler) -> TokenStream {
    let Handler {
        function,
        name,
        visibility,
        docs,
        reply,
        ..
    } = handler;
    let (parameter, argument) = match &handler.request {
        Some(request) => (quote!(, request: &#request), quote!(request)),
        None => (quote!(), quote!(&())),
    };
    quote! {
        #(#docs)*
        #visibility async fn #function(
            &self #parameter
        ) -> ::core::result::Result<#reply, ::leap::CallError> {
            self.object.call(#name, #argument).await
        }
    }
}

/// `pub`, or the first restricted one, or none.
fn widest<'a>(visibilities: impl Iterator<Item = &'a Visibility>) -> Visibility {
    let mut widest = Visibility::Inherited;
    for visibility in visibilities {
        match (visibility, &widest) {
            (Visibility::Public(_), _) => return visibility.clone(),
            (Visibility::Restricted(_), Visibility::Inherited) => widest = visibility.clone(),
            _ => {}
        }
    }
    widest
}
