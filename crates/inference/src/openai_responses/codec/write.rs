//! Requests.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::openai_responses::canonical::is_droppable;
use crate::openai_responses::items::arguments_text;
use crate::openai_responses::media::data_url_of;
use crate::openai_responses::seal::open_foreign;
use crate::{
    BadRequest, CacheTtl, ContentBlock, DocumentFormat, ImageFormat, Model, ModelRequest,
    Operation, Protocol, ProviderRequest, Role, Source, SystemBlock, Thinking, Tool, ToolChoice,
    ToolResultContent,
};

pub(super) fn write(
    request: &ModelRequest,
    model: &Model,
    is_streaming: bool,
) -> Result<ProviderRequest, BadRequest> {
    refuse_unsupported(request, model)?;
    let mut body = Map::new();
    let mut set = |key: &str, value: Value| {
        if !is_droppable(key) || !model.drop_fields.iter().any(|field| field == key) {
            body.insert(key.to_owned(), value);
        }
    };
    set("model", model.provider_model_id.as_str().into());
    let instructions = instructions_of(&request.system);
    if !instructions.is_empty() {
        set("instructions", instructions.into());
    }
    set("input", input_of(request, model)?.into());
    if let Some(max_tokens) = request.inference.max_tokens {
        set("max_output_tokens", max_tokens.into());
    }
    // Single precision has about seven digits; more of them would be noise.
    let decimal = |number: f32| -> Value { number.to_string().parse::<f64>().ok().into() };
    if let Some(temperature) = request.inference.temperature {
        set("temperature", decimal(temperature));
    }
    if let Some(top_p) = request.inference.top_p {
        set("top_p", decimal(top_p));
    }
    if !request.tools.is_empty() {
        set("tools", request.tools.iter().map(tool_json).collect());
    }
    if let Some(choice) = &request.tool_choice {
        set("tool_choice", choice_json(choice));
    }
    if let Some(parallel) = request.parallel_tool_calls {
        set("parallel_tool_calls", parallel.into());
    }
    if let Some(schema) = &request.output_schema {
        let mut format = Map::new();
        format.insert("type".to_owned(), "json_schema".into());
        format.insert("name".to_owned(), schema.name.as_str().into());
        if let Some(description) = &schema.description {
            format.insert("description".to_owned(), description.as_str().into());
        }
        format.insert("schema".to_owned(), schema.schema.clone());
        format.insert("strict".to_owned(), is_closed(&schema.schema).into());
        set("text", json!({ "format": format }));
    }
    if let Some(reasoning) = reasoning_of(request, model) {
        set("reasoning", reasoning);
    }
    if model.capabilities.reasoning_effort || model.capabilities.thinking {
        set("include", json!(["reasoning.encrypted_content"]));
    }
    if let Some(tier) = &request.service_tier {
        set("service_tier", tier.as_str().into());
    }
    set("store", false.into());
    if is_streaming {
        set("stream", true.into());
    }
    Ok(ProviderRequest {
        protocol: Protocol::OpenaiResponses,
        operation: Operation::Invoke,
        is_streaming,
        headers: Vec::new(),
        body: Bytes::from(Value::Object(body).to_string()),
    })
}

fn refuse_unsupported(request: &ModelRequest, model: &Model) -> Result<(), BadRequest> {
    let refuse = |param: &str, what: &str| {
        Err(BadRequest::unsupported(param, format!("{what} with `{}`.", model.id)))
    };
    if !request.inference.stop_sequences.is_empty() {
        return refuse("stop", "Stop sequences are not available");
    }
    if request.inference.top_k.is_some() {
        return refuse("top_k", "`top_k` is not available");
    }
    if let Some(field) = request.additional_fields.keys().next() {
        return refuse(field, &format!("The field `{field}` is not available"));
    }
    match request.messages.last().map(|message| message.role) {
        Some(Role::Assistant) => refuse(
            "messages",
            "The last message must be the user's: going on with a begun answer is not available",
        ),
        _ => Ok(()),
    }
}

fn instructions_of(system: &[SystemBlock]) -> String {
    let texts = system.iter().filter_map(|block| match block {
        SystemBlock::Text(text) => Some(text.as_str()),
        // The protocol caches the start of a prompt by itself.
        SystemBlock::CachePoint(_) => None,
    });
    texts.collect::<Vec<_>>().join("\n\n")
}

