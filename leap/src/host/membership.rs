//! Who belongs to the cluster, as an operator decides it.

use leap_core::ObjectId;

use super::Host;
use crate::coordinator::Removal;

/// Why a member was not removed.
///
/// ```
/// # leap::testing::run_example(async {
/// use leap::{Host, RemoveError};
///
/// let host = Host::builder().start().await?;
/// assert_eq!(host.remove("nobody").await, Err(RemoveError::NoMember));
/// // Decisions are the coordinator's.
/// let other = Host::builder().join("http://127.0.0.1:1").start().await?;
/// assert_eq!(other.remove("nobody").await, Err(RemoveError::NotTheCoordinator));
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// No object of that name belongs to the cluster: nothing waits for it.
    #[error("no object of that name is a member of the cluster")]
    NoMember,
    /// A new incarnation of it has come meanwhile, and is a member as before.
    #[error("the object has come back and is a member as before")]
    CameBack,
    /// The coordinator is elsewhere.
    #[error("the coordinator is not here; ask the node that embeds it")]
    NotTheCoordinator,
    /// The coordinator ended before it could tell: the removal may be on record or not. Removing the object again
    /// where the coordinator runs next does no harm.
    #[error("the coordinator ended; nobody knows whether the object is removed")]
    InDoubt,
}

impl Host {
    /// Removes an object that will never come back from the cluster, so that repairs and the boundary do not
    /// wait for it any more. It is treated as a failure in which it loses everything that is not inside the
    /// boundary: whoever depends on that rolls back. Returns when that is durable.
    ///
    /// An object that lives is ended by it; when it is hosted again, it joins anew with what was inside the
    /// boundary.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::testing::{Cluster, Counter};
    ///
    /// let cluster = Cluster::new().await;
    /// cluster.host("a").await.add::<Counter>("counter").await?.ready().await?;
    /// // The machine burns down.
    /// cluster.crash("a");
    /// let coordinator = cluster.host(Cluster::COORDINATOR).await;
    /// coordinator.remove("counter").await?;
    /// let status = coordinator.status().await.coordinator.unwrap();
    /// assert!(status.members.is_empty());
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # When the boundary is not known
    ///
    /// So it is ([`ClusterStatus::boundary_is_known`](crate::ClusterStatus)) when the coordinator has just begun
    /// and this very member has not reported: nobody can say then what of the removed object was inside. What
    /// others have stored stays, and what it has seen of the removed object counts as inside the boundary. Only
    /// what is volatile goes, with what depends on something volatile of an object that was heard; nothing of
    /// that was ever released.
    ///
    /// It costs trust in what nobody can check: what stays may rest on versions that the removed object had not
    /// stored. And if the object comes back after all, it is refused for good where its storage contradicts
    /// what others rest on, or rests on objects that were removed in the same way
    /// ([`Refusal::LostCommitted`](leap_core::message::Refusal), [`Refusal::Removed`](leap_core::message::Refusal)).
    /// So when the boundary is not known, bring the object back if there is any way to.
    ///
    /// # Errors
    ///
    /// [`RemoveError`]; nothing has changed then, unless it is [`RemoveError::InDoubt`].
    pub async fn remove(&self, object: &str) -> Result<(), RemoveError> {
        let coordinator = self.inner().coordinator.lock().clone();
        let coordinator = coordinator.ok_or(RemoveError::NotTheCoordinator)?;
        match coordinator.remove(ObjectId::from_name(object)).await {
            Some(Removal::Removed) => Ok(()),
            Some(Removal::NoMember) => Err(RemoveError::NoMember),
            Some(Removal::CameBack) => Err(RemoveError::CameBack),
            None => Err(RemoveError::InDoubt),
        }
    }
}
