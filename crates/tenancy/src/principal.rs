//! The caller inside a tenant.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A subject that cannot stand in a key or a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a principal id is 1 to 128 printable ASCII characters without spaces")]
pub struct InvalidPrincipal;

/// Who acts in a tenant: the subject of a person's token or a machine client's id.
///
/// 1 to 128 printable ASCII characters; never an e-mail address or a name, so it may be logged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PrincipalId(String);

impl PrincipalId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PrincipalId {
    type Error = InvalidPrincipal;

    fn try_from(value: String) -> Result<Self, InvalidPrincipal> {
        let is_valid =
            (1..=128).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic());
        if is_valid { Ok(Self(value)) } else { Err(InvalidPrincipal) }
    }
}

impl From<PrincipalId> for String {
    fn from(id: PrincipalId) -> Self {
        id.0
    }
}

impl fmt::Display for PrincipalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What kind of caller a principal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// A person.
    User,
    /// A program with a client of its own.
    Machine,
}

impl PrincipalKind {
    /// The name used in context, records and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Machine => "machine",
        }
    }
}

/// A caller: its id and its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The subject.
    pub id: PrincipalId,
    /// Person or program.
    pub kind: PrincipalKind,
}
