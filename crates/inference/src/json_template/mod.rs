//! Endpoints with a JSON of their own, by a template of the registry
//! ([`BodyFormat::Template`]).
//!
//! The conversation becomes one text. A single message of the user is that text. Anything longer is
//! written as a transcript, turns apart by blank lines, which ends where the model is to go on:
//!
//! ```text
//! System: Be brief.
//!
//! User: Hello?
//!
//! Assistant: Good morning.
//!
//! User: What is new?
//!
//! Assistant:
//! ```
//!
//! The system prompt stands in `{{system}}` where the template has that place, else at the head of the
//! transcript. A string of the template that is nothing but a place becomes the value itself (a number, a
//! list); a place within a longer string becomes text in it. The template is filled as JSON and not as
//! text, once: whatever the prompt says, it stays one string.
//!
//! Such an endpoint reads text and answers whole: tools, pictures, documents, schemas and enabled thinking
//! are refused; cache points, effort, service tiers, earlier reasoning and sampling parameters without a place
//! in the template are left out. A client that wants a stream gets one, in one piece.

mod fill;
#[cfg(test)]
mod tests;
mod transcript;

use bytes::Bytes;
use metering::TokenUsage;
use serde_json::Value;

use crate::protocol::unreadable;
use crate::{
    BadRequest, BodyFormat, Codec, ContentBlock, Event, Frame, Model, ModelRequest, ModelResponse,
    Operation, Protocol, ProviderAnswer, ProviderError, ProviderErrorKind, ProviderRequest,
    StopReason, StreamReader,
};

/// Answers longer than this are given up, so that no endpoint can make the gateway hold more.
const MAX_ANSWER_BYTES: usize = 8 << 20;

/// Asks endpoints by the template of their model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TemplateCodec;

impl Codec for TemplateCodec {
    /// The endpoint is never asked for a stream; its answer is read by [`stream`](Self::stream) all the same.
    fn write(
        &self,
        request: &ModelRequest,
        model: &Model,
        _is_streaming: bool,
    ) -> Result<ProviderRequest, BadRequest> {
        let Some(BodyFormat::Template { request: template, .. }) = &model.body else {
            return Err(misconfigured(model, "it has no template"));
        };
        let template: Value = serde_json::from_str(template).map_err(|error| {
            misconfigured(model, format_args!("its template is not JSON: {error}"))
        })?;
        let places = transcript::places_of(request, model, fill::has_place(&template, "system"))?;
        let body = fill::fill(&template, &places).unwrap_or(Value::Null);
        Ok(ProviderRequest {
            protocol: Protocol::JsonTemplate,
            operation: Operation::Invoke,
            is_streaming: false,
            headers: Vec::new(),
            body: Bytes::from(body.to_string()),
        })
    }

    fn read(&self, model: &Model, answer: &ProviderAnswer) -> Result<ModelResponse, ProviderError> {
        let (text, usage) = Pointers::of(model).read(&answer.body)?;
        Ok(ModelResponse {
            content: vec![ContentBlock::Text(text)],
            stop_reason: StopReason::EndTurn,
            stop_sequence: None,
            usage: usage.unwrap_or_default(),
            provider_request_id: answer.provider_request_id.clone(),
        })
    }

    fn stream(&self, model: &Model) -> Box<dyn StreamReader> {
        Box::new(WholeReader { pointers: Pointers::of(model), body: Vec::new(), is_broken: false })
    }
}

/// Nothing that the client could put right.
fn misconfigured(model: &Model, what: impl std::fmt::Display) -> BadRequest {
    let message = format!(
        "`{}` cannot be asked: {what}. Tell the people who run the gateway, or use another model.",
        model.id
    );
    BadRequest::unsupported("model", message)
}

/// Where an answer says what.
#[derive(Debug, Clone, Default)]
struct Pointers {
    text: String,
    input_tokens: Option<String>,
    output_tokens: Option<String>,
}

impl Pointers {
    fn of(model: &Model) -> Self {
        match &model.body {
            Some(BodyFormat::Template { text, input_tokens, output_tokens, .. }) => Self {
                text: text.clone(),
                input_tokens: input_tokens.clone(),
                output_tokens: output_tokens.clone(),
            },
            _ => Self::default(),
        }
    }

    /// The text, and the usage if the endpoint says both counts.
    fn read(&self, body: &[u8]) -> Result<(String, Option<TokenUsage>), ProviderError> {
        let senseless = |message: String| unreadable(ProviderErrorKind::Internal, message);
        let body: Value = serde_json::from_slice(body)
            .map_err(|error| senseless(format!("the answer is not JSON: {error}")))?;
        let Some(text) = body.pointer(&self.text).and_then(Value::as_str) else {
            return Err(senseless(format!("the answer holds no text at `{}`", self.text)));
        };
        let count = |pointer: &Option<String>| body.pointer(pointer.as_deref()?)?.as_u64();
        let usage = count(&self.input_tokens).zip(count(&self.output_tokens));
        let usage =
            usage.map(|(input, output)| TokenUsage { input, output, ..TokenUsage::default() });
        Ok((text.to_owned(), usage))
    }
}

/// Reads a whole answer as a stream of one piece.
#[derive(Debug)]
struct WholeReader {
    pointers: Pointers,
    body: Vec<u8>,
    is_broken: bool,
}

impl StreamReader for WholeReader {
    fn push(&mut self, bytes: &[u8]) -> Vec<Frame> {
        if self.is_broken {
            return vec![Frame { bytes: Bytes::copy_from_slice(bytes), ..Frame::default() }];
        }
        self.body.extend_from_slice(bytes);
        if self.body.len() <= MAX_ANSWER_BYTES {
            return Vec::new();
        }
        self.is_broken = true;
        let error = unreadable(ProviderErrorKind::Internal, "the answer is too long to be held");
        let bytes = Bytes::from(std::mem::take(&mut self.body));
        vec![Frame { bytes, error: Some(error), ..Frame::default() }]
    }

    fn finish(&mut self) -> Vec<Frame> {
        if self.is_broken {
            return Vec::new();
        }
        let bytes = Bytes::from(std::mem::take(&mut self.body));
        let (text, usage) = match self.pointers.read(&bytes) {
            Ok(answer) => answer,
            // Cut off rather than wrong: the connection may have broken.
            Err(error) => {
                let error = ProviderError { kind: ProviderErrorKind::Interrupted, ..error };
                return vec![Frame { bytes, error: Some(error), ..Frame::default() }];
            }
        };
        let mut events = Vec::new();
        if !text.is_empty() {
            events.push(Event::TextDelta { block: 0, text });
            events.push(Event::BlockStop { block: 0 });
        }
        events.push(Event::Stop { reason: StopReason::EndTurn, stop_sequence: None });
        events.extend(usage.map(Event::Usage));
        vec![Frame { bytes, events, error: None }]
    }
}
