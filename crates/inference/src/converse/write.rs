//! Requests, as Converse wants them.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::{
    BadRequest, CacheTtl, ContentBlock, DocumentFormat, ImageFormat, InferenceParameters, Message,
    Model, ModelRequest, OutputSchema, Role, Source, SystemBlock, Thinking, Tool, ToolChoice,
    ToolResultContent,
};

/// The body of `Converse` and `ConverseStream`.
pub(super) fn body(
    request: &ModelRequest,
    model: &Model,
) -> Result<Map<String, Value>, BadRequest> {
    let mut writer = Writer { model, foreign_ids: Vec::new(), document_names: BTreeSet::new() };
    let mut body = Map::new();
    body.insert("messages".to_owned(), writer.conversation(&request.messages)?.into());
    let mut insert = |key: &str, value: Map<String, Value>| {
        if !value.is_empty() && !model.drop_fields.iter().any(|field| field == key) {
            body.insert(key.to_owned(), value.into());
        }
    };
    insert("inferenceConfig", writer.inference(&request.inference)?);
    insert("toolConfig", writer.tool_config(request)?);
    insert("additionalModelRequestFields", writer.additional_fields(request)?);
    insert("outputConfig", writer.output_config(request)?);
    if let Some(tier) = request.service_tier.as_deref().filter(|tier| *tier != "auto") {
        insert("serviceTier", members([("type", tier.into())]));
    }
    let system = writer.system(&request.system);
    if !system.is_empty() {
        body.insert("system".to_owned(), system.into());
    }
    if !request.inference.stop_sequences.is_empty() {
        // Else nobody could say which of them the model met; models that do not tell ignore it.
        body.insert("additionalModelResponseFieldPaths".to_owned(), json!(["/stop_sequence"]));
    }
    Ok(body)
}

fn members<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Something that this model, or Converse, cannot do. Fields are not named, for every dialect has
/// other names for them.
fn unsupported(message: String) -> BadRequest {
    BadRequest::body("unsupported_parameter", message)
}

struct Writer<'m> {
    model: &'m Model,
    /// Ids that Converse would refuse; each is replaced by one made of its place in this list.
    foreign_ids: Vec<String>,
    /// Names of documents so far; Converse refuses a second document of a name.
    document_names: BTreeSet<String>,
}

