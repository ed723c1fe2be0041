//! How the coordinator's driver spreads news of the boundary: to everybody in bundles that linger, and to single
//! processes at once, in part. Late news are as true as early ones, but a process may then know of a version without
//! what that depends on (rule P7).

use std::collections::BTreeMap;

use leap_core::{ObjectId, ToParticipant, Version};

use crate::{
    network::Wire,
    world::{Event, SeatId, World},
};

/// What has not been told to everybody yet.
#[derive(Debug, Default)]
pub(crate) struct News {
    untold: BTreeMap<ObjectId, Version>,
    /// Whether [`Event::SpreadNews`] is planned.
    is_due: bool,
}

impl World {
    /// The boundary advanced.
    pub(crate) fn hold_news(&mut self, id: SeatId, advanced: BTreeMap<ObjectId, Version>) {
        let news = &mut self.seats[id.0].news;
        news.untold.extend(advanced);
        if self.config.linger_us == 0 {
            return self.spread_news(id);
        }
        if !std::mem::replace(&mut news.is_due, true) {
            let delay = 1 + self.random.below(self.config.linger_us);
            self.plan(delay, Event::SpreadNews(id));
        }
        self.tell_who_waits(id);
    }

    /// Tells some processes one piece of what lingers, as if somebody there had waited for just that.
    fn tell_who_waits(&mut self, id: SeatId) {
        for link in self.seats[id.0].links() {
            if !self.random.chance(self.config.reached_permille) {
                continue;
            }
            let untold: Vec<_> = self.seats[id.0].news.untold.clone().into_iter().collect();
            let reached = *self.random.pick(&untold);
            self.send_over(id, link, Wire::Reached(BTreeMap::from([reached])));
        }
    }

    pub(crate) fn news_due(&mut self, id: SeatId) {
        self.seats[id.0].news.is_due = false;
        if self.seats[id.0].is_alive {
            self.spread_news(id);
        }
    }

    /// Tells everybody what lingers.
    pub(crate) fn spread_news(&mut self, id: SeatId) {
        let untold = std::mem::take(&mut self.seats[id.0].news.untold);
        if !untold.is_empty() {
            self.broadcast(id, &ToParticipant::Boundary(untold));
        }
    }
}
