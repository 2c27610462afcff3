//! The edge to the machine: environment, clock, ids. Functions take them from here when they start, and
//! hand them on as arguments, so that nothing else depends on where it runs.

#[cfg(test)]
mod tests;

use std::env::VarError;
use std::time::SystemTime;

use jiff::Timestamp;

/// A variable of the environment is missing, so the function cannot start.
#[derive(Debug, thiserror::Error)]
#[error("environment variable `{name}` is not set")]
pub struct NotSet {
    /// Its name.
    pub name: &'static str,
    /// What is wrong with it.
    pub source: VarError,
}

/// A variable of the environment.
///
/// # Errors
/// It is not set, or no text.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn variable(name: &'static str) -> Result<String, NotSet> {
    std::env::var(name).map_err(|source| NotSet { name, source })
}

/// The time; the beginning of 1970 if the clock is nowhere near.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub fn now() -> Timestamp {
    Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A new id (UUID version 7, as 32 hex digits); later ones are greater.
pub fn new_id() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}
