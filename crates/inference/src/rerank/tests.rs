use proptest::prelude::*;
use serde_json::{Value, json};

use super::RerankRequest;
use crate::{
    AnswerHead, BadRequest, Dialect, Model, Protocol, ProviderAnswer, UnaryRequest, fixtures,
};

fn native() -> Model {
    Model {
        provider_model_id: "BAAI/bge-reranker".to_owned(),
        ..fixtures::model("bge-reranker", Protocol::Rerank)
    }
}

fn bedrock() -> Model {
    fixtures::model("cohere.rerank-v3-5:0", Protocol::BedrockRerank)
}

fn parse(body: &Value) -> Result<RerankRequest, BadRequest> {
    RerankRequest::parse(body.to_string().as_bytes())
}

fn asking(fields: Value) -> RerankRequest {
    let mut body = json!({"model": "m", "query": "q", "documents": ["a", {"text": "b"}, "c"]});
    if let (Value::Object(body), Value::Object(fields)) = (&mut body, fields) {
        body.extend(fields);
    }
    parse(&body).unwrap()
}

fn head() -> AnswerHead {
    AnswerHead { call_id: "1".to_owned(), created: 7, model: "m".to_owned(), likely_input: 0 }
}

fn answer(body: &Value) -> ProviderAnswer {
    ProviderAnswer { body: body.to_string().into(), ..ProviderAnswer::default() }
}

#[track_caller]
fn refuses(fields: Value, param: &str, words: &str) {
    let mut body = json!({"model": "m", "query": "q", "documents": ["a"]});
    if let (Value::Object(body), Value::Object(fields)) = (&mut body, fields) {
        body.extend(fields);
    }
    let error = parse(&body).expect_err("should be refused");
    assert_eq!(error.param.as_deref(), Some(param), "{error}");
    assert!(error.message.contains(words), "{error}");
}

#[test]
fn what_is_wrong_is_named() {
    refuses(json!({"model": null}), "model", "GET /v1/models");
    refuses(json!({"query": " "}), "query", "empty");
    refuses(json!({"query": null}), "query", "Missing");
    refuses(json!({"documents": []}), "documents", "empty");
    refuses(json!({"documents": "a"}), "documents", "an array");
    refuses(json!({"documents": ["a", 1]}), "documents[1]", "an object with `text`");
    refuses(json!({"documents": [{"image": "x"}]}), "documents[0]", "an object with `text`");
    refuses(json!({"documents": vec!["a"; 1_001]}), "documents", "at most 1000");
    refuses(json!({"top_n": 0}), "top_n", "at least 1");
    refuses(json!({"return_documents": 1}), "return_documents", "a boolean");
    refuses(json!({"rank_fields": ["title"]}), "rank_fields", "not available");
    refuses(json!({"Query": "x"}), "Query", "write `query`");
    assert_eq!(asking(json!({"rank_fields": []})).dialect(), Dialect::Rerank);
}

#[test]
fn a_server_of_the_dialect_gets_the_clients_bytes() {
    let body = br#"{"model" : "m","query":"q","documents":["a", {"text":"b"}],"max_tokens_per_doc":9,"x":1.0}"#;
    let request = RerankRequest::parse(body).unwrap();
    let model = Model { drop_fields: vec!["x".to_owned(), "query".to_owned()], ..native() };
    let calls = request.calls(&model).unwrap();
    let expected = r#"{"model" : "BAAI/bge-reranker","query":"q","documents":["a", {"text":"b"}],"max_tokens_per_doc":9}"#;
    assert_eq!((calls.len(), str::from_utf8(&calls[0].0.body).unwrap()), (1, expected));
    assert_eq!((calls[0].1.input, calls[0].1.search_units), (4, 1));

    let cohere = answer(&json!({"results": [], "meta": {"billed_units": {"search_units": 2}}}));
    assert_eq!(request.usage(&model, &cohere).unwrap().search_units, 2);
    let jina = answer(&json!({"results": [], "usage": {"total_tokens": 12}}));
    assert_eq!(request.usage(&model, &jina).unwrap().input, 12);
    assert_eq!(request.usage(&model, &answer(&json!({"results": []}))), None);
    assert_eq!(request.render(&model, &head(), std::slice::from_ref(&jina)).unwrap(), jina.body);
}

