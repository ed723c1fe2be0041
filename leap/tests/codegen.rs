//! The Rust code for proto files is checked in, so that building Leap needs no protobuf compiler. These
//! tests refuse a stale copy; `BLESS=1` writes a fresh one.

use std::{fs, path::Path};

/// A proto file, and where the code for it is; both below the workspace.
struct Generated {
    folder: &'static str,
    proto: &'static str,
    code: &'static str,
}

#[test]
fn the_network_interface_is_fresh() {
    check(&Generated {
        folder: "leap/proto",
        proto: "leap.proto",
        code: "leap/src/transport/generated/leap.v1.rs",
    });
}

#[test]
fn the_service_that_tests_call_is_fresh() {
    check(&Generated {
        folder: "leap/tests/tower",
        proto: "counter.proto",
        code: "leap/tests/tower/generated/counter.v1.rs",
    });
}

#[test]
fn the_service_of_the_overhead_benchmark_is_fresh() {
    check(&Generated {
        folder: "bench/proto",
        proto: "kv.proto",
        code: "bench/src/overhead/generated/kv.v1.rs",
    });
}

fn check(generated: &Generated) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate is in the workspace");
    let code = root.join(generated.code);
    let fresh = generate(generated, root);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&code, &fresh).expect("the generated file is writable");
    }
    let found = fs::read_to_string(&code).unwrap_or_default();
    assert!(
        found == fresh,
        "{} is stale: run BLESS=1 cargo test -p leap --test codegen",
        generated.code
    );
}

fn generate(generated: &Generated, root: &Path) -> String {
    let descriptors = protox::compile([generated.proto], [root.join(generated.folder)])
        .expect("the file is a valid proto file");
    let out = tempfile::tempdir().expect("there is room for a temporary directory");
    tonic_prost_build::configure()
        // No `connect` of the client: it would need tonic's own transport in every build.
        .build_transport(false)
        .bytes(".")
        .out_dir(out.path())
        .compile_fds(descriptors)
        .expect("the descriptors of a valid proto file generate code");
    let name = Path::new(generated.code).file_name().expect("it is a file");
    fs::read_to_string(out.path().join(name)).expect("one file per proto package")
}
