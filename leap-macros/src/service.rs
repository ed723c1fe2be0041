//! `#[leap::service]`: read the block into handlers, then write the service and its client.
//!
//! ```text
//! #[leap::service]                                impl Hotel { fn reserve(…) -> R { … } }   (as it was)
//! impl Hotel {                             =>     impl leap::Service for Hotel { fn call(…) … }
//!     fn reserve(action: …, request: Q) -> R      struct HotelClient<C> { … }
//! }                                               impl<C: leap::Call> HotelClient<C> { async fn reserve(&self, request: &Q) -> … }
//! ```

mod handler;
mod write;

use proc_macro2::TokenStream;
use quote::ToTokens as _;
use syn::spanned::Spanned as _;
use syn::{Attribute, Error, Ident, ImplItem, ItemImpl, Result, Type, parse_quote};

use handler::Handler;

/// What the block says.
struct Service {
    /// The type, as written.
    target: Type,
    /// Its last name.
    name: Ident,
    handlers: Vec<Handler>,
    /// The function that takes in answers.
    reply: Option<Ident>,
}

pub(crate) fn expand(arguments: TokenStream, block: TokenStream) -> Result<TokenStream> {
    if !arguments.is_empty() {
        return Err(Error::new_spanned(
            arguments,
            "`service` takes no arguments",
        ));
    }
    let mut block: ItemImpl = syn::parse2(block)
        .map_err(|error| Error::new(error.span(), "`service` goes on an `impl` block"))?;
    let service = read(&mut block)?;
    let mut output = block.into_token_stream();
    output.extend(write::service(&service));
    output.extend(write::client(&service));
    Ok(output)
}

/// Reads the block and takes our own attributes off it. Tells all that is wrong at once.
fn read(block: &mut ItemImpl) -> Result<Service> {
    let name = name_of(block)?;
    let target = (*block.self_ty).clone();
    let mut service = Service {
        target,
        name,
        handlers: Vec::new(),
        reply: None,
    };
    let mut errors: Option<Error> = None;
    for item in &mut block.items {
        if let Err(error) = service.read_item(item) {
            match &mut errors {
                Some(errors) => errors.combine(error),
                None => errors = Some(error),
            }
        }
    }
    errors.map_or(Ok(service), Err)
}

fn name_of(block: &ItemImpl) -> Result<Ident> {
    if let Some((_, path, _)) = &block.trait_ {
        return Err(Error::new_spanned(
            path,
            "handlers are the type's own: `impl Type { … }`, without a trait",
        ));
    }
    if !block.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &block.generics,
            "a service has no type parameters",
        ));
    }
    let name = match &*block.self_ty {
        Type::Path(path) => path
            .path
            .segments
            .last()
            .filter(|segment| segment.arguments.is_none()),
        _ => None,
    };
    let name = name.map(|segment| segment.ident.clone());
    name.ok_or_else(|| Error::new_spanned(&block.self_ty, "a service is a type with a plain name"))
}

impl Service {
    fn read_item(&mut self, item: &mut ImplItem) -> Result<()> {
        let ImplItem::Fn(function) = item else {
            return Err(Error::new_spanned(
                item,
                "only handlers go here; put this into an `impl` block of its own",
            ));
        };
        function.attrs.push(parse_quote! {
            #[allow(clippy::needless_pass_by_value, reason = "what was decoded is the handler's own")]
        });
        if let Some(attribute) = take_attribute(&mut function.attrs, "reply") {
            attribute.meta.require_path_only()?;
            if self.reply.replace(function.sig.ident.clone()).is_some() {
                return Err(Error::new(
                    attribute.span(),
                    "another function takes in the answers already",
                ));
            }
            return Ok(());
        }
        let handler = Handler::read(function, &self.target)?;
        if self.handlers.iter().any(|other| other.name == handler.name) {
            let message = format!("another handler is called {:?} already", handler.name);
            return Err(Error::new(handler.function.span(), message));
        }
        self.handlers.push(handler);
        Ok(())
    }
}

fn take_attribute(attributes: &mut Vec<Attribute>, name: &str) -> Option<Attribute> {
    let position = attributes
        .iter()
        .position(|attribute| attribute.path().is_ident(name))?;
    Some(attributes.remove(position))
}
