//! The bucket of the audit trail: what is in it is never written over.

use ::audit::{AuditError, SegmentStore};
use bytes::Bytes;
use lake::{ObjectError, ObjectStore as _};

use crate::Bucket;

/// JSON lines have no registered type of their own.
const JSON_LINES: &str = "application/x-ndjson";

fn failed(error: ObjectError) -> AuditError {
    AuditError { operation: error.operation, subject: error.key, source: error.source }
}

impl SegmentStore for Bucket {
    async fn create(&self, key: &str, bytes: Vec<u8>) -> Result<bool, AuditError> {
        self.replace(key, Bytes::from(bytes), JSON_LINES, None).await.map_err(failed)
    }

    async fn read(&self, key: &str) -> Result<Option<Vec<u8>>, AuditError> {
        Ok(self.get(key).await.map_err(failed)?.map(Vec::from))
    }
}
