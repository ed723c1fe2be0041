//! Files, directories, descriptors and paths in the tree.

use super::*;

#[test]
fn files_are_written_read_and_moved() -> Result<()> {
    let mut caller = Caller::in_memory()?;
    let fd = caller.open("file", open_flags::CREATE);
    assert_eq!(fd, 4);
    caller.write(fd, b"hello world");
    caller.ok("fd_seek", &[fd, (-5_i64) as u64, 2, RESULT.into()]);
    assert_eq!(caller.u64(RESULT), 6);
    let mut caller = caller.moved()?;
    assert_eq!(caller.read(fd, 99), b"world");
    caller.ok("fd_tell", &[fd, RESULT.into()]);
    assert_eq!(caller.u64(RESULT), 11);
    caller.fails(
        Errno::Inval,
        "fd_seek",
        &[fd, (-1_i64) as u64, 0, RESULT.into()],
    );
    caller.fails(Errno::Inval, "fd_seek", &[fd, 0, 7, RESULT.into()]);

    caller.vector(2);
    caller.ok("fd_pread", &[fd, VECTOR.into(), 1, 4, RESULT.into()]);
    assert_eq!(caller.bytes(BUFFER, 2), b"o ");
    caller.put(BUFFER, b"XY");
    caller.ok("fd_pwrite", &[fd, VECTOR.into(), 1, 20, RESULT.into()]);
    caller.ok("fd_allocate", &[fd, 20, 10]);
    caller.ok("fd_advise", &[fd, 0, 0, 4]);
    caller.fails(Errno::Inval, "fd_advise", &[fd, 0, 0, 6]);
    caller.ok("fd_sync", &[fd]);
    caller.ok("fd_datasync", &[fd]);
    caller.ok("fd_filestat_get", &[fd, BUFFER.into()]);
    assert_eq!(caller.u64(BUFFER + 32), 30);
    caller.ok("fd_filestat_set_size", &[fd, 21]);
    caller.fails(Errno::Fbig, "fd_filestat_set_size", &[fd, u64::MAX]);
    assert_eq!(caller.contents("file"), "hello world\0\0\0\0\0\0\0\0\0X");

    caller.ok("fd_fdstat_set_flags", &[fd, fd_flags::APPEND.into()]);
    caller.write(fd, b"end");
    assert!(caller.contents("file").ends_with("Xend"));
    caller.fails(Errno::Inval, "fd_fdstat_set_flags", &[fd, 0x20]);

    assert_eq!(
        caller.open_errno("file", open_flags::CREATE | open_flags::EXCLUSIVE, 0),
        Errno::Exist as u16
    );
    assert_eq!(
        caller.open_errno("file", open_flags::DIRECTORY, 0),
        Errno::Notdir as u16
    );
    assert_eq!(caller.open_errno("none", 0, 0), Errno::Noent as u16);
    assert_eq!(caller.open_errno("file/", 0, 0), Errno::Notdir as u16);
    assert_eq!(
        caller.open_errno("none/", open_flags::CREATE, 0),
        Errno::Isdir as u16
    );
    caller.open("file", open_flags::TRUNCATE);
    assert_eq!(caller.contents("file"), "");
    Ok(())
}

#[test]
fn descriptors_are_renumbered_and_closed() -> Result<()> {
    let mut caller = Caller::in_memory()?;
    caller.create("a", "a");
    caller.create("b", "b");
    let (a, b) = (caller.open("a", 0), caller.open("b", 0));
    caller.ok("fd_renumber", &[a, b]);
    caller.fails(Errno::Badf, "fd_close", &[a]);
    assert_eq!(caller.read(b, 9), b"a");
    assert_eq!(caller.open("b", 0), a, "the lowest number is free again");
    caller.fails(Errno::Badf, "fd_renumber", &[a, 99]);
    caller.ok("fd_close", &[b]);
    caller.fails(Errno::Badf, "fd_close", &[b]);
    Ok(())
}

