//! One input, one snapshot per target.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::{converse_model, head, native_model};
use crate::openai_responses::{ResponsesCodec, ResponsesRequest};
use crate::{
    Codec as _, Event, GenerateRequest as _, ModelResponse, ProviderAnswer, ProviderRequest,
};

pub(super) fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/openai_responses")
}

/// Runs `test` with the name and bytes of every file in a folder of the test data.
fn each(folder: &str, test: impl Fn(&str, &[u8])) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(testdata().join("snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _scope = settings.bind_to_scope();
    let mut paths: Vec<_> = std::fs::read_dir(testdata().join(folder))
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

fn body(request: &ProviderRequest) -> &str {
    str::from_utf8(&request.body).unwrap()
}

/// The request whose tools the golden answers call.
pub(super) fn full_request() -> ResponsesRequest {
    let bytes = std::fs::read(testdata().join("requests/full.json")).unwrap();
    ResponsesRequest::parse(&bytes).unwrap()
}

#[test]
fn requests_become_canonical_and_are_written() {
    each("requests", |name, bytes| {
        let request = ResponsesRequest::parse(bytes).unwrap();
        let bound = request.bound(&converse_model(), None).unwrap();
        let canonical = request.to_canonical(&converse_model(), bound.max_tokens).unwrap();
        insta::assert_json_snapshot!(format!("{name}.canonical"), canonical);
        let written = ResponsesCodec.write(&canonical, &native_model(), true).unwrap();
        let written: serde_json::Value = read(body(&written).as_bytes());
        insta::assert_json_snapshot!(format!("{name}.written"), written);
    });
}

#[test]
fn requests_are_forwarded() {
    each("requests", |name, bytes| {
        let request = ResponsesRequest::parse(bytes).unwrap();
        let bound = request.bound(&native_model(), None).unwrap();
        let sent = request.forward(&native_model(), bound.max_tokens).unwrap();
        insta::assert_snapshot!(format!("{name}.forwarded"), body(&sent));
    });
}

#[test]
fn responses_are_rendered() {
    each("responses", |name, bytes| {
        let response: ModelResponse = read(bytes);
        let rendered = full_request().renderer(head()).response(&response);
        let rendered: serde_json::Value = read(&rendered);
        insta::assert_json_snapshot!(format!("{name}.response"), rendered);
    });
}

#[test]
fn streams_are_rendered() {
    let request = ResponsesRequest::parse(
        br#"{"model":"m","input":"hi","tools":[{"type":"custom","name":"apply_patch"},{"type":"namespace","name":"agents","tools":[{"type":"function","name":"close_agent"}]}]}"#,
    )
    .unwrap();
    each("streams", |name, bytes| {
        let events: Vec<Event> = read(bytes);
        let mut renderer = request.renderer(head());
        let mut output: Vec<u8> = events.iter().flat_map(|event| renderer.event(event)).collect();
        output.extend_from_slice(&renderer.finish());
        insta::assert_snapshot!(format!("{name}.stream"), String::from_utf8(output).unwrap());
    });
}

#[test]
fn provider_responses_are_read() {
    each("provider_responses", |name, bytes| {
        let answer = ProviderAnswer { body: bytes.to_vec().into(), ..ProviderAnswer::default() };
        let response = ResponsesCodec.read(&native_model(), &answer).unwrap();
        insta::assert_json_snapshot!(format!("{name}.read"), response);
    });
}

#[test]
fn provider_streams_are_read() {
    each("provider_streams", |name, bytes| {
        let mut reader = ResponsesCodec.stream(&native_model());
        let mut frames = reader.push(bytes);
        frames.extend(reader.finish());
        let events: Vec<_> = frames.iter().flat_map(|frame| &frame.events).collect();
        insta::assert_json_snapshot!(format!("{name}.events"), events);
        let errors: Vec<_> = frames.iter().filter_map(|frame| frame.error.as_ref()).collect();
        insta::assert_debug_snapshot!(format!("{name}.errors"), errors);
    });
}
