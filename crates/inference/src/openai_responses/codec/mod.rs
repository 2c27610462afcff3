//! The protocol as providers speak it.

mod read;
mod stream;
mod write;

use crate::{
    BadRequest, Codec, Model, ModelRequest, ModelResponse, ProviderAnswer, ProviderError,
    ProviderRequest, StreamReader,
};

/// Asks providers by OpenAI Responses.
///
/// Beyond what [`openai_responses`](super) says of clients:
///
/// - system prompts are joined into `instructions`; cache points of the conversation become
///   `prompt_cache_breakpoint` where the model takes them and a part of the user's stands before them;
/// - stop sequences, `top_k`, fields of another protocol and an answer that the client began are refused;
/// - thinking of another provider is left out; an amount of thinking becomes the nearest effort;
/// - what a failed tool returned starts with `Error: `, since the protocol has no mark for it;
/// - a JSON schema is enforced (`strict`) if it is closed everywhere, as the protocol demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResponsesCodec;

impl Codec for ResponsesCodec {
    fn write(
        &self,
        request: &ModelRequest,
        model: &Model,
        is_streaming: bool,
    ) -> Result<ProviderRequest, BadRequest> {
        write::write(request, model, is_streaming)
    }

    fn read(&self, _: &Model, answer: &ProviderAnswer) -> Result<ModelResponse, ProviderError> {
        read::read(answer)
    }

    fn stream(&self, _: &Model) -> Box<dyn StreamReader> {
        Box::new(stream::Reader::default())
    }
}
