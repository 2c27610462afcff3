use std::time::Duration;

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use aws_transport::testing::{Caller, Deed, FakeService, Sent, aws, aws_at, nobody, server};
use bytes::Bytes;
use futures::StreamExt as _;
use inference::{Protocol, fixtures};
use proptest::prelude::*;

use super::*;

pub(crate) fn caller() -> Caller {
    let mut caller = Caller::new("acme", &[]);
    caller.provider = fixtures::provider("sagemaker");
    let model = fixtures::model("llama", Protocol::OpenaiChat);
    let provider = "sagemaker".to_owned();
    let provider_model_id = "Llama-chat".to_owned();
    caller.models = vec![Arc::new(inference::Model { provider, provider_model_id, ..model })];
    caller
}

pub(crate) fn request(is_streaming: bool) -> ProviderRequest {
    ProviderRequest {
        protocol: Protocol::OpenaiChat,
        operation: Operation::Invoke,
        is_streaming,
        headers: vec![
            ("x-amzn-sagemaker-custom-attributes".to_owned(), "a".to_owned()),
            ("authorization".to_owned(), "Bearer forged".to_owned()),
        ],
        body: Bytes::from_static(b"{\"n\": 1.0}"),
    }
}

async fn sent(caller: &Caller, is_streaming: bool) -> Sent {
    let service = FakeService::answering(200, &[], "");
    Sagemaker::new(aws(&service)).send(&caller.call(0), request(is_streaming)).await.unwrap();
    service.sent().remove(0)
}

/// Bytes until the error, if there is one, of a streamed answer of `body`.
async fn streamed(body: Vec<u8>) -> (Vec<u8>, Option<ProviderError>) {
    let headers =
        [("content-type", "application/vnd.amazon.eventstream"), ("x-amzn-requestid", "request-1")];
    let service = FakeService::answering(200, &headers, body);
    collected(Sagemaker::new(aws(&service)).send(&caller().call(0), request(true)).await.unwrap())
        .await
}

pub(crate) async fn collected(mut response: ProviderResponse) -> (Vec<u8>, Option<ProviderError>) {
    let mut bytes = Vec::new();
    while let Some(piece) = response.body.next().await {
        match piece {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(error) => {
                assert!(response.body.next().await.is_none(), "nothing follows an error");
                return (bytes, Some(error));
            }
        }
    }
    (bytes, None)
}

