//! Recorded events in, answers and the state of the tables out.

mod bad_input;
mod fake;
mod limits;
mod races;
mod raises;
mod reading;
mod report;
mod support;
