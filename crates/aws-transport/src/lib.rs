//! Bytes to AWS and to other providers: tenants' sessions, signatures, connections, errors.
//!
//! Every call to AWS runs under a session of its tenant: `AssumeRole` with a session policy that names
//! what the tenant may use of the provider and nothing else, and with tags that let AWS bill by tenant.
//! So it is IAM that refuses what admission should have refused, had it been wrong. Nothing here knows
//! what bodies mean, and nothing is retried.

mod aws;
mod cache;
mod connection;
mod error;
mod own;
mod policy;
mod secret;
mod session;
#[cfg(feature = "fakes")]
pub mod testing;
mod upload;

pub use aws::{Aws, ConfigError, EndpointUrls, Service, Settings, path_segment};
pub use connection::Connection;
pub use error::{Meaning, Refusal, is_rejected_session, unanswered, unbuildable};
pub use own::OwnRole;
pub use policy::profile_model;
pub use secret::{Secret, Secrets};
pub use session::{Session, SessionError};
pub use upload::{Presigned, UploadedFile, Uploads};