impl Writer<'_> {
    fn system(&self, blocks: &[SystemBlock]) -> Vec<Value> {
        let mut system = Vec::new();
        for block in blocks {
            match block {
                SystemBlock::Text(text) if is_blank(text) => {}
                SystemBlock::Text(text) => system.push(json!({ "text": text })),
                SystemBlock::CachePoint(ttl) => self.push_cache_point(&mut system, *ttl),
            }
        }
        system
    }

    /// Appends a cache point, if the model takes any and there is something new to be kept before it.
    fn push_cache_point(&self, blocks: &mut Vec<Value>, ttl: CacheTtl) {
        let able = &self.model.capabilities;
        let is_useful = blocks.last().is_some_and(|block| block.get("cachePoint").is_none());
        if !able.prompt_caching || !is_useful {
            return;
        }
        blocks.push(if ttl == CacheTtl::OneHour && able.prompt_caching_1h {
            json!({"cachePoint": {"type": "default", "ttl": "1h"}})
        } else {
            json!({"cachePoint": {"type": "default"}})
        });
    }

    /// Turns: roles alternate, starting with the user, and none is empty.
    fn conversation(&mut self, messages: &[Message]) -> Result<Vec<Value>, BadRequest> {
        let mut turns: Vec<(Role, Vec<Value>)> = Vec::new();
        for message in messages {
            let mut content = turns
                .pop_if(|(role, _)| *role == message.role)
                .map_or_else(Vec::new, |(_, content)| content);
            for block in &message.content {
                self.push_block(&mut content, block)?;
            }
            if !content.is_empty() {
                turns.push((message.role, content));
            }
        }
        let id = &self.model.id;
        match (turns.first(), turns.last()) {
            (None, _) | (_, None) => Err(unsupported(
                "The conversation holds no message that is not empty: send at least one of the user."
                    .to_owned(),
            )),
            (Some((Role::Assistant, _)), _) => Err(unsupported(format!(
                "The conversation must start with a message of the user: `{id}` cannot speak first."
            ))),
            (_, Some((Role::Assistant, _))) if !self.model.capabilities.prefill => {
                Err(unsupported(format!(
                    "The conversation must end with a message of the user: `{id}` cannot go on with an answer that was begun for it."
                )))
            }
            _ => Ok(turns
                .into_iter()
                .map(|(role, content)| {
                    let role = match role {
                        Role::User => "user",
                        Role::Assistant => "assistant",
                    };
                    json!({"role": role, "content": content})
                })
                .collect()),
        }
    }

    fn push_block(
        &mut self,
        content: &mut Vec<Value>,
        block: &ContentBlock,
    ) -> Result<(), BadRequest> {
        content.push(match block {
            ContentBlock::Text(text) if is_blank(text) => return Ok(()),
            ContentBlock::Text(text) => json!({ "text": text }),
            ContentBlock::Image { format, source } => self.image(*format, source)?,
            ContentBlock::Document { format, name, source, context, has_citations } => {
                let mut document = self.document(*format, name, source)?;
                if let Some(context) = context.as_deref().filter(|context| !is_blank(context)) {
                    document.insert("context".to_owned(), context.into());
                }
                if *has_citations {
                    document.insert("citations".to_owned(), json!({"enabled": true}));
                }
                json!({ "document": document })
            }
            ContentBlock::CachePoint(ttl) => {
                self.push_cache_point(content, *ttl);
                return Ok(());
            }
            ContentBlock::ToolUse { id, name, input } => {
                let id = self.provider_id(id);
                json!({"toolUse": {"toolUseId": id, "name": checked_name(name)?, "input": object_of(input)}})
            }
            ContentBlock::ToolResult { id, content, is_error } => {
                let parts = content.iter().filter_map(|part| self.tool_result_part(part).transpose());
                let parts = parts.collect::<Result<Vec<_>, _>>()?;
                let mut result =
                    members([("toolUseId", self.provider_id(id).into()), ("content", parts.into())]);
                if *is_error {
                    result.insert("status".to_owned(), "error".into());
                }
                json!({ "toolResult": result })
            }
            // Models take reasoning back only as they signed it, and only if they reason.
            ContentBlock::Reasoning { text, signature: Some(signature) }
                if self.model.capabilities.thinking =>
            {
                json!({"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}})
            }
            ContentBlock::RedactedReasoning { data } if self.model.capabilities.thinking => {
                json!({"reasoningContent": {"redactedContent": data}})
            }
            ContentBlock::Reasoning { .. } | ContentBlock::RedactedReasoning { .. } => return Ok(()),
        });
        Ok(())
    }

    fn tool_result_part(&mut self, part: &ToolResultContent) -> Result<Option<Value>, BadRequest> {
        Ok(match part {
            ToolResultContent::Text(text) => (!is_blank(text)).then(|| json!({ "text": text })),
            // Converse wants an object where it says JSON.
            ToolResultContent::Json(value) if value.is_object() => Some(json!({ "json": value })),
            ToolResultContent::Json(value) => Some(json!({"text": value.to_string()})),
            ToolResultContent::Image { format, source } => Some(self.image(*format, source)?),
            ToolResultContent::Document { format, name, source } => {
                Some(json!({"document": self.document(*format, name, source)?}))
            }
        })
    }

    fn image(&self, format: ImageFormat, source: &Source) -> Result<Value, BadRequest> {
        if !self.model.capabilities.images {
            return Err(unsupported(format!(
                "The conversation holds a picture, and `{}` reads none.",
                self.model.id
            )));
        }
        let format = match format {
            ImageFormat::Png => "png",
            ImageFormat::Jpeg => "jpeg",
            ImageFormat::Gif => "gif",
            ImageFormat::Webp => "webp",
        };
        let source = self.source(source, "picture")?;
        Ok(json!({"image": {"format": format, "source": source}}))
    }

    fn document(
        &mut self,
        format: DocumentFormat,
        name: &str,
        source: &Source,
    ) -> Result<Map<String, Value>, BadRequest> {
        if !self.model.capabilities.documents {
            return Err(unsupported(format!(
                "The conversation holds a document, and `{}` reads none.",
                self.model.id
            )));
        }
        let source = match source {
            Source::Text(text) => json!({ "text": text }),
            source => self.source(source, "document")?,
        };
        Ok(members([
            ("format", format.extension().into()),
            ("name", self.document_name(name).into()),
            ("source", source),
        ]))
    }

    fn source(&self, source: &Source, what: &str) -> Result<Value, BadRequest> {
        match source {
            Source::Bytes(bytes) => Ok(json!({"bytes": STANDARD.encode(bytes)})),
            Source::S3 { uri, bucket_owner } if self.model.capabilities.s3_sources => {
                let mut location = members([("uri", uri.as_str().into())]);
                if let Some(owner) = bucket_owner {
                    location.insert("bucketOwner".to_owned(), owner.as_str().into());
                }
                Ok(json!({ "s3Location": location }))
            }
            Source::S3 { .. } => Err(unsupported(format!(
                "The conversation refers to a {what} in S3, and `{}` does not read from S3: send its bytes.",
                self.model.id
            ))),
            Source::Url(_) => Err(unsupported(format!(
                "The conversation refers to a {what} by its URL, and `{}` fetches none: send its bytes.",
                self.model.id
            ))),
            Source::Text(_) => Err(unsupported(format!("A {what} cannot be sent as text."))),
        }
    }

    /// `name` in the characters that Converse takes, and unlike all before it.
    fn document_name(&mut self, name: &str) -> String {
        let is_allowed = |char: char| char.is_ascii_alphanumeric() || "-()[] ".contains(char);
        let name: String = name.chars().map(|c| if is_allowed(c) { c } else { '-' }).collect();
        // One blank at a time is all that is taken.
        let words: Vec<_> = name.split_ascii_whitespace().collect();
        let name: String = words.join(" ").chars().take(180).collect();
        let has_word = name.bytes().any(|byte| byte.is_ascii_alphanumeric());
        let name = if has_word { name.trim_end() } else { "document" };
        let numbered = (2_u32..).map(|number| format!("{name} ({number})"));
        let unused = std::iter::once(name.to_owned())
            .chain(numbered)
            .find(|name| !self.document_names.contains(name))
            .unwrap_or_default();
        self.document_names.insert(unused.clone());
        unused
    }

    /// `id` if Converse takes it (1 to 64 of `[a-zA-Z0-9_.:-]`), else a stand-in that is the same for
    /// a call and its result; ids of other providers can be longer and hold anything.
    fn provider_id(&mut self, id: &str) -> String {
        let is_valid = (1..=64).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte));
        if is_valid {
            return id.to_owned();
        }
        let place = self.foreign_ids.iter().position(|other| other == id).unwrap_or_else(|| {
            self.foreign_ids.push(id.to_owned());
            self.foreign_ids.len() - 1
        });
        format!("weir_call_{place}")
    }

    /// Temperatures end at 1 and are refused above, not clamped: a clamp would answer with another
    /// randomness than was asked for.
    fn inference(
        &self,
        parameters: &InferenceParameters,
    ) -> Result<Map<String, Value>, BadRequest> {
        let mut config = Map::new();
        if let Some(max_tokens) = parameters.max_tokens {
            config.insert("maxTokens".to_owned(), max_tokens.into());
        }
        let has_sampling = self.model.capabilities.sampling_parameters;
        for (key, value) in [("temperature", parameters.temperature), ("topP", parameters.top_p)] {
            let Some(value) = value.filter(|_| has_sampling) else { continue };
            if !(0.0..=1.0).contains(&value) {
                return Err(unsupported(format!(
                    "The {} is {value}, but `{}` takes 0 to 1.",
                    if key == "topP" { "top-p" } else { key },
                    self.model.id
                )));
            }
            config.insert(key.to_owned(), decimal(value));
        }
        if !parameters.stop_sequences.is_empty() {
            config.insert("stopSequences".to_owned(), json!(parameters.stop_sequences));
        }
        Ok(config)
    }

    /// Tools, and the choice among them.
    ///
    /// Converse has no choice of none and wants tools whenever the conversation holds calls of tools.
    /// So none leaves the tools out where it can, else offers them without a choice; and calls of tools
    /// that the request no longer offers get a stand-in, so that an old conversation can go on.
    fn tool_config(&self, request: &ModelRequest) -> Result<Map<String, Value>, BadRequest> {
        let (able, id) = (&self.model.capabilities, &self.model.id);
        let used = used_tools(&request.messages);
        let wants_tools = !request.tools.is_empty() || !used.is_empty();
        if wants_tools && !able.tools {
            return Err(unsupported(format!("Tools cannot be used with `{id}`: it has none.")));
        }
        let choice = request.tool_choice.as_ref();
        if choice == Some(&ToolChoice::None) && used.is_empty() {
            return Ok(Map::new());
        }
        let choice = match choice {
            None | Some(ToolChoice::None) => None,
            Some(ToolChoice::Auto) => Some(json!({"auto": {}})),
            Some(ToolChoice::Any | ToolChoice::Tool(_)) if !able.forced_tool_choice => {
                return Err(unsupported(format!(
                    "`{id}` cannot be made to use a tool: let it choose."
                )));
            }
            Some(ToolChoice::Any) if request.tools.is_empty() => {
                return Err(unsupported("A tool must be used, but there are none.".to_owned()));
            }
            Some(ToolChoice::Any) => Some(json!({"any": {}})),
            Some(ToolChoice::Tool(name)) if request.tools.iter().any(|tool| tool.name == *name) => {
                Some(json!({"tool": {"name": name}}))
            }
            Some(ToolChoice::Tool(name)) => {
                let name: String = name.chars().take(64).collect();
                return Err(unsupported(format!(
                    "The tool `{name}` must be used, but there is none of that name."
                )));
            }
        };
        let is_single = matches!(request.tool_choice, Some(ToolChoice::Tool(_) | ToolChoice::None));
        if request.parallel_tool_calls == Some(false) && !request.tools.is_empty() && !is_single {
            return Err(unsupported(format!(
                "Parallel tool calls cannot be switched off with `{id}`."
            )));
        }
        let mut tools = Vec::new();
        for tool in &request.tools {
            tools.push(self.tool(tool)?);
            if let Some(ttl) = tool.cache {
                self.push_cache_point(&mut tools, ttl);
            }
        }
        for name in used {
            if !request.tools.iter().any(|tool| tool.name == name) {
                tools.push(stand_in(name));
            }
        }
        if tools.is_empty() {
            return Ok(Map::new());
        }
        let mut config = members([("tools", tools.into())]);
        if let Some(choice) = choice {
            config.insert("toolChoice".to_owned(), choice);
        }
        Ok(config)
    }

    fn tool(&self, tool: &Tool) -> Result<Value, BadRequest> {
        let mut specification = members([("name", checked_name(&tool.name)?.into())]);
        if let Some(description) = tool.description.as_deref().filter(|text| !is_blank(text)) {
            specification.insert("description".to_owned(), description.into());
        }
        let schema = object_schema(&tool.input_schema);
        specification.insert("inputSchema".to_owned(), json!({ "json": schema }));
        // Some SDKs always send `strict`; a model without it still follows the schema as well as it can.
        if let Some(strict) = tool.strict.filter(|_| self.model.capabilities.structured_output) {
            specification.insert("strict".to_owned(), strict.into());
        }
        Ok(json!({ "toolSpec": specification }))
    }

    /// What has no field of its own in Converse.
    fn additional_fields(&self, request: &ModelRequest) -> Result<Map<String, Value>, BadRequest> {
        let able = &self.model.capabilities;
        let mut fields = request.additional_fields.clone();
        let thinking = match request.thinking {
            Some(Thinking::Enabled { .. }) if !able.thinking => {
                return Err(unsupported(format!(
                    "Thinking cannot be enabled with `{}`: it does not show any.",
                    self.model.id
                )));
            }
            Some(Thinking::Enabled { budget_tokens }) => {
                Some(json!({"type": "enabled", "budget_tokens": budget_tokens}))
            }
            Some(Thinking::Adaptive) => Some(json!({"type": "adaptive"})),
            Some(Thinking::Disabled) => Some(json!({"type": "disabled"})),
            None => None,
        };
        if let Some(thinking) = thinking.filter(|_| able.thinking) {
            fields.insert("thinking".to_owned(), thinking);
        }
        if let Some(top_k) = request.inference.top_k.filter(|_| able.top_k) {
            fields.insert("top_k".to_owned(), top_k.into());
        }
        Ok(fields)
    }

    fn output_config(&self, request: &ModelRequest) -> Result<Map<String, Value>, BadRequest> {
        let able = &self.model.capabilities;
        let mut config = Map::new();
        if let Some(schema) = &request.output_schema {
            if !able.structured_output {
                return Err(unsupported(format!(
                    "`{}` cannot be made to answer by a JSON schema.",
                    self.model.id
                )));
            }
            config.insert("textFormat".to_owned(), text_format(schema));
        }
        if let Some(effort) = request.effort.as_deref().filter(|_| able.reasoning_effort) {
            // There is nothing below `low`.
            let effort = if matches!(effort, "none" | "minimal") { "low" } else { effort };
            config.insert("effort".to_owned(), effort.into());
        }
        Ok(config)
    }
}

