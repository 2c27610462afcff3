//! Where on Bedrock a request goes.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/endpoints.html>

use aws_transport::{Service, path_segment, profile_model};
use inference::{Operation, Protocol, ProviderRequest};

/// The service and the path of `request` for a model; `None` if Bedrock has no place for it.
pub(crate) fn address(model_id: &str, request: &ProviderRequest) -> Option<(Service, String)> {
    use {Operation as Op, Protocol as P};

    let runtime = |path: String| Some((Service::BedrockRuntime, path));
    let of_model = |id: &str, operation: &str| format!("/model/{}/{operation}", path_segment(id));
    let streamed = |whole, streamed| if request.is_streaming { streamed } else { whole };
    match (&request.operation, request.protocol) {
        (Op::Invoke, P::Converse) => {
            runtime(of_model(model_id, streamed("converse", "converse-stream")))
        }
        (Op::Invoke, P::InvokeModel) => {
            runtime(of_model(model_id, streamed("invoke", "invoke-with-response-stream")))
        }
        (Op::Invoke, P::OpenaiChat) => runtime("/openai/v1/chat/completions".to_owned()),
        (Op::Invoke, P::OpenaiResponses) => runtime("/openai/v1/responses".to_owned()),
        (Op::Invoke, P::AnthropicMessages) => runtime("/anthropic/v1/messages".to_owned()),
        (Op::CountTokens, P::AnthropicMessages) => {
            runtime("/anthropic/v1/messages/count_tokens".to_owned())
        }
        // A model counts tokens, a profile does not.
        (Op::CountTokens, _) => {
            runtime(of_model(profile_model(model_id).unwrap_or(model_id), "count-tokens"))
        }
        (Op::ApplyGuardrail { id, version }, _) => runtime(format!(
            "/guardrail/{}/version/{}/apply",
            path_segment(id),
            path_segment(version)
        )),
        (Op::Invoke, P::BedrockRerank) => {
            Some((Service::BedrockAgentRuntime, "/rerank".to_owned()))
        }
        (Op::Invoke, P::JsonTemplate | P::OpenaiEmbeddings | P::Rerank | P::BedrockGuardrail) => {
            None
        }
    }
}
