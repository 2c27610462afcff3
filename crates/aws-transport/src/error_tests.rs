use http::HeaderValue;
use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(code: Option<&str>, status: u16, kind: Kind, may_have_run: bool) {
    assert_eq!(Meaning::of(code, status), Meaning { kind, may_have_run }, "{code:?} {status}");
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            (http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        })
        .collect()
}

fn read(status: u16, pairs: &[(&'static str, &str)], body: &str) -> ProviderError {
    Refusal::read(status, &headers(pairs), body.as_bytes(), SystemTime::UNIX_EPOCH).error
}

#[track_caller]
fn check_body(status: u16, body: &str, kind: Kind, may_have_run: bool, message: &str) {
    let error = read(status, &[], body);
    assert_eq!(
        (error.kind, error.may_have_run, error.message.as_str()),
        (kind, may_have_run, message),
        "{body}"
    );
}

#[test]
fn only_clean_refusals_have_surely_not_run() {
    check(Some("ValidationException"), 400, Kind::InvalidRequest, false);
    check(Some("ServiceQuotaExceededException"), 400, Kind::QuotaExceeded, false);
    check(Some("AccessDeniedException"), 403, Kind::AccessDenied, false);
    check(Some("ExpiredTokenException"), 403, Kind::Internal, false);
    check(Some("UnrecognizedClientException"), 403, Kind::Internal, false);
    check(Some("ResourceNotFoundException"), 404, Kind::ModelNotFound, false);
    check(Some("ModelTimeoutException"), 408, Kind::Timeout, true);
    check(Some("ModelErrorException"), 424, Kind::ModelError, true);
    check(Some("ThrottlingException"), 429, Kind::Throttled, false);
    check(Some("ModelNotReadyException"), 429, Kind::Unavailable, false);
    check(Some("InternalServerException"), 500, Kind::Internal, true);
    check(Some("ServiceUnavailableException"), 503, Kind::Unavailable, true);
}

#[test]
fn a_code_is_known_in_every_spelling() {
    let coral = "com.amazon.coral#ThrottlingException:http://internal/";
    check(Some(coral), 400, Kind::Throttled, false);
    check(Some("throttlingException"), 200, Kind::Throttled, false);
}

#[test]
fn the_status_speaks_for_an_unknown_code() {
    for (status, kind, may_have_run) in [
        (400, Kind::InvalidRequest, false),
        (413, Kind::InvalidRequest, false),
        (401, Kind::AccessDenied, false),
        (402, Kind::QuotaExceeded, false),
        (404, Kind::ModelNotFound, false),
        (429, Kind::Throttled, false),
        (302, Kind::Internal, false),
        (500, Kind::Internal, true),
        (502, Kind::Unavailable, true),
        (504, Kind::Timeout, true),
        (529, Kind::Unavailable, false),
    ] {
        check(None, status, kind, may_have_run);
        check(Some("never heard of"), status, kind, may_have_run);
    }
}

#[test]
fn every_shape_of_error_is_understood() {
    let openai = r#"{"error":{"message":"No such model","type":"invalid_request_error","code":"model_not_found"}}"#;
    check_body(400, openai, Kind::ModelNotFound, false, "No such model");
    let openai = r#"{"error":{"message":"bad","type":"invalid_request_error","code":null}}"#;
    check_body(400, openai, Kind::InvalidRequest, false, "bad");
    let openai =
        r#"{"error":{"message":"broke","type":"insufficient_quota","code":"insufficient_quota"}}"#;
    check_body(429, openai, Kind::QuotaExceeded, false, "broke");
    let anthropic = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"r"}"#;
    check_body(529, anthropic, Kind::Unavailable, false, "Overloaded");
    let anthropic = r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}"#;
    check_body(429, anthropic, Kind::Throttled, false, "slow");
    let aws = r#"{"__type":"com.amazon#ServiceQuotaExceededException","Message":"no more"}"#;
    check_body(400, aws, Kind::QuotaExceeded, false, "no more");
    let vllm = r#"{"object":"error","message":"too long","type":"BadRequestError","param":null,"code":400}"#;
    check_body(400, vllm, Kind::InvalidRequest, false, "too long");
    let tgi = r#"{"error":"inputs must have less than 4 tokens","error_type":"validation"}"#;
    check_body(422, tgi, Kind::InvalidRequest, false, "inputs must have less than 4 tokens");
    check_body(
        404,
        r#"{"error":"model 'x' not found"}"#,
        Kind::ModelNotFound,
        false,
        "model 'x' not found",
    );
    check_body(404, r#"{"detail":"Not Found"}"#, Kind::ModelNotFound, false, "Not Found");
    check_body(503, "<html>", Kind::Unavailable, true, "status 503, no reason given");
}

#[test]
fn a_container_behind_sagemaker_speaks_for_itself() {
    let refused = r#"{"Message":"Received client error (400)","OriginalStatusCode":400,
        "OriginalMessage":"{\"object\":\"error\",\"message\":\"too long\"}"}"#;
    check_body(424, refused, Kind::InvalidRequest, false, "too long");
    let failed = r#"{"Message":"Received server error (500)","OriginalStatusCode":500,"OriginalMessage":"oops"}"#;
    check_body(424, failed, Kind::Internal, true, "Received server error (500)");
}

