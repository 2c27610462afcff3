//! What `ConverseStream` answers, in canonical form.

use std::time::Duration;

use aws_sdk_bedrockruntime::operation::RequestId as _;
use aws_sdk_bedrockruntime::operation::converse_stream::ConverseStreamOutput;
use aws_sdk_bedrockruntime::types as sdk;
use futures::StreamExt as _;
use inference::{Event, EventStream, ProviderError};
use tokio::time::timeout;

use crate::error;
use crate::response::{stop_reason, token_usage};

/// Where a stream is.
struct Reading {
    output: ConverseStreamOutput,
    max_silence: Duration,
    has_stopped: bool,
}

/// The events of an accepted call; given up if nothing comes for `max_silence`.
pub(crate) fn event_stream(output: ConverseStreamOutput, max_silence: Duration) -> EventStream {
    let reading = Reading { output, max_silence, has_stopped: false };
    futures::stream::unfold(Some(reading), |reading| async move {
        let mut reading = reading?;
        let event = reading.next().await?;
        // Nothing follows an error.
        let rest = event.is_ok().then_some(reading);
        Some((event, rest))
    })
    .boxed()
}

impl Reading {
    async fn next(&mut self) -> Option<Result<Event, ProviderError>> {
        loop {
            let Ok(received) = timeout(self.max_silence, self.output.stream.recv()).await else {
                return Some(Err(error::silent(self.output.request_id())));
            };
            match received {
                Ok(Some(output)) => {
                    if let Some(event) = event(output) {
                        self.has_stopped |= matches!(event, Event::Stop { .. });
                        return Some(Ok(event));
                    }
                }
                Ok(None) if self.has_stopped => return None,
                Ok(None) => {
                    let request_id = self.output.request_id();
                    return Some(Err(error::interrupted(
                        "the stream ended before the answer did",
                        request_id,
                    )));
                }
                Err(error) => {
                    return Some(Err(error::from_stream(&error, self.output.request_id())));
                }
            }
        }
    }
}

/// The canonical event, if there is one. What is new or has no canonical form is no reason to fail.
fn event(output: sdk::ConverseStreamOutput) -> Option<Event> {
    let event = match output {
        sdk::ConverseStreamOutput::MessageStart(_) => return None,
        sdk::ConverseStreamOutput::ContentBlockStart(start) => {
            let block = block(start.content_block_index);
            match start.start {
                Some(sdk::ContentBlockStart::ToolUse(tool_use)) => Some(Event::ToolUseStart {
                    block,
                    id: tool_use.tool_use_id,
                    name: tool_use.name,
                }),
                _ => None,
            }
        }
        sdk::ConverseStreamOutput::ContentBlockDelta(delta) => {
            delta.delta.and_then(|content| content_delta(block(delta.content_block_index), content))
        }
        sdk::ConverseStreamOutput::ContentBlockStop(stop) => {
            Some(Event::BlockStop { block: block(stop.content_block_index) })
        }
        sdk::ConverseStreamOutput::MessageStop(stop) => {
            Some(Event::Stop { reason: stop_reason(&stop.stop_reason), stop_sequence: None })
        }
        sdk::ConverseStreamOutput::Metadata(metadata) => {
            metadata.usage.as_ref().map(|usage| Event::Usage(token_usage(usage)))
        }
        _ => None,
    };
    if event.is_none() {
        tracing::debug!("skipped a stream event that has no canonical form");
    }
    event
}

fn content_delta(block: u32, delta: sdk::ContentBlockDelta) -> Option<Event> {
    use sdk::ReasoningContentBlockDelta as Reasoning;

    match delta {
        sdk::ContentBlockDelta::Text(text) => Some(Event::TextDelta { block, text }),
        sdk::ContentBlockDelta::ToolUse(tool_use) => {
            Some(Event::ToolInputDelta { block, json: tool_use.input })
        }
        sdk::ContentBlockDelta::ReasoningContent(Reasoning::Text(text)) => {
            Some(Event::ReasoningDelta { block, text })
        }
        sdk::ContentBlockDelta::ReasoningContent(Reasoning::Signature(signature)) => {
            Some(Event::ReasoningSignature { block, signature })
        }
        _ => None,
    }
}

fn block(index: i32) -> u32 {
    u32::try_from(index).unwrap_or(0)
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
