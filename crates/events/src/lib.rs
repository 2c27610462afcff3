//! What the gateway tells the world outside: the events, and the port through which they go.
//!
//! Whoever hears them hears each at least once, in any order. What is the same event has the same
//! [`Event::id`], which stands in the event as `event_id`.

use std::error::Error;

use serde::Serialize;
use serde_json::Value;

#[cfg(feature = "fakes")]
pub mod fakes;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// Names it, however often it is told.
    pub id: String,
    /// What kind it is, in words that rules match: `BudgetThresholdReached`.
    pub kind: &'static str,
    /// When it happened, in Unix milliseconds.
    pub time_ms: i64,
    /// What happened: an object.
    pub detail: Value,
}

/// An event that was not taken.
#[derive(Debug, thiserror::Error)]
#[error("event `{id}` was not taken")]
pub struct PublishError {
    /// Which one.
    pub id: String,
    /// Why.
    pub source: Box<dyn Error + Send + Sync>,
}

/// Takes events.
pub trait EventSink: Send + Sync {
    /// Hands over `events`; for each, in their order, whether it was taken. What was taken will be
    /// delivered, what was not may be handed over again.
    fn publish(
        &self,
        events: &[Event],
    ) -> impl Future<Output = Vec<Result<(), PublishError>>> + Send;
}
