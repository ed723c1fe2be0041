//! Streams, polling and sleeping.

use super::*;

#[test]
fn streams() -> Result<()> {
    let mut caller = Caller::in_memory()?;
    caller.write(1, b"out");
    caller.write(2, b"err");
    assert_eq!(caller.output.bytes(Stream::Output), b"out");
    assert_eq!(caller.output.bytes(Stream::Error), b"err");
    assert_eq!(caller.read(0, 4), b"");
    caller.fails(
        Errno::Notcapable,
        "fd_read",
        &[1, VECTOR.into(), 1, RESULT.into()],
    );
    caller.fails(
        Errno::Notcapable,
        "fd_write",
        &[0, VECTOR.into(), 1, RESULT.into()],
    );
    caller.fails(Errno::Spipe, "fd_seek", &[1, 0, 0, RESULT.into()]);
    caller.fails(
        Errno::Badf,
        "fd_write",
        &[9, VECTOR.into(), 1, RESULT.into()],
    );
    caller.fails(Errno::Fault, "fd_write", &[1, 65_533, 1, RESULT.into()]);
    caller.put(VECTOR, &[0xff; 8]);
    caller.fails(
        Errno::Fault,
        "fd_write",
        &[1, VECTOR.into(), 1, RESULT.into()],
    );
    Ok(())
}

#[test]
fn a_sink_that_fails_is_an_error_number() -> Result<()> {
    struct Closed(io::ErrorKind);
    impl Sink for Closed {
        fn write(&mut self, _: Stream, _: &[u8]) -> io::Result<()> {
            Err(self.0.into())
        }
    }
    for (kind, errno) in [
        (io::ErrorKind::BrokenPipe, Errno::Pipe),
        (io::ErrorKind::Other, Errno::Io),
    ] {
        let mut caller = Caller::in_memory()?;
        caller.wasi.outside.sink = Box::new(Closed(kind));
        caller.vector(3);
        caller.fails(errno, "fd_write", &[1, VECTOR.into(), 1, RESULT.into()]);
    }
    Ok(())
}

#[test]
fn input_is_waited_for_and_moves_along() -> Result<()> {
    let input = SetInput::default();
    let mut caller = Caller::with(WasiState::new(&WasiOptions::default()), input.clone())?;
    caller.vector(3);
    let read = [0, VECTOR.into(), 1, RESULT.into()];
    let Outcome::Wait(wait) = caller.outcome("fd_read", &read) else {
        panic!("there is no input yet");
    };
    assert_eq!(wait.function(), "fd_read");
    assert_eq!(caller.wasi.remaining_ns(&wait), None);
    caller.ok("fd_fdstat_set_flags", &[0, fd_flags::NONBLOCK.into()]);
    caller.fails(Errno::Again, "fd_read", &read);

    // It arrives, and the process moves before it has read all.
    let wait = Wait::from_bytes(&wait.to_bytes()).expect("it is a wait");
    input.0.lock().push(Arrived::Bytes(b"hello".to_vec()));
    assert_eq!(
        caller.wasi.resume(&wait, &mut caller.memory),
        Outcome::Done(0)
    );
    assert_eq!(caller.bytes(BUFFER, caller.u32(RESULT)), b"hel");
    // What was not asked for stays where it is.
    input.0.lock().push(Arrived::Bytes(b" world".to_vec()));
    let mut moved = caller.moved()?;
    assert_eq!(moved.read(0, 99), b"lo");
    assert_eq!(moved.read(0, 99), b"");
    assert_eq!(input.0.lock().len(), 1);
    Ok(())
}

/// A subscription in memory, as `poll_oneoff` reads it.
fn subscription(user_data: u64, kind: u8, subject: u32, timeout_ns: u64, flags: u16) -> [u8; 48] {
    let mut bytes = [0; 48];
    bytes[0..8].copy_from_slice(&user_data.to_le_bytes());
    bytes[8] = kind;
    bytes[16..20].copy_from_slice(&subject.to_le_bytes());
    bytes[24..32].copy_from_slice(&timeout_ns.to_le_bytes());
    bytes[40..42].copy_from_slice(&flags.to_le_bytes());
    bytes
}

