//! Admission, settlement and sweep together, over the in-memory ledger.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;

use admission::fakes::InMemoryLedger;
use admission::{
    CallDetail, Denial, Limit, LimitedScope, Limits, Meter, Minute, Refusal, Reservation, Scope,
    SettlementStore as _, SweepOutcome, UsageStore as _, admit, sweep,
};
use metering::{NanoUsd, Outcome};
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

fn reservation(context: &TenantContext, amount: u64) -> Reservation {
    Reservation {
        tenant_id: context.tenant_id.clone(),
        amount_nanousd: NanoUsd(amount),
        tokens: 100,
        minute: Minute::of(NOON_MS),
        deadline_ms: NOON_MS + 900_000,
        detail: Some(CallDetail {
            lob_id: context.lob_id.clone(),
            principal_id: context.principal.id.clone(),
            principal_kind: context.principal.kind,
            requested_model: "model-a".parse().unwrap(),
            provider_model_id: "vendor.model-a".to_owned(),
            dialect: "openai.chat_completions".to_owned(),
            is_streamed: false,
            region: "us-east-1".to_owned(),
            price_version: "2026-11".to_owned(),
            input_tokens: 60,
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
        admit(&ledger, &acme, scopes(&acme, [1_000, 50]), "call-1", &reservation(&acme, 100)).await;
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
    admit(&ledger, &acme, scopes(&acme, [1_000, 150]), "call-1", &reservation(&acme, 100))
        .await
        .unwrap();
    admit(&ledger, &globex, scopes(&globex, [1_000, 150]), "call-2", &reservation(&globex, 100))
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
    admit(&ledger, &acme, scopes(&acme, [1_000, 1_000]), "call-1", &reservation(&acme, 100))
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
    admit(&ledger, &acme, scopes(&acme, [1_000, 50]), "call-1", &reservation(&acme, 100))
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
    admit(&ledger, &acme, scopes(&acme, [1_000, 1_000]), "call-1", &reservation(&acme, 100))
        .await
        .unwrap();
    for delivery in 0..3 {
        for scope in Scope::of(&acme) {
            let was_open = ledger.settle(&scope, "call-1", 10, NanoUsd(7)).await.unwrap();
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
    admit(&ledger, &acme, scopes(&acme, [1_000, 1_000]), "call-1", &reservation(&acme, 100))
        .await
        .unwrap();
    sweep(&ledger, NOON_MS + 900_001).await.unwrap();
    let mut late = ledger.all_records().remove(0);
    late.cost_nanousd = NanoUsd(1);
    assert!(!ledger.put_record(&acme, &late).await.unwrap());
    assert_eq!(ledger.all_records()[0].cost_nanousd, NanoUsd(100));
}
