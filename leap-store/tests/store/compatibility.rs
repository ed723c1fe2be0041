//! Directories written by older programs are read by this one; those of newer programs are refused.
//!
//! `BLESS=1 cargo nextest run -p leap-store compatibility` writes the directory of the current format. Do that once per
//! format and keep the directories of the older ones.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use leap_store::{Store, StoreError, StoreOptions};
use tempfile::TempDir;

const FORMAT: u32 = 1;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/format-{FORMAT}"))
}

async fn open(directory: &Path) -> Result<Store> {
    let options = StoreOptions {
        segment_bytes: 128,
        ..StoreOptions::default()
    };
    Ok(Store::open(directory.to_str().context("a UTF-8 path")?, options).await?)
}

async fn write(directory: &Path) -> Result<()> {
    let store = open(directory).await?;
    let journal = store.claim("hotel/7").await?.journal;
    for version in 1..=9 {
        journal
            .append(version, format!("record {version}").into())
            .await?;
    }
    journal.checkpoint(3, "image of 3".into()).await?;
    journal.prune(3).await?;
    journal.checkpoint(8, "void".into()).await?;
    journal.truncate(6).await?;
    journal.append(7, "record 7, again".into()).await?;
    let journal = store.claim("hotel/7").await?.journal;
    journal
        .append(8, "record 8, by the second incarnation".into())
        .await?;
    let register = store.register("leader")?;
    let tag = register.compare_and_swap(None, "node 1".into()).await?;
    register
        .compare_and_swap(Some(&tag), "node 2".into())
        .await?;
    Ok(())
}

/// Copies a directory; with `trim`, without most of the zeros that segments end with.
fn copy(from: &Path, to: &Path, trim: bool) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (path, to) = {
            let entry = entry?;
            (entry.path(), to.join(entry.file_name()))
        };
        if path.is_dir() {
            copy(&path, &to, trim)?;
            continue;
        }
        let mut content = fs::read(&path)?;
        if trim && path.extension().is_some_and(|end| end == "segment") {
            let used = content
                .iter()
                .rposition(|&byte| byte != 0)
                .map_or(0, |last| last + 1);
            content.truncate((used + 64).next_multiple_of(64));
        }
        fs::write(to, content)?;
    }
    Ok(())
}

#[tokio::test]
async fn every_format_so_far_is_read() -> Result<()> {
    if std::env::var_os("BLESS").is_some() {
        let directory = TempDir::new()?;
        write(directory.path()).await?;
        copy(directory.path(), &golden(), true)?;
    }
    let directory = TempDir::new()?;
    copy(&golden(), directory.path(), false)?;
    let store = open(directory.path()).await?;
    assert_eq!(store.names().await?, ["hotel/7"]);
    let claim = store.claim("hotel/7").await?;
    assert_eq!(claim.incarnation, 3);
    let image = claim
        .recovered
        .checkpoint
        .as_ref()
        .context("a checkpoint")?;
    assert_eq!(
        (image.version, image.payload.as_ref()),
        (3, b"image of 3".as_slice())
    );
    let records = claim.recovered.records.iter();
    let records: Vec<_> = records
        .map(|r| (r.version, r.payload.escape_ascii().to_string()))
        .collect();
    let expected = [
        (4, "record 4"),
        (5, "record 5"),
        (6, "record 6"),
        (7, "record 7, again"),
        (8, "record 8, by the second incarnation"),
    ];
    assert_eq!(
        records,
        expected.map(|(version, payload)| (version, payload.to_owned()))
    );
    let (value, tag) = store
        .register("leader")?
        .read()
        .await?
        .context("it was written")?;
    assert_eq!(value, "node 2");
    store
        .register("leader")?
        .compare_and_swap(Some(&tag), "node 3".into())
        .await?;
    claim.journal.append(9, "record 9".into()).await?;
    // Older programs gave journals no identity.
    let again = store.claim("hotel/7").await?.journal;
    assert_eq!(again.identity(), claim.journal.identity());
    Ok(())
}

#[tokio::test]
async fn a_newer_format_is_refused() -> Result<()> {
    for extension in ["segment", "checkpoint", "register"] {
        let directory = TempDir::new()?;
        copy(&golden(), directory.path(), false)?;
        let mut found = 0;
        let mut folders = vec![directory.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|end| end == extension) {
                    let mut content = fs::read(&path)?;
                    content[8..12].copy_from_slice(&(FORMAT + 1).to_le_bytes());
                    fs::write(&path, content)?;
                    found += 1;
                }
            }
        }
        ensure!(found > 0, "there is no {extension}");
        let store = open(directory.path()).await?;
        let refused = if extension == "register" {
            store.register("leader")?.read().await.map(drop)
        } else {
            store.claim("hotel/7").await.map(drop)
        };
        let refused = refused.expect_err("it is newer");
        ensure!(
            matches!(refused, StoreError::NewerFormat { found: 2, .. }),
            "{refused}"
        );
        ensure!(refused.to_string().contains("use a newer program"));
    }
    Ok(())
}
