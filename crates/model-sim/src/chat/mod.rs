//! OpenAI Chat Completions, as Bedrock serves it at `/openai/v1`.

mod answer;
mod request;

pub(crate) use answer::ChatCompletions;
pub(crate) use request::{includes_usage, is_streamed, parse};
