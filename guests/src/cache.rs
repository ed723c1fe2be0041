//! What was built before.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::BuildError;
use crate::program::folder;

/// What a build depends on.
#[derive(Default)]
pub(crate) struct Inputs(Sha256);

impl Inputs {
    /// Something that decides over the result: a flag, a compiler's version.
    pub(crate) fn word(&mut self, word: impl AsRef<[u8]>) {
        let word = word.as_ref();
        self.0.update((word.len() as u64).to_le_bytes());
        self.0.update(word);
    }

    /// A source file.
    pub(crate) fn file(&mut self, path: &Path) -> Result<(), BuildError> {
        self.word(fs::read(path).map_err(|source| file_error(path, source))?);
        Ok(())
    }

    /// All files of a folder, by name; folders in it are not looked into.
    pub(crate) fn files(&mut self, directory: &Path) -> Result<(), BuildError> {
        let failed = |source| file_error(directory, source);
        let entries = fs::read_dir(directory).map_err(failed)?;
        let mut paths = entries
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(failed)?;
        paths.sort();
        for path in paths.into_iter().filter(|path| path.is_file()) {
            self.file(&path)?;
        }
        Ok(())
    }
}

/// The bytes that `make` puts into the file that it is given, or what it put there for the same
/// inputs before.
///
/// Tests run in processes of their own and ask for the same guest at the same time: each then
/// makes it, under a name of its own, and the last to move it into its place wins.
pub(crate) fn made_once(
    guest: &str,
    inputs: Inputs,
    make: impl FnOnce(&Path) -> Result<(), BuildError>,
) -> Result<PathBuf, BuildError> {
    let hash = inputs.0.finalize();
    let hash: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let directory = directory();
    let path = directory.join(format!("{guest}-{hash}"));
    if path.exists() {
        return Ok(path);
    }
    fs::create_dir_all(&directory).map_err(|source| file_error(&directory, source))?;
    let scratch =
        tempfile::tempdir_in(&directory).map_err(|source| file_error(&directory, source))?;
    let made = scratch.path().join("made");
    make(&made)?;
    fs::rename(&made, &path).map_err(|source| file_error(&path, source))?;
    Ok(path)
}

/// Where built guests are kept.
pub(crate) fn directory() -> PathBuf {
    folder().with_file_name("target").join("guests")
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    fs::read(path).map_err(|source| file_error(path, source))
}

fn file_error(path: &Path, source: std::io::Error) -> BuildError {
    BuildError::File {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(words: &[&str]) -> Inputs {
        let mut inputs = Inputs::default();
        for word in words {
            inputs.word(word);
        }
        inputs
    }

    #[test]
    fn the_same_inputs_are_built_once_and_others_anew() {
        let mut builds = 0;
        let mut make = |words: &[&str]| {
            made_once("cache-test", inputs(words), |path| {
                builds += 1;
                fs::write(path, "made").map_err(|source| file_error(path, source))
            })
            .unwrap()
        };
        let process = std::process::id().to_string();
        let (one, again) = (make(&[&process, "ab", "c"]), make(&[&process, "ab", "c"]));
        let other = make(&[&process, "a", "bc"]);
        assert_eq!(one, again);
        assert_ne!(one, other);
        fs::remove_file(one).unwrap();
        fs::remove_file(other).unwrap();
        assert_eq!(builds, 2);
    }

    #[test]
    fn a_failed_build_leaves_nothing() {
        let process = std::process::id().to_string();
        let words = [process.as_str(), "fails"];
        let refused = made_once("cache-test", inputs(&words), |_| {
            Err(BuildError::Unknown {
                name: String::new(),
            })
        });
        assert!(refused.is_err());
        let path = made_once("cache-test", inputs(&words), |path| {
            fs::write(path, "made").map_err(|source| file_error(path, source))
        });
        fs::remove_file(path.unwrap()).unwrap();
    }
}
