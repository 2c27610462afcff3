use std::path::Path;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{claude, other, parse};
use crate::converse::ConverseCodec;
use crate::invoke_model::InvokeRequest;
use crate::{
    BodyFormat, Codec as _, GenerateRequest as _, Model, Protocol, TokenBound, Upload, fixtures,
};

fn anthropic(fields: Value) -> Value {
    let mut body = json!({
        "anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}],
    });
    if let (Value::Object(body), Value::Object(fields)) = (&mut body, fields) {
        body.extend(fields);
    }
    body
}

#[track_caller]
fn bound(body: &Value, model: &Model) -> TokenBound {
    parse(body).unwrap().bound(model, Some(77)).unwrap()
}

#[track_caller]
fn refuses(body: &Value, model: &Model, param: Option<&str>) {
    let error = parse(body).unwrap().bound(model, None).unwrap_err();
    assert_eq!(error.param.as_deref(), param, "{error}");
}

#[track_caller]
fn forwards(body: &Value, model: &Model, expected: &Value) {
    let forwarded = parse(body).unwrap().forward(model, 64).unwrap();
    assert_eq!(forwarded.protocol, Protocol::InvokeModel);
    assert_eq!(str::from_utf8(&forwarded.body).unwrap(), expected.to_string());
}

#[test]
fn requests_of_boto3_pass_as_they_are_and_can_be_translated() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/recorded/boto3_invoke");
    let converse = fixtures::model("amazon.nova", Protocol::Converse);
    for turn in ["01", "02", "03"] {
        let file = std::fs::read(folder.join(turn).with_extension("json")).unwrap();
        let recorded: Value = serde_json::from_slice(&file).unwrap();
        let body = recorded["body"].to_string();
        let request = InvokeRequest::parse("claude", true, body.as_bytes(), &[]).unwrap();
        assert!(request.is_streaming() && request.model() == "claude");
        let bound = request.bound(&claude(), None).unwrap();
        assert_eq!(bound.output, 2_048);
        assert_eq!(request.forward(&claude(), bound.max_tokens).unwrap().body, body);

        let canonical = request.to_canonical(&converse, 64).unwrap();
        ConverseCodec.write(&canonical, &converse, true).unwrap();
    }
}

#[test]
fn messages_are_bounded_by_their_own_maximum() {
    assert_eq!(bound(&anthropic(json!({})), &claude()).output, 9);
    refuses(&anthropic(json!({"max_tokens": 9_000})), &claude(), Some("max_tokens"));
    refuses(&anthropic(json!({"speed": "fast"})), &claude(), Some("speed"));
    assert!(parse(&anthropic(json!({"max_tokens": null}))).is_err());
    assert!(parse(&anthropic(json!({"messages": []}))).is_err());
    assert!(parse(&anthropic(json!({"anthropic_beta": [1]}))).is_err());
}

/// A body that only looks like a message must not get past the limits of the model's own JSON.
#[test]
fn the_registry_says_whose_json_a_model_takes() {
    let nova = other(Some("/inferenceConfig/maxTokens"), None);
    let body = anthropic(json!({"inferenceConfig": {"maxTokens": 9_000}}));
    refuses(&body, &nova, Some("inferenceConfig.maxTokens"));
    let body = anthropic(json!({}));
    assert_eq!(bound(&body, &nova).output, 77);
    let mut expected = body.clone();
    expected["inferenceConfig"] = json!({"maxTokens": 64});
    forwards(&body, &nova, &expected);
}

#[test]
fn the_maximum_stands_where_the_registry_says() {
    let model = other(Some("/config/max"), None);
    assert_eq!(bound(&json!({"config": {"max": 5}}), &model).output, 5);
    assert_eq!(bound(&json!({"config": {}}), &model).output, 77, "the tenant's default is added");
    assert_eq!(bound(&json!({"config": 1}), &model).output, 8_192, "it cannot be added");
    assert_eq!(bound(&json!({"x": 1}), &other(None, None)).output, 8_192, "nobody knows its place");
    let none = Model { body: None, ..other(None, None) };
    assert_eq!(bound(&json!({"x": 1}), &none).output, 8_192);
    refuses(&json!({"config": {"max": 8_193}}), &model, Some("config.max"));
    refuses(&json!({"config": {"max": "5"}}), &model, Some("config.max"));
    refuses(&json!({"config": {"max": 0}}), &model, Some("config.max"));
    refuses(&json!({"config": {"Max": 5}}), &model, Some("Max"));

    forwards(&json!({"config": {"max": 5}}), &model, &json!({"config": {"max": 5}}));
    forwards(&json!({"x": 1}), &model, &json!({"x": 1, "config": {"max": 64}}));
    forwards(&json!({"x": 1}), &other(None, None), &json!({"x": 1}));
}

