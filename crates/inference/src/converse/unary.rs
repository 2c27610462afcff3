//! Token counts and guardrails, which are answered at once.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use metering::TokenUsage;
use serde_json::{Map, Value, json};

use super::bound::input_of;
use super::request::{check_messages, read_object};
use super::{ConverseRequest, provider_request};
use crate::anthropic_messages::MessagesCodec;
use crate::protocol::unreadable;
use crate::wire::field::Field;
use crate::{
    AnswerHead, BadRequest, Codec as _, Dialect, GenerateRequest as _, Model, Operation, Protocol,
    ProviderAnswer, ProviderError, ProviderErrorKind, ProviderRequest, TokenBound, UnaryRequest,
    estimated_tokens,
};

/// A request to `POST /model/{id}/count-tokens`, with its original bytes.
///
/// Models that Bedrock counts for get it as it is, and those that are asked by Anthropic Messages in
/// their words. For others the answer is an estimate, and nobody is asked: about one token for three
/// bytes, which errs to the high side.
#[derive(Debug, Clone, PartialEq)]
pub struct ConverseCountTokensRequest {
    body: Bytes,
    model: String,
    input: Input,
}

#[derive(Debug, Clone, PartialEq)]
enum Input {
    /// A conversation, as `Converse` takes it.
    Converse(Map<String, Value>),
    /// A body as `InvokeModel` takes it, decoded.
    InvokeModel(Vec<u8>),
}

impl ConverseCountTokensRequest {
    /// Reads a request from any bytes; never panics. `model` is the id of the URL, decoded.
    pub fn parse(model: &str, body: &[u8]) -> Result<Self, BadRequest> {
        let (text, _, object) = read_object(body)?;
        let field = Field::of_body(&object, "input").ok_or_else(|| {
            let message = "Missing required field `input`: send `{\"converse\": {..}}` or `{\"invokeModel\": {\"body\": ..}}` in it.";
            BadRequest::new("missing_required_parameter", "input", message)
        })?;
        field.object()?;
        let input = match (field.get("converse"), field.get("invokeModel")) {
            (Some(converse), None) => {
                let conversation = converse.object()?.clone();
                check_messages(&conversation)?;
                Input::Converse(conversation)
            }
            (None, Some(invoke)) => {
                let body = invoke.require("body")?;
                let bytes = STANDARD.decode(body.str()?);
                Input::InvokeModel(bytes.map_err(|_| body.invalid("must be base64."))?)
            }
            _ => return Err(field.invalid("must hold either `converse` or `invokeModel`.")),
        };
        Ok(Self { body: text.into(), model: model.to_owned(), input })
    }

    /// The request in the words of a provider that counts, if there is one for this model.
    fn call(&self, model: &Model) -> Result<Option<ProviderRequest>, BadRequest> {
        if !model.capabilities.count_tokens {
            return Ok(None);
        }
        let as_it_is = || provider_request(Operation::CountTokens, false, self.body.clone());
        match &self.input {
            Input::Converse(_) if model.speaks(Protocol::Converse) => Ok(Some(as_it_is())),
            Input::InvokeModel(_) if model.speaks(Protocol::InvokeModel) => {
                Ok(Some(ProviderRequest { protocol: Protocol::InvokeModel, ..as_it_is() }))
            }
            Input::Converse(conversation) if model.speaks(Protocol::AnthropicMessages) => {
                let conversation = Value::from(conversation.clone()).to_string();
                let request = ConverseRequest::parse(&self.model, false, conversation.as_bytes())?;
                let request =
                    MessagesCodec.write(&request.to_canonical(model, 1)?, model, false)?;
                let mut body: Map<String, Value> =
                    serde_json::from_slice(&request.body).unwrap_or_default();
                let counted = ["model", "messages", "system", "tools", "tool_choice", "thinking"];
                body.retain(|name, _| counted.contains(&name.as_str()));
                let body = Value::from(body).to_string().into();
                Ok(Some(ProviderRequest { operation: Operation::CountTokens, body, ..request }))
            }
            _ => Ok(None),
        }
    }
}

impl UnaryRequest for ConverseCountTokensRequest {
    fn dialect(&self) -> Dialect {
        Dialect::BedrockCountTokens
    }

    fn model(&self) -> Option<&str> {
        Some(&self.model)
    }

    /// Counting is free.
    fn calls(&self, model: &Model) -> Result<Vec<(ProviderRequest, TokenBound)>, BadRequest> {
        let call = self.call(model)?;
        Ok(call.into_iter().map(|request| (request, TokenBound::default())).collect())
    }

    fn usage(&self, _: &Model, _: &ProviderAnswer) -> Option<TokenUsage> {
        Some(TokenUsage::default())
    }

    fn render(
        &self,
        model: &Model,
        _: &AnswerHead,
        answers: &[ProviderAnswer],
    ) -> Result<Bytes, ProviderError> {
        let tokens = match (answers.first(), &self.input) {
            (Some(answer), _) => {
                let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                let count = body.get("inputTokens").or_else(|| body.get("input_tokens"));
                count.and_then(Value::as_u64).ok_or_else(|| {
                    unreadable(ProviderErrorKind::Internal, "the provider's answer has no count")
                })?
            }
            (None, Input::Converse(conversation)) => input_of(conversation, model).1,
            (None, Input::InvokeModel(body)) => {
                estimated_tokens(u64::try_from(body.len()).unwrap_or(u64::MAX))
            }
        };
        Ok(json!({ "inputTokens": tokens }).to_string().into())
    }
}

