//! Admission, settlement and sweep together, over the in-memory ledger.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;

use admission::fakes::InMemoryLedger;
use admission::{
    CallDetail, Denial, Limit, LimitedScope, Limits, Meter, Minute, Refusal, Reservation, Scope,
    SettlementStore as _, SweepOutcome, UsageStore as _, admit, sweep,
};
use metering::{ModelChoice, NanoUsd, Outcome, RecordId};
use tenancy::{Principal, PrincipalKind, Role, Status, TenantContext};

const NOON_MS: i64 = 1_795_435_200_000;

fn context(tenant: &str) -> TenantContext {
    TenantContext {
        tenant_id: tenant.parse().unwrap(),
        lob_id: "retail".parse().unwrap(),
        principal: Principal {
            id: "dev-1".to_owned().try_into().unwrap(),
            kind: PrincipalKind::User,
        },
        roles: BTreeSet::from([Role::Developer]),
        scopes: BTreeSet::new(),
    }
}

fn id(call_id: &str) -> RecordId {
    RecordId::first(call_id)
}

fn reservation(context: &TenantContext, amount: u64) -> Reservation {
    Reservation {
        tenant_id: context.tenant_id.clone(),
        amount_nanousd: NanoUsd(amount),
        tokens: 100,
        requests: 1,
        minute: Minute::of(NOON_MS),
        deadline_ms: NOON_MS + 900_000,
        detail: Some(CallDetail {
            lob_id: context.lob_id.clone(),
            principal_id: context.principal.id.clone(),
            principal_kind: context.principal.kind,
            choice: ModelChoice::of("model-a".parse().unwrap()),
            provider_model_id: "vendor.model-a".to_owned(),
            provider: "aws.bedrock".to_owned(),
            dialect: "openai.chat_completions".to_owned(),
            is_streamed: false,
            region: "us-east-1".to_owned(),
            price_version: "2026-11".to_owned(),
            input_tokens: 60,
            images: 0,
            search_units: 0,
            guardrail_units: 0,
            started_ms: NOON_MS,
        }),
    }
}

fn scopes(context: &TenantContext, budgets: [u64; 2]) -> Vec<LimitedScope> {
    Scope::of(context)
        .into_iter()
        .zip(budgets)
        .map(|(scope, budget)| LimitedScope {
            scope,
            limits: Limits { budget_per_month: Some(NanoUsd(budget)), ..Limits::default() },
            entitlement_version: 1,
        })
        .collect()
}

fn ledger() -> InMemoryLedger {
    let all = ["acme", "globex"].into_iter().flat_map(|tenant| Scope::of(&context(tenant)));
    InMemoryLedger::with_meters(all.map(|scope| (scope, Meter::new(Status::Active, 1))))
}

#[tokio::test]
async fn a_refusal_by_one_scope_leaves_nothing_in_the_others() {
    let (ledger, acme) = (ledger(), context("acme"));
    let refusal =
        admit(&ledger, &acme, scopes(&acme, [1_000, 50]), &id("call-1"), &reservation(&acme, 100))
            .await;
    let Err(Refusal::Denied { scope, denial: Denial::Exceeded { limit, .. } }) = refusal else {
        panic!("{refusal:?}")
    };
    assert_eq!((scope, limit), (Scope::Lob("retail".parse().unwrap()), Limit::BudgetPerMonth));
    for scope in Scope::of(&acme) {
        let meter = ledger.meter_of(&scope);
        assert!(
            meter.open.is_empty() && meter.committed == NanoUsd::ZERO && meter.minute_requests == 0,
            "{scope}"
        );
    }
}

#[tokio::test]
async fn tenants_of_one_line_of_business_share_its_budget_and_nothing_else() {
    let (ledger, acme, globex) = (ledger(), context("acme"), context("globex"));
    admit(&ledger, &acme, scopes(&acme, [1_000, 150]), &id("call-1"), &reservation(&acme, 100))
        .await
        .unwrap();
    admit(
        &ledger,
        &globex,
        scopes(&globex, [1_000, 150]),
        &id("call-2"),
        &reservation(&globex, 100),
    )
    .await
    .unwrap_err();
    let committed = |scope: &Scope| ledger.meter_of(scope).committed;
    assert_eq!(committed(&Scope::Tenant(globex.tenant_id.clone())), NanoUsd::ZERO);
    assert_eq!(committed(&Scope::Tenant(acme.tenant_id.clone())), NanoUsd(100));
    assert_eq!(committed(&Scope::Lob(acme.lob_id.clone())), NanoUsd(100));
}

