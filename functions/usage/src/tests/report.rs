//! Sums of usage: whose, by what, in pages, as CSV.

use admission::Calendar;
use metering::{NanoUsd, UsageRecord};
use serde_json::{Value, json};

use super::fake::Fake;
use super::support::{EVERYBODY, NOON_MS, asked, state};
use crate::State;

const HOUR_MS: i64 = 3_600_000;

/// A call of somebody, some hours after noon of 2026-11-23.
fn call(
    number: u32,
    tenant: &str,
    principal: &str,
    model: &str,
    hours: i64,
    cost: u64,
) -> UsageRecord {
    let mut record: UsageRecord =
        serde_json::from_str(include_str!("../../testdata/record.json")).unwrap();
    // The hour of a call is that of its id.
    let started_ms = NOON_MS + hours * HOUR_MS;
    record.id.call_id = format!("{started_ms:012x}7000800000000000{number:04x}");
    record.started_ms = started_ms;
    record.tenant_id = tenant.parse().unwrap();
    let lob = if tenant == "globex" { "markets" } else { "retail" };
    record.lob_id = lob.parse().unwrap();
    record.principal_id = principal.to_owned().try_into().unwrap();
    record.choice = metering::ModelChoice::of(model.parse().unwrap());
    record.cost_nanousd = NanoUsd(cost);
    record.uncached_cost_nanousd = NanoUsd(cost * 2);
    record
}

/// Calls of three tenants in two lines of business on two days, each with a cost of its own.
async fn used() -> State<Fake> {
    let state = state();
    let calls = [
        ("acme", "developer-1", "model-a", -30, 1),
        ("acme", "developer-1", "model-a", 0, 10),
        ("acme", "developer-1", "model-b", 0, 100),
        ("acme", "machine-1", "model-a", 0, 1_000),
        ("zenith", "developer-9", "model-a", 0, 10_000),
        ("globex", "developer-1", "model-a", 0, 100_000),
    ];
    for (number, (tenant, principal, model, hours, cost)) in (1..).zip(calls) {
        let record = call(number, tenant, principal, model, hours, cost);
        state.store.roll_up(number, &record).await;
    }
    state
}

const SPAN: &str = "from=2026-11-01&to=2026-11-24";

async fn total(state: &State<Fake>, who: &str, query: &str) -> Value {
    let answer = asked(state, who).get(&format!("/v1/usage?{SPAN}&{query}")).await;
    match answer.status.as_u16() {
        200 => answer.body["total"]["cost_nanousd"].clone(),
        status => json!(-i64::from(status)),
    }
}

#[tokio::test]
async fn everybody_sees_their_own_and_what_they_answer_for() {
    let state = used().await;
    let mut seen = Vec::new();
    for scope in ["own", "tenant", "lob", "org"] {
        let mut of_scope = Vec::new();
        for who in EVERYBODY {
            of_scope.push(total(&state, who, &format!("scope={scope}")).await.as_i64().unwrap());
        }
        seen.push(of_scope);
    }
    assert_eq!(
        seen,
        [
            // org admin of globex, LOB admin of zenith, tenant admin, developer, viewer, machine of acme, admin of globex
            [0, 0, 0, 111, 0, 1_000, 0],
            [100_000, 10_000, 1_111, -403, 1_111, -403, 100_000],
            [100_000, 11_111, -403, -403, -403, -403, -403],
            [111_111, -403, -403, -403, -403, -403, -403],
        ]
    );
}

