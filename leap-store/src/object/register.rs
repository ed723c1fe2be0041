//! Registers in an object store.

use bytes::Bytes;
use object_store::UpdateVersion;

use super::bucket::{Bucket, Put};
use crate::format::register;
use crate::random::draw;
use crate::{RegisterError, StoreError};

/// A register in an object.
#[derive(Clone)]
pub(crate) struct ObjectRegister {
    bucket: Bucket,
    name: String,
}

impl ObjectRegister {
    pub(super) fn new(bucket: Bucket, name: String) -> Self {
        Self { bucket, name }
    }

    pub(crate) async fn read(&self) -> Result<Option<(Bytes, UpdateVersion)>, StoreError> {
        let Some(object) = self.bucket.get(&self.name).await? else {
            return Ok(None);
        };
        let decoded = register::decode(&object.bytes);
        let (_, value) = decoded.map_err(|error| error.of(self.bucket.key(&self.name)))?;
        Ok(Some((value, object.version)))
    }

    pub(crate) async fn compare_and_swap(
        &self,
        expected: Option<&UpdateVersion>,
        value: &[u8],
    ) -> Result<UpdateVersion, RegisterError> {
        let bytes = register::encode(draw(), value).into();
        match self.bucket.put_if(&self.name, &bytes, expected).await? {
            Put::Done(version) => Ok(version),
            Put::Refused(_) => Err(RegisterError::Conflict),
        }
    }
}
