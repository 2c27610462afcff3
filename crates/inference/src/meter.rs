//! How much a call can consume, and how much an answer has, judged without a tokenizer.

use metering::{ServiceTier, TokenUsage};

use crate::Event;

/// What a call can consume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenBound {
    /// Input tokens at most.
    pub input: u64,
    /// Input tokens that are likely: what to record when a call ran and the provider never said.
    pub likely_input: u64,
    /// Output tokens at most, over all answers that were asked for.
    pub output: u64,
    /// Output tokens of one answer at most: what to tell the model.
    pub max_tokens: u32,
    /// Pictures that the model makes at most.
    pub images: u64,
    /// Search units of a reranker at most.
    pub search_units: u64,
    /// Units of a guardrail's policies at most.
    pub guardrail_units: u64,
    /// The service tier that the call asks for, which decides its price.
    pub service_tier: ServiceTier,
}

impl TokenBound {
    /// All that a call can consume: what to bound its price by.
    pub fn most(&self) -> TokenUsage {
        TokenUsage {
            input: self.input,
            output: self.output,
            images: self.images,
            search_units: self.search_units,
            guardrail_units: self.guardrail_units,
            ..TokenUsage::default()
        }
    }
}

/// Tokens that `bytes` of text come to, when nobody counted: one per three bytes, rounded up.
///
/// Tokens of today's models hold about four bytes of English and three of most other scripts, so
/// this errs to the high side where it errs.
pub fn estimated_tokens(bytes: u64) -> u64 {
    bytes.div_ceil(3)
}

/// Counts the output of an answer as it passes, for a stream that breaks before the provider
/// reports usage.
///
/// Its [`estimate`](Self::estimate) is the greater of two lower-level counts: the pieces (a provider
/// sends no piece without producing at least one token) and [`estimated_tokens`] of their bytes
/// (a piece may hold many tokens). Text, reasoning and tool arguments all count; a provider bills each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutputMeter {
    deltas: u64,
    bytes: u64,
}

impl OutputMeter {
    /// Counts a piece of output; an empty one does not count.
    pub fn add(&mut self, text: &str) {
        if !text.is_empty() {
            self.deltas = self.deltas.saturating_add(1);
            self.bytes = self.bytes.saturating_add(u64::try_from(text.len()).unwrap_or(u64::MAX));
        }
    }

    /// Counts what an event carries.
    pub fn add_event(&mut self, event: &Event) {
        match event {
            Event::TextDelta { text, .. } | Event::ReasoningDelta { text, .. } => self.add(text),
            Event::ToolInputDelta { json, .. } => self.add(json),
            Event::ToolUseStart { name, .. } => self.add(name),
            Event::ReasoningSignature { .. }
            | Event::RedactedReasoning { .. }
            | Event::BlockStop { .. }
            | Event::Stop { .. }
            | Event::Usage(_) => {}
        }
    }

    /// Output tokens so far, estimated.
    pub fn estimate(&self) -> u64 {
        self.deltas.max(estimated_tokens(self.bytes))
    }
}
