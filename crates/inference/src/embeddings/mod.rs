//! The OpenAI embeddings dialect (<https://platform.openai.com/docs/api-reference/embeddings/create>).
//!
//! A model that speaks it itself gets the client's bytes, and its answer is passed on as it is. The
//! models on Bedrock that have a JSON of their own ([`BodyFormat`](crate::BodyFormat)) are asked as often
//! as it takes, one text or 96 at a time, and their vectors become one list; what they cannot read
//! (tokens instead of texts, other `dimensions` than they have) is refused.
//!
//! Beyond OpenAI's fields it takes Cohere's `input_type` (`search_document`, `search_query`, `classification`
//! or `clustering`): models whose vectors depend on it get it, others need not know.

mod invoke;
mod request;
#[cfg(test)]
mod tests;

pub use request::EmbeddingsRequest;
