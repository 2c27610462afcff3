//! How many tokens a call can consume at most, judged without a tokenizer.

use serde_json::Value;

use super::MessagesRequest;
use super::forward::is_dropped;
use crate::wire::field::Field;
use crate::wire::weight::{Weight, too_many_tokens};
use crate::{BadRequest, Model, TokenBound};

/// Tokens that a provider's own description of a tool of its own may add.
const BUILT_IN_TOOL_TOKENS: u64 = 2_048;
/// Tokens that a provider adds once a request has tools.
const TOOLS_TOKENS: u64 = 1_024;

/// Fields that would let a call leave its tenant's limits, and why.
const FORBIDDEN: [(&str, &str); 5] = [
    (
        "fallbacks",
        "names models that the gateway does not check: name an alias with fallbacks as `model`",
    ),
    ("fallback_credit_token", "belongs to `fallbacks`, which is not available"),
    ("billing_policy", "is for the people who run the gateway to decide"),
    ("workspace_id", "is for the people who run the gateway to decide"),
    (
        "thread",
        "is kept by the provider, which knows nothing of tenants: send the conversation itself",
    ),
];

/// Bounds what `request` can consume on `model`.
///
/// Input: a token holds at least one byte, so the bytes of all texts, tools and schemas bound their
/// tokens; an image counts `image_tokens` and not the bytes of its base64. The context window bounds
/// it as well, and does so alone where size says nothing about tokens: PDF files, URLs, tools that the
/// provider runs.
///
/// Output: the client's maximum. Above the model's, it is refused if the model gets the client's own
/// bytes (`is_native`); a translation lowers it.
pub(super) fn bound(
    request: &MessagesRequest,
    model: &Model,
    is_native: bool,
) -> Result<TokenBound, BadRequest> {
    refuse_forbidden(request, model)?;
    let max_tokens = match request.max_tokens {
        Some(wanted) => match u32::try_from(wanted) {
            Ok(wanted) if wanted <= model.max_output_tokens => wanted,
            _ if is_native => {
                return Err(too_many_tokens(wanted, "max_tokens", model));
            }
            _ => model.max_output_tokens,
        },
        None => 0,
    };
    Ok(weigh(request).bound(model, max_tokens, 1))
}

fn refuse_forbidden(request: &MessagesRequest, model: &Model) -> Result<(), BadRequest> {
    let field = |name| Field::of_body(&request.body, name).filter(|_| !is_dropped(model, name));
    for (name, why) in FORBIDDEN {
        if let Some(field) = field(name) {
            return Err(field.unsupported(format_args!("{why}.")));
        }
    }
    if let Some(tier) = field("service_tier")
        && !matches!(tier.str()?, "auto" | "standard_only")
    {
        return Err(
            tier.unsupported("must be `auto` or `standard_only`: other tiers have no price here.")
        );
    }
    if let Some(speed) = field("speed")
        && speed.str()? != "standard"
    {
        return Err(speed.unsupported("must be `standard`: other speeds have no price here."));
    }
    if let Some(tools) = field("tools") {
        for tool in tools.array()? {
            tool.object()?;
            if let Some(kind) = tool.get("type")
                && kind.str()?.starts_with("advisor")
            {
                return Err(kind.unsupported(
                    "makes the provider ask another model, which the gateway could neither check nor count.",
                ));
            }
        }
    }
    Ok(())
}

/// Input tokens at most, and those that are likely.
pub(super) fn input_of(request: &MessagesRequest, model: &Model) -> (u64, u64) {
    weigh(request).input(model)
}

fn weigh(request: &MessagesRequest) -> Weight {
    let mut weight = Weight::new();
    for member in request.members.iter() {
        match member.key.as_str() {
            "messages" => {
                let messages = request.body.get("messages").and_then(Value::as_array);
                for message in messages.into_iter().flatten() {
                    weight.add_template();
                    for (key, value) in message.as_object().into_iter().flatten() {
                        match key.as_str() {
                            "role" => {}
                            "content" => add_content(&mut weight, value),
                            _ => weight.add_value(value),
                        }
                    }
                }
            }
            "tools" => {
                weight.add_bytes(member.value.len());
                weight.add_template_of(TOOLS_TOKENS);
                let tools = request.body.get("tools").and_then(Value::as_array);
                for tool in tools.into_iter().flatten() {
                    weight.add_template();
                    add_tool(&mut weight, tool);
                }
            }
            "mcp_servers" | "container" => weight.add_unbounded(),
            "model" | "metadata" | "max_tokens" | "stream" => {}
            // A system prompt and schemas reach the model as text, and so might a field that is not
            // known here; numbers and flags add a few bytes.
            _ => weight.add_bytes(member.key.len() + member.value.len()),
        }
    }
    weight
}

/// A tool of a type of its own comes with instructions of the provider; if the provider runs it,
/// its results are input as well.
fn add_tool(weight: &mut Weight, tool: &Value) {
    const RUN_BY_CLIENTS: [&str; 5] = ["bash_", "text_editor_", "computer_", "memory_", "browser_"];
    match tool.get("type").and_then(Value::as_str) {
        None | Some("custom") => {}
        Some(kind) if RUN_BY_CLIENTS.iter().any(|prefix| kind.starts_with(prefix)) => {
            weight.add_template_of(BUILT_IN_TOOL_TOKENS);
        }
        Some(_) => weight.add_unbounded(),
    }
}

fn add_content(weight: &mut Weight, content: &Value) {
    match content {
        Value::Array(blocks) => {
            for block in blocks {
                weight.add_template();
                add_block(weight, block);
            }
        }
        other => weight.add_value(other),
    }
}

fn add_block(weight: &mut Weight, block: &Value) {
    let kind = block.get("type").and_then(Value::as_str);
    let source = block.get("source");
    for (key, value) in block.as_object().into_iter().flatten() {
        match (kind, key.as_str()) {
            (_, "type" | "cache_control") | (Some("image"), "source") => {}
            (Some("document"), "source") => add_document(weight, value),
            (Some("tool_result"), "content") => add_content(weight, value),
            _ => weight.add_value(value),
        }
    }
    match kind {
        Some("image") => weight.add_image(),
        Some("document") if source.is_none() => weight.add_unbounded(),
        Some(
            "text" | "thinking" | "redacted_thinking" | "tool_use" | "tool_result" | "document"
            | "search_result",
        ) => {}
        _ => weight.add_unbounded(),
    }
}

fn add_document(weight: &mut Weight, source: &Value) {
    match source.get("type").and_then(Value::as_str) {
        Some("text") => weight.add_value(source.get("data").unwrap_or(&Value::Null)),
        Some("content") => add_content(weight, source.get("content").unwrap_or(&Value::Null)),
        _ => weight.add_unbounded(),
    }
}
