//! The Rust code for `proto/leap.proto` is checked in, so that building Leap needs no protobuf
//! compiler. This test refuses a stale copy; `BLESS=1` writes a fresh one.

use std::{fs, path::Path};

const GENERATED: &str = "src/transport/generated/leap.v1.rs";

#[test]
fn checked_in_code_is_what_the_proto_file_generates() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fresh = generate(root);
    let checked_in = root.join(GENERATED);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&checked_in, &fresh).expect("the generated file is writable");
    }
    let found = fs::read_to_string(&checked_in).unwrap_or_default();
    assert!(
        found == fresh,
        "{GENERATED} is stale: run BLESS=1 cargo test -p leap --test codegen"
    );
}

fn generate(root: &Path) -> String {
    let proto = root.join("proto");
    let descriptors =
        protox::compile(["leap.proto"], [&proto]).expect("proto/leap.proto is a valid proto file");
    let out = tempfile::tempdir().expect("there is room for a temporary directory");
    tonic_prost_build::configure()
        // No `LeapClient::connect`: it would need tonic's own transport in every build.
        .build_transport(false)
        .bytes(".")
        .out_dir(out.path())
        .compile_fds(descriptors)
        .expect("the descriptors of a valid proto file generate code");
    fs::read_to_string(out.path().join("leap.v1.rs")).expect("one file per proto package")
}
