//! Parsing: what the gateway itself relies on, whatever the model.

use serde_json::{Map, Value};

use super::render::{Framing, Renderer};
use super::{bound, canonical, forward};
use crate::wire::affinity::PromptStart;
use crate::wire::body::{members_of, model_of, refuse_lookalikes, utf8};
use crate::wire::field::Field;
use crate::wire::json::parse_object;
use crate::wire::members::Members;
use crate::{
    AnswerHead, AnswerRenderer, BadRequest, Dialect, GenerateRequest, Model, ModelRequest,
    Protocol, ProviderRequest, TokenBound,
};

/// Fields by which the gateway judges a call. A key that differs from one only by case is refused:
/// a provider that ignores case would read another value than the one that was checked.
const JUDGED: [&str; 15] = [
    "anthropic_beta",
    "anthropic_version",
    "billing_policy",
    "fallback_credit_token",
    "fallbacks",
    "max_tokens",
    "messages",
    "model",
    "service_tier",
    "speed",
    "stream",
    "system",
    "thread",
    "tools",
    "workspace_id",
];

/// A request to `POST /v1/messages`, with its original bytes.
///
/// Parsing checks its syntax and what limits, prices and routing depend on. Whether the rest makes
/// sense is for the model's own API to say, or for the translation.
#[derive(Debug, Clone, PartialEq)]
pub struct MessagesRequest {
    pub(super) text: String,
    pub(super) members: Members,
    pub(super) body: Map<String, Value>,
    /// `anthropic-version` as the client said it.
    pub(super) version: Option<String>,
    /// The flags of `anthropic-beta`, of the headers or of the body.
    pub(super) betas: Vec<String>,
    model: String,
    is_streaming: bool,
    /// `None` for token counts, which have no maximum.
    pub(super) max_tokens: Option<u64>,
}

/// What an endpoint takes besides the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Messages,
    CountTokens,
}

impl MessagesRequest {
    /// Reads a request from any bytes; never panics. Of `headers` (lower case) it takes
    /// `anthropic-version` and `anthropic-beta`.
    pub fn parse(body: &[u8], headers: &[(String, String)]) -> Result<Self, BadRequest> {
        Self::read(body, headers, Endpoint::Messages)
    }

    pub(super) fn read(
        body: &[u8],
        headers: &[(String, String)],
        endpoint: Endpoint,
    ) -> Result<Self, BadRequest> {
        let text = utf8(body)?;
        let body = parse_object(text)?;
        let model = model_of(&body)?;
        let is_streaming = match Field::of_body(&body, "stream") {
            Some(field) => field.bool()?,
            None => false,
        };
        let betas = headers
            .iter()
            .filter(|(key, _)| key == "anthropic-beta")
            .flat_map(|(_, value)| value.split(','))
            .map(str::trim)
            .filter(|flag| !flag.is_empty())
            .map(str::to_owned)
            .collect();
        let version = headers.iter().find(|(key, _)| key == "anthropic-version");
        let version = version.map(|(_, value)| value.trim().to_owned());
        Self::of(text, body, version, betas, model, is_streaming, endpoint)
    }

    /// A request that came as a body of Bedrock's `InvokeModel`: the same but for the model and whether
    /// to stream, which its path says, and for version and beta flags, which stand in the body.
    pub(crate) fn of_invoke(
        text: &str,
        body: Map<String, Value>,
        model: &str,
        is_streaming: bool,
    ) -> Result<Self, BadRequest> {
        let mut betas = Vec::new();
        if let Some(field) = Field::of_body(&body, "anthropic_beta") {
            for flag in field.array()? {
                betas.push(flag.str()?.to_owned());
            }
        }
        let model = model.to_owned();
        Self::of(text, body, None, betas, model, is_streaming, Endpoint::Messages)
    }

    fn of(
        text: &str,
        body: Map<String, Value>,
        version: Option<String>,
        betas: Vec<String>,
        model: String,
        is_streaming: bool,
        endpoint: Endpoint,
    ) -> Result<Self, BadRequest> {
        refuse_lookalikes(&body, &JUDGED)?;
        check_messages(&body)?;
        let max_tokens = match Field::of_body(&body, "max_tokens") {
            Some(field) => Some(
                field
                    .value()
                    .as_u64()
                    .ok_or_else(|| field.wrong_type("an integer of at least 0"))?,
            ),
            None if endpoint == Endpoint::CountTokens => None,
            None => {
                let message = "Missing required field `max_tokens`: say how many tokens the answer may have at most.";
                return Err(BadRequest::new("missing_required_parameter", "max_tokens", message));
            }
        };
        let members = members_of(text)?;
        let text = text.to_owned();
        Ok(Self { text, members, body, version, betas, model, is_streaming, max_tokens })
    }