#[test]
fn a_redirect_says_where_it_points() {
    let error = read(307, &[("location", "https://elsewhere/v1")], "");
    assert_eq!((error.kind, error.may_have_run), (Kind::Internal, false));
    assert!(error.message.contains("https://elsewhere/v1"), "{error}");
}

#[test]
fn a_wait_is_read_in_every_form() {
    let wait = |pairs: &[(&'static str, &str)]| read(429, pairs, "{}").retry_after;
    assert_eq!(wait(&[]), None);
    assert_eq!(wait(&[("retry-after", "3")]), Some(Duration::from_secs(3)));
    assert_eq!(wait(&[("retry-after", "0.5")]), Some(Duration::from_millis(500)));
    assert_eq!(
        wait(&[("retry-after", "9"), ("retry-after-ms", "1500")]),
        Some(Duration::from_millis(1_500))
    );
    let date = "Thu, 01 Jan 1970 00:01:00 GMT";
    assert_eq!(wait(&[("retry-after", date)]), Some(Duration::from_mins(1)));
    for nonsense in ["soon", "-1", "NaN", "1e400", ""] {
        assert_eq!(wait(&[("retry-after", nonsense)]), None, "{nonsense}");
    }
    let past = Refusal::read(
        429,
        &headers(&[("retry-after", date)]),
        b"",
        SystemTime::UNIX_EPOCH + Duration::from_hours(1),
    );
    assert_eq!(past.error.retry_after, Some(Duration::ZERO));
}

#[test]
fn a_long_message_is_cut() {
    let body = format!(r#"{{"message":"{}"}}"#, "é".repeat(10_000));
    assert_eq!(read(400, &[], &body).message.chars().count(), MAX_MESSAGE_CHARACTERS);
}

proptest! {
    #[test]
    fn no_answer_is_too_strange(
        status in 300_u16..1_000,
        code in "\\PC{0,20}",
        retry in "[ -~]{0,12}",
        body in prop_oneof!["\\PC{0,60}", "\\{\"(error|message|OriginalStatusCode|OriginalMessage)\":(1|\"a\"|\\{\\}|null|999999)\\}"],
    ) {
        let mut all = headers(&[("retry-after", &retry)]);
        if let Ok(code) = HeaderValue::from_str(&code) {
            all.insert("x-amzn-errortype", code);
        }
        let refusal = Refusal::read(status, &all, body.as_bytes(), SystemTime::UNIX_EPOCH);
        prop_assert_eq!(refusal.status, Some(status));
    }
}
