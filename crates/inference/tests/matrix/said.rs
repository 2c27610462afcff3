//! What requests and answers of the matrix say, in no API's words.

use metering::TokenUsage;
use serde_json::{Value, json};

/// What one cell is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scenario {
    Text,
    Stream,
    Tools,
    ParallelTools,
    StructuredOutput,
    Images,
    Documents,
    Thinking,
    Caching,
    Usage,
    Error,
}

impl Scenario {
    pub(crate) const ALL: [Self; 11] = [
        Self::Text,
        Self::Stream,
        Self::Tools,
        Self::ParallelTools,
        Self::StructuredOutput,
        Self::Images,
        Self::Documents,
        Self::Thinking,
        Self::Caching,
        Self::Usage,
        Self::Error,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Stream => "stream",
            Self::Tools => "tools",
            Self::ParallelTools => "parallel tools",
            Self::StructuredOutput => "structured output",
            Self::Images => "images",
            Self::Documents => "documents",
            Self::Thinking => "thinking",
            Self::Caching => "caching",
            Self::Usage => "usage",
            Self::Error => "error",
        }
    }

    /// Whether the model is asked for a whole answer, a stream, or once for each.
    pub(crate) fn modes(self) -> &'static [bool] {
        match self {
            Self::Text => &[false],
            Self::Stream | Self::Error => &[true],
            _ => &[false, true],
        }
    }

    pub(crate) fn has_tools(self) -> bool {
        matches!(self, Self::Tools | Self::ParallelTools | Self::Thinking)
    }
}

pub(crate) const MODEL: &str = "vendor.model";
pub(crate) const SYSTEM: &str = "Be brief, \"please\".";
pub(crate) const QUESTION: &str = "How warm is it in Oslo and in Tromsø? ☂";
pub(crate) const TOOL: &str = "get_weather";
pub(crate) const TOOL_DESCRIPTION: &str = "The weather in a city now.";
pub(crate) const RESULTS: [&str; 2] = ["4 degrees in Oslo", "-3 degrees in Tromsø"];
pub(crate) const SIGNATURE: &str = "c2lnbmF0dXJlIG9mIHRoZSBwcm92aWRlcg==";
pub(crate) const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
pub(crate) const PDF: &str = "JVBERi0xLjQKJSVFT0YK";
pub(crate) const MAX_TOKENS: u32 = 4_096;
pub(crate) const THINKING_TOKENS: u32 = 2_048;

pub(crate) fn tool_schema() -> Value {
    json!({
        "type": "object",
        "properties": {"city": {"type": "string", "description": "Name of the city"}},
        "required": ["city"],
        "additionalProperties": false,
    })
}

pub(crate) fn answer_schema() -> Value {
    json!({
        "type": "object",
        "properties": {"forecast_city": {"type": "string"}},
        "required": ["forecast_city"],
        "additionalProperties": false,
    })
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) arguments: Value,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Done,
    Tools,
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Said {
    /// Thinking that is shown; its signature is checked by sending it back.
    pub(crate) thinking: Option<String>,
    pub(crate) text: String,
    pub(crate) calls: Vec<Call>,
    pub(crate) ended: Ended,
    pub(crate) usage: TokenUsage,
}

/// What the model says to a scenario.
pub(crate) fn said(scenario: Scenario) -> Said {
    let call =
        |id: &str, arguments: Value| Call { id: id.to_owned(), name: TOOL.to_owned(), arguments };
    let calls = match scenario {
        Scenario::Tools => vec![call("call_1", json!({"city": "Tromsø \"north\""}))],
        Scenario::ParallelTools => vec![
            call("call_2", json!({"city": "Tromsø", "deep": {"list": [1, 2.5, null]}})),
            call("call_1", json!({})),
        ],
        Scenario::Thinking => vec![call("call_1", json!({"city": "Oslo"}))],
        _ => Vec::new(),
    };
    let usage = match scenario {
        Scenario::Caching => TokenUsage {
            input: 11,
            output: 13,
            cache_read: 1_700,
            cache_write_5m: 190,
            cache_write_1h: 230,
            ..TokenUsage::default()
        },
        Scenario::Usage => TokenUsage { input: 101, output: 103, ..TokenUsage::default() },
        _ => TokenUsage { input: 12, output: 5, ..TokenUsage::default() },
    };
    Said {
        thinking: (scenario == Scenario::Thinking).then(|| "Let me think: \n1. Oslo".to_owned()),
        text: match scenario {
            Scenario::StructuredOutput => r#"{"forecast_city":"Oslo"}"#.to_owned(),
            _ => "It is \"mild\" in Tromsø.\n☂".to_owned(),
        },
        ended: if calls.is_empty() { Ended::Done } else { Ended::Tools },
        calls,
        usage,
    }
}

/// Usage of an API that does not say for how long the cache took what it took.
pub(crate) fn without_ttl(usage: TokenUsage) -> TokenUsage {
    TokenUsage {
        cache_write_5m: usage.cache_write_5m + usage.cache_write_1h,
        cache_write_1h: 0,
        ..usage
    }
}

/// Cuts a text into pieces, as a stream does.
pub(crate) fn pieces(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(7).map(|chunk| chunk.iter().collect()).collect()
}

/// Whether a text of `value`, at any depth, holds `needle`; texts may hold JSON.
pub(crate) fn holds(value: &Value, needle: &str) -> bool {
    match value {
        Value::String(text) => {
            text.contains(needle)
                || serde_json::from_str::<Value>(text)
                    .is_ok_and(|inner| !inner.is_string() && holds(&inner, needle))
        }
        Value::Array(elements) => elements.iter().any(|element| holds(element, needle)),
        Value::Object(object) => {
            object.iter().any(|(key, value)| key.contains(needle) || holds(value, needle))
        }
        _ => false,
    }
}

/// The place of `needle` in the text of `value`, for order.
pub(crate) fn place(value: &Value, needle: &str) -> usize {
    value.to_string().find(needle).unwrap_or_else(|| panic!("`{needle}` is not in {value:#}"))
}
