//! Programs under `leap run`, really killed and really restored.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

const LEAP: &str = env!("CARGO_BIN_EXE_leap");

/// A directory with the guest, for the files of one test.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests/talk.c");
        let output = Command::new("clang-19")
            .args(["--target=wasm32-wasi", "--sysroot=/usr", "-O1", "-g", "-o"])
            .arg(directory.path().join("talk.wasm"))
            .arg(source)
            .output()
            .context("clang-19 with wasi-libc is needed: cargo xtask setup")?;
        ensure!(output.status.success(), "{output:?}");
        Ok(Self { directory })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The command, with a place of its own for its sockets.
    fn leap(&self) -> Command {
        let mut command = Command::new(LEAP);
        command
            .current_dir(self.directory.path())
            .env("XDG_RUNTIME_DIR", self.directory.path());
        command
    }

    fn output(&self, arguments: &[&str]) -> Result<Output> {
        Ok(self.leap().args(arguments).output()?)
    }

    /// What the command prints when all is well.
    fn printed(&self, arguments: &[&str]) -> Result<String> {
        let output = self.output(arguments)?;
        ensure!(output.status.success(), "{arguments:?}: {output:?}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What the command complains of.
    fn complaint(&self, arguments: &[&str]) -> Result<String> {
        let output = self.output(arguments)?;
        ensure!(output.status.code() == Some(1), "{arguments:?}: {output:?}");
        Ok(String::from_utf8(output.stderr)?)
    }

    fn talk(&self, arguments: &[&str]) -> Result<Talk> {
        let mut child = self
            .leap()
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().context("it is piped")?;
        let output = BufReader::new(child.stdout.take().context("it is piped")?);
        Ok(Talk {
            child,
            input,
            output,
        })
    }
}

/// A guest that answers.
struct Talk {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Talk {
    fn hear(&mut self) -> Result<String> {
        let mut line = String::new();
        let read = self.output.read_line(&mut line)?;
        ensure!(read > 0, "the guest says nothing any more");
        Ok(line.trim_end().to_owned())
    }

    /// The line at once: a checkpoint of a guest that has read half of it would wait for a rest that
    /// went down with the first life's pipe.
    fn say(&mut self, line: &str) -> Result<()> {
        Ok(self.input.write_all(format!("{line}\n").as_bytes())?)
    }

    fn ask(&mut self, line: &str) -> Result<String> {
        self.say(line)?;
        self.hear()
    }

    fn pid(&self) -> String {
        self.child.id().to_string()
    }

    fn end(mut self) -> Result<Option<i32>> {
        drop(self.input);
        Ok(self.child.wait()?.code())
    }

    /// As a crash of the machine would.
    fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

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
    place.printed(&["checkpoint", &talk.pid(), "--stop", "-o", "talk.leap"])?;
    assert_eq!(talk.end()?, Some(75));

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

#[test]
fn periodic_checkpoints_survive_a_kill() -> Result<()> {
    let place = Place::new()?;
    for life in 0..3 {
        // A directory of its own: the newest checkpoint of an earlier life would be restored too.
        let album = format!("album-{life}");
        let periodic = ["--checkpoint-every", "5ms", "--checkpoint-dir", &album];
        let mut talk = place.talk(&[&["run"], &periodic[..], &["talk.wasm"]].concat())?;
        let mut told: u64 = 0;
        // As long as it takes for a few, however slow the machine. The first answer comes after
        // the directory was made.
        while told == 0 || newest_checkpoint(&place.path(&album))?.as_str() < "000006.leap" {
            told += 1;
            let answer = talk.ask(&format!("+ {told}"))?;
            assert_eq!(
                answer,
                format!("{told} numbers, sum {}", told * (told + 1) / 2)
            );
        }
        talk.kill()?;

        let mut talk = place.talk(&[&["restore"], &periodic[..], &[&album]].concat())?;
        talk.say("push x")?;
        // It may have been about to answer.
        let mut answer = talk.hear()?;
        while answer.contains("numbers") {
            answer = talk.hear()?;
        }
        assert_eq!(answer, "depth 1");
        // It remembers a beginning of what it was told: with 0 more, count and sum fit.
        let answer = talk.ask("+ 0")?;
        let numbers: Vec<u64> = answer
            .split([' ', ','])
            .filter_map(|word| word.parse().ok())
            .collect();
        let remembered = numbers[0] - 1;
        assert!(remembered <= told, "{answer}");
        assert_eq!(numbers[1], remembered * (remembered + 1) / 2, "{answer}");
        talk.kill()?;
    }
    Ok(())
}

#[test]
fn a_program_asks_for_a_checkpoint_itself() -> Result<()> {
    let place = Place::new()?;
    let periodic = ["--checkpoint-every", "10m", "--checkpoint-dir", "album"];
    let mut talk = place.talk(&[&["run"], &periodic[..], &["talk.wasm"]].concat())?;
    assert_eq!(talk.ask("+ 1")?, "1 numbers, sum 1");
    for number in 1..=3 {
        assert_eq!(talk.ask("keep")?, "answer 0");
        // It is on disk before the program is told so.
        let newest = newest_checkpoint(&place.path("album"))?;
        assert_eq!(newest, format!("{number:06}.leap"));
    }
    // What follows is lost.
    talk.ask("+ 2")?;
    talk.kill()?;
    let mut talk = place.talk(&[&["restore"], &periodic[..], &["album"]].concat())?;
    assert_eq!(talk.hear()?, "answer 1");
    assert_eq!(talk.ask("+ 3")?, "2 numbers, sum 4");
    assert_eq!(talk.ask("keep")?, "answer 0");
    talk.end()?;
    // Without a place for it there is none.
    let mut talk = place.talk(&["run", "talk.wasm"])?;
    assert_eq!(talk.ask("keep")?, "answer 2");
    assert_eq!(talk.end()?, Some(0));
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
    place.printed(&["checkpoint", &talk.pid(), "--stop", "-o", "talk.leap"])?;
    assert_eq!(talk.end()?, Some(75));
    let complaint = place.complaint(&["restore", "--memory-limit", "1m", "talk.leap"])?;
    assert!(complaint.contains("memory"), "{complaint}");
    let complaint = place.complaint(&["run", "--memory-limit", "1k", "talk.wasm"])?;
    assert!(complaint.contains("exceeds memory limits"), "{complaint}");
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

/// The name of the newest whole checkpoint in a directory; empty when there is none.
fn newest_checkpoint(album: &Path) -> Result<String> {
    let names = fs::read_dir(album)?.flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    Ok(names
        .filter(|name| !name.starts_with('.'))
        .max()
        .unwrap_or_default())
}

#[test]
fn a_damaged_newest_checkpoint_is_passed_over() -> Result<()> {
    let place = Place::new()?;
    let mut talk = place.talk(&["run", "talk.wasm"])?;
    fs::create_dir(place.path("album"))?;
    for (number, name) in ["album/000001.leap", "album/000002.leap"]
        .into_iter()
        .enumerate()
    {
        talk.ask(&format!("+ {number}"))?;
        place.printed(&["checkpoint", &talk.pid(), "-o", name])?;
    }
    talk.kill()?;
    let sound = fs::read(place.path("album/000002.leap"))?;
    // Wherever the damage is: in the header, in what opening it reads, in pages.
    let places = [100, sound.len() / 4, sound.len() / 2, sound.len() - 2];
    for at in places {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        fs::write(place.path("album/000002.leap"), bytes)?;
        let mut talk = place.talk(&["restore", "album"])?;
        assert_eq!(
            talk.ask("+ 5")?,
            "2 numbers, sum 5",
            "{at} of {}",
            sound.len()
        );
        assert_eq!(talk.end()?, Some(0));
    }
    Ok(())
}

#[test]
fn two_programs_do_not_share_a_directory_for_checkpoints() -> Result<()> {
    let place = Place::new()?;
    let run = [
        "run",
        "--checkpoint-every",
        "10m",
        "--checkpoint-dir",
        "album",
        "talk.wasm",
    ];
    let mut first = place.talk(&run)?;
    assert_eq!(first.ask("+ 1")?, "1 numbers, sum 1");
    let complaint = place.complaint(&run)?;
    assert!(complaint.contains("directory of its own"), "{complaint}");
    first.kill()?;
    // Whoever was killed holds nothing.
    let second = place.talk(&run)?;
    assert_eq!(second.end()?, Some(0));
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
fn a_directory_is_granted_again_or_not_seen() -> Result<()> {
    let place = Place::new()?;
    fs::create_dir(place.path("data"))?;
    let mut talk = place.talk(&["run", "--dir", "data::/", "talk.wasm"])?;
    talk.ask("+ 1")?;
    place.printed(&["checkpoint", &talk.pid(), "--stop", "-o", "talk.leap"])?;
    assert_eq!(talk.end()?, Some(75));
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
