//! The provider's side: requests of other dialects for servers that speak this one.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::media::data_url;
use super::read::{response_of, written_arguments};
use super::reader::ChatReader;
use super::request::JUDGED;
use crate::{
    BadRequest, CacheTtl, Codec, ContentBlock, DocumentFormat, ImageFormat, Message, Model,
    ModelRequest, ModelResponse, Operation, Protocol, ProviderAnswer, ProviderError,
    ProviderRequest, Role, Source, StreamReader, SystemBlock, Thinking, Tool, ToolChoice,
    ToolResultContent,
};

/// Asks servers that speak Chat Completions: OpenAI's own models, vLLM, Ollama, TGI and others.
///
/// What the wire has no place for:
///
/// - In a turn of the assistant, text comes before tool calls, and reasoning before both.
/// - Reasoning of earlier turns goes along (`reasoning_content`, `thinking_blocks`) to models with
///   `thinking`, and is left out for others, which refuse the fields.
/// - A tool's pictures and documents stand in a message of the user after all results, which says whose
///   they are. The text of a failed result says that it is an error.
/// - Cache points become `cache_control` of the part before them for models with `prompt_caching`, and are
///   left out for others.
/// - Citations are refused, and documents that are not in the request.
///
/// The maximum of output tokens goes as `max_completion_tokens`, and as `max_tokens` to models whose
/// `drop_fields` list the former, as older servers want it.
#[derive(Debug, Clone, Copy)]
pub struct ChatCodec;

impl Codec for ChatCodec {
    fn write(
        &self,
        request: &ModelRequest,
        model: &Model,
        is_streaming: bool,
    ) -> Result<ProviderRequest, BadRequest> {
        let body = body_of(request, model, is_streaming)?;
        Ok(ProviderRequest {
            protocol: Protocol::OpenaiChat,
            operation: Operation::Invoke,
            is_streaming,
            headers: Vec::new(),
            body: Bytes::from(Value::Object(body).to_string()),
        })
    }

    fn read(
        &self,
        _model: &Model,
        answer: &ProviderAnswer,
    ) -> Result<ModelResponse, ProviderError> {
        response_of(answer)
    }

    fn stream(&self, _model: &Model) -> Box<dyn StreamReader> {
        Box::new(ChatReader::default())
    }
}

/// The members of a body, without those that the registry drops.
struct Body<'m> {
    members: Map<String, Value>,
    model: &'m Model,
}

impl Body<'_> {
    fn is_dropped(&self, key: &str) -> bool {
        self.model.drop_fields.iter().any(|field| field == key)
    }

    fn set(&mut self, key: &str, value: impl Into<Value>) {
        if !self.is_dropped(key) {
            self.members.insert(key.to_owned(), value.into());
        }
    }
}

fn body_of(
    request: &ModelRequest,
    model: &Model,
    is_streaming: bool,
) -> Result<Map<String, Value>, BadRequest> {
    let mut body = Body { members: Map::new(), model };
    body.members.insert("model".to_owned(), model.provider_model_id.clone().into());
    body.members.insert("messages".to_owned(), messages_of(request, model)?.into());
    set_inference(&mut body, request);
    set_tools(&mut body, request)?;
    if let Some(schema) = &request.output_schema {
        if !model.capabilities.structured_output {
            return Err(unsupported(model, "answers by a schema are not available"));
        }
        let mut definition = Map::from_iter([("name".to_owned(), schema.name.clone().into())]);
        if let Some(description) = &schema.description {
            definition.insert("description".to_owned(), description.clone().into());
        }
        definition.insert("schema".to_owned(), schema.schema.clone());
        definition.insert("strict".to_owned(), true.into());
        body.set("response_format", json!({"type": "json_schema", "json_schema": definition}));
    }
    if let Some(effort) = &request.effort
        && model.capabilities.reasoning_effort
    {
        body.set("reasoning_effort", effort.clone());
    }
    match request.thinking {
        Some(Thinking::Enabled { .. }) if !model.capabilities.thinking => {
            return Err(unsupported(model, "a budget for thinking is not available"));
        }
        Some(thinking) if model.capabilities.thinking => {
            body.set("thinking", thinking_of(thinking));
        }
        _ => {}
    }
    if let Some(tier) = &request.service_tier {
        body.set("service_tier", tier.clone());
    }
    if is_streaming {
        body.members.insert("stream".to_owned(), true.into());
        body.set("stream_options", json!({"include_usage": true}));
    }
    for (key, value) in &request.additional_fields {
        // What was checked elsewhere, or written above, is not to be said a second time.
        let is_taken = JUDGED.iter().any(|name| key.eq_ignore_ascii_case(name))
            || body.members.contains_key(key);
        if is_taken {
            let key: String = key.chars().take(64).collect();
            let message = format!("`{key}` cannot be set among a model's own fields.");
            return Err(BadRequest::value(key, message));
        }
        body.set(key, value.clone());
    }
    Ok(body.members)
}

