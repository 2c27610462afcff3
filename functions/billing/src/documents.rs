//! Statements as objects of a bucket.

use billing::port::{BillingStoreError, Documents};
use bytes::Bytes;
use lake::{ObjectError, ObjectStore};

/// A bucket that keeps statements.
#[derive(Debug)]
pub struct Objects<O>(pub O);

fn failed(error: ObjectError) -> BillingStoreError {
    BillingStoreError {
        operation: error.operation,
        subject: error.key.clone(),
        source: error.into(),
    }
}

impl<O: ObjectStore> Documents for Objects<O> {
    async fn create(
        &self,
        key: &str,
        bytes: Vec<u8>,
        content_type: &str,
    ) -> Result<bool, BillingStoreError> {
        self.0.replace(key, Bytes::from(bytes), content_type, None).await.map_err(failed)
    }

    async fn put(
        &self,
        key: &str,
        bytes: Vec<u8>,
        content_type: &str,
    ) -> Result<(), BillingStoreError> {
        self.0.put(key, Bytes::from(bytes), content_type).await.map_err(failed)
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, BillingStoreError> {
        Ok(self.0.get(key).await.map_err(failed)?.map(Vec::from))
    }
}
