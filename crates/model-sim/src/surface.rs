//! The outside of each API: how a stream is framed, how an error looks, which headers come along.

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::error::Fault;
use crate::eventstream;
use crate::plan::Usage;
use crate::playback::{Event, Frame};
use crate::prompt::set;

const JSON: &str = "application/json";
/// Bytes of the parts that `SageMaker` cuts a container's stream into, in turns: never where its events end.
const PARTS: [usize; 5] = [7, 31, 3, 64, 17];

/// Where a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surface {
    /// Operations of the Bedrock runtime whose events have types of their own.
    Bedrock,
    /// `InvokeModel`, with the model's own JSON in chunks.
    Invoke,
    /// Chat Completions, embeddings and the like.
    OpenAi(Errors),
    /// OpenAI Responses.
    Responses,
    /// Anthropic Messages.
    Anthropic,
    /// A container's own stream in parts.
    SageMaker,
}

/// How servers that say they are compatible with OpenAI word their errors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Errors {
    /// As OpenAI does.
    #[default]
    OpenAi,
    /// The status as the code, and types of their own.
    Vllm,
    /// A text in place of the object.
    Tgi,
}

impl Errors {
    fn body(self, fault: &Fault) -> Value {
        match self {
            Self::OpenAi => fault.openai_body(),
            Self::Vllm => {
                let kind = if fault.status.is_client_error() {
                    "BadRequestError"
                } else {
                    "InternalServerError"
                };
                json!({"error": {"message": fault.message, "type": kind, "param": null, "code": fault.status.as_u16()}})
            }
            Self::Tgi => {
                let kind = match fault.status.as_u16() {
                    429 => "overloaded",
                    400..=499 => "validation",
                    _ => "generation",
                };
                json!({"error": fault.message, "error_type": kind})
            }
        }
    }
}

