//! Bodies of embedding models.

use serde_json::{Map, Value, json};

use super::{malformed, only};
use crate::call::Read;
use crate::error::Fault;
use crate::fixed::Fixed;
use crate::prompt::{Prompt, list, set, text};
use crate::vectors::{bits, bytes, embedding};

const MAX_TEXTS: usize = 96;

fn dimensions(body: &Value, key: &str, allowed: &[usize]) -> Result<usize, Fault> {
    let Some(default) = allowed.first().copied() else { return Ok(0) };
    let Some(asked) = body.get(key) else { return Ok(default) };
    let asked = asked.as_u64().and_then(|asked| usize::try_from(asked).ok()).unwrap_or_default();
    if allowed.contains(&asked) {
        return Ok(asked);
    }
    malformed(&format!("#/{key}: {asked} is not a valid enum value"))
}

/// Titan Text Embeddings v2: one text per call.
pub(super) fn titan(body: &Value) -> Result<Read, Fault> {
    only(body, &["inputText", "dimensions", "normalize", "embeddingTypes"])?;
    let Some(input) = text(body, "inputText").filter(|input| !input.is_empty()) else {
        return malformed("#: required key [inputText] not found");
    };
    let vector = embedding(input, dimensions(body, "dimensions", &[1024, 512, 256])?);
    let binary = || vector.iter().map(|value| u8::from(*value > 0.0)).collect::<Value>();
    let mut types: Vec<_> = list(body, "embeddingTypes").iter().filter_map(Value::as_str).collect();
    if types.is_empty() {
        types.push("float");
    }
    let mut by_type = Map::new();
    for kind in types {
        by_type.insert(
            kind.to_owned(),
            match kind {
                "float" => json!(vector),
                "binary" => binary(),
                _ => {
                    return malformed(&format!(
                        "#/embeddingTypes: {kind} is not a valid enum value"
                    ));
                }
            },
        );
    }
    let prompt = Prompt::wordless([input]);
    let mut answer =
        json!({"embeddingsByType": by_type, "inputTextTokenCount": prompt.tally.tokens()});
    if by_type.contains_key("float") {
        set(&mut answer, "embedding", json!(vector));
    }
    Ok(Fixed::weighed(prompt, answer))
}

/// Cohere Embed v3 and v4.
pub(super) fn cohere(model: &str, body: &Value) -> Result<Read, Fault> {
    let is_v4 = model.contains("embed-v4");
    let mut known = vec!["texts", "images", "input_type", "truncate", "embedding_types"];
    if is_v4 {
        known.extend(["inputs", "output_dimension", "max_tokens"]);
    }
    only(body, &known)?;
    let input_type = text(body, "input_type").unwrap_or_default();
    if !["search_document", "search_query", "classification", "clustering", "image"]
        .contains(&input_type)
    {
        return malformed("#: required key [input_type] not found");
    }
    let of_inputs = list(body, "inputs").iter().flat_map(|input| list(input, "content"));
    let of_inputs = of_inputs
        .filter_map(|part| text(part, "text").or_else(|| part.pointer("/image_url/url")?.as_str()));
    let texts: Vec<_> = list(body, "texts").iter().filter_map(Value::as_str).collect();
    let images: Vec<_> = list(body, "images").iter().filter_map(Value::as_str).collect();
    let inputs: Vec<_> = texts.iter().chain(&images).copied().chain(of_inputs).collect();
    if inputs.is_empty() || inputs.len() > MAX_TEXTS {
        return malformed("#/texts: expected 1 to 96 items");
    }
    let size =
        if is_v4 { dimensions(body, "output_dimension", &[1536, 1024, 512, 256])? } else { 1024 };
    let vectors: Vec<_> = inputs.iter().map(|input| embedding(input, size)).collect();
    let types: Vec<_> = list(body, "embedding_types").iter().filter_map(Value::as_str).collect();
    let mut by_type = Map::new();
    for kind in &types {
        let worded: fn(&[f32]) -> Value = match *kind {
            "float" => |vector| json!(vector),
            "int8" => |vector| bytes(vector, 0),
            "uint8" => |vector| bytes(vector, 128),
            "binary" => |vector| bits(vector, 128),
            "ubinary" => |vector| bits(vector, 0),
            _ => return malformed(&format!("#/embedding_types: {kind} is not a valid enum value")),
        };
        by_type.insert((*kind).to_owned(), vectors.iter().map(|vector| worded(vector)).collect());
    }
    let is_by_type = !types.is_empty();
    let answer = json!({
        "id": "embed-sim",
        "embeddings": if is_by_type { Value::Object(by_type) } else { json!(vectors) },
        "texts": texts,
        "response_type": if is_by_type { "embeddings_by_type" } else { "embeddings_floats" },
    });
    let mut prompt =
        Prompt::wordless(inputs.iter().copied().filter(|input| !input.starts_with("data:")));
    prompt.tally.images = inputs.iter().filter(|input| input.starts_with("data:")).count();
    Ok(Fixed::weighed(prompt, answer))
}

/// Nova multimodal embeddings.
pub(super) fn nova(body: &Value) -> Result<Read, Fault> {
    only(body, &["schemaVersion", "taskType", "singleEmbeddingParams"])?;
    if text(body, "taskType") != Some("SINGLE_EMBEDDING") {
        return malformed("#/taskType: only SINGLE_EMBEDDING is answered at once");
    }
    let Some(params) = body.get("singleEmbeddingParams") else {
        return malformed("#: required key [singleEmbeddingParams] not found");
    };
    if text(params, "embeddingPurpose").is_none() {
        return malformed("#/singleEmbeddingParams: required key [embeddingPurpose] not found");
    }
    let size = dimensions(params, "embeddingDimension", &[3072, 1024, 384, 256])?;
    let value = params.pointer("/text/value").and_then(Value::as_str);
    let bytes = params.pointer("/image/source/bytes").and_then(Value::as_str);
    let (kind, input) = match (value, bytes) {
        (Some(value), None) if params.pointer("/text/truncationMode").is_some() => ("TEXT", value),
        (None, Some(bytes)) => ("IMAGE", bytes),
        _ => {
            return malformed(
                "#/singleEmbeddingParams: one of [text] with a truncationMode and [image] is required",
            );
        }
    };
    let vector = embedding(input, size);
    let answer = json!({"embeddings": [{"embeddingType": kind, "embedding": vector}]});
    if kind == "TEXT" {
        return Ok(Fixed::read([input], answer));
    }
    let mut prompt = Prompt::wordless([]);
    prompt.tally.images = 1;
    Ok(Fixed::weighed(prompt, answer))
}
