//! Requests that are answered at once: embeddings and reranking.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use inference::embeddings::EmbeddingsRequest;
use inference::rerank::RerankRequest;
use inference::{AnswerHead, BadRequest, Model, ProviderAnswer, UnaryRequest};
use serde_json::{Value, json};

use crate::said::MODEL;

const TEXTS: [&str; 3] = ["Oslo", "Tromsø \"north\"", "Rome"];

/// Who makes vectors or scores.
struct Provider {
    name: &'static str,
    protocol: &'static str,
    body: Value,
}

impl Provider {
    fn model(&self) -> Model {
        let mut model = json!({
            "id": MODEL, "provider_model_id": MODEL, "protocols": [self.protocol], "owned_by": "vendor",
            "created": 0, "context_window": 8_192, "max_output_tokens": 0, "default_max_tokens": 0,
            "capabilities": {},
        });
        if !self.body.is_null() {
            model["body"] = json!({ "format": self.body });
        }
        serde_json::from_value(model).unwrap()
    }
}

/// Asks all that the request takes, and returns the client's answer and the tokens that are metered.
fn ask(
    request: &dyn UnaryRequest,
    model: &Model,
    answer: impl Fn(&Value) -> (Value, u64),
) -> Result<(Value, u64), BadRequest> {
    let mut metered = 0;
    let mut answers = Vec::new();
    for (call, bound) in request.calls(model)? {
        let (body, tokens) = answer(&serde_json::from_slice(&call.body).unwrap());
        let header = ("x-amzn-bedrock-input-token-count".to_owned(), tokens.to_string());
        let answer = ProviderAnswer {
            headers: vec![header],
            body: body.to_string().into(),
            ..ProviderAnswer::default()
        };
        let usage = request.usage(model, &answer).unwrap();
        assert!(usage.input <= bound.input && usage.search_units <= bound.search_units);
        metered += usage.input;
        answers.push(answer);
    }
    let head = AnswerHead {
        call_id: "01890a5d".to_owned(),
        created: 1_763_856_000,
        model: MODEL.to_owned(),
        likely_input: 12,
    };
    let body = request.render(model, &head, &answers).unwrap();
    Ok((serde_json::from_slice(&body).unwrap(), metered))
}

fn tokens(text: &Value) -> u64 {
    match text {
        Value::String(text) => u64::try_from(text.chars().count()).unwrap(),
        tokens => u64::try_from(tokens.as_array().unwrap().len()).unwrap(),
    }
}

/// A vector from which its text can be told.
fn vector(text: &Value) -> Value {
    json!([tokens(text), 0.5])
}

fn embed(body: &Value) -> (Value, u64) {
    if let Some(text) = body.get("inputText") {
        let count = tokens(text);
        let vector = vector(text);
        return (
            json!({"embedding": vector, "embeddingsByType": {"float": vector}, "inputTextTokenCount": count}),
            count,
        );
    }
    if let Some(text) = body.pointer("/singleEmbeddingParams/text/value") {
        return (
            json!({"embeddings": [{"embeddingType": "TEXT", "embedding": vector(text)}]}),
            tokens(text),
        );
    }
    if let Some(texts) = body.get("texts").and_then(Value::as_array) {
        let vectors: Vec<_> = texts.iter().map(vector).collect();
        let answer = json!({"embeddings": {"float": vectors}, "id": "1", "texts": texts, "response_type": "embeddings_by_type"});
        return (answer, texts.iter().map(tokens).sum());
    }
    let inputs = match &body["input"] {
        Value::Array(elements) if !elements[0].is_number() => elements.clone(),
        one => vec![one.clone()],
    };
    let is_base64 = body.get("encoding_format").is_some_and(|format| format == "base64");
    let data: Vec<_> = inputs
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let vector = if is_base64 { base64_of(&vector(text)) } else { vector(text) };
            json!({"object": "embedding", "index": index, "embedding": vector})
        })
        .collect();
    let count: u64 = inputs.iter().map(tokens).sum();
    let usage = json!({"prompt_tokens": count, "total_tokens": count});
    (json!({"object": "list", "data": data, "model": MODEL, "usage": usage}), count)
}

#[expect(clippy::cast_possible_truncation, reason = "vectors are in single precision")]
fn base64_of(vector: &Value) -> Value {
    let numbers = vector.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32);
    STANDARD.encode(numbers.flat_map(f32::to_le_bytes).collect::<Vec<u8>>()).into()
}

fn embeddings(provider: &Provider, fields: &Value) -> Result<(), BadRequest> {
    let mut body = json!({ "model": MODEL });
    body.as_object_mut().unwrap().extend(fields.as_object().cloned().unwrap());
    let request = EmbeddingsRequest::parse(body.to_string().as_bytes())?;
    let (answer, metered) = ask(&request, &provider.model(), embed)?;
    let inputs = match &fields["input"] {
        Value::Array(elements) if elements[0].is_string() => elements.clone(),
        one => vec![one.clone()],
    };
    let is_base64 = fields.get("encoding_format").is_some();
    let expected: Vec<_> = inputs
        .iter()
        .map(|text| if is_base64 { base64_of(&vector(text)) } else { vector(text) })
        .collect();
    let data = answer["data"].as_array().unwrap();
    assert_eq!(data.len(), expected.len());
    for (index, (entry, expected)) in data.iter().zip(expected).enumerate() {
        assert_eq!((&entry["index"], &entry["object"]), (&index.into(), &"embedding".into()));
        let numbers = |vector: &Value| -> Value {
            vector.as_array().map_or(vector.clone(), |it| it.iter().map(Value::as_f64).collect())
        };
        assert_eq!(numbers(&entry["embedding"]), numbers(&expected));
    }
    let count: u64 = inputs.iter().map(tokens).sum();
    assert_eq!((&answer["usage"]["prompt_tokens"], metered), (&count.into(), count));
    Ok(())
}