impl Surface {
    /// `content-type` of a stream.
    pub(crate) fn stream_type(self) -> &'static str {
        match self {
            Self::Bedrock | Self::Invoke | Self::SageMaker => "application/vnd.amazon.eventstream",
            Self::OpenAi(_) | Self::Responses | Self::Anthropic => "text/event-stream",
        }
    }

    /// Frames a whole stream; `usage` is what its end reports.
    pub(crate) fn frames(self, mut events: Vec<Event>, usage: Usage) -> Vec<Frame> {
        if self == Self::SageMaker {
            return parts(&events);
        }
        if self == Self::Invoke
            && let Some(last) = events.last_mut()
        {
            last.data = with_metrics(&last.data, usage);
        }
        events
            .iter()
            .map(|event| Frame { bytes: self.frame(event), is_chunk: event.is_chunk })
            .collect()
    }

    fn frame(self, event: &Event) -> Bytes {
        match self {
            Self::Bedrock => eventstream::event(event.name, JSON, event.data.clone()),
            Self::Invoke => {
                let payload = json!({"bytes": BASE64_STANDARD.encode(&event.data), "p": "abcd"});
                eventstream::event("chunk", JSON, payload.to_string())
            }
            Self::OpenAi(_) | Self::SageMaker => format!("data: {}\n\n", event.data).into(),
            Self::Responses | Self::Anthropic => {
                format!("event: {}\ndata: {}\n\n", event.name, event.data).into()
            }
        }
    }

    /// An error within a stream, after so many frames.
    pub(crate) fn fault_frame(self, fault: &Fault, request_id: &str, after: usize) -> Bytes {
        match self {
            Self::Bedrock | Self::Invoke => {
                let mut payload = json!({"message": fault.message});
                if fault.exception == "ModelStreamErrorException" {
                    payload = json!({"message": fault.message, "originalMessage": fault.message, "originalStatusCode": 500});
                }
                eventstream::exception(&fault.stream_member(), payload.to_string())
            }
            Self::SageMaker => {
                let is_internal = fault.exception == "InternalServerException";
                let (name, payload) = if is_internal {
                    ("InternalStreamFailure", json!({"Message": fault.message}))
                } else {
                    let code = "ModelInvocationTimeExceeded";
                    ("ModelStreamError", json!({"Message": fault.message, "ErrorCode": code}))
                };
                eventstream::exception(name, payload.to_string())
            }
            Self::OpenAi(errors) => format!("data: {}\n\n", errors.body(fault)).into(),
            Self::Responses => {
                let (kind, code) = fault.openai_names();
                let error = json!({"type": "error", "code": code.unwrap_or(kind), "message": fault.message, "param": null, "sequence_number": after});
                format!("event: error\ndata: {error}\n\n").into()
            }
            Self::Anthropic => {
                format!("event: error\ndata: {}\n\n", fault.anthropic_body(request_id)).into()
            }
        }
    }

    /// A frame that no reader can make sense of.
    pub(crate) fn garbage_frame(self) -> Bytes {
        match self {
            Self::Bedrock | Self::Invoke | Self::SageMaker => eventstream::garbage(),
            Self::OpenAi(_) => Bytes::from_static(b"data: {\"choices\": [garbage\n\n"),
            Self::Responses => {
                Bytes::from_static(b"event: response.output_text.delta\ndata: {garbage\n\n")
            }
            Self::Anthropic => {
                Bytes::from_static(b"event: content_block_delta\ndata: {garbage\n\n")
            }
        }
    }

    /// An error in place of the answer.
    pub(crate) fn refusal(self, fault: &Fault, request_id: &str) -> Response {
        let mut response = match self {
            Self::Bedrock | Self::Invoke => {
                let headers = [("x-amzn-errortype", fault.exception.as_str())];
                let mut body = json!({"message": fault.message});
                if fault.exception == "ModelErrorException" {
                    set(&mut body, "originalStatusCode", 500);
                    set(&mut body, "resourceName", "model-sim");
                }
                (fault.status, headers, Json(body)).into_response()
            }
            Self::OpenAi(errors) => (fault.status, Json(errors.body(fault))).into_response(),
            Self::Responses => (fault.status, Json(fault.openai_body())).into_response(),
            Self::Anthropic => {
                (fault.status, Json(fault.anthropic_body(request_id))).into_response()
            }
            Self::SageMaker => sagemaker_refusal(fault),
        };
        let retry_after = fault.retry_after().map(HeaderValue::from_str);
        if let Some(Ok(seconds)) = retry_after {
            response.headers_mut().insert("retry-after", seconds);
        }
        response
    }

    /// What every answer carries, and what a whole one carries of its `usage`.
    pub(crate) fn headers(self, request_id: &str, usage: Option<Usage>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut put = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        match self {
            Self::Bedrock | Self::Invoke | Self::SageMaker => put("x-amzn-requestid", request_id),
            Self::OpenAi(_) | Self::Responses => {
                put("x-amzn-requestid", request_id);
                put("x-request-id", request_id);
            }
            Self::Anthropic => {
                put("x-amzn-requestid", request_id);
                put("request-id", request_id);
            }
        }
        match self {
            Self::Invoke => put("x-amzn-bedrock-content-type", JSON),
            Self::SageMaker => {
                put("x-amzn-invoked-production-variant", "AllTraffic");
                put("x-amzn-sagemaker-content-type", "text/event-stream");
            }
            _ => {}
        }
        if let Some(usage) = usage.filter(|_| self == Self::Invoke) {
            put("x-amzn-bedrock-input-token-count", &usage.input.to_string());
            put("x-amzn-bedrock-output-token-count", &usage.output.to_string());
            put("x-amzn-bedrock-invocation-latency", "1");
        }
        headers
    }
}

