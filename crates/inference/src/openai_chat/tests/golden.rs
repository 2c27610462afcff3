//! One input, one snapshot per target.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{converse_model, native_model};
use crate::openai_chat::{
    ChatCodec, ChatRequest, StreamRenderer, bound, forward_body, render_response, to_canonical,
};
use crate::{Codec, Event, ModelRequest, ModelResponse, Protocol, ProviderAnswer};

/// Runs `test` with the name and bytes of every file in a folder of the test data.
fn each(folder: &str, test: impl Fn(&str, &[u8])) {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/openai_chat");
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

#[test]
fn requests_become_canonical() {
    each("requests", |name, bytes| {
        let request = ChatRequest::parse(bytes).unwrap();
        let max_tokens = bound(&request, &converse_model(), None).unwrap().max_tokens;
        insta::assert_json_snapshot!(
            format!("{name}.canonical"),
            to_canonical(&request, &converse_model(), max_tokens).unwrap()
        );
    });
}

#[test]
fn requests_are_forwarded() {
    each("requests", |name, bytes| {
        let request = ChatRequest::parse(bytes).unwrap();
        let max_tokens = bound(&request, &native_model(), None).unwrap().max_tokens;
        let body = forward_body(&request, &native_model(), max_tokens);
        insta::assert_snapshot!(format!("{name}.forwarded"), str::from_utf8(&body).unwrap());
    });
}

#[test]
fn responses_are_rendered() {
    each("responses", |name, bytes| {
        let response: ModelResponse = read(bytes);
        let rendered: Value =
            render_response(&response, "chatcmpl-1", 1_763_856_000, "anthropic.claude-test");
        insta::assert_json_snapshot!(format!("{name}.response"), rendered);
    });
}

#[test]
fn streams_are_rendered() {
    each("streams", |name, bytes| {
        let events: Vec<Event> = read(bytes);
        let mut renderer =
            StreamRenderer::new("chatcmpl-1", 1_763_856_000, "anthropic.claude-test", true);
        let mut output: Vec<u8> = events.iter().flat_map(|event| renderer.render(event)).collect();
        output.extend_from_slice(&renderer.finish());
        insta::assert_snapshot!(format!("{name}.stream"), String::from_utf8(output).unwrap());
    });
}

#[test]
fn canonical_requests_are_written() {
    each("canonical", |name, bytes| {
        let request: ModelRequest = read(bytes);
        let written = ChatCodec.write(&request, &native_model(), true).unwrap();
        insta::assert_json_snapshot!(format!("{name}.written"), read::<Value>(&written.body));
    });
}

#[test]
fn answers_are_read() {
    each("answers", |name, bytes| {
        let answer = ProviderAnswer { body: bytes.to_vec().into(), ..ProviderAnswer::default() };
        let response = ChatCodec.read(&native_model(), &answer).unwrap();
        insta::assert_json_snapshot!(format!("{name}.read"), response);
    });
}

#[test]
fn recorded_requests_are_taken() {
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/recorded");
    let folders = std::fs::read_dir(recorded).unwrap().map(|entry| entry.unwrap().path());
    let files =
        folders.filter(|path| path.is_dir()).flat_map(|path| std::fs::read_dir(path).unwrap());
    let mut count = 0;
    for path in files.map(|entry| entry.unwrap().path()) {
        let recorded: Value = read(&std::fs::read(&path).unwrap());
        if recorded["path"] != "/v1/chat/completions" {
            continue;
        }
        count += 1;
        let body = recorded["body"].to_string();
        let request = ChatRequest::parse(body.as_bytes()).unwrap();
        let bound = bound(&request, &native_model(), None).unwrap();
        let canonical = to_canonical(&request, &converse_model(), bound.max_tokens);
        let canonical = canonical.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for protocol in [
            Protocol::Converse,
            Protocol::OpenaiChat,
            Protocol::OpenaiResponses,
            Protocol::AnthropicMessages,
        ] {
            let codec = protocol.codec().unwrap();
            codec.write(&canonical, &native_model(), request.is_streaming()).unwrap();
        }
    }
    assert!(count >= 12, "{count}");
}
