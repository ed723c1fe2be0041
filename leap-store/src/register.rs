//! Registers: small durable values that change by compare-and-swap only.

use bytes::Bytes;
use object_store::UpdateVersion;

use crate::journal::blocking;
use crate::local::LocalRegister;
use crate::object::ObjectRegister;
use crate::{RegisterError, StoreError};

/// A small durable value. Of several writers that saw the same value exactly one can replace it, so a register decides
/// (who leads, which decision is next) and fences: a writer that was overtaken gets [`RegisterError::Conflict`].
///
/// ```
/// # use leap_store::{RegisterError, Store, StoreOptions};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Store::open("memory:", StoreOptions::default()).await?;
/// let leader = store.register("leader")?;
/// assert!(leader.read().await?.is_none());
/// let tag = leader.compare_and_swap(None, "node 1".into()).await?;
/// leader.compare_and_swap(Some(&tag), "node 2".into()).await?;
/// let late = leader.compare_and_swap(Some(&tag), "node 3".into()).await;
/// assert!(matches!(late, Err(RegisterError::Conflict)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Register(pub(crate) Kind);

#[derive(Clone)]
pub(crate) enum Kind {
    Local(LocalRegister),
    Object(ObjectRegister),
}

/// Which write of a register a value comes from.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
/// let leader = store.register("leader")?;
/// leader.compare_and_swap(None, "node 1".into()).await?;
/// let (value, tag) = leader.read().await?.expect("it was written");
/// assert_eq!(value, "node 1");
/// leader.compare_and_swap(Some(&tag), "node 2".into()).await?;
/// assert!(leader.compare_and_swap(Some(&tag), "node 3".into()).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag(pub(crate) Write);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Write {
    Stamp(u64),
    Version(UpdateVersion),
}

impl Register {
    /// The current value, or `None` when it was never written.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
    /// let leader = store.register("leader")?;
    /// assert_eq!(leader.read().await?, None);
    /// let tag = leader.compare_and_swap(None, "node 1".into()).await?;
    /// assert_eq!(leader.read().await?, Some(("node 1".into(), tag)));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the value is damaged, and whatever the medium refuses.
    pub async fn read(&self) -> Result<Option<(Bytes, Tag)>, StoreError> {
        match &self.0 {
            Kind::Local(register) => {
                let register = register.clone();
                let read = blocking(move || register.read()).await?;
                Ok(read.map(|(stamp, value)| (value, Tag(Write::Stamp(stamp)))))
            }
            Kind::Object(register) => {
                let read = register.read().await?;
                Ok(read.map(|(value, version)| (value, Tag(Write::Version(version)))))
            }
        }
    }

    /// Replaces the value if it is still the one that `expected` was read with (`None`: never written).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = leap_store::Store::open("memory:", leap_store::StoreOptions::default()).await?;
    /// let leader = store.register("leader")?;
    /// let tag = leader.compare_and_swap(None, "node 1".into()).await?;
    /// leader.compare_and_swap(Some(&tag), "node 2".into()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`RegisterError::Conflict`] when it is not.
    ///
    /// # Panics
    /// When `expected` comes from another kind of store.
    pub async fn compare_and_swap(
        &self,
        expected: Option<&Tag>,
        value: Bytes,
    ) -> Result<Tag, RegisterError> {
        match &self.0 {
            Kind::Local(register) => {
                let register = register.clone();
                let expected = expected.map(|tag| match &tag.0 {
                    Write::Stamp(stamp) => *stamp,
                    Write::Version(_) => panic!("the tag is of another store"),
                });
                let stamp = blocking(move || register.compare_and_swap(expected, &value)).await?;
                Ok(Tag(Write::Stamp(stamp)))
            }
            Kind::Object(register) => {
                let expected = expected.map(|tag| match &tag.0 {
                    Write::Version(version) => version,
                    Write::Stamp(_) => panic!("the tag is of another store"),
                });
                let version = register.compare_and_swap(expected, &value).await?;
                Ok(Tag(Write::Version(version)))
            }
        }
    }
}
