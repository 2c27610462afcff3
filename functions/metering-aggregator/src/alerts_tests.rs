use std::collections::BTreeMap;

use admission::{
    AlertStore, AuditEntry, Cap, Counter, LimitChange, LimitRule, LimitSet, Meter, MeterLayout,
    Period, RaiseRequest, Reservation,
};
use events::fakes::InMemorySink;
use lambda_runtime::Context;
use tenancy::{LobId, Status, TenantId};

use super::*;

/// 2026-11-23T12:00:00Z
const NOON_MS: i64 = 1_795_435_200_000;

/// Limits, meters and notes of alerts in memory.
#[derive(Debug, Default)]
struct Fake(Mutex<Data>);

#[derive(Debug, Default)]
struct Data {
    rules: BTreeMap<LimitOwner, Vec<LimitRule>>,
    meters: BTreeMap<Scope, Vec<Meter>>,
    notes: BTreeMap<String, (Alert, i64, bool)>,
    claims: usize,
    failing: &'static str,
}

impl Fake {
    fn data(&self) -> std::sync::MutexGuard<'_, Data> {
        self.0.lock().unwrap()
    }

    fn begin(
        &self,
        operation: &'static str,
    ) -> Result<std::sync::MutexGuard<'_, Data>, StoreError> {
        let data = self.data();
        if data.failing == operation {
            let source = "made to fail".into();
            return Err(StoreError { operation, subject: "alerts".into(), source });
        }
        Ok(data)
    }
}

impl LimitStore for Fake {
    async fn limits(&self, owner: &LimitOwner) -> Result<Option<LimitSet>, StoreError> {
        let data = self.begin("limits")?;
        Ok(Some(LimitSet {
            version: 1,
            lob_id: None,
            rules: data.rules.get(owner).cloned().unwrap_or_default(),
            layout: MeterLayout::default(),
            rules_of_level: 0,
            is_changing: false,
        }))
    }

    async fn meters_of(
        &self,
        scope: &Scope,
        _models: &ModelSelector,
        _layout: MeterLayout,
    ) -> Result<Vec<Meter>, StoreError> {
        Ok(self.begin("meters_of")?.meters.get(scope).cloned().unwrap_or_default())
    }

    async fn change(&self, _: &LimitOwner, _: &LimitChange) -> Result<bool, StoreError> {
        unreachable!("alerts change nothing")
    }

    async fn finish(&self, _: &LimitOwner, _: u64) -> Result<(), StoreError> {
        unreachable!("alerts change nothing")
    }

    async fn unfinished(&self) -> Result<Vec<(LimitOwner, u64)>, StoreError> {
        unreachable!("alerts finish nothing")
    }

    async fn lobs(&self) -> Result<Vec<LobId>, StoreError> {
        unreachable!("alerts list nobody")
    }

    async fn tenants(&self, _: &LobId) -> Result<Vec<TenantId>, StoreError> {
        unreachable!("alerts list nobody")
    }

    async fn renew(&self, _: &TenantId, _: bool) -> Result<(), StoreError> {
        unreachable!("alerts change nothing")
    }

    async fn seed(
        &self,
        _: &Scope,
        _: &ModelSelector,
        _: MeterLayout,
        _: &admission::Counters,
        _: Minute,
    ) -> Result<(), StoreError> {
        unreachable!("alerts change nothing")
    }

    async fn put_raise(
        &self,
        _: &LimitOwner,
        _: &RaiseRequest,
        _: &AuditEntry,
    ) -> Result<(), StoreError> {
        unreachable!("alerts change nothing")
    }

    async fn reject_raise(
        &self,
        _: &LimitOwner,
        _: &RaiseRequest,
        _: &AuditEntry,
    ) -> Result<bool, StoreError> {
        unreachable!("alerts change nothing")
    }

    async fn raises(&self, _: &LimitOwner) -> Result<Vec<RaiseRequest>, StoreError> {
        unreachable!("alerts read no requests")
    }

    async fn note(&self, _: &AuditEntry) -> Result<(), StoreError> {
        unreachable!("alerts change nothing")
    }

    async fn history(
        &self,
        _: &LimitOwner,
        _: Option<&str>,
        _: usize,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        unreachable!("alerts read no history")
    }
}

impl AlertStore for Fake {
    async fn claim(&self, alert: &Alert, now_ms: i64) -> Result<bool, StoreError> {
        let mut data = self.begin("claim")?;
        data.claims += 1;
        let is_new = !data.notes.contains_key(&alert.id());
        data.notes.entry(alert.id()).or_insert_with(|| (alert.clone(), now_ms, false));
        Ok(is_new)
    }
}

