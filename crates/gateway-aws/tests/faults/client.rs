//! The clients: how each dialect asks, and what it reads.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gateway::{HttpRequest, family_of, serve};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::support::Gateway;

/// What every client asks for at most.
pub(crate) const MAX_TOKENS: u64 = 50;

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Client {
    Chat,
    Responses,
    Messages,
    Converse,
    Invoke,
}

impl Client {
    pub(crate) const ALL: [Self; 5] =
        [Self::Chat, Self::Responses, Self::Messages, Self::Converse, Self::Invoke];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Chat => "Chat Completions",
            Self::Responses => "Responses",
            Self::Messages => "Messages",
            Self::Converse => "Converse",
            Self::Invoke => "InvokeModel",
        }
    }

    fn request(self, model: &str, prompt: &str, is_streamed: bool) -> (String, Value) {
        let messages = json!([{"role": "user", "content": prompt}]);
        let bedrock = |whole, streamed| {
            format!("/bedrock/model/{model}/{}", if is_streamed { streamed } else { whole })
        };
        match self {
            Self::Chat => (
                "/v1/chat/completions".to_owned(),
                json!({"model": model, "max_tokens": MAX_TOKENS, "messages": messages, "stream": is_streamed}),
            ),
            Self::Responses => (
                "/v1/responses".to_owned(),
                json!({"model": model, "max_output_tokens": MAX_TOKENS, "input": prompt, "stream": is_streamed}),
            ),
            Self::Messages => (
                "/v1/messages".to_owned(),
                json!({"model": model, "max_tokens": MAX_TOKENS, "messages": messages, "stream": is_streamed}),
            ),
            Self::Converse => (
                bedrock("converse", "converse-stream"),
                json!({
                    "messages": [{"role": "user", "content": [{"text": prompt}]}],
                    "inferenceConfig": {"maxTokens": MAX_TOKENS},
                }),
            ),
            Self::Invoke => (
                bedrock("invoke", "invoke-with-response-stream"),
                json!({"anthropic_version": "bedrock-2023-05-31", "max_tokens": MAX_TOKENS, "messages": messages}),
            ),
        }
    }

    /// What a whole stream ends with.
    fn completion(self) -> &'static str {
        match self {
            Self::Chat => "data: [DONE]",
            Self::Responses => "event: response.completed",
            Self::Messages | Self::Invoke => "message_stop",
            Self::Converse => "messageStop",
        }
    }

    /// How an error stands in a stream.
    fn interruption(self) -> &'static str {
        match self {
            Self::Chat => r#""error":{"#,
            Self::Responses => "event: response.failed",
            Self::Messages => "event: error",
            Self::Converse | Self::Invoke => ":exception-type",
        }
    }

    pub(crate) async fn ask(
        self,
        gateway: &Gateway,
        model: &str,
        prompt: &str,
        is_streamed: bool,
        is_short: bool,
    ) -> Read {
        let (path, body) = self.request(model, prompt, is_streamed);
        let body = body.to_string();
        let call = Gateway::call(is_short);
        let id = call.id.clone();
        let headers = HeaderMap::new();
        let request = HttpRequest {
            method: &Method::POST,
            path: &path,
            query: &[],
            headers: &headers,
            body: body.as_bytes(),
        };
        let response = serve(&gateway.state, gateway.context.clone(), call, request)
            .await
            .unwrap_or_else(|error| error.into_response(family_of(&path), &id));
        let (head, body) = response.into_parts();
        let text = printable(&body.collect().await.unwrap().to_bytes());
        let header = |name| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let is_success = head.status == StatusCode::OK;
        let in_stream = is_success && is_streamed && text.contains(self.interruption());
        let is_complete = is_success && (!is_streamed || text.contains(self.completion()));
        assert!(!(in_stream && is_complete), "an error and an end: {text}");
        Read {
            error: (!is_success || in_stream).then(|| error_of(&text, header("x-amzn-errortype"))),
            is_complete,
            status: head.status,
            model: header("x-weir-model"),
            attempts: header("x-weir-attempts").map(|text| text.parse().unwrap()),
            retry_after: header("retry-after"),
            text,
        }
    }
}

/// What a client got.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) status: StatusCode,
    /// The name of the error, in the dialect's own words.
    pub(crate) error: Option<String>,
    /// Whether it must take the answer for whole.
    pub(crate) is_complete: bool,
    pub(crate) model: Option<String>,
    pub(crate) attempts: Option<usize>,
    pub(crate) retry_after: Option<String>,
    /// All of it, readable.
    pub(crate) text: String,
}

/// Event streams have bytes that are no text, and `InvokeModel` hides what it says.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let hidden: Vec<String> = text
        .split(r#""bytes":""#)
        .skip(1)
        .filter_map(|rest| BASE64_STANDARD.decode(rest.split('"').next()?).ok())
        .map(|bytes| String::from_utf8(bytes).unwrap())
        .collect();
    if hidden.is_empty() { text } else { format!("{}\n{text}", hidden.concat()) }
}

/// All names of errors that a client may read here.
const NAMES: [&str; 21] = [
    "rate_limit_exceeded",
    "provider_timeout",
    "model_error",
    "provider_unavailable",
    "provider_error",
    "provider_interrupted",
    "api_error",
    "overloaded_error",
    "timeout_error",
    "rate_limit_error",
    "throttlingException",
    "serviceUnavailableException",
    "internalServerException",
    "modelStreamErrorException",
    "modelTimeoutException",
    "ThrottlingException",
    "ServiceUnavailableException",
    "ModelErrorException",
    "ModelTimeoutException",
    "InternalServerException",
    "server_error",
];

fn error_of(text: &str, of_header: Option<String>) -> String {
    let said = of_header.unwrap_or_else(|| text.to_owned());
    let name = NAMES.iter().find(|name| said.contains(*name));
    (*name.unwrap_or_else(|| panic!("no known error: {text}"))).to_owned()
}

/// What went wrong, whatever the dialect calls it.
pub(crate) fn meaning(name: &str) -> &'static str {
    let name = name.to_lowercase();
    match () {
        () if name.contains("rate_limit") || name.contains("throttling") => "throttled",
        () if name.contains("timeout") => "took too long",
        () if name.contains("unavailable") || name.contains("overloaded") => "unavailable",
        () => "failed",
    }
}