    /// The original text, with the uploads that were put in.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The beta flags that the client sent.
    pub(crate) fn betas(&self) -> &[String] {
        &self.betas
    }

    /// Bounds what it can consume on `model`, which gets it as it is if `is_native`.
    pub(crate) fn bound_on(
        &self,
        model: &Model,
        is_native: bool,
    ) -> Result<TokenBound, BadRequest> {
        bound::bound(self, model, is_native)
    }
}

impl GenerateRequest for MessagesRequest {
    fn dialect(&self) -> Dialect {
        Dialect::AnthropicMessages
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn is_streaming(&self) -> bool {
        self.is_streaming
    }

    fn native_protocol(&self) -> Protocol {
        Protocol::AnthropicMessages
    }

    fn bound(
        &self,
        model: &Model,
        _default_max_tokens: Option<u32>,
    ) -> Result<TokenBound, BadRequest> {
        self.bound_on(model, model.speaks(self.native_protocol()))
    }

    fn to_canonical(&self, model: &Model, max_tokens: u32) -> Result<ModelRequest, BadRequest> {
        canonical::to_canonical(self, model, Some(max_tokens))
    }

    fn forward(&self, model: &Model, _max_tokens: u32) -> Result<ProviderRequest, BadRequest> {
        Ok(forward::forward(self, model, crate::Operation::Invoke))
    }

    /// The session, where `metadata.user_id` names one as Claude Code has it; else the system prompt and
    /// the first message, which are the same in all turns of a conversation.
    fn affinity_key(&self) -> Option<String> {
        let user = Field::of_body(&self.body, "metadata").and_then(|it| it.value().get("user_id"));
        if let Some(session) = user.and_then(Value::as_str).and_then(session_of) {
            return Some(session);
        }
        let mut start = PromptStart::default();
        let first = self.body.get("messages").and_then(|messages| messages.get(0));
        for part in [self.body.get("system"), first.and_then(|message| message.get("content"))] {
            add_texts(part, &mut start);
        }
        Some(start.key())
    }

    fn renderer(&self, head: AnswerHead) -> Box<dyn AnswerRenderer> {
        Box::new(Renderer::new(Framing::Sse, head))
    }
}

/// The session that a `user_id` of Claude Code names: `{"session_id": ..}` as JSON, or, as it was,
/// `user_.._account_.._session_..`.
fn session_of(user_id: &str) -> Option<String> {
    if let Ok(Value::Object(user)) = serde_json::from_str(user_id) {
        let session = user.get("session_id")?.as_str()?;
        return (!session.is_empty()).then(|| format!("session-{session}"));
    }
    let (_, session) = user_id.rsplit_once("_session_")?;
    (!session.is_empty()).then(|| format!("session-{session}"))
}

/// Texts only: cache marks wander through the blocks from turn to turn.
fn add_texts(content: Option<&Value>, start: &mut PromptStart) {
    match content {
        Some(Value::Array(blocks)) => {
            for text in blocks.iter().filter_map(|block| block.get("text")) {
                start.add(text);
            }
        }
        Some(text) => start.add(text),
        None => {}
    }
}

fn check_messages(body: &Map<String, Value>) -> Result<(), BadRequest> {
    let Some(messages) = Field::of_body(body, "messages") else {
        let message = "Missing required field `messages`: send at least one message.";
        return Err(BadRequest::new("missing_required_parameter", "messages", message));
    };
    let messages = messages.array()?;
    if messages.len() == 0 {
        let message = "`messages` is empty: send at least one message.";
        return Err(BadRequest::new("empty_array", "messages", message));
    }
    for message in messages {
        message.object()?;
        let role = message.require("role")?;
        if !matches!(role.str()?, "user" | "assistant" | "system") {
            return Err(role.invalid("must be `user`, `assistant` or `system`."));
        }
        let content = message.require("content")?;
        if content.value().is_string() {
            continue;
        }
        if !content.value().is_array() {
            return Err(content.wrong_type("a string or an array of content blocks"));
        }
        for block in content.array()? {
            block.object()?;
            block.require("type")?.str()?;
        }
    }
    Ok(())
}
