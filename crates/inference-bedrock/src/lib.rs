//! Amazon Bedrock as an [`inference::Provider`].
//!
//! Every call runs under a session of its tenant: `AssumeRole` with a session policy that names the
//! models of the tenant's allowlist and nothing else, and with tags that let AWS bill by tenant.
//! Models speak either Converse, through the SDK, or Chat Completions, whose bytes are signed and
//! forwarded as they are. Nothing is retried here: every attempt is a provider call of its own,
//! and metered as one.

mod bedrock;
mod document;
mod error;
mod forward;
#[cfg(test)]
mod model_sim_tests;
mod policy;
mod request;
mod response;
mod session;
mod session_cache;
mod stream;
#[cfg(test)]
mod testing;

pub use bedrock::{Bedrock, ConfigError, Settings};
