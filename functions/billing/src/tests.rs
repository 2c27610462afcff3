//! Events in, books and documents out.

use std::sync::atomic::{AtomicI64, Ordering};

use admission::Calendar;
use billing::fakes::InMemoryBilling;
use billing::port::BillingStore as _;
use billing::{EntryKind, LedgerEntry, Month, SignedNanoUsd, TASK_REQUESTED};
use bytes::Bytes;
use inference::{Catalog, CatalogStore, ReadCatalogError};
use lake::fakes::InMemoryObjects;
use lake::focus::Issuer;
use lambda_runtime::{Context, LambdaEvent};
use metering::UsageRecord;
use metering::fakes::InMemoryUsage;
use reconciliation::port::{SourceFile, SourceFiles, StoreError};
use reconciliation::{Gateway, Job, Policy, UsageTypes};
use serde_json::{Value, json};

use super::{Objects, Reconciler, State, handle};

/// 2026-12-05T12:00:00Z
const FIFTH_MS: i64 = 1_796_472_000_000;

type Test =
    State<InMemoryBilling, InMemoryUsage, InMemoryObjects, InMemoryBilling, NoFiles, NoCatalog>;

fn state(now_ms: fn() -> i64, closing_day: i64) -> Test {
    let books = InMemoryBilling::default();
    for (tenant, lob) in [("acme", "retail"), ("globex", "markets")] {
        books.onboard(tenant, lob).unwrap();
    }
    State {
        books,
        rollups: InMemoryUsage::default(),
        documents: Objects(InMemoryObjects::default()),
        events: InMemoryBilling::default(),
        reconciler: None,
        calendar: Calendar::of("Europe/Berlin").unwrap(),
        closing_day,
        issuer: Issuer { account_id: "123456789012".to_owned(), name: "weir".to_owned() },
        now_ms,
    }
}

/// An export that has no files.
#[derive(Debug)]
struct NoFiles;

impl SourceFiles for NoFiles {
    async fn list(&self, _prefix: &str) -> Result<Vec<SourceFile>, StoreError> {
        Ok(vec![])
    }

    async fn read(&self, file: &SourceFile, _: u64, _: u64) -> Result<Bytes, StoreError> {
        Err(format!("there is no {}", file.key).into())
    }
}

/// A catalogue of nothing.
#[derive(Debug)]
struct NoCatalog;

impl CatalogStore for NoCatalog {
    async fn catalog(&self) -> Result<Catalog, ReadCatalogError> {
        Ok(Catalog::default())
    }
}

#[tokio::test]
async fn a_month_is_reconciled_only_where_aws_says_something() {
    let task = || json!({ "task": "reconcile", "period": "2026-11" });
    let mut state = state(|| FIFTH_MS, 0);
    assert!(run(&state, task()).await["refused"].as_str().unwrap().contains("CurBucketName"));
    state.reconciler = Some(Reconciler {
        job: Job {
            gateway: Gateway::new("arn:aws:iam::123456789012:role/weir-tenant-access").unwrap(),
            usage_types: UsageTypes::built_in().unwrap(),
            policy: Policy::default(),
            bill_prefix: "exports/weir".to_owned(),
            log_prefixes: vec![],
        },
        bills: NoFiles,
        logs: NoFiles,
        catalog: NoCatalog,
    });
    let error = invoke(&state, task(), i64::MAX).await.unwrap_err();
    assert!(error.to_string().contains("exports/weir/data/BILLING_PERIOD=2026-11/"), "{error}");
}

fn record(number: u64, cost: u64) -> UsageRecord {
    // 2026-11-15T00:00:00Z
    let at_ms = 1_794_700_800_000_i64;
    serde_json::from_value(json!({
        "schema": 3, "call_id": format!("{at_ms:012x}7{number:019x}"), "attempt": 1, "tenant_id": "acme", "lob_id": "retail",
        "principal_id": "u-1", "principal_kind": "user", "started_ms": at_ms, "dialect": "x", "requested_model": "nova-lite",
        "model": "nova-lite", "provider_model_id": "x", "provider": "aws.bedrock", "region": "us-east-1", "is_streamed": false,
        "usage": { "input": 1, "output": 1 }, "is_estimated": false, "price_version": "1", "cost_nanousd": cost,
        "reserved_nanousd": 9, "outcome": "completed", "latency_ms": 1, "gateway_ms": 1,
    }))
    .unwrap()
}