#[tokio::test]
async fn a_call_that_left_no_record_is_charged_what_was_reserved() {
    let (ledger, acme) = (ledger(), context("acme"));
    admit(&ledger, &acme, scopes(&acme, [1_000, 1_000]), &id("call-1"), &reservation(&acme, 100))
        .await
        .unwrap();
    assert_eq!(
        sweep(&ledger, NOON_MS + 900_000).await.unwrap(),
        SweepOutcome::default(),
        "it may still be running"
    );

    let first = sweep(&ledger, NOON_MS + 900_001).await.unwrap();
    assert_eq!(first.estimated, 1);
    let records = ledger.all_records();
    assert_eq!(
        (records.len(), records[0].cost_nanousd, records[0].outcome),
        (1, NanoUsd(100), Outcome::Abandoned)
    );
    assert_eq!(
        (records[0].usage.input, records[0].usage.output, records[0].is_estimated),
        (60, 40, true)
    );

    while sweep(&ledger, NOON_MS + 900_001).await.unwrap() != SweepOutcome::default() {}
    assert_eq!(ledger.all_records().len(), 1, "however often it sweeps");
    for scope in Scope::of(&acme) {
        let meter = ledger.meter_of(&scope);
        assert_eq!(
            (meter.settled, meter.committed, meter.open.len()),
            (NanoUsd(100), NanoUsd(100), 0),
            "{scope}"
        );
    }
}

#[tokio::test]
async fn a_reservation_without_its_twin_is_given_back_not_charged() {
    let (ledger, acme) = (ledger(), context("acme"));
    ledger.fail("release");
    admit(&ledger, &acme, scopes(&acme, [1_000, 50]), &id("call-1"), &reservation(&acme, 100))
        .await
        .unwrap_err();
    let tenant = Scope::Tenant(acme.tenant_id.clone());
    assert_eq!(
        ledger.meter_of(&tenant).committed,
        NanoUsd(100),
        "the function died before it could give it back"
    );

    let state = ledger.meter_of(&tenant);
    let repaired = InMemoryLedger::with_meters([
        (tenant.clone(), state),
        (Scope::Lob(acme.lob_id.clone()), Meter::new(Status::Active, 1)),
    ]);
    assert_eq!(sweep(&repaired, NOON_MS + 900_001).await.unwrap().released, 1);
    assert!(repaired.all_records().is_empty());
    assert_eq!(repaired.meter_of(&tenant).committed, NanoUsd::ZERO);
}

#[tokio::test]
async fn a_settlement_counts_once_however_often_it_is_delivered() {
    let (ledger, acme) = (ledger(), context("acme"));
    admit(&ledger, &acme, scopes(&acme, [1_000, 1_000]), &id("call-1"), &reservation(&acme, 100))
        .await
        .unwrap();
    for delivery in 0..3 {
        for scope in Scope::of(&acme) {
            let was_open = ledger.settle(&scope, &id("call-1"), 10, NanoUsd(7)).await.unwrap();
            assert_eq!(was_open, delivery == 0);
            let meter = ledger.meter_of(&scope);
            assert_eq!(
                (meter.committed, meter.settled, meter.day_tokens),
                (NanoUsd(7), NanoUsd(7), 10)
            );
        }
    }
}

#[tokio::test]
async fn a_record_is_written_once() {
    let (ledger, acme) = (ledger(), context("acme"));
    admit(&ledger, &acme, scopes(&acme, [1_000, 1_000]), &id("call-1"), &reservation(&acme, 100))
        .await
        .unwrap();
    sweep(&ledger, NOON_MS + 900_001).await.unwrap();
    let mut late = ledger.all_records().remove(0);
    late.cost_nanousd = NanoUsd(1);
    assert!(!ledger.put_record(&acme, &late).await.unwrap());
    assert_eq!(ledger.all_records()[0].cost_nanousd, NanoUsd(100));
}

/// Admits attempts 1 and 2 of one call; the first reserves 100 nano-USD, the second 70.
async fn admit_twice(ledger: &InMemoryLedger, context: &TenantContext) -> [RecordId; 2] {
    let ids = [id("call-1"), RecordId { attempt: 2, ..id("call-1") }];
    for (id, amount) in ids.iter().zip([100, 70]) {
        let requests = u32::from(id.attempt == 1);
        let wanted = Reservation { requests, ..reservation(context, amount) };
        admit(ledger, context, scopes(context, [1_000, 1_000]), id, &wanted).await.unwrap();
    }
    ids
}

