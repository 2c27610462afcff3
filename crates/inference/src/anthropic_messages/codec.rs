//! The provider's side: requests for models that speak Messages, whoever asked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::answer::read_message;
use super::events::SseReader;
use super::forward::{VERSION, betas_of, is_dropped};
use crate::{
    BadRequest, CacheTtl, Codec, ContentBlock, DocumentFormat, ImageFormat, Model, ModelRequest,
    ModelResponse, Operation, Protocol, ProviderAnswer, ProviderError, ProviderRequest, Role,
    Source, StreamReader, SystemBlock, Thinking, Tool, ToolChoice, ToolResultContent,
};

/// Anthropic Messages as providers take it.
///
/// Where the API is stricter than the canonical form: blank texts and thinking without a signature are left
/// out; ids of tool calls that it would refuse get a stand-in, the same for a call and its result; tools
/// that only the history knows get one as well, and are not to be called; white space at the end of an
/// answer that the model is to go on with is cut off.
#[derive(Debug, Clone, Copy)]
pub struct MessagesCodec;

impl Codec for MessagesCodec {
    fn write(
        &self,
        request: &ModelRequest,
        model: &Model,
        is_streaming: bool,
    ) -> Result<ProviderRequest, BadRequest> {
        let mut headers = vec![("anthropic-version".to_owned(), VERSION.to_owned())];
        let betas = request.additional_fields.get("anthropic_beta").and_then(Value::as_array);
        let betas: Vec<String> =
            betas.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        let betas = betas_of(&betas, model);
        if !betas.is_empty() {
            headers.push(("anthropic-beta".to_owned(), betas.join(",")));
        }
        let body = Writer { model, foreign_ids: Vec::new() }.body(request, is_streaming)?;
        Ok(ProviderRequest {
            protocol: Protocol::AnthropicMessages,
            operation: Operation::Invoke,
            is_streaming,
            headers,
            body: Value::Object(body).to_string().into(),
        })
    }

    fn read(&self, _: &Model, answer: &ProviderAnswer) -> Result<ModelResponse, ProviderError> {
        read_message(&answer.body, answer.provider_request_id.clone())
    }

    fn stream(&self, _: &Model) -> Box<dyn StreamReader> {
        Box::<SseReader>::default()
    }
}

struct Writer<'m> {
    model: &'m Model,
    /// Ids that the API would refuse; each is replaced by one made of its place in this list.
    foreign_ids: Vec<String>,
}

