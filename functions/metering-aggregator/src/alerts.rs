//! Tells how much of limits is used: after each batch of settlements, and on the schedule what is left
//! over from both this function and the gateway.
//!
//! An alert is noted before it is told and marked after. Whoever dies in between leaves a note that the
//! schedule tells a few minutes later; that is the only way to hear an alert twice, and both have the
//! same id.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use admission::{
    Alert, AlertEvent, AlertOutbox, Calendar, LimitOwner, LimitStore, Metric, Minute,
    ModelSelector, Scope, StoreError, held_by, settled,
};
use events::{Event, EventSink};
use events_eventbridge::EventBus;
use lambda_runtime::{Error, LambdaEvent};
use metering::{NanoUsd, UsageRecord};
use serde_json::{Map, Value, json};
use store_dynamodb::{Ledger, LimitTables};

/// What events say that they come from.
const SOURCE: &str = "weir.limits";

/// How long the one who noted an alert has to tell it.
const PATIENCE_MS: i64 = 5 * 60_000;

/// Alerts that are remembered as noted, at most.
const MAX_REMEMBERED: usize = 10_000;

/// Whose use is to be looked at.
type Counted = (Scope, ModelSelector);

/// What is needed to tell alerts.
#[derive(Debug)]
pub struct Alerts<L, S> {
    /// Limits, meters.
    pub limits: L,
    /// Where alerts are told.
    pub sink: S,
    /// Where windows begin.
    pub calendar: Calendar,
    seen: Mutex<Seen>,
}

/// What one execution environment remembers.
#[derive(Debug, Default)]
struct Seen {
    /// Ids of alerts that are known to be noted: a saved write each, and nothing else.
    noted: BTreeSet<String>,
    /// What could not be looked at, and is looked at with the next batch.
    pending: BTreeSet<Counted>,
}

impl<L: LimitStore, S: EventSink> Alerts<L, S> {
    /// Alerts about these limits, to this sink.
    pub fn new(limits: L, sink: S, calendar: Calendar) -> Self {
        Self { limits, sink, calendar, seen: Mutex::default() }
    }

    /// Tells what the settlement of `records` calls for. It never fails: what cannot be done now is done
    /// with the next batch, and money is settled before anybody is told of it.
    pub async fn after(&self, store: &impl AlertOutbox, records: &[UsageRecord], now_ms: i64) {
        let mut counted = std::mem::take(&mut self.seen().pending);
        for record in records {
            let held = held_by(record).unwrap_or_default();
            counted.extend(held.into_iter().map(|held| (held.meter.scope, held.meter.models)));
        }
        let mut noted = Vec::new();
        for counted in counted {
            match self.note_due(store, &counted, now_ms).await {
                Ok(new) => noted.extend(new),
                Err(error) => {
                    let scope = counted.0.to_string();
                    tracing::error!(%error, scope, "it is not known whether somebody must be told");
                    self.seen().pending.insert(counted);
                }
            }
        }
        self.tell(store, noted, now_ms).await;
    }

