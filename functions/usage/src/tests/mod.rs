//! Recorded events in, answers and the state of the tables out.

mod bad_input;
mod bills;
mod entries;
mod fake;
mod limits;
mod months;
mod plans;
mod prices;
mod races;
mod raises;
mod reading;
mod reconciliations;
mod report;
mod statements;
mod support;
