//! Parsing, and the calls that a request takes.

use bytes::Bytes;
use metering::TokenUsage;
use serde_json::Value;

use super::invoke;
use crate::protocol::unreadable;
use crate::wire::body::{Body, model_of};
use crate::wire::field::Field;
use crate::{
    AnswerHead, BadRequest, Dialect, Model, Operation, Protocol, ProviderAnswer, ProviderError,
    ProviderErrorKind, ProviderRequest, TokenBound, UnaryRequest, estimated_tokens,
};

/// Fields by which the gateway judges a call.
const JUDGED: [&str; 3] = ["model", "input", "dimensions"];

/// Texts of one request at most, as OpenAI has it.
const MAX_INPUTS: usize = 2_048;

/// A request to `POST /v1/embeddings`, with its original bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddingsRequest {
    body: Body,
    model: String,
    input: Input,
    pub(super) dimensions: Option<u64>,
    pub(super) is_base64: bool,
    pub(super) input_type: InputType,
}

#[derive(Debug, Clone, PartialEq)]
enum Input {
    Texts(Vec<String>),
    /// How many tokens each input has.
    Tokens(Vec<u64>),
}

/// What the vectors are for, in Cohere's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InputType {
    SearchDocument,
    SearchQuery,
    Classification,
    Clustering,
}

impl EmbeddingsRequest {
    /// Reads a request from any bytes; never panics.
    pub fn parse(body: &[u8]) -> Result<Self, BadRequest> {
        let body = Body::parse(body, &JUDGED)?;
        let model = model_of(&body.object)?;
        let input = input_of(&body)?;
        let dimensions = Field::of_body(&body.object, "dimensions");
        let dimensions = dimensions.map(|field| field.positive_integer()).transpose()?;
        let is_base64 = match Field::of_body(&body.object, "encoding_format") {
            None => false,
            Some(field) => match field.str()? {
                "float" => false,
                "base64" => true,
                _ => return Err(field.invalid("must be `float` or `base64`.")),
            },
        };
        let input_type = input_type_of(&body)?;
        Ok(Self { body, model, input, dimensions, is_base64, input_type })
    }

    /// The bytes of each text, or the tokens of each input: no input has more tokens.
    fn sizes(&self) -> Vec<u64> {
        match &self.input {
            Input::Texts(texts) => texts.iter().map(|text| bytes_of(text)).collect(),
            Input::Tokens(counts) => counts.clone(),
        }
    }

    /// The texts; a model with a JSON of its own cannot read tokens.
    pub(super) fn texts(&self, model: &Model) -> Result<&[String], BadRequest> {
        match &self.input {
            Input::Texts(texts) => Ok(texts),
            Input::Tokens(_) => Err(BadRequest::unsupported(
                "input",
                format!(
                    "`input` holds tokens, and `{}` reads only texts: send the texts themselves. (In LangChain: `check_embedding_ctx_length=False`.)",
                    model.id
                ),
            )),
        }
    }
}

/// What a call with inputs of these sizes can consume.
pub(super) fn bound_of(model: &Model, sizes: impl IntoIterator<Item = u64>) -> TokenBound {
    let window = u64::from(model.context_window);
    let overhead = u64::from(model.estimate.overhead_tokens);
    let (mut input, mut likely_input) = (overhead, 0_u64);
    for size in sizes {
        input = input.saturating_add(size.min(window));
        likely_input = likely_input.saturating_add(estimated_tokens(size).min(window));
    }
    TokenBound { input, likely_input, ..TokenBound::default() }
}

