//! Bringing objects back.

use std::sync::Arc;

use super::{Host, ObjectOptions};
use crate::journaled::Journaled;
use crate::links::Pause;
use crate::object::Object;
use crate::observation::Stopped;
use crate::service::Service;
use crate::state_object::StateError;

impl Host {
    /// Hosts the service `S` under `name` for as long as the host lives: whenever it stops because
    /// its storage failed or its code panicked, it is brought back when the cause is gone. It stays
    /// away when a newer incarnation has taken over.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::ObjectOptions;
    /// use leap::testing::Counter;
    ///
    /// # let host = leap::Host::builder().start().await?;
    /// let (lives, mut started) = tokio::sync::mpsc::unbounded_channel();
    /// let options = ObjectOptions::default();
    /// host.supervise::<Counter>("counter", options, move |life| lives.send(life).unwrap()).await?;
    /// let first = started.recv().await.unwrap();
    ///
    /// let panic = async move { first.change(|_counter| -> () { panic!("a bug") }).await };
    /// assert!(tokio::spawn(panic).await.is_err());
    /// let second = started.recv().await.unwrap();
    /// second.change(|counter| counter.record(1)).await?;
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Host::add`], for the first attempt.
    pub async fn supervise<S: Service>(
        &self,
        name: &str,
        options: ObjectOptions,
        mut started: impl FnMut(Object<Journaled<S>>) + Send + 'static,
    ) -> Result<(), StateError> {
        let mut object = self.add_with::<S>(name, options).await?;
        started(object.clone());
        let (inner, name) = (Arc::downgrade(self.inner()), name.to_owned());
        self.inner().spawn(async move {
            loop {
                let why = object.stopped().await;
                let is_over =
                    matches!(why, Stopped::Refused(_) | Stopped::Left | Stopped::HostGone);
                // Storage may know of a newer life before the coordinator tells.
                if is_over || object.state().is_fenced() {
                    return;
                }
                let mut pause = Pause::default();
                object = loop {
                    pause.wait().await;
                    let Some(inner) = inner.upgrade() else { return };
                    match inner.open::<S>(&name, options).await {
                        Ok(object) => break object,
                        Err(error) => {
                            tracing::warn!(object = name, %error, "cannot be brought back yet");
                        }
                    }
                };
                started(object.clone());
            }
        });
        Ok(())
    }
}