/// Policies of a guardrail that are billed by units: topics, content, sensitive information,
/// grounding, automated reasoning (<https://aws.amazon.com/bedrock/pricing/>).
const BILLED_POLICIES: u64 = 5;

/// Characters of a text unit.
const UNIT_CHARACTERS: u64 = 1_000;

/// What a guardrail reports of each policy that is billed.
const BILLED_UNITS: [&str; 6] = [
    "topicPolicyUnits",
    "contentPolicyUnits",
    "contentPolicyImageUnits",
    "sensitiveInformationPolicyUnits",
    "contextualGroundingPolicyUnits",
    "automatedReasoningPolicyUnits",
];

/// A request to `POST /guardrail/{id}/version/{version}/apply`, with its original bytes.
///
/// To the gateway a guardrail is a model: registered by its id, with the protocol
/// [`BedrockGuardrail`](Protocol::BedrockGuardrail) and a price of its units, and allowed or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardrailRequest {
    body: Bytes,
    /// Text units and pictures of the content, each counted by every policy at most.
    units: u64,
    id: String,
    version: String,
}

impl GuardrailRequest {
    /// Reads a request from any bytes; never panics. `id` (or an ARN) and `version` are those of the
    /// URL, decoded.
    pub fn parse(id: &str, version: &str, body: &[u8]) -> Result<Self, BadRequest> {
        let is_id = id.starts_with("arn:aws")
            || (!id.is_empty()
                && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
        if !is_id || id.len() > 2_048 {
            let message = "The path must name a guardrail by its id or ARN.";
            return Err(BadRequest::value("guardrailIdentifier", message));
        }
        let is_number = (1..=8).contains(&version.len())
            && version.bytes().all(|byte| byte.is_ascii_digit())
            && !version.starts_with('0');
        if version != "DRAFT" && !is_number {
            let message = "The path must name a version of the guardrail: a number, or `DRAFT`.";
            return Err(BadRequest::value("guardrailVersion", message));
        }
        let (text, _, object) = read_object(body)?;
        let required = |name: &'static str| {
            Field::of_body(&object, name).ok_or_else(|| {
                let message = format!("Missing required field `{name}`.");
                BadRequest::new("missing_required_parameter", name, message)
            })
        };
        let source = required("source")?;
        if !matches!(source.str()?, "INPUT" | "OUTPUT") {
            return Err(source.invalid("must be `INPUT` or `OUTPUT`."));
        }
        let mut units = 0_u64;
        for block in required("content")?.array()? {
            block.object()?;
            let text = block.value().pointer("/text/text").and_then(Value::as_str);
            let characters = text.map_or(0, |text| text.chars().count());
            let characters = u64::try_from(characters).unwrap_or(u64::MAX);
            units = units.saturating_add(characters.div_ceil(UNIT_CHARACTERS).max(1));
        }
        Ok(Self { body: text.into(), units, id: id.to_owned(), version: version.to_owned() })
    }
}

impl UnaryRequest for GuardrailRequest {
    fn dialect(&self) -> Dialect {
        Dialect::BedrockGuardrail
    }

    fn model(&self) -> Option<&str> {
        Some(&self.id)
    }

    fn calls(&self, model: &Model) -> Result<Vec<(ProviderRequest, TokenBound)>, BadRequest> {
        if !model.speaks(Protocol::BedrockGuardrail) {
            let message = format!("`{}` is no guardrail.", model.id);
            return Err(BadRequest::value("guardrailIdentifier", message));
        }
        let operation =
            Operation::ApplyGuardrail { id: self.id.clone(), version: self.version.clone() };
        let request = provider_request(operation, false, self.body.clone());
        let guardrail_units = self.units.saturating_mul(BILLED_POLICIES);
        Ok(vec![(request, TokenBound { guardrail_units, ..TokenBound::default() })])
    }

    /// Guardrails are billed by units, not by tokens.
    fn usage(&self, _: &Model, answer: &ProviderAnswer) -> Option<TokenUsage> {
        let body: Value = serde_json::from_slice(&answer.body).ok()?;
        let units = body.get("usage")?;
        let of = |name: &&str| units.get(*name).and_then(Value::as_u64).unwrap_or(0);
        let guardrail_units = BILLED_UNITS.iter().map(of).fold(0, u64::saturating_add);
        Some(TokenUsage { guardrail_units, ..TokenUsage::default() })
    }

    fn render(
        &self,
        _: &Model,
        _: &AnswerHead,
        answers: &[ProviderAnswer],
    ) -> Result<Bytes, ProviderError> {
        let answer = answers.first().map(|answer| answer.body.clone());
        answer.ok_or_else(|| unreadable(ProviderErrorKind::Internal, "the guardrail was not asked"))
    }
}
