//! The stop map: what the record of each stop holds.
//!
//! It travels beside the module. A host reads frame records with it and writes them; a debugger
//! shows locals with it. [`StopMap::encode`] gives the format that docs/formats.md describes.

use crate::abi::{record, record_bytes, value_bytes};
use crate::body::Body;
use crate::hash::ModuleHash;
use crate::module::Module;
use crate::plan::{Plan, Stop as PlannedStop, StopPlace};
use crate::types::ValType;

mod format;

pub use format::StopMapError;

/// All stops of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopMap {
    /// Names the original module.
    pub module: ModuleHash,
    /// The original's start function. The instrumented module has none: the host calls it.
    pub start: Option<u32>,
    /// The functions that have stops, ascending.
    pub functions: Vec<FunctionStops>,
}

/// The stops of one function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionStops {
    /// Index of the function.
    pub function: u32,
    /// What it returns.
    pub results: Vec<ValType>,
    /// By number.
    pub stops: Vec<Stop>,
}

/// One stop: the values of its record, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// The byte of the original module at which the instruction stands.
    pub offset: u32,
    /// What kind of instruction it is.
    pub place: StopPlace,
    /// What the callee returns; nothing but at calls.
    pub results: Vec<ValType>,
    /// The live locals, by index, ascending.
    pub locals: Vec<(u32, ValType)>,
    /// The operands, outermost first.
    pub operands: Vec<ValType>,
}

impl StopMap {
    /// The stop of that number in that function.
    #[must_use]
    pub fn stop(&self, function: u32, stop: u32) -> Option<&Stop> {
        self.function(function)?.stops.get(stop as usize)
    }

    /// The stops of a function, if it has any.
    #[must_use]
    pub fn function(&self, function: u32) -> Option<&FunctionStops> {
        let place = self
            .functions
            .binary_search_by_key(&function, |stops| stops.function)
            .ok()?;
        self.functions.get(place)
    }
}

impl FunctionStops {
    pub(crate) fn new(module: &Module, body: &Body, plan: &Plan) -> Self {
        Self {
            function: plan.function,
            results: module.function_type(plan.function).results.to_vec(),
            stops: plan
                .stops
                .iter()
                .map(|stop| Stop::new(body, stop))
                .collect(),
        }
    }
}

impl Stop {
    fn new(body: &Body, stop: &PlannedStop) -> Self {
        Self {
            offset: body.code[stop.place as usize].at,
            place: stop.kind,
            results: stop.results.to_vec(),
            locals: stop
                .live
                .iter()
                .map(|&local| (local, body.locals[local as usize]))
                .collect(),
            operands: stop.all_operands(body),
        }
    }

    /// The types of the record's values: results, locals, operands.
    pub fn values(&self) -> impl Iterator<Item = ValType> + '_ {
        let locals = self.locals.iter().map(|&(_, ty)| ty);
        let results = self.results.iter().copied();
        results.chain(locals).chain(self.operands.iter().copied())
    }

    /// The record's values with their offsets in it.
    pub fn layout(&self) -> impl Iterator<Item = (u32, ValType)> + '_ {
        self.values().scan(record::VALUES, |at, ty| {
            let here = *at;
            *at += value_bytes(ty);
            Some((here, ty))
        })
    }

    /// Size of the record in bytes.
    #[must_use]
    pub fn record_bytes(&self) -> u32 {
        record_bytes(self.values())
    }
}
