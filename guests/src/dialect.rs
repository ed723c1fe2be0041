//! What the programs that clang compiles are written in, and what each takes.

use std::path::PathBuf;

use crate::program::folder;

/// A language as clang is to understand it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    C,
    /// C++ without exceptions: no packaged C++ library for WebAssembly has them.
    Cxx,
    /// C with `setjmp` and `longjmp`, which become exceptions: `setjmp/runtime.c`.
    Setjmp,
}

impl Dialect {
    /// Names of compilers, those first that the project's figures were made with. Debian's plain
    /// `clang` (14) is older than its wasi-libc expects.
    pub(crate) fn compilers(self) -> &'static [&'static str] {
        match self {
            Self::C => &["clang-19", "clang-20", "clang-21", "clang-22", "clang"],
            Self::Cxx => &[
                "clang++-19",
                "clang++-20",
                "clang++-21",
                "clang++-22",
                "clang++",
            ],
            // Older ones crash, or write exceptions that engines do not read any more.
            Self::Setjmp => &["clang-22", "clang"],
        }
    }

    /// The compiler's name in a WASI SDK.
    pub(crate) fn sdk_compiler(self) -> &'static str {
        match self {
            Self::C | Self::Setjmp => "clang",
            Self::Cxx => "clang++",
        }
    }

    /// Flags for WASI, beyond those for any machine.
    pub(crate) fn wasm_flags(self) -> &'static [&'static str] {
        match self {
            Self::C => &[],
            Self::Cxx => &["-stdlib=libc++", "-fno-exceptions"],
            Self::Setjmp => &[
                "-mexception-handling",
                "-mllvm",
                "-wasm-enable-sjlj",
                "-mllvm",
                "-wasm-use-legacy-eh=false",
                // Where binaryen is installed clang has it optimise, and it may be too old for these exceptions.
                "--no-wasm-opt",
            ],
        }
    }

    /// Folders of headers for WASI.
    pub(crate) fn wasm_includes(self) -> Vec<PathBuf> {
        match self {
            Self::C | Self::Cxx => Vec::new(),
            Self::Setjmp => vec![folder().join("setjmp")],
        }
    }

    /// Sources for WASI beside the program's.
    pub(crate) fn wasm_sources(self) -> Vec<PathBuf> {
        match self {
            Self::C | Self::Cxx => Vec::new(),
            Self::Setjmp => ["runtime.c", "tag.s"]
                .map(|file| folder().join("setjmp").join(file))
                .to_vec(),
        }
    }

    /// A program that only a compiler with all that it takes accepts: what it is written in, and
    /// the program.
    pub(crate) fn probe(self) -> (&'static str, &'static str) {
        match self {
            Self::C => ("c", "#include <stdlib.h>\n"),
            Self::Cxx => ("c++", "#include <map>\n"),
            Self::Setjmp => ("c", "#include <setjmp.h>\njmp_buf to;\n"),
        }
    }

    /// What is missing when there is no such compiler.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::C => "clang and lld for WebAssembly",
            Self::Cxx => "clang and libc++ for WebAssembly",
            Self::Setjmp => "clang 22 and lld for WebAssembly",
        }
    }

    /// What to do then, in one line.
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::C => {
                "run `cargo xtask setup`, or install it (Debian: `sudo apt-get install clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32`), or unpack a WASI SDK and set WASI_SDK_PATH to it"
            }
            Self::Cxx => {
                "run `cargo xtask setup`, or install it (Debian: `sudo apt-get install clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32 libc++-19-dev-wasm32 libc++abi-19-dev-wasm32`), or unpack a WASI SDK and set WASI_SDK_PATH to it"
            }
            Self::Setjmp => {
                "run `cargo xtask setup`, or install it (Debian: `sudo apt-get install clang-22 lld-22 wasi-libc libclang-rt-22-dev-wasm32`), or unpack a WASI SDK with clang 22 and set WASI_SDK_PATH to it"
            }
        }
    }
}
