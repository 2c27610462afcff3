//! What real clients sent is taken, forwarded as it is, and can be translated.

use std::path::Path;

use serde_json::Value;

use super::{converse_model, native_model};
use crate::anthropic_messages::{MessagesCodec, MessagesRequest};
use crate::converse::ConverseCodec;
use crate::{Codec as _, GenerateRequest as _, Model};

const CLIENTS: [&str; 6] = [
    "ai_sdk_anthropic",
    "anthropic_python",
    "anthropic_typescript",
    "claude_code",
    "claude_code_sonnet_4_5",
    "langchain_anthropic",
];

#[test]
fn requests_of_real_clients_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/recorded");
    let large = |model: Model| Model { max_output_tokens: 128_000, ..model };
    let (converse, native) = (large(converse_model()), large(native_model()));
    let mut count = 0;
    for client in CLIENTS {
        for entry in std::fs::read_dir(folder.join(client)).unwrap() {
            let path = entry.unwrap().path();
            let recorded: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            if !recorded["path"].as_str().unwrap().starts_with("/v1/messages") {
                continue;
            }
            count += 1;
            let headers: Vec<_> = recorded["headers"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
                .collect();
            let body = recorded["body"].to_string();
            let request = MessagesRequest::parse(body.as_bytes(), &headers).unwrap();
            assert!(request.affinity_key().is_some());

            let bound = request.bound(&native, None).unwrap();
            let forwarded = request.forward(&native, bound.max_tokens).unwrap();
            let model = recorded["body"]["model"].to_string();
            let expected = body.replacen(&model, "\"us.anthropic.claude-test-v1:0\"", 1);
            assert_eq!(forwarded.body, expected, "{}", path.display());
            for name in ["anthropic-version", "anthropic-beta"] {
                let sent = headers.iter().find(|(key, _)| key == name);
                assert_eq!(forwarded.headers.iter().find(|(key, _)| key == name), sent);
            }

            let bound = request.bound(&converse, None).unwrap();
            let canonical = request.to_canonical(&converse, bound.max_tokens).unwrap();
            ConverseCodec.write(&canonical, &converse, true).unwrap();
            MessagesCodec.write(&canonical, &native, true).unwrap();
        }
    }
    assert!(count >= 18, "only {count} requests");
}

/// One session, one target: its prompt cache is worth more than balance.
#[test]
fn the_turns_of_a_conversation_stay_together() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/recorded");
    for client in ["claude_code_sonnet_4_5", "anthropic_python", "ai_sdk_anthropic"] {
        let keys: Vec<_> = ["01", "02", "03"]
            .map(|turn| {
                let path = folder.join(client).join(turn).with_extension("json");
                let recorded: Value =
                    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
                let body = recorded["body"].to_string();
                MessagesRequest::parse(body.as_bytes(), &[]).unwrap().affinity_key().unwrap()
            })
            .to_vec();
        assert!(keys.iter().all(|key| *key == keys[0]), "{client}: {keys:?}");
    }
}
