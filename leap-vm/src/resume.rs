//! Filling the resume table: a continuation for each frame, a host function for a host frame.

use std::collections::BTreeMap;

use leap_instrument::abi::{HOST, PROGRAM};
use leap_instrument::continuation_name;
use wasmtime::{AsContextMut as _, Caller, Extern, Func, FuncType, Instance, Ref, Val};

use crate::engine::StopName;
use crate::error::{VmError, message};
use crate::process::{Process, Stopped};
use crate::references::engine_type;
use crate::state::HostFrame;
use crate::system::{Host, System};

impl<S: System> Process<S> {
    /// Makes element `i` of the resume table resume record `i`.
    pub(crate) fn load_continuations(&mut self, stopped: &Stopped) -> Result<(), VmError> {
        let names = || {
            let records = stopped.records.iter();
            records.map(|record| (record.function, record.stop))
        };
        self.instantiate_continuations(names())?;
        let mut functions: Vec<Func> = names()
            .filter_map(|name| self.continuations.get(&name).copied())
            .collect();
        if let (Some(host), Some(innermost)) = (&stopped.host, names().next_back()) {
            functions.push(self.host_continuation(host, innermost));
        }
        let failed = |error: wasmtime::Error| VmError::Instantiate {
            message: message(&error),
        };
        let size = self.resume.size(&self.store);
        let missing = (functions.len() as u64).saturating_sub(size);
        self.resume
            .grow(&mut self.store, missing, Ref::Func(None))
            .map_err(failed)?;
        for (place, function) in functions.into_iter().enumerate() {
            let function = Ref::Func(Some(function));
            self.resume
                .set(&mut self.store, place as u64, function)
                .map_err(failed)?;
        }
        Ok(())
    }

    fn instantiate_continuations(
        &mut self,
        stops: impl Iterator<Item = StopName>,
    ) -> Result<(), VmError> {
        let mut missing: Vec<StopName> = stops
            .filter(|stop| !self.continuations.contains_key(stop))
            .collect();
        missing.sort_unstable();
        missing.dedup();
        if missing.is_empty() {
            return Ok(());
        }
        let mut instances = BTreeMap::<usize, Instance>::new();
        for (stop, continuation) in self.module.continuations(missing)? {
            // One instance of each module that holds some of them.
            let identity = continuation.module.image_range().start.addr();
            let instance = match instances.get(&identity) {
                Some(instance) => *instance,
                None => {
                    let instance = self.instantiate_beside(&continuation.module)?;
                    instances.insert(identity, instance);
                    instance
                }
            };
            let name = continuation_name(continuation.place);
            let function = instance.get_func(&mut self.store, &name);
            let function = function.expect("the module exports each of its continuations");
            self.continuations.insert(stop, function);
        }
        Ok(())
    }

    /// Instantiates a module of continuations over the process's own instance.
    fn instantiate_beside(&mut self, module: &wasmtime::Module) -> Result<Instance, VmError> {
        let imports: Vec<Extern> = module
            .imports()
            .map(|import| match import.module() {
                HOST => Extern::from(self.resume),
                PROGRAM => self
                    .instance
                    .get_export(self.store.as_context_mut(), import.name())
                    .expect("the instrumented module exports what continuations import"),
                other => unreachable!("continuations import nothing from {other}"),
            })
            .collect();
        Instance::new(&mut self.store, module, &imports).map_err(|error| VmError::Instantiate {
            message: message(&error),
        })
    }

    /// A function that goes on with an interrupted host function, in the place of a continuation.
    fn host_continuation(&mut self, frame: &HostFrame, caller: StopName) -> Func {
        let (function, stop) = caller;
        let results = self
            .module
            .stop_map()
            .stop(function, stop)
            .map(|stop| stop.results.clone())
            .unwrap_or_default();
        let results = results.into_iter().map(engine_type);
        let ty = FuncType::new(self.module.engine().wasmtime(), [], results);
        let frame = frame.clone();
        let resume = move |caller: Caller<'_, Host<S>>, _: &[Val], results: &mut [Val]| {
            S::resume(caller, frame.clone(), results)
        };
        Func::new(&mut self.store, ty, resume)
    }
}
