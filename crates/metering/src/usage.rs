//! Tokens, by what they are priced as.

use serde::{Deserialize, Serialize};

/// What one call consumed. The kinds are disjoint: the whole input is the sum of all but `output`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TokenUsage {
    /// Input tokens that were neither read from nor written to the provider's prompt cache.
    pub input: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// Input tokens read from the prompt cache.
    #[serde(default)]
    pub cache_read: u64,
    /// Input tokens written to the prompt cache for five minutes.
    #[serde(default)]
    pub cache_write_5m: u64,
    /// Input tokens written to the prompt cache for one hour.
    #[serde(default)]
    pub cache_write_1h: u64,
}

impl TokenUsage {
    /// Input tokens of every kind.
    pub fn total_input(&self) -> u64 {
        self.input
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_write_5m)
            .saturating_add(self.cache_write_1h)
    }

    /// All tokens: what token limits count.
    pub fn total(&self) -> u64 {
        self.total_input().saturating_add(self.output)
    }
}
