//! Tests of the dialect. Answers are as Bedrock gives them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::EmbeddingsRequest;
use crate::{
    AnswerHead, BadRequest, BodyFormat, Dialect, Model, Protocol, ProviderAnswer, UnaryRequest,
    fixtures,
};

fn titan() -> Model {
    bedrock(BodyFormat::TitanEmbed)
}

fn bedrock(format: BodyFormat) -> Model {
    Model {
        context_window: 8_192,
        body: Some(format),
        ..fixtures::model("amazon.embed-test", Protocol::InvokeModel)
    }
}

fn native() -> Model {
    Model {
        provider_model_id: "BAAI/bge-m3".to_owned(),
        ..fixtures::model("bge-m3", Protocol::OpenaiEmbeddings)
    }
}

fn parse(body: &Value) -> Result<EmbeddingsRequest, BadRequest> {
    EmbeddingsRequest::parse(body.to_string().as_bytes())
}

fn asking(fields: Value) -> EmbeddingsRequest {
    let mut body = json!({"model": "m", "input": "hi"});
    if let (Value::Object(body), Value::Object(fields)) = (&mut body, fields) {
        body.extend(fields);
    }
    parse(&body).unwrap()
}

fn bodies(request: &EmbeddingsRequest, model: &Model) -> Vec<Value> {
    let calls = request.calls(model).unwrap();
    calls.iter().map(|(request, _)| serde_json::from_slice(&request.body).unwrap()).collect()
}

fn head() -> AnswerHead {
    AnswerHead { call_id: "1".to_owned(), created: 7, model: "m".to_owned(), likely_input: 0 }
}

fn answer(body: &Value) -> ProviderAnswer {
    ProviderAnswer { body: body.to_string().into(), ..ProviderAnswer::default() }
}

fn rendered(request: &EmbeddingsRequest, model: &Model, answers: &[ProviderAnswer]) -> String {
    let body = request.render(model, &head(), answers).unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

#[track_caller]
fn refuses(body: &Value, param: &str, words: &str) {
    let error = parse(body).expect_err("should be refused");
    assert_eq!(error.param.as_deref(), Some(param), "{error}");
    assert!(error.message.contains(words), "{error}");
}

#[test]
fn what_is_wrong_is_named() {
    refuses(&json!({"input": "hi"}), "model", "GET /v1/models");
    refuses(&json!({"model": "", "input": "hi"}), "model", "empty");
    refuses(&json!({"model": "m"}), "input", "Missing");
    refuses(&json!({"model": "m", "Input": "hi"}), "Input", "write `input`");
    refuses(&json!({"model": "m", "input": 7}), "input", "a string or an array");
    refuses(&json!({"model": "m", "input": ""}), "input", "empty");
    refuses(&json!({"model": "m", "input": []}), "input", "empty");
    refuses(&json!({"model": "m", "input": ["a", ""]}), "input[1]", "empty");
    refuses(&json!({"model": "m", "input": ["a", 1]}), "input[1]", "a string");
    refuses(&json!({"model": "m", "input": [[1], []]}), "input[1]", "empty");
    refuses(&json!({"model": "m", "input": [1, 1.5]}), "input[1]", "whole number");
    refuses(&json!({"model": "m", "input": vec!["a"; 2_049]}), "input", "at most 2048");
    refuses(&json!({"model": "m", "input": "a", "dimensions": 0}), "dimensions", "at least 1");
    refuses(
        &json!({"model": "m", "input": "a", "encoding_format": "int8"}),
        "encoding_format",
        "`base64`",
    );
    refuses(
        &json!({"model": "m", "input": "a", "input_type": "x"}),
        "input_type",
        "`search_query`",
    );
}

#[test]
fn a_server_of_the_dialect_gets_the_clients_bytes() {
    let body =
        br#"{ "model":"m", "input":[[1,2],[3]] ,"encoding_format":"base64","user":"u","x":1.50}"#;
    let request = EmbeddingsRequest::parse(body).unwrap();
    assert_eq!((request.dialect(), request.model()), (Dialect::OpenaiEmbeddings, Some("m")));
    let model = Model { drop_fields: vec!["user".to_owned(), "input".to_owned()], ..native() };
    let calls = request.calls(&model).unwrap();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].0.protocol, Protocol::OpenaiEmbeddings);
    let expected =
        r#"{ "model":"BAAI/bge-m3", "input":[[1,2],[3]] ,"encoding_format":"base64","x":1.50}"#;
    assert_eq!(str::from_utf8(&calls[0].0.body).unwrap(), expected);
    assert_eq!((calls[0].1.input, calls[0].1.output), (500 + 3, 0));
    let said = answer(
        &json!({"object": "list", "data": [], "usage": {"prompt_tokens": 3, "total_tokens": 3}}),
    );
    assert_eq!(request.usage(&model, &said).unwrap().input, 3);
    assert_eq!(request.usage(&model, &answer(&json!({}))), None);
    assert_eq!(request.render(&model, &head(), std::slice::from_ref(&said)).unwrap(), said.body);
}