/// The items of the conversation, in order.
fn input_of(request: &ModelRequest, model: &Model) -> Result<Vec<Value>, BadRequest> {
    let mut writer = Writer { model, items: Vec::new(), parts: Vec::new() };
    for (place, message) in request.messages.iter().enumerate() {
        for (block_place, block) in message.content.iter().enumerate() {
            let path = || format!("messages[{place}].content[{block_place}]");
            writer.write(message.role, block, path)?;
        }
        writer.end_message(message.role);
    }
    Ok(writer.items)
}

struct Writer<'m> {
    model: &'m Model,
    items: Vec<Value>,
    /// Parts of the message that is being written.
    parts: Vec<Value>,
}

impl Writer<'_> {
    fn write(
        &mut self,
        role: Role,
        block: &ContentBlock,
        path: impl Fn() -> String + Copy,
    ) -> Result<(), BadRequest> {
        match block {
            ContentBlock::Text(text) => self.parts.push(match role {
                Role::User => json!({"type": "input_text", "text": text}),
                Role::Assistant => json!({"type": "output_text", "text": text, "annotations": []}),
            }),
            ContentBlock::Image { format, source } => {
                self.parts.push(image_json(*format, source, path)?);
            }
            ContentBlock::Document { format, name, source, context, has_citations } => {
                if *has_citations {
                    let message = format!(
                        "Citations of documents are not available with `{}`.",
                        self.model.id
                    );
                    return Err(BadRequest::unsupported(path(), message));
                }
                if let Some(context) = context {
                    self.parts.push(json!({"type": "input_text", "text": context}));
                }
                self.parts.push(file_json(*format, name, source, path)?);
            }
            ContentBlock::CachePoint(ttl) => self.cache_point(role, *ttl),
            ContentBlock::ToolUse { id, name, input } => {
                self.end_message(role);
                self.items.push(json!({
                    "type": "function_call",
                    "call_id": id,
                    "name": name,
                    "arguments": arguments_text(input),
                }));
            }
            ContentBlock::ToolResult { id, content, is_error } => {
                self.end_message(role);
                let output = output_json(content, *is_error, path)?;
                self.items
                    .push(json!({"type": "function_call_output", "call_id": id, "output": output}));
            }
            ContentBlock::Reasoning { text, signature } => {
                if let Some((id, encrypted)) = signature.as_deref().and_then(open_foreign) {
                    self.reasoning(role, &id, text, &encrypted);
                }
            }
            ContentBlock::RedactedReasoning { data } => {
                if let Some((id, encrypted)) = open_foreign(data) {
                    self.reasoning(role, &id, "", &encrypted);
                }
            }
        }
        Ok(())
    }

    fn reasoning(&mut self, role: Role, id: &str, text: &str, encrypted: &str) {
        self.end_message(role);
        let summary = match text {
            "" => json!([]),
            text => json!([{"type": "summary_text", "text": text}]),
        };
        self.items.push(json!({
            "type": "reasoning",
            "id": id,
            "summary": summary,
            "encrypted_content": encrypted,
        }));
    }

    fn cache_point(&mut self, role: Role, ttl: CacheTtl) {
        let last = self.parts.last_mut().and_then(Value::as_object_mut);
        if let Some(last) = last
            && role == Role::User
            && self.model.capabilities.prompt_caching
        {
            let breakpoint = match ttl {
                CacheTtl::FiveMinutes => json!({"mode": "explicit"}),
                CacheTtl::OneHour => json!({"mode": "explicit", "ttl": "12h"}),
            };
            last.insert("prompt_cache_breakpoint".to_owned(), breakpoint);
        }
    }

    fn end_message(&mut self, role: Role) {
        if self.parts.is_empty() {
            return;
        }
        let role = match role {
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        let content = std::mem::take(&mut self.parts);
        self.items.push(json!({"type": "message", "role": role, "content": content}));
    }
}

fn image_json(
    format: ImageFormat,
    source: &Source,
    path: impl Fn() -> String,
) -> Result<Value, BadRequest> {
    let url = match source {
        Source::Bytes(bytes) => data_url_of(format.media_type(), bytes),
        Source::Url(url) => url.clone(),
        Source::Text(_) | Source::S3 { .. } => return Err(no_s3(path())),
    };
    Ok(json!({"type": "input_image", "image_url": url, "detail": "auto"}))
}

fn file_json(
    format: DocumentFormat,
    name: &str,
    source: &Source,
    path: impl Fn() -> String,
) -> Result<Value, BadRequest> {
    let data = match source {
        Source::Bytes(bytes) => data_url_of(format.media_type(), bytes),
        Source::Text(text) => data_url_of(format.media_type(), text.as_bytes()),
        Source::Url(url) => return Ok(json!({"type": "input_file", "file_url": url})),
        Source::S3 { .. } => return Err(no_s3(path())),
    };
    let extension = format.extension();
    let has_extension = name
        .rsplit_once('.')
        .is_some_and(|(_, given)| DocumentFormat::of_extension(given) == Some(format));
    let filename = if has_extension { name.to_owned() } else { format!("{name}.{extension}") };
    Ok(json!({"type": "input_file", "filename": filename, "file_data": data}))
}

