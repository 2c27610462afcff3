//! `InvokeModel` through the AWS SDK, and Rerank over plain HTTP.

use aws_sdk_bedrockruntime::primitives::Blob;
use aws_sdk_bedrockruntime::types::{CountTokensInput, InvokeModelTokensRequest, ResponseStream};
use serde_json::{Value, json};

use crate::support::Sim;

fn claude(text: &str) -> Blob {
    let messages = json!([{"role": "user", "content": text}]);
    let body =
        json!({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 100, "messages": messages});
    Blob::new(body.to_string())
}

async fn invoke(sim: &Sim, model: &str, body: &Value) -> Value {
    let request = sim.bedrock().invoke_model().model_id(model).body(Blob::new(body.to_string()));
    serde_json::from_slice(request.send().await.unwrap().body().as_ref()).unwrap()
}

#[tokio::test]
async fn a_whole_answer_counts_tokens_in_headers() {
    let sim = Sim::start().await;
    let url = format!("{}/model/us.anthropic.claude-sonnet-5/invoke", sim.url);
    let body = claude(r#"[sim {"text":"a b","usage":{"input":12}}]"#).into_inner();
    let response = sim.http.post(url).body(body).send().await.unwrap();
    assert_eq!(response.headers()["x-amzn-bedrock-input-token-count"], "12");
    assert_eq!(response.headers()["x-amzn-bedrock-output-token-count"], "2");
    let answer: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert_eq!(answer["content"][0]["text"], "a b");
    assert_eq!(sim.call().await["api"], "invoke");
}

#[tokio::test]
async fn the_last_chunk_of_a_stream_tells_what_was_used() {
    let sim = Sim::start().await;
    let request = sim.bedrock().invoke_model_with_response_stream().model_id("anthropic.claude-x");
    let mut answer = request.body(claude(r#"[sim {"chunks":["a","b"]}]"#)).send().await.unwrap();
    let mut chunks: Vec<Value> = Vec::new();
    while let Some(event) = answer.body.recv().await.unwrap() {
        let ResponseStream::Chunk(part) = event else { panic!("{event:?}") };
        chunks.push(serde_json::from_slice(part.bytes().unwrap().as_ref()).unwrap());
    }
    let text: Vec<_> = chunks.iter().filter_map(|chunk| chunk["delta"]["text"].as_str()).collect();
    assert_eq!(text, ["a", "b"]);
    let last = chunks.last().unwrap();
    assert_eq!(
        (&last["type"], &last["amazon-bedrock-invocationMetrics"]["outputTokenCount"]),
        (&json!("message_stop"), &json!(2))
    );
}

#[tokio::test]
async fn an_error_within_a_stream_is_bedrocks() {
    let sim = Sim::start().await;
    let request = sim.bedrock().invoke_model_with_response_stream().model_id("anthropic.claude-x");
    let script = r#"[sim {"error_after_chunks":0,"skip_opening":true,"error":{"exception":"ThrottlingException"}}]"#;
    let mut answer = request.body(claude(script)).send().await.unwrap();
    let error = answer.body.recv().await.unwrap_err();
    assert!(error.as_service_error().unwrap().is_throttling_exception());
}

#[tokio::test]
async fn embeddings_have_the_shape_of_their_family() {
    let sim = Sim::start().await;
    let titan = invoke(
        &sim,
        "amazon.titan-embed-text-v2:0",
        &json!({"inputText": "hello", "dimensions": 256, "embeddingTypes": ["float", "binary"]}),
    )
    .await;
    assert_eq!(titan["embedding"].as_array().unwrap().len(), 256);
    assert_eq!(
        (&titan["inputTextTokenCount"], &titan["embedding"]),
        (&json!(2), &titan["embeddingsByType"]["float"])
    );
    let body = json!({"texts": ["a", "b"], "input_type": "search_query"});
    let cohere = invoke(&sim, "cohere.embed-english-v3", &body).await;
    assert_eq!(
        (&cohere["response_type"], cohere["embeddings"][1].as_array().unwrap().len()),
        (&json!("embeddings_floats"), 1024)
    );
    let body = json!({"texts": ["a"], "input_type": "search_query", "embedding_types": ["int8"], "output_dimension": 512});
    let cohere = invoke(&sim, "us.cohere.embed-v4:0", &body).await;
    assert_eq!(cohere["embeddings"]["int8"][0].as_array().unwrap().len(), 512);
    let text = json!({"truncationMode": "END", "value": "a"});
    let params =
        json!({"embeddingPurpose": "GENERIC_INDEX", "embeddingDimension": 384, "text": text});
    let body = json!({"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": params});
    let nova = invoke(&sim, "amazon.nova-2-multimodal-embeddings-v1:0", &body).await;
    assert_eq!(
        (
            &nova["embeddings"][0]["embeddingType"],
            nova["embeddings"][0]["embedding"].as_array().unwrap().len()
        ),
        (&json!("TEXT"), 384)
    );
}

#[tokio::test]
async fn other_families_answer_in_their_own_form() {
    let sim = Sim::start().await;
    let script = r#"[sim {"text":"a b"}]"#;
    let llama =
        invoke(&sim, "meta.llama3-8b-instruct-v1:0", &json!({"prompt": script, "max_gen_len": 1}))
            .await;
    assert_eq!((&llama["generation"], &llama["stop_reason"]), (&json!("a "), &json!("length")));
    let mistral = invoke(&sim, "mistral.mistral-large-2402-v1:0", &json!({"prompt": script})).await;
    assert_eq!(mistral, json!({"outputs": [{"text": "a b", "stop_reason": "stop"}]}));
    let messages = json!([{"role": "user", "content": [{"text": script}]}]);
    let nova = invoke(
        &sim,
        "us.amazon.nova-pro-v1:0",
        &json!({"schemaVersion": "messages-v1", "messages": messages}),
    )
    .await;
    assert_eq!(nova["output"]["message"]["content"][0]["text"], "a b");
    let params = json!({"text": "a cat"});
    let canvas = invoke(&sim, "amazon.nova-canvas-v1:0", &json!({"taskType": "TEXT_IMAGE", "textToImageParams": params, "imageGenerationConfig": {"numberOfImages": 2}})).await;
    assert_eq!(canvas["images"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_tokens_of_a_body_are_counted() {
    let sim = Sim::start().await;
    let body = InvokeModelTokensRequest::builder().body(claude("12345")).build().unwrap();
    let request = sim.bedrock().count_tokens().model_id("anthropic.claude-x");
    let counted = request.input(CountTokensInput::InvokeModel(body)).send().await.unwrap();
    assert_eq!(counted.input_tokens(), 2);
}

#[tokio::test]
async fn documents_are_ranked_by_shared_words() {
    let sim = Sim::start().await;
    let source = |text: &str| json!({"type": "INLINE", "inlineDocumentSource": {"type": "TEXT", "textDocument": {"text": text}}});
    let arn = "arn:aws:bedrock:us-west-2::foundation-model/cohere.rerank-v3-5:0";
    let request = json!({
        "queries": [{"type": "TEXT", "textQuery": {"text": "capital France"}}],
        "sources": [source("nothing"), source("the capital of France")],
        "rerankingConfiguration": {"type": "BEDROCK_RERANKING_MODEL", "bedrockRerankingConfiguration": {"numberOfResults": 1, "modelConfiguration": {"modelArn": arn}}},
    });
    let (status, answer) = sim.ask("/rerank", &request).await;
    assert_eq!((status, answer), (200, json!({"results": [{"index": 1, "relevanceScore": 1.0}]})));
    assert_eq!(sim.call().await["model"], arn);
    let (status, _) = sim.ask("/rerank", &json!({"queries": []})).await;
    assert_eq!(status, 400);
}
