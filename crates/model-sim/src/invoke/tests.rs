use serde_json::{Value, json};

use super::{Family, family, read};

#[track_caller]
fn refused(model: &str, body: &Value, words: &str) {
    let Err(fault) = read(model, body) else { panic!("{model} was not refused") };
    assert!(fault.message.contains(words), "{}", fault.message);
}

#[test]
fn the_family_is_in_the_id_or_in_the_body() {
    let none = json!({});
    assert_eq!(family("us.anthropic.claude-sonnet-5", &none), Some(Family::Anthropic));
    assert_eq!(
        family("amazon.nova-2-multimodal-embeddings-v1:0", &none),
        Some(Family::NovaEmbeddings)
    );
    assert_eq!(family("amazon.nova-canvas-v1:0", &none), Some(Family::NovaImages));
    assert_eq!(family("us.amazon.nova-pro-v1:0", &none), Some(Family::Nova));
    let arn = "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/abc";
    assert_eq!(family(arn, &json!({"anthropic_version": "x"})), Some(Family::Anthropic));
    assert_eq!(family(arn, &none), None);
}

#[test]
fn bodies_are_strict() {
    let titan = "amazon.titan-embed-text-v2:0";
    refused(titan, &json!({}), "[inputText]");
    refused(titan, &json!({"inputText": "a", "dimensions": 7}), "7 is not a valid");
    refused(titan, &json!({"inputText": "a", "input_type": "x"}), "extraneous key [input_type]");
    let cohere = "cohere.embed-english-v3";
    refused(cohere, &json!({"texts": ["a"]}), "[input_type]");
    refused(cohere, &json!({"texts": vec!["a"; 97], "input_type": "search_query"}), "1 to 96");
    refused(
        cohere,
        &json!({"texts": ["a"], "input_type": "search_query", "output_dimension": 256}),
        "extraneous",
    );
    let nova = "amazon.nova-2-multimodal-embeddings-v1:0";
    refused(nova, &json!({"taskType": "SEGMENTED_EMBEDDING"}), "SINGLE_EMBEDDING");
    refused(
        "amazon.nova-canvas-v1:0",
        &json!({"taskType": "TEXT_IMAGE", "textToImageParams": {}}),
        "[text]",
    );
    refused("meta.llama3-8b-instruct-v1:0", &json!({"prompt": "a", "max_tokens": 1}), "extraneous");
    refused("anthropic.claude-sonnet-5", &json!({"messages": []}), "anthropic_version");
    refused("unknown.model", &json!({}), "model identifier");
}
