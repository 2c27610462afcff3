//! Files that clients uploaded before the call that names them.

use bytes::Bytes;

/// An uploaded file, as a request that names it gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// What it is, for example `application/pdf`.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Bytes,
    /// Where they are kept (`s3://bucket/key`), for models that read from S3 by themselves.
    pub s3_uri: String,
}
