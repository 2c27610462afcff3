//! A stand-in for model providers: same paths, same wire formats, no model behind them.
//!
//! It answers every provider API that the gateway calls, validates requests as their servers do, and records what it
//! was asked. Tests script its answers; how is in `docs/model-sim.md`.
//!
//! One request goes this way: [`call`] records it and asks [`access`] or [`key`]; its API reads it into a [`prompt`];
//! [`directive`], [`scripts`] and [`faults`] decide on a [`plan`]; the API's dialect words it, its [`surface`] frames it, and
//! [`playback`] gives it at its pace. A new API is a reader and a dialect.

mod access;
mod anthropic;
mod arrival;
mod call;
mod chat;
mod compatible;
mod control;
mod converse;
mod count_tokens;
mod directive;
mod error;
mod eventstream;
mod faults;
mod fixed;
mod guardrail;
mod invoke;
mod key;
mod line;
mod plan;
mod playback;
mod prompt;
mod prompt_cache;
mod records;
mod rerank;
mod responses;
mod sagemaker;
mod schema;
mod scripts;
mod seal;
mod server;
mod surface;
mod vectors;

pub use server::{Options, serve};
