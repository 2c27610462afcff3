//! The older port, on top of the newer one, until nothing asks for it.

use bytes::Bytes;
use futures::StreamExt as _;
use inference::{
    EventStream, ForwardedResponse, ModelRequest, ModelResponse, Operation, Protocol, Provider,
    ProviderAdapter as _, ProviderAnswer, ProviderCall, ProviderError, ProviderErrorKind,
    ProviderRequest,
};

use crate::Providers;

fn failed(kind: ProviderErrorKind, message: impl Into<String>) -> ProviderError {
    ProviderError {
        kind,
        message: message.into(),
        provider_request_id: None,
        may_have_run: false,
        retry_after: None,
    }
}

fn codec() -> Result<&'static dyn inference::Codec, ProviderError> {
    Protocol::Converse
        .codec()
        .ok_or_else(|| failed(ProviderErrorKind::Internal, "there is no codec for Converse"))
}

impl Provider for Providers {
    async fn respond(
        &self,
        call: &ProviderCall<'_>,
        request: ModelRequest,
    ) -> Result<ModelResponse, ProviderError> {
        let codec = codec()?;
        let request = codec
            .write(&request, call.model, false)
            .map_err(|error| failed(ProviderErrorKind::InvalidRequest, error.message))?;
        let mut response = self.send(call, request).await?;
        let mut body = Vec::new();
        while let Some(piece) = response.body.next().await {
            body.extend_from_slice(&piece?);
        }
        let answer = ProviderAnswer {
            provider_request_id: response.provider_request_id,
            headers: response.headers,
            body: body.into(),
        };
        codec.read(call.model, &answer)
    }

    async fn stream(
        &self,
        call: &ProviderCall<'_>,
        request: ModelRequest,
    ) -> Result<EventStream, ProviderError> {
        let codec = codec()?;
        let request = codec
            .write(&request, call.model, true)
            .map_err(|error| failed(ProviderErrorKind::InvalidRequest, error.message))?;
        let body = self.send(call, request).await?.body;
        let reader = codec.stream(call.model);
        let frames = futures::stream::unfold(Some((body, reader)), |state| async move {
            let (mut body, mut reader) = state?;
            match body.next().await {
                Some(Ok(bytes)) => Some((Ok(reader.push(&bytes)), Some((body, reader)))),
                Some(Err(error)) => Some((Err(error), None)),
                None => Some((Ok(reader.finish()), None)),
            }
        });
        let events = frames.flat_map(|frames| {
            let events: Vec<_> = match frames {
                Err(error) => vec![Err(error)],
                Ok(frames) => frames
                    .into_iter()
                    .flat_map(|frame| frame.events.into_iter().map(Ok).chain(frame.error.map(Err)))
                    .collect(),
            };
            futures::stream::iter(events)
        });
        Ok(events.boxed())
    }

    async fn forward(
        &self,
        call: &ProviderCall<'_>,
        body: Bytes,
    ) -> Result<ForwardedResponse, ProviderError> {
        let request = ProviderRequest {
            protocol: Protocol::OpenaiChat,
            operation: Operation::Invoke,
            is_streaming: true,
            headers: Vec::new(),
            body,
        };
        let response = self.send(call, request).await?;
        let content_type = response.headers.into_iter().find(|(name, _)| name == "content-type");
        Ok(ForwardedResponse {
            provider_request_id: response.provider_request_id,
            content_type: content_type.map(|(_, value)| value),
            body: response.body,
        })
    }
}
