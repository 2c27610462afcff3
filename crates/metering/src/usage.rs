//! What is consumed, by what it is priced as.

use serde::{Deserialize, Serialize};

/// What one provider call consumed. The kinds are disjoint: the whole input is the sum of all kinds
/// of input tokens. What is not counted in tokens (pictures, search units) stands beside them and
/// is priced, but no token limit counts it.
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
    /// Pictures that the model made.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub images: u64,
    /// Search units of a reranker: on Bedrock one per query and 100 documents.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub search_units: u64,
    /// Units of a guardrail's policies: on Bedrock one per policy and 1,000 characters.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub guardrail_units: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl TokenUsage {
    /// Input tokens of every kind.
    pub fn total_input(&self) -> u64 {
        self.input
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_write_5m)
            .saturating_add(self.cache_write_1h)
    }

    /// All tokens: what token limits count. Pictures and search units are none.
    pub fn total(&self) -> u64 {
        self.total_input().saturating_add(self.output)
    }
}
