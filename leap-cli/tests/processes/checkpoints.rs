//! Checkpoints that somebody asks for, and what goes on from them.

use super::*;

#[test]
fn a_killed_program_goes_on_from_its_checkpoint() -> Result<()> {
    let place = Place::new()?;
    let mut talk = place.talk(&["run", "talk.wasm"])?;
    talk.ask("push a")?;
    talk.ask("+ 5")?;
    assert_eq!(talk.ask("push b")?, "depth 2");
    place.printed(&["checkpoint", &talk.pid(), "-o", "talk.leap"])?;
    // It runs on, but what it does now is lost.
    assert_eq!(talk.ask("+ 6")?, "2 numbers, sum 11");
    talk.kill()?;

    for back_end in ["interpreter", "quick", "optimised"] {
        let mut talk = place.talk(&["restore", "--back-end", back_end, "talk.leap"])?;
        assert_eq!(talk.ask("+ 8")?, "2 numbers, sum 13", "{back_end}");
        assert_eq!(talk.ask("pop")?, "leaving b");
        assert_eq!(talk.ask("pop")?, "leaving a");
        talk.say("end 7")?;
        assert_eq!(talk.end()?, Some(7));
    }
    Ok(())
}

#[test]
fn a_stopped_program_loses_nothing() -> Result<()> {
    let place = Place::new()?;
    let mut talk = place.talk(&["run", "talk.wasm"])?;
    talk.ask("push a")?;
    for round in 1..=4 {
        assert_eq!(talk.ask("+ 1")?, format!("{round} numbers, sum {round}"));
        let mut arguments = vec!["checkpoint", "--json", "--stop", "-o", "talk.leap"];
        if round % 2 == 0 {
            arguments.push("--uncompressed");
        }
        let pid = talk.pid();
        arguments.push(&pid);
        let written: Value = serde_json::from_str(&place.printed(&arguments)?)?;
        assert!(written["pages"].as_u64() > Some(0), "{written}");
        assert_eq!(talk.end()?, Some(75));
        talk = place.talk(&["restore", "talk.leap"])?;
    }
    assert_eq!(talk.ask("pop")?, "leaving a");
    assert_eq!(talk.end()?, Some(0));
    Ok(())
}

/// Input that the host had read ahead, and the guest not yet, was lost with the process.
#[test]
fn input_that_was_not_read_is_left_for_the_restored_program() -> Result<()> {
    const LINES: u64 = 20_000;
    let place = Place::new()?;
    let (input, mut writer) = std::io::pipe()?;
    let mut first = place
        .leap()
        .args(["run", "talk.wasm"])
        .stdin(input.try_clone()?)
        .stdout(Stdio::piped())
        .spawn()?;
    let lines: String = (0..LINES)
        .map(|number| format!("+ {}\n", number % 10))
        .collect();
    let written = std::thread::spawn(move || writer.write_all(lines.as_bytes()));
    let mut heard = BufReader::new(first.stdout.take().context("it is piped")?).lines();
    let mut before = 0;
    for line in heard.by_ref().take(500) {
        ensure!(line?.contains(" numbers, sum "));
        before += 1;
    }
    let pid = first.id().to_string();
    // It goes on saying what it hears meanwhile.
    let rest = std::thread::spawn(move || heard.count());
    place.printed(&["checkpoint", &pid, "--stop", "-o", "talk.leap"])?;
    assert_eq!(first.wait()?.code(), Some(75));
    before += rest.join().expect("it counts to the end");
    ensure!((500..LINES as usize).contains(&before), "{before} lines");

    let second = place
        .leap()
        .args(["restore", "talk.leap"])
        .stdin(input)
        .output()?;
    written.join().expect("it writes to the end")?;
    let output = String::from_utf8(second.stdout)?;
    assert_eq!(before + output.lines().count(), LINES as usize);
    let sum = LINES / 10 * 45;
    let last = format!("{LINES} numbers, sum {sum}");
    assert_eq!(output.lines().last(), Some(last.as_str()));
    Ok(())
}

