//! Servers that speak OpenAI's API as an [`inference::ProviderAdapter`]: vLLM, Ollama, TGI on machines
//! of one's own, and third parties.

mod address;
#[cfg(test)]
mod model_sim_tests;
mod openai;

pub use openai::OpenaiCompatible;