#[test]
fn sleeping_goes_on_elsewhere_for_the_rest_of_the_time() -> Result<()> {
    let mut caller = Caller::in_memory()?;
    caller.put(BUFFER, &subscription(42, 0, clock::MONOTONIC, 1000, 0));
    let arguments = [BUFFER.into(), OTHER_PATH.into(), 1, RESULT.into()];
    let Outcome::Wait(wait) = caller.outcome("poll_oneoff", &arguments) else {
        panic!("it is too early");
    };
    assert_eq!(caller.wasi.remaining_ns(&wait), Some(1000));
    caller.now_ns.fetch_add(400, Ordering::Relaxed);
    let mut moved = caller.moved()?;
    assert_eq!(moved.wasi.remaining_ns(&wait), Some(600));
    let again = moved.wasi.resume(&wait, &mut moved.memory);
    assert_eq!(again, Outcome::Wait(wait.clone()));
    moved.now_ns.fetch_add(600, Ordering::Relaxed);
    let done = moved.wasi.resume(&wait, &mut moved.memory);
    assert_eq!(done, Outcome::Done(0));
    assert_eq!(moved.u32(RESULT), 1);
    assert_eq!(moved.u64(OTHER_PATH), 42);
    assert_eq!(moved.u16(OTHER_PATH + 8), 0);
    Ok(())
}

#[test]
fn polling_tells_what_is_ready() -> Result<()> {
    let input = SetInput::default();
    let mut caller = Caller::with(
        WasiState::new(&WasiOptions {
            memory_directories: vec!["/".into()],
            ..WasiOptions::default()
        }),
        input.clone(),
    )?;
    caller.create("f", "12345");
    let file = caller.open("f", 0) as u32;
    let poll = |caller: &mut Caller, subscriptions: &[[u8; 48]]| {
        caller.put(BUFFER, subscriptions.as_flattened());
        let arguments = [
            BUFFER.into(),
            OTHER_PATH.into(),
            subscriptions.len() as u64,
            RESULT.into(),
        ];
        match caller.outcome("poll_oneoff", &arguments) {
            Outcome::Done(0) => {
                let events = 0..caller.u32(RESULT);
                let event = |at: u32| (caller.u64(at), caller.u16(at + 8), caller.u64(at + 16));
                Ok(events
                    .map(|index| event(OTHER_PATH + 32 * index))
                    .collect::<Vec<_>>())
            }
            other => Err(other),
        }
    };
    let events = poll(
        &mut caller,
        &[
            subscription(1, 1, file, 0, 0),
            subscription(2, 2, 1, 0, 0),
            subscription(3, 1, 99, 0, 0),
        ],
    );
    assert_eq!(
        events,
        Ok(vec![(1, 0, 5), (2, 0, 1), (3, Errno::Badf as u16, 0)])
    );
    // An absolute time that has passed, by either clock.
    let now = 1_000_000_005_000;
    let events = poll(
        &mut caller,
        &[
            subscription(1, 0, clock::MONOTONIC, 0, 1),
            subscription(2, 0, clock::REALTIME, now, 1),
            subscription(3, 0, 9, 0, 0),
        ],
    );
    assert_eq!(
        events,
        Ok(vec![(1, 0, 0), (2, 0, 0), (3, Errno::Inval as u16, 0)])
    );
    // Input or time, whichever is first.
    let either = [
        subscription(1, 1, 0, 0, 0),
        subscription(2, 0, clock::REALTIME, now + 70, 1),
    ];
    let Err(Outcome::Wait(wait)) = poll(&mut caller, &either) else {
        panic!("neither has happened");
    };
    assert_eq!(caller.wasi.remaining_ns(&wait), Some(70));
    input.0.lock().push(Arrived::Bytes(b"abc".to_vec()));
    assert_eq!(poll(&mut caller, &either), Ok(vec![(1, 0, 3)]));
    assert_eq!(caller.read(0, 9), b"abc");

    caller.fails(
        Errno::Inval,
        "poll_oneoff",
        &[BUFFER.into(), OTHER_PATH.into(), 0, RESULT.into()],
    );
    assert_eq!(
        poll(&mut caller, &[subscription(1, 3, 0, 0, 0)]),
        Err(Outcome::Done(Errno::Inval as u16))
    );
    Ok(())
}
