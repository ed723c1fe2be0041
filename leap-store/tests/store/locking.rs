//! One node per data directory.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use leap_store::StoreError;

use crate::places::Place;

const CHILD: &str = "LEAP_STORE_TEST_CHILD";

#[tokio::test]
async fn a_second_node_is_refused_by_name_of_the_first() -> Result<()> {
    let place = Place::local();
    let held = place.open().await?.lock_directory().await?;
    let second = place
        .open()
        .await?
        .lock_directory()
        .await
        .expect_err("it is held");
    let us = std::process::id();
    assert!(
        matches!(second, StoreError::DirectoryLocked { pid: Some(pid), .. } if pid == us),
        "{second}"
    );
    assert!(
        second
            .to_string()
            .contains(&format!("in use by process {us}")),
        "{second}"
    );
    // Children of the node may work there under names of their own.
    place.claim("child").await?;
    drop(held);
    let _again = place.open().await?.lock_directory().await?;
    Ok(())
}

#[tokio::test]
async fn a_killed_node_leaves_no_lock() -> Result<()> {
    let place = Place::local();
    let mut child = Command::new(std::env::current_exe()?)
        .args([
            "--exact",
            "locking::child_that_holds_the_lock",
            "--ignored",
            "--nocapture",
        ])
        .env(CHILD, &place.location)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let lines = BufReader::new(child.stdout.take().context("it is piped")?).lines();
    let mut lines = lines.map_while(Result::ok);
    lines
        .find(|line| line.ends_with("locked"))
        .context("the child locks")?;
    let refused = place
        .open()
        .await?
        .lock_directory()
        .await
        .expect_err("the child holds it");
    let pid = child.id();
    assert!(matches!(refused, StoreError::DirectoryLocked { pid: Some(p), .. } if p == pid));
    child.kill()?;
    child.wait()?;
    let _lock = place.open().await?.lock_directory().await?;
    Ok(())
}

#[test]
#[ignore = "runs as a child process of another test"]
fn child_that_holds_the_lock() -> Result<()> {
    let Ok(directory) = std::env::var(CHILD) else {
        return Ok(());
    };
    tokio::runtime::Runtime::new()?.block_on(async {
        let store = leap_store::Store::open(&directory, Default::default()).await?;
        let _lock = store.lock_directory().await?;
        println!("locked");
        // Until the parent kills this process or ends.
        std::io::stdin().read_line(&mut String::new())?;
        Ok(())
    })
}

#[tokio::test]
async fn a_shared_store_is_not_locked() -> Result<()> {
    let place = Place::memory();
    let _one = place.open().await?.lock_directory().await?;
    let _two = place.open().await?.lock_directory().await?;
    Ok(())
}
