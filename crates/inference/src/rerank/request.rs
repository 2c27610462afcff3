//! Parsing, and the call that a request takes.

use bytes::Bytes;
use metering::TokenUsage;
use serde_json::Value;

use super::bedrock;
use crate::protocol::unreadable;
use crate::wire::body::Body;
use crate::wire::field::Field;
use crate::{
    AnswerHead, BadRequest, Dialect, Model, Operation, Protocol, ProviderAnswer, ProviderError,
    ProviderErrorKind, ProviderRequest, TokenBound, UnaryRequest, estimated_tokens,
};

/// Fields by which the gateway judges a call.
const JUDGED: [&str; 5] = ["model", "query", "documents", "top_n", "rank_fields"];

/// Documents of one request at most, as Bedrock has it; Cohere advises the same.
const MAX_DOCUMENTS: usize = 1_000;

/// Documents of one search unit, the unit in which Cohere's models are sold: a query with up to so many.
const DOCUMENTS_PER_UNIT: u64 = 100;

/// A request to `POST /v1/rerank`, with its original bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct RerankRequest {
    body: Body,
    model: String,
    pub(super) query: String,
    pub(super) documents: Vec<String>,
    pub(super) top_n: Option<u64>,
    pub(super) returns_documents: bool,
}

impl RerankRequest {
    /// Reads a request from any bytes; never panics.
    pub fn parse(body: &[u8]) -> Result<Self, BadRequest> {
        let body = Body::parse(body, &JUDGED)?;
        let model = text_of(&body, "model", "name one of the models that `GET /v1/models` lists")?;
        let query = text_of(&body, "query", "say what the documents are to be ranked by")?;
        let documents = documents_of(&body)?;
        let object = &body.object;
        let top_n =
            Field::of_body(object, "top_n").map(|field| field.positive_integer()).transpose()?;
        let returns_documents =
            Field::of_body(object, "return_documents").map(|field| field.bool()).transpose()?;
        if let Some(fields) = Field::of_body(object, "rank_fields")
            && fields.value().as_array().is_none_or(|fields| !fields.is_empty())
        {
            return Err(fields.unsupported(
                "is not available: send each document as a text that holds what it is to be ranked by.",
            ));
        }
        let returns_documents = returns_documents.unwrap_or(false);
        Ok(Self { body, model, query, documents, top_n, returns_documents })
    }

    /// What the query and its documents come to in search units.
    pub(super) fn search_units(&self) -> u64 {
        let documents = u64::try_from(self.documents.len()).unwrap_or(u64::MAX);
        documents.div_ceil(DOCUMENTS_PER_UNIT).max(1)
    }

    /// A server of the dialect may bill by search units or by tokens; it reads the query with each document.
    fn bound(&self) -> TokenBound {
        let documents = u64::try_from(self.documents.len()).unwrap_or(u64::MAX);
        let query = bytes_of(&self.query).saturating_mul(documents);
        let sizes = self.documents.iter().map(|document| bytes_of(document));
        let input = sizes.fold(query, u64::saturating_add);
        TokenBound {
            input,
            likely_input: estimated_tokens(input),
            search_units: self.search_units(),
            ..TokenBound::default()
        }
    }
}

fn bytes_of(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

fn text_of(body: &Body, key: &str, advice: &str) -> Result<String, BadRequest> {
    let Some(field) = Field::of_body(&body.object, key) else {
        let message = format!("Missing required field `{key}`: {advice}.");
        return Err(BadRequest::new("missing_required_parameter", key, message));
    };
    let text = field.str()?;
    if text.trim().is_empty() {
        return Err(field.invalid(format_args!("is empty: {advice}.")));
    }
    Ok(text.to_owned())
}

fn documents_of(body: &Body) -> Result<Vec<String>, BadRequest> {
    let Some(field) = Field::of_body(&body.object, "documents") else {
        let message = "Missing required field `documents`: send an array of texts.";
        return Err(BadRequest::new("missing_required_parameter", "documents", message));
    };
    let elements = field.array()?;
    match elements.len() {
        0 => {
            let message = "`documents` is empty: send at least one text.";
            return Err(BadRequest::new("empty_array", "documents", message));
        }
        length if length > MAX_DOCUMENTS => {
            let message =
                format!("`documents` holds {length} texts: send at most {MAX_DOCUMENTS}.");
            return Err(BadRequest::new("array_above_max_length", "documents", message));
        }
        _ => {}
    }
    let documents = elements.map(|element| {
        if element.value().is_string() {
            return element.str().map(str::to_owned);
        }
        element.object().map_err(|_| element.wrong_type("a text or an object with `text`"))?;
        let Some(text) = element.get("text") else {
            return Err(element.unsupported("must be a text or an object with `text`."));
        };
        text.str().map(str::to_owned)
    });
    documents.collect()
}

impl UnaryRequest for RerankRequest {
    fn dialect(&self) -> Dialect {
        Dialect::Rerank
    }

    fn model(&self) -> Option<&str> {
        Some(&self.model)
    }

    fn calls(&self, model: &Model) -> Result<Vec<(ProviderRequest, TokenBound)>, BadRequest> {
        let (protocol, body, bound) = if model.speaks(Protocol::Rerank) {
            let body = self.body.for_model(model, &["query", "documents"]);
            (Protocol::Rerank, body, self.bound())
        } else if model.speaks(Protocol::BedrockRerank) {
            let search_units = self.search_units();
            let bound = TokenBound { search_units, ..TokenBound::default() };
            (Protocol::BedrockRerank, bedrock::body(self)?.to_string(), bound)
        } else {
            let message = format!(
                "`{}` does not rank documents: name a rerank model of `GET /v1/models`.",
                model.id
            );
            return Err(BadRequest::unsupported("model", message));
        };
        let request = ProviderRequest {
            protocol,
            operation: Operation::Invoke,
            is_streaming: false,
            headers: Vec::new(),
            body: Bytes::from(body),
        };
        Ok(vec![(request, bound)])
    }

    /// Bedrock does not say it; its bill counts search units.
    fn usage(&self, model: &Model, answer: &ProviderAnswer) -> Option<TokenUsage> {
        if !model.speaks(Protocol::Rerank) {
            let search_units = self.search_units();
            return Some(TokenUsage { search_units, ..TokenUsage::default() });
        }
        let body: Value = serde_json::from_slice(&answer.body).ok()?;
        let count = |pointer: &str| body.pointer(pointer).and_then(Value::as_u64);
        let search_units = count("/meta/billed_units/search_units");
        let input =
            count("/usage/total_tokens").or_else(|| count("/meta/billed_units/input_tokens"));
        search_units.or(input)?;
        Some(TokenUsage {
            input: input.unwrap_or(0),
            search_units: search_units.unwrap_or(0),
            ..TokenUsage::default()
        })
    }

    fn render(
        &self,
        model: &Model,
        head: &AnswerHead,
        answers: &[ProviderAnswer],
    ) -> Result<Bytes, ProviderError> {
        let Some(answer) = answers.first() else {
            return Err(unreadable(ProviderErrorKind::Internal, "there is no answer"));
        };
        if model.speaks(Protocol::Rerank) {
            return Ok(answer.body.clone());
        }
        bedrock::render(self, head, answer)
    }
}
