//! The `[sim {...}]` directive, by which a test scripts the answer to its own request.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::Fault;

const OPENING: &str = "[sim ";

/// What a test asked for; every key is optional.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Directive {
    /// Wait before the HTTP headers.
    pub(crate) head_delay_ms: u64,
    /// Wait for the model's first output: after the headers of a stream, before those of a whole answer.
    pub(crate) latency_ms: u64,
    /// Wait before each chunk but the first.
    pub(crate) chunk_delay_ms: u64,
    /// The text, in exactly these chunks.
    pub(crate) chunks: Option<Vec<String>>,
    /// The text, split in words.
    pub(crate) text: Option<String>,
    /// Reasoning ahead of the text, split in words.
    pub(crate) reasoning: Option<String>,
    /// Reasoning ahead of the text that only the simulator reads.
    pub(crate) redacted: Option<String>,
    /// Tools to call after the text.
    #[serde(alias = "tools")]
    pub(crate) tool_calls: Vec<ScriptedToolCall>,
    /// The error to answer with: at once, or in mid-stream together with `error_after_chunks`.
    pub(crate) error: Option<ScriptedError>,
    /// Fails after that many chunks.
    pub(crate) error_after_chunks: Option<usize>,
    /// Drops the connection after that many chunks.
    pub(crate) cut_after_chunks: Option<usize>,
    /// Drops the connection before the HTTP headers.
    pub(crate) cut_before_head: bool,
    /// Sends a frame that nobody can read after that many chunks, and ends.
    pub(crate) garbage_after_chunks: Option<usize>,
    /// Falls silent after that many chunks.
    pub(crate) stall_after_chunks: Option<usize>,
    /// For so long, or until released.
    pub(crate) stall_ms: Option<u64>,
    /// With a break after 0 chunks: leaves out the events that would open the stream.
    pub(crate) skip_opening: bool,
    /// Tokens to report instead of the counted ones.
    pub(crate) usage: ScriptedUsage,
    /// Reported as it is, on other paths than Bedrock's after translation.
    pub(crate) stop_reason: Option<String>,
}

/// One scripted tool call.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScriptedToolCall {
    /// The tool; it need not be one that was offered.
    pub(crate) name: String,
    /// Its arguments.
    #[serde(default, alias = "input")]
    pub(crate) arguments: Map<String, Value>,
}

/// A scripted error.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ScriptedError {
    /// HTTP status; follows from the exception when absent.
    pub(crate) status: Option<u16>,
    /// Bedrock's name; follows from the status when absent.
    pub(crate) exception: Option<String>,
    /// OpenAI's or Anthropic's `type`, or Bedrock's name.
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    /// OpenAI's `code`.
    pub(crate) code: Option<String>,
    /// For a person.
    pub(crate) message: Option<String>,
    /// The `retry-after` header: seconds, or a text as it is.
    pub(crate) retry_after: Option<Value>,
}

/// Scripted token counts; what is absent is counted.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ScriptedUsage {
    /// Input tokens that no cache served or took.
    pub(crate) input: Option<u64>,
    /// Output tokens.
    pub(crate) output: Option<u64>,
    /// Input tokens read from the cache.
    pub(crate) cache_read: u64,
    /// Input tokens written to the cache for five minutes.
    pub(crate) cache_write_5m: u64,
    /// Input tokens written to the cache for an hour.
    pub(crate) cache_write_1h: u64,
}

impl ScriptedUsage {
    /// Whether the input is left to be counted.
    pub(crate) fn counts_input(&self) -> bool {
        let scripted = self.cache_read + self.cache_write_5m + self.cache_write_1h;
        self.input.is_none() && scripted == 0
    }
}

/// Takes the directive out of `text`: its keys, and the text without it.
///
/// # Errors
/// A directive that is not closed, or is not a JSON object.
pub(crate) fn take(text: &str) -> Result<(Map<String, Value>, String), Fault> {
    let Some((before, rest)) = text.split_once(OPENING) else {
        return Ok((Map::new(), text.to_owned()));
    };
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Map<String, Value>>();
    let keys = match values.next() {
        Some(Ok(keys)) => keys,
        Some(Err(error)) => return Err(bad(&error)),
        None => return Err(Fault::validation("model-sim: the [sim] directive is empty")),
    };
    let after = rest.get(values.byte_offset()..).unwrap_or_default().trim_start();
    let Some(after) = after.strip_prefix(']') else {
        return Err(Fault::validation("model-sim: the [sim] directive is not closed by `]`"));
    };
    Ok((keys, format!("{before}{after}").trim().to_owned()))
}

impl Directive {
    /// Reads the keys of a directive.
    ///
    /// # Errors
    /// An unknown key: a typo must not pass as a default answer.
    pub(crate) fn read(keys: Map<String, Value>) -> Result<Self, Fault> {
        serde_json::from_value(Value::Object(keys)).map_err(|error| bad(&error))
    }
}

fn bad(error: &serde_json::Error) -> Fault {
    Fault::validation(format!("model-sim: bad [sim] directive: {error}"))
}

#[cfg(test)]
mod tests {
    use super::{Directive, take};

    #[test]
    fn a_directive_is_taken_out_of_the_text_around_it() {
        let (keys, text) = take(r#"a [sim {"chunks":["]","}"]} ] b"#).unwrap();
        assert_eq!(Directive::read(keys).unwrap().chunks.unwrap(), ["]", "}"]);
        assert_eq!(text, "a  b");
    }

    #[test]
    fn text_without_a_directive_is_left_alone() {
        let (keys, text) = take("[simple] ").unwrap();
        assert_eq!((keys.len(), text.as_str()), (0, "[simple] "));
    }

    #[test]
    fn a_typo_in_a_directive_is_refused() {
        for text in [r#"[sim {"chunk":[]}]"#, r"[sim {}", "[sim nonsense]", "[sim "] {
            let fault = take(text).and_then(|(keys, _)| Directive::read(keys)).unwrap_err();
            assert_eq!(fault.exception, "ValidationException", "{text}");
        }
    }
}