fn no_s3(param: String) -> BadRequest {
    BadRequest::unsupported(param, "The model does not read from S3: send the file itself.")
}

fn output_json(
    content: &[ToolResultContent],
    is_error: bool,
    path: impl Fn() -> String + Copy,
) -> Result<Value, BadRequest> {
    const MARK: &str = "Error: ";
    let text_of = |piece: &ToolResultContent| match piece {
        ToolResultContent::Text(text) => Some(text.clone()),
        ToolResultContent::Json(value) => Some(value.to_string()),
        ToolResultContent::Image { .. } | ToolResultContent::Document { .. } => None,
    };
    let mark = if is_error { MARK } else { "" };
    if let [only] = content
        && let Some(text) = text_of(only)
    {
        return Ok(format!("{mark}{text}").into());
    }
    if content.is_empty() {
        return Ok(mark.trim_end().into());
    }
    let mut parts = Vec::new();
    if is_error {
        parts.push(json!({"type": "input_text", "text": MARK.trim_end()}));
    }
    for piece in content {
        parts.push(match piece {
            ToolResultContent::Text(text) => json!({"type": "input_text", "text": text}),
            ToolResultContent::Json(value) => {
                json!({"type": "input_text", "text": value.to_string()})
            }
            ToolResultContent::Image { format, source } => image_json(*format, source, path)?,
            ToolResultContent::Document { format, name, source } => {
                file_json(*format, name, source, path)?
            }
        });
    }
    Ok(parts.into())
}

/// `strict` is always given: a provider that is told nothing may enforce a schema that was meant loosely.
fn tool_json(tool: &Tool) -> Value {
    let mut json = Map::new();
    json.insert("type".to_owned(), "function".into());
    json.insert("name".to_owned(), tool.name.as_str().into());
    if let Some(description) = &tool.description {
        json.insert("description".to_owned(), description.as_str().into());
    }
    json.insert("parameters".to_owned(), tool.input_schema.clone());
    json.insert("strict".to_owned(), tool.strict.unwrap_or(false).into());
    Value::Object(json)
}

fn choice_json(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::Any => "required".into(),
        ToolChoice::Tool(name) => json!({"type": "function", "name": name}),
        ToolChoice::None => "none".into(),
    }
}

fn reasoning_of(request: &ModelRequest, model: &Model) -> Option<Value> {
    let mut reasoning = Map::new();
    let of_thinking = match request.thinking {
        Some(Thinking::Enabled { budget_tokens: 0..4_096 }) => Some("low"),
        Some(Thinking::Enabled { budget_tokens: 4_096..16_384 }) => Some("medium"),
        Some(Thinking::Enabled { .. }) => Some("high"),
        Some(Thinking::Adaptive | Thinking::Disabled) | None => None,
    };
    let effort = request.effort.as_deref().or(of_thinking);
    if let Some(effort) = effort.filter(|_| model.capabilities.reasoning_effort) {
        reasoning.insert("effort".to_owned(), effort.into());
    }
    let is_shown = matches!(request.thinking, Some(Thinking::Enabled { .. } | Thinking::Adaptive));
    if is_shown && model.capabilities.thinking {
        reasoning.insert("summary".to_owned(), "auto".into());
    }
    (!reasoning.is_empty()).then_some(Value::Object(reasoning))
}

/// Whether every object in a schema names all its members as required and allows no others.
fn is_closed(schema: &Value) -> bool {
    match schema {
        Value::Array(elements) => elements.iter().all(is_closed),
        Value::Object(object) => {
            let properties = object.get("properties").and_then(Value::as_object);
            let is_object =
                properties.is_some() || object.get("type").is_some_and(|kind| kind == "object");
            let required = object.get("required").and_then(Value::as_array);
            let is_required = |key: &String| {
                required.is_some_and(|all| all.iter().any(|it| it.as_str() == Some(key.as_str())))
            };
            let is_all_required =
                properties.is_none_or(|properties| properties.keys().all(is_required));
            let is_shut = object.get("additionalProperties") == Some(&Value::Bool(false));
            (!is_object || (is_shut && is_all_required)) && object.values().all(is_closed)
        }
        _ => true,
    }
}
