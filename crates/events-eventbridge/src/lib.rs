//! Events on a bus of Amazon EventBridge.
//!
//! `PutEvents` answers 200 even if it did not take some of the entries; the SDK repeats requests, not
//! entries, so that is done here.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::primitives::DateTime;
use aws_sdk_eventbridge::types::{PutEventsRequestEntry, PutEventsResultEntry};
use events::{Event, EventSink, PublishError};
use serde_json::json;

/// Entries that one request takes.
const MAX_ENTRIES: usize = 10;

/// Times that an entry is handed over, if EventBridge says that it may work.
const MAX_TRIES: u32 = 3;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// A bus.
#[derive(Debug)]
pub struct EventBus {
    client: Client,
    name: String,
    source: &'static str,
}

impl EventBus {
    /// The bus of that name; its events say that they come from `source`.
    pub fn new(sdk: &SdkConfig, name: String, source: &'static str) -> Self {
        Self { client: Client::new(sdk), name, source }
    }

    fn entry(&self, event: &Event) -> PutEventsRequestEntry {
        let mut detail = event.detail.clone();
        if let Some(fields) = detail.as_object_mut() {
            fields.insert("event_id".to_owned(), json!(event.id));
        } else {
            detail = json!({ "event_id": event.id, "value": detail });
        }
        PutEventsRequestEntry::builder()
            .event_bus_name(&self.name)
            .source(self.source)
            .detail_type(event.kind)
            .time(DateTime::from_millis(event.time_ms))
            .detail(detail.to_string())
            .build()
    }

    /// Hands over at most [`MAX_ENTRIES`] events; what is wrong with each that was not taken.
    async fn put(&self, events: &[Event]) -> Vec<Option<Refusal>> {
        let entries = events.iter().map(|event| self.entry(event)).collect();
        let answer = self.client.put_events().set_entries(Some(entries)).send().await;
        let results = match answer {
            Ok(answer) => answer.entries.unwrap_or_default(),
            Err(error) => {
                // The SDK has tried again already.
                let text = aws_sdk_eventbridge::error::DisplayErrorContext(error).to_string();
                let refusal = Refusal { text, is_passing: false };
                return events.iter().map(|_| Some(refusal.clone())).collect();
            }
        };
        let missing = Some(Refusal { text: "no answer".to_owned(), is_passing: true });
        let mut refusals: Vec<_> = results.iter().map(refusal).collect();
        refusals.resize(events.len(), missing);
        refusals
    }
}

/// Why an entry was not taken.
#[derive(Debug, Clone)]
struct Refusal {
    text: String,
    /// Whether it may be taken in a moment.
    is_passing: bool,
}

fn refusal(result: &PutEventsResultEntry) -> Option<Refusal> {
    let code = result.error_code()?;
    let text = format!("{code}: {}", result.error_message().unwrap_or_default());
    let is_passing =
        matches!(code, "InternalFailure" | "ThrottlingException" | "InternalException");
    Some(Refusal { text, is_passing })
}

