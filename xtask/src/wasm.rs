//! `leap-core` builds for bare WebAssembly and needs nothing from a host.
//!
//! The target `wasm32-unknown-unknown` has no clock, no randomness and no I/O, so code that
//! wants one of them does not build, does not link or shows it as an import. Compiler and linker
//! are told to keep all of `leap-core`; left alone, they drop what nobody exports.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::metadata;
use crate::workspace::Workspace;

/// What Rust calls bare WebAssembly.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Builds `leap-core` for WebAssembly and looks at its imports.
///
/// # Errors
/// When the target is not installed, when it does not build, or imports something.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    if !is_target_installed(workspace) {
        bail!("the target {TARGET} is not installed: run `cargo xtask setup`");
    }
    workspace.run(&format!(
        "cargo rustc --quiet --locked --package leap-core --lib --crate-type cdylib --target {TARGET} \
         -- -C link-dead-code -C link-arg=--no-gc-sections"
    ))?;
    let module = metadata::target_directory(workspace)?
        .join(TARGET)
        .join("debug/leap_core.wasm");
    let bytes = fs::read(&module).with_context(|| format!("cannot read {}", module.display()))?;
    let imports =
        imports(&bytes).with_context(|| format!("{} is not a Wasm module", module.display()))?;
    if let Some(import) = imports.first() {
        bail!("leap-core imports {import} from its host: the protocol must not know one");
    }
    Ok(())
}

/// Whether rustc has a standard library for the target, however it came there.
pub(crate) fn is_target_installed(workspace: &Workspace) -> bool {
    let folder = workspace.read(&format!("rustc --print target-libdir --target {TARGET}"));
    folder.is_ok_and(|folder| Path::new(folder.trim()).exists())
}

/// The imports of a module as `module.name`, in order.
///
/// ```text
/// 00 "asm" 01000000 | id size contents | id size contents | ...      ids: 2 = imports
/// contents of 2: count | module name | name | kind description | ...
/// ```
fn imports(module: &[u8]) -> Result<Vec<String>> {
    let Some(sections) = module.strip_prefix(b"\0asm\x01\0\0\0") else {
        bail!("wrong header")
    };
    let mut rest = Reader(sections);
    while !rest.0.is_empty() {
        let id = rest.byte()?;
        let size = rest.number()?;
        let contents = rest.bytes(size)?;
        if id == 2 {
            return Reader(contents).imports();
        }
    }
    Ok(Vec::new())
}

/// Reads Wasm's binary format from the front of a slice.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn imports(&mut self) -> Result<Vec<String>> {
        let count = self.number()?;
        let mut imports = Vec::new();
        for _ in 0..count {
            imports.push(format!("{}.{}", self.name()?, self.name()?));
            self.skip_description()?;
        }
        Ok(imports)
    }

    fn skip_description(&mut self) -> Result<()> {
        match self.byte()? {
            0 => drop(self.number()?),
            1 => {
                self.byte()?;
                self.skip_limits()?;
            }
            2 => self.skip_limits()?,
            3 => drop(self.bytes(2)?),
            kind => bail!("import of unknown kind {kind}"),
        }
        Ok(())
    }

    fn skip_limits(&mut self) -> Result<()> {
        let has_maximum = self.byte()? & 1 == 1;
        self.number()?;
        if has_maximum {
            self.number()?;
        }
        Ok(())
    }

    fn name(&mut self) -> Result<&'a str> {
        let size = self.number()?;
        std::str::from_utf8(self.bytes(size)?).context("a name is not UTF-8")
    }

    /// An unsigned LEB128 number of up to 32 bits.
    fn number(&mut self) -> Result<usize> {
        let mut number = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            number |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        bail!("a number has more than 32 bits")
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.bytes(1)?[0])
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .context("it ends too early")?;
        self.0 = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(import "env" "now" (func (type 0)))`, a memory and a global, behind an empty type section.
    const MODULE: &[u8] = b"\0asm\x01\0\0\0\
        \x01\x01\x00\
        \x02\x1e\x03\
        \x03env\x03now\x00\x00\
        \x03env\x01m\x02\x01\x01\x02\
        \x03env\x01g\x03\x7f\x00";

    #[test]
    fn finds_every_import() {
        assert_eq!(imports(MODULE).unwrap(), ["env.now", "env.m", "env.g"]);
    }

    #[test]
    fn a_module_without_imports_has_none() {
        assert_eq!(
            imports(b"\0asm\x01\0\0\0\x01\x01\x00").unwrap(),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_cut_module_is_an_error() {
        for end in (0..MODULE.len()).filter(|&end| end != 8 && end != 11) {
            assert!(imports(&MODULE[..end]).is_err(), "cut at {end}");
        }
    }
}
