//! Directories of the host, and that all kinds of mounts behave alike.

use super::*;

#[test]
fn the_directories_given_are_found() -> Result<()> {
    let mut caller = Caller::in_memory()?;
    caller.ok("fd_prestat_get", &[ROOT, RESULT.into()]);
    assert_eq!((caller.u32(0), caller.u32(4)), (0, 1));
    caller.ok("fd_prestat_dir_name", &[ROOT, BUFFER.into(), 1]);
    assert_eq!(caller.bytes(BUFFER, 1), b"/");
    caller.fails(
        Errno::Nametoolong,
        "fd_prestat_dir_name",
        &[ROOT, BUFFER.into(), 0],
    );
    caller.fails(Errno::Badf, "fd_prestat_get", &[4, RESULT.into()]);
    caller.fails(Errno::Badf, "fd_prestat_get", &[1, RESULT.into()]);
    Ok(())
}

/// What must hold in every kind of directory.
pub(super) fn directories_links_and_names(caller: &mut Caller, hard_links: bool) {
    assert_eq!(caller.on_path("path_create_directory", "d"), 0);
    assert_eq!(
        caller.on_path("path_create_directory", "d"),
        Errno::Exist as u16
    );
    assert_eq!(
        caller.on_path("path_create_directory", "none/d"),
        Errno::Noent as u16
    );
    caller.create("d/f", "contents");
    assert_eq!(
        caller.on_path("path_create_directory", "d/f/x"),
        Errno::Notdir as u16
    );
    assert_eq!(
        caller.on_path("path_remove_directory", "d"),
        Errno::Notempty as u16
    );
    assert_eq!(
        caller.on_path("path_remove_directory", "d/f"),
        Errno::Notdir as u16
    );
    assert_eq!(caller.on_path("path_unlink_file", "d"), Errno::Isdir as u16);

    // Symbolic links.
    assert_eq!(caller.symlink("d/../d/f", "l"), 0);
    assert_eq!(caller.contents("l"), "contents");
    assert_eq!(caller.status("l", false).expect("it is there").0, 7);
    assert_eq!(caller.status("l", true).expect("it leads there").0, 4);
    let [at, len] = caller.path("l");
    caller.ok(
        "path_readlink",
        &[ROOT, at, len, BUFFER.into(), 3, RESULT.into()],
    );
    assert_eq!(caller.bytes(BUFFER, caller.u32(RESULT)), b"d/.");
    assert_eq!(caller.symlink("l2", "l2"), 0);
    assert_eq!(caller.open_errno("l2", 0, 0), Errno::Loop as u16);
    assert_eq!(caller.symlink("x", "l"), Errno::Exist as u16);
    assert_eq!(caller.symlink("d", "to-d"), 0);
    assert_eq!(caller.contents("to-d/f"), "contents");

    // Hard links.
    if hard_links {
        assert_eq!(caller.link("d/f", "h"), 0);
        assert_eq!(caller.status("h", false).expect("it is there").1, 2);
        assert_eq!(caller.link("d", "hd"), Errno::Perm as u16);
        assert_eq!(caller.link("d/f", "h"), Errno::Exist as u16);
        assert_eq!(caller.on_path("path_unlink_file", "h"), 0);
    } else {
        assert_eq!(caller.link("d/f", "h"), Errno::Notsup as u16);
    }

    // Renaming.
    assert_eq!(caller.rename("d/f", "g"), 0);
    assert_eq!(
        caller.status("d/f", false).expect_err("it went"),
        Errno::Noent as u16
    );
    assert_eq!(caller.contents("g"), "contents");
    caller.create("other", "other");
    assert_eq!(caller.rename("other", "g"), 0);
    assert_eq!(caller.contents("g"), "other");
    assert_eq!(caller.rename("g", "d"), Errno::Isdir as u16);
    assert_eq!(caller.rename("d", "g"), Errno::Notdir as u16);
    assert_eq!(caller.rename("d", "d/e"), Errno::Inval as u16);
    assert_eq!(caller.rename("none", "e"), Errno::Noent as u16);
    assert_eq!(caller.on_path("path_create_directory", "d/sub"), 0);
    caller.create("d/sub/deep", "deep");
    assert_eq!(caller.rename("d", "moved"), 0);
    assert_eq!(caller.contents("moved/sub/deep"), "deep");
    caller.create("moved/sub/deep", "deeper");
    assert_eq!(caller.contents("moved/sub/deep"), "deeper");

    // An open file outlives its name.
    let fd = caller.open("g", 0);
    assert_eq!(caller.on_path("path_unlink_file", "g"), 0);
    assert_eq!(caller.on_path("path_unlink_file", "g"), Errno::Noent as u16);
    assert_eq!(caller.read(fd, 99), b"other");
    caller.ok("fd_close", &[fd]);

    assert_eq!(caller.on_path("path_unlink_file", "moved/sub/deep"), 0);
    assert_eq!(caller.on_path("path_remove_directory", "moved/sub"), 0);
    assert_eq!(caller.on_path("path_remove_directory", "moved"), 0);
    for name in ["l", "l2", "to-d"] {
        assert_eq!(caller.on_path("path_unlink_file", name), 0);
    }
}

