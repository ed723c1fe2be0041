//! What a frame costs. Not a test: it measures and prints.
//!
//! `cargo test --release -p leap --lib transport::tests::cost -- --ignored --nocapture`

use std::time::Instant;

use super::*;

const PAYLOAD_BYTES: usize = 128;

/// CPU time that this process has used.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/schedstat");
    let main_thread = stat.expect("Linux counts the time of threads");
    let nanos = |line: &str| line.split(' ').next().and_then(|n| n.parse::<u64>().ok());
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux lists threads");
    let all = tasks.filter_map(|task| {
        let stat = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        nanos(&stat)
    });
    Duration::from_nanos(all.sum::<u64>().max(nanos(&main_thread).unwrap_or(0)))
}

fn report(what: &str, count: u32, wall: Duration, cpu: Duration) {
    println!(
        "{what}: {:.2} us CPU and {:.2} us of time each ({count} of them)",
        cpu.as_secs_f64() * 1e6 / f64::from(count),
        wall.as_secs_f64() * 1e6 / f64::from(count),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn frames_under_load() {
    const COUNT: u32 = 2_000_000;
    /// Enough to keep both sides busy, far below the limit of the queue.
    const WINDOW: u32 = 4096;
    let mut party = Party::grpc().await;
    let (near, mut far) = party.connection().await;
    let (start, cpu_start) = (Instant::now(), cpu());
    let credit = std::sync::Arc::new(tokio::sync::Semaphore::new(WINDOW as usize));
    let granted = credit.clone();
    let sender = tokio::spawn(async move {
        let frame = frame(1, PAYLOAD_BYTES);
        for _ in 0..COUNT {
            granted.acquire().await.expect("it is open").forget();
            near.outgoing.send(&frame);
        }
        near
    });
    let (mut frames, mut received, mut batches) = (Vec::new(), 0, 0_u32);
    while received < COUNT {
        let more = far.incoming.recv_many(&mut frames).await;
        assert!(more > 0, "the connection ended after {received} frames");
        credit.add_permits(more);
        received += more as u32;
        batches += 1;
        frames.clear();
    }
    report(
        "a frame in a stream of them",
        COUNT,
        start.elapsed(),
        cpu() - cpu_start,
    );
    println!(
        "    {:.0} frames in a batch",
        f64::from(COUNT) / f64::from(batches)
    );
    drop(sender.await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn one_frame_at_a_time_on_two_threads() {
    one_frame_at_a_time().await;
}

#[tokio::test]
#[ignore = "a measurement"]
async fn one_frame_at_a_time_on_one_thread() {
    one_frame_at_a_time().await;
}

/// With nothing to batch, what counts is how often a task or a thread must be woken.
async fn one_frame_at_a_time() {
    const COUNT: u32 = 50_000;
    let mut party = Party::grpc().await;
    let (mut near, mut far) = party.connection().await;
    tokio::spawn(async move {
        let mut frames = Vec::new();
        while far.incoming.recv_many(&mut frames).await > 0 {
            frames.drain(..).for_each(|frame| far.outgoing.send(frame));
        }
    });
    let (start, cpu_start) = (Instant::now(), cpu());
    let frame = frame(1, PAYLOAD_BYTES);
    let mut frames = Vec::new();
    for _ in 0..COUNT {
        near.outgoing.send(&frame);
        assert_eq!(near.incoming.recv_many(&mut frames).await, 1);
        frames.clear();
    }
    report(
        "there and back, one at a time",
        COUNT,
        start.elapsed(),
        cpu() - cpu_start,
    );
}

#[test]
#[ignore = "a measurement"]
fn encoding_and_decoding() {
    const COUNT: u32 = 1_000_000;
    let frame = frame(1, PAYLOAD_BYTES);
    let (start, cpu_start) = (Instant::now(), cpu());
    for _ in 0..COUNT {
        let encoded = std::hint::black_box(&frame).encode();
        std::hint::black_box(Frame::decode(&encoded.0)).expect("it is a frame");
    }
    report(
        "encoding and decoding",
        COUNT,
        start.elapsed(),
        cpu() - cpu_start,
    );
}