#[tokio::test]
async fn what_belongs_to_others_is_not_there_to_filter_by() {
    let state = used().await;
    for (who, query, expected) in [
        ("org_admin@acme", "scope=org&tenant=globex", 100_000),
        ("org_admin@acme", "scope=org&lob=retail", 11_111),
        ("org_admin@acme", "scope=org&tenant=acme,zenith", 11_111),
        ("org_admin@acme", "scope=org&tenant=nosuch", -404),
        ("lob_admin@acme", "scope=lob&tenant=zenith", 10_000),
        ("lob_admin@acme", "scope=lob&tenant=globex", -404),
        ("lob_admin@acme", "scope=lob&lob=markets", -404),
        ("tenant_admin@acme", "scope=tenant&tenant=zenith", -404),
        ("developer@acme", "tenant=globex", -404),
        ("developer@acme", "principal=machine-1", 0),
        ("tenant_admin@acme", "scope=tenant&principal=machine-1", 1_000),
        ("tenant_admin@acme", "scope=tenant&model=model-b", 100),
        ("tenant_admin@acme", "scope=tenant&model=model-b&principal=machine-1", 0),
        ("tenant_admin@acme", "scope=tenant&service_tier=default&region=us-east-1", 1_111),
        ("tenant_admin@acme", "scope=tenant&project=web-shop", 0),
    ] {
        assert_eq!(total(&state, who, query).await, expected, "{who} {query}");
    }
}

#[tokio::test]
async fn groups_are_in_order_and_add_up() {
    let state = used().await;
    let path = format!("/v1/usage?{SPAN}&scope=org&group_by=model,tenant,day");
    let answer = asked(&state, "org_admin@acme").get(&path).await;
    let rows: Vec<String> = answer.body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            format!(
                "{} {} {} {} {}",
                row["day"].as_str().unwrap(),
                row["tenant"].as_str().unwrap(),
                row["model"].as_str().unwrap(),
                row["calls"],
                row["cost_nanousd"]
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            "2026-11-22T00:00:00Z acme model-a 1 1",
            "2026-11-23T00:00:00Z acme model-a 2 1010",
            "2026-11-23T00:00:00Z acme model-b 1 100",
            "2026-11-23T00:00:00Z globex model-a 1 100000",
            "2026-11-23T00:00:00Z zenith model-a 1 10000",
        ]
    );
    let total = &answer.body["total"];
    assert_eq!((&total["calls"], &total["total_tokens"]), (&json!(6), &json!(60)));
    assert_eq!(
        (&total["cost_usd"], &total["prompt_cache_savings_nanousd"]),
        (&json!("0.000111111"), &json!(111_111))
    );
}

#[tokio::test]
async fn days_are_those_of_the_organisation() {
    let mut state = used().await;
    state.calendar = Calendar::of("Pacific/Auckland").unwrap();
    // Noon of UTC is one in the morning of the next day there.
    let path = "/v1/usage?from=2026-11-24&to=2026-11-25&scope=tenant&granularity=day";
    let answer = asked(&state, "viewer@acme").get(path).await;
    assert_eq!(answer.body["from"], "2026-11-23T11:00:00Z");
    assert_eq!(answer.body["data"][0]["day"], "2026-11-23T11:00:00Z");
    assert_eq!(answer.body["total"]["cost_nanousd"], 1_110);
    let before = "/v1/usage?from=2026-11-22&to=2026-11-23&scope=tenant";
    assert_eq!(asked(&state, "viewer@acme").get(before).await.body["total"]["cost_nanousd"], 1);
}

