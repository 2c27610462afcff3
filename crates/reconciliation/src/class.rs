//! What is billed, by kind.

use std::fmt;

use metering::{ProfileScope, ServiceTier, TokenUsage};
use serde::{Deserialize, Serialize};

/// A kind of usage that has a price of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenClass {
    /// Plain input tokens.
    Input,
    /// Output tokens.
    Output,
    /// Input tokens of sound.
    InputAudio,
    /// Output tokens of sound.
    OutputAudio,
    /// Input tokens read from the prompt cache.
    CacheRead,
    /// Input tokens written to the prompt cache for five minutes.
    #[serde(rename = "cache_write_5m")]
    CacheWrite5m,
    /// Input tokens written to the prompt cache for one hour.
    #[serde(rename = "cache_write_1h")]
    CacheWrite1h,
    /// Pictures.
    Image,
    /// Search units of a reranker.
    SearchUnit,
    /// Units of a guardrail's policies.
    GuardrailUnit,
}

impl TokenClass {
    /// The name as it stands in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::InputAudio => "input_audio",
            Self::OutputAudio => "output_audio",
            Self::CacheRead => "cache_read",
            Self::CacheWrite5m => "cache_write_5m",
            Self::CacheWrite1h => "cache_write_1h",
            Self::Image => "image",
            Self::SearchUnit => "search_unit",
            Self::GuardrailUnit => "guardrail_unit",
        }
    }
}

impl fmt::Display for TokenClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What was consumed, by class, without classes of which nothing was.
pub fn quantities(usage: &TokenUsage) -> impl Iterator<Item = (TokenClass, u64)> + use<> {
    [
        (TokenClass::Input, usage.input),
        (TokenClass::Output, usage.output),
        (TokenClass::InputAudio, usage.input_audio),
        (TokenClass::OutputAudio, usage.output_audio),
        (TokenClass::CacheRead, usage.cache_read),
        (TokenClass::CacheWrite5m, usage.cache_write_5m),
        (TokenClass::CacheWrite1h, usage.cache_write_1h),
        (TokenClass::Image, usage.images),
        (TokenClass::SearchUnit, usage.search_units),
        (TokenClass::GuardrailUnit, usage.guardrail_units),
    ]
    .into_iter()
    .filter(|(_, quantity)| *quantity > 0)
}

/// On what terms something was consumed, as far as a bill tells them apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Terms {
    /// The Region that was called.
    pub region: String,
    /// The service tier.
    pub tier: ServiceTier,
    /// Whether a `global.` profile served it. A bill does not tell a geography's profile from the
    /// Region itself for every model: both cost the same.
    pub is_global: bool,
}

impl Terms {
    /// The terms of a call.
    pub fn new(region: impl Into<String>, tier: ServiceTier, scope: ProfileScope) -> Self {
        Self { region: region.into(), tier, is_global: scope == ProfileScope::Global }
    }
}

/// What a bill's usage types call a model, whatever profile or ARN named it: the foundation model's id.
pub fn base_model(provider_model_id: &str) -> &str {
    let id = provider_model_id.rsplit('/').next().unwrap_or(provider_model_id);
    match ProfileScope::of_model_id(id) {
        ProfileScope::InRegion => id,
        ProfileScope::Geo | ProfileScope::Global => id.split_once('.').map_or(id, |(_, rest)| rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(id: &str, model: &str) {
        assert_eq!(base_model(id), model);
    }

    #[test]
    fn a_profile_stands_for_its_model() {
        check(
            "us.anthropic.claude-haiku-4-5-20251001-v1:0",
            "anthropic.claude-haiku-4-5-20251001-v1:0",
        );
        check("global.anthropic.claude-haiku-4-5", "anthropic.claude-haiku-4-5");
        check("amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0");
        check(
            "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
            "amazon.nova-lite-v1:0",
        );
        check(
            "arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-lite-v1:0",
            "amazon.nova-lite-v1:0",
        );
    }
}
