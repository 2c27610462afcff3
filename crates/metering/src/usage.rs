//! What is consumed, by what it is priced as.

use serde::{Deserialize, Serialize};

/// What one provider call consumed. The kinds are disjoint: the whole input is the sum of all kinds
/// of input tokens. What is not counted in tokens (pictures, search units) stands beside them and
/// is priced, but no token limit counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TokenUsage {
    /// Input tokens that were neither read from nor written to the provider's prompt cache, without those of sound.
    pub input: u64,
    /// Output tokens, reasoning included, without those of sound.
    pub output: u64,
    /// Input tokens of sound.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub input_audio: u64,
    /// Output tokens of sound.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub output_audio: u64,
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
            .saturating_add(self.input_audio)
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_write_5m)
            .saturating_add(self.cache_write_1h)
    }

    /// Output tokens of every kind.
    pub fn total_output(&self) -> u64 {
        self.output.saturating_add(self.output_audio)
    }

    /// All tokens: what token limits count. Pictures and search units are none.
    pub fn total(&self) -> u64 {
        self.total_input().saturating_add(self.total_output())
    }

    /// The same, had nothing been read from or written to a prompt cache.
    #[must_use]
    pub fn uncached(&self) -> Self {
        let input = self.total_input().saturating_sub(self.input_audio);
        Self { input, cache_read: 0, cache_write_5m: 0, cache_write_1h: 0, ..*self }
    }

    /// This and `other` together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            output: self.output.saturating_add(other.output),
            input_audio: self.input_audio.saturating_add(other.input_audio),
            output_audio: self.output_audio.saturating_add(other.output_audio),
            cache_read: self.cache_read.saturating_add(other.cache_read),
            cache_write_5m: self.cache_write_5m.saturating_add(other.cache_write_5m),
            cache_write_1h: self.cache_write_1h.saturating_add(other.cache_write_1h),
            images: self.images.saturating_add(other.images),
            search_units: self.search_units.saturating_add(other.search_units),
            guardrail_units: self.guardrail_units.saturating_add(other.guardrail_units),
        }
    }
}