#[test]
fn rights_only_shrink() -> Result<()> {
    let mut caller = Caller::in_memory()?;
    let fd = caller.open("file", open_flags::CREATE);
    caller.ok("fd_fdstat_get", &[fd, BUFFER.into()]);
    assert_eq!(caller.bytes(BUFFER, 1), [4]);
    assert_eq!(caller.u64(BUFFER + 8), rights::FILE);
    caller.ok("fd_fdstat_set_rights", &[fd, rights::FD_READ, 0]);
    caller.vector(1);
    caller.fails(
        Errno::Notcapable,
        "fd_write",
        &[fd, VECTOR.into(), 1, RESULT.into()],
    );
    caller.fails(
        Errno::Notcapable,
        "fd_fdstat_set_rights",
        &[fd, rights::FILE, 0],
    );
    caller.ok(
        "fd_fdstat_set_rights",
        &[ROOT, rights::PATH_OPEN, rights::FD_READ],
    );
    assert_eq!(caller.open_errno("file", 0, 0), Errno::Notcapable as u16);
    assert_eq!(
        caller.on_path("path_create_directory", "d"),
        Errno::Notcapable as u16
    );
    Ok(())
}

#[test]
fn no_path_leaves_the_directory() -> Result<()> {
    let outer = tempfile::tempdir()?;
    fs::write(outer.path().join("secret"), "secret")?;
    let host = outer.path().join("inside");
    fs::create_dir_all(host.join("d"))?;
    symlink("../secret", host.join("link"))?;
    symlink("..", host.join("up"))?;
    symlink(outer.path().join("secret"), host.join("absolute"))?;
    symlink("../../secret", host.join("d/deep"))?;
    for writes in [HostWrites::Overlay, HostWrites::Direct] {
        let mut caller = Caller::over(&host, writes)?;
        let escapes = [
            "..",
            "../secret",
            "d/../../secret",
            "link",
            "up/secret",
            "up",
            "absolute",
            "d/deep",
            "/etc/passwd",
            "d/../../inside/d",
        ];
        for escape in escapes {
            assert_eq!(
                caller.open_errno(escape, 0, 0),
                Errno::Perm as u16,
                "{escape}"
            );
            assert_eq!(
                caller.open_errno(escape, open_flags::CREATE, 0),
                Errno::Perm as u16,
                "{escape}"
            );
            if escape != "absolute" && escape != "link" && escape != "d/deep" && escape != "up" {
                assert_eq!(
                    caller.on_path("path_unlink_file", escape),
                    Errno::Perm as u16,
                    "{escape}"
                );
                assert_eq!(
                    caller.on_path("path_create_directory", escape),
                    Errno::Perm as u16,
                    "{escape}"
                );
            }
        }
        assert_eq!(caller.rename("../secret", "stolen"), Errno::Perm as u16);
        assert_eq!(caller.rename("d", "../stolen"), Errno::Perm as u16);
        assert_eq!(caller.symlink("/etc/passwd", "made"), Errno::Perm as u16);
        assert_eq!(caller.symlink("../secret", "made"), 0);
        assert_eq!(caller.open_errno("made", 0, 0), Errno::Perm as u16);
        assert_eq!(caller.on_path("path_unlink_file", "made"), 0);

        // A directory that was opened is no way out either, nor one that becomes a link later.
        let fd = caller.open("d", open_flags::DIRECTORY);
        let [at, len] = caller.path("../link");
        caller.fails(
            Errno::Perm,
            "path_filestat_get",
            &[fd, 1, at, len, BUFFER.into()],
        );
        caller.list("d", 999);
        fs::rename(host.join("d"), host.join("kept"))?;
        symlink("..", host.join("d"))?;
        let stolen = caller.open_errno("d/secret", 0, 0);
        assert_ne!(stolen, 0);
        fs::remove_file(host.join("d"))?;
        fs::rename(host.join("kept"), host.join("d"))?;
    }
    Ok(())
}

