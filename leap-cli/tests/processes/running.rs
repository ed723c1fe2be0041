//! What a program finds around it, and what the command says.

use super::album::newest_checkpoint;
use super::*;

#[test]
fn a_program_runs_as_anywhere() -> Result<()> {
    let place = Place::new()?;
    let mut talk = place.talk(&[
        "run",
        "--env",
        "GREETING=hello",
        "talk.wasm",
        "--json",
        "-x",
    ])?;
    assert_eq!(talk.hear()?, "argument --json");
    assert_eq!(talk.hear()?, "argument -x");
    assert_eq!(talk.hear()?, "hello");
    assert_eq!(talk.ask("+ 5")?, "1 numbers, sum 5");
    talk.say("end 42")?;
    assert_eq!(talk.end()?, Some(42));
    Ok(())
}

#[test]
fn a_program_that_runs_too_long_is_ended_and_can_go_on() -> Result<()> {
    let place = Place::new()?;
    let periodic = ["--checkpoint-every", "10m", "--checkpoint-dir", "album"];
    let limited = [&["run", "--timeout", "4s"], &periodic[..], &["talk.wasm"]].concat();
    // Whether it waits or spins.
    for spins in [false, true] {
        let mut talk = place.talk(&limited)?;
        assert_eq!(talk.ask("+ 5")?, "1 numbers, sum 5");
        if spins {
            assert_eq!(talk.ask("spin")?, "spinning");
        }
        assert_eq!(talk.child.wait()?.code(), Some(124));
        assert!(!newest_checkpoint(&place.path("album"))?.is_empty());
        if !spins {
            let mut talk = place.talk(&["restore", "--timeout", "1m", "album"])?;
            assert_eq!(talk.ask("+ 1")?, "2 numbers, sum 6");
            assert_eq!(talk.end()?, Some(0));
        }
    }
    Ok(())
}

#[test]
fn memory_is_limited() -> Result<()> {
    let place = Place::new()?;
    let mut talk = place.talk(&["run", "--memory-limit", "32m", "talk.wasm"])?;
    assert_eq!(talk.ask("grow 64")?, "there is none");
    assert_eq!(talk.ask("grow 16")?, "there is");
    place.stop(talk, "talk.leap")?;
    let complaint = place.complaint(&["restore", "--memory-limit", "1m", "talk.leap"])?;
    assert!(complaint.contains("and may have 1048576"), "{complaint}");
    let complaint = place.complaint(&["run", "--memory-limit", "1k", "talk.wasm"])?;
    assert!(complaint.contains("and may have 1024"), "{complaint}");
    Ok(())
}

#[test]
fn a_directory_is_granted_again_or_not_seen() -> Result<()> {
    let place = Place::new()?;
    fs::create_dir(place.path("data"))?;
    let mut talk = place.talk(&["run", "--dir", "data::/", "talk.wasm"])?;
    talk.ask("+ 1")?;
    place.stop(talk, "talk.leap")?;
    let complaint = place.complaint(&["restore", "talk.leap"])?;
    assert!(complaint.contains("--dir HOST::/"), "{complaint}");
    fs::rename(place.path("data"), place.path("moved"))?;
    let complaint = place.complaint(&["restore", "--same-dirs", "talk.leap"])?;
    assert!(
        complaint.contains("cannot open the directory"),
        "{complaint}"
    );
    let mut talk = place.talk(&["restore", "--dir", "moved::/", "talk.leap"])?;
    assert_eq!(talk.ask("+ 1")?, "2 numbers, sum 2");
    assert_eq!(talk.end()?, Some(0));
    Ok(())
}