/// The more a text is about Rome, the better.
fn score(body: &Value) -> (Value, u64) {
    let is_bedrock = body.get("queries").is_some();
    let (documents, top) = if is_bedrock {
        let sources = body["sources"].as_array().unwrap().iter();
        let texts = sources.map(|it| it["inlineDocumentSource"]["textDocument"]["text"].clone());
        let configuration = &body["rerankingConfiguration"]["bedrockRerankingConfiguration"];
        (texts.collect(), configuration["numberOfResults"].as_u64())
    } else {
        (body["documents"].as_array().unwrap().clone(), body["top_n"].as_u64())
    };
    let mut order: Vec<usize> = (0..documents.len()).rev().collect();
    order.truncate(top.map_or(documents.len(), |top| usize::try_from(top).unwrap()));
    let results: Vec<_> = order
        .iter()
        .map(|index| {
            if is_bedrock {
                return json!({"index": index, "relevanceScore": 0.25});
            }
            let mut result = json!({"index": index, "relevance_score": 0.25});
            if body["return_documents"] == true {
                result["document"] = json!({"text": documents[*index]});
            }
            result
        })
        .collect();
    let units = json!({"billed_units": {"search_units": 1}});
    (json!({"id": "1", "results": results, "meta": units}), 0)
}

fn rerank(provider: &Provider, fields: &Value) -> Result<(), BadRequest> {
    let mut body = json!({"model": MODEL, "query": "Rome", "documents": TEXTS});
    body.as_object_mut().unwrap().extend(fields.as_object().cloned().unwrap());
    let request = RerankRequest::parse(body.to_string().as_bytes())?;
    let (answer, _) = ask(&request, &provider.model(), score)?;
    let results = answer["results"].as_array().unwrap();
    let top = fields["top_n"].as_u64().unwrap_or(3);
    assert_eq!(results.len(), usize::try_from(top).unwrap());
    for (place, result) in results.iter().enumerate() {
        let index = 2 - place;
        assert_eq!((&result["index"], &result["relevance_score"]), (&index.into(), &0.25.into()));
        let is_wanted = fields["return_documents"] == true;
        assert_eq!(result["document"]["text"] == TEXTS[index], is_wanted);
    }
    assert_eq!(answer["meta"]["billed_units"]["search_units"], 1);
    Ok(())
}

type Run = fn(&Provider, &Value) -> Result<(), BadRequest>;

fn table(title: &str, columns: &[(&str, Value)], providers: &[Provider], run: Run) -> String {
    let mut reasons = Vec::new();
    let mut table = format!("## {title}\n\n| model asked by |");
    for (column, _) in columns {
        write!(table, " {column} |").unwrap();
    }
    table.push_str("\n|---|");
    table.push_str(&"---|".repeat(columns.len()));
    for provider in providers {
        write!(table, "\n| {} |", provider.name).unwrap();
        for (column, fields) in columns {
            match run(provider, fields) {
                Ok(()) => table.push_str(" pass |"),
                Err(refused) => {
                    table.push_str(" refused |");
                    reasons.push(format!("- {}, {column}: {refused}", provider.name));
                }
            }
        }
    }
    table.push('\n');
    if !reasons.is_empty() {
        write!(table, "\nRefused:\n\n{}\n", reasons.join("\n")).unwrap();
    }
    table
}

/// The tables of both dialects.
pub(crate) fn tables() -> [String; 2] {
    let vendor =
        |name, format: &str| Provider { name, protocol: "invoke_model", body: format.into() };
    let own = |name, protocol| Provider { name, protocol, body: Value::Null };
    let embeddings_table = table(
        "OpenAI Embeddings",
        &[
            ("one text", json!({"input": TEXTS[0]})),
            ("several texts", json!({ "input": TEXTS })),
            ("base64", json!({"input": TEXTS, "encoding_format": "base64"})),
            ("dimensions", json!({"input": TEXTS, "dimensions": 256})),
            ("tokens for text", json!({"input": [1, 2, 3]})),
        ],
        &[
            own("Embeddings", "openai_embeddings"),
            vendor("InvokeModel, Titan", "titan_embed"),
            vendor("InvokeModel, Cohere", "cohere_embed"),
            vendor("InvokeModel, Nova", "nova_embed"),
        ],
        embeddings,
    );
    let rerank_table = table(
        "Rerank, as Cohere and Jina have it",
        &[
            ("texts", json!({})),
            ("the best only", json!({"top_n": 2})),
            ("texts returned", json!({"return_documents": true})),
        ],
        &[own("Rerank", "rerank"), own("Bedrock Rerank", "bedrock_rerank")],
        rerank,
    );
    [embeddings_table, rerank_table]
}
