//! The repository's own text files: sources and documents, without build output.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// One file of the repository.
pub(crate) struct File {
    /// Path from the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// All files below `root` whose name ends in `.extension`, in the order of their paths.
///
/// Build output (`target`, `node_modules`) and hidden folders are left out.
///
/// # Errors
/// When a folder or a file cannot be read.
pub(crate) fn with_extension(root: &Path, extension: &str) -> Result<Vec<File>> {
    let mut paths = Vec::new();
    collect(root, extension, &mut paths)?;
    paths.sort();
    paths.iter().map(|path| read(root, path)).collect()
}

fn collect(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        let kind = entry.file_type()?;
        if kind.is_dir() && !is_skipped(&entry.file_name().to_string_lossy()) {
            collect(&path, extension, found)?;
        } else if kind.is_file() && path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    Ok(())
}

fn is_skipped(folder: &str) -> bool {
    folder.starts_with('.') || folder == "target" || folder == "node_modules"
}

fn read(root: &Path, path: &Path) -> Result<File> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let path = path.strip_prefix(root).expect("found below the root");
    Ok(File {
        path: path.to_string_lossy().replace('\\', "/"),
        text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_sources_and_skips_build_output() {
        let root = tempfile::tempdir().unwrap();
        for path in [
            "b/src/lib.rs",
            "a.rs",
            "a.md",
            "target/debug/x.rs",
            ".git/y.rs",
            "t/node_modules/z.rs",
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "text").unwrap();
        }
        let files = with_extension(root.path(), "rs").unwrap();
        let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["a.rs", "b/src/lib.rs"]);
    }
}
