//! What one seed draws before its run begins: the cluster, its hardware, its work and its faults.

use leap_core::Speculation;

use crate::{guest::MAX_OBJECTS, random::Random};

/// A fault, and the moment it strikes. Targets are drawn as plain numbers and taken modulo what is
/// there at that moment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Fault {
    /// A process ends; a new one takes its place after `downtime_us`.
    CrashProcess { target: u64, downtime_us: u64 },
    /// A process is replaced while it lives on, at first cut off from some of the others.
    ReplaceProcess { target: u64, isolated_us: u64 },
    /// One object of a process is stopped and recovered.
    RestartObject { target: u64, downtime_us: u64 },
    /// The write in front fails; the object stops and is recovered.
    FailWrite { target: u64, downtime_us: u64 },
    /// The object's storage takes long.
    SlowStorage { target: u64, duration_us: u64 },
    /// A link breaks, and stays down for a while.
    BreakLink { target: u64, downtime_us: u64 },
    /// Nothing gets through between some processes and all others.
    Isolate { target: u64, duration_us: u64 },
    /// The coordinator ends; the next one starts later.
    CrashCoordinator { downtime_us: u64 },
    /// The next coordinator starts while this one lives on.
    ReplaceCoordinator,
    /// The coordinator ends the next time that something is on its way to its log.
    CrashWhileLogging { downtime_us: u64 },
    /// An object leaves, and comes back later.
    Leave { target: u64 },
    /// A process that hosts the object in another storage says something to the coordinator.
    Stranger { target: u64 },
    /// An object is said never to come back, and removed. It may live all the same; it may come back before
    /// everybody else has come to rest without it, or only then.
    Remove {
        target: u64,
        lives: bool,
        back_after_us: Option<u64>,
    },
}

/// How many kinds of faults there are.
const KINDS: u64 = 13;

impl Fault {
    /// Draws a fault of one kind.
    fn draw(kind: u64, random: &mut Random) -> Self {
        let target = random.draw() >> 8;
        let time = random.between((0, 3_000));
        let (downtime_us, duration_us) = (time, time);
        match kind {
            0 => Self::CrashProcess {
                target,
                downtime_us,
            },
            1 => Self::ReplaceProcess {
                target,
                isolated_us: time,
            },
            2 => Self::RestartObject {
                target,
                downtime_us,
            },
            3 => Self::FailWrite {
                target,
                downtime_us,
            },
            4 => Self::SlowStorage {
                target,
                duration_us,
            },
            5 => Self::BreakLink {
                target,
                downtime_us,
            },
            6 => Self::Isolate {
                target,
                duration_us,
            },
            7 => Self::CrashCoordinator { downtime_us },
            8 => Self::ReplaceCoordinator,
            9 => Self::CrashWhileLogging { downtime_us },
            10 => Self::Leave { target },
            11 => Self::Stranger { target },
            _ => Self::Remove {
                target,
                lives: random.chance(300),
                back_after_us: random.chance(400).then_some(time),
            },
        }
    }
}

/// One run's configuration. Pairs are spans, both ends included.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// For each object, which process hosts it.
    pub(crate) placement: Vec<usize>,
    pub(crate) speculation: Vec<Speculation>,
    pub(crate) latency_us: (u64, u64),
    pub(crate) reconnect_us: (u64, u64),
    /// How often a broken link still delivers the first of what was under way, in permille.
    pub(crate) late_permille: u64,
    pub(crate) write_us: (u64, u64),
    /// Writes become durable at multiples of this; 0: at once.
    pub(crate) group_commit_us: u64,
    pub(crate) log_us: (u64, u64),
    /// How long news of the boundary may wait for more to be told with; 0: not at all.
    pub(crate) linger_us: u64,
    /// How often a process is told a piece of what lingers, in permille.
    pub(crate) reached_permille: u64,
    pub(crate) restore_us: (u64, u64),
    pub(crate) seal_every_us: (u64, u64),
    pub(crate) max_in_flight: usize,
    pub(crate) checkpoint_every: u64,
    pub(crate) requests: u64,
    pub(crate) request_every_us: (u64, u64),
    pub(crate) retry_us: u64,
    pub(crate) hops: (u64, u64),
    /// How many actions take time between their halves, in permille.
    pub(crate) slow_action_permille: u64,
    pub(crate) action_us: (u64, u64),
    pub(crate) sthreads: u64,
    pub(crate) sthread_steps: (u64, u64),
    /// How many levels a guest may have open at once; 0: nobody opens any.
    pub(crate) levels: usize,
    /// How long a guest leaves its levels as they are.
    pub(crate) level_every_us: (u64, u64),
    /// How many decisions the coordinator remembers for processes that were away.
    pub(crate) remembered: usize,
    /// Everything travels and is stored in its encoding.
    pub(crate) encoded: bool,
    pub(crate) faults: Vec<(u64, Fault)>,
    /// When all faults stop.
    pub(crate) heal_us: u64,
}

impl Config {
    /// Draws a configuration.
    pub(crate) fn draw(random: &mut Random) -> Self {
        let objects = random.between((2, MAX_OBJECTS as u64));
        let processes = random.between((1, objects));
        let heal_us = random.between((3_000, 12_000));
        let speculation_off = *random.pick(&[0, 0, 200, 1000]);
        let fast = random.between((5, 200));
        let mut config = Self {
            placement: (0..objects)
                .map(|_| random.index(processes as usize))
                .collect(),
            speculation: (0..objects)
                .map(|_| match random.chance(speculation_off) {
                    true => Speculation::Off,
                    false => Speculation::On,
                })
                .collect(),
            latency_us: (fast, fast + random.between((0, 400))),
            reconnect_us: (50, 50 + random.between((0, 1500))),
            late_permille: *random.pick(&[0, 200, 600]),
            write_us: (20, 20 + random.between((0, 2_000))),
            group_commit_us: *random.pick(&[0, 0, 500, 2_000]),
            log_us: (20, 20 + random.between((0, 2_000))),
            linger_us: *random.pick(&[0, 500, 3_000]),
            reached_permille: *random.pick(&[0, 200, 600]),
            restore_us: (0, random.between((0, 800))),
            seal_every_us: (100, 100 + random.between((0, 1_500))),
            max_in_flight: random.index(4) + 1,
            checkpoint_every: random.between((1, 6)),
            requests: random.between((2, 14)),
            request_every_us: (0, random.between((100, 1_500))),
            retry_us: random.between((1_000, 5_000)),
            hops: (0, random.between((0, 5))),
            slow_action_permille: *random.pick(&[0, 100, 500]),
            action_us: (1, random.between((2, 800))),
            sthreads: random.between((0, 8)),
            sthread_steps: (1, random.between((1, 5))),
            levels: *random.pick(&[0, 0, 0, 1, 2, 4]),
            level_every_us: (50, 50 + random.between((0, 1_500))),
            remembered: *random.pick(&[1, 1, 3, 64]),
            encoded: random.chance(50),
            faults: Vec::new(),
            heal_us,
        };
        config.draw_faults(random);
        config
    }

    fn draw_faults(&mut self, random: &mut Random) {
        // One seed in eight runs without faults, some with one kind only.
        let count = *random.pick(&[0, 1, 2, 3, 4, 6, 8, 12]);
        let only = random.chance(250).then(|| random.below(KINDS));
        for _ in 0..count {
            let at = random.below(self.heal_us);
            let kind = only.unwrap_or_else(|| random.below(KINDS));
            self.faults.push((at, Fault::draw(kind, random)));
        }
    }
}
