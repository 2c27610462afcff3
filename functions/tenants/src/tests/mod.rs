//! Recorded events in, answers and the state of the tables out.

mod access;
mod bad_input;
mod callers;
mod documents;
mod issuers;
mod members;
mod model_requests;
mod properties;
mod support;
