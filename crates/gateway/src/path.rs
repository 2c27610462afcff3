//! The routes: which path is which dialect's.

use std::borrow::Cow;

use http::Method;
use inference::{Dialect, Family};
use tenancy::Permission;

/// What a path asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Path<'a> {
    ChatCompletions,
    Responses,
    Response(&'a str),
    InputItems(&'a str),
    Embeddings,
    Rerank,
    Messages,
    CountTokens,
    Models,
    Model(Cow<'a, str>),
    Files,
    File(&'a str),
    Converse { model: Cow<'a, str>, is_streaming: bool },
    Invoke { model: Cow<'a, str>, is_streaming: bool },
    BedrockCountTokens { model: Cow<'a, str> },
    ApplyGuardrail { id: Cow<'a, str>, version: &'a str },
}

/// The base path of Bedrock runtime's own API; AWS SDKs get it as `endpoint_url`.
const BEDROCK: &str = "/bedrock";

impl<'a> Path<'a> {
    /// What `path` asks for, if there is such a route.
    pub(crate) fn of(path: &'a str) -> Option<Self> {
        if let Some(path) = path.strip_prefix(BEDROCK) {
            return Self::of_bedrock(path);
        }
        let id = |id: &'a str| Some(id).filter(|id| !id.is_empty() && !id.contains('/'));
        Some(match path.strip_prefix("/v1/")? {
            "chat/completions" => Self::ChatCompletions,
            "responses" => Self::Responses,
            "embeddings" => Self::Embeddings,
            "rerank" => Self::Rerank,
            "messages" => Self::Messages,
            "messages/count_tokens" => Self::CountTokens,
            "models" => Self::Models,
            "files" => Self::Files,
            rest => {
                if let Some(rest) = rest.strip_prefix("responses/") {
                    match rest.strip_suffix("/input_items") {
                        Some(response) => Self::InputItems(id(response)?),
                        None => Self::Response(id(rest)?),
                    }
                } else if let Some(rest) = rest.strip_prefix("files/") {
                    Self::File(id(rest)?)
                } else {
                    Self::Model(decoded(rest.strip_prefix("models/")?)?)
                }
            }
        })
    }

    fn of_bedrock(path: &'a str) -> Option<Self> {
        if let Some(rest) = path.strip_prefix("/guardrail/") {
            let (id, rest) = rest.split_once("/version/")?;
            let version = rest.strip_suffix("/apply")?;
            return Some(Self::ApplyGuardrail { id: decoded(id)?, version });
        }
        // Ids may hold slashes; API Gateway may have decoded them.
        let (model, operation) = path.strip_prefix("/model/")?.rsplit_once('/')?;
        let model = decoded(model)?;
        Some(match operation {
            "converse" => Self::Converse { model, is_streaming: false },
            "converse-stream" => Self::Converse { model, is_streaming: true },
            "invoke" => Self::Invoke { model, is_streaming: false },
            "invoke-with-response-stream" => Self::Invoke { model, is_streaming: true },
            "count-tokens" => Self::BedrockCountTokens { model },
            _ => return None,
        })
    }

    /// The method that it takes; the first of several.
    pub(crate) fn methods(&self) -> &'static [Method] {
        match self {
            Self::Models | Self::Model(_) | Self::InputItems(_) => &[Method::GET],
            Self::Response(_) | Self::File(_) => &[Method::GET, Method::DELETE],
            _ => &[Method::POST],
        }
    }

    /// Whether a model generates what it answers with.
    pub(crate) fn is_generated(&self) -> bool {
        matches!(
            self,
            Self::ChatCompletions
                | Self::Responses
                | Self::Messages
                | Self::Converse { .. }
                | Self::Invoke { .. }
        )
    }

    /// What a caller must be permitted. What tenants left with the gateway was said to a model, or is
    /// to be.
    pub(crate) fn permission(&self) -> Permission {
        match self {
            Self::Models | Self::Model(_) => Permission::ListModels,
            _ => Permission::InvokeModel,
        }
    }

    /// The dialect in which it answers.
    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::ChatCompletions => Dialect::OpenaiChat,
            Self::Responses | Self::Response(_) | Self::InputItems(_) => Dialect::OpenaiResponses,
            Self::Embeddings => Dialect::OpenaiEmbeddings,
            Self::Rerank => Dialect::Rerank,
            Self::Messages => Dialect::AnthropicMessages,
            Self::CountTokens => Dialect::AnthropicCountTokens,
            Self::Models | Self::Model(_) | Self::Files | Self::File(_) => Dialect::Gateway,
            Self::Converse { .. } => Dialect::BedrockConverse,
            Self::Invoke { .. } => Dialect::BedrockInvoke,
            Self::BedrockCountTokens { .. } => Dialect::BedrockCountTokens,
            Self::ApplyGuardrail { .. } => Dialect::BedrockGuardrail,
        }
    }
}

/// Whose SDK asks for `path`, as far as the path says it.
pub fn family_of(path: &str) -> Family {
    if let Some(path) = Path::of(path) {
        path.dialect().family()
    } else if path.starts_with(BEDROCK) {
        Family::Aws
    } else if path.starts_with("/v1/messages") {
        Family::Anthropic
    } else {
        Family::Openai
    }
}

/// A path's segment without its percent escapes; nothing for an empty one, or for escapes that are none.
fn decoded(segment: &str) -> Option<Cow<'_, str>> {
    let text = percent_encoding::percent_decode_str(segment).decode_utf8().ok()?;
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bedrock_model_id_may_be_escaped_or_hold_slashes() {
        let arn = "arn:aws:bedrock:us-east-1:111122223333:inference-profile/us.vendor.m-v1:0";
        for path in [
            format!("/bedrock/model/{arn}/converse"),
            format!("/bedrock/model/{}/converse", arn.replace(':', "%3A").replace('/', "%2F")),
        ] {
            let route = Path::of(&path);
            assert_eq!(route, Some(Path::Converse { model: arn.into(), is_streaming: false }));
        }
    }

    #[test]
    fn what_is_no_route_is_none() {
        for path in [
            "/",
            "/v1",
            "/v1/",
            "/v1/chat",
            "/v1/files/",
            "/v1/files/a/b",
            "/v2/rerank",
            "/bedrock/model//converse",
            "/bedrock/model/m/chat",
            "/v1/responses/",
            "/v1/models/",
        ] {
            assert_eq!(Path::of(path), None, "{path}");
        }
    }
}
