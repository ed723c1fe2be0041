//! From a path to a place in the tree.
//!
//! The walk keeps the directories that it came through, beginning with the one that the path is
//! relative to, so `..` can lead back but never above that: neither written in the path nor in a
//! symbolic link on the way. Absolute paths and links to such are refused likewise.

use super::abi::{Errno, FileType};
use super::files::Files;
use super::tree::NodeId;

/// Links that are followed in one path.
const LINKS_AT_MOST: usize = 40;
/// Bytes of a path.
const PATH_AT_MOST: usize = 4096;
/// Bytes of a name.
const NAME_AT_MOST: usize = 255;

/// Where a path leads: a name in a directory, which may have it or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) directory: NodeId,
    /// Empty when the path is the directory itself, such as `.` or `a/..`.
    pub(crate) name: String,
    pub(crate) node: Option<NodeId>,
    /// Whether the path ends with a slash.
    pub(crate) slash: bool,
}

impl Place {
    /// What is there.
    pub(crate) fn found(&self) -> Result<NodeId, Errno> {
        self.node.ok_or(Errno::Noent)
    }

    /// The name, for something that is to be made there.
    pub(crate) fn vacant(&self) -> Result<&str, Errno> {
        match self.node {
            Some(_) => Err(Errno::Exist),
            None => Ok(&self.name),
        }
    }

    /// The name, for something that is to be removed or moved.
    pub(crate) fn named(&self) -> Result<&str, Errno> {
        match self.name.as_str() {
            "" => Err(Errno::Inval),
            name => Ok(name),
        }
    }
}

/// Walks `path` from `base`. With `follow`, a symbolic link at the end is followed too.
pub(crate) fn resolve(
    files: &mut Files,
    base: NodeId,
    path: &str,
    follow: bool,
) -> Result<Place, Errno> {
    if path.is_empty() {
        return Err(Errno::Noent);
    }
    let mut rest = Vec::new();
    push(&mut rest, path)?;
    let slash = path.ends_with('/');
    let mut way = vec![base];
    let mut links = 0;
    let mut place = None;
    while let Some(name) = rest.pop() {
        let directory = *way.last().expect("the base is never left");
        if files.file_type(directory) != FileType::Directory {
            return Err(Errno::Notdir);
        }
        place = None;
        match name.as_str() {
            "." => continue,
            ".." => {
                way.pop();
                if way.is_empty() {
                    return Err(Errno::Perm);
                }
                continue;
            }
            _ => {}
        }
        let node = files.lookup(directory, &name)?;
        let last = rest.is_empty();
        match node {
            Some(link)
                if files.file_type(link) == FileType::SymbolicLink
                    && (!last || follow || slash) =>
            {
                links += 1;
                if links > LINKS_AT_MOST {
                    return Err(Errno::Loop);
                }
                push(&mut rest, files.target(link)?)?;
            }
            Some(found) if !last => way.push(found),
            None if !last => return Err(Errno::Noent),
            node => {
                place = Some(Place {
                    directory,
                    name,
                    node,
                    slash,
                });
            }
        }
    }
    let here = *way.last().expect("the base is never left");
    let place = place.unwrap_or(Place {
        directory: here,
        name: String::new(),
        node: Some(here),
        slash,
    });
    match place.node {
        Some(node) if slash && files.file_type(node) != FileType::Directory => Err(Errno::Notdir),
        _ => Ok(place),
    }
}

/// Puts the components of `path` on `rest`, the first on top.
fn push(rest: &mut Vec<String>, path: &str) -> Result<(), Errno> {
    if path.starts_with('/') {
        return Err(Errno::Perm);
    }
    if path.len() > PATH_AT_MOST {
        return Err(Errno::Nametoolong);
    }
    for name in path.rsplit('/').filter(|name| !name.is_empty()) {
        if name.len() > NAME_AT_MOST {
            return Err(Errno::Nametoolong);
        }
        rest.push(name.to_owned());
    }
    Ok(())
}