impl AlertOutbox for Fake {
    async fn untold(&self) -> Result<Vec<(Alert, i64)>, StoreError> {
        let data = self.begin("untold")?;
        let untold = data.notes.values().filter(|(_, _, is_told)| !is_told);
        Ok(untold.map(|(alert, noted_ms, _)| (alert.clone(), *noted_ms)).collect())
    }

    async fn told(&self, alert: &Alert) -> Result<(), StoreError> {
        if let Some(note) = self.begin("told")?.notes.get_mut(&alert.id()) {
            note.2 = true;
        }
        Ok(())
    }
}

fn tenant() -> Scope {
    Scope::Tenant("acme".parse().unwrap())
}

/// A meter that settled `used` nano-USD, with `open` more reserved.
fn meter(used: u64, open: u64) -> Meter {
    let mut meter = Meter::new(Status::Active, 1);
    meter.minute = Some(Minute::of(NOON_MS));
    for period in Metric::Cost.periods() {
        meter.counters.set(Counter::of(Metric::Cost, *period).unwrap(), used + open);
    }
    let reservation: Reservation = serde_json::from_value(json!({
        "t": "acme", "a": open, "i": 0, "o": 0, "m": Minute::of(NOON_MS), "d": NOON_MS + 1,
    }))
    .unwrap();
    meter.open.insert("call-9-1".to_owned(), reservation);
    meter
}

/// A budget of 1,000 nano-USD per month of the tenant, and its meter.
fn fake(used: u64, open: u64) -> Fake {
    let fake = Fake::default();
    let rules = r#"[{"id":"budget","metric":"cost","period":"month","amount":1000}]"#;
    fake.data().rules.insert(LimitOwner::from(tenant()), serde_json::from_str(rules).unwrap());
    fake.data().meters.insert(tenant(), vec![meter(used, open)]);
    fake
}

fn alerts(used: u64, open: u64) -> Alerts<Fake, InMemorySink> {
    Alerts::new(fake(used, open), InMemorySink::default(), Calendar::utc())
}

/// Another environment that shares the tables and the bus of `alerts`, and remembers nothing.
fn forgetful(alerts: Alerts<Fake, InMemorySink>) -> Alerts<Fake, InMemorySink> {
    Alerts::new(alerts.limits, alerts.sink, alerts.calendar)
}

fn batch() -> LambdaEvent<Value> {
    let event = include_str!("../testdata/stream.json");
    LambdaEvent::new(serde_json::from_str(event).unwrap(), Context::default())
}

fn schedule() -> LambdaEvent<Value> {
    let event = include_str!("../testdata/schedule.json");
    LambdaEvent::new(serde_json::from_str(event).unwrap(), Context::default())
}

async fn invoke(alerts: &Alerts<Fake, InMemorySink>, event: LambdaEvent<Value>, now_ms: i64) {
    let answer = serve(&alerts.limits, alerts, event, now_ms, async |_| Ok(json!("settled"))).await;
    assert_eq!(answer.unwrap(), "settled");
}

fn told(alerts: &Alerts<Fake, InMemorySink>) -> Vec<String> {
    let short = |event: Event| event.id.rsplit('#').next().unwrap().to_owned();
    alerts.sink.taken().into_iter().map(short).collect()
}

#[tokio::test]
async fn each_threshold_is_told_once_however_often_batches_come() {
    let mut alerts = alerts(500, 400);
    for _ in 0..3 {
        invoke(&alerts, batch(), NOON_MS).await;
        assert_eq!(told(&alerts), ["50"], "what is only reserved does not count");
        alerts = forgetful(alerts);
    }
    alerts.limits.data().meters.insert(tenant(), vec![meter(400, 0), meter(600, 0)]);
    for _ in 0..3 {
        invoke(&alerts, batch(), NOON_MS).await;
        invoke(&alerts, schedule(), NOON_MS + 3_600_000).await;
        assert_eq!(told(&alerts), ["50", "80", "100"], "all shards together");
    }
    let event = alerts.sink.taken().pop().unwrap();
    assert_eq!(event.kind, "BudgetThresholdReached");
    assert_eq!(
        (&event.detail["tenant_id"], &event.detail["threshold_percent"]),
        (&json!("acme"), &json!(100))
    );
    assert_eq!(
        (&event.detail["used_usd"], &event.detail["used_percent"]),
        (&json!("0.000001"), &json!(100))
    );
    let claims = alerts.limits.data().claims;
    invoke(&alerts, batch(), NOON_MS).await;
    assert_eq!(alerts.limits.data().claims, claims, "what is known to be noted costs no write");
}

