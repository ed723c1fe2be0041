//! Programs that clang compiles.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cache::{self, Inputs};
use crate::dialect::Dialect;
use crate::program::{Program, folder};
use crate::tool::{answer, run};
use crate::{BuildError, Size};

/// A clang that compiles for WASI.
struct Clang {
    dialect: Dialect,
    program: PathBuf,
    sysroot: PathBuf,
    version: String,
}

impl Clang {
    fn find(guest: &str, dialect: Dialect) -> Result<Self, BuildError> {
        let missing = |what| BuildError::Missing {
            guest: guest.to_owned(),
            what,
            remedy: dialect.remedy(),
        };
        let (programs, sysroot) = match std::env::var_os("WASI_SDK_PATH") {
            Some(sdk) => {
                let sdk = PathBuf::from(sdk);
                let program = sdk.join("bin").join(dialect.sdk_compiler());
                (vec![program], sdk.join("share/wasi-sysroot"))
            }
            None => (
                dialect.compilers().iter().map(PathBuf::from).collect(),
                PathBuf::from("/usr"),
            ),
        };
        if !sysroot.join("include/wasm32-wasi/wasi/api.h").exists() {
            return Err(missing("wasi-libc"));
        }
        let found = programs.into_iter().find_map(|program| {
            let version = answer(Command::new(&program).arg("--version"))?;
            let clang = Self {
                dialect,
                program,
                sysroot: sysroot.clone(),
                version,
            };
            (clang.can_link() && clang.can_compile()).then_some(clang)
        });
        found.ok_or_else(|| missing(dialect.what()))
    }

    /// Whether its linker and run-time library are installed too.
    fn can_link(&self) -> bool {
        let mut library = self.wasm();
        let Some(library) = answer(library.arg("-print-libgcc-file-name")) else {
            return false;
        };
        let mut linker = self.wasm();
        let linker = answer(linker.arg("-print-prog-name=wasm-ld")).unwrap_or_default();
        Path::new(library.trim()).exists() && Path::new(linker.trim()).is_absolute()
    }

    /// Whether it knows the flags and has the headers.
    fn can_compile(&self) -> bool {
        let (language, program) = self.dialect.probe();
        let mut command = self.wasm();
        command
            .args(["-fsyntax-only", "-x", language, "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::null());
        let accepted = command.spawn().and_then(|mut child| {
            // Dropped when it is written, which ends the compiler's input.
            let mut input = child.stdin.take().expect("it is piped");
            input.write_all(program.as_bytes())?;
            drop(input);
            child.wait()
        });
        accepted.is_ok_and(|status| status.success())
    }

    fn wasm(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--target=wasm32-wasi")
            // The newest compilers call the target otherwise; the C library has its old name.
            .arg("-Wno-deprecated")
            .arg("--sysroot")
            .arg(&self.sysroot)
            .args(self.dialect.wasm_flags());
        for headers in self.dialect.wasm_includes().into_iter().chain([headers()]) {
            command.arg("-I").arg(headers);
        }
        command
    }

    fn inputs(&self, flags: &[&str]) -> Inputs {
        let mut inputs = Inputs::default();
        inputs.word(&self.version);
        for flag in flags {
            inputs.word(flag);
        }
        inputs
    }

    /// Compiles for WASI.
    fn build(
        &self,
        guest: &str,
        mut inputs: Inputs,
        arguments: &Arguments<'_>,
    ) -> Result<Vec<u8>, BuildError> {
        for library in arguments.libraries {
            inputs.word(library);
        }
        let path = cache::made_once(guest, inputs, |made| {
            let mut command = self.wasm();
            command
                .args(arguments.flags)
                .args(arguments.sources)
                .args(arguments.libraries);
            run(guest, command.arg("-o").arg(made)).map(drop)
        })?;
        cache::read(&path)
    }
}

/// What a compiler is told.
struct Arguments<'a> {
    flags: &'a [&'a str],
    sources: &'a [PathBuf],
    libraries: &'a [&'a str],
}

/// For WASI. Names of functions stay, for readable stacks; the C library's debug information goes.
const STRIP: &str = "-Wl,--strip-debug";

/// No contraction: a fused multiply-add would round otherwise than two operations do.
fn flags(size: Size) -> &'static [&'static str] {
    match size {
        Size::Small => &[
            "-O2",
            "-ffp-contract=off",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-DSMALL",
        ],
        Size::Full => &["-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror"],
    }
}

pub(crate) fn ready(guest: &str, dialect: Dialect) -> Result<(), BuildError> {
    Clang::find(guest, dialect).map(drop)
}

