//! Where an object is in its life, and waiting for the next phase.

use std::sync::atomic::Ordering;

use leap_core::{Version, WorldLine};
use tokio::sync::{oneshot, watch};

use super::protocol::{Event, Protocol};
use crate::observation::Stopped;

/// Where a hosted object is in its life.
///
/// ```
/// # leap::testing::run_example(async {
/// use leap::{LifePhase, Stopped};
///
/// # let host = leap::Host::builder().start().await?;
/// # let counter = host.add::<leap::testing::Counter>("counter").await?;
/// counter.ready().await?;
/// assert_eq!(counter.life().borrow().phase, LifePhase::Active);
/// counter.leave().await?;
/// assert_eq!(counter.life().borrow().phase, LifePhase::Stopped(Stopped::Left));
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LifePhase {
    /// It waits to be admitted, or brings back an older state.
    Waiting,
    /// It runs actions.
    Active,
    /// It has stopped for good; a new incarnation may follow.
    Stopped(Stopped),
}

/// What [`Object::life`](crate::Object::life) tells.
///
/// ```
/// # leap::testing::run_example(async {
/// use leap::{LifePhase, WorldLine};
///
/// # let host = leap::Host::builder().start().await?;
/// # let counter = host.add::<leap::testing::Counter>("counter").await?;
/// let mut life = counter.life();
/// let now = life.wait_for(|life| life.phase == LifePhase::Active).await?;
/// assert_eq!(now.world_line, WorldLine(0));
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// Where it is.
    pub phase: LifePhase,
    /// Its world-line.
    pub world_line: WorldLine,
    /// How many times the state was brought back to an older version, the start included.
    pub generation: u64,
}

impl Protocol {
    pub(crate) fn phase(&self) -> LifePhase {
        self.life.borrow().phase.clone()
    }

    pub(super) async fn ready(&self) -> Result<(), Stopped> {
        let mut life = self.life.subscribe();
        let life = life.wait_for(|life| life.phase != LifePhase::Waiting).await;
        match &life.expect("the sender lives as long as the object").phase {
            LifePhase::Stopped(why) => Err(why.clone()),
            LifePhase::Active | LifePhase::Waiting => Ok(()),
        }
    }

    pub(crate) async fn stopped(&self) -> Stopped {
        let mut life = self.life.subscribe();
        let stopped = life
            .wait_for(|life| matches!(life.phase, LifePhase::Stopped(_)))
            .await;
        match &stopped
            .expect("the sender lives as long as the object")
            .phase
        {
            LifePhase::Stopped(why) => why.clone(),
            phase => unreachable!("waited for the end, got {phase:?}"),
        }
    }

    /// Waits for the next change of `life`.
    pub(super) async fn changed(&self, life: &mut watch::Receiver<Life>) -> Result<(), Stopped> {
        if let LifePhase::Stopped(why) = &life.borrow().phase {
            return Err(why.clone());
        }
        life.changed()
            .await
            .expect("the sender lives as long as the object");
        Ok(())
    }

    /// Waits until the open version is at least `at_least`.
    pub(super) async fn sealed(&self, at_least: Version) -> Result<(), Stopped> {
        let (done, sealed) = oneshot::channel();
        self.tell(Event::Seal { at_least, done });
        match sealed.await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.stopped().await),
        }
    }

    /// Ends the object's life, whatever its task does.
    pub(crate) fn stop(&self, why: Stopped) {
        let _exclusive_side = self.exclusive_side();
        self.flags.store(0, Ordering::Release);
        self.end(why);
    }

    /// Tells everybody that the object has stopped, the first time.
    pub(super) fn end(&self, why: Stopped) {
        self.outputs.lock().clear();
        self.life.send_if_modified(|life| {
            let first = !matches!(life.phase, LifePhase::Stopped(_));
            if first {
                match why {
                    Stopped::Left | Stopped::HostGone => {
                        tracing::info!(object = %self.name, %why, "object stopped");
                    }
                    _ => tracing::warn!(object = %self.name, %why, "object stopped"),
                }
                life.phase = LifePhase::Stopped(why);
            }
            first
        });
    }
}