#[test]
fn a_trap_is_told_in_terms_of_the_program() -> Result<()> {
    let place = Place::new()?;
    let mut child = place
        .leap()
        .args(["run", "talk.wasm"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child
        .stdin
        .take()
        .context("it is piped")?
        .write_all(b"trap\n")?;
    let output = child.wait_with_output()?;
    assert_eq!(output.status.code(), Some(134));
    let errors = String::from_utf8(output.stderr)?;
    assert!(
        errors.contains("unreachable") && errors.contains("in talk"),
        "{errors}"
    );
    Ok(())
}

#[test]
fn what_cannot_be_is_told_with_a_reason() -> Result<()> {
    let place = Place::new()?;
    fs::write(place.path("text"), "no module")?;
    fs::create_dir(place.path("empty"))?;
    let complaints = [
        (&["run", "none.wasm"][..], "cannot read none.wasm"),
        (&["run", "text"], "cannot run text"),
        (&["run", "--dir", "nowhere", "talk.wasm"], "nowhere"),
        (
            &["run", "--env", "NO_SUCH_VARIABLE", "talk.wasm"],
            "NO_SUCH_VARIABLE",
        ),
        (&["restore", "none.leap"], "none.leap"),
        (&["restore", "text"], "the file is no process image"),
        (&["restore", "empty"], "there is no checkpoint in empty"),
        (&["inspect", "talk.wasm"], "the file is no process image"),
        (
            &["checkpoint", "1", "-o", "x"],
            "no program that `leap run` started runs as process 1",
        ),
    ];
    for (arguments, expected) in complaints {
        let complaint = place.complaint(arguments)?;
        assert!(complaint.contains(expected), "{arguments:?}: {complaint}");
    }

    let mut talk = place.talk(&["run", "talk.wasm"])?;
    talk.ask("+ 1")?;
    let complaint = place.complaint(&["checkpoint", "1", "-o", "x"])?;
    assert!(
        complaint.contains(&format!("these do: {}", talk.pid())),
        "{complaint}"
    );
    let complaint = place.complaint(&["checkpoint", &talk.pid(), "--stop", "-o", "none/x"])?;
    assert!(complaint.contains("cannot write the image"), "{complaint}");
    // And it runs on.
    assert_eq!(talk.ask("+ 1")?, "2 numbers, sum 2");
    place.printed(&["checkpoint", &talk.pid(), "-o", "talk.leap"])?;
    assert_eq!(talk.end()?, Some(0));

    let mut bytes = fs::read(place.path("talk.leap"))?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(place.path("damaged.leap"), &bytes)?;
    let complaint = place.complaint(&["restore", "damaged.leap"])?;
    assert!(complaint.contains("the image is damaged"), "{complaint}");
    Ok(())
}

#[test]
fn help_teaches() -> Result<()> {
    let place = Place::new()?;
    let commands = place.printed(&["--help"])?;
    for (command, lesson) in [
        ("run", "leap restore FILE"),
        ("checkpoint", "pauses for as long as"),
        ("restore", "It does not matter where"),
        ("inspect", "Nothing of the program runs"),
    ] {
        assert!(commands.contains(&format!("  {command} ")), "{commands}");
        let help = place.printed(&[command, "--help"])?;
        assert!(
            help.contains("Examples:") && help.contains(lesson),
            "{help}"
        );
    }
    Ok(())
}

/// It can be checkpointed if there is a place for a socket, and runs in any case.
#[test]
fn a_program_runs_without_a_place_for_its_socket() -> Result<()> {
    let place = Place::new()?;
    let runs = |runtime: &str, temporary: &str| -> Result<String> {
        let mut command = place.leap();
        command
            .env("XDG_RUNTIME_DIR", runtime)
            .env("TMPDIR", temporary);
        let output = command
            .args(["run", "talk.wasm"])
            .stdin(Stdio::null())
            .output()?;
        ensure!(
            output.status.success(),
            "{runtime:?} {temporary:?}: {output:?}"
        );
        Ok(String::from_utf8(output.stderr)?)
    };
    let temporary = place.path("");
    let temporary = temporary.to_str().context("it is text")?;
    for unset in ["", "relative", "/nonexistent"] {
        assert_eq!(runs(unset, temporary)?, "");
    }
    assert!(!place.path("leap").exists());
    for useless in [
        "/nonexistent",
        "/dev/null",
        &format!("{temporary}/{}", "x".repeat(120)),
    ] {
        let warning = runs("/nonexistent", useless)?;
        assert!(
            warning.starts_with("warning: `leap checkpoint` cannot reach"),
            "{warning}"
        );
    }
    Ok(())
}

#[test]
fn a_stack_has_a_size_that_can_be() -> Result<()> {
    let place = Place::new()?;
    for size in ["0", "63", "16777217", "18014398509481984", "-1"] {
        let output = place.output(&["run", "--stack-kib", size, "talk.wasm"])?;
        ensure!(output.status.code() == Some(2), "{size}: {output:?}");
    }
    Ok(())
}
