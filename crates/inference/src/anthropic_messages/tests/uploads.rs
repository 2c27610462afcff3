use bytes::Bytes;
use serde_json::json;

use super::native_model;
use crate::anthropic_messages::MessagesRequest;
use crate::{GenerateRequest as _, Upload};

fn upload(id: &str, media_type: &str, bytes: &'static [u8]) -> (String, Upload) {
    let upload = Upload {
        media_type: media_type.to_owned(),
        bytes: Bytes::from_static(bytes),
        s3_uri: "s3://b/k".to_owned(),
    };
    (id.to_owned(), upload)
}

const BODY: &str = r#"{"model":"us.anthropic.claude-test-v1:0" , "max_tokens":1, "messages":[ {"role":"user","content":"text"},
  {"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{"n":12345678901234567890123,"source":{"type":"file","file_id":"file_9"}}}]},
 {"role":"user" ,"content":[{"type":"tool_result","tool_use_id":"t","content":[ {"type":"image","source":{"type":"file","file_id":"file_i"}} ]},
  {"type":"document", "source" : {"type":"file","file_id":"file_p"},"title":"\u00fc"}, {"type":"document","source":{"type":"file","file_id":"file_t"}},{"type":"document","source":{"type":"file","file_id":"file_p"}}]}]}"#;

#[test]
fn uploads_are_put_in_and_all_else_stays() {
    let request = MessagesRequest::parse(BODY.as_bytes(), &[]).unwrap();
    assert_eq!(request.upload_ids(), ["file_i", "file_p", "file_t"]);
    let uploads = [
        upload("file_p", "application/pdf", b"%PDF"),
        upload("file_t", "text/markdown; charset=utf-8", b"# hi"),
        upload("file_i", "image/png", b"\x89PNG"),
    ];
    let request = request.with_uploads(&uploads).unwrap();
    assert!(request.upload_ids().is_empty());
    let body = request.forward(&native_model(), 1).unwrap().body;
    let expected = BODY
        .replace(
            r#"{"type":"file","file_id":"file_i"}"#,
            r#"{"type":"base64","media_type":"image/png","data":"iVBORw=="}"#,
        )
        .replace(
            r#"{"type":"file","file_id":"file_p"}"#,
            r#"{"type":"base64","media_type":"application/pdf","data":"JVBERg=="}"#,
        )
        .replace(
            r#"{"type":"file","file_id":"file_t"}"#,
            r##"{"type":"text","media_type":"text/plain","data":"# hi"}"##,
        );
    assert_eq!(str::from_utf8(&body).unwrap(), expected);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let request = MessagesRequest::parse(BODY.as_bytes(), &[]).unwrap();
    let error = request.with_uploads(&[upload("file_i", "image/png", b"x")]).unwrap_err();
    assert!(error.message.contains("`file_p`"), "{error}");
}

#[test]
fn a_request_without_files_stays_as_it_is() {
    let body =
        json!({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "file_1"}]});
    let request = MessagesRequest::parse(body.to_string().as_bytes(), &[]).unwrap();
    assert_eq!(request.clone().with_uploads(&[]).unwrap(), request);
}