async fn invoke(
    state: &Test,
    task: Value,
    deadline_ms: i64,
) -> Result<Value, lambda_runtime::Error> {
    let mut context = Context::default();
    context.deadline = u64::try_from(deadline_ms).unwrap();
    handle(state, LambdaEvent::new(task, context)).await
}

async fn run(state: &Test, task: Value) -> Value {
    invoke(state, task, i64::MAX).await.unwrap()
}

/// What was asked for on the bus.
fn requested(state: &Test) -> Vec<Value> {
    let events = state.events.events().into_iter().filter(|event| event.kind == TASK_REQUESTED);
    events.map(|event| event.detail).collect()
}

#[tokio::test]
async fn a_month_is_closed_and_corrected() {
    let state = state(|| FIFTH_MS, 0);
    state.books.record(record(1, 500));
    let task = json!({ "task": "close_month", "period": "2026-11", "requested_by": "u-1", "event_id": "x" });
    let answer = run(&state, task.clone()).await;
    assert_eq!(
        (&answer["closed"], &answer["already"], &answer["month"]["total_nanousd"]),
        (&json!("2026-11"), &json!(false), &json!(500))
    );
    let keys: Vec<String> = state.documents.0.all().into_keys().collect();
    let of = |account: &str| {
        ["csv", "json", "pdf"].map(|it| format!("statements/2026-11/{account}/statement.{it}"))
    };
    assert_eq!(keys, [of("lob=retail"), of("tenant=acme")].concat());
    let statement: Value =
        serde_json::from_slice(&state.documents.0.all()[&of("tenant=acme")[1]]).unwrap();
    assert_eq!(
        (&statement["time_zone"], &statement["start_ms"]),
        (&json!("Europe/Berlin"), &json!(1_793_487_600_000_i64))
    );
    assert_eq!(run(&state, task).await["already"], json!(true));
    let kinds: Vec<_> = state.events.events().into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, ["StatementIssued", "StatementIssued", "MonthClosed"]);

    state.books.record(record(2, 70));
    for booked in [1, 0] {
        assert_eq!(
            run(&state, json!({ "task": "corrections" })).await,
            json!({ "booked": booked })
        );
    }
    let december: Month = "2026-12".parse().unwrap();
    let entries =
        state.books.entries(&"tenant=acme".parse().unwrap(), december..=december).await.unwrap();
    let [LedgerEntry { kind: EntryKind::Correction, amount_nanousd: SignedNanoUsd(70), .. }] =
        entries.as_slice()
    else {
        panic!("{entries:?}")
    };
}

#[tokio::test]
async fn a_month_that_runs_has_drafts() {
    // 2026-11-20T00:00:00Z
    let state = state(|| 1_795_132_800_000, 0);
    state.books.record(record(1, 500));
    let draft = |account: &'static str| {
        let state = &state;
        async move {
            let task =
                json!({ "task": "draft_statement", "period": "2026-11", "account": account });
            run(state, task).await["draft"].clone()
        }
    };
    let document = |account: &str| -> Value {
        let key = format!("drafts/2026-11/{account}/statement.json");
        serde_json::from_slice(&state.documents.0.all()[&key]).unwrap()
    };
    for account in ["tenant=acme", "lob=retail"] {
        assert_eq!(draft(account).await, json!(format!("drafts/2026-11/{account}/statement")));
    }
    assert_eq!(document("tenant=acme")["version"], json!(0));
    assert_eq!(document("lob=retail")["totals"], document("tenant=acme")["totals"]);
    state.books.record(record(2, 70));
    draft("tenant=acme").await;
    assert_eq!(document("tenant=acme")["totals"]["cost_nanousd"], json!(570), "the latest");
    for account in ["tenant=globex", "tenant=nobody", "lob=markets", "org"] {
        assert_eq!(draft(account).await, Value::Null, "{account}");
    }
    assert_eq!(state.documents.0.all().len(), 6);
}

