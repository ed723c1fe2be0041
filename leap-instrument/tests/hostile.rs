//! Bytes that nobody vouches for: an error, never a panic, and never output that does not validate.

use bolero::check;
use leap_instrument::{Analysis, Error, Options, StopMap, instrument};
use wasmparser::{Validator, WasmFeatures};

fn instrumented_is_valid(bytes: &[u8]) {
    let Ok((analysis, instrumented)) = Analysis::new(bytes, &Options::default()) else {
        return;
    };
    let mut validator = Validator::new_with_features(WasmFeatures::default());
    validator
        .validate_all(&instrumented.module)
        .expect("an instrumented module is valid");
    let stops: Vec<(u32, u32)> = instrumented
        .stop_map
        .functions
        .iter()
        .flat_map(|function| (0..function.stops.len() as u32).map(|stop| (function.function, stop)))
        .collect();
    let continuations = analysis
        .continuations(&stops)
        .expect("each stop has a continuation");
    Validator::new_with_features(WasmFeatures::default())
        .validate_all(&continuations)
        .expect("continuations are valid");
    let map = instrumented.stop_map;
    assert_eq!(StopMap::decode(&map.encode()).as_ref(), Ok(&map));
}

#[test]
fn any_bytes() {
    check!().for_each(instrumented_is_valid);
}

/// Damages a module here and there: most of it stays sensible, so later phases see it.
#[test]
fn damaged_modules() {
    let module = wat::parse_str(DENSE).expect("the module is well-formed");
    check!()
        .with_type::<Vec<(u16, u8)>>()
        .for_each(|changes: &Vec<(u16, u8)>| {
            let mut damaged = module.clone();
            for &(place, byte) in changes.iter().take(4) {
                let place = place as usize % damaged.len();
                damaged[place] = byte;
            }
            instrumented_is_valid(&damaged);
        });
}

#[test]
fn truncated_modules() {
    let module = wat::parse_str(DENSE).expect("the module is well-formed");
    for length in 0..module.len() {
        instrumented_is_valid(&module[..length]);
    }
    instrumented_is_valid(&module);
}

#[test]
fn generated_modules() {
    check!().for_each(|bytes: &[u8]| {
        let mut input = arbitrary::Unstructured::new(bytes);
        let config = wasm_smith::Config {
            gc_enabled: false,
            threads_enabled: false,
            max_memories: 3,
            max_tables: 3,
            ..wasm_smith::Config::default()
        };
        if let Ok(module) = wasm_smith::Module::new(config, &mut input) {
            instrumented_is_valid(&module.to_bytes());
        }
    });
}

#[test]
fn damaged_stop_maps() {
    let module = wat::parse_str(DENSE).expect("the module is well-formed");
    let map = instrument(&module, &Options::default())
        .expect("the module is supported")
        .stop_map;
    let bytes = map.encode();
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1 << bit;
            assert!(
                StopMap::decode(&damaged).is_err(),
                "bit {bit} of byte {place}"
            );
        }
        assert!(StopMap::decode(&bytes[..place]).is_err(), "cut at {place}");
    }
    check!().for_each(|bytes: &[u8]| {
        let _ = StopMap::decode(bytes);
    });
}

#[test]
fn deep_nesting_takes_no_stack() {
    let depth = 200_000;
    let mut body = vec![0];
    body.extend(std::iter::repeat_n([0x03, 0x40], depth).flatten()); // loop
    body.extend([0x0c, 0x00]); // br 0
    body.extend(std::iter::repeat_n(0x0b, depth + 1)); // end
    let mut module = wasm_encoder::Module::new();
    let mut types = wasm_encoder::TypeSection::new();
    types.ty().function([], []);
    let mut functions = wasm_encoder::FunctionSection::new();
    functions.function(0);
    let mut code = wasm_encoder::CodeSection::new();
    code.raw(&body);
    module.section(&types).section(&functions).section(&code);
    instrument(&module.finish(), &Options::default()).expect("only deep");
}

/// A function of that body in a module with an import that takes and returns nothing.
fn module_with(locals: u32, body: &[u8]) -> Vec<u8> {
    let mut module = wasm_encoder::Module::new();
    let mut types = wasm_encoder::TypeSection::new();
    types.ty().function([], []);
    let mut imports = wasm_encoder::ImportSection::new();
    imports.import("m", "f", wasm_encoder::EntityType::Function(0));
    let mut functions = wasm_encoder::FunctionSection::new();
    functions.function(0);
    let mut code = wasm_encoder::CodeSection::new();
    let mut function = wasm_encoder::Function::new([(locals, wasm_encoder::ValType::I64)]);
    function.raw(body.iter().copied());
    code.function(&function);
    module
        .section(&types)
        .section(&imports)
        .section(&functions)
        .section(&code);
    module.finish()
}

