//! Models on Bedrock that have a JSON of their own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::EmbeddingsRequest;
use super::request::{InputType, bound_of, bytes_of};
use crate::protocol::unreadable;
use crate::{
    AnswerHead, BadRequest, BodyFormat, Model, ProviderAnswer, ProviderError, ProviderErrorKind,
    TokenBound, estimated_tokens,
};

/// A vendor's JSON, as far as vectors go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vendor {
    Titan,
    Cohere,
    Nova,
}

impl Vendor {
    fn of(model: &Model) -> Result<Self, BadRequest> {
        match model.body {
            Some(BodyFormat::TitanEmbed) => Ok(Self::Titan),
            Some(BodyFormat::CohereEmbed) => Ok(Self::Cohere),
            Some(BodyFormat::NovaEmbed) => Ok(Self::Nova),
            _ => {
                let message = format!(
                    "`{}` makes no embeddings: name an embedding model of `GET /v1/models`.",
                    model.id
                );
                Err(BadRequest::unsupported("model", message))
            }
        }
    }

    /// Texts of one call at most.
    fn batch(self) -> usize {
        match self {
            Self::Titan | Self::Nova => 1,
            Self::Cohere => 96,
        }
    }

    /// The lengths that its vectors can be cut to.
    fn dimensions(self) -> &'static [u64] {
        match self {
            Self::Titan => &[256, 512, 1_024],
            Self::Cohere => &[256, 512, 1_024, 1_536],
            Self::Nova => &[256, 384, 1_024, 3_072],
        }
    }

    /// A text that is too long is refused, as OpenAI does, and never cut in silence.
    fn body(self, texts: &[String], dimensions: Option<u64>, input_type: InputType) -> Value {
        let one = texts.first().map(String::as_str).unwrap_or_default();
        let (mut body, place) = match self {
            Self::Titan => (json!({"inputText": one}), "/dimensions"),
            Self::Cohere => (
                json!({
                    "texts": texts,
                    "input_type": cohere_word(input_type),
                    "truncate": "NONE",
                    "embedding_types": ["float"],
                }),
                "/output_dimension",
            ),
            Self::Nova => (
                json!({
                    "schemaVersion": "nova-multimodal-embed-v1",
                    "taskType": "SINGLE_EMBEDDING",
                    "singleEmbeddingParams": {
                        "embeddingPurpose": nova_word(input_type),
                        "text": {"truncationMode": "NONE", "value": one},
                    },
                }),
                "/singleEmbeddingParams/embeddingDimension",
            ),
        };
        if let Some(dimensions) = dimensions
            && let Some((parent, key)) = place.rsplit_once('/')
            && let Some(Value::Object(parent)) = body.pointer_mut(parent)
        {
            parent.insert(key.to_owned(), dimensions.into());
        }
        body
    }
}

fn cohere_word(input_type: InputType) -> &'static str {
    match input_type {
        InputType::SearchDocument => "search_document",
        InputType::SearchQuery => "search_query",
        InputType::Classification => "classification",
        InputType::Clustering => "clustering",
    }
}

fn nova_word(input_type: InputType) -> &'static str {
    match input_type {
        InputType::SearchDocument => "GENERIC_INDEX",
        InputType::SearchQuery => "GENERIC_RETRIEVAL",
        InputType::Classification => "CLASSIFICATION",
        InputType::Clustering => "CLUSTERING",
    }
}

/// The bodies of the calls that `request` takes.
pub(super) fn calls(
    request: &EmbeddingsRequest,
    model: &Model,
) -> Result<Vec<(String, TokenBound)>, BadRequest> {
    let vendor = Vendor::of(model)?;
    let texts = request.texts(model)?;
    let is_dropped = model.drop_fields.iter().any(|field| field == "dimensions");
    let dimensions = request.dimensions.filter(|_| !is_dropped);
    if let Some(dimensions) = dimensions.filter(|it| !vendor.dimensions().contains(it)) {
        let known: Vec<_> = vendor.dimensions().iter().map(u64::to_string).collect();
        let message = format!(
            "`dimensions` is {dimensions}, but vectors of `{}` have {}.",
            model.id,
            known.join(", ")
        );
        return Err(BadRequest::value("dimensions", message));
    }
    let calls = texts.chunks(vendor.batch()).map(|texts| {
        let body = vendor.body(texts, dimensions, request.input_type).to_string();
        (body, bound_of(model, texts.iter().map(|text| bytes_of(text))))
    });
    Ok(calls.collect())
}

