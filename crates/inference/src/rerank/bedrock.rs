//! Bedrock's `Rerank`
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_agent-runtime_Rerank.html>).

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Number, Value, json};

use super::RerankRequest;
use crate::protocol::unreadable;
use crate::{AnswerHead, BadRequest, ProviderAnswer, ProviderError, ProviderErrorKind};

/// Characters of one text at most.
const MAX_CHARACTERS: usize = 32_000;

/// The body; `{{model_arn}}` is for the adapter to fill in.
pub(super) fn body(request: &RerankRequest) -> Result<Value, BadRequest> {
    refuse_long("query", &request.query)?;
    for (place, document) in request.documents.iter().enumerate() {
        let path = format!("documents[{place}]");
        refuse_long(&path, document)?;
        if document.is_empty() {
            let message = format!("`{path}` is empty: leave it out or send some text.");
            return Err(BadRequest::value(path, message));
        }
    }
    let sources: Vec<_> = request
        .documents
        .iter()
        .map(|text| {
            json!({
                "type": "INLINE",
                "inlineDocumentSource": {"type": "TEXT", "textDocument": {"text": text}},
            })
        })
        .collect();
    Ok(json!({
        "queries": [{"type": "TEXT", "textQuery": {"text": request.query}}],
        "sources": sources,
        "rerankingConfiguration": {
            "type": "BEDROCK_RERANKING_MODEL",
            "bedrockRerankingConfiguration": {
                "numberOfResults": wanted(request),
                "modelConfiguration": {"modelArn": "{{model_arn}}"},
            },
        },
    }))
}

/// How many results there are to be; Bedrock refuses more than there are documents.
fn wanted(request: &RerankRequest) -> usize {
    let count = request.documents.len();
    request.top_n.and_then(|top| usize::try_from(top).ok()).map_or(count, |top| top.min(count))
}

fn refuse_long(path: &str, text: &str) -> Result<(), BadRequest> {
    let length = text.chars().count();
    if length <= MAX_CHARACTERS {
        return Ok(());
    }
    let message = format!(
        "`{path}` has {length} characters: send at most {MAX_CHARACTERS}, for example in several documents."
    );
    Err(BadRequest::new("string_above_max_length", path, message))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    results: Vec<Scored>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Scored {
    index: usize,
    relevance_score: Number,
}

/// The answer in Cohere's shape, with what Jina's clients read besides.
pub(super) fn render(
    request: &RerankRequest,
    head: &AnswerHead,
    answer: &ProviderAnswer,
) -> Result<Bytes, ProviderError> {
    let senseless = |message: String| unreadable(ProviderErrorKind::Internal, message);
    let answer: Answer = serde_json::from_slice(&answer.body)
        .map_err(|error| senseless(format!("the answer holds no scores: {error}")))?;
    if answer.results.len() != wanted(request) {
        return Err(senseless(format!(
            "{} results were wanted and {} given",
            wanted(request),
            answer.results.len()
        )));
    }
    let mut results = Vec::with_capacity(answer.results.len());
    for Scored { index, relevance_score } in answer.results {
        let Some(document) = request.documents.get(index) else {
            return Err(senseless(format!("there is no document {index}")));
        };
        let mut result = json!({"index": index, "relevance_score": relevance_score});
        if request.returns_documents
            && let Value::Object(result) = &mut result
        {
            result.insert("document".to_owned(), json!({ "text": document }));
        }
        results.push(result);
    }
    let search_units = request.search_units();
    let body = json!({
        "id": head.call_id,
        "object": "list",
        "model": head.model,
        "results": results,
        "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": search_units}},
        "usage": {"total_tokens": 0, "search_units": search_units},
    });
    Ok(Bytes::from(body.to_string()))
}
