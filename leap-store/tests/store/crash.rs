//! Crash images of a local directory: cut at every byte, damaged at every byte, and a process killed for real.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use leap_store::{Claim, Recovered, Store, StoreError, StoreOptions};
use tempfile::TempDir;

/// A directory's files.
type Image = BTreeMap<PathBuf, Vec<u8>>;

fn load(directory: &Path) -> Result<Image> {
    let mut image = Image::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                image.insert(path.strip_prefix(directory)?.to_owned(), fs::read(&path)?);
            }
        }
    }
    Ok(image)
}

fn restore(image: &Image) -> Result<TempDir> {
    let directory = TempDir::new()?;
    for (path, content) in image {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().context("files lie in folders")?)?;
        fs::write(path, content)?;
    }
    Ok(directory)
}

async fn open(directory: &Path, options: StoreOptions) -> Result<Store> {
    Ok(Store::open(directory.to_str().context("a UTF-8 path")?, options).await?)
}

async fn claim(directory: &Path) -> Result<Result<Claim, StoreError>> {
    Ok(open(directory, StoreOptions::default())
        .await?
        .claim("crash")
        .await)
}

/// The one segment in an image.
fn segment(image: &Image) -> Result<PathBuf> {
    let mut segments = image
        .keys()
        .filter(|path| path.extension().is_some_and(|end| end == "segment"));
    let segment = segments.next().context("there is a segment")?;
    ensure!(segments.next().is_none(), "there is one segment");
    Ok(segment.clone())
}

/// A journal of one segment with one entry per batch: its files, and what is recovered from its first n batches, for
/// each n, with the length of these batches.
async fn history() -> Result<(Image, Vec<(usize, Recovered)>)> {
    let directory = TempDir::new()?;
    let store = open(directory.path(), StoreOptions::default()).await?;
    let journal = store.claim("crash").await?.journal;
    let mut states = Vec::new();
    let mut note = async |journal: &leap_store::Journal| -> Result<()> {
        let length = 48 + usize::try_from(journal.statistics().bytes)?;
        states.push((length, journal.read(u64::MAX).await?));
        Ok(())
    };
    note(&journal).await?;
    for version in 1..=3 {
        journal
            .append(version, vec![version as u8; 5].into())
            .await?;
        note(&journal).await?;
    }
    journal.checkpoint(2, "up to 2".into()).await?;
    note(&journal).await?;
    journal.truncate(2).await?;
    note(&journal).await?;
    // The number 3 is used again: a cut between the two must not bring the first one back.
    journal.append(3, "a second 3".into()).await?;
    note(&journal).await?;
    journal.append(4, "btch and nothing else".into()).await?;
    note(&journal).await?;
    Ok((load(directory.path())?, states))
}

/// The newest state whose batches are within `length`.
fn state_within(states: &[(usize, Recovered)], length: usize) -> &(usize, Recovered) {
    states
        .iter()
        .rev()
        .find(|(end, _)| *end <= length)
        .expect("the first state is empty")
}