#[test]
fn bedrock_is_asked_in_its_own_json() {
    let request = asking(json!({"top_n": 2}));
    let calls = request.calls(&bedrock()).unwrap();
    let body: Value = serde_json::from_slice(&calls[0].0.body).unwrap();
    insta::assert_json_snapshot!(body);
    assert_eq!((calls[0].0.protocol, calls[0].1.search_units), (Protocol::BedrockRerank, 1));
    let many = asking(json!({"documents": vec!["a"; 101], "top_n": 5_000}));
    let calls = many.calls(&bedrock()).unwrap();
    assert_eq!(calls[0].1.search_units, 2);
    let body: Value = serde_json::from_slice(&calls[0].0.body).unwrap();
    let wanted = "/rerankingConfiguration/bedrockRerankingConfiguration/numberOfResults";
    assert_eq!(body.pointer(wanted), Some(&json!(101)));
}

#[test]
fn bedrocks_answer_becomes_coheres() {
    let said = answer(
        &json!({"results": [{"index": 2, "relevanceScore": 0.75}, {"index": 0, "relevanceScore": 0.5}], "nextToken": null}),
    );
    let request = asking(json!({"top_n": 2, "return_documents": true}));
    let rendered = request.render(&bedrock(), &head(), std::slice::from_ref(&said)).unwrap();
    insta::assert_snapshot!(str::from_utf8(&rendered).unwrap(), @r#"{"id":"1","object":"list","model":"m","results":[{"index":2,"relevance_score":0.75,"document":{"text":"c"}},{"index":0,"relevance_score":0.5,"document":{"text":"a"}}],"meta":{"api_version":{"version":"2"},"billed_units":{"search_units":1}},"usage":{"total_tokens":0,"search_units":1}}"#);
    assert_eq!(request.usage(&bedrock(), &said).unwrap().search_units, 1);
    let plain = asking(json!({"top_n": 2})).render(&bedrock(), &head(), &[said]).unwrap();
    assert!(!str::from_utf8(&plain).unwrap().contains("document"));
}

#[test]
fn what_bedrock_cannot_do_is_refused() {
    let refuses = |fields: Value, model: &Model, param: &str| {
        assert_eq!(asking(fields).calls(model).unwrap_err().param.as_deref(), Some(param));
    };
    refuses(json!({"documents": ["a", "ü".repeat(32_001)]}), &bedrock(), "documents[1]");
    refuses(json!({"documents": ["a", ""]}), &bedrock(), "documents[1]");
    refuses(json!({"query": "q".repeat(32_001)}), &bedrock(), "query");
    refuses(json!({}), &fixtures::model("chat", Protocol::Converse), "model");
    asking(json!({"documents": ["ü".repeat(32_000)]})).calls(&bedrock()).unwrap();
}

#[test]
fn answers_that_make_no_sense_are_errors() {
    let request = asking(json!({"top_n": 1}));
    for body in [
        json!({"results": []}),
        json!({"results": [{"index": 9, "relevanceScore": 1}]}),
        json!({"results": [{"index": 0, "relevanceScore": "x"}]}),
        json!(7),
    ] {
        request.render(&bedrock(), &head(), &[answer(&body)]).unwrap_err();
    }
    request.render(&bedrock(), &head(), &[]).unwrap_err();
}

proptest! {
    #[test]
    fn no_input_makes_it_panic(
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            "\\{\"model\":\"m\",\"query\":\"q\",\"documents\":\\[(\"[aü]{0,2}\"|,|\\{\"text\":\"b\"\\}){0,5}\\],\"top_n\":[0-9]{1,25}\\}".prop_map(String::into_bytes),
        ],
        said in "(\\{\"results\":\\[\\{\"index\":[0-9]{1,2},\"relevanceScore\":0.1\\})?[\\]\\}]{0,2}",
    ) {
        if let Ok(request) = RerankRequest::parse(&body) {
            for model in [native(), bedrock()] {
                let said = ProviderAnswer { body: said.clone().into(), ..ProviderAnswer::default() };
                let _ = (request.calls(&model), request.usage(&model, &said), request.render(&model, &head(), &[said]));
            }
        }
    }
}
