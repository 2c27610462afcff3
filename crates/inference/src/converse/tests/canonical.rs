use serde_json::{Value, json};

use super::{foreign_model, parse, request, saying};
use crate::{
    BadRequest, Capabilities, ContentBlock, GenerateRequest as _, ImageFormat, Model, ModelRequest,
    Source, Thinking, Upload,
};

fn canonical(body: &Value) -> Result<ModelRequest, BadRequest> {
    parse(body).unwrap().to_canonical(&foreign_model(), 50)
}

#[track_caller]
fn refused(body: &Value, param: &str) {
    let error = canonical(body).unwrap_err();
    assert_eq!(error.param.as_deref(), Some(param), "{error}");
}

#[test]
fn everything_that_others_know_is_kept() {
    let bytes = "cGlj";
    let body = json!({
        "system": [{"text": "Be brief."}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
        "messages": [
            {"role": "user", "content": [
                {"text": "Weather?"},
                {"image": {"format": "jpeg", "source": {"bytes": bytes}}},
                {"document": {"format": "pdf", "name": "map", "source": {"s3Location": {"uri": "s3://b/k", "bucketOwner": "1"}},
                    "context": "old", "citations": {"enabled": true}}},
                {"document": {"name": "notes", "source": {"content": [{"text": "a"}, {"text": "b"}]}}},
                {"cachePoint": {"type": "default"}},
            ]},
            {"role": "assistant", "content": [
                {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}},
                {"reasoningContent": {"redactedContent": "cmVk"}},
                {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": 1}}},
                {"toolUse": {"toolUseId": "t2", "name": "f", "input": {}}},
            ]},
            {"role": "user", "content": [
                {"toolResult": {"toolUseId": "t1", "content": [
                    {"text": "x"}, {"json": {"y": [1]}}, {"image": {"format": "png", "source": {"bytes": bytes}}},
                    {"document": {"format": "csv", "name": "d", "source": {"bytes": bytes}}}], "status": "success"}},
                {"toolResult": {"toolUseId": "t2", "content": [], "status": "error"}},
            ]},
        ],
        "inferenceConfig": {"maxTokens": 9, "temperature": 0.2, "topP": 1, "stopSequences": ["END"]},
        "toolConfig": {
            "tools": [
                {"cachePoint": {"type": "default"}},
                {"toolSpec": {"name": "f", "description": "d", "inputSchema": {"json": {"type": "object"}}, "strict": true}},
                {"cachePoint": {"type": "default"}},
                {"toolSpec": {"name": "g", "inputSchema": {"json": {}}}},
            ],
            "toolChoice": {"tool": {"name": "f"}},
        },
        "outputConfig": {"effort": "high", "textFormat": {"type": "json_schema",
            "structure": {"jsonSchema": {"schema": "{\"type\":\"object\"}", "name": "n", "description": "d"}}}},
        "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}, "top_k": 5,
            "anthropic_beta": ["x"]},
        "additionalModelResponseFieldPaths": ["/stop_sequence", "/other"],
        "serviceTier": {"type": "flex"},
        "performanceConfig": {"latency": "standard"},
        "requestMetadata": {"a": "b"},
        "somethingNew": 1,
    });
    insta::assert_json_snapshot!(canonical(&body).unwrap());
}

