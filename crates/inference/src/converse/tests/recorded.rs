//! What boto3, `LangChain` and the AI SDK send.

use std::path::Path;

use serde_json::Value;

use super::{able_model, foreign_model};
use crate::converse::{ConverseCodec, ConverseRequest};
use crate::{Codec as _, GenerateRequest as _};

#[test]
fn requests_of_real_clients_are_taken() {
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/recorded");
    let mut count = 0;
    for client in ["ai_sdk_bedrock", "boto3_converse", "langchain_aws"] {
        for file in std::fs::read_dir(recorded.join(client)).unwrap() {
            let file = std::fs::read(file.unwrap().path()).unwrap();
            let recorded: Value = serde_json::from_slice(&file).unwrap();
            let body = recorded["body"].to_string();
            let request = ConverseRequest::parse("m", true, body.as_bytes()).unwrap();
            let bound = request.bound(&able_model(), None).unwrap();
            assert!(bound.input < 10_000, "{client}: {bound:?}");

            let sent = request.forward(&able_model(), bound.max_tokens).unwrap();
            assert_eq!(str::from_utf8(&sent.body).unwrap(), body, "{client}");

            // By way of the canonical form comes out what went in, but for what is said by default.
            let canonical = request.to_canonical(&foreign_model(), bound.max_tokens).unwrap();
            let written = ConverseCodec.write(&canonical, &able_model(), true).unwrap();
            let written: Value = serde_json::from_slice(&written.body).unwrap();
            let sent: Value =
                serde_json::from_str(&body.replace(",\"status\":\"success\"", "")).unwrap();
            assert_eq!(written, sent, "{client}");
            count += 1;
        }
    }
    assert_eq!(count, 9);
}
