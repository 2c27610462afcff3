//! Ranks documents by the words that they share with the query.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use crate::access::Action;
use crate::arrival::Arrival;
use crate::call::{Asked, Gate, Read, answer};
use crate::error::Fault;
use crate::fixed::Fixed;
use crate::prompt::{list, set, text};
use crate::records::Api;
use crate::server::Sim;
use crate::surface::Surface;
use crate::vectors::ranked;

const MAX_SOURCES: usize = 1000;
const MAX_CHARACTERS: usize = 32_000;
const CONFIGURATION: &str = "/rerankingConfiguration/bedrockRerankingConfiguration";

/// `POST /rerank` of the Bedrock agent runtime
pub(crate) async fn bedrock(State(sim): State<Arc<Sim>>, arrival: Arrival) -> Response {
    let json = arrival.json();
    let arn = format!("{CONFIGURATION}/modelConfiguration/modelArn");
    let model = json.as_ref().ok().and_then(|body| body.pointer(&arn)?.as_str());
    let model = model.unwrap_or_default().to_owned();
    let gate = Gate::Iam(vec![(Action::Rerank, model.clone()), (Action::Invoke, model.clone())]);
    let (api, surface) = (Api::Rerank, Surface::Bedrock);
    let asked = Asked { api, model, surface, gate, is_streamed: false };
    answer(&sim, &arrival, asked, json, read).await
}

fn read(body: &Value) -> Result<Read, Fault> {
    let [query] = list(body, "queries") else {
        return refuse(
            "1 validation error detected: Value at 'queries' failed to satisfy constraint: Member must have length equal to 1",
        );
    };
    let query = query.pointer("/textQuery/text").and_then(Value::as_str).unwrap_or_default();
    if query.is_empty() || query.chars().count() > MAX_CHARACTERS {
        return refuse(
            "1 validation error detected: Value at 'queries.1.member.textQuery.text' failed to satisfy constraint: Member must have length between 1 and 32000",
        );
    }
    let configuration = body.pointer(CONFIGURATION).unwrap_or(&Value::Null);
    let arn = configuration.pointer("/modelConfiguration/modelArn").and_then(Value::as_str);
    if !arn.is_some_and(|arn| arn.starts_with("arn:aws")) {
        return refuse(
            "1 validation error detected: Value at 'rerankingConfiguration.bedrockRerankingConfiguration.modelConfiguration.modelArn' failed to satisfy constraint: Member must satisfy regular expression pattern of an ARN",
        );
    }
    let mut documents = Vec::new();
    for (index, source) in list(body, "sources").iter().enumerate() {
        let document = source.get("inlineDocumentSource").unwrap_or(&Value::Null);
        let said = match text(document, "type") {
            Some("TEXT") => {
                document.pointer("/textDocument/text").and_then(Value::as_str).map(str::to_owned)
            }
            Some("JSON") => document.get("jsonDocument").map(Value::to_string),
            _ => None,
        };
        match said {
            Some(said) if !said.is_empty() && said.chars().count() <= MAX_CHARACTERS => {
                documents.push(said);
            }
            _ => {
                return refuse(format!(
                    "1 validation error detected: Value at 'sources.{}.member.inlineDocumentSource' failed to satisfy constraint: a text of 1 to 32000 characters, or a JSON document",
                    index + 1
                ));
            }
        }
    }
    if documents.is_empty() || documents.len() > MAX_SOURCES {
        return refuse(
            "1 validation error detected: Value at 'sources' failed to satisfy constraint: Member must have length between 1 and 1000",
        );
    }
    let results: Vec<_> = ranked(query, &documents, count(configuration, "numberOfResults"))
        .into_iter()
        .map(|(index, score)| json!({"index": index, "relevanceScore": score}))
        .collect();
    let texts = documents.iter().map(String::as_str).chain([query]);
    Ok(Fixed::read(texts, json!({"results": results})))
}

/// Cohere's and Jina's request, as their servers and `InvokeModel` take it.
///
/// # Errors
/// A request without a query or without documents.
pub(crate) fn read_cohere(body: &Value) -> Result<Read, Fault> {
    let query = text(body, "query").unwrap_or_default();
    let said =
        |document: &Value| document.as_str().or_else(|| text(document, "text")).map(str::to_owned);
    let documents: Option<Vec<_>> = list(body, "documents").iter().map(said).collect();
    let Some(documents) = documents.filter(|documents| !documents.is_empty() && !query.is_empty())
    else {
        return refuse("invalid request: `query` and `documents`, a list of texts, are required");
    };
    let returns_documents = body.get("return_documents").and_then(Value::as_bool).unwrap_or(false);
    let results: Vec<_> = ranked(query, &documents, count(body, "top_n"))
        .into_iter()
        .map(|(index, score)| {
            let mut result = json!({"index": index, "relevance_score": score});
            if returns_documents {
                set(&mut result, "document", json!({"text": documents.get(index)}));
            }
            result
        })
        .collect();
    let texts: Vec<_> = documents.iter().map(String::as_str).chain([query]).collect();
    let tokens: usize = texts.iter().map(|text| text.len().div_ceil(4)).sum();
    let mut answer = json!({"id": "rerank-sim", "results": results});
    // Bedrock's InvokeModel names no model, and gives no usage in the body.
    if let Some(model) = text(body, "model") {
        set(&mut answer, "model", model);
        set(&mut answer, "usage", json!({"prompt_tokens": tokens, "total_tokens": tokens}));
    }
    Ok(Fixed::read(texts, answer))
}

fn count(value: &Value, key: &str) -> Option<usize> {
    value.get(key).and_then(Value::as_u64).and_then(|count| count.try_into().ok())
}

fn refuse<T>(message: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::validation(message))
}
