//! Directories of periodic checkpoints.

use super::*;

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

/// The name of the newest whole checkpoint in a directory; empty when there is none.
pub(crate) fn newest_checkpoint(album: &Path) -> Result<String> {
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

/// What a checkpoint had that was not kept is in the next one.
#[test]
fn a_checkpoint_that_cannot_be_written_is_made_up_for() -> Result<()> {
    const WHOLE: u64 = 33;
    let place = Place::new()?;
    let periodic = ["--checkpoint-every", "10m", "--checkpoint-dir", "album"];
    let mut talk = place.talk(&[&["run"], &periodic[..], &["talk.wasm"]].concat())?;
    assert_eq!(talk.ask("+ 1")?, "1 numbers, sum 1");
    for _ in 1..WHOLE {
        assert_eq!(talk.ask("keep")?, "answer 0");
    }
    // The next one stands by itself, and has pages that do not change again.
    fs::create_dir(place.path("album").join(format!("{WHOLE:06}.leap")))?;
    assert_eq!(talk.ask("grow 4")?, "there is");
    assert_eq!(talk.ask("keep")?, "answer 2");
    fs::remove_dir(place.path("album").join(format!("{WHOLE:06}.leap")))?;
    // What there was before it is still there.
    place.printed(&["inspect", "--verify", "album/000032.leap"])?;
    assert_eq!(talk.ask("keep")?, "answer 0");
    talk.kill()?;

    let mut talk = place.talk(&[&["restore"], &periodic[..], &["album"]].concat())?;
    assert_eq!(talk.hear()?, "answer 1");
    assert_eq!(talk.ask("look")?, "as it was");
    assert_eq!(talk.ask("+ 2")?, "2 numbers, sum 3");
    talk.kill()
}

#[test]
fn what_a_killed_program_left_unfinished_is_removed() -> Result<()> {
    let place = Place::new()?;
    let album = place.path("album");
    fs::create_dir(&album)?;
    let unfinished = album.join(".000001.leap.1-0.unfinished");
    fs::write(&unfinished, "half an image")?;
    let periodic = ["--checkpoint-every", "10m", "--checkpoint-dir", "album"];
    let mut talk = place.talk(&[&["run"], &periodic[..], &["talk.wasm"]].concat())?;
    assert_eq!(talk.ask("+ 1")?, "1 numbers, sum 1");
    assert!(!unfinished.exists());
    assert_eq!(talk.end()?, Some(0));
    Ok(())
}