/// Fields are not named, for every dialect has other names for them.
fn unsupported(model: &Model, complaint: impl std::fmt::Display) -> BadRequest {
    BadRequest::body("unsupported_parameter", format!("With `{}`, {complaint}.", model.id))
}

fn set_inference(body: &mut Body<'_>, request: &ModelRequest) {
    let inference = &request.inference;
    if let Some(max_tokens) = inference.max_tokens {
        let is_old = body.is_dropped("max_completion_tokens");
        body.set(if is_old { "max_tokens" } else { "max_completion_tokens" }, max_tokens);
    }
    if let Some(temperature) = inference.temperature {
        body.set("temperature", decimal(temperature));
    }
    if let Some(top_p) = inference.top_p {
        body.set("top_p", decimal(top_p));
    }
    if let Some(top_k) = inference.top_k {
        body.set("top_k", top_k);
    }
    if !inference.stop_sequences.is_empty() {
        body.set("stop", inference.stop_sequences.clone());
    }
}

/// The number as it was written: 0.1 in single precision is not 0.1 in double.
pub(crate) fn decimal(number: f32) -> Value {
    number.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

fn thinking_of(thinking: Thinking) -> Value {
    match thinking {
        Thinking::Enabled { budget_tokens } => {
            json!({"type": "enabled", "budget_tokens": budget_tokens})
        }
        Thinking::Adaptive => json!({"type": "adaptive"}),
        Thinking::Disabled => json!({"type": "disabled"}),
    }
}

fn set_tools(body: &mut Body<'_>, request: &ModelRequest) -> Result<(), BadRequest> {
    if request.tools.is_empty() {
        return Ok(());
    }
    let model = body.model;
    if !model.capabilities.tools {
        return Err(unsupported(model, "tools are not available"));
    }
    let tools: Vec<_> = request.tools.iter().map(|tool| tool_of(tool, model)).collect();
    body.set("tools", tools);
    match &request.tool_choice {
        None => {}
        Some(ToolChoice::Auto) => body.set("tool_choice", "auto"),
        Some(ToolChoice::Any) => body.set("tool_choice", "required"),
        Some(ToolChoice::None) => body.set("tool_choice", "none"),
        Some(ToolChoice::Tool(name)) => {
            body.set("tool_choice", json!({"type": "function", "function": {"name": name}}));
        }
    }
    if let Some(is_parallel) = request.parallel_tool_calls {
        body.set("parallel_tool_calls", is_parallel);
    }
    Ok(())
}

fn tool_of(tool: &Tool, model: &Model) -> Value {
    let mut function = Map::from_iter([("name".to_owned(), tool.name.clone().into())]);
    if let Some(description) = &tool.description {
        function.insert("description".to_owned(), description.clone().into());
    }
    function.insert("parameters".to_owned(), tool.input_schema.clone());
    if let Some(is_strict) = tool.strict {
        function.insert("strict".to_owned(), is_strict.into());
    }
    let mut written = json!({"type": "function", "function": function});
    if let Some(ttl) = tool.cache {
        mark(&mut written, ttl, model);
    }
    written
}

/// Asks the server to keep the prompt up to `part` in its cache, if it can.
fn mark(part: &mut Value, ttl: CacheTtl, model: &Model) {
    if !model.capabilities.prompt_caching {
        return;
    }
    let is_long = ttl == CacheTtl::OneHour && model.capabilities.prompt_caching_1h;
    let mark = if is_long {
        json!({"type": "ephemeral", "ttl": "1h"})
    } else {
        json!({"type": "ephemeral"})
    };
    if let Value::Object(part) = part {
        part.insert("cache_control".to_owned(), mark);
    }
}

fn messages_of(request: &ModelRequest, model: &Model) -> Result<Vec<Value>, BadRequest> {
    let mut messages = Vec::new();
    let mut parts = Vec::new();
    for block in &request.system {
        match block {
            SystemBlock::Text(text) => parts.push(text_part(text)),
            SystemBlock::CachePoint(ttl) => mark_last(&mut parts, *ttl, model),
        }
    }
    if !parts.is_empty() {
        messages.push(json!({"role": "system", "content": content_of(parts)}));
    }
    for message in &request.messages {
        match message.role {
            Role::User => write_user(&mut messages, message, model)?,
            Role::Assistant => write_assistant(&mut messages, message, model)?,
        }
    }
    let is_prefilled = request.messages.last().is_some_and(|last| last.role == Role::Assistant);
    if is_prefilled && !model.capabilities.prefill {
        return Err(unsupported(model, "the last message must not be the assistant's"));
    }
    Ok(messages)
}

fn text_part(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn mark_last(parts: &mut [Value], ttl: CacheTtl, model: &Model) {
    if let Some(part) = parts.last_mut() {
        mark(part, ttl, model);
    }
}

/// One plain text stands alone: the templates of some open models take nothing else.
fn content_of(mut parts: Vec<Value>) -> Value {
    if let [part] = parts.as_mut_slice()
        && part.get("cache_control").is_none()
        && let Some(text @ Value::String(_)) = part.get_mut("text")
    {
        return text.take();
    }
    parts.into()
}

fn write_user(
    messages: &mut Vec<Value>,
    message: &Message,
    model: &Model,
) -> Result<(), BadRequest> {
    let mut parts = Vec::new();
    // What tools returned and the `tool` role has no place for.
    let mut attachments = Vec::new();
    for block in &message.content {
        match block {
            ContentBlock::Text(text) => parts.push(text_part(text)),
            ContentBlock::Image { format, source } => {
                parts.push(image_part(*format, source, model)?);
            }
            ContentBlock::Document { format, name, source, context, has_citations } => {
                if *has_citations {
                    return Err(unsupported(model, "citations are not available"));
                }
                parts.extend(context.as_deref().map(text_part));
                parts.push(file_part(*format, name, source, model)?);
            }
            ContentBlock::CachePoint(ttl) if !parts.is_empty() => {
                mark_last(&mut parts, *ttl, model);
            }
            // After a tool's result: servers that know the field take it at the message itself.
            ContentBlock::CachePoint(ttl) => mark_last(messages, *ttl, model),
            ContentBlock::ToolResult { id, content, is_error } => {
                let (text, mut media) = tool_result(id, content, *is_error, model)?;
                attachments.append(&mut media);
                messages.push(json!({"role": "tool", "tool_call_id": id, "content": text}));
            }
            ContentBlock::ToolUse { .. }
            | ContentBlock::Reasoning { .. }
            | ContentBlock::RedactedReasoning { .. } => {
                return Err(unsupported(model, "only the assistant can reason and call tools"));
            }
        }
    }
    attachments.append(&mut parts);
    if !attachments.is_empty() {
        messages.push(json!({"role": "user", "content": content_of(attachments)}));
    }
    Ok(())
}

fn tool_result(
    id: &str,
    content: &[ToolResultContent],
    is_error: bool,
    model: &Model,
) -> Result<(Value, Vec<Value>), BadRequest> {
    let mut parts = Vec::new();
    let mut media = Vec::new();
    for piece in content {
        match piece {
            ToolResultContent::Text(text) => parts.push(text_part(text)),
            ToolResultContent::Json(json) => parts.push(text_part(&json.to_string())),
            ToolResultContent::Image { format, source } => {
                media.push(image_part(*format, source, model)?);
            }
            ToolResultContent::Document { format, name, source } => {
                media.push(file_part(*format, name, source, model)?);
            }
        }
    }
    if is_error {
        parts.insert(0, text_part("Error:"));
    }
    if !media.is_empty() {
        if parts.is_empty() {
            parts.push(text_part("The result follows in the user's next message."));
        }
        media.insert(0, text_part(&format!("Returned by the tool call `{id}`:")));
    }
    let text = if parts.is_empty() { "".into() } else { content_of(parts) };
    Ok((text, media))
}

fn write_assistant(
    messages: &mut Vec<Value>,
    message: &Message,
    model: &Model,
) -> Result<(), BadRequest> {
    let mut parts = Vec::new();
    let mut calls = Vec::new();
    let mut reasoning = String::new();
    let mut thinking_blocks = Vec::new();
    for block in &message.content {
        match block {
            ContentBlock::Text(text) => parts.push(text_part(text)),
            ContentBlock::CachePoint(ttl) => mark_last(&mut parts, *ttl, model),
            ContentBlock::ToolUse { id, name, input } => {
                if !model.capabilities.tools {
                    return Err(unsupported(model, "tools are not available"));
                }
                calls.push(json!({
                    "id": id,
                    "type": "function",
                    "function": {"name": name, "arguments": written_arguments(input)},
                }));
            }
            ContentBlock::Reasoning { text, signature } => {
                reasoning.push_str(text);
                if let Some(signature) = signature {
                    thinking_blocks.push(
                        json!({"type": "thinking", "thinking": text, "signature": signature}),
                    );
                }
            }
            ContentBlock::RedactedReasoning { data } => {
                thinking_blocks.push(json!({"type": "redacted_thinking", "data": data}));
            }
            ContentBlock::Image { .. }
            | ContentBlock::Document { .. }
            | ContentBlock::ToolResult { .. } => {
                return Err(unsupported(
                    model,
                    "the assistant's messages hold text and tool calls only",
                ));
            }
        }
    }
    let mut written = Map::from_iter([("role".to_owned(), "assistant".into())]);
    let content = if parts.is_empty() { Value::Null } else { content_of(parts) };
    if !content.is_null() || !calls.is_empty() {
        written.insert("content".to_owned(), content);
    } else {
        // A turn of nothing but reasoning; a message needs one or the other.
        written.insert("content".to_owned(), "".into());
    }
    if model.capabilities.thinking {
        if !reasoning.is_empty() {
            written.insert("reasoning_content".to_owned(), reasoning.into());
        }
        if !thinking_blocks.is_empty() {
            written.insert("thinking_blocks".to_owned(), thinking_blocks.into());
        }
    }
    if !calls.is_empty() {
        written.insert("tool_calls".to_owned(), calls.into());
    }
    messages.push(written.into());
    Ok(())
}

fn image_part(format: ImageFormat, source: &Source, model: &Model) -> Result<Value, BadRequest> {
    if !model.capabilities.images {
        return Err(unsupported(model, "images are not available: this model reads text only"));
    }
    let url = match source {
        Source::Bytes(bytes) => data_url(format.media_type(), bytes),
        Source::Url(url) => url.clone(),
        Source::S3 { uri, .. } if model.capabilities.s3_sources => uri.clone(),
        Source::S3 { .. } => return Err(unsupported(model, "images in S3 are not available")),
        Source::Text(_) => return Err(unsupported(model, "an image cannot be text")),
    };
    Ok(json!({"type": "image_url", "image_url": {"url": url}}))
}

fn file_part(
    format: DocumentFormat,
    name: &str,
    source: &Source,
    model: &Model,
) -> Result<Value, BadRequest> {
    if !model.capabilities.documents {
        return Err(unsupported(model, "documents are not available"));
    }
    let data = match source {
        Source::Bytes(bytes) => data_url(format.media_type(), bytes),
        Source::Text(text) => data_url(format.media_type(), text.as_bytes()),
        Source::Url(_) | Source::S3 { .. } => {
            return Err(unsupported(model, "a document must be in the request itself"));
        }
    };
    let extension = format.extension();
    let has_extension = name
        .rsplit_once('.')
        .is_some_and(|(_, ending)| DocumentFormat::of_extension(ending).is_some());
    let filename = if has_extension { name.to_owned() } else { format!("{name}.{extension}") };
    Ok(json!({"type": "file", "file": {"filename": filename, "file_data": data}}))
}