#[test]
fn titan_takes_one_text_a_call() {
    let request = asking(json!({"input": ["a", "bcd"], "dimensions": 256}));
    let expected = [
        json!({"inputText": "a", "dimensions": 256}),
        json!({"inputText": "bcd", "dimensions": 256}),
    ];
    assert_eq!(bodies(&request, &titan()), expected);
    let bounds: Vec<_> =
        request.calls(&titan()).unwrap().iter().map(|(_, bound)| bound.input).collect();
    assert_eq!(bounds, [501, 503]);
    let answers = [
        answer(&json!({"embedding": [0.1, -2.0], "inputTextTokenCount": 1})),
        answer(&json!({"embedding": [1e-7, 3], "inputTextTokenCount": 2})),
    ];
    insta::assert_snapshot!(rendered(&request, &titan(), &answers), @r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.1,-2.0]},{"object":"embedding","index":1,"embedding":[1e-7,3]}],"model":"m","usage":{"prompt_tokens":3,"total_tokens":3}}"#);
}

#[test]
fn cohere_takes_96_texts_a_call() {
    let texts: Vec<_> = (0..100).map(|index| format!("t{index}")).collect();
    let request = asking(json!({"input": texts, "input_type": "search_query"}));
    let model = bedrock(BodyFormat::CohereEmbed);
    let bodies = bodies(&request, &model);
    assert_eq!(bodies.len(), 2);
    let expected = json!({
        "texts": ["t96", "t97", "t98", "t99"], "input_type": "search_query", "truncate": "NONE", "embedding_types": ["float"],
    });
    assert_eq!(bodies[1], expected);
    let vectors =
        |range: std::ops::Range<u32>| range.map(|index| json!([index])).collect::<Vec<_>>();
    let mut answers = [
        answer(&json!({"embeddings": {"float": vectors(0..96)}})),
        answer(&json!({"embeddings": vectors(96..100)})),
    ];
    answers[1].headers.push(("x-amzn-bedrock-input-token-count".to_owned(), "8".to_owned()));
    let list: Value = serde_json::from_str(&rendered(&request, &model, &answers)).unwrap();
    for (index, embedding) in list["data"].as_array().unwrap().iter().enumerate() {
        assert_eq!(
            (&embedding["index"], &embedding["embedding"]),
            (&json!(index), &json!([index]))
        );
    }
    assert_eq!(list["data"].as_array().unwrap().len(), 100);
    assert_eq!(request.usage(&model, &answers[1]).unwrap().input, 8);
    assert_eq!(list["usage"]["prompt_tokens"], 96 + 8, "the first answer says nothing");
    assert_eq!(bodies_of_dimensions(&model, 1_536)["output_dimension"], 1_536);
}

fn bodies_of_dimensions(model: &Model, dimensions: u64) -> Value {
    bodies(&asking(json!({ "dimensions": dimensions })), model).remove(0)
}