#[tokio::test]
async fn pages_are_of_one_query_and_one_caller() {
    let state = used().await;
    let path = format!("/v1/usage?{SPAN}&scope=org&group_by=tenant,principal&limit=2");
    let (mut seen, mut next, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let answer = asked(&state, "org_admin@acme").get(&format!("{path}{next}")).await;
        assert_eq!(answer.body["total"]["cost_nanousd"], 111_111, "of all pages");
        seen.extend(
            answer.body["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row["cost_nanousd"].as_u64().unwrap()),
        );
        pages += 1;
        match answer.body["next_cursor"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!((pages, seen), (2, vec![111, 1_000, 100_000, 10_000]));
    for (who, changed) in [
        ("org_admin@globex", path.clone()),
        ("org_admin@acme", path.replace("tenant,principal", "tenant,model")),
        ("org_admin@acme", path.replace("11-24", "11-25")),
        ("org_admin@acme", format!("{path}&model=model-a")),
    ] {
        let first = asked(&state, "org_admin@acme").get(&path).await;
        let cursor = first.body["next_cursor"].as_str().unwrap();
        let answer = asked(&state, who).get(&format!("{changed}&cursor={cursor}")).await;
        assert_eq!((answer.status.as_u16(), answer.param()), (400, "cursor"), "{who} {changed}");
    }
    for forged in ["x", "eyJ9", "W10", ""] {
        let answer = asked(&state, "org_admin@acme").get(&format!("{path}&cursor={forged}")).await;
        assert_eq!(answer.param(), "cursor", "{forged}");
    }
}

#[tokio::test]
async fn rows_come_as_csv() {
    let state = used().await;
    let path = format!("/v1/usage?{SPAN}&scope=tenant&group_by=principal,project");
    let as_header = asked(&state, "viewer@acme").header("Accept", "text/csv").get(&path).await;
    let as_parameter = asked(&state, "viewer@acme").get(&format!("{path}&format=csv")).await;
    assert_eq!(as_header.text, as_parameter.text);
    assert_eq!(as_header.headers["content-type"], "text/csv; charset=utf-8");
    let lines: Vec<&str> = as_header.text.split_terminator("\r\n").collect();
    assert!(lines[0].starts_with("project,principal,calls,attempts,"));
    assert!(lines[1].starts_with(",developer-1,3,3,"));
    assert!(lines[1].contains(",111,0.000000111,"));
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0].split(',').count(), lines[2].split(',').count());
    let page = asked(&state, "viewer@acme").get(&format!("{path}&format=csv&limit=1")).await;
    assert!(page.headers.contains_key("x-next-cursor"));
}

#[tokio::test]
async fn a_query_that_makes_no_sense_is_refused_by_parameter() {
    let state = used().await;
    for (query, field) in [
        ("from=yesterday", "from"),
        ("from=2026-11-31", "from"),
        ("from=2026-11-24&to=2026-11-24", "to"),
        ("from=2026-11-24&to=2026-11-23", "to"),
        ("from=2020-01-01&to=2026-11-23", "from"),
        ("from=2026-01-01&to=2026-11-23&granularity=hour", "from"),
        ("from=1795435200", "from"),
        ("granularity=week", "granularity"),
        ("group_by=colour", "group_by"),
        ("scope=world", "scope"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=NaN", "limit"),
        ("format=xml", "format"),
        ("colour=x", "colour"),
        ("model=", "model"),
        ("service_tier=fast", "service_tier"),
        ("model=a&model=b", "model"),
    ] {
        let answer = asked(&state, "org_admin@acme").get(&format!("/v1/usage?{query}")).await;
        assert_eq!((answer.status.as_u16(), answer.param()), (400, field), "{query}");
    }
}

#[tokio::test]
async fn without_parameters_it_is_ones_own_of_this_month() {
    let state = used().await;
    let answer = asked(&state, "developer@acme").get("/v1/usage").await;
    assert_eq!(
        (&answer.body["from"], &answer.body["to"]),
        (&json!("2026-11-01T00:00:00Z"), &json!("2026-11-23T12:00:00Z"))
    );
    assert_eq!(answer.body["data"].as_array().unwrap().len(), 1);
    // The hour that begins now has not begun before.
    assert_eq!(answer.body["total"]["cost_nanousd"], 1);
}

/// The counts that a new limit of `scope` finds, as `usd_month`, `req_day`.
async fn found(state: &State<Fake>, scope: &str, models: &str) -> Vec<(String, u64, u64)> {
    let limit =
        json!({"id": "new", "metric": "cost", "period": "month", "amount": 5, "thresholds": []});
    let mut limit = limit;
    if !models.is_empty() {
        limit["models"] = serde_json::from_str(models).unwrap();
    }
    state.store.data().rules.clear();
    state.store.data().meters.clear();
    let answer =
        super::support::put(state, "org_admin@acme", scope, &json!({"limits": [limit]})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let count = |metric, period| admission::Counter::of(metric, period).unwrap();
    let data = state.store.data();
    let meters = data.meters.iter().map(|((scope, models), meter)| {
        let name = admission::MeterRef {
            scope: scope.clone(),
            models: models.clone(),
            shard: admission::Shard::default(),
        };
        let usd = meter.counters.get(count(admission::Metric::Cost, admission::Period::Month));
        let requests =
            meter.counters.get(count(admission::Metric::Requests, admission::Period::Day));
        (name.to_string(), usd, requests)
    });
    meters.collect()
}

#[tokio::test]
async fn a_new_limit_finds_what_was_used_before_it() {
    let state = used().await;
    let one = |name: &str, usd, requests| vec![(name.to_owned(), usd, requests)];
    assert_eq!(found(&state, "lobs/retail", "").await, one("lob=retail", 11_111, 4));
    assert_eq!(found(&state, "org", "").await, one("org", 111_111, 5));
    assert_eq!(
        found(&state, "org", r#"{"model":"model-b"}"#).await,
        one("org model=model-b", 100, 1)
    );
    let family = found(&state, "tenants/acme", r#"{"family":"family-x"}"#).await;
    assert_eq!(family, one("tenant=acme family=family-x", 1_011, 2));
    assert_eq!(found(&state, "tenants/acme", "").await, [], "this meter counts always");
    assert_eq!(
        found(&state, "tenants/acme/each-principal", "").await,
        [
            ("tenant=acme principal=developer-1".to_owned(), 111, 2),
            ("tenant=acme principal=machine-1".to_owned(), 1_000, 1)
        ]
    );
    assert_eq!(
        found(&state, "tenants/acme/principals/machine-1", "").await,
        one("tenant=acme principal=machine-1", 1_000, 1)
    );
}

#[tokio::test]
async fn a_limit_that_was_there_finds_its_meter_as_it_is() {
    let state = used().await;
    let first = super::support::budget(5);
    super::support::put(&state, "org_admin@acme", "org", &first).await;
    state.store.data().meters.clear();
    super::support::put(&state, "org_admin@acme", "org", &super::support::budget(6)).await;
    assert!(state.store.data().meters.is_empty(), "nothing was written over");
}

#[tokio::test]
async fn calls_that_are_running_count_in_a_new_limit() {
    let state = used().await;
    let mut meter = admission::Meter::new(tenancy::Status::Active, 1);
    let detail = json!({
        "scopes": 1, "lob_id": "retail", "principal_id": "developer-1", "principal_kind": "user",
        "requested_model": "model-a", "model": "model-a", "provider_model_id": "m", "provider": "p", "dialect": "d",
        "is_streamed": false, "region": "r", "price_version": "v", "is_priced": true, "started_ms": NOON_MS,
    });
    let open = json!({
        "t": "acme", "a": 7, "i": 1, "o": 1, "m": admission::Minute::of(NOON_MS), "d": NOON_MS + 1
    });
    state.store.data().details.insert("call-1".into(), serde_json::from_value(detail).unwrap());
    meter.open.insert("call-1".into(), serde_json::from_value(open).unwrap());
    let limit = super::support::budget(5);
    let scope = admission::Scope::Tenant("acme".parse().unwrap());
    state.store.data().rules.clear();
    state.store.data().meters.insert((scope, admission::ModelSelector::All), meter);
    super::support::put(&state, "org_admin@acme", "lobs/retail", &limit).await;
    let lob = admission::Scope::Lob("retail".parse().unwrap());
    let meter = state.store.data().meters[&(lob, admission::ModelSelector::All)].clone();
    let month = admission::Counter::of(admission::Metric::Cost, admission::Period::Month).unwrap();
    assert_eq!(meter.counters.get(month), 11_111 + 7);
}
