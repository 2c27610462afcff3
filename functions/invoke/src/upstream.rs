//! Answers that are sent at once.

use std::time::{Duration, Instant};

use admission::UsageStore;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::{HeaderValue, Response, header};
use http_api::{ApiError, Body, full};
use inference::estimated_tokens;
use inference::openai_chat::{render_response, usage_of_body};
use inference::{Provider, ProviderError, ProviderErrorKind};
use metering::TokenUsage;

use crate::State;
use crate::chat::Payload;
use crate::record::{Admission, Ending};

/// A whole answer: its bytes, and what it consumed.
struct Answer {
    body: Bytes,
    usage: Option<TokenUsage>,
    provider_request_id: Option<String>,
}

pub(crate) async fn answer<C, L: UsageStore, P: Provider>(
    state: &State<C, L, P>,
    admission: Admission,
    payload: Payload,
) -> Result<Response<Body>, ApiError> {
    let asked = Instant::now();
    let answer =
        tokio::time::timeout_at(admission.call.deadline().into(), ask(state, &admission, payload))
            .await
            .unwrap_or_else(|_| Err(timed_out()));
    let provider_time = asked.elapsed();
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let refusal = ApiError::from(&error);
            admission.record(state, &Ending { error: Some(error), ..Ending::default() }).await;
            return Err(refusal);
        }
    };
    let length = u64::try_from(answer.body.len()).unwrap_or(u64::MAX);
    let ending = Ending {
        // A provider that reports nothing reports zeros; an answer without a token there is none.
        usage: answer.usage.filter(|usage| usage.total() > 0),
        seen_output: Some(estimated_tokens(length)),
        provider_request_id: answer.provider_request_id,
        ..Ending::default()
    };
    admission.record(state, &ending).await;
    let mut response = Response::new(full(answer.body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        "server-timing",
        server_timing(admission.call.started.elapsed().saturating_sub(provider_time)),
    );
    Ok(response)
}

async fn ask<C, L, P: Provider>(
    state: &State<C, L, P>,
    admission: &Admission,
    payload: Payload,
) -> Result<Answer, ProviderError> {
    let call = admission.provider_call();
    match payload {
        Payload::Translated(request) => {
            let response = state.provider.respond(&call, *request).await?;
            let id = format!("chatcmpl-{}", admission.call.id);
            let created = admission.call.started_ms.div_euclid(1_000);
            let body = render_response(&response, &id, created, admission.model.id.as_str());
            Ok(Answer {
                body: Bytes::from(body.to_string()),
                usage: Some(response.usage),
                provider_request_id: response.provider_request_id,
            })
        }
        Payload::Forwarded(bytes) => {
            let mut response = state.provider.forward(&call, bytes).await?;
            let mut body = BytesMut::new();
            while let Some(piece) = response.body.next().await {
                body.extend_from_slice(&piece?);
            }
            Ok(Answer {
                usage: usage_of_body(&body),
                body: body.freeze(),
                provider_request_id: response.provider_request_id,
            })
        }
    }
}

/// The function's time ran out before the provider answered.
pub(crate) fn timed_out() -> ProviderError {
    ProviderError {
        kind: ProviderErrorKind::Timeout,
        message: "the function's time ran out".to_owned(),
        provider_request_id: None,
        may_have_run: true,
        retry_after: None,
    }
}

/// The gateway's own time, as the `server-timing` header has it: milliseconds.
pub(crate) fn server_timing(gateway: Duration) -> HeaderValue {
    HeaderValue::from_str(&format!("gateway;dur={:.1}", gateway.as_secs_f64() * 1_000.0))
        .unwrap_or_else(|_| HeaderValue::from_static("gateway"))
}
