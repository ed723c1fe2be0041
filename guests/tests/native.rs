//! The suite against its own promise: the same checksums from native code, at the small size.

use std::process::Command;

use guests::{CORPUS, Kind, SUITE, Size, build_native};

#[test]
fn native_code_prints_the_checksums_of_the_suite() -> anyhow::Result<()> {
    // What else is needed for C++ on this machine is not ours to ask for.
    let is_plain = |kind| matches!(kind, Kind::C | Kind::Setjmp);
    let programs = SUITE.iter().chain(CORPUS);
    let programs = programs.filter(|program| is_plain(program.kind));
    for program in programs {
        let output = Command::new(build_native(program.name, Size::Small)?).output()?;
        let printed = String::from_utf8(output.stdout)?;
        assert_eq!(printed, program.output(Size::Small), "{}", program.name);
    }
    Ok(())
}

#[test]
fn an_unknown_guest_is_refused() {
    let error = guests::build("no-such-guest", Size::Small).unwrap_err();
    assert_eq!(error.to_string(), "there is no guest no-such-guest");
}
