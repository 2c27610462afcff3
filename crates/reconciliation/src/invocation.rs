//! Bedrock's model invocation log: one JSON object a line, one line an invocation.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-invocation-logging.html>. Bodies are not
//! looked at; delivery of text should be off.

use jiff::Timestamp;
use serde::Deserialize;

use crate::class::{Terms, base_model};
use crate::stream::{Consume, ReadError};
use metering::{ProfileScope, ServiceTier};

/// One logged invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// Bedrock's id of the request, which usage records have as the provider's.
    pub request_id: String,
    /// When it was made.
    pub at: Timestamp,
    /// The ARN of who called.
    pub principal: String,
    /// The foundation model's id.
    pub model: String,
    /// As far as a log tells them: it does not know tiers.
    pub terms: Terms,
    /// What was counted.
    pub tokens: LoggedTokens,
}

/// Tokens as a log counts them: sound with text, both kinds of cache writes together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LoggedTokens {
    /// Input that was neither read from nor written to the prompt cache.
    pub input: u64,
    /// Output.
    pub output: u64,
    /// Input read from the prompt cache.
    pub cache_read: u64,
    /// Input written to the prompt cache.
    pub cache_write: u64,
}

/// What stands in the log, as far as it is looked at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    schema_type: String,
    timestamp: Timestamp,
    region: String,
    request_id: String,
    model_id: String,
    #[serde(default)]
    identity: Identity,
    #[serde(default)]
    input: Input,
    #[serde(default)]
    output: Output,
}

#[derive(Deserialize, Default)]
struct Identity {
    #[serde(default)]
    arn: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Input {
    #[serde(rename = "inputTokenCount")]
    plain: Option<u64>,
    #[serde(rename = "cacheReadInputTokenCount")]
    cache_read: Option<u64>,
    #[serde(rename = "cacheWriteInputTokenCount")]
    cache_write: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Output {
    #[serde(rename = "outputTokenCount")]
    tokens: Option<u64>,
}

impl From<Line> for Invocation {
    fn from(line: Line) -> Self {
        let id = line.model_id.rsplit('/').next().unwrap_or_default();
        Self {
            terms: Terms::new(line.region, ServiceTier::Default, ProfileScope::of_model_id(id)),
            model: base_model(&line.model_id).to_owned(),
            request_id: line.request_id,
            at: line.timestamp,
            principal: line.identity.arn,
            tokens: LoggedTokens {
                input: line.input.plain.unwrap_or_default(),
                output: line.output.tokens.unwrap_or_default(),
                cache_read: line.input.cache_read.unwrap_or_default(),
                cache_write: line.input.cache_write.unwrap_or_default(),
            },
        }
    }
}

/// Reads files of a log, in whatever pieces they come.
pub struct LogReader<F> {
    line: u64,
    take: F,
}

impl<F: FnMut(Invocation)> LogReader<F> {
    /// Gives each invocation to `take`.
    pub fn new(take: F) -> Self {
        Self { line: 0, take }
    }
}

impl<F: FnMut(Invocation)> Consume for LogReader<F> {
    const HAS_QUOTES: bool = false;

    fn records(&mut self, bytes: &[u8]) -> Result<(), ReadError> {
        for text in bytes.split(|byte| *byte == b'\n') {
            if text.trim_ascii().is_empty() {
                continue;
            }
            self.line += 1;
            let line: Line = serde_json::from_slice(text)
                .map_err(|source| ReadError::Line { line: self.line, source })?;
            if line.schema_type == "ModelInvocationLog" {
                (self.take)(line.into());
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), ReadError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Invocation>, ReadError> {
        let mut found = Vec::new();
        LogReader::new(|invocation| found.push(invocation)).records(text.as_bytes())?;
        Ok(found)
    }

    const LINE: &str = r#"{"schemaType":"ModelInvocationLog","schemaVersion":"1.0","timestamp":"2026-11-03T14:00:17Z",
        "accountId":"123456789012","identity":{"arn":"arn:aws:sts::123456789012:assumed-role/r/t-acme"},"region":"us-east-1",
        "requestId":"915a6a04","operation":"Converse","modelId":"global.anthropic.claude-sonnet-4-5",
        "input":{"inputContentType":"application/json","inputTokenCount":2,"cacheReadInputTokenCount":95500},
        "output":{"outputContentType":"application/json","outputTokenCount":446},"inferenceRegion":"us-west-2"}"#;

    #[test]
    fn an_invocation_says_who_what_and_how_much() {
        let found = read(&format!("{}\n\n", LINE.replace('\n', ""))).unwrap();
        let terms = Terms::new("us-east-1", ServiceTier::Default, ProfileScope::Global);
        let tokens = LoggedTokens { input: 2, output: 446, cache_read: 95_500, cache_write: 0 };
        assert_eq!(
            found,
            [Invocation {
                request_id: "915a6a04".into(),
                at: "2026-11-03T14:00:17Z".parse().unwrap(),
                principal: "arn:aws:sts::123456789012:assumed-role/r/t-acme".into(),
                model: "anthropic.claude-sonnet-4-5".into(),
                terms,
                tokens,
            }]
        );
    }

    #[test]
    fn negative_counts_and_broken_lines_are_refused() {
        let line = LINE.replace('\n', "");
        for broken in [line.replace(":446", ":-446"), line.replace(":446", ":4.5"), "{".to_owned()]
        {
            assert!(matches!(
                read(&format!("{line}\n{broken}\n")),
                Err(ReadError::Line { line: 2, .. })
            ));
        }
        assert_eq!(read(&line.replace("ModelInvocationLog", "Other")).unwrap(), []);
    }
}
