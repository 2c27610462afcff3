//! What Converse answers, in canonical form.

use aws_sdk_bedrockruntime::operation::RequestId as _;
use aws_sdk_bedrockruntime::operation::converse::ConverseOutput;
use aws_sdk_bedrockruntime::types as sdk;
use inference::{ContentBlock, ModelResponse, StopReason};
use metering::TokenUsage;

use crate::document::to_value;

/// The whole answer. Usage is all zeros if Bedrock reported none.
pub(crate) fn model_response(output: ConverseOutput) -> ModelResponse {
    let provider_request_id = output.request_id().map(ToOwned::to_owned);
    let stop_reason = stop_reason(output.stop_reason());
    let usage = output.usage().map(token_usage).unwrap_or_default();
    let content = match output.output {
        Some(sdk::ConverseOutput::Message(message)) => message.content,
        _ => Vec::new(),
    };
    ModelResponse {
        content: content.into_iter().filter_map(content_block).collect(),
        stop_reason,
        stop_sequence: None,
        usage,
        provider_request_id,
    }
}

fn content_block(block: sdk::ContentBlock) -> Option<ContentBlock> {
    match block {
        sdk::ContentBlock::Text(text) => Some(ContentBlock::Text(text)),
        sdk::ContentBlock::ToolUse(tool_use) => Some(ContentBlock::ToolUse {
            input: to_value(tool_use.input()),
            id: tool_use.tool_use_id,
            name: tool_use.name,
        }),
        sdk::ContentBlock::ReasoningContent(sdk::ReasoningContentBlock::ReasoningText(
            reasoning,
        )) => {
            Some(ContentBlock::Reasoning { text: reasoning.text, signature: reasoning.signature })
        }
        _ => {
            tracing::debug!("skipped a content block that has no canonical form");
            None
        }
    }
}

/// Why the model stopped.
pub(crate) fn stop_reason(reason: &sdk::StopReason) -> StopReason {
    match reason {
        sdk::StopReason::EndTurn => StopReason::EndTurn,
        sdk::StopReason::ToolUse => StopReason::ToolUse,
        sdk::StopReason::MaxTokens => StopReason::MaxTokens,
        sdk::StopReason::StopSequence => StopReason::StopSequence,
        sdk::StopReason::GuardrailIntervened => StopReason::GuardrailIntervened,
        sdk::StopReason::ContentFiltered => StopReason::ContentFiltered,
        sdk::StopReason::ModelContextWindowExceeded => StopReason::ContextWindowExceeded,
        other => StopReason::Other(other.as_str().to_owned()),
    }
}

/// What the call consumed. Bedrock's `inputTokens` already leaves out what the cache served or took;
/// what the cache took is split by how long it is kept, and five minutes where Bedrock does not say.
pub(crate) fn token_usage(usage: &sdk::TokenUsage) -> TokenUsage {
    let details = usage.cache_details();
    let written_in_details: u64 = details.iter().map(|detail| count(detail.input_tokens())).sum();
    let cache_write_1h: u64 = details
        .iter()
        .filter(|detail| *detail.ttl() == sdk::CacheTtl::OneHour)
        .map(|detail| count(detail.input_tokens()))
        .sum();
    let written = usage.cache_write_input_tokens().map_or(0, count).max(written_in_details);
    TokenUsage {
        input: count(usage.input_tokens()),
        output: count(usage.output_tokens()),
        cache_read: usage.cache_read_input_tokens().map_or(0, count),
        cache_write_5m: written.saturating_sub(cache_write_1h),
        cache_write_1h,
        ..TokenUsage::default()
    }
}

fn count(tokens: i32) -> u64 {
    u64::try_from(tokens).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(write: Option<i32>, details: &[(sdk::CacheTtl, i32)]) -> TokenUsage {
        let details = details.iter().map(|(ttl, tokens)| {
            sdk::CacheDetail::builder().ttl(ttl.clone()).input_tokens(*tokens).build().unwrap()
        });
        let usage = sdk::TokenUsage::builder()
            .input_tokens(10)
            .output_tokens(-1)
            .total_tokens(0)
            .cache_read_input_tokens(7)
            .set_cache_write_input_tokens(write)
            .set_cache_details(Some(details.collect()))
            .build()
            .unwrap();
        token_usage(&usage)
    }

    #[test]
    fn what_the_cache_took_is_split_by_how_long_it_is_kept() {
        let expected = TokenUsage {
            input: 10,
            output: 0,
            cache_read: 7,
            cache_write_5m: 30,
            cache_write_1h: 70,
            ..TokenUsage::default()
        };
        assert_eq!(
            usage(Some(100), &[(sdk::CacheTtl::OneHour, 70), (sdk::CacheTtl::FiveMinutes, 30)]),
            expected
        );
        assert_eq!(usage(Some(100), &[(sdk::CacheTtl::OneHour, 70)]), expected);
        assert_eq!(
            usage(None, &[(sdk::CacheTtl::OneHour, 70), (sdk::CacheTtl::FiveMinutes, 30)]),
            expected
        );
    }

    #[test]
    fn what_the_cache_took_is_for_five_minutes_unless_said_otherwise() {
        let expected = TokenUsage {
            input: 10,
            output: 0,
            cache_read: 7,
            cache_write_5m: 100,
            cache_write_1h: 0,
            ..TokenUsage::default()
        };
        assert_eq!(usage(Some(100), &[]), expected);
        assert_eq!(usage(Some(100), &[(sdk::CacheTtl::from("3h"), 20)]), expected);
    }
}