impl Writer<'_> {
    fn body(
        mut self,
        request: &ModelRequest,
        is_streaming: bool,
    ) -> Result<Map<String, Value>, BadRequest> {
        let mut body = Map::new();
        let mut set = |name: &str, value: Value| {
            body.insert(name.to_owned(), value);
        };
        set("model", self.model.provider_model_id.as_str().into());
        let max_tokens = request.inference.max_tokens.unwrap_or(self.model.default_max_tokens);
        set("max_tokens", max_tokens.into());
        let system = system_of(&request.system);
        if !system.is_empty() {
            set("system", system.into());
        }
        set("messages", self.messages(request)?);
        Self::set_tools(request, &mut set);
        let inference = &request.inference;
        for (name, value) in [("temperature", inference.temperature), ("top_p", inference.top_p)] {
            if let Some(value) = value {
                set(name, number(value));
            }
        }
        if let Some(top_k) = inference.top_k {
            set("top_k", top_k.into());
        }
        if !inference.stop_sequences.is_empty() {
            set("stop_sequences", inference.stop_sequences.clone().into());
        }
        match request.thinking {
            Some(Thinking::Enabled { budget_tokens }) => {
                set("thinking", json!({"type": "enabled", "budget_tokens": budget_tokens}));
            }
            Some(Thinking::Adaptive) => set("thinking", json!({"type": "adaptive"})),
            Some(Thinking::Disabled) => set("thinking", json!({"type": "disabled"})),
            None => {}
        }
        let mut output = Map::new();
        if let Some(effort) = &request.effort {
            output.insert("effort".to_owned(), effort.as_str().into());
        }
        if let Some(schema) = &request.output_schema {
            let format = json!({"type": "json_schema", "schema": schema.schema});
            output.insert("format".to_owned(), format);
        }
        if !output.is_empty() {
            set("output_config", output.into());
        }
        match request.service_tier.as_deref() {
            None | Some("auto") => {}
            Some("default") => set("service_tier", "standard_only".into()),
            Some(tier) => {
                let message =
                    format!("`service_tier` `{tier}` is not available with `{}`.", self.model.id);
                return Err(BadRequest::unsupported("service_tier", message));
            }
        }
        if is_streaming {
            set("stream", true.into());
        }
        for (name, value) in &request.additional_fields {
            if name != "anthropic_beta" && !body.contains_key(name) {
                body.insert(name.clone(), value.clone());
            }
        }
        body.retain(|name, _| !is_dropped(self.model, name));
        Ok(body)
    }

    fn set_tools(request: &ModelRequest, set: &mut impl FnMut(&str, Value)) {
        let mut tools: Vec<Value> = request.tools.iter().map(tool_json).collect();
        let mut choice = match &request.tool_choice {
            None => None,
            Some(ToolChoice::Auto) => Some(json!({"type": "auto"})),
            Some(ToolChoice::Any) => Some(json!({"type": "any"})),
            Some(ToolChoice::Tool(name)) => Some(json!({"type": "tool", "name": name})),
            Some(ToolChoice::None) => Some(json!({"type": "none"})),
        };
        let can_be_many =
            matches!(request.tool_choice, None | Some(ToolChoice::Auto | ToolChoice::Any));
        if request.parallel_tool_calls == Some(false) && can_be_many {
            let choice = choice.get_or_insert_with(|| json!({"type": "auto"}));
            if let Some(choice) = choice.as_object_mut() {
                choice.insert("disable_parallel_tool_use".to_owned(), true.into());
            }
        }
        if tools.is_empty() {
            let blocks = request.messages.iter().flat_map(|message| &message.content);
            for block in blocks {
                let ContentBlock::ToolUse { name, .. } = block else { continue };
                if tools.iter().all(|tool| tool.get("name") != Some(&name.as_str().into())) {
                    tools.push(json!({
                        "name": name,
                        "description": "No longer available.",
                        "input_schema": {"type": "object"},
                    }));
                }
            }
            choice = Some(json!({"type": "none"}));
        }
        if !tools.is_empty() {
            set("tools", tools.into());
            if let Some(choice) = choice {
                set("tool_choice", choice);
            }
        }
    }

    fn messages(&mut self, request: &ModelRequest) -> Result<Value, BadRequest> {
        let mut messages = Vec::with_capacity(request.messages.len());
        for (index, message) in request.messages.iter().enumerate() {
            let mut blocks = Vec::with_capacity(message.content.len());
            for (place, block) in message.content.iter().enumerate() {
                let path = format!("messages[{index}].content[{place}]");
                self.block(block, &path, &mut blocks)?;
            }
            let is_last = index + 1 == request.messages.len();
            if is_last && message.role == Role::Assistant {
                trim_end(&mut blocks);
            }
            if !blocks.is_empty() {
                let role = if message.role == Role::User { "user" } else { "assistant" };
                messages.push(json!({"role": role, "content": blocks}));
            }
        }
        Ok(messages.into())
    }

    fn block(
        &mut self,
        block: &ContentBlock,
        path: &str,
        blocks: &mut Vec<Value>,
    ) -> Result<(), BadRequest> {
        let value = match block {
            ContentBlock::Text(text) if text.trim().is_empty() => return Ok(()),
            ContentBlock::Text(text) => json!({"type": "text", "text": text}),
            ContentBlock::Image { format, source } => self.image(*format, source, path)?,
            ContentBlock::Document { format, name, source, context, has_citations } => {
                let mut value = self.document(*format, name, source, path)?;
                if let Some(members) = value.as_object_mut() {
                    if let Some(context) = context {
                        members.insert("context".to_owned(), context.as_str().into());
                    }
                    if *has_citations {
                        members.insert("citations".to_owned(), json!({"enabled": true}));
                    }
                }
                value
            }
            ContentBlock::CachePoint(ttl) => {
                mark_last(blocks, *ttl);
                return Ok(());
            }
            ContentBlock::ToolUse { id, name, input } => json!({
                "type": "tool_use",
                "id": self.tool_id(id),
                "name": name,
                "input": if input.is_object() { input.clone() } else { json!({}) },
            }),
            ContentBlock::ToolResult { id, content, is_error } => {
                let mut parts = Vec::with_capacity(content.len());
                for part in content {
                    parts.extend(self.result_part(part, path)?);
                }
                let mut value = json!({"type": "tool_result", "tool_use_id": self.tool_id(id), "content": parts});
                if let (true, Some(members)) = (*is_error, value.as_object_mut()) {
                    members.insert("is_error".to_owned(), true.into());
                }
                value
            }
            ContentBlock::Reasoning { text, signature: Some(signature) } => {
                json!({"type": "thinking", "thinking": text, "signature": signature})
            }
            ContentBlock::Reasoning { .. } => return Ok(()),
            ContentBlock::RedactedReasoning { data } => {
                json!({"type": "redacted_thinking", "data": data})
            }
        };
        blocks.push(value);
        Ok(())
    }

    fn result_part(
        &self,
        part: &ToolResultContent,
        path: &str,
    ) -> Result<Option<Value>, BadRequest> {
        Ok(match part {
            ToolResultContent::Text(text) if text.trim().is_empty() => None,
            ToolResultContent::Text(text) => Some(json!({"type": "text", "text": text})),
            ToolResultContent::Json(value) => {
                Some(json!({"type": "text", "text": value.to_string()}))
            }
            ToolResultContent::Image { format, source } => Some(self.image(*format, source, path)?),
            ToolResultContent::Document { format, name, source } => {
                Some(self.document(*format, name, source, path)?)
            }
        })
    }

    fn image(&self, format: ImageFormat, source: &Source, path: &str) -> Result<Value, BadRequest> {
        let source = match source {
            Source::Bytes(bytes) => base64_source(format.media_type(), bytes),
            Source::Url(url) => json!({"type": "url", "url": url}),
            Source::S3 { .. } | Source::Text(_) => return Err(self.no_such_source(path)),
        };
        Ok(json!({"type": "image", "source": source}))
    }

    fn document(
        &self,
        format: DocumentFormat,
        name: &str,
        source: &Source,
        path: &str,
    ) -> Result<Value, BadRequest> {
        use DocumentFormat as Format;

        let source = match (source, format) {
            (Source::Bytes(bytes), Format::Pdf) => base64_source(format.media_type(), bytes),
            (Source::Bytes(bytes), Format::Txt | Format::Md | Format::Csv | Format::Html) => {
                let text = str::from_utf8(bytes).map_err(|_| {
                    BadRequest::value(path, format!("`{path}` is a text that is not valid UTF-8."))
                })?;
                text_source(text)
            }
            (Source::Bytes(_), Format::Doc | Format::Docx | Format::Xls | Format::Xlsx) => {
                let message = format!(
                    "`{path}` is a `{}` document, and `{}` reads PDF and text: convert it.",
                    format.extension(),
                    self.model.id
                );
                return Err(BadRequest::unsupported(path, message));
            }
            (Source::Text(text), _) => text_source(text),
            (Source::Url(url), _) => json!({"type": "url", "url": url}),
            (Source::S3 { .. }, _) => return Err(self.no_such_source(path)),
        };
        Ok(json!({"type": "document", "source": source, "title": name}))
    }

    fn no_such_source(&self, path: &str) -> BadRequest {
        let message = format!(
            "`{path}` is kept in S3, which `{}` does not read by itself: send the bytes.",
            self.model.id
        );
        BadRequest::unsupported(path, message)
    }

    /// `id` if the API takes it, else a stand-in; ids of other providers can hold anything.
    fn tool_id(&mut self, id: &str) -> String {
        let is_valid = !id.is_empty()
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        if is_valid {
            return id.to_owned();
        }
        let place = self.foreign_ids.iter().position(|other| other == id).unwrap_or_else(|| {
            self.foreign_ids.push(id.to_owned());
            self.foreign_ids.len() - 1
        });
        format!("weir_call_{place}")
    }
}