fn text_format(output: &OutputSchema) -> Value {
    let schema = output.schema.to_string();
    let mut definition =
        members([("schema", schema.into()), ("name", output.name.as_str().into())]);
    if let Some(description) = &output.description {
        definition.insert("description".to_owned(), description.as_str().into());
    }
    json!({"type": "json_schema", "structure": {"jsonSchema": definition}})
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

/// The number as it is written, not as its nearest double.
fn decimal(number: f32) -> Value {
    number.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

fn checked_name(name: &str) -> Result<&str, BadRequest> {
    let is_valid = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if is_valid {
        return Ok(name);
    }
    let name: String = name.chars().take(130).collect();
    Err(unsupported(format!(
        "The tool name `{name}` must be 1 to 64 letters, digits, `_` and `-` for this model."
    )))
}

/// Arguments, which Converse wants to be an object.
fn object_of(input: &Value) -> Value {
    match input {
        Value::Object(_) => input.clone(),
        Value::Null => json!({}),
        other => json!({ "input": other }),
    }
}

/// A schema of arguments, which models want to say that it is of an object.
fn object_schema(schema: &Value) -> Map<String, Value> {
    let mut schema = schema.as_object().cloned().unwrap_or_default();
    if schema.is_empty() {
        schema.insert("type".to_owned(), "object".into());
        schema.insert("properties".to_owned(), json!({}));
    } else if !schema.contains_key("type") {
        schema.insert("type".to_owned(), "object".into());
    }
    schema
}

/// Names of the tools that the conversation calls, in order of first use.
fn used_tools(messages: &[Message]) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    let blocks = messages.iter().flat_map(|message| &message.content);
    blocks
        .filter_map(|block| match block {
            ContentBlock::ToolUse { name, .. } => Some(name.as_str()),
            _ => None,
        })
        .filter(|name| seen.insert(*name))
        .collect()
}

fn stand_in(name: &str) -> Value {
    json!({"toolSpec": {
        "name": name,
        "description": "Used earlier in this conversation; no longer available.",
        "inputSchema": {"json": {"type": "object", "properties": {}}},
    }})
}
