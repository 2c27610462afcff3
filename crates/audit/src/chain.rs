//! The chains that there are.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tenancy::{LobId, TenantId};

/// Whose chain: `org`, `lob=<id>`, `tenant=<id>`.
///
/// It is the chain of the owner of what was done something to. Nothing is in two chains: the organisation's
/// names the heads of all others once a day, which says the same with one hash for each chain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ChainId {
    /// The organisation's.
    Org,
    /// A line of business'.
    Lob(LobId),
    /// A tenant's.
    Tenant(TenantId),
}

/// A text that names no chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a chain is `org`, `lob=<id>` or `tenant=<id>`")]
pub struct InvalidChain;

impl ChainId {
    /// Where its segments are within a day's folder: `org`, `lob/<id>`, `tenant/<id>`.
    pub fn folder(&self) -> String {
        self.to_string().replace('=', "/")
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Org => f.write_str("org"),
            Self::Lob(id) => write!(f, "lob={id}"),
            Self::Tenant(id) => write!(f, "tenant={id}"),
        }
    }
}

impl FromStr for ChainId {
    type Err = InvalidChain;

    fn from_str(text: &str) -> Result<Self, InvalidChain> {
        match text.split_once('=') {
            None if text == "org" => Ok(Self::Org),
            Some(("lob", id)) => id.parse().map(Self::Lob).map_err(|_| InvalidChain),
            Some(("tenant", id)) => id.parse().map(Self::Tenant).map_err(|_| InvalidChain),
            _ => Err(InvalidChain),
        }
    }
}

impl TryFrom<String> for ChainId {
    type Error = InvalidChain;

    fn try_from(text: String) -> Result<Self, InvalidChain> {
        text.parse()
    }
}

impl From<ChainId> for String {
    fn from(chain: ChainId) -> Self {
        chain.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_named_in_one_way() {
        for text in ["org", "lob=retail", "tenant=acme"] {
            assert_eq!(text.parse::<ChainId>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "org=",
            "org=x",
            "Org",
            "lob",
            "lob=",
            "tenant=ACME",
            "tenant=a/b",
            "tenant=acme=x",
            "user=acme",
            " org",
        ] {
            assert_eq!(text.parse::<ChainId>(), Err(InvalidChain), "{text}");
        }
        assert_eq!("tenant=acme".parse::<ChainId>().unwrap().folder(), "tenant/acme");
    }
}
