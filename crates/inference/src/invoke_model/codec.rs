//! Answers of `InvokeModel`: Anthropic's messages, or any vendor's JSON with Bedrock's own counts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use metering::TokenUsage;
use serde_json::Value;

use crate::anthropic_messages::{EventReader, metrics_of, read_message};
use crate::protocol::unreadable;
use crate::wire::eventstream::{Kind, Message, Splitter};
use crate::{
    BadRequest, Codec, ContentBlock, Event, Frame, Model, ModelRequest, ModelResponse,
    ProviderAnswer, ProviderError, ProviderErrorKind, ProviderRequest, StopReason, StreamReader,
};

/// Reads what is passed on, for its usage; no client of another dialect is translated to this protocol.
#[derive(Debug, Clone, Copy)]
pub struct InvokeCodec;

impl Codec for InvokeCodec {
    fn write(
        &self,
        _: &ModelRequest,
        model: &Model,
        _: bool,
    ) -> Result<ProviderRequest, BadRequest> {
        let message = format!(
            "`{}` is asked in its own JSON only: call it by `/bedrock/model/{}/invoke`.",
            model.id, model.id
        );
        Err(BadRequest::unsupported("model", message))
    }

    fn read(&self, _: &Model, answer: &ProviderAnswer) -> Result<ModelResponse, ProviderError> {
        let body: Value = serde_json::from_slice(&answer.body).map_err(|_| {
            unreadable(ProviderErrorKind::Internal, "the model's answer is no JSON")
        })?;
        let mut response = if is_anthropic(&body) {
            read_message(&answer.body, answer.provider_request_id.clone())?
        } else {
            ModelResponse {
                content: text_of(&body).map(ContentBlock::Text).into_iter().collect(),
                stop_reason: StopReason::Other("unknown".to_owned()),
                stop_sequence: None,
                usage: usage_in_body(&body).unwrap_or_default(),
                provider_request_id: answer.provider_request_id.clone(),
            }
        };
        let count = |name| answer.header(name).and_then(|value| value.trim().parse::<u64>().ok());
        let input = count("x-amzn-bedrock-input-token-count");
        let output = count("x-amzn-bedrock-output-token-count");
        // The body of a message tells the cached input apart, which the headers do not always.
        if response.usage == TokenUsage::default() {
            response.usage = TokenUsage {
                input: input.unwrap_or(0),
                output: output.unwrap_or(0),
                cache_read: count("x-amzn-bedrock-cache-read-input-token-count").unwrap_or(0),
                cache_write_5m: count("x-amzn-bedrock-cache-write-input-token-count").unwrap_or(0),
                ..TokenUsage::default()
            };
        }
        if let Some(images) = body.get("images").and_then(Value::as_array) {
            response.usage.images = u64::try_from(images.len()).unwrap_or(u64::MAX);
        }
        Ok(response)
    }

    fn stream(&self, _: &Model) -> Box<dyn StreamReader> {
        Box::<ChunkReader>::default()
    }
}

fn is_anthropic(body: &Value) -> bool {
    matches!(body.get("type").and_then(Value::as_str), Some("message" | "error"))
}

/// The text of an answer or a chunk of it, in the JSON of the vendors that Bedrock has had so far; it is looked
/// at for its length only.
fn text_of(body: &Value) -> Option<String> {
    const PLACES: [&str; 11] = [
        "/generation",
        "/outputText",
        "/results/0/outputText",
        "/output/message/content/0/text",
        "/contentBlockDelta/delta/text",
        "/outputs/0/text",
        "/choices/0/message/content",
        "/choices/0/delta/content",
        "/generations/0/text",
        "/text",
        "/completion",
    ];
    let text = PLACES.iter().find_map(|place| body.pointer(place).and_then(Value::as_str))?;
    Some(text.to_owned())
}