#[test]
fn directories_in_memory() -> Result<()> {
    let mut caller = Caller::in_memory()?;
    let empty = caller.wasi.state();
    directories_links_and_names(&mut caller, true);
    assert_eq!(caller.list(".", 999), [""; 0]);
    let after = caller.wasi.state();
    assert_eq!(after.open_files(), empty.open_files());
    // Nothing is kept of what is gone.
    let len = |state: &WasiState| postcard::to_stdvec(state).map(|bytes| bytes.len());
    assert!(len(&after)? <= len(&empty)? + 40);
    Ok(())
}

#[test]
fn an_overlay_never_writes_to_the_host() -> Result<()> {
    let host = tempfile::tempdir()?;
    fs::create_dir(host.path().join("sub"))?;
    fs::write(host.path().join("sub/from-host"), "host")?;
    fs::write(host.path().join("top"), "top")?;
    let before = snapshot(host.path())?;
    let mut caller = Caller::over(host.path(), HostWrites::Overlay)?;
    directories_links_and_names(&mut caller, true);

    assert_eq!(caller.contents("sub/from-host"), "host");
    let fd = caller.open("sub/from-host", 0);
    caller.write(fd, b"G");
    caller.ok("fd_close", &[fd]);
    assert_eq!(caller.contents("sub/from-host"), "Gost");
    assert_eq!(caller.rename("sub", "renamed"), 0);
    assert_eq!(caller.on_path("path_unlink_file", "top"), 0);
    assert_eq!(caller.list(".", 999), ["renamed"]);
    assert_eq!(caller.list("renamed", 999), ["from-host"]);

    let mut moved = caller.moved()?;
    assert_eq!(moved.contents("renamed/from-host"), "Gost");
    assert_eq!(moved.open_errno("top", 0, 0), Errno::Noent as u16);
    assert_eq!(moved.open_errno("sub", 0, 0), Errno::Noent as u16);
    moved.create("top", "mine");
    assert_eq!(moved.contents("top"), "mine");
    assert_eq!(snapshot(host.path())?, before);
    Ok(())
}

#[test]
fn a_direct_mount_is_the_host() -> Result<()> {
    let host = tempfile::tempdir()?;
    let mut caller = Caller::over(host.path(), HostWrites::Direct)?;
    directories_links_and_names(&mut caller, false);
    assert_eq!(snapshot(host.path())?, Vec::new());
    caller.create("made", "here");
    assert_eq!(fs::read_to_string(host.path().join("made"))?, "here");
    // What others do is seen.
    fs::write(host.path().join("later"), "by another")?;
    assert_eq!(caller.contents("later"), "by another");
    fs::remove_file(host.path().join("made"))?;
    assert_eq!(caller.list(".", 999), ["later"]);
    let fd = caller.open("later", 0);
    caller.ok(
        "fd_filestat_set_times",
        &[fd, 7_000_000_001, 8_000_000_002, 5],
    );
    let modified = fs::metadata(host.path().join("later"))?.modified()?;
    let since = modified.duration_since(std::time::SystemTime::UNIX_EPOCH)?;
    assert_eq!(since.as_nanos(), 8_000_000_002);
    Ok(())
}

/// All files below `path` with their contents, in order.
fn snapshot(path: &Path) -> Result<Vec<(String, Option<Vec<u8>>)>> {
    let mut files = Vec::new();
    let mut rest = vec![path.to_owned()];
    while let Some(directory) = rest.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?.path();
            let contents = entry.is_file().then(|| fs::read(&entry)).transpose()?;
            if entry.is_dir() {
                rest.push(entry.clone());
            }
            files.push((entry.display().to_string(), contents));
        }
    }
    files.sort();
    Ok(files)
}
