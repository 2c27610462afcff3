//! Reads what a passing answer says about itself.

use bytes::Bytes;
use metering::TokenUsage;
use serde_json::Value;

use super::read::usage_of;
use super::stream::interrupted;
use super::{DONE, ErrorBody, error_event};
use crate::OutputMeter;

/// Events longer than this pass unread, so that no provider can make the gateway hold more.
const MAX_EVENT_BYTES: usize = 1 << 20;

/// Reads usage, output and errors off the bytes of a forwarded stream.
///
/// Give it the bytes as they come, however they are cut, and send what it returns: the same bytes,
/// event by event (so that heartbeats and errors of the gateway fall between events), without the
/// usage chunk if the caller did not ask for one. At the end send [`finish`](Self::finish); after
/// an error send [`interrupt`](Self::interrupt) instead.
#[derive(Debug, Clone, Default)]
pub struct UsageScanner {
    hides_usage: bool,
    /// The event so far.
    event: Vec<u8>,
    /// Whether the current line has something in it.
    line_has_bytes: bool,
    /// Whether the first part of the current event was sent unread.
    is_oversized: bool,
    usage: Option<TokenUsage>,
    meter: OutputMeter,
    error: Option<String>,
    progress: Progress,
}

/// How far the answer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Progress {
    #[default]
    Running,
    /// It gave a reason for its end.
    Ended,
    /// `[DONE]` was said.
    Done,
}

/// What an event holds.
enum Content {
    /// Nothing that could be read: a comment, or no JSON.
    Unreadable,
    /// Usage and nothing else.
    Usage,
    Other,
}

impl UsageScanner {
    /// A scanner; `includes_usage` says whether the caller wants the usage chunk.
    pub fn new(includes_usage: bool) -> Self {
        Self { hides_usage: !includes_usage, ..Self::default() }
    }

    /// Takes bytes from the provider, and returns the bytes to send; may be empty.
    pub fn push(&mut self, bytes: &[u8]) -> Bytes {
        let mut output = Vec::with_capacity(self.event.len() + bytes.len());
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.event.extend_from_slice(piece);
            let is_whole_line = piece.ends_with(b"\n");
            self.line_has_bytes |= piece.iter().any(|byte| !matches!(byte, b'\r' | b'\n'));
            if is_whole_line && !self.line_has_bytes {
                self.end_event(&mut output);
            } else if self.event.len() > MAX_EVENT_BYTES {
                self.is_oversized = true;
                output.append(&mut self.event);
            }
            if is_whole_line {
                self.line_has_bytes = false;
            }
        }
        Bytes::from(output)
    }

    /// What to send when the provider has closed the stream: what is held back, and an error if the
    /// answer never came to its end.
    pub fn finish(&mut self) -> Bytes {
        let mut output = Vec::new();
        if self.is_oversized {
            output.append(&mut self.event);
            output.extend_from_slice(b"\n\n");
        } else {
            // Some servers leave out the last blank line; but half an event is of no use to anybody.
            let event = std::mem::take(&mut self.event);
            let content = self.read(&event);
            if matches!(content, Content::Other)
                || (matches!(content, Content::Usage) && !self.hides_usage)
            {
                output.extend_from_slice(event.trim_ascii_end());
                output.extend_from_slice(b"\n\n");
            }
        }
        match self.progress {
            _ if self.error.is_some() => {}
            Progress::Running => output.extend_from_slice(&error_event(&interrupted())),
            Progress::Ended => output.extend_from_slice(&DONE),
            Progress::Done => {}
        }
        Bytes::from(output)
    }

    /// What to send when the stream broke: the error, and nothing of the event it broke in.
    pub fn interrupt(&mut self, error: &ErrorBody) -> Bytes {
        self.event.clear();
        let error = error_event(error);
        if !self.is_oversized {
            return error;
        }
        let mut output = b"\n\n".to_vec();
        output.extend_from_slice(&error);
        Bytes::from(output)
    }

    /// What the provider says was consumed, once it has.
    pub fn usage(&self) -> Option<TokenUsage> {
        self.usage
    }

    /// Output tokens so far, estimated: what to record if [`usage`](Self::usage) never comes.
    pub fn estimated_output(&self) -> u64 {
        self.meter.estimate()
    }

    /// The message of an error that the provider sent in the stream.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Whether the answer came to its end.
    pub fn is_finished(&self) -> bool {
        self.error.is_none() && self.progress >= Progress::Ended
    }

    fn end_event(&mut self, output: &mut Vec<u8>) {
        let event = std::mem::take(&mut self.event);
        let is_readable = !std::mem::take(&mut self.is_oversized) && event.len() <= MAX_EVENT_BYTES;
        let is_hidden =
            is_readable && matches!(self.read(&event), Content::Usage) && self.hides_usage;
        if !is_hidden {
            output.extend_from_slice(&event);
        }
    }

    fn read(&mut self, event: &[u8]) -> Content {
        let Ok(event) = str::from_utf8(event) else {
            return Content::Unreadable;
        };
        let mut data = event.lines().filter_map(|line| line.strip_prefix("data:"));
        let Some(first) = data.next() else {
            return Content::Unreadable;
        };
        let data = data.fold(first.to_owned(), |all, line| all + "\n" + line);
        let data = data.trim();
        if data == "[DONE]" {
            self.progress = Progress::Done;
            return Content::Other;
        }
        match serde_json::from_str::<Value>(data) {
            Ok(chunk) => self.read_chunk(&chunk),
            Err(_) => Content::Unreadable,
        }
    }

    fn read_chunk(&mut self, chunk: &Value) -> Content {
        if let Some(error) = chunk.get("error").filter(|error| !error.is_null()) {
            let message = error.get("message").unwrap_or(error);
            self.error = Some(message.as_str().map_or_else(|| message.to_string(), str::to_owned));
            return Content::Other;
        }
        let usage = usage_of(chunk);
        self.usage = usage.or(self.usage);
        let choices = chunk.get("choices").and_then(Value::as_array);
        for choice in choices.into_iter().flatten() {
            if choice.get("finish_reason").is_some_and(Value::is_string) {
                self.progress = self.progress.max(Progress::Ended);
            }
            if let Some(delta) = choice.get("delta") {
                self.count(delta);
            }
        }
        if usage.is_some() && choices.is_some_and(Vec::is_empty) {
            Content::Usage
        } else {
            Content::Other
        }
    }

    fn count(&mut self, delta: &Value) {
        for field in ["content", "reasoning_content", "reasoning", "refusal"] {
            if let Some(text) = delta.get(field).and_then(Value::as_str) {
                self.meter.add(text);
            }
        }
        for call in delta.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
            for field in ["name", "arguments"] {
                if let Some(text) =
                    call.pointer(&format!("/function/{field}")).and_then(Value::as_str)
                {
                    self.meter.add(text);
                }
            }
        }
    }
}

/// The usage that a whole answer reports.
pub fn usage_of_body(body: &[u8]) -> Option<TokenUsage> {
    usage_of(&serde_json::from_slice(body).ok()?)
}
