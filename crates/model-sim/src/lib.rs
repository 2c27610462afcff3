//! A stand-in for the Bedrock runtime: same paths, same wire formats, no model behind them.
//!
//! It answers `Converse`, `ConverseStream`, `CountTokens`, `ApplyGuardrail` and OpenAI Chat Completions
//! deterministically, validates requests as Bedrock does, and records what it was asked, so that tests can
//! assert on the bytes and on the session that signed them. A test scripts one answer by putting a directive
//! into the last user message:
//!
//! ```text
//! Say hello [sim {"chunks": ["Hel", "lo"], "chunk_delay_ms": 50, "cut_after_chunks": 1}]
//! ```
//!
//! | key | meaning |
//! |---|---|
//! | `chunks`, `text`, `reasoning`, `tool_calls: [{name, arguments}]` | what is said; `chunks` sets the boundaries |
//! | `head_delay_ms`, `latency_ms`, `chunk_delay_ms` | waits before the headers, the first output, each further chunk |
//! | `error: {status, exception, type, code, message}` | an error in place of the answer |
//! | `error_after_chunks`, `cut_after_chunks` | that error, or a lost connection, after so many chunks |
//! | `usage: {input, output, cache_read, cache_write_5m, cache_write_1h}` | tokens to report |
//! | `stop_reason` | why the answer ends |
//!
//! All are optional, and an unknown one is refused. Without a directive the answer says that it comes from a
//! simulator, and every HTTP response carries `x-model-sim: 1`.
//!
//! A recorded call is `finished` when its answer, or an error in its place, was given to its end. `outcome` says
//! more: `in_progress`, `completed`, `failed` (a scripted error after the first chunk), `cut` (a scripted loss of the
//! connection) or `disconnected` (the caller hung up). Its `usage` is what is billed: the whole input once the model
//! was called, and the output produced so far.
//!
//! The control API is `GET /_sim/health`, `GET /_sim/calls?since=<seq>&tenant_id=<id>&limit=<n>` and
//! `POST /_sim/reset`.

mod access;
mod call;
mod chat;
mod control;
mod converse;
mod count_tokens;
mod directive;
mod error;
mod guardrail;
mod plan;
mod playback;
mod prompt;
mod records;
mod schema;
mod server;

pub use server::{Options, serve};
