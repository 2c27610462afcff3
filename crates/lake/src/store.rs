//! The port to where objects are kept.

use std::error::Error;

use bytes::Bytes;

/// The store failed; trying again is safe.
#[derive(Debug, thiserror::Error)]
#[error("failed to {operation} the object `{key}`")]
pub struct ObjectError {
    /// What was tried, for example `put`.
    pub operation: &'static str,
    /// Which object, or the prefix of those that were listed.
    pub key: String,
    /// What the store said.
    pub source: Box<dyn Error + Send + Sync>,
}

/// Which content an object had when it was looked at: an `ETag`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(pub String);

/// Keeps objects under keys, the same for everybody who has the port: a job's, never a tenant's.
pub trait ObjectStore: Send + Sync {
    /// Writes an object in the place of what had its key.
    fn put(
        &self,
        key: &str,
        bytes: Bytes,
        content_type: &str,
    ) -> impl Future<Output = Result<(), ObjectError>> + Send;

    /// Writes an object if what has its key is still of that version, or still nothing; whether it was.
    fn replace(
        &self,
        key: &str,
        bytes: Bytes,
        content_type: &str,
        expected: Option<&Version>,
    ) -> impl Future<Output = Result<bool, ObjectError>> + Send;

    /// What an object holds; none if there is no such object.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Bytes>, ObjectError>> + Send;

    /// The version that an object has; none if there is no such object.
    fn version(
        &self,
        key: &str,
    ) -> impl Future<Output = Result<Option<Version>, ObjectError>> + Send;

    /// The keys that begin with `prefix`, in order.
    fn list(&self, prefix: &str) -> impl Future<Output = Result<Vec<String>, ObjectError>> + Send;

    /// Removes an object; nothing if there is none.
    fn delete(&self, key: &str) -> impl Future<Output = Result<(), ObjectError>> + Send;
}
