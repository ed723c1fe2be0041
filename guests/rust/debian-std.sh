#!/bin/sh
# Builds the standard library for wasm32-wasip1 with Debian's Rust and installs it beside it, as root.
# Needed only where `rustup target add wasm32-wasip1` is not possible. Takes about a minute, no network. First:
#   apt-get install --no-install-recommends rustc-web cargo-web rust-web-src rust-web-llvm lld-22 wasi-libc
# and afterwards, where there is rustup:
#   rustup toolchain link debian /usr
set -eu
target=wasm32-wasip1
export PATH=/usr/bin:/bin RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
mkdir src
echo '#![no_std]' > src/lib.rs
printf '[package]\nname = "empty"\nversion = "0.1.0"\nedition = "2021"\n[profile.release]\npanic = "abort"\n' > Cargo.toml
cargo build --quiet --release --target "$target" -Zbuild-std=std,panic_abort -Zbuild-std-features= \
    --config 'source.crates-io.replace-with="vendored"' \
    --config 'source.vendored.directory="/usr/lib/rustlib/src/rust/library/vendor"'
installed=/usr/lib/rustlib/$target/lib
mkdir -p "$installed"
rm -f "target/$target/release/deps/libempty-"*
cp "target/$target/release/deps/"lib*.rlib "$installed"
ln -sfn /usr/lib/wasm32-wasi "$installed/self-contained"