#[test]
fn names_that_cannot_be() -> Result<()> {
    let mut caller = Caller::in_memory()?;
    for (path, errno) in [
        ("", Errno::Noent),
        ("a\0b", Errno::Inval),
        (&"n".repeat(256), Errno::Nametoolong),
        (&"n/".repeat(2050), Errno::Nametoolong),
    ] {
        assert_eq!(caller.open_errno(path, open_flags::CREATE, 0), errno as u16);
    }
    caller.put(PATH, &[0xff, 0xfe]);
    caller.fails(
        Errno::Ilseq,
        "path_create_directory",
        &[ROOT, PATH.into(), 2],
    );
    for dots in [".", "d/.."] {
        caller.on_path("path_create_directory", "d");
        assert_eq!(
            caller.on_path("path_create_directory", dots),
            Errno::Exist as u16
        );
        assert_eq!(
            caller.on_path("path_remove_directory", dots),
            Errno::Inval as u16
        );
        assert_eq!(caller.rename("d", dots), Errno::Inval as u16);
    }
    Ok(())
}

/// Whatever goes through the tree neither takes the machine's stack nor the square of the depth.
#[test]
fn directories_as_deep_as_one_likes() -> Result<()> {
    const DEPTH: usize = 50_000;
    let mut caller = Caller::in_memory()?;
    let [at, len] = caller.path("d");
    let rights = ALL_RIGHTS & 0x3fff_ffff;
    let mut deepest = ROOT;
    for _ in 0..DEPTH {
        caller.ok("path_create_directory", &[deepest, at, len]);
        let flags = open_flags::DIRECTORY.into();
        let result = RESULT.into();
        caller.ok(
            "path_open",
            &[deepest, 1, at, len, flags, rights, rights, 0, result],
        );
        if deepest != ROOT {
            caller.ok("fd_close", &[deepest]);
        }
        deepest = caller.u32(RESULT).into();
    }
    assert_eq!(caller.rename("d", "e"), 0);
    let moved = caller.moved()?;
    let open = moved.wasi.state().open_files();
    let path = format!("/e{}", "/d".repeat(DEPTH - 1));
    assert_eq!(open.last().map(|file| &file.what), Some(&path));
    Ok(())
}

#[test]
fn a_directory_is_listed_whole_whatever_the_buffer() -> Result<()> {
    let mut caller = Caller::in_memory()?;
    let names: Vec<String> = (0..200).map(|number| format!("file-{number:03}")).collect();
    for name in &names {
        caller.create(name, "");
    }
    for buffer in [32, 33, 100, 4096, BUFFER_LEN] {
        assert_eq!(caller.list(".", buffer), names, "{buffer}");
    }
    // Removing while listing neither skips nor repeats.
    let fd = caller.open(".", open_flags::DIRECTORY);
    let mut cookie = 2;
    let mut removed = Vec::new();
    loop {
        caller.ok(
            "fd_readdir",
            &[fd, BUFFER.into(), 40, cookie, RESULT.into()],
        );
        if caller.u32(RESULT) < 32 {
            break;
        }
        cookie = caller.u64(BUFFER);
        let name = String::from_utf8(caller.bytes(BUFFER + 24, 8).to_vec())?;
        assert_eq!(caller.on_path("path_unlink_file", &name), 0);
        removed.push(name);
    }
    assert_eq!(removed, names);
    caller.fails(
        Errno::Notdir,
        "fd_readdir",
        &[1, BUFFER.into(), 40, 0, RESULT.into()],
    );
    Ok(())
}

#[test]
fn times_are_set() -> Result<()> {
    let mut caller = Caller::in_memory()?;
    caller.create("f", "");
    let now = 1_000_000_005_000;
    assert_eq!(caller.status("f", true).expect("it is there").3, [now; 2]);
    let [at, len] = caller.path("f");
    caller.ok(
        "path_filestat_set_times",
        &[ROOT, 0, at, len, 11, 22, 1 | 8],
    );
    assert_eq!(caller.status("f", true).expect("it is there").3, [11, now]);
    let [at, len] = caller.path("f");
    caller.fails(
        Errno::Inval,
        "path_filestat_set_times",
        &[ROOT, 0, at, len, 11, 22, 3],
    );
    let fd = caller.open("f", 0);
    caller.ok("fd_filestat_set_times", &[fd, 33, 44, 4]);
    assert_eq!(caller.status("f", true).expect("it is there").3, [11, 44]);
    Ok(())
}
