//! What time it is, for durable timers.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// Milliseconds since 1970.
#[derive(Clone)]
pub(super) struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(now_ms)
    }
}

impl Clock {
    pub(super) fn new(now_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now_ms))
    }

    /// When `duration` is over.
    pub(super) fn deadline_ms(&self, duration: Duration) -> u64 {
        self.0().saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn until_ms(&self, deadline_ms: u64) -> Duration {
        Duration::from_millis(deadline_ms.saturating_sub(self.0()))
    }
}

/// The wall clock as it was when first asked, carried on by the runtime's clock: steps of the wall
/// clock do not disturb timers, and tests can hold the runtime's clock in their hands.
fn now_ms() -> u64 {
    static ANCHOR: OnceLock<(u64, Instant)> = OnceLock::new();
    let now = Instant::now();
    let &(wall_ms, anchor) = ANCHOR.get_or_init(|| (wall_clock_ms(), now));
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    match now.checked_duration_since(anchor) {
        Some(since) => wall_ms.saturating_add(ms(since)),
        None => wall_ms.saturating_sub(ms(anchor - now)),
    }
}

fn wall_clock_ms() -> u64 {
    let since_1970 = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}