fn system_of(system: &[SystemBlock]) -> Vec<Value> {
    let mut blocks = Vec::with_capacity(system.len());
    for block in system {
        match block {
            SystemBlock::Text(text) if text.trim().is_empty() => {}
            SystemBlock::Text(text) => blocks.push(json!({"type": "text", "text": text})),
            SystemBlock::CachePoint(ttl) => mark_last(&mut blocks, *ttl),
        }
    }
    blocks
}

fn tool_json(tool: &Tool) -> Value {
    let mut value = Map::new();
    value.insert("name".to_owned(), tool.name.as_str().into());
    if let Some(description) = &tool.description {
        value.insert("description".to_owned(), description.as_str().into());
    }
    let mut schema = tool.input_schema.clone();
    if let Some(schema) = schema.as_object_mut()
        && !schema.contains_key("type")
    {
        schema.insert("type".to_owned(), "object".into());
    }
    value.insert("input_schema".to_owned(), schema);
    if tool.strict == Some(true) {
        value.insert("strict".to_owned(), true.into());
    }
    if let Some(ttl) = tool.cache {
        value.insert("cache_control".to_owned(), cache_control(ttl));
    }
    value.into()
}

fn cache_control(ttl: CacheTtl) -> Value {
    match ttl {
        CacheTtl::FiveMinutes => json!({"type": "ephemeral"}),
        CacheTtl::OneHour => json!({"type": "ephemeral", "ttl": "1h"}),
    }
}

/// Marks the last block that can be: thinking cannot.
fn mark_last(blocks: &mut [Value], ttl: CacheTtl) {
    let can_be_marked = |block: &&mut Value| {
        let kind = block.get("type").and_then(Value::as_str);
        !matches!(kind, Some("thinking" | "redacted_thinking"))
    };
    if let Some(Value::Object(block)) = blocks.iter_mut().rev().find(can_be_marked) {
        block.insert("cache_control".to_owned(), cache_control(ttl));
    }
}

fn trim_end(blocks: &mut [Value]) {
    if let Some(Value::String(text)) = blocks.last_mut().and_then(|block| block.get_mut("text")) {
        text.truncate(text.trim_end().len());
    }
}

fn base64_source(media_type: &str, bytes: &[u8]) -> Value {
    json!({"type": "base64", "media_type": media_type, "data": STANDARD.encode(bytes)})
}

fn text_source(text: &str) -> Value {
    json!({"type": "text", "media_type": "text/plain", "data": text})
}

/// The decimal number that a client wrote, not its nearest single in double precision.
fn number(value: f32) -> Value {
    serde_json::from_str(&value.to_string()).unwrap_or(Value::Null)
}
