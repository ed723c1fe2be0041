//! What comes out for small modules, as text: `tests/golden/NAME.wat` becomes `NAME.out.wat`, and
//! a continuation for each of its stops `NAME.resume.wat`.
//!
//! `BLESS=1 cargo test -p leap-instrument --test golden` writes them anew.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use leap_instrument::{Analysis, Options};

#[test]
fn golden() -> Result<()> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .context("a file")?
            .to_string_lossy()
            .into_owned();
        if let Some(stem) = name.strip_suffix(".wat").filter(|stem| !stem.contains('.')) {
            one(&folder, stem).with_context(|| name.clone())?;
            seen += 1;
        }
    }
    ensure!(seen > 0, "no module in {}", folder.display());
    Ok(())
}

fn one(folder: &Path, stem: &str) -> Result<()> {
    let wasm = wat::parse_file(folder.join(format!("{stem}.wat")))?;
    let options = Options {
        slice_instructions: 1000,
        ..Options::default()
    };
    let (analysis, instrumented) = Analysis::new(&wasm, &options)?;
    let stops: Vec<(u32, u32)> = instrumented
        .stop_map
        .functions
        .iter()
        .flat_map(|function| {
            (0..)
                .zip(&function.stops)
                .map(|(stop, _)| (function.function, stop))
        })
        .collect();
    let module = wasmprinter::print_bytes(&instrumented.module)?;
    same_or_bless(&folder.join(format!("{stem}.out.wat")), &module)?;
    let continuations = wasmprinter::print_bytes(analysis.continuations(&stops)?)?;
    same_or_bless(&folder.join(format!("{stem}.resume.wat")), &continuations)
}

fn same_or_bless(path: &Path, text: &str) -> Result<()> {
    if std::env::var_os("BLESS").is_some() {
        return Ok(std::fs::write(path, text)?);
    }
    let golden = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
    ensure!(
        golden == text,
        "{} differs from what comes out now; BLESS=1 accepts it:\n{text}",
        path.display()
    );
    Ok(())
}