impl EventSink for EventBus {
    async fn publish(&self, events: &[Event]) -> Vec<Result<(), PublishError>> {
        let mut outcomes = Vec::with_capacity(events.len());
        for some in events.chunks(MAX_ENTRIES) {
            let mut refusals: Vec<Option<Refusal>> = self.put(some).await;
            for _ in 1..MAX_TRIES {
                let is_passing = |refusal: &Option<Refusal>| {
                    refusal.as_ref().is_some_and(|refusal| refusal.is_passing)
                };
                let again: Vec<usize> = refusals
                    .iter()
                    .enumerate()
                    .filter_map(|(index, refusal)| is_passing(refusal).then_some(index))
                    .collect();
                if again.is_empty() {
                    break;
                }
                tokio::time::sleep(PAUSE).await;
                let events: Vec<Event> =
                    again.iter().filter_map(|index| some.get(*index).cloned()).collect();
                for (index, refusal) in again.into_iter().zip(self.put(&events).await) {
                    if let Some(slot) = refusals.get_mut(index) {
                        *slot = refusal;
                    }
                }
            }
            outcomes.extend(some.iter().zip(refusals).map(|(event, refusal)| match refusal {
                None => Ok(()),
                Some(refusal) => {
                    Err(PublishError { id: event.id.clone(), source: refusal.text.into() })
                }
            }));
        }
        outcomes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use aws_config::{BehaviorVersion, Region};
    use aws_credential_types::Credentials;
    use aws_credential_types::provider::SharedCredentialsProvider;
    use axum::Router;
    use axum::extract::State;
    use axum::routing::post;
    use serde_json::Value;

    use super::*;

    /// What the bus was asked, and how often each event was handed over.
    type Asked = Arc<Mutex<Vec<Vec<String>>>>;

    /// Takes everything but events with `slow` in their id for the first time, and `bad` ever.
    async fn put_events(State(asked): State<Asked>, body: String) -> String {
        let request: Value = serde_json::from_str(&body).unwrap();
        let entries = request["Entries"].as_array().unwrap();
        let ids: Vec<String> = entries
            .iter()
            .map(|entry| {
                assert_eq!(
                    (&entry["EventBusName"], &entry["Source"]),
                    (&json!("bus"), &json!("weir"))
                );
                assert_eq!(entry["DetailType"], "Test");
                assert_eq!(entry["Time"].as_f64(), Some(1_795_435_200.0));
                let detail: Value =
                    serde_json::from_str(entry["Detail"].as_str().unwrap()).unwrap();
                assert_eq!(detail["used"], 5);
                detail["event_id"].as_str().unwrap().to_owned()
            })
            .collect();
        let mut asked = asked.lock().unwrap();
        let answer = |id: &String| {
            let was_asked = asked.iter().flatten().any(|other| other == id);
            if id.contains("bad") {
                json!({"ErrorCode": "MalformedDetail", "ErrorMessage": "no"})
            } else if id.contains("slow") && !was_asked {
                json!({"ErrorCode": "ThrottlingException", "ErrorMessage": "later"})
            } else {
                json!({"EventId": "e"})
            }
        };
        let answers: Vec<Value> = ids.iter().map(answer).collect();
        asked.push(ids);
        json!({"FailedEntryCount": 0, "Entries": answers}).to_string()
    }

    async fn bus() -> (EventBus, Asked) {
        let asked = Asked::default();
        let router = Router::new().route("/", post(put_events)).with_state(Arc::clone(&asked));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let credentials = Credentials::new("test", "test", None, None, "test");
        let sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .endpoint_url(endpoint)
            .build();
        (EventBus::new(&sdk, "bus".to_owned(), "weir"), asked)
    }

    fn event(id: &str) -> Event {
        Event {
            id: id.to_owned(),
            kind: "Test",
            time_ms: 1_795_435_200_000,
            detail: json!({"used": 5}),
        }
    }

    #[tokio::test]
    async fn what_was_not_taken_is_handed_over_again_and_nothing_else_is() {
        let (bus, asked) = bus().await;
        let ids = ["a", "slow-1", "bad", "b", "slow-2"];
        let events: Vec<Event> = ids.iter().map(|id| event(id)).collect();
        let outcomes = bus.publish(&events).await;
        let taken: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
        assert_eq!(taken, [true, true, false, true, true]);
        let error = outcomes.into_iter().nth(2).unwrap().unwrap_err();
        assert_eq!(
            (error.id.as_str(), error.source.to_string().as_str()),
            ("bad", "MalformedDetail: no")
        );
        assert_eq!(*asked.lock().unwrap(), [&ids[..], &["slow-1", "slow-2"]]);
    }

    #[tokio::test]
    async fn a_request_takes_ten() {
        let (bus, asked) = bus().await;
        let events: Vec<Event> = (0..23).map(|number| event(&number.to_string())).collect();
        assert!(bus.publish(&events).await.iter().all(Result::is_ok));
        let sizes: Vec<usize> = asked.lock().unwrap().iter().map(Vec::len).collect();
        assert_eq!(sizes, [10, 10, 3]);
    }
}
