//! A sink in memory, which can be made to refuse.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::{Event, EventSink, PublishError};

/// Events in memory.
#[derive(Debug, Default)]
pub struct InMemorySink {
    taken: Mutex<Vec<Event>>,
    refused: Mutex<BTreeSet<String>>,
}

impl InMemorySink {
    /// All that was taken.
    pub fn taken(&self) -> Vec<Event> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Refuses events whose id has `part` in it; none if it is empty.
    pub fn refuse(&self, part: &str) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.clear();
        if !part.is_empty() {
            refused.insert(part.to_owned());
        }
    }
}

impl EventSink for InMemorySink {
    async fn publish(&self, events: &[Event]) -> Vec<Result<(), PublishError>> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut take = |event: &Event| {
            if refused.iter().any(|part| event.id.contains(part)) {
                return Err(PublishError { id: event.id.clone(), source: "made to refuse".into() });
            }
            taken.push(event.clone());
            Ok(())
        };
        events.iter().map(&mut take).collect()
    }
}
