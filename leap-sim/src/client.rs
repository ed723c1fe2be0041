//! Outsiders: they know no headers, remember what they asked for and ask again until they are answered.

use leap_core::ObjectId;

use crate::world::{Event, InstanceId, World};

/// What an outsider asks for.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) object: ObjectId,
    pub(crate) to: ObjectId,
    pub(crate) amount: u32,
    pub(crate) hops: u32,
    pub(crate) answered: bool,
}

impl World {
    pub(crate) fn plan_requests(&mut self) {
        let mut at = 500;
        for index in 0..self.config.requests {
            let request = Request {
                object: self.any_object(),
                to: self.any_object(),
                amount: u32::try_from(1 + self.random.below(100)).expect("small"),
                hops: u32::try_from(self.random.between(self.config.hops)).expect("small"),
                answered: false,
            };
            self.requests.push(request);
            at += self.random.between(self.config.request_every_us);
            self.plan(at, Event::TryRequest(index as usize));
        }
    }

    /// Asks some life of the object, perhaps a superseded one, and again later.
    pub(crate) fn try_request(&mut self, number: usize) {
        let request = &self.requests[number];
        if request.answered {
            return;
        }
        let alive: Vec<InstanceId> = self
            .instances
            .iter()
            .filter(|instance| instance.is_alive && instance.object == request.object)
            .map(|instance| instance.id)
            .collect();
        if !alive.is_empty() {
            let instance = *self.random.pick(&alive);
            let delay = self.random.between(self.config.latency_us);
            self.plan(delay, Event::ArriveRequest(number, instance));
        }
        self.plan(self.config.retry_us, Event::TryRequest(number));
    }
}