fn frame(headers: &[(&'static str, &str)], payload: &[u8]) -> Vec<u8> {
    let message = headers.iter().fold(Message::new(payload.to_vec()), |message, (name, value)| {
        message.add_header(Header::new(*name, HeaderValue::String((*value).to_owned().into())))
    });
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).unwrap();
    bytes
}

fn part(payload: &str) -> Vec<u8> {
    let headers = [(":message-type", "event"), (":event-type", "PayloadPart")];
    frame(&headers, payload.as_bytes())
}

fn exception(name: &str, payload: &str) -> Vec<u8> {
    frame(&[(":message-type", "exception"), (":exception-type", name)], payload.as_bytes())
}

#[tokio::test]
async fn an_endpoint_is_called_as_the_tenant() {
    let sent = sent(&caller(), false).await;
    assert_eq!(
        sent.uri,
        "https://runtime.sagemaker.us-east-1.amazonaws.com/endpoints/Llama-chat/invocations"
    );
    assert_eq!(sent.body, b"{\"n\": 1.0}");
    assert_eq!(sent.headers["content-type"], "application/json");
    assert_eq!(sent.headers["x-amzn-sagemaker-custom-attributes"], "a");
    assert!(sent.headers["authorization"].contains("/us-east-1/sagemaker/aws4_request"));
    assert_eq!(sent.headers["x-amz-security-token"], "token0");
}

#[tokio::test]
async fn a_stream_has_a_path_of_its_own_and_a_provider_its_region_and_headers() {
    let mut caller = caller();
    caller.provider.region = Some("eu-west-1".to_owned());
    let component = "x-amzn-sagemaker-inference-component";
    caller.provider.headers.insert(component.to_owned(), "llama-1".to_owned());
    let sent = sent(&caller, true).await;
    assert_eq!(
        sent.uri,
        "https://runtime.sagemaker.eu-west-1.amazonaws.com/endpoints/Llama-chat/invocations-response-stream"
    );
    assert_eq!(sent.headers[component], "llama-1");
}

#[tokio::test]
async fn a_stream_is_the_containers_bytes() {
    let body = [
        part("data: "),
        frame(&[(":message-type", "event"), (":event-type", "New")], b"x"),
        part(""),
        part("{}\n\n"),
    ];
    assert_eq!(streamed(body.concat()).await, (b"data: {}\n\n".to_vec(), None));
    assert_eq!(streamed(Vec::new()).await, (Vec::new(), None));
}

#[tokio::test]
async fn the_content_type_is_the_containers() {
    let headers = [
        ("content-type", "application/vnd.amazon.eventstream"),
        (INNER_CONTENT_TYPE, "text/event-stream"),
    ];
    let service = FakeService::answering(200, &headers, "");
    let response =
        Sagemaker::new(aws(&service)).send(&caller().call(0), request(true)).await.unwrap();
    assert_eq!(response.headers, [("content-type".to_owned(), "text/event-stream".to_owned())]);
}

#[tokio::test]
async fn an_exception_ends_the_stream_and_may_have_cost_something() {
    for (name, payload, kind) in [
        (
            "ModelStreamError",
            r#"{"Message":"m","ErrorCode":"MODEL_INVOCATION_TIME_EXCEEDED"}"#,
            ProviderErrorKind::Timeout,
        ),
        (
            "ModelStreamError",
            r#"{"Message":"m","ErrorCode":"STREAM_BROKEN"}"#,
            ProviderErrorKind::Interrupted,
        ),
        ("ModelStreamError", r#"{"Message":"m"}"#, ProviderErrorKind::ModelError),
        ("InternalStreamFailure", r#"{"Message":"m"}"#, ProviderErrorKind::Internal),
        ("Unheard", "m", ProviderErrorKind::Internal),
    ] {
        let body = [part("a"), exception(name, payload), part("unreachable")].concat();
        let (bytes, error) = streamed(body).await;
        let error = error.unwrap();
        assert_eq!(bytes, b"a");
        assert_eq!((error.kind, error.may_have_run), (kind, true), "{name} {payload}");
        assert_eq!(error.provider_request_id.as_deref(), Some("request-1"));
    }
}

#[tokio::test]
async fn a_stream_that_ends_within_a_frame_or_is_garbled_is_interrupted() {
    let mut garbled = part("b");
    garbled[20] ^= 1;
    for end in [
        part("b")[..5].to_vec(),
        part("b")[..20].to_vec(),
        garbled,
        b"garbage that is no frame".to_vec(),
    ] {
        let (bytes, error) = streamed([part("a"), end].concat()).await;
        let error = error.unwrap();
        assert_eq!(bytes, b"a");
        assert_eq!((error.kind, error.may_have_run), (ProviderErrorKind::Interrupted, true));
    }
}

#[tokio::test]
async fn refusals_are_told_apart() {
    for (status, code, body, kind, may_have_run) in [
        (
            400,
            "ValidationError",
            r#"{"Message":"Endpoint Llama-chat of account 1 not found."}"#,
            ProviderErrorKind::ModelNotFound,
            false,
        ),
        (400, "ValidationError", r#"{"Message":"bad"}"#, ProviderErrorKind::InvalidRequest, false),
        (400, "ThrottlingException", "{}", ProviderErrorKind::Throttled, false),
        (403, "AccessDeniedException", "{}", ProviderErrorKind::AccessDenied, false),
        (
            424,
            "ModelError",
            r#"{"OriginalStatusCode":429,"OriginalMessage":"{}","Message":"m"}"#,
            ProviderErrorKind::Throttled,
            false,
        ),
        (
            424,
            "ModelError",
            r#"{"OriginalStatusCode":500,"Message":"m"}"#,
            ProviderErrorKind::Internal,
            true,
        ),
        (424, "ModelError", "{}", ProviderErrorKind::ModelError, true),
        (429, "ModelNotReadyException", "{}", ProviderErrorKind::Unavailable, false),
        (503, "ServiceUnavailable", "{}", ProviderErrorKind::Unavailable, true),
        (530, "InternalDependencyException", "{}", ProviderErrorKind::Unavailable, true),
    ] {
        let service = FakeService::answering(status, &[("x-amzn-errortype", code)], body);
        let outcome = Sagemaker::new(aws(&service)).send(&caller().call(0), request(false)).await;
        let error = outcome.err().unwrap();
        assert_eq!((error.kind, error.may_have_run), (kind, may_have_run), "{code} {body}");
        assert_eq!(service.sent().len(), 1);
    }
}

#[tokio::test]
async fn faults_of_the_line_say_whether_the_model_may_have_run() {
    let silence = Duration::from_millis(50);
    let send = |url: String| async move {
        Sagemaker::new(aws_at(&url, silence)).send(&caller().call(0), request(true)).await
    };
    let error = send(nobody().await).await.err().unwrap();
    assert_eq!((error.kind, error.may_have_run), (ProviderErrorKind::Unavailable, false));
    let error = send(server(vec![Deed::Cut]).await).await.err().unwrap();
    assert_eq!((error.kind, error.may_have_run), (ProviderErrorKind::Interrupted, true));
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n".to_vec();
    for (deed, kind) in [
        (Deed::Answer([head.clone(), part("a")].concat()), ProviderErrorKind::Interrupted),
        (Deed::Stall([head.clone(), part("a")].concat()), ProviderErrorKind::Timeout),
    ] {
        let (bytes, error) = collected(send(server(vec![deed]).await).await.unwrap()).await;
        let error = error.unwrap();
        assert_eq!(
            (bytes.as_slice(), error.kind, error.may_have_run),
            (b"a".as_slice(), kind, true)
        );
    }
}

#[tokio::test]
async fn an_endpoint_does_nothing_but_answer() {
    let service = FakeService::answering(200, &[], "");
    let request = ProviderRequest { operation: Operation::CountTokens, ..request(false) };
    let outcome = Sagemaker::new(aws(&service)).send(&caller().call(0), request).await;
    assert_eq!(outcome.err().unwrap().kind, ProviderErrorKind::Internal);
    assert!(service.sent().is_empty());
}

fn run(pieces: Vec<Bytes>) -> (Vec<u8>, Option<ProviderError>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let body = futures::stream::iter(pieces.into_iter().map(Ok)).boxed();
    let body = crate::payload::payloads(body, None);
    runtime.block_on(collected(ProviderResponse {
        provider_request_id: None,
        headers: Vec::new(),
        body,
    }))
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_bytes(
        parts in prop::collection::vec("[a-z]{0,20}", 0..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let whole: Vec<u8> = parts.iter().flat_map(|text| part(text)).collect();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(whole.len() + 1)).collect();
        cuts.extend([0, whole.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|cut| Bytes::copy_from_slice(&whole[cut[0]..cut[1]]));
        prop_assert_eq!(run(pieces.collect()), (parts.concat().into_bytes(), None));
    }

    #[test]
    fn garbage_ends_in_one_error(garbage in prop::collection::vec(any::<u8>(), 1..64)) {
        let (bytes, error) = run(vec![garbage.into()]);
        prop_assert!(bytes.is_empty());
        prop_assert_eq!(error.unwrap().kind, ProviderErrorKind::Interrupted);
    }
}
