//! One input, one snapshot per target.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{converse_model, head, native_model};
use crate::anthropic_messages::{MessagesCodec, MessagesRequest};
use crate::{
    AnswerRenderer, Codec as _, Event, GenerateRequest as _, ModelResponse, ProviderAnswer,
};

/// Runs `test` with the name and bytes of every file in a folder of the test data.
fn each(folder: &str, test: impl Fn(&str, &[u8])) {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/anthropic_messages");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(testdata.join("snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _scope = settings.bind_to_scope();
    let mut paths: Vec<_> = std::fs::read_dir(testdata.join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        test(path.file_stem().unwrap().to_str().unwrap(), &std::fs::read(&path).unwrap());
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> T {
    serde_json::from_slice(bytes).unwrap()
}

fn renderer() -> Box<dyn AnswerRenderer> {
    let request = br#"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"q"}]}"#;
    MessagesRequest::parse(request, &[]).unwrap().renderer(head())
}

pub(super) fn read_stream(bytes: &[u8]) -> Vec<Event> {
    let mut reader = MessagesCodec.stream(&native_model());
    let mut frames = reader.push(bytes);
    frames.extend(reader.finish());
    assert!(frames.iter().all(|frame| frame.error.is_none()));
    frames.into_iter().flat_map(|frame| frame.events).collect()
}

#[test]
fn requests_become_canonical() {
    each("requests", |name, bytes| {
        let request = MessagesRequest::parse(bytes, &[]).unwrap();
        let max_tokens = request.bound(&converse_model(), None).unwrap().max_tokens;
        let canonical = request.to_canonical(&converse_model(), max_tokens).unwrap();
        insta::assert_json_snapshot!(format!("{name}.canonical"), canonical);
    });
}

/// From the dialect to canonical and back: what a client of another dialect would have sent.
#[test]
fn requests_are_written() {
    each("requests", |name, bytes| {
        let request = MessagesRequest::parse(bytes, &[]).unwrap();
        let canonical = request.to_canonical(&converse_model(), 64).unwrap();
        let written = MessagesCodec.write(&canonical, &native_model(), true).unwrap();
        let body: Value = serde_json::from_slice(&written.body).unwrap();
        insta::assert_json_snapshot!(format!("{name}.written"), body);
    });
}

#[test]
fn responses_are_rendered_and_read_back() {
    each("responses", |name, bytes| {
        let response: ModelResponse = read(bytes);
        let body = renderer().response(&response);
        let rendered: Value = serde_json::from_slice(&body).unwrap();
        insta::assert_json_snapshot!(format!("{name}.response"), rendered);

        let answer = ProviderAnswer {
            provider_request_id: response.provider_request_id.clone(),
            body,
            ..ProviderAnswer::default()
        };
        let again = MessagesCodec.read(&native_model(), &answer).unwrap();
        assert_eq!((&again.stop_reason, again.usage), (&response.stop_reason, response.usage));
        assert_eq!(again.content.len(), response.content.len());
    });
}

#[test]
fn streams_are_rendered_and_read_back() {
    each("streams", |name, bytes| {
        let events: Vec<Event> = read(bytes);
        let mut renderer = renderer();
        let mut output: Vec<u8> = events.iter().flat_map(|event| renderer.event(event)).collect();
        output.extend_from_slice(&renderer.finish());
        let text = String::from_utf8(output.clone()).unwrap();
        insta::assert_snapshot!(format!("{name}.stream"), text);
        insta::assert_json_snapshot!(format!("{name}.read"), read_stream(&output));
    });
}
