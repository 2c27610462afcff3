//! The rerank dialect, as Cohere (<https://docs.cohere.com/reference/rerank>) and Jina
//! (<https://jina.ai/reranker>) have it.
//!
//! A server that speaks it itself gets the client's bytes, and its answer is passed on as it is. Bedrock's
//! `Rerank` is asked in its own JSON, and answered in Cohere's, which Jina's clients read as well.
//! Refused are documents that are no text and `rank_fields`; `max_tokens_per_doc` is a hint, which Bedrock
//! has no place for.

mod bedrock;
mod request;
#[cfg(test)]
mod tests;

pub use request::RerankRequest;