#[tokio::test]
async fn the_next_window_tells_again() {
    let alerts = alerts(500, 0);
    invoke(&alerts, batch(), NOON_MS).await;
    let later = NOON_MS + 31 * 86_400_000;
    let mut next = meter(500, 0);
    next.minute = Some(Minute::of(later));
    alerts.limits.data().meters.insert(tenant(), vec![next]);
    invoke(&alerts, batch(), later).await;
    assert_eq!(told(&alerts), ["50", "50"]);
    let ids: BTreeSet<String> = alerts.sink.taken().into_iter().map(|event| event.id).collect();
    assert_eq!(ids.len(), 2);
}

#[tokio::test]
async fn what_could_not_be_told_is_told_by_the_schedule_and_not_before_its_time() {
    let alerts = alerts(500, 0);
    alerts.sink.refuse("budget");
    invoke(&alerts, batch(), NOON_MS).await;
    assert_eq!(told(&alerts), [""; 0]);
    alerts.sink.refuse("");
    let alerts = forgetful(alerts);
    invoke(&alerts, schedule(), NOON_MS + PATIENCE_MS - 1).await;
    assert_eq!(told(&alerts), [""; 0], "whoever noted it may be telling it just now");
    for _ in 0..2 {
        invoke(&alerts, schedule(), NOON_MS + PATIENCE_MS).await;
        assert_eq!(told(&alerts), ["50"]);
    }
}

#[tokio::test]
async fn an_alert_that_was_told_by_somebody_who_died_has_the_same_id_again() {
    let alerts = alerts(500, 0);
    alerts.limits.data().failing = "told";
    invoke(&alerts, batch(), NOON_MS).await;
    alerts.limits.data().failing = "";
    invoke(&alerts, schedule(), NOON_MS + PATIENCE_MS).await;
    invoke(&alerts, schedule(), NOON_MS + 2 * PATIENCE_MS).await;
    let ids: Vec<String> = alerts.sink.taken().into_iter().map(|event| event.id).collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test]
async fn what_could_not_be_looked_at_is_looked_at_later() {
    for operation in ["limits", "meters_of", "claim"] {
        let alerts = alerts(500, 0);
        alerts.limits.data().failing = operation;
        invoke(&alerts, batch(), NOON_MS).await;
        assert_eq!(told(&alerts), [""; 0], "{operation}");
        alerts.limits.data().failing = "";
        invoke(&alerts, schedule(), NOON_MS + 60_000).await;
        assert_eq!(told(&alerts), ["50"], "{operation}");
    }
}

#[tokio::test]
async fn a_refusal_that_the_gateway_noted_is_told_by_the_schedule() {
    let alerts = alerts(0, 0);
    let cap = Cap {
        limit_id: "budget".into(),
        counter: Counter::of(Metric::Cost, Period::Month),
        allowed: 1_000,
        whole: 1_000,
        on_exhausted: None,
    };
    for _ in 0..3 {
        let noon = Minute::of(NOON_MS);
        let alert = Alert::exhausted(&tenant(), &cap, 990, &Calendar::utc(), noon).unwrap();
        alerts.limits.claim(&alert, NOON_MS).await.unwrap();
        invoke(&alerts, schedule(), NOON_MS).await;
    }
    let events = alerts.sink.taken();
    assert_eq!((events.len(), events[0].kind), (1, "BudgetExhausted"));
    assert_eq!(events[0].detail["threshold_percent"], Value::Null);
}

#[tokio::test]
async fn each_principal_is_told_of_by_the_limits_of_each() {
    let alerts = alerts(0, 0);
    let tenant_id: TenantId = "acme".parse().unwrap();
    let rules = alerts.limits.data().rules[&LimitOwner::from(tenant())].clone();
    alerts.limits.data().rules.insert(LimitOwner::EachPrincipal(tenant_id.clone()), rules);
    let scope = Scope::Principal(tenant_id, "u-1".to_owned().try_into().unwrap());
    alerts.limits.data().meters.insert(scope, vec![meter(500, 0)]);
    let mut event = batch();
    let image = &mut event.payload["Records"][0]["dynamodb"]["NewImage"];
    image["schema"] = json!({"N": "3"});
    image["meters"] = json!({"L": [{"S": "tenant=acme"}, {"S": "tenant=acme principal=u-1"}]});
    invoke(&alerts, event, NOON_MS).await;
    let events = alerts.sink.taken();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].detail["principal_id"], "u-1");
}
