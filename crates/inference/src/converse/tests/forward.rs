use serde_json::{Value, json};

use super::{able_model, parse, request, saying};
use crate::converse::ConverseRequest;
use crate::{Capabilities, GenerateRequest as _, Model, Operation, Protocol, Upload};

fn forwarded(body: &str, model: &Model) -> String {
    let request = ConverseRequest::parse("m", true, body.as_bytes()).unwrap();
    let sent = request.forward(model, 77).unwrap();
    assert_eq!(
        (sent.protocol, sent.operation, sent.is_streaming),
        (Protocol::Converse, Operation::Invoke, true)
    );
    String::from_utf8(sent.body.to_vec()).unwrap()
}

#[test]
fn bytes_pass_unchanged_if_there_is_a_maximum() {
    let body = r#"{ "messages" : [ {"content":[{"text":"h\u00e9"}, {"video": {}}],"role":"user"} ],
        "inferenceConfig": {"maxTokens": 5, "new": 1e2}, "somethingNew" :null }"#;
    assert_eq!(forwarded(body, &able_model()), body);
}

#[test]
fn a_missing_maximum_is_said() {
    let messages = r#""messages":[{"role":"user","content":[]}]"#;
    for (config, expected) in [
        ("", r#","inferenceConfig":{"maxTokens":77}"#),
        (r#","inferenceConfig":null"#, r#","inferenceConfig":{"maxTokens":77}"#),
        (r#","inferenceConfig":{ }"#, r#","inferenceConfig":{"maxTokens":77 }"#),
        (r#","inferenceConfig":{"maxTokens":null}"#, r#","inferenceConfig":{"maxTokens":77}"#),
        (r#","inferenceConfig":{"topP":0.5}"#, r#","inferenceConfig":{"topP":0.5,"maxTokens":77}"#),
    ] {
        let body = format!("{{{messages}{config}}}");
        assert_eq!(forwarded(&body, &able_model()), format!("{{{messages}{expected}}}"));
    }
}

fn json_forwarded(fields: Value, model: &Model) -> Value {
    serde_json::from_str(&forwarded(&request(fields).to_string(), model)).unwrap()
}

#[test]
fn the_gateways_own_labels_win() {
    let many: Value = (0..20).map(|n| (format!("k{n}"), Value::from("v"))).collect();
    let mut labels = json!({"tenant_id": "globex", "Call_Id": "x", "lob_id": "y", "team": "blue"});
    let sent = json_forwarded(json!({ "requestMetadata": labels }), &able_model());
    assert_eq!(sent["requestMetadata"], json!({"team": "blue"}));
    labels["team"] = many;
    labels.as_object_mut().unwrap().remove("team");
    let sent = json_forwarded(json!({ "requestMetadata": labels }), &able_model());
    assert_eq!(sent.get("requestMetadata"), None);
    let many: Value = (0..20).map(|n| (format!("k{n}"), Value::from("v"))).collect();
    let sent = json_forwarded(json!({ "requestMetadata": many }), &able_model());
    assert_eq!(sent["requestMetadata"].as_object().unwrap().len(), 13);
}

#[test]
fn what_the_registry_drops_is_gone_at_every_place() {
    let model = Model {
        drop_fields: ["temperature", "top_p", "top_k", "service_tier", "messages"]
            .map(str::to_owned)
            .to_vec(),
        ..able_model()
    };
    let fields = json!({
        "inferenceConfig": {"temperature": 1, "topP": 1, "maxTokens": 3},
        "additionalModelRequestFields": {"top_k": 4, "own": 1},
        "serviceTier": {"type": "default"},
    });
    let mut expected = request(json!({"inferenceConfig": {"maxTokens": 3}}));
    expected["additionalModelRequestFields"] = json!({"own": 1});
    assert_eq!(json_forwarded(fields, &model), expected);
}

#[test]
fn beta_flags_are_those_that_the_model_takes() {
    let fields =
        json!({"additionalModelRequestFields": {"anthropic_beta": ["a-1", "b-2"], "own": 1}});
    let beta = |taken: Option<Vec<String>>| {
        let model = Model { anthropic_beta: taken, ..able_model() };
        json_forwarded(fields.clone(), &model)["additionalModelRequestFields"].clone()
    };
    assert_eq!(beta(None), fields["additionalModelRequestFields"]);
    assert_eq!(beta(Some(vec!["b-2".to_owned()])), json!({"anthropic_beta": ["b-2"], "own": 1}));
    assert_eq!(beta(Some(vec![])), json!({"own": 1}));
}

#[test]
fn uploads_are_sent_to_models_that_do_not_read_from_s3() {
    let uri = "s3://up/tenant=acme/file-1";
    let image = json!([{"image": {"format": "png", "source": {"s3Location": {"uri": uri}}}}]);
    let upload = Upload {
        media_type: "image/png".to_owned(),
        bytes: b"pic".as_slice().into(),
        s3_uri: uri.to_owned(),
    };
    let request = parse(&saying(image.clone())).unwrap().with_uploads(vec![upload]);
    let content = |model: &Model| {
        let sent: Value = serde_json::from_slice(&request.forward(model, 1).unwrap().body).unwrap();
        sent["messages"][0]["content"].clone()
    };
    assert_eq!(content(&able_model()), image);
    let model = Model {
        capabilities: Capabilities { s3_sources: false, ..able_model().capabilities },
        ..able_model()
    };
    let expected = json!([{"image": {"format": "png", "source": {"bytes": "cGlj"}}}]);
    assert_eq!(content(&model), expected);
}