#[test]
fn pictures_and_vectors_are_bounded() {
    let pictures = other(None, Some("/imageGenerationConfig/numberOfImages"));
    assert_eq!(bound(&json!({"prompt": "a"}), &pictures).images, 1);
    assert_eq!(
        bound(&json!({"imageGenerationConfig": {"numberOfImages": 4}}), &pictures).images,
        4
    );
    refuses(
        &json!({"imageGenerationConfig": {"numberOfImages": 1.5}}),
        &pictures,
        Some("imageGenerationConfig.numberOfImages"),
    );
    assert_eq!(bound(&json!({"prompt": "a"}), &other(None, None)).images, 0);
    for format in [BodyFormat::TitanEmbed, BodyFormat::CohereEmbed, BodyFormat::NovaEmbed] {
        let model = Model { body: Some(format), ..other(None, None) };
        let bound = bound(&json!({"inputText": "x".repeat(3_000)}), &model);
        assert_eq!(bound.output, 0);
        assert!((3_000..4_000).contains(&bound.input));
    }
}

#[test]
fn a_vendors_json_goes_to_models_that_speak_it_only() {
    let converse = fixtures::model("vendor.other", Protocol::Converse);
    refuses(&json!({"inputText": "a"}), &converse, None);
    let request = parse(&json!({"inputText": "a"})).unwrap();
    assert!(request.to_canonical(&converse, 9).unwrap_err().message.contains("anthropic_version"));
    for body in ["", "[]", "7", "{\"a\":1,\"a\":2}"] {
        assert!(InvokeRequest::parse("m", false, body.as_bytes(), &[]).is_err(), "{body}");
    }
    assert!(InvokeRequest::parse(" ", false, b"{}", &[]).is_err());
}

#[test]
fn beta_flags_and_dropped_fields_are_as_the_registry_says() {
    let body = anthropic(json!({"anthropic_beta": ["a-1", "b-2"], "x": 1}));
    forwards(&body, &claude(), &body);
    let flags = |flags: &[&str]| Some(flags.iter().map(|flag| (*flag).to_owned()).collect());
    let drop_fields = vec!["x".to_owned(), "max_tokens".to_owned()];
    let some =
        Model { anthropic_beta: flags(&["b-2"]), drop_fields: drop_fields.clone(), ..claude() };
    forwards(&body, &some, &anthropic(json!({"anthropic_beta": ["b-2"]})));
    let none = Model { anthropic_beta: flags(&[]), drop_fields, ..claude() };
    forwards(&body, &none, &anthropic(json!({})));
}

#[test]
fn thinking_that_nobody_signed_is_taken_out() {
    let turn = |content: Value| {
        let messages =
            json!([{"role": "user", "content": "q"}, {"role": "assistant", "content": content}]);
        anthropic(json!({"messages": messages}))
    };
    let text = json!({"type": "text", "text": "a"});
    let thinking = json!({"type": "thinking", "thinking": "b", "signature": ""});
    forwards(&turn(json!([thinking, text])), &claude(), &turn(json!([text])));
}

#[test]
fn headers_that_cannot_be_honoured_are_refused() {
    let with = |name: &str, value: &str| {
        InvokeRequest::parse("m", false, b"{}", &[(name.to_owned(), value.to_owned())])
    };
    for (name, value) in [
        ("x-amzn-bedrock-service-tier", "priority"),
        ("x-amzn-bedrock-performanceconfig-latency", "optimized"),
        ("x-amzn-bedrock-guardrailidentifier", "g"),
        ("x-amzn-bedrock-guardrailversion", "1"),
    ] {
        assert_eq!(with(name, value).unwrap_err().param.as_deref(), Some(name));
    }
    for (name, value) in [
        ("x-amzn-bedrock-service-tier", "default"),
        ("x-amzn-bedrock-performanceconfig-latency", "standard"),
        ("x-amzn-bedrock-trace", "ENABLED"),
        ("accept", "*/*"),
    ] {
        assert!(with(name, value).is_ok(), "{name}");
    }
}

#[test]
fn uploads_are_put_in() {
    let block = json!({"type": "image", "source": {"type": "file", "file_id": "file_1"}});
    let request =
        parse(&anthropic(json!({"messages": [{"role": "user", "content": [block]}]}))).unwrap();
    assert_eq!(request.upload_ids(), ["file_1"]);
    let upload = Upload {
        media_type: "image/png".to_owned(),
        bytes: Bytes::from_static(b"x"),
        s3_uri: String::new(),
    };
    let request = request.with_uploads(&[("file_1".to_owned(), upload)]).unwrap();
    let forwarded = request.forward(&claude(), 9).unwrap();
    assert!(str::from_utf8(&forwarded.body).unwrap().contains(r#""data":"eA==""#));
}

proptest! {
    #[test]
    fn no_bytes_make_any_step_panic(
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "\\{\"(anthropic_version|config|x)\":(1|null|\\{\\}|\\{\"max\":[0-9]{1,20}\\}|\"[a-z]\")\\}".prop_map(String::into_bytes),
        ],
    ) {
        if let Ok(request) = InvokeRequest::parse("m", true, &body, &[]) {
            request.affinity_key();
            for model in [claude(), other(Some("/config/max"), Some("/config/images"))] {
                if let Ok(bound) = request.bound(&model, None) {
                    let forwarded = request.forward(&model, bound.max_tokens).unwrap();
                    let _: Value = serde_json::from_slice(&forwarded.body).unwrap();
                }
                let _ = request.to_canonical(&model, 9);
            }
        }
    }
}