pub(super) fn bytes_of(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

fn input_of(body: &Body) -> Result<Input, BadRequest> {
    let Some(field) = Field::of_body(&body.object, "input") else {
        let message = "Missing required field `input`: send a text or an array of texts.";
        return Err(BadRequest::new("missing_required_parameter", "input", message));
    };
    let elements = match field.value() {
        Value::String(_) => return Ok(Input::Texts(vec![text_of(&field)?])),
        Value::Array(elements) => elements,
        _ => return Err(field.wrong_type("a string or an array")),
    };
    if elements.is_empty() {
        return Err(BadRequest::new("empty_array", "input", "`input` is empty: send some text."));
    }
    if elements.iter().all(Value::is_number) {
        return Ok(Input::Tokens(vec![tokens_of(&field)?]));
    }
    if elements.len() > MAX_INPUTS {
        let message = format!("`input` holds {} texts: send at most {MAX_INPUTS}.", elements.len());
        return Err(BadRequest::new("array_above_max_length", "input", message));
    }
    if elements.iter().all(Value::is_array) {
        let counts = field.array()?.map(|element| tokens_of(&element));
        return Ok(Input::Tokens(counts.collect::<Result<_, _>>()?));
    }
    let texts = field.array()?.map(|element| text_of(&element));
    Ok(Input::Texts(texts.collect::<Result<_, _>>()?))
}

fn text_of(field: &Field<'_>) -> Result<String, BadRequest> {
    let text = field.str()?;
    if text.is_empty() {
        return Err(field.invalid("is empty: send some text."));
    }
    Ok(text.to_owned())
}

fn tokens_of(field: &Field<'_>) -> Result<u64, BadRequest> {
    let tokens = field.array()?;
    let count = tokens.len();
    if count == 0 {
        return Err(field.invalid("is empty: send some text."));
    }
    for token in tokens {
        if !token.value().is_u64() {
            return Err(token.wrong_type("a token, that is a whole number"));
        }
    }
    Ok(u64::try_from(count).unwrap_or(u64::MAX))
}

fn input_type_of(body: &Body) -> Result<InputType, BadRequest> {
    let Some(field) = Field::of_body(&body.object, "input_type") else {
        return Ok(InputType::SearchDocument);
    };
    // NVIDIA's servers know the first two by other names.
    match field.str()? {
        "search_document" | "passage" => Ok(InputType::SearchDocument),
        "search_query" | "query" => Ok(InputType::SearchQuery),
        "classification" => Ok(InputType::Classification),
        "clustering" => Ok(InputType::Clustering),
        _ => Err(field.invalid(
            "must be `search_document`, `search_query`, `classification` or `clustering`.",
        )),
    }
}

impl UnaryRequest for EmbeddingsRequest {
    fn dialect(&self) -> Dialect {
        Dialect::OpenaiEmbeddings
    }

    fn model(&self) -> Option<&str> {
        Some(&self.model)
    }

    fn calls(&self, model: &Model) -> Result<Vec<(ProviderRequest, TokenBound)>, BadRequest> {
        if model.speaks(Protocol::OpenaiEmbeddings) {
            let body = self.body.for_model(model, &["input"]);
            let request = request(Protocol::OpenaiEmbeddings, body);
            return Ok(vec![(request, bound_of(model, self.sizes()))]);
        }
        let calls = invoke::calls(self, model)?.into_iter();
        Ok(calls.map(|(body, bound)| (request(Protocol::InvokeModel, body), bound)).collect())
    }

    fn usage(&self, model: &Model, answer: &ProviderAnswer) -> Option<TokenUsage> {
        let input = if model.speaks(Protocol::OpenaiEmbeddings) {
            let body: Value = serde_json::from_slice(&answer.body).ok()?;
            let count = |pointer: &str| body.pointer(pointer).and_then(Value::as_u64);
            count("/usage/prompt_tokens").or_else(|| count("/usage/total_tokens"))
        } else {
            invoke::input_tokens(answer)
        }?;
        Some(TokenUsage { input, ..TokenUsage::default() })
    }

    fn render(
        &self,
        model: &Model,
        head: &AnswerHead,
        answers: &[ProviderAnswer],
    ) -> Result<Bytes, ProviderError> {
        if !model.speaks(Protocol::OpenaiEmbeddings) {
            return invoke::render(self, model, head, answers);
        }
        let answer = answers.first().map(|answer| answer.body.clone());
        answer.ok_or_else(|| unreadable(ProviderErrorKind::Internal, "there is no answer"))
    }
}

fn request(protocol: Protocol, body: String) -> ProviderRequest {
    ProviderRequest {
        protocol,
        operation: Operation::Invoke,
        is_streaming: false,
        headers: Vec::new(),
        body: Bytes::from(body),
    }
}