/// Tokens, as Bedrock counts them in a header or Titan in its answer.
pub(super) fn input_tokens(answer: &ProviderAnswer) -> Option<u64> {
    let header = answer.header("x-amzn-bedrock-input-token-count");
    header.and_then(|count| count.parse().ok()).or_else(|| {
        let body: Value = serde_json::from_slice(&answer.body).ok()?;
        body.get("inputTextTokenCount")?.as_u64()
    })
}

/// The vectors of an answer, as the text of JSON arrays: numbers stay as they are, to the last digit.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    embedding: Option<&'a RawValue>,
    #[serde(borrow, default)]
    embeddings: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ByType<'a> {
    #[serde(borrow)]
    float: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct NovaVector<'a> {
    #[serde(borrow)]
    embedding: &'a RawValue,
}

fn vectors<'a>(vendor: Vendor, body: &'a [u8]) -> serde_json::Result<Vec<&'a RawValue>> {
    let answer: Answer<'a> = serde_json::from_slice(body)?;
    let several = answer.embeddings.map_or("[]", RawValue::get);
    match vendor {
        Vendor::Titan => Ok(answer.embedding.into_iter().collect()),
        Vendor::Cohere if several.starts_with('{') => {
            Ok(serde_json::from_str::<ByType<'a>>(several)?.float)
        }
        Vendor::Cohere => serde_json::from_str(several),
        Vendor::Nova => {
            let vectors: Vec<NovaVector<'a>> = serde_json::from_str(several)?;
            Ok(vectors.into_iter().map(|vector| vector.embedding).collect())
        }
    }
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Embedding<'a>>,
    model: &'a str,
    usage: Usage,
}

#[derive(Serialize)]
struct Embedding<'a> {
    object: &'static str,
    index: usize,
    #[serde(rename = "embedding")]
    vector: Vector<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector<'a> {
    Numbers(&'a RawValue),
    Base64(String),
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// One list of the vectors of all answers.
pub(super) fn render(
    request: &EmbeddingsRequest,
    model: &Model,
    head: &AnswerHead,
    answers: &[ProviderAnswer],
) -> Result<Bytes, ProviderError> {
    let senseless = |message: String| unreadable(ProviderErrorKind::Internal, message);
    let (Ok(vendor), Ok(texts)) = (Vendor::of(model), request.texts(model)) else {
        return Err(senseless("the call was of another kind".to_owned()));
    };
    let mut data = Vec::with_capacity(texts.len());
    let mut prompt_tokens = 0_u64;
    for (texts, answer) in texts.chunks(vendor.batch()).zip(answers) {
        let vectors = vectors(vendor, &answer.body)
            .map_err(|error| senseless(format!("the answer holds no vectors: {error}")))?;
        if vectors.len() != texts.len() {
            return Err(senseless(format!(
                "{} texts were answered by {} vectors",
                texts.len(),
                vectors.len()
            )));
        }
        for vector in vectors {
            let numbers = serde_json::from_str::<Vec<f32>>(vector.get())
                .map_err(|error| senseless(format!("a vector is not of numbers: {error}")))?;
            let vector = if request.is_base64 {
                Vector::Base64(packed(&numbers))
            } else {
                Vector::Numbers(vector)
            };
            data.push(Embedding { object: "embedding", index: data.len(), vector });
        }
        let tokens = input_tokens(answer)
            .unwrap_or_else(|| texts.iter().map(|text| estimated_tokens(bytes_of(text))).sum());
        prompt_tokens = prompt_tokens.saturating_add(tokens);
    }
    if data.len() != texts.len() {
        return Err(senseless(format!("{} of {} texts were answered", data.len(), texts.len())));
    }
    let usage = Usage { prompt_tokens, total_tokens: prompt_tokens };
    let list = List { object: "list", data, model: &head.model, usage };
    serde_json::to_vec(&list).map(Bytes::from).map_err(|error| senseless(error.to_string()))
}

/// Little-endian single precision, in base64: what SDKs ask for and unpack.
fn packed(numbers: &[f32]) -> String {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}
