//! How often and how patiently an effect is tried.

use std::time::Duration;

/// How often and how patiently an effect is tried: after each failure the pause grows by `factor`, up
/// to `longest_pause`. Attempts are counted anew when the engine restarts.
///
/// ```
/// use std::time::Duration;
/// use leap_services::workflow::RetryPolicy;
///
/// let policy = RetryPolicy { attempts: Some(3), ..RetryPolicy::default() };
/// assert_eq!(policy.pause_after(1), Duration::from_millis(50));
/// assert_eq!(policy.pause_after(2), Duration::from_millis(100));
/// assert_eq!(policy.pause_after(40), policy.longest_pause);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// The pause after the first failure.
    pub first_pause: Duration,
    /// What each further pause is multiplied with; at least 1.
    pub factor: f64,
    /// No pause is longer.
    pub longest_pause: Duration,
    /// After this many failures the step fails; without a limit only cancelling ends it.
    pub attempts: Option<u32>,
}

impl Default for RetryPolicy {
    /// 50 ms, doubling up to 30 s, without a limit.
    fn default() -> Self {
        Self {
            first_pause: Duration::from_millis(50),
            factor: 2.0,
            longest_pause: Duration::from_secs(30),
            attempts: None,
        }
    }
}

impl RetryPolicy {
    /// How long to wait after the failure of the given attempt; the first is 1.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use leap_services::workflow::RetryPolicy;
    ///
    /// let policy = RetryPolicy { factor: 3.0, ..RetryPolicy::default() };
    /// assert_eq!(policy.pause_after(1), Duration::from_millis(50));
    /// assert_eq!(policy.pause_after(3), Duration::from_millis(450));
    /// let without = RetryPolicy { first_pause: Duration::ZERO, ..policy };
    /// assert_eq!(without.pause_after(u32::MAX), Duration::ZERO);
    /// ```
    pub fn pause_after(&self, attempt: u32) -> Duration {
        if self.first_pause.is_zero() {
            // Zero times a factor beyond all numbers is none.
            return Duration::ZERO;
        }
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let pause = self.first_pause.as_secs_f64() * self.factor.max(1.0).powi(exponent);
        // Too large, or infinite: the longest it is.
        Duration::try_from_secs_f64(pause)
            .map_or(self.longest_pause, |pause| pause.min(self.longest_pause))
    }

    pub(super) fn allows_another_after(&self, attempt: u32) -> bool {
        self.attempts.is_none_or(|attempts| attempt < attempts)
    }
}