fn is_too_large(module: &[u8]) -> bool {
    matches!(
        instrument(module, &Options::default()),
        Err(Error::TooLarge { .. })
    )
}

/// A small module could otherwise ask for gigabytes: as many stops as it has calls, each with as
/// many values as it has locals.
#[test]
fn many_stops_with_many_values_are_refused() {
    let body = |calls: usize, locals: u32| {
        let mut body: Vec<u8> = std::iter::repeat_n([0x10, 0x00], calls).flatten().collect();
        for local in 0..locals {
            body.push(0x20); // local.get
            leb128(&mut body, local);
            body.push(0x1a); // drop
        }
        body.push(0x0b);
        body
    };
    assert!(is_too_large(&module_with(40_000, &body(100_000, 40_000))));
    assert!(!is_too_large(&module_with(1000, &body(1000, 1000))));
}

/// The blocks around a stop are gone through for each.
#[test]
fn many_stops_in_deep_blocks_are_refused() {
    let nested = |depth: usize| {
        let mut body: Vec<u8> = std::iter::repeat_n([0x03, 0x40], depth).flatten().collect();
        body.extend([0x41, 0x00, 0x0e]); // i32.const 0, br_table
        leb128(&mut body, depth as u32 - 1);
        (0..depth as u32).for_each(|target| leb128(&mut body, target));
        body.extend(std::iter::repeat_n(0x0b, depth + 1));
        body
    };
    // Each loop polls.
    assert!(is_too_large(&module_with(0, &nested(200_000))));
    assert!(!is_too_large(&module_with(0, &nested(1000))));
}

fn leb128(bytes: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[test]
fn what_cannot_be_captured_is_named_with_its_place() {
    let refused = [
        ("(memory 1 1 shared)", "shared"),
        ("(type (struct (field i32)))", "refused proposal"),
        ("(func (param anyref))", "refused proposal"),
        (
            "(memory 1) (func (drop (i32.atomic.load (i32.const 0))))",
            "refused proposal",
        ),
        (
            "(type $f (func)) (type $c (cont $f)) (func (param (ref null $c)))",
            "refused proposal",
        ),
        (
            "(type $t (func)) (func (param (ref null $t)) (call_ref $t (local.get 0)))",
            "refused proposal",
        ),
    ];
    for (source, construct) in refused {
        let module = wat::parse_str(format!("(module {source})")).expect(source);
        match instrument(&module, &Options::default()) {
            Err(Error::Unsupported {
                construct: found,
                offset,
            }) => {
                assert!(found.contains(construct), "{source}: {found}");
                assert!((8..module.len()).contains(&offset), "{source}: {offset}");
            }
            other => panic!("{source}: {other:?}"),
        }
    }
    let component = b"\0asm\x0d\0\x01\0";
    let refused = instrument(component, &Options::default());
    assert!(
        matches!(refused, Err(Error::Unsupported { .. })),
        "{refused:?}"
    );
}

#[test]
fn reserved_export_names_are_refused() {
    let module = wat::parse_str(r#"(module (func (export "leap:f0")))"#).expect("well-formed");
    assert_eq!(
        instrument(&module, &Options::default()),
        Err(Error::ReservedName {
            name: "leap:f0".to_owned()
        })
    );
}

/// Something of everything, in few bytes.
const DENSE: &str = r#"(module
  (import "env" "f" (func $f (param i32) (result i64)))
  (memory (export "m") 1 4) (memory 1)
  (table 3 funcref) (elem (i32.const 0) $a $b)
  (elem $e func $a) (data $d "abc")
  (tag $t (param i32))
  (global $g (mut f64) (f64.const 1))
  (func $a (param i32 i64) (result i32 i64) (local funcref v128)
    (local.get 1)
    (block $h (result i32)
      (try_table (result i32) (catch $t $h)
        (loop $l (result i32)
          (memory.init $d (i32.const 0) (i32.const 0) (i32.const 1))
          (local.set 2 (ref.func $b))
          (drop (call $f (local.get 0)))
          (br_if $l (i32.eqz (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
          (if (local.get 0) (then (data.drop $d)) (else (elem.drop $e)))
          (br_if $h (i32.const 1) (local.get 0))
          (drop)
          (br_table $l $l (i32.and (i32.const 3) (local.get 0))))))
    (drop) (local.set 1) (local.get 0) (local.get 1))
  (func $b (param i32) (result i32)
    (loop $o (loop $i (br_if $i (i32.load8_u (local.get 0))) (br_if $o (i32.load (local.get 0)))))
    (table.init $e (i32.const 0) (i32.const 0) (i32.const 1))
    (return_call $b (local.get 0)))
  (func (export "x") (result i32)
    (call_indirect (param i32) (result i32) (i32.const 4) (i32.const 1)))
  (start 4)
  (func))"#;