/// Usage as vendors report it in their own JSON.
fn usage_in_body(body: &Value) -> Option<TokenUsage> {
    const PLACES: [(&str, &str); 5] = [
        ("/usage/inputTokens", "/usage/outputTokens"),
        ("/usage/prompt_tokens", "/usage/completion_tokens"),
        ("/usage/input_tokens", "/usage/output_tokens"),
        ("/prompt_token_count", "/generation_token_count"),
        ("/inputTextTokenCount", "/results/0/tokenCount"),
    ];
    PLACES.iter().find_map(|(input, output)| {
        let count = |place| body.pointer(place).and_then(Value::as_u64);
        Some(TokenUsage {
            input: count(input)?,
            output: count(output).unwrap_or(0),
            cache_read: count("/usage/cacheReadInputTokenCount").unwrap_or(0),
            cache_write_5m: count("/usage/cacheWriteInputTokenCount").unwrap_or(0),
            ..TokenUsage::default()
        })
    })
}

/// Reads the chunks of a stream: events of a message, or pieces of another vendor's answer.
#[derive(Debug, Default)]
struct ChunkReader {
    splitter: Splitter,
    events: EventReader,
    /// Whose answer it is, once a chunk has said so.
    vendor: Vendor,
    is_stopped: bool,
    is_broken: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Vendor {
    #[default]
    Unknown,
    Anthropic,
    Other,
}

impl StreamReader for ChunkReader {
    fn push(&mut self, bytes: &[u8]) -> Vec<Frame> {
        let messages = self.splitter.push(bytes);
        messages.iter().map(|message| self.read(message)).collect()
    }

    fn finish(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        if let Some(message) = self.splitter.finish() {
            let mut frame = self.read(&message);
            // Half a message is of no use to anybody.
            frame.bytes = Bytes::new();
            frames.push(frame);
        }
        if self.is_broken {
            return frames;
        }
        let mut last = Frame::default();
        match self.vendor {
            // Nothing else tells the end of a stream whose JSON is not known.
            Vendor::Other if !self.is_stopped => last.events.push(stop_unknown()),
            Vendor::Other => return frames,
            Vendor::Anthropic => last.error = self.events.end(),
            Vendor::Unknown => {
                let message = "the stream ended before the answer began";
                last.error = Some(unreadable(ProviderErrorKind::Interrupted, message));
            }
        }
        if last != Frame::default() {
            frames.push(last);
        }
        frames
    }
}

impl ChunkReader {
    fn read(&mut self, message: &Message) -> Frame {
        let mut frame = Frame { bytes: message.bytes.clone(), ..Frame::default() };
        if self.is_broken {
            return frame;
        }
        let result = match (message.error(), &message.kind) {
            (Some(error), _) => Err(error),
            (None, Kind::Event(kind)) if kind == "chunk" => self.read_chunk(message),
            (None, _) => Ok(Vec::new()),
        };
        match result {
            Ok(events) => frame.events = events,
            Err(error) => {
                self.is_broken = true;
                frame.error = Some(error);
            }
        }
        frame
    }

    fn read_chunk(&mut self, message: &Message) -> Result<Vec<Event>, ProviderError> {
        let payload = message.json();
        let bytes = payload.get("bytes").and_then(Value::as_str).map(|text| STANDARD.decode(text));
        let text = match bytes {
            Some(Ok(bytes)) => String::from_utf8(bytes).unwrap_or_default(),
            _ => String::new(),
        };
        let chunk: Value = serde_json::from_str(&text).map_err(|error| {
            let message = format!("a chunk of the stream is not JSON: {error}");
            unreadable(ProviderErrorKind::Interrupted, message)
        })?;
        if self.vendor == Vendor::Unknown {
            self.vendor = match chunk.get("type").and_then(Value::as_str) {
                Some("message_start" | "ping" | "error") => Vendor::Anthropic,
                _ => Vendor::Other,
            };
        }
        if self.vendor == Vendor::Anthropic {
            return self.events.read(&text);
        }
        let mut events = Vec::new();
        let metrics = metrics_of(&chunk);
        // A chunk without a known text counts whole, so that it is counted at all.
        let piece = text_of(&chunk).or_else(|| metrics.is_none().then(|| text.clone()));
        events.extend(
            piece.filter(|piece| !piece.is_empty()).map(|text| Event::TextDelta { block: 0, text }),
        );
        if let Some(usage) = metrics {
            if !std::mem::replace(&mut self.is_stopped, true) {
                events.push(stop_unknown());
            }
            events.push(Event::Usage(usage));
        }
        Ok(events)
    }
}

fn stop_unknown() -> Event {
    Event::Stop { reason: StopReason::Other("unknown".to_owned()), stop_sequence: None }
}
