use metering::TokenUsage;
use serde_json::json;

use crate::openai_chat::{ErrorBody, UsageScanner, usage_of_body};

const TEXT: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"abcdef\"},\"finish_reason\":null}],\"usage\":null}\n\n";
const STOP: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":5,\"prompt_tokens_details\":{\"cached_tokens\":4,\"cache_write_tokens\":3}}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn scan(includes_usage: bool, stream: &str) -> (String, UsageScanner) {
    let mut scanner = UsageScanner::new(includes_usage);
    let mut bytes = scanner.push(stream.as_bytes()).to_vec();
    bytes.extend_from_slice(&scanner.finish());
    (String::from_utf8(bytes).unwrap(), scanner)
}

fn broken() -> ErrorBody {
    ErrorBody { message: "m".to_owned(), kind: "server_error", param: None, code: None }
}

#[test]
fn the_usage_chunk_is_for_those_who_asked() {
    let stream = [TEXT, STOP, USAGE, DONE].concat();
    let (all, scanner) = scan(true, &stream);
    assert_eq!(all, stream);
    let usage = TokenUsage {
        input: 5,
        output: 5,
        cache_read: 4,
        cache_write_5m: 3,
        cache_write_1h: 0,
        ..TokenUsage::default()
    };
    assert_eq!(scanner.usage(), Some(usage));
    assert!(scanner.is_finished());
    let (filtered, scanner) = scan(false, &stream);
    assert_eq!(filtered, [TEXT, STOP, DONE].concat());
    assert_eq!(scanner.usage(), Some(usage));
}

#[test]
fn comments_and_other_events_pass() {
    let stream = [": ping\n\n", "event: x\r\ndata: not json\r\n\r\n", "\n", STOP, DONE].concat();
    assert_eq!(scan(false, &stream).0, stream);
}

#[test]
fn a_stream_without_usage_is_estimated() {
    let tool = "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}\n\n";
    let (_, scanner) = scan(false, &[TEXT, TEXT, tool].concat());
    assert_eq!(
        (scanner.usage(), scanner.estimated_output(), scanner.is_finished()),
        (None, 5, false)
    );
}

#[test]
fn an_error_in_the_stream_is_noticed_and_passed_on() {
    let stream =
        [TEXT, "data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\"}}\n\n"]
            .concat();
    let (all, scanner) = scan(false, &stream);
    assert_eq!(all, stream, "and no second error follows");
    assert_eq!((scanner.error(), scanner.is_finished()), (Some("overloaded"), false));
}

#[test]
fn an_end_that_is_missing_is_supplied() {
    assert_eq!(scan(false, &[TEXT, STOP].concat()).0, [TEXT, STOP, DONE].concat());
    assert_eq!(scan(false, &[TEXT, STOP, "data: [DONE]"].concat()).0, [TEXT, STOP, DONE].concat());
    assert_eq!(scan(false, &[STOP, DONE, USAGE.trim_end()].concat()).0, [STOP, DONE].concat());
    let (cut, _) = scan(false, &[TEXT, "data: {\"cho"].concat());
    assert!(
        cut.starts_with(TEXT) && cut.contains("provider_interrupted") && !cut.contains("DONE"),
        "{cut}"
    );
    assert_eq!(cut.matches("data: ").count(), 2);
}

#[test]
fn an_interruption_leaves_no_half_event() {
    let mut scanner = UsageScanner::new(false);
    assert_eq!(scanner.push([TEXT, "data: {\"cho"].concat().as_bytes()), TEXT);
    let error = scanner.interrupt(&broken());
    assert!(error.starts_with(b"data: {\"error\""));
}

#[test]
fn a_giant_event_passes_unread_and_bounded() {
    let giant = format!(
        "data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":9}},\"x\":\"{}\"}}\n\n",
        "y".repeat(2 << 20)
    );
    let stream = [giant.as_str(), TEXT, STOP, DONE].concat();
    let (all, scanner) = scan(false, &stream);
    assert_eq!(all.len(), stream.len());
    assert_eq!(scanner.usage(), None);
    assert!(scanner.is_finished());

    let mut scanner = UsageScanner::new(false);
    scanner.push(&giant.as_bytes()[..1_500_000]);
    assert!(scanner.interrupt(&broken()).starts_with(b"\n\ndata: {\"error\""));
}

#[test]
fn a_whole_answer_says_its_usage() {
    let body = json!({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": null}});
    let usage = usage_of_body(body.to_string().as_bytes()).unwrap();
    assert_eq!(usage, TokenUsage { input: 3, output: 4, ..TokenUsage::default() });
    assert_eq!(usage_of_body(b"{\"usage\":{}}"), None);
    assert_eq!(usage_of_body(b"nonsense"), None);
    let odd = json!({"usage": {"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 9, "cache_write_tokens": 9}}});
    assert_eq!(
        usage_of_body(odd.to_string().as_bytes()).unwrap().total(),
        3,
        "kinds never add up to more than the whole"
    );
}