fn check(recovered: &Recovered, expected: &Recovered, context: &str) -> Result<()> {
    ensure!(
        recovered.checkpoint == expected.checkpoint,
        "{context}: {recovered:?}"
    );
    ensure!(
        recovered.records == expected.records,
        "{context}: {recovered:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_tail_cut_at_any_byte_leaves_whole_batches() -> Result<()> {
    let (mut image, states) = history().await?;
    let segment = segment(&image)?;
    let whole = image[&segment].clone();
    let end = states.last().context("there are states")?.0;
    for cut in 48..=end {
        // The file may have been shortened, or the rest may never have reached the zeros written ahead.
        for content in [
            whole[..cut].to_vec(),
            [&whole[..cut], &vec![0; whole.len() - cut]].concat(),
        ] {
            let is_short = content.len() == cut;
            image.insert(segment.clone(), content);
            let directory = restore(&image)?;
            let context = format!("cut at {cut}, short: {is_short}");
            let claimed = claim(directory.path()).await?.context(context.clone())?;
            // A cut within trailing zeros changes nothing when zeros follow.
            let good = if is_short {
                cut
            } else {
                cut + whole[cut..end]
                    .iter()
                    .take_while(|&&byte| byte == 0)
                    .count()
            };
            let (length, expected) = state_within(&states, good);
            check(&claimed.recovered, expected, &context)?;
            if is_short {
                let torn = claimed.recovered.torn_tail.is_some();
                let rest_is_zero = whole[*length..cut].iter().all(|&byte| byte == 0);
                assert_eq!(torn, !rest_is_zero, "{context}");
            }
            if !is_short {
                continue;
            }
            // Life goes on, and the next claim does not see the torn tail again.
            let next = claimed.recovered.version().unwrap_or(0) + 1;
            claimed.journal.append(next, "after".into()).await?;
            let again = claim(directory.path()).await?.context(context)?;
            assert_eq!(again.recovered.version(), Some(next));
            assert_eq!(again.recovered.torn_tail, None);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_flipped_bit_is_told_or_tears_the_last_batch() -> Result<()> {
    let (mut image, states) = history().await?;
    let segment = segment(&image)?;
    let whole = image[&segment].clone();
    let [.., (last, before), (end, complete)] = states.as_slice() else {
        anyhow::bail!("there are states")
    };
    for at in 0..*end {
        let mut content = whole.clone();
        content[at] ^= 1 << (at % 8);
        image.insert(segment.clone(), content);
        let directory = restore(&image)?;
        let context = format!("bit flipped at {at}");
        match claim(directory.path()).await? {
            Ok(claimed) => {
                assert!(at >= *last, "{context} is not noticed");
                check(&claimed.recovered, before, &context)?;
                assert!(claimed.recovered.torn_tail.is_some(), "{context}");
            }
            Err(StoreError::Corrupt { .. }) => assert!(at < *last, "{context} is in the tail"),
            // Some flips in the format number look like the future.
            Err(StoreError::NewerFormat { .. }) => assert!((8..12).contains(&at), "{context}"),
            Err(error) => return Err(error).context(context),
        }
    }
    image.insert(segment, whole);
    check(
        &claim(restore(&image)?.path()).await??.recovered,
        complete,
        "undamaged",
    )
}

/// A journal of many segments by two incarnations, with a checkpoint in the middle.
async fn long_history() -> Result<(Image, Recovered)> {
    let directory = TempDir::new()?;
    let options = StoreOptions {
        segment_bytes: 256,
        ..StoreOptions::default()
    };
    let store = open(directory.path(), options).await?;
    for incarnation in 0..2 {
        let journal = store.claim("crash").await?.journal;
        for version in incarnation * 20 + 1..=incarnation * 20 + 20 {
            journal
                .append(version, vec![version as u8; 20].into())
                .await?;
        }
        journal
            .checkpoint(incarnation * 20 + 5, "image".into())
            .await?;
    }
    let recovered = store.claim("crash").await?.recovered;
    Ok((load(directory.path())?, recovered))
}

#[tokio::test]
async fn damage_to_what_was_sealed_is_an_error() -> Result<()> {
    let (image, recovered) = long_history().await?;
    check(
        &claim(restore(&image)?.path()).await??.recovered,
        &recovered,
        "undamaged",
    )?;
    let is_sealed = |path: &&PathBuf| path.extension().is_some_and(|end| end == "segment");
    let sealed: Vec<_> = image.keys().filter(is_sealed).collect();
    // The newest segment, that of the last claim, is still empty.
    for path in &sealed[..sealed.len() - 1] {
        let used = image[*path]
            .iter()
            .rposition(|&byte| byte != 0)
            .context("not empty")?
            + 1;
        for (what, cut) in [("shortened", used - 9), ("headless", 20), ("emptied", 0)] {
            let mut damaged = image.clone();
            damaged.insert((*path).clone(), image[*path][..cut].to_vec());
            let claimed = claim(restore(&damaged)?.path()).await?;
            let told = matches!(claimed, Err(StoreError::Corrupt { .. }));
            assert!(told, "{} {what}", path.display());
        }
    }
    // Only the beginning can be missing by right, and only up to a checkpoint.
    for missing in &sealed[..sealed.len() - 1] {
        let mut damaged = image.clone();
        damaged.remove(*missing);
        match claim(restore(&damaged)?.path()).await? {
            Err(StoreError::Corrupt { .. }) => {}
            Err(error) => return Err(error.into()),
            Ok(claimed) => check(&claimed.recovered, &recovered, "a pruned beginning")?,
        }
    }
    for path in image
        .keys()
        .filter(|path| path.extension().is_some_and(|e| e == "checkpoint"))
    {
        let newest = recovered.checkpoint.as_ref().context("a checkpoint")?;
        for at in 0..image[path].len() {
            let mut damaged = image.clone();
            damaged.get_mut(path).context("the image")?[at] ^= 0x80;
            match claim(restore(&damaged)?.path()).await? {
                Err(StoreError::Corrupt { .. } | StoreError::NewerFormat { .. }) => {}
                Err(error) => return Err(error.into()),
                // The older checkpoint is not needed.
                Ok(claimed) => {
                    assert_eq!(claimed.recovered.checkpoint.as_ref(), Some(newest));
                    assert!(path.to_str().is_some_and(|path| path.contains("0001-")));
                }
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_a_crash_leaves_beside_the_journal_is_ignored_and_removed() -> Result<()> {
    let (mut image, states) = history().await?;
    let folder = segment(&image)?.parent().context("a folder")?.to_owned();
    let segment = segment(&image)?;
    // A claim that crashed before it wrote its segment, a half-written one, an image without a mark.
    image.insert(folder.join("0000000000000002.claim"), Vec::new());
    image.insert(
        folder.join("0000000000000002-0000000000000002.segment.tmp"),
        vec![1; 20],
    );
    image.insert(
        folder.join("0000000000000001-0000000000000009.checkpoint"),
        vec![1; 20],
    );
    let directory = restore(&image)?;
    let claimed = claim(directory.path()).await??;
    assert_eq!(claimed.incarnation, 3);
    check(
        &claimed.recovered,
        &states.last().context("states")?.1,
        "with leftovers",
    )?;
    let left = load(directory.path())?;
    assert_eq!(
        left.len(),
        5,
        "two segments, a checkpoint, a claim, the identity: {:?}",
        left.keys()
    );
    assert!(left.contains_key(&segment));
    Ok(())
}

const CHILD: &str = "LEAP_STORE_TEST_CHILD";

#[tokio::test]
async fn a_killed_process_loses_nothing_that_it_told() -> Result<()> {
    let directory = TempDir::new()?;
    let mut told = 0;
    for _ in 0..5 {
        let mut child = Command::new(std::env::current_exe()?)
            .args([
                "--exact",
                "crash::child_that_is_killed",
                "--ignored",
                "--nocapture",
            ])
            .env(CHILD, directory.path())
            .stdout(Stdio::piped())
            .spawn()?;
        let lines = BufReader::new(child.stdout.take().context("it is piped")?).lines();
        let mut seen = 0;
        for line in lines {
            let Some(version) = line?.strip_prefix("durable ").map(str::parse::<u64>) else {
                continue;
            };
            told = version?;
            seen += 1;
            if seen == 100 {
                child.kill()?;
            }
        }
        child.wait()?;
        ensure!(seen >= 100, "the child wrote {seen} records");
        let recovered = claim(directory.path()).await??.recovered;
        let newest = recovered.version().unwrap_or(0);
        assert!(newest >= told, "{told} was told, {newest} is there");
        assert_eq!(recovered.records.len() as u64, newest);
    }
    Ok(())
}

#[test]
#[ignore = "runs as a child process of another test"]
fn child_that_is_killed() -> Result<()> {
    let Some(directory) = std::env::var_os(CHILD) else {
        return Ok(());
    };
    tokio::runtime::Runtime::new()?.block_on(async {
        let claimed = claim(Path::new(&directory)).await??;
        let mut version = claimed.recovered.version().unwrap_or(0);
        loop {
            for _ in 0..8 {
                version += 1;
                drop(claimed.journal.append(version, vec![7; 100].into()));
            }
            claimed.journal.flush().await?;
            println!("durable {version}");
        }
    })
}