#[tokio::test]
async fn a_month_that_runs_is_refused_for_good() {
    let state = state(|| FIFTH_MS, 0);
    let answer =
        run(&state, json!({ "task": "close_month", "period": "2026-12", "requested_by": "u-1" }))
            .await;
    assert!(answer["refused"].as_str().unwrap().starts_with("2026-12 can be closed from"));
    assert!(state.documents.0.all().is_empty());
}

#[tokio::test]
async fn what_there_is_no_time_for_is_asked_for_again() {
    let state = state(|| FIFTH_MS, 0);
    state.books.record(record(1, 500));
    let task = json!({ "task": "close_month", "period": "2026-11", "requested_by": "u-1" });
    let answer = invoke(&state, task.clone(), FIFTH_MS + 60_000).await.unwrap();
    assert_eq!(answer, json!({ "continues_after": null }));
    assert_eq!(requested(&state), std::slice::from_ref(&task));
    assert_eq!(run(&state, requested(&state)[0].clone()).await["already"], json!(false));

    let corrections = json!({ "task": "corrections", "period": "2026-11" });
    invoke(&state, corrections.clone(), FIFTH_MS).await.unwrap();
    assert_eq!(requested(&state), [task, corrections]);
}

#[tokio::test]
async fn each_day_asks_for_what_is_due() {
    static NOW_MS: AtomicI64 = AtomicI64::new(0);
    let state = state(|| NOW_MS.load(Ordering::SeqCst), 3);
    let day_ms = 86_400_000;
    let at = |day: i64| NOW_MS.store(FIFTH_MS + (day - 5) * day_ms, Ordering::SeqCst);
    let close = json!({ "task": "close_month", "period": "2026-11", "requested_by": "schedule" });
    let corrections = json!({ "task": "corrections", "period": "2026-11" });
    at(2);
    assert_eq!(run(&state, json!({ "task": "daily" })).await, json!({ "requested": [] }));
    at(3);
    assert_eq!(run(&state, json!({ "task": "daily" })).await, json!({ "requested": [close] }));
    let begun = json!({ "task": "close_month", "period": "2026-11", "requested_by": "u-7" });
    invoke(&state, begun.clone(), 0).await.unwrap();
    assert_eq!(
        run(&state, json!({ "task": "daily" })).await,
        json!({ "requested": [begun.clone()] }),
        "whoever began"
    );
    run(&state, begun).await;
    assert_eq!(
        run(&state, json!({ "task": "daily" })).await,
        json!({ "requested": [corrections] })
    );
}

#[tokio::test]
async fn a_store_that_fails_fails_the_task() {
    let state = state(|| FIFTH_MS, 0);
    state.books.record(record(1, 500));
    state.documents.0.fail("replace");
    let task = json!({ "task": "close_month", "period": "2026-11", "requested_by": "u-1" });
    invoke(&state, task.clone(), i64::MAX).await.unwrap_err();
    state.documents.0.heal();
    assert_eq!(run(&state, task).await["month"]["records"], json!(1));
}

#[tokio::test]
async fn usage_is_exported_for_finance() {
    let state = state(|| FIFTH_MS, 0);
    let answer = run(&state, json!({ "task": "focus_export", "period": "2026-11" })).await;
    assert_eq!(answer, json!({ "key": "focus/month=2026-11/cost-and-usage.csv", "rows": 0 }));
    for task in [
        json!({ "task": "focus_export", "period": "2026-11-05" }),
        json!({ "task": "burn" }),
        json!({}),
    ] {
        invoke(&state, task, i64::MAX).await.unwrap_err();
    }
}