pub(crate) fn build_wasm(
    program: &Program,
    dialect: Dialect,
    size: Size,
) -> Result<Vec<u8>, BuildError> {
    let clang = Clang::find(program.name, dialect)?;
    let flags = flags(size);
    let mut sources = vec![program.source()];
    sources.extend(dialect.wasm_sources());
    let mut inputs = with_sources(clang.inputs(flags), &sources)?;
    for flag in dialect.wasm_flags() {
        inputs.word(flag);
    }
    for folder in dialect.wasm_includes() {
        inputs.files(&folder)?;
    }
    let arguments = Arguments {
        flags,
        sources: &sources,
        libraries: &["-lm", STRIP],
    };
    clang.build(program.name, inputs, &arguments)
}

/// Compiles a program for this machine, to compare with; gives the path of the executable.
///
/// # Errors
///
/// As [`build`](crate::build); what clang does not compile by itself is unknown here.
pub fn build_native(name: &str, size: Size) -> Result<PathBuf, BuildError> {
    let program = crate::program(name).filter(|program| program.kind != crate::Kind::Sqlite);
    let found = program.and_then(|program| Some((program, program.kind.dialect()?)));
    let (program, dialect) = found.ok_or_else(|| BuildError::Unknown {
        name: name.to_owned(),
    })?;
    let clang = Clang::find(program.name, dialect)?;
    let flags = flags(size);
    let sources = [program.source()];
    let mut inputs = with_sources(clang.inputs(flags), &sources)?;
    inputs.word("native");
    cache::made_once(program.name, inputs, |made| {
        let mut command = Command::new(&clang.program);
        command
            .args(flags)
            .arg("-I")
            .arg(headers())
            .args(&sources)
            .arg("-lm")
            .arg("-o")
            .arg(made);
        run(program.name, &mut command).map(drop)
    })
}

/// The folder of the header that all programs share.
fn headers() -> PathBuf {
    folder().join("c")
}

fn with_sources(mut inputs: Inputs, sources: &[PathBuf]) -> Result<Inputs, BuildError> {
    for source in sources {
        inputs.file(source)?;
    }
    for header in ["guest.h", "graph.h"] {
        inputs.file(&headers().join(header))?;
    }
    Ok(inputs)
}

/// SQLite for a machine of one thread without files that are shared.
const SQLITE_FLAGS: &[&str] = &[
    "-O2",
    "-w",
    "-DSQLITE_THREADSAFE=0",
    "-DSQLITE_OMIT_LOAD_EXTENSION",
    "-DSQLITE_OMIT_WAL",
    "-DSQLITE_MAX_MMAP_SIZE=0",
    "-D_WASI_EMULATED_MMAN",
    "-D_WASI_EMULATED_GETPID",
    "-D_WASI_EMULATED_SIGNAL",
];

const SQLITE_LIBRARIES: &[&str] = &[
    "-lwasi-emulated-mman",
    "-lwasi-emulated-getpid",
    "-lwasi-emulated-signal",
    STRIP,
];

pub(crate) fn build_sqlite(program: &Program) -> Result<Vec<u8>, BuildError> {
    let clang = Clang::find(program.name, Dialect::C)?;
    let sqlite = sqlite_source(program.name)?;
    let sources = [program.source(), sqlite.join("sqlite3.c")];
    let include = format!("-I{}", sqlite.display());
    let flags: Vec<&str> = SQLITE_FLAGS
        .iter()
        .copied()
        .chain([include.as_str()])
        .collect();
    // Where the source lies decides over nothing.
    let inputs = with_sources(clang.inputs(SQLITE_FLAGS), &sources)?;
    let arguments = Arguments {
        flags: &flags,
        sources: &sources,
        libraries: SQLITE_LIBRARIES,
    };
    clang.build(program.name, inputs, &arguments)
}

/// Where cargo keeps the package that brings SQLite's source; it is fetched if it is not there.
fn sqlite_source(guest: &str) -> Result<PathBuf, BuildError> {
    let mut cargo = Command::new("cargo");
    cargo
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--manifest-path",
        ])
        .arg(folder().join("sqlite/Cargo.toml"));
    let metadata = run(guest, &mut cargo)?;
    manifest_of("libsqlite3-sys", &metadata)
        .and_then(|manifest| Some(manifest.parent()?.join("sqlite3")))
        .ok_or_else(|| BuildError::Compile {
            guest: guest.to_owned(),
            message: "cargo does not tell where libsqlite3-sys is".to_owned(),
        })
}

fn manifest_of(package: &str, metadata: &[u8]) -> Option<PathBuf> {
    let metadata: serde_json::Value = serde_json::from_slice(metadata).ok()?;
    let mut packages = metadata["packages"].as_array()?.iter();
    let package = packages.find(|candidate| candidate["name"] == package)?;
    Some(PathBuf::from(package["manifest_path"].as_str()?))
}
