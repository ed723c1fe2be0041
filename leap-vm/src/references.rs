//! References, by what they refer to.

use std::collections::BTreeMap;

use leap_instrument::ValType;
use leap_instrument::abi::Export;
use wasmtime::{
    AsContextMut, ExnRef, ExnRefPre, ExnType, Func, Instance, Ref, Rooted, Store, Tag, Val,
};

use crate::error::{VmError, message};
use crate::state::{Captured, Exception, Reference, Value};

/// How deeply exceptions may hold exceptions.
const MAX_EXCEPTION_DEPTH: usize = 100;

/// Turns references of one instance into names, and collects the exceptions among them.
pub(crate) struct References {
    instance: Instance,
    /// Functions by the address that the engine refers to them by; made when one is met, for a
    /// large module has thousands.
    functions: Option<BTreeMap<usize, u32>>,
    pub(crate) exceptions: Vec<Exception>,
    /// Places of exceptions, by what the engine refers to them by: one that is held several times
    /// is told once, or a guest could have 2^n of them told for n. (Nothing is collected meanwhile.)
    places: BTreeMap<u32, u32>,
}

/// The functions that the instrumented module exports for their identity, by index.
pub(crate) fn exported_functions(
    store: &mut impl AsContextMut,
    instance: Instance,
) -> BTreeMap<u32, Func> {
    let exports = instance.exports(store.as_context_mut());
    exports
        .filter_map(|export| {
            let index = export.name().strip_prefix("leap:f")?.parse().ok()?;
            Some((index, export.into_func()?))
        })
        .collect()
}

fn exported_tags(store: &mut impl AsContextMut, instance: Instance) -> Vec<Tag> {
    (0..)
        .map_while(|index| instance.get_tag(store.as_context_mut(), &Export::Tag(index).name()))
        .collect()
}

impl References {
    pub(crate) fn of(instance: Instance) -> Self {
        Self {
            instance,
            functions: None,
            exceptions: Vec::new(),
            places: BTreeMap::new(),
        }
    }

    /// What the engine hands out meanwhile is kept as long as the `store`'s scope.
    pub(crate) fn value(
        &mut self,
        store: &mut impl AsContextMut,
        value: &Val,
    ) -> Result<Value, VmError> {
        self.value_at(store, value, 0)
    }

    fn value_at(
        &mut self,
        store: &mut impl AsContextMut,
        value: &Val,
        depth: usize,
    ) -> Result<Value, VmError> {
        let reference = match value {
            Val::I32(value) => return Ok(Value::I32(*value)),
            Val::I64(value) => return Ok(Value::I64(*value)),
            Val::F32(bits) => return Ok(Value::F32(*bits)),
            Val::F64(bits) => return Ok(Value::F64(*bits)),
            Val::V128(value) => return Ok(Value::V128(value.as_u128())),
            Val::FuncRef(None) | Val::ExternRef(None) | Val::ExnRef(None) => Reference::Null,
            Val::FuncRef(Some(function)) => self.function(store, function)?,
            Val::ExnRef(Some(exception)) => self.exception(store, *exception, depth)?,
            _ => return Err(foreign("a reference to something of the host")),
        };
        Ok(Value::Reference(reference))
    }

    pub(crate) fn reference(
        &mut self,
        store: &mut impl AsContextMut,
        reference: Ref,
    ) -> Result<Reference, VmError> {
        match self.value(store, &Val::from(reference))? {
            Value::Reference(reference) => Ok(reference),
            _ => unreachable!("a reference becomes a reference"),
        }
    }

    fn function(
        &mut self,
        store: &mut impl AsContextMut,
        function: &Func,
    ) -> Result<Reference, VmError> {
        let instance = self.instance;
        let functions = self.functions.get_or_insert_with(|| {
            exported_functions(store, instance)
                .into_iter()
                .map(|(index, function)| (function.to_raw(&mut *store).addr(), index))
                .collect()
        });
        let address = function.to_raw(store).addr();
        functions
            .get(&address)
            .copied()
            .map(Reference::Function)
            .ok_or_else(|| foreign("a reference to a function of the host"))
    }

    fn exception(
        &mut self,
        store: &mut impl AsContextMut,
        exception: Rooted<ExnRef>,
        depth: usize,
    ) -> Result<Reference, VmError> {
        if depth > MAX_EXCEPTION_DEPTH {
            return Err(foreign("exceptions within exceptions too deeply"));
        }
        let engine = |error: wasmtime::Error| VmError::Engine {
            message: message(&error),
        };
        let identity = exception.to_raw(&mut *store).map_err(engine)?;
        if let Some(&place) = self.places.get(&identity) {
            return Ok(Reference::Exception(place));
        }
        let tag = exception.tag(&mut *store).map_err(engine)?;
        let known = exported_tags(store, self.instance)
            .iter()
            .position(|known| Tag::eq(known, &tag, store.as_context()));
        let tag = known.ok_or_else(|| foreign("an exception of the host"))?;
        let fields = exception.fields(store.as_context_mut()).map_err(engine)?;
        let fields: Vec<Val> = fields.collect();
        let fields = fields
            .iter()
            .map(|field| self.value_at(store, field, depth + 1))
            .collect::<Result<_, _>>()?;
        self.exceptions.push(Exception {
            tag: tag as u32,
            fields,
        });
        let place = self.exceptions.len() as u32 - 1;
        self.places.insert(identity, place);
        Ok(Reference::Exception(place))
    }
}

