//! Where a chain ends.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::ChainId;

/// What the first record of a chain names as the hash before it.
pub const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The end of a chain: its last record, and what is about to follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Whose chain.
    pub chain: ChainId,
    /// The last record's number; 0 of an empty chain.
    pub sequence: u64,
    /// The last record's hash; [`NOTHING`] of an empty chain.
    pub hash: String,
    /// The day whose folder the next segment belongs into, once somebody is about to write it.
    pub day: Option<Date>,
    /// Up to where the entries of the table are known to be in the chain.
    pub checked: Option<String>,
}

impl Head {
    /// The end of a chain that nothing is in.
    pub fn empty(chain: ChainId) -> Self {
        Self { chain, sequence: 0, hash: NOTHING.to_owned(), day: None, checked: None }
    }

    /// The number of the record that comes next.
    pub fn next(&self) -> u64 {
        self.sequence.saturating_add(1)
    }
}
