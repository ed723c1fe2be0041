//! Actions on hosted machines, for this process and for the outside world.

use bytes::Bytes;

use super::{Action, Journaled};
use crate::object::{Object, OutputLost};
use crate::observation::Stopped;
use crate::service::{CallError, Service};
use crate::sthread::SThread;

/// How often something for the outside world is done again because what it depended on was rolled
/// back, before the caller is asked to try again.
const RELEASE_ATTEMPTS: usize = 16;

/// Actions on machines, without the detour through the context.
impl<S: Service> Object<Journaled<S>> {
    /// Runs an action on the machine.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let sum = counter.change(|action| {
    ///     action.record(5);
    ///     action.0
    /// });
    /// assert_eq!(sum.await?, 5);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`Stopped`] if the object has stopped.
    pub async fn change<R>(
        &self,
        change: impl FnOnce(&mut Action<'_, S>) -> R,
    ) -> Result<R, Stopped> {
        self.action(|journaled, context| journaled.change(context, change))
            .await
    }

    /// Looks at the machine; the sthread depends on what was seen.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let (count, mut seen) = counter.view(|counter| counter.0).await?;
    /// assert_eq!(count, 0);
    /// seen.barrier().await?; // before anybody outside is told
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`Stopped`] if the object has stopped.
    pub async fn view<R>(&self, view: impl FnOnce(&S) -> R) -> Result<(R, SThread), Stopped> {
        self.read(|journaled| journaled.view(view)).await
    }

    /// Runs an action for the outside world: its result comes when all it depends on is inside the
    /// boundary (rule P8). If that was rolled back, nobody has seen anything of it, and it runs again.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let sum = counter.change_released(|action| {
    ///     action.record(5);
    ///     action.0
    /// });
    /// assert_eq!(sum.await?, 5); // durable, and so is all that it depends on
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`CallError::Unavailable`] if the object has stopped, [`CallError::InDoubt`] if it stopped in the
    /// middle: its next life may or may not have the change.
    pub async fn change_released<R>(
        &self,
        mut change: impl FnMut(&mut Action<'_, S>) -> R,
    ) -> Result<R, CallError> {
        for _ in 0..RELEASE_ATTEMPTS {
            let done = self
                .change(|action| (change(action), action.output()))
                .await;
            let (result, output) = done.map_err(|why| self.unavailable(&why))?;
            match output.await {
                Ok(()) => return Ok(result),
                Err(OutputLost::RolledBack(_)) => {}
                Err(lost @ OutputLost::Stopped) => {
                    return Err(CallError::InDoubt {
                        object: self.name().to_owned(),
                        reason: lost.to_string(),
                    });
                }
            }
        }
        Err(self.unavailable(&"it was rolled back again and again"))
    }

    /// Looks at the machine for the outside world: what was seen comes when it is inside the boundary
    /// (rule P8).
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// counter.change(|counter| counter.record(5)).await?;
    /// assert_eq!(counter.view_released(|counter| counter.0).await?, 5);
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`CallError::Unavailable`] if the object has stopped.
    pub async fn view_released<R>(&self, mut view: impl FnMut(&S) -> R) -> Result<R, CallError> {
        for _ in 0..RELEASE_ATTEMPTS {
            let (seen, mut sthread) = self
                .view(&mut view)
                .await
                .map_err(|why| self.unavailable(&why))?;
            let barrier = tokio::select! {
                biased;
                barrier = sthread.barrier() => barrier,
                why = self.stopped() => return Err(self.unavailable(&why)),
            };
            if barrier.is_ok() {
                return Ok(seen);
            }
        }
        Err(self.unavailable(&"it was rolled back again and again"))
    }

    /// Runs the handler called `method` for the outside world: [`Service::query`] if it only looks, or,
    /// as an action, [`Service::call`]. Its result comes when it may be known (rule P8).
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// assert_eq!(counter.call_released("add", b"5").await?, "5");
    /// assert_eq!(counter.call_released("get", b"").await?, "5");
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Service::call`] and [`change_released`](Self::change_released).
    pub async fn call_released(&self, method: &str, body: &[u8]) -> Result<Bytes, CallError> {
        if S::is_query(method) {
            self.view_released(|service| service.query(method, body))
                .await?
        } else {
            self.change_released(|action| S::call(action, method, body))
                .await?
        }
    }
}
