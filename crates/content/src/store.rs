//! The port to where content is kept.

use std::error::Error;

use bytes::Bytes;
use tenancy::TenantContext;

use crate::ContentId;

/// Bytes of one value at most.
pub const MAX_BYTES: usize = 8 * 1024 * 1024;

/// What content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContentKind {
    /// A stored response with its input, for later turns.
    Response,
    /// A cached answer, by the digest of all that it depends on.
    Cache,
    /// What is known about an uploaded file.
    File,
    /// Turns and unread pieces of a socket.
    Socket,
}

/// Content could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// It will never fit.
    #[error("content of {size} bytes is more than the {MAX_BYTES} that can be kept")]
    TooLarge {
        /// How many bytes it has.
        size: usize,
    },
    /// The store failed; trying again is safe.
    #[error("failed to {operation} {} `{id}`", .kind.as_str())]
    Store {
        /// What was tried, for example `read`.
        operation: &'static str,
        /// Of what kind.
        kind: ContentKind,
        /// Which.
        id: ContentId,
        /// What the store said.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl ContentKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Response, Self::Cache, Self::File, Self::Socket];

    /// Its name in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Response => "response",
            Self::Cache => "cached answer",
            Self::File => "file",
            Self::Socket => "socket",
        }
    }
}

/// Keeps content of tenants. Whose it is comes from the context and from nothing else: another
/// tenant's content is not there, whatever its id.
///
/// Moments are Unix seconds.
pub trait ContentStore: Send + Sync {
    /// Keeps `value` until `expires_at`, in the place of what had that name.
    ///
    /// # Errors
    /// [`ContentError::TooLarge`] above [`MAX_BYTES`]; otherwise a store that failed, which may have
    /// left nothing under that name.
    fn put(
        &self,
        context: &TenantContext,
        kind: ContentKind,
        id: &ContentId,
        value: Bytes,
        expires_at: i64,
    ) -> impl Future<Output = Result<(), ContentError>> + Send;

    /// What is kept under that name: whole and not expired at `now`, or none.
    fn get(
        &self,
        context: &TenantContext,
        kind: ContentKind,
        id: &ContentId,
        now: i64,
    ) -> impl Future<Output = Result<Option<Bytes>, ContentError>> + Send;

    /// Forgets what is kept under that name; whether anything was that had not expired at `now`.
    fn delete(
        &self,
        context: &TenantContext,
        kind: ContentKind,
        id: &ContentId,
        now: i64,
    ) -> impl Future<Output = Result<bool, ContentError>> + Send;

    /// Takes that name for `value` until `expires_at`, unless something has it that has not expired
    /// at `now`; whether `value` has it now. Of several that try at the same time, one gets it.
    ///
    /// Trying again with the same value is safe, so each claimant needs a value of its own.
    ///
    /// # Errors
    /// As [`put`](Self::put); a claim is one item, so it may have 350 KB at most.
    fn claim(
        &self,
        context: &TenantContext,
        kind: ContentKind,
        id: &ContentId,
        value: Bytes,
        expires_at: i64,
        now: i64,
    ) -> impl Future<Output = Result<bool, ContentError>> + Send;
}
