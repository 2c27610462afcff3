//! What tenants leave with the gateway for a while: stored responses, cached answers, files, turns
//! of a socket. The only place where prompts and answers are kept.
//!
//! ```ignore
//! let id: ContentId = "resp_0193".parse()?;
//! store.put(&context, ContentKind::Response, &id, bytes, now_s + retention_s).await?;
//! let found: Option<Bytes> = store.get(&context, ContentKind::Response, &id, now_s).await?;
//! let was_there: bool = store.delete(&context, ContentKind::Response, &id, now_s).await?;
//! ```
//!
//! An id that a client made up is parsed first; one that does not parse names nothing, so it is to be
//! answered like one that is not there. A cached answer's id is a digest: `ContentId::from(digest)`.

#[cfg(feature = "fakes")]
pub mod fakes;
mod id;
mod store;

pub use id::{ContentId, InvalidContentId};
pub use store::{ContentError, ContentKind, ContentStore, MAX_BYTES};
