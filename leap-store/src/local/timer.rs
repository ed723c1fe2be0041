//! Things to do later, in order: the end of a group-commit interval, a delayed acknowledgement.
//!
//! One thread per store, started when first needed and ended when idle. It is finer than an async runtime's timer
//! (whose tick of a millisecond would show in measurements of injected latency).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

const IDLE: Duration = Duration::from_secs(10);

type Action = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub(crate) struct Timer {
    plan: Mutex<Plan>,
    changed: Condvar,
}

#[derive(Default)]
struct Plan {
    /// By time, and in the order of arrival where the time is the same.
    actions: BTreeMap<(Instant, u64), Action>,
    arrivals: u64,
    running: bool,
}

impl Timer {
    /// Runs `action` at `when`, on the timer's thread. It must be short.
    pub(crate) fn at(self: &Arc<Self>, when: Instant, action: impl FnOnce() + Send + 'static) {
        let mut plan = self.plan.lock();
        plan.arrivals += 1;
        let key = (when, plan.arrivals);
        plan.actions.insert(key, Box::new(action));
        let first = plan
            .actions
            .first_key_value()
            .is_some_and(|(first, _)| *first == key);
        let start = !std::mem::replace(&mut plan.running, true);
        drop(plan);
        if start {
            let timer = Arc::clone(self);
            let thread = std::thread::Builder::new().name("leap-store-timer".to_owned());
            thread
                .spawn(move || timer.serve())
                .expect("the system can start one more thread");
        } else if first {
            self.changed.notify_one();
        }
    }

    fn serve(&self) {
        let mut plan = self.plan.lock();
        loop {
            let now = Instant::now();
            let due = plan.actions.first_key_value().map(|((when, _), _)| *when);
            match due {
                Some(when) if when <= now => {
                    let (_, action) = plan.actions.pop_first().expect("one is due");
                    drop(plan);
                    action();
                    plan = self.plan.lock();
                }
                Some(when) => drop(self.changed.wait_until(&mut plan, when)),
                None => {
                    let timeout = self.changed.wait_for(&mut plan, IDLE);
                    if timeout.timed_out() && plan.actions.is_empty() {
                        plan.running = false;
                        return;
                    }
                }
            }
        }
    }
}