#[test]
fn a_program_that_spins_is_stopped_too() -> Result<()> {
    let place = Place::new()?;
    let mut talk = place.talk(&["run", "talk.wasm"])?;
    talk.ask("push deep")?;
    assert_eq!(talk.ask("spin")?, "spinning");
    place.stop(talk, "talk.leap")?;

    let inspection: Value =
        serde_json::from_str(&place.printed(&["inspect", "--json", "--verify", "talk.leap"])?)?;
    let frames = inspection["frames"].as_array().context("frames")?;
    let names: Vec<&str> = frames
        .iter()
        .filter_map(|frame| frame["name"].as_str())
        .collect();
    assert_eq!(names[..3], ["spin", "talk", "talk"], "{inspection}");
    let source = &frames[0]["source"][0];
    assert!(
        source["file"]
            .as_str()
            .is_some_and(|file| file.ends_with("talk.c")),
        "{source}"
    );
    assert!(
        (18..=25).contains(&source["line"].as_u64().unwrap_or(0)),
        "{source}"
    );
    assert!(!frames[0]["locals"].as_array().context("locals")?.is_empty());
    assert_eq!(inspection["arguments"][0], "talk.wasm");
    assert_eq!(inspection["open_files"][0]["what"], "standard input");
    let text = place.printed(&["inspect", "talk.leap"])?;
    assert!(
        text.contains("spin in ") && text.contains("talk.c:"),
        "{text}"
    );

    // It spins on, and can be stopped again.
    let talk = place.talk(&["restore", "talk.leap"])?;
    let mut written = place.output(&["checkpoint", &talk.pid(), "--stop", "-o", "again.leap"])?;
    while !written.status.success() {
        // Until it listens.
        written = place.output(&["checkpoint", &talk.pid(), "--stop", "-o", "again.leap"])?;
    }
    assert_eq!(talk.end()?, Some(75));
    Ok(())
}

/// Whatever a program of the same user says to the control socket, the program runs on.
#[test]
fn nonsense_at_the_control_socket_is_refused() -> Result<()> {
    let place = Place::new()?;
    let mut talk = place.talk(&["run", "talk.wasm"])?;
    assert_eq!(talk.ask("+ 1")?, "1 numbers, sum 1");
    let socket = place.path(&format!("leap/{}.sock", talk.pid()));
    let endless = vec![b'x'; 1 << 20];
    let lines: [&[u8]; 5] = [b"\n", b"{}\n", b"\xff\xfe\n", b"{\"path\": 7}\n", &endless];
    for line in lines {
        let mut connection = UnixStream::connect(&socket)?;
        // Whoever is not listened to any more may be told so.
        let _ = connection.write_all(line);
        let _ = connection.shutdown(std::net::Shutdown::Write);
        let mut answer = String::new();
        let _ = connection.read_to_string(&mut answer);
        ensure!(!answer.contains("written"), "{answer}");
    }
    place.printed(&["checkpoint", &talk.pid(), "-o", "talk.leap"])?;
    assert_eq!(talk.ask("+ 1")?, "2 numbers, sum 2");
    assert_eq!(talk.end()?, Some(0));
    Ok(())
}