#[test]
fn nova_takes_one_text_a_call() {
    let model = bedrock(BodyFormat::NovaEmbed);
    let body = bodies_of_dimensions(&model, 384);
    let expected = json!({
        "schemaVersion": "nova-multimodal-embed-v1", "taskType": "SINGLE_EMBEDDING",
        "singleEmbeddingParams": {
            "embeddingPurpose": "GENERIC_INDEX", "text": {"truncationMode": "NONE", "value": "hi"}, "embeddingDimension": 384,
        },
    });
    assert_eq!(body, expected);
    let said = answer(&json!({"embeddings": [{"embeddingType": "TEXT", "embedding": [0.5]}]}));
    let list: Value = serde_json::from_str(&rendered(&asking(json!({})), &model, &[said])).unwrap();
    assert_eq!(list["data"][0]["embedding"], json!([0.5]));
}

#[test]
fn what_a_model_cannot_do_is_refused() {
    let refuses = |request: EmbeddingsRequest, model: &Model, param: &str, words: &str| {
        let error = request.calls(model).unwrap_err();
        assert_eq!(error.param.as_deref(), Some(param), "{error}");
        assert!(error.message.contains(words), "{error}");
    };
    refuses(asking(json!({"input": [1, 2]})), &titan(), "input", "reads only texts");
    refuses(asking(json!({"dimensions": 300})), &titan(), "dimensions", "256, 512, 1024");
    let chat = fixtures::model("chat", Protocol::Converse);
    refuses(asking(json!({})), &chat, "model", "makes no embeddings");
    let fixed = Model { drop_fields: vec!["dimensions".to_owned()], ..titan() };
    assert_eq!(bodies_of_dimensions(&fixed, 300), json!({"inputText": "hi"}));
}

#[test]
fn base64_is_little_endian_single_precision() {
    let request = asking(json!({"encoding_format": "base64"}));
    let said = answer(&json!({"embedding": [1.0, -0.5], "inputTextTokenCount": 1}));
    let list: Value = serde_json::from_str(&rendered(&request, &titan(), &[said])).unwrap();
    // 0x3f800000 and 0xbf000000, least byte first.
    assert_eq!(list["data"][0]["embedding"], "AACAPwAAAL8=");
}

#[test]
fn answers_that_make_no_sense_are_errors() {
    let request = asking(json!({"input": ["a", "b"]}));
    let model = bedrock(BodyFormat::CohereEmbed);
    for body in [
        json!({"embeddings": [[1]]}),
        json!({"embeddings": [[1], ["x"]]}),
        json!({"embeddings": {"int8": [[1], [2]]}}),
        json!({}),
        json!([]),
    ] {
        request.render(&model, &head(), &[answer(&body)]).unwrap_err();
    }
    request.render(&model, &head(), &[]).unwrap_err();
    let one = answer(&json!({"embedding": [1]}));
    request.render(&titan(), &head(), &[one]).unwrap_err();
}

proptest! {
    #[test]
    fn no_input_makes_it_panic(
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            "\\{\"model\":\"m\",\"input\":(\"[a-zü]{0,3}\"|\\[([0-9\"a,\\[\\]]|-1){0,8}\\]),\"dimensions\":[0-9]{1,4}\\}".prop_map(String::into_bytes),
        ],
        said in "(\\{\"embeddings?\":)?[\\[\\]\\{\\}\"a-z0-9:,]{0,20}",
    ) {
        if let Ok(request) = EmbeddingsRequest::parse(&body) {
            for model in [native(), titan(), bedrock(BodyFormat::CohereEmbed), bedrock(BodyFormat::NovaEmbed)] {
                let said = ProviderAnswer { body: said.clone().into(), ..ProviderAnswer::default() };
                let _ = (request.calls(&model), request.usage(&model, &said), request.render(&model, &head(), &[said]));
            }
        }
    }
}