fn foreign(what: &'static str) -> VmError {
    VmError::Uncapturable { what }
}

/// Turns names into references of one instance.
pub(crate) struct Referents {
    functions: BTreeMap<u32, Func>,
    exceptions: Vec<Rooted<ExnRef>>,
}

impl Referents {
    /// Nothing to refer to but null.
    pub(crate) fn none() -> Self {
        Self {
            functions: BTreeMap::new(),
            exceptions: Vec::new(),
        }
    }

    pub(crate) fn of<T>(
        store: &mut Store<T>,
        instance: Instance,
        captured: &Captured,
    ) -> Result<Self, VmError> {
        let mut referents = Self::none();
        if captured.mentions_functions() {
            referents.functions = exported_functions(store, instance);
        }
        let tags = exported_tags(store, instance);
        for exception in &captured.exceptions {
            let tag = tags.get(exception.tag as usize);
            let tag = tag.ok_or_else(|| misfit("an exception of an unknown tag"))?;
            let ty = tag.ty(&*store);
            let types: Vec<wasmtime::ValType> = ty.ty().params().collect();
            if types.len() != exception.fields.len() {
                return Err(misfit("an exception with other fields than its tag's"));
            }
            let fields = types
                .iter()
                .zip(&exception.fields)
                .map(|(ty, field)| referents.value(*field, ty))
                .collect::<Result<Vec<_>, _>>()?;
            let made = ExnType::from_tag_type(&ty).and_then(|ty| {
                let allocator = ExnRefPre::new(&mut *store, ty);
                ExnRef::new(&mut *store, &allocator, tag, &fields)
            });
            referents
                .exceptions
                .push(made.map_err(|error| VmError::Misfit {
                    what: message(&error),
                })?);
        }
        Ok(referents)
    }

    /// The value, if it is one of type `ty`.
    pub(crate) fn value(&self, value: Value, ty: &wasmtime::ValType) -> Result<Val, VmError> {
        Ok(match (value, ty) {
            (Value::I32(value), wasmtime::ValType::I32) => Val::I32(value),
            (Value::I64(value), wasmtime::ValType::I64) => Val::I64(value),
            (Value::F32(bits), wasmtime::ValType::F32) => Val::F32(bits),
            (Value::F64(bits), wasmtime::ValType::F64) => Val::F64(bits),
            (Value::V128(value), wasmtime::ValType::V128) => Val::V128(value.into()),
            (Value::Reference(reference), wasmtime::ValType::Ref(ty)) => {
                Val::from(self.reference(reference, ty)?)
            }
            _ => return Err(misfit("a value of another type than its place")),
        })
    }

    pub(crate) fn reference(
        &self,
        reference: Reference,
        ty: &wasmtime::RefType,
    ) -> Result<Ref, VmError> {
        let heap = ty.heap_type();
        let found = match reference {
            Reference::Null => Some(Ref::null(heap)),
            Reference::Function(index) => {
                let function = self.functions.get(&index).copied();
                function
                    .filter(|_| matches!(heap, wasmtime::HeapType::Func))
                    .map(|function| Ref::Func(Some(function)))
            }
            Reference::Exception(place) => {
                let exception = self.exceptions.get(place as usize).copied();
                exception
                    .filter(|_| matches!(heap, wasmtime::HeapType::Exn))
                    .map(|exception| Ref::Exn(Some(exception)))
            }
        };
        found.ok_or_else(|| misfit("a reference to what its place cannot refer to"))
    }
}

pub(crate) fn misfit(what: &str) -> VmError {
    VmError::Misfit {
        what: what.to_owned(),
    }
}

/// The engine's name of a type.
pub(crate) fn engine_type(ty: ValType) -> wasmtime::ValType {
    match ty {
        ValType::I32 => wasmtime::ValType::I32,
        ValType::I64 => wasmtime::ValType::I64,
        ValType::F32 => wasmtime::ValType::F32,
        ValType::F64 => wasmtime::ValType::F64,
        ValType::V128 => wasmtime::ValType::V128,
        ValType::FuncRef => wasmtime::ValType::FUNCREF,
        ValType::ExternRef => wasmtime::ValType::EXTERNREF,
        ValType::ExnRef => wasmtime::ValType::EXNREF,
    }
}