    /// Tells what was noted and not told: refusals that the gateway noted, and what somebody did not
    /// live to tell.
    ///
    /// # Errors
    /// The notes could not be read.
    pub async fn sweep(&self, store: &impl AlertOutbox, now_ms: i64) -> Result<usize, StoreError> {
        self.after(store, &[], now_ms).await;
        let is_left = |(alert, noted_ms): &(Alert, i64)| {
            alert.event == AlertEvent::Exhausted || noted_ms.saturating_add(PATIENCE_MS) <= now_ms
        };
        let left: Vec<Alert> =
            store.untold().await?.into_iter().filter(is_left).map(|(alert, _)| alert).collect();
        let count = left.len();
        self.tell(store, left, now_ms).await;
        Ok(count)
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the alerts that are due about one scope and selector; those that nobody noted before.
    async fn note_due(
        &self,
        store: &impl AlertOutbox,
        (scope, models): &Counted,
        now_ms: i64,
    ) -> Result<Vec<Alert>, StoreError> {
        let mut owner = LimitOwner::from(scope.clone());
        let mut set = self.limits.limits(&owner).await?;
        if let Scope::Principal(tenant, _) = scope
            && set.as_ref().is_none_or(|set| set.rules.is_empty())
        {
            owner = LimitOwner::EachPrincipal(tenant.clone());
            set = self.limits.limits(&owner).await?;
        }
        let Some(set) = set.filter(|set| set.rules.iter().any(|rule| rule.models == *models))
        else {
            return Ok(Vec::new());
        };
        let now = Minute::of(now_ms);
        let meters = self.limits.meters_of(scope, models, set.layout).await?;
        let used = settled(&meters, &self.calendar, now);
        let mut new = Vec::new();
        for alert in Alert::due(scope, models, &set.rules, &used, &self.calendar, now) {
            let id = alert.id();
            if self.seen().noted.contains(&id) {
                continue;
            }
            if store.claim(&alert, now_ms).await? {
                new.push(alert);
            }
            let mut seen = self.seen();
            if seen.noted.len() >= MAX_REMEMBERED {
                seen.noted.clear();
            }
            seen.noted.insert(id);
        }
        Ok(new)
    }

    async fn tell(&self, store: &impl AlertOutbox, alerts: Vec<Alert>, now_ms: i64) {
        if alerts.is_empty() {
            return;
        }
        let events: Vec<Event> = alerts.iter().map(|alert| event(alert, now_ms)).collect();
        for (alert, outcome) in alerts.iter().zip(self.sink.publish(&events).await) {
            let id = alert.id();
            let told = match outcome {
                Ok(()) => store.told(alert).await,
                Err(error) => {
                    let cause = error.source.to_string();
                    tracing::error!(alert = id, cause, "an alert could not be told yet");
                    continue;
                }
            };
            match told {
                Ok(()) => tracing::info!(alert = id, "alert told"),
                Err(error) => {
                    tracing::error!(alert = id, %error, "an alert was told and may be told again");
                }
            }
        }
    }
}

/// What of an invocation alerts are about.
enum Occasion {
    Settled(Vec<UsageRecord>),
    Schedule,
}

impl Occasion {
    fn of(payload: &Value) -> Self {
        let Some(records) = payload.get("Records").and_then(Value::as_array) else {
            return Self::Schedule;
        };
        let record = |record: &Value| {
            let image = record.get("dynamodb")?.get("NewImage")?.clone();
            let image: serde_dynamo::Item = serde_json::from_value(image).ok()?;
            serde_dynamo::from_item(image).ok()
        };
        // What cannot be read is no record; whoever settles says so.
        Self::Settled(records.iter().filter_map(record).collect())
    }
}

/// Answers one invocation by `handle`, then tells what there is to tell. What was settled stays
/// settled, whatever becomes of alerts; what was not is told of when it is.
///
/// # Errors
/// Those of `handle`.
pub async fn serve<F>(
    store: &impl AlertOutbox,
    alerts: &Alerts<impl LimitStore, impl EventSink>,
    event: LambdaEvent<Value>,
    now_ms: i64,
    handle: impl FnOnce(LambdaEvent<Value>) -> F,
) -> Result<Value, Error>
where
    F: Future<Output = Result<Value, Error>>,
{
    let occasion = Occasion::of(&event.payload);
    let answer = Box::pin(handle(event)).await;
    match occasion {
        Occasion::Settled(records) => Box::pin(alerts.after(store, &records, now_ms)).await,
        Occasion::Schedule => {
            if let Err(error) = Box::pin(alerts.sweep(store, now_ms)).await {
                tracing::error!(%error, "alerts that are left to tell could not be listed");
            }
        }
    }
    answer
}

impl Alerts<LimitTables, EventBus> {
    /// Alerts about the limits in `TENANCY_TABLE` and the meters in `LEDGER_TABLE`, to the bus
    /// `EVENT_BUS_NAME`; windows begin where they do in the `TIME_ZONE`.
    ///
    /// # Errors
    /// One of them is missing, or there is no such zone.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub async fn from_env() -> Result<Self, Error> {
        let (tenancy, ledger) = (std::env::var("TENANCY_TABLE")?, std::env::var("LEDGER_TABLE")?);
        let bus = std::env::var("EVENT_BUS_NAME")?;
        let zone = std::env::var("TIME_ZONE").unwrap_or_else(|_| "UTC".to_owned());
        let calendar = Calendar::of(&zone)?;
        let sdk = aws_config::load_from_env().await;
        let client = store_dynamodb::client(&sdk);
        let ledger = Ledger::new(client.clone(), ledger, calendar.clone());
        let limits = LimitTables::new(client, tenancy, ledger);
        Ok(Self::new(limits, EventBus::new(&sdk, bus, SOURCE), calendar))
    }
}

/// The time in Unix milliseconds.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The event of an alert: its fields, the sentence that a person reads, and money in dollars, too.
fn event(alert: &Alert, now_ms: i64) -> Event {
    let (kind, threshold) = match alert.event {
        AlertEvent::Threshold(percent) => ("BudgetThresholdReached", json!(percent)),
        AlertEvent::Exhausted => ("BudgetExhausted", Value::Null),
    };
    let mut detail = match json!(alert) {
        Value::Object(detail) => detail,
        _ => Map::new(),
    };
    detail.remove("event");
    detail.insert("threshold_percent".to_owned(), threshold);
    detail.insert("used_percent".to_owned(), alert.used_percent().into());
    detail.insert("message".to_owned(), alert.to_string().into());
    if alert.metric == Metric::Cost {
        for (name, amount) in [("amount_usd", alert.amount), ("used_usd", alert.used)] {
            let usd = NanoUsd(amount).to_string();
            detail.insert(name.to_owned(), usd.trim_start_matches('$').into());
        }
    }
    Event { id: alert.id(), kind, time_ms: now_ms, detail: Value::Object(detail) }
}

#[cfg(test)]
#[path = "alerts_tests.rs"]
mod tests;