/// Settled and committed money, requests of the minute and open reservations, the same in both scopes.
#[track_caller]
fn state(ledger: &InMemoryLedger, context: &TenantContext) -> (u64, u64, u64, Vec<String>) {
    let [tenant, lob] = Scope::of(context).map(|scope| {
        let meter = ledger.meter_of(&scope);
        let open = meter.open.into_keys().collect();
        (meter.settled.0, meter.committed.0, meter.minute_requests, open)
    });
    assert_eq!(tenant, lob);
    tenant
}

#[tokio::test]
async fn attempts_of_one_call_settle_apart_in_any_order_however_often() {
    for order in [[0, 1], [1, 0]] {
        let (ledger, acme) = (ledger(), context("acme"));
        let ids = admit_twice(&ledger, &acme).await;
        assert_eq!(state(&ledger, &acme), (0, 170, 1, vec!["call-1-1".into(), "call-1-2".into()]));
        let costs = [7, 30];
        let mut settled = 0;
        for (done, index) in order.into_iter().enumerate() {
            for delivery in 0..3 {
                for scope in Scope::of(&acme) {
                    let (id, cost) = (&ids[index], NanoUsd(costs[index]));
                    let was_open = ledger.settle(&scope, id, 10, cost).await.unwrap();
                    assert_eq!(was_open, delivery == 0, "{id}");
                }
            }
            settled += costs[index];
            let (money, _, requests, open) = state(&ledger, &acme);
            assert_eq!((money, requests, open.len()), (settled, 1, 1 - done));
        }
        assert_eq!(state(&ledger, &acme), (37, 37, 1, vec![]));
    }
}

#[tokio::test]
async fn a_function_that_dies_between_two_attempts_is_charged_for_what_it_did() {
    // The first attempt left its record; the function died in the second one.
    let (ledger, acme) = (ledger(), context("acme"));
    let ids = admit_twice(&ledger, &acme).await;
    sweep(&ledger, NOON_MS + 900_001).await.unwrap();
    let estimated = ledger.all_records();
    let recorded = |index: usize| metering::UsageRecord {
        cost_nanousd: NanoUsd(7),
        ..estimated[index].clone()
    };
    assert_eq!([&recorded(0).id, &recorded(1).id], [&ids[0], &ids[1]]);

    let crashed = self::ledger();
    admit_twice(&crashed, &acme).await;
    assert!(crashed.put_record(&acme, &recorded(0)).await.unwrap());
    let swept = sweep(&crashed, NOON_MS + 900_001).await.unwrap();
    // The line of business' turn comes after the tenant's, so it meets the estimate already.
    assert_eq!((swept.settled, swept.estimated, swept.released), (3, 1, 0));
    while sweep(&crashed, NOON_MS + 900_001).await.unwrap() != SweepOutcome::default() {}
    let records = crashed.all_records();
    assert_eq!(records.iter().map(|it| it.cost_nanousd.0).collect::<Vec<_>>(), [7, 70]);
    assert_eq!(state(&crashed, &acme), (77, 77, 1, vec![]));
}

#[tokio::test]
async fn a_sweep_takes_the_attempt_that_is_overdue_and_no_other() {
    let (ledger, acme) = (ledger(), context("acme"));
    let [_, second] = admit_twice(&ledger, &acme).await;
    for scope in Scope::of(&acme) {
        ledger.update_meter(&scope, |meter| {
            meter.open.get_mut(&second.open_key()).unwrap().deadline_ms = NOON_MS;
        });
    }
    while sweep(&ledger, NOON_MS + 1).await.unwrap() != SweepOutcome::default() {}
    let records = ledger.all_records();
    assert_eq!((records.len(), &records[0].id, records[0].cost_nanousd), (1, &second, NanoUsd(70)));
    assert_eq!(state(&ledger, &acme), (70, 170, 1, vec!["call-1-1".into()]));
}

#[tokio::test]
async fn a_reservation_that_names_no_call_is_reported_and_holds_up_no_other() {
    let (ledger, acme) = (ledger(), context("acme"));
    admit_twice(&ledger, &acme).await;
    let [tenant, _] = Scope::of(&acme);
    ledger.update_meter(&tenant, |meter| {
        let reservation = meter.open["call-1-1"].clone();
        meter.open.insert("a".into(), reservation);
    });
    let error = sweep(&ledger, NOON_MS + 900_001).await.unwrap_err();
    assert!(error.source.to_string().contains("`a`"), "{}", error.source);
    assert_eq!(ledger.all_records().len(), 2);
}
