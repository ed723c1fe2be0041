//! For how long versions have waited outside of the boundary. The core has no clock, so its driver stamps what
//! it is told.

use std::collections::{BTreeMap, HashMap, VecDeque};

use leap_core::{Decision, ObjectId, Version};
use tokio::time::{Duration, Instant};

/// When each durable version that is not inside the boundary was reported.
#[derive(Debug, Default)]
pub(super) struct Lag {
    /// Per object, ascending.
    reported: HashMap<ObjectId, VecDeque<(Version, Instant)>>,
}

impl Lag {
    /// `version` is said to be durable. It may have been said before.
    pub(super) fn persisted(&mut self, object: ObjectId, version: Version) {
        let reported = self.reported.entry(object).or_default();
        if reported.back().is_none_or(|&(newest, _)| newest < version) {
            reported.push_back((version, Instant::now()));
        }
    }

    /// The boundary advanced to these versions.
    pub(super) fn committed(&mut self, advanced: &BTreeMap<ObjectId, Version>) {
        for (object, &committed) in advanced {
            if let Some(reported) = self.reported.get_mut(object) {
                let inside = reported.partition_point(|&(version, _)| version <= committed);
                reported.drain(..inside);
            }
        }
    }

    /// What was removed waits no longer.
    pub(super) fn decided(&mut self, decision: &Decision) {
        for (&object, reported) in &mut self.reported {
            let kept = reported.partition_point(|&(version, _)| !decision.removes(object, version));
            reported.truncate(kept);
        }
    }

    /// How long the one that has waited longest has waited.
    pub(super) fn longest(&self) -> Duration {
        let oldest = self.reported.values().filter_map(VecDeque::front);
        let oldest = oldest.map(|&(_, since)| since).min();
        oldest.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use leap_core::{Cause, Incarnation, WorldLine};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_version_that_waits_counts() {
        let [hotel, flight] = ["hotel", "flight"].map(ObjectId::from_name);
        let mut lag = Lag::default();
        assert_eq!(lag.longest(), Duration::ZERO);
        lag.persisted(hotel, Version(1));
        tokio::time::advance(Duration::from_millis(7)).await;
        lag.persisted(hotel, Version(1));
        lag.persisted(flight, Version(2));
        tokio::time::advance(Duration::from_millis(5)).await;
        assert_eq!(lag.longest(), Duration::from_millis(12));
        lag.committed(&[(hotel, Version(3))].into());
        assert_eq!(lag.longest(), Duration::from_millis(5));
        lag.decided(&Decision {
            world_line: WorldLine(1),
            cause: Cause::Failed {
                object: flight,
                successor: Incarnation(2),
            },
            cut: [(flight, Version(1))].into(),
        });
        assert_eq!(lag.longest(), Duration::ZERO);
        // The number is used again.
        lag.persisted(flight, Version(2));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(lag.longest(), Duration::from_millis(1));
    }
}