#[test]
fn what_others_do_not_know_is_refused_by_its_path() {
    let source = json!({"bytes": "cGlj"});
    for (kind, value) in [
        ("video", json!({"format": "mp4", "source": source})),
        ("audio", json!({"format": "mp3", "source": source})),
        ("guardContent", json!({"text": {"text": "x"}})),
        ("searchResult", json!({})),
        ("citationsContent", json!({})),
        ("toolAddition", json!({})),
        ("somethingNew", json!({})),
    ] {
        refused(
            &saying(json!([{"text": "a"}, {kind: value}])),
            &format!("messages[0].content[1].{kind}"),
        );
    }
    refused(&saying(json!([{"text": "a", "image": {}}])), "messages[0].content[0]");
    refused(&saying(json!([{}])), "messages[0].content[0]");
    let server = json!({"toolUseId": "t", "name": "n", "input": {}, "type": "server_tool_use"});
    refused(&saying(json!([{"toolUse": server}])), "messages[0].content[0].toolUse.type");
    let result = json!({"toolUseId": "t", "content": [{"searchResult": {}}]});
    refused(
        &saying(json!([{"toolResult": result}])),
        "messages[0].content[0].toolResult.content[0].searchResult",
    );
    refused(&request(json!({"messages": [{"role": "system", "content": []}]})), "messages[0].role");
    refused(&request(json!({"system": [{"guardContent": {}}]})), "system[0].guardContent");
    let guardrail = json!({"guardrailIdentifier": "g", "guardrailVersion": "1"});
    refused(&request(json!({ "guardrailConfig": guardrail })), "guardrailConfig");
    refused(
        &request(json!({"additionalModelRequestFields": {"own": 1}})),
        "additionalModelRequestFields.own",
    );
    let bad_schema = json!({"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": "{"}}}});
    refused(
        &request(json!({ "outputConfig": bad_schema })),
        "outputConfig.textFormat.structure.jsonSchema.schema",
    );
    let bad_image = json!([{"image": {"format": "png", "source": {"bytes": "!"}}}]);
    refused(&saying(bad_image), "messages[0].content[0].image.source.bytes");
    refused(
        &request(json!({"inferenceConfig": {"temperature": 1.5}})),
        "inferenceConfig.temperature",
    );
}

#[test]
fn what_the_model_cannot_read_is_refused_by_its_path() {
    let model = Model { capabilities: Capabilities::default(), ..foreign_model() };
    let source = json!({"bytes": "cGlj"});
    for block in [
        json!({"image": {"format": "png", "source": source}}),
        json!({"document": {"format": "pdf", "name": "d", "source": source}}),
    ] {
        let error = parse(&saying(json!([block]))).unwrap().to_canonical(&model, 1).unwrap_err();
        assert!(error.param.unwrap().starts_with("messages[0].content[0]."));
    }
}

#[test]
fn thinking_has_several_names() {
    let thinking = |fields: Value| {
        canonical(&request(json!({ "additionalModelRequestFields": fields }))).unwrap().thinking
    };
    let enabled = json!({"type": "enabled", "budget_tokens": 2_048});
    let expected = Some(Thinking::Enabled { budget_tokens: 2_048 });
    assert_eq!(thinking(json!({ "thinking": enabled })), expected);
    assert_eq!(thinking(json!({ "reasoning_config": enabled })), expected);
    assert_eq!(thinking(json!({"thinking": {"type": "adaptive"}})), Some(Thinking::Adaptive));
    let fields = json!({"additionalModelRequestFields": {"reasoning_effort": "low"}});
    assert_eq!(canonical(&request(fields)).unwrap().effort.as_deref(), Some("low"));
}

#[test]
fn what_the_registry_drops_is_not_there() {
    let model = Model {
        drop_fields: ["guardrailConfig", "temperature", "top_k"].map(str::to_owned).to_vec(),
        ..foreign_model()
    };
    let body = request(json!({
        "guardrailConfig": {}, "inferenceConfig": {"temperature": 9}, "additionalModelRequestFields": {"top_k": "x"},
    }));
    let canonical = parse(&body).unwrap().to_canonical(&model, 1).unwrap();
    assert_eq!(canonical.inference.temperature, None);
}

#[test]
fn uploads_are_read() {
    let uri = "s3://up/tenant=acme/file-1";
    let body =
        saying(json!([{"image": {"format": "png", "source": {"s3Location": {"uri": uri}}}}]));
    let upload = Upload {
        media_type: "image/png".to_owned(),
        bytes: b"pic".as_slice().into(),
        s3_uri: uri.to_owned(),
    };
    let request = parse(&body).unwrap().with_uploads(vec![upload]);
    let canonical = request.to_canonical(&foreign_model(), 1).unwrap();
    let source = Source::Bytes(b"pic".to_vec());
    let expected = ContentBlock::Image { format: ImageFormat::Png, source };
    assert_eq!(canonical.messages[0].content, [expected]);
}