/// A guest that writes to a pipe that nobody reads can be captured all the same.
#[test]
fn a_program_whose_output_nobody_reads_is_stopped_too() -> Result<()> {
    const LINES: u64 = 20_000;
    /// As long as a pipe is by itself.
    const PIPE_BYTES: u64 = 65_536;
    let place = Place::new()?;
    let mut first = place
        .leap()
        .args(["run", "talk.wasm"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = first.stdin.take().context("it is piped")?;
    let said = std::thread::spawn(move || {
        // Until the guest hears no more.
        (0..LINES)
            .take_while(|_| writeln!(input, "+ 1").is_ok())
            .count()
    });
    let mut output = BufReader::new(first.stdout.take().context("it is piped")?);
    output.read_line(&mut String::new())?;
    // It stops reading when its own output has no room: when the last page of the pipe is begun. (No
    // line lies in two pages, so none is quite full.)
    let began = Instant::now();
    while rustix::io::ioctl_fionread(output.get_ref())? < PIPE_BYTES - 2 * 4096 {
        ensure!(began.elapsed() < Duration::from_secs(60), "it never fills");
        std::thread::yield_now();
    }
    let pid = first.id().to_string();
    place.printed(&["checkpoint", &pid, "--stop", "-o", "talk.leap"])?;
    assert_eq!(first.wait()?.code(), Some(75));
    let before = output.lines().count();
    ensure!((100..LINES as usize).contains(&before), "{before}");
    drop(said.join());
    // The rest of a line that was half written comes first.
    let mut talk = place.talk(&["restore", "talk.leap"])?;
    talk.say("end 9")?;
    let mut last = String::new();
    while talk.output.read_line(&mut last)? > 0 {
        last.clear();
    }
    assert_eq!(talk.end()?, Some(9));
    Ok(())
}

#[test]
fn a_program_starts_before_its_pages_are_read() -> Result<()> {
    let place = Place::new()?;
    let mut talk = place.talk(&["run", "talk.wasm"])?;
    assert_eq!(talk.ask("+ 2")?, "1 numbers, sum 2");
    // Runs of few pages are read at once.
    assert_eq!(talk.ask("grow 4")?, "there is");
    let pid = talk.pid();
    place.printed(&[
        "checkpoint",
        "--stop",
        "--uncompressed",
        "-o",
        "talk.leap",
        &pid,
    ])?;
    assert_eq!(talk.end()?, Some(75));
    let mut talk = place.talk(&["restore", "--no-verify", "talk.leap"])?;
    assert_eq!(talk.ask("+ 3")?, "2 numbers, sum 5");
    // The image is mapped, not copied.
    let maps = fs::read_to_string(format!("/proc/{}/maps", talk.pid()))?;
    assert!(maps.contains("talk.leap"), "{maps}");
    assert_eq!(talk.end()?, Some(0));
    Ok(())
}

#[test]
fn several_checkpoints_at_once_to_one_file_are_one_of_them() -> Result<()> {
    let place = Place::new()?;
    let mut talk = place.talk(&["run", "talk.wasm"])?;
    assert_eq!(talk.ask("grow 16")?, "there is");
    let asking: Vec<Child> = (0..6)
        .map(|_| {
            place
                .leap()
                .args(["checkpoint", &talk.pid(), "-o", "same.leap"])
                .stdout(Stdio::null())
                .spawn()
        })
        .collect::<Result<_, _>>()?;
    for mut asked in asking {
        ensure!(asked.wait()?.success());
        place.printed(&["inspect", "--verify", "same.leap"])?;
    }
    let names = fs::read_dir(place.path("."))?
        .flatten()
        .map(|entry| entry.file_name());
    let unfinished: Vec<_> = names
        .filter(|name| name.to_string_lossy().contains("unfinished"))
        .collect();
    assert!(unfinished.is_empty(), "{unfinished:?}");
    assert_eq!(talk.end()?, Some(0));
    Ok(())
}

/// Names in a checkpoint from anywhere do nothing to the terminal.
#[test]
fn an_inspection_is_text() -> Result<()> {
    let place = Place::new()?;
    let mut talk = place.talk(&["run", "talk.wasm", "\u{1b}[31mred"])?;
    talk.hear()?;
    place.stop(talk, "talk.leap")?;
    let text = place.printed(&["inspect", "talk.leap"])?;
    assert!(
        !text.contains('\u{1b}') && text.contains("[31mred"),
        "{text}"
    );
    Ok(())
}

/// Whoever has read enough may go: nothing has failed.
#[test]
fn nobody_need_read_an_inspection_to_its_end() -> Result<()> {
    let place = Place::new()?;
    let mut talk = place.talk(&["run", "talk.wasm"])?;
    talk.ask("+ 1")?;
    place.stop(talk, "talk.leap")?;
    for arguments in [
        &["inspect", "talk.leap"][..],
        &["inspect", "--json", "talk.leap"],
    ] {
        let (reader, writer) = std::io::pipe()?;
        drop(reader);
        let output = place
            .leap()
            .args(arguments)
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()?;
        ensure!(
            output.status.success() && output.stderr.is_empty(),
            "{output:?}"
        );
        let full = fs::File::options().write(true).open("/dev/full")?;
        let output = place
            .leap()
            .args(arguments)
            .stdout(full)
            .stderr(Stdio::piped())
            .output()?;
        ensure!(output.status.code() == Some(1), "{output:?}");
        let complaint = String::from_utf8(output.stderr)?;
        ensure!(
            complaint.contains("cannot write to standard output"),
            "{complaint}"
        );
    }
    Ok(())
}

#[test]
fn sockets_of_killed_programs_are_removed() -> Result<()> {
    let place = Place::new()?;
    let mut killed = place.talk(&["run", "talk.wasm"])?;
    killed.ask("+ 1")?;
    let socket = place.path(&format!("leap/{}.sock", killed.pid()));
    killed.kill()?;
    assert!(socket.exists());
    let mut talk = place.talk(&["run", "talk.wasm"])?;
    talk.ask("+ 1")?;
    assert!(!socket.exists());
    assert_eq!(talk.end()?, Some(0));
    Ok(())
}
