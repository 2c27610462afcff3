//! Answers, translated and forwarded.

use bytes::Bytes;
use serde_json::Value;

use super::{DONE, StreamRenderer, render_response};
use crate::wire::sse::write_event;
use crate::{AnswerHead, AnswerRenderer, Event, Family, Fault, Frame, ModelResponse};

/// Writes one answer as a `chat.completion` or a stream of `chat.completion.chunk`.
#[derive(Debug)]
pub(super) struct ChatRenderer {
    id: String,
    created: i64,
    model: String,
    stream: StreamRenderer,
    /// Whether the usage chunk is there only because the gateway asked for it.
    hides_usage: bool,
    forwarded: Forwarded,
}

/// How far a forwarded stream has come.
#[derive(Debug, Clone, Copy, Default)]
struct Forwarded {
    /// It gave a reason for its end.
    is_stopped: bool,
    /// `[DONE]` or an error was said.
    is_over: bool,
    /// What was sent last was no whole event.
    is_amid_event: bool,
}

impl ChatRenderer {
    /// A renderer of one answer; `includes_usage` says whether the client wants the usage chunk.
    pub(super) fn new(head: AnswerHead, includes_usage: bool) -> Self {
        let id = format!("chatcmpl-{}", head.call_id);
        let stream =
            StreamRenderer::new(id.clone(), head.created, head.model.clone(), includes_usage);
        Self {
            id,
            created: head.created,
            model: head.model,
            stream,
            hides_usage: !includes_usage,
            forwarded: Forwarded::default(),
        }
    }
}

impl AnswerRenderer for ChatRenderer {
    fn response(&mut self, response: &ModelResponse) -> Bytes {
        let body = render_response(response, &self.id, self.created, &self.model);
        Bytes::from(body.to_string())
    }

    fn event(&mut self, event: &Event) -> Bytes {
        self.stream.render(event)
    }

    fn finish(&mut self) -> Bytes {
        self.stream.finish()
    }

    /// No `[DONE]` follows: the SDKs raise the error when they read it, and a `[DONE]` would claim that
    /// the answer is whole.
    fn interrupt(&mut self, fault: &Fault) -> Bytes {
        let mut output = Vec::new();
        if self.forwarded.is_amid_event {
            output.extend_from_slice(b"\n\n");
        }
        write_event(&mut output, None, &fault.to_body(Family::Openai, ""));
        self.forwarded.is_over = true;
        Bytes::from(output)
    }

    /// Whole, but for the usage chunk that only the gateway asked for.
    fn forwarded(&mut self, frame: &Frame) -> Bytes {
        let bytes = &frame.bytes;
        self.forwarded.is_stopped |=
            frame.events.iter().any(|event| matches!(event, Event::Stop { .. }));
        self.forwarded.is_over |=
            frame.error.is_some() || bytes.trim_ascii_end().ends_with(b"[DONE]");
        if self.hides_usage && is_usage_chunk(frame) {
            return Bytes::new();
        }
        if !bytes.is_empty() {
            let ends = [b"\n\n".as_slice(), b"\n\r\n"];
            self.forwarded.is_amid_event = !ends.iter().any(|end| bytes.ends_with(end));
        }
        bytes.clone()
    }

    fn finish_forwarded(&mut self) -> Bytes {
        if self.forwarded.is_stopped && !self.forwarded.is_over { DONE } else { Bytes::new() }
    }
}

/// Whether a frame is a chunk with usage and nothing else.
fn is_usage_chunk(frame: &Frame) -> bool {
    if !matches!(frame.events.as_slice(), [Event::Usage(_)]) {
        return false;
    }
    let text = str::from_utf8(&frame.bytes).unwrap_or_default();
    let data = text.lines().find_map(|line| line.strip_prefix("data:"));
    let chunk: Option<Value> = data.and_then(|data| serde_json::from_str(data).ok());
    let choices = chunk.as_ref().and_then(|chunk| chunk.get("choices")?.as_array());
    choices.is_some_and(Vec::is_empty)
}