/// The last chunk of `InvokeModelWithResponseStream` tells what was used.
fn with_metrics(data: &str, usage: Usage) -> String {
    let Ok(mut fields) = serde_json::from_str::<Map<String, Value>>(data) else {
        return data.to_owned();
    };
    let mut metrics = json!({
        "inputTokenCount": usage.input,
        "outputTokenCount": usage.output,
        "invocationLatency": 1,
        "firstByteLatency": 1,
    });
    if usage.cache_read + usage.cache_write() > 0 {
        set(&mut metrics, "cacheReadInputTokenCount", usage.cache_read);
        set(&mut metrics, "cacheWriteInputTokenCount", usage.cache_write());
    }
    fields.insert("amazon-bedrock-invocationMetrics".to_owned(), metrics);
    Value::Object(fields).to_string()
}

/// What only frames goes with the chunk after it; a chunk ends a part, so that what was produced has arrived.
fn parts(events: &[Event]) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut pending = Vec::new();
    let mut sizes = PARTS.into_iter().cycle();
    for (index, event) in events.iter().enumerate() {
        pending.extend_from_slice(&Surface::SageMaker.frame(event));
        if !event.is_chunk && index + 1 < events.len() {
            continue;
        }
        let mut bytes = Vec::new();
        let mut rest = std::mem::take(&mut pending);
        while !rest.is_empty() {
            let later = rest.split_off(sizes.next().unwrap_or(1).min(rest.len()));
            let part = eventstream::event("PayloadPart", "application/octet-stream", rest);
            bytes.extend_from_slice(&part);
            rest = later;
        }
        frames.push(Frame { bytes: bytes.into(), is_chunk: event.is_chunk });
    }
    frames
}

/// <https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html#API_runtime_InvokeEndpoint_Errors>
fn sagemaker_refusal(fault: &Fault) -> Response {
    let refuse = |status: StatusCode, name: &str, body: Value| {
        (status, [("x-amzn-errortype", name)], Json(body)).into_response()
    };
    let plain = json!({"message": fault.message});
    match fault.exception.as_str() {
        // What the container refuses is an error of the model's.
        "ValidationException" | "SerializationException" | "ModelErrorException" | "ModelError" => {
            let original = fault.openai_body().to_string();
            let message = format!(
                "Received client error ({}) from primary with message \"{original}\".",
                fault.status.as_u16()
            );
            let body = json!({"ErrorCode": "CLIENT_ERROR_FROM_MODEL", "LogStreamArn": "", "Message": message,
                "OriginalMessage": original, "OriginalStatusCode": fault.status.as_u16()});
            refuse(StatusCode::FAILED_DEPENDENCY, "ModelError", body)
        }
        "InternalServerException" => refuse(fault.status, "InternalFailure", plain),
        "ServiceUnavailableException" => refuse(fault.status, "ServiceUnavailable", plain),
        "ResourceNotFoundException" => refuse(StatusCode::BAD_REQUEST, "ValidationError", plain),
        other => refuse(fault.status, other, plain),
    }
}

#[cfg(test)]
mod tests {
    use super::Surface;
    use crate::plan::Usage;
    use crate::playback::Event;

    #[test]
    fn a_containers_stream_is_cut_within_its_events() {
        let events =
            vec![Event::mark("", &"first"), Event::chunk("", &"a chunk"), Event::mark("", &"end")];
        let frames = Surface::SageMaker.frames(events, Usage::default());
        assert_eq!(frames.iter().map(|frame| frame.is_chunk).collect::<Vec<_>>(), [true, false]);
        let mut bytes = frames.iter().flat_map(|frame| frame.bytes.to_vec()).collect::<Vec<_>>();
        let mut whole = Vec::new();
        let mut parts = 0;
        while !bytes.is_empty() {
            let mut rest = bytes.as_slice();
            let message = aws_smithy_eventstream::frame::read_message_from(&mut rest).unwrap();
            whole.extend_from_slice(message.payload());
            parts += 1;
            bytes = rest.to_vec();
        }
        assert_eq!(
            String::from_utf8(whole).unwrap(),
            "data: first\n\ndata: a chunk\n\ndata: end\n\n"
        );
        assert_eq!(parts, 4);
    }
}
