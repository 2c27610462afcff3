//! A conversation as one text.

use serde_json::Value;

use super::fill::Places;
use crate::openai_chat::decimal;
use crate::{
    BadRequest, ContentBlock, Message, Model, ModelRequest, Role, SystemBlock, Thinking, ToolChoice,
};

/// What `request` puts in the places of a template.
pub(super) fn places_of(
    request: &ModelRequest,
    model: &Model,
    has_system_place: bool,
) -> Result<Places, BadRequest> {
    refuse_unsupported(request, model)?;
    let system = system_of(request);
    let mut places = Places::new();
    let head = if has_system_place { None } else { system.as_deref() };
    places.insert("prompt", prompt_of(&request.messages, head, model)?.into());
    let inference = &request.inference;
    let stop = (!inference.stop_sequences.is_empty()).then(|| inference.stop_sequences.clone());
    let optional = [
        ("system", system.map(Value::from)),
        ("max_tokens", inference.max_tokens.map(Value::from)),
        ("temperature", inference.temperature.map(decimal)),
        ("top_p", inference.top_p.map(decimal)),
        ("stop", stop.map(Value::from)),
    ];
    places.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
    Ok(places)
}

/// Fields are not named, for every dialect has other names for them.
fn unsupported(model: &Model, what: &str) -> BadRequest {
    let message = format!("{what} not available with `{}`: it takes plain text only.", model.id);
    BadRequest::body("unsupported_parameter", message)
}

fn refuse_unsupported(request: &ModelRequest, model: &Model) -> Result<(), BadRequest> {
    if !request.tools.is_empty() && request.tool_choice != Some(ToolChoice::None) {
        return Err(unsupported(model, "Tools are"));
    }
    if request.output_schema.is_some() {
        return Err(unsupported(model, "Answers by a JSON schema are"));
    }
    if matches!(request.thinking, Some(Thinking::Enabled { .. })) {
        return Err(unsupported(model, "Thinking is"));
    }
    if !request.additional_fields.is_empty() {
        return Err(unsupported(model, "Fields of a model's own are"));
    }
    Ok(())
}

fn system_of(request: &ModelRequest) -> Option<String> {
    let texts: Vec<_> = request
        .system
        .iter()
        .filter_map(|block| match block {
            SystemBlock::Text(text) => Some(text.as_str()),
            SystemBlock::CachePoint(_) => None,
        })
        .collect();
    (!texts.is_empty()).then(|| texts.join("\n\n"))
}

fn prompt_of(
    messages: &[Message],
    system: Option<&str>,
    model: &Model,
) -> Result<String, BadRequest> {
    let turns = messages.iter().map(|message| Ok((message.role, text_of(message, model)?)));
    let turns = turns.collect::<Result<Vec<_>, BadRequest>>()?;
    if let ([(Role::User, text)], None) = (turns.as_slice(), system) {
        return Ok(text.clone());
    }
    let is_begun = turns.last().is_some_and(|(role, _)| *role == Role::Assistant);
    if is_begun && !model.capabilities.prefill {
        return Err(unsupported(model, "Answers that are begun by the client are"));
    }
    let mut lines = Vec::with_capacity(turns.len() + 2);
    lines.extend(system.map(|text| format!("System: {text}")));
    lines.extend(turns.into_iter().map(|(role, text)| match role {
        Role::User => format!("User: {text}"),
        Role::Assistant => format!("Assistant: {text}"),
    }));
    if !is_begun {
        lines.push("Assistant:".to_owned());
    }
    Ok(lines.join("\n\n"))
}

fn text_of(message: &Message, model: &Model) -> Result<String, BadRequest> {
    let mut texts = Vec::new();
    for block in &message.content {
        match block {
            ContentBlock::Text(text) => texts.push(text.as_str()),
            // Earlier reasoning is of no use to a model that shows none.
            ContentBlock::CachePoint(_)
            | ContentBlock::Reasoning { .. }
            | ContentBlock::RedactedReasoning { .. } => {}
            ContentBlock::Image { .. } => return Err(unsupported(model, "Pictures are")),
            ContentBlock::Document { .. } => return Err(unsupported(model, "Documents are")),
            ContentBlock::ToolUse { .. } | ContentBlock::ToolResult { .. } => {
                return Err(unsupported(model, "Tools are"));
            }
        }
    }
    Ok(texts.join("\n"))
}
