//! Claiming a name in a local directory.

use std::sync::Arc;

use super::chain::Chain;
use super::disk::{Folder, Name, is_missing};
use super::writer::{Current, Writer};
use super::{Local, READ_ATTEMPTS};
use crate::format::batch::Mark;
use crate::format::identity;
use crate::format::segment::{FileHeader, Parent};
use crate::journal::{Index, Queue, Segment};
use crate::random::draw;
use crate::{Recovered, StoreError, StoreOptions};

/// Claims `name` with the next incarnation and reads what is durable.
///
/// The order of the steps is the argument of [`super`]: own the name, read, adopt, look again.
pub(super) fn claim(
    local: &Local,
    name: &str,
    folder: &Folder,
    options: &StoreOptions,
) -> Result<(Arc<Writer>, Recovered), StoreError> {
    folder.disk.create_directory(&folder.path)?;
    let (incarnation, identity) = own(folder)?;
    take_over(local, name, folder.clone(), incarnation, identity, options)
        .map_err(|error| unless_fenced(error, folder, name, incarnation))
}

/// A newer claim deletes what this incarnation is writing, which then fails for no reason of its own.
pub(super) fn unless_fenced(
    error: StoreError,
    folder: &Folder,
    name: &str,
    incarnation: u64,
) -> StoreError {
    let names = folder.disk.list(&folder.path).unwrap_or_default();
    match newest(&names) {
        Some(by) if by > incarnation => StoreError::Fenced {
            name: name.to_owned(),
            incarnation,
            by,
        },
        _ => error,
    }
}

fn take_over(
    local: &Local,
    name: &str,
    folder: Folder,
    incarnation: u64,
    identity: u64,
    options: &StoreOptions,
) -> Result<(Arc<Writer>, Recovered), StoreError> {
    let (recovered, mut index, live) = read(&folder)?;
    let current = adopt(&folder, &mut index, incarnation)?;
    let writer = Writer {
        queue: Queue::new(
            options.group_commit,
            options.max_in_flight,
            std::time::Instant::now,
            recovered.version(),
            current.position(),
            live,
        ),
        index: index.into(),
        name: name.to_owned(),
        incarnation,
        identity,
        folder,
        segment_bytes: options.segment_bytes,
        latency: options.latency,
        pool: Arc::clone(&local.pool),
        timer: Arc::clone(&local.timer),
        current: current.into(),
    };
    writer.check_claim()?;
    delete_leftovers(&writer)?;
    Ok((Arc::new(writer), recovered))
}

/// The highest incarnation among file names.
pub(super) fn newest(names: &[String]) -> Option<u64> {
    let claims = names.iter().filter_map(|name| match Name::parse(name) {
        Some(Name::Claim { incarnation }) => Some(incarnation),
        _ => None,
    });
    claims.max()
}

/// Makes the next incarnation's claim file, durably, and the journal's identity before the first.
///
/// The lock makes listing and creating one step: a claimer with an old list could otherwise make a number again that was
/// claimed, overtaken and deleted meanwhile, and [`Writer::check_claim`] relies on that never happening.
fn own(folder: &Folder) -> Result<(u64, u64), StoreError> {
    let _lock = folder.disk.lock_directory(&folder.path)?;
    let identity = identify(folder)?;
    let newest = newest(&folder.disk.list(&folder.path)?).unwrap_or(0);
    folder.disk.create_new(&folder.claim(newest + 1))?;
    folder.disk.sync_directory(&folder.path)?;
    Ok((newest + 1, identity))
}

/// Reads the journal's identity, or draws it if nobody has yet.
fn identify(folder: &Folder) -> Result<u64, StoreError> {
    let path = folder.identity();
    match folder.disk.read(&path) {
        Ok(bytes) => identity::decode(&bytes).map_err(|error| error.of(path.display().to_string())),
        Err(error) if is_missing(&error) => {
            let identity = draw();
            folder.disk.write_file(&path, &identity::encode(identity))?;
            Ok(identity)
        }
        Err(error) => Err(error),
    }
}

/// Reads the journal. The incarnation before may still be pruning, so what looks damaged is looked at anew: it wrote the
/// checkpoint that replaces what it deletes before it deletes, so a list made after the deletion has the checkpoint.
fn read(folder: &Folder) -> Result<(Recovered, Index, Vec<Mark>), StoreError> {
    let mut attempt = 1;
    loop {
        match try_read(folder) {
            Err(error) if may_be_pruning(&error) && attempt < READ_ATTEMPTS => attempt += 1,
            done => return done,
        }
    }
}

fn may_be_pruning(error: &StoreError) -> bool {
    is_missing(error) || matches!(error, StoreError::Corrupt { .. })
}

fn try_read(folder: &Folder) -> Result<(Recovered, Index, Vec<Mark>), StoreError> {
    let names = names(folder)?;
    let mut chain = Chain::read(folder, &names)?;
    chain.drop_empty_end();
    chain.recover(folder, |incarnation, number| {
        names.contains(&Name::Image {
            incarnation,
            number,
        })
    })
}

fn names(folder: &Folder) -> Result<Vec<Name>, StoreError> {
    let names = folder.disk.list(&folder.path)?;
    Ok(names.iter().filter_map(|name| Name::parse(name)).collect())
}

/// Makes this incarnation's first segment, which says durably how much of the older ones counts.
fn adopt(folder: &Folder, index: &mut Index, incarnation: u64) -> Result<Current, StoreError> {
    let last = index.segments.back();
    let header = FileHeader {
        incarnation,
        sequence: last.map_or(1, |last| last.sequence + 1),
        parent: last.map(|last| Parent {
            incarnation: last.incarnation,
            length: last.length,
        }),
    };
    let current = Current::create(folder, header)?;
    index.segments.push_back(Segment {
        sequence: header.sequence,
        incarnation,
        length: current.position().length,
        newest: None,
    });
    Ok(current)
}

/// Deletes what is not part of the journal: what fenced incarnations wrote, what crashes left, older claims.
///
/// This comes after the claim was found to be the newest with its segment in place, so a later claimer sees this
/// segment and relies on nothing that is deleted here. Claims go from the oldest on, see [`Writer::check_claim`].
fn delete_leftovers(writer: &Writer) -> Result<(), StoreError> {
    let folder = &writer.folder;
    let names = folder.disk.list(&folder.path)?;
    let known = names
        .into_iter()
        .filter_map(|name| Some((Name::parse(&name)?, name)));
    let mut older: Vec<_> = known
        .filter(|(name, _)| name.incarnation() < writer.incarnation)
        .collect();
    older.sort_by_key(|(name, _)| name.incarnation());
    let index = writer.index.lock();
    let live = writer
        .queue
        .with_checkpoints(|checkpoints| checkpoints.live.clone());
    let is_needed = |name: Name| match name {
        Name::Claim { .. } | Name::Temporary { .. } => false,
        Name::Segment {
            sequence,
            incarnation,
        } => index.contains(sequence, incarnation),
        Name::Image {
            incarnation,
            number,
        } => live
            .iter()
            .any(|mark| (mark.incarnation, mark.number) == (incarnation, number)),
    };
    for (_, file) in older.iter().filter(|(name, _)| !is_needed(*name)) {
        folder.disk.delete(&folder.path.join(file))?;
    }
    Ok(())
}
