//! Who belongs to the cluster, as an operator decides it.

use leap_core::ObjectId;

use super::Host;
use crate::coordinator::Removal;

/// Why a member was not removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// No object of that name belongs to the cluster: nothing waits for it.
    #[error("no object of that name is a member of the cluster")]
    NoMember,
    /// A new incarnation of it has come meanwhile, and is a member as before.
    #[error("the object has come back and is a member as before")]
    CameBack,
    /// The coordinator is elsewhere, or has ended.
    #[error("the coordinator is not here; ask the node that embeds it")]
    NotTheCoordinator,
}

impl Host {
    /// Removes an object that will never come back from the cluster, so that repairs and the boundary do not
    /// wait for it any more. It is treated as a failure in which it loses everything that is not inside the
    /// boundary: whoever depends on that rolls back. Returns when that is durable.
    ///
    /// An object that lives is ended by it; when it is hosted again, it joins anew with what was inside the
    /// boundary.
    ///
    /// # What was released may be taken back
    ///
    /// Only in one case, and by nothing else: when the boundary is not known
    /// ([`ClusterStatus::boundary_is_known`](crate::ClusterStatus)), because the coordinator has just begun and
    /// this very member has not reported. The removal decides blindly then, from what those who are connected
    /// know. It may roll back what the removed object alone knew to be inside the boundary, even if the outside
    /// world was told of it; such an object is refused for good if it comes back. So when the boundary is not
    /// known, bring the object back if there is any way to.
    ///
    /// # Errors
    ///
    /// [`RemoveError`]; nothing has changed then.
    pub async fn remove(&self, object: &str) -> Result<(), RemoveError> {
        let coordinator = self.inner().coordinator.lock().clone();
        let coordinator = coordinator.ok_or(RemoveError::NotTheCoordinator)?;
        match coordinator.remove(ObjectId::from_name(object)).await {
            Some(Removal::Removed) => Ok(()),
            Some(Removal::NoMember) => Err(RemoveError::NoMember),
            Some(Removal::CameBack) => Err(RemoveError::CameBack),
            None => Err(RemoveError::NotTheCoordinator),
        }
    }
}
