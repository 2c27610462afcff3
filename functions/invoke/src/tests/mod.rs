//! Recorded events in, responses and the ledger's state out.

mod admission_tests;
mod answers;
mod failures;
mod lifecycle;
mod remembered;
mod routing;
mod shadows;
mod support;
mod unary;
mod unpriced;
