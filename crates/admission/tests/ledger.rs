//! Admission, settlement and sweep together, over the in-memory ledger.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};

use admission::fakes::InMemoryLedger;
use admission::{
    Calendar, CallDetail, Cap, Counter, Counters, Denial, LimitedScope, Meter, MeterLayout,
    MeterRef, Metric, Minute, ModelSelector, Part, Period, Refusal, Reservation, Scope,
    SettlementStore as _, SweepOutcome, UsageStore as _, Used, admit, sweep,
};
use metering::{ModelChoice, NanoUsd, Outcome, ProfileScope, RecordId, ServiceTier};
use tenancy::{Principal, PrincipalKind, PriorityClass, Role, Status, TenantContext};

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
        input_tokens: 60,
        output_tokens: 40,
        requests: 1,
        minute: Minute::of(NOON_MS),
        deadline_ms: NOON_MS + 900_000,
        part: Part::WHOLE,
    }
}

fn detail(context: &TenantContext) -> CallDetail {
    CallDetail {
        scopes: 0,
        lob_id: context.lob_id.clone(),
        principal_id: context.principal.id.clone(),
        principal_kind: context.principal.kind,
        project_id: None,
        tags: BTreeMap::new(),
        priority_class: PriorityClass::Standard,
        choice: ModelChoice::of("model-a".parse().unwrap()),
        provider_model_id: "vendor.model-a".to_owned(),
        provider: "aws.bedrock".to_owned(),
        dialect: "openai.chat_completions".to_owned(),
        is_streamed: false,
        region: "us-east-1".to_owned(),
        profile_scope: ProfileScope::InRegion,
        service_tier: ServiceTier::Default,
        price_version: "2026-11".to_owned(),
        is_priced: true,
        images: 0,
        search_units: 0,
        guardrail_units: 0,
        started_ms: NOON_MS,
        shadow_of: Some("call-0".to_owned()),
    }
}

fn both(context: &TenantContext) -> [Scope; 2] {
    [Scope::Tenant(context.tenant_id.clone()), Scope::Lob(context.lob_id.clone())]
}

fn limited(scope: Scope, budget: u64, shards: u16) -> LimitedScope {
    let entitlement_version = matches!(scope, Scope::Tenant(_)).then_some(1);
    let cap = Cap {
        limit_id: "budget".to_owned(),
        counter: Counter::of(Metric::Cost, Period::Month),
        allowed: budget,
        whole: budget,
        on_exhausted: None,
    };
    LimitedScope {
        scope,
        models: ModelSelector::All,
        layout: MeterLayout { epoch: 0, shards },
        caps: vec![cap],
        entitlement_version,
    }
}

fn scopes(context: &TenantContext, budgets: [u64; 2]) -> Vec<LimitedScope> {
    both(context)
        .into_iter()
        .zip(budgets)
        .map(|(scope, budget)| limited(scope, budget, 1))
        .collect()
}

fn ledger() -> InMemoryLedger {
    let all = ["acme", "globex"].into_iter().flat_map(|tenant| both(&context(tenant)));
    InMemoryLedger::with_meters(all.map(|scope| (scope, Meter::new(Status::Active, 1))))
}

/// What a call of 10 tokens took.
fn used(requests: u64, amount: u64) -> Used {
    Used { requests, input_tokens: 6, output_tokens: 4, amount: NanoUsd(amount) }
}

#[tokio::test]
async fn a_refusal_by_one_scope_leaves_nothing_in_the_others() {
    let (ledger, acme) = (ledger(), context("acme"));
    let refusal = admit(
        &ledger,
        &acme,
        scopes(&acme, [1_000, 50]),
        &id("call-1"),
        &reservation(&acme, 100),
        &detail(&acme),
    )
    .await;
    let Err(Refusal::Denied { scope, denial: Denial::Exceeded { cap, .. } }) = refusal else {
        panic!("{refusal:?}")
    };
    assert_eq!((scope, cap.metric()), (Scope::Lob("retail".parse().unwrap()), Metric::Cost));
    for scope in both(&acme) {
        let meter = ledger.meter_of(&scope);
        assert!(meter.open.is_empty() && meter.counters == Counters::default(), "{scope}");
    }
}

#[tokio::test]
async fn tenants_of_one_line_of_business_share_its_budget_and_nothing_else() {
    let (ledger, acme, globex) = (ledger(), context("acme"), context("globex"));
    admit(
        &ledger,
        &acme,
        scopes(&acme, [1_000, 150]),
        &id("call-1"),
        &reservation(&acme, 100),
        &detail(&acme),
    )
    .await
    .unwrap();
    admit(
        &ledger,
        &globex,
        scopes(&globex, [1_000, 150]),
        &id("call-2"),
        &reservation(&globex, 100),
        &detail(&globex),
    )
    .await
    .unwrap_err();
    let committed = |scope: &Scope| ledger.committed(scope);
    assert_eq!(committed(&Scope::Tenant(globex.tenant_id.clone())), NanoUsd::ZERO);
    assert_eq!(committed(&Scope::Tenant(acme.tenant_id.clone())), NanoUsd(100));
    assert_eq!(committed(&Scope::Lob(acme.lob_id.clone())), NanoUsd(100));
}

#[tokio::test]
async fn a_call_that_left_no_record_is_charged_what_was_reserved() {
    let (ledger, acme) = (ledger(), context("acme"));
    admit(
        &ledger,
        &acme,
        scopes(&acme, [1_000, 1_000]),
        &id("call-1"),
        &reservation(&acme, 100),
        &detail(&acme),
    )
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
    for scope in both(&acme) {
        assert_eq!(ledger.committed(&scope), NanoUsd(100), "{scope}");
        assert!(ledger.meter_of(&scope).open.is_empty(), "{scope}");
    }
}

#[tokio::test]
async fn a_reservation_without_its_twin_is_given_back_not_charged() {
    let (ledger, acme) = (ledger(), context("acme"));
    ledger.fail("close");
    admit(
        &ledger,
        &acme,
        scopes(&acme, [1_000, 50]),
        &id("call-1"),
        &reservation(&acme, 100),
        &detail(&acme),
    )
    .await
    .unwrap_err();
    let tenant = Scope::Tenant(acme.tenant_id.clone());
    assert_eq!(
        ledger.committed(&tenant),
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
    assert_eq!(repaired.committed(&tenant), NanoUsd::ZERO);
}

#[tokio::test]
async fn a_settlement_counts_once_however_often_it_is_delivered() {
    let (ledger, acme) = (ledger(), context("acme"));
    admit(
        &ledger,
        &acme,
        scopes(&acme, [1_000, 1_000]),
        &id("call-1"),
        &reservation(&acme, 100),
        &detail(&acme),
    )
    .await
    .unwrap();
    for delivery in 0..3 {
        for scope in both(&acme) {
            let meter = MeterRef::of(scope.clone());
            let was_open = ledger.settle(&meter, &id("call-1"), used(1, 7)).await.unwrap();
            assert_eq!(was_open, delivery == 0);
            let tokens = Counter { metric: Metric::TotalTokens, period: Period::Day };
            assert_eq!(ledger.committed(&scope), NanoUsd(7));
            assert_eq!(ledger.meter_of(&scope).counters.get(tokens), 10);
        }
    }
}

#[tokio::test]
async fn a_record_is_written_once() {
    let (ledger, acme) = (ledger(), context("acme"));
    admit(
        &ledger,
        &acme,
        scopes(&acme, [1_000, 1_000]),
        &id("call-1"),
        &reservation(&acme, 100),
        &detail(&acme),
    )
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
        admit(ledger, context, scopes(context, [1_000, 1_000]), id, &wanted, &detail(context))
            .await
            .unwrap();
    }
    ids
}

/// Settled and committed money, requests of the minute and open reservations, the same in both scopes.
#[track_caller]
fn state(ledger: &InMemoryLedger, context: &TenantContext) -> (u64, u64, u64, Vec<String>) {
    let [tenant, lob] = both(context).map(|scope| {
        let (meter, committed) = (ledger.meter_of(&scope), ledger.committed(&scope).0);
        let month = Counter { metric: Metric::Cost, period: Period::Month };
        let settled = committed - meter.reserved(&Calendar::utc(), month);
        let requests = Counter { metric: Metric::Requests, period: Period::Minute };
        let requests = meter.counters.get(requests);
        (settled, committed, requests, meter.open.into_keys().collect::<Vec<_>>())
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
                for scope in both(&acme) {
                    let (id, requests) = (&ids[index], u64::from(ids[index].attempt == 1));
                    let used = used(requests, costs[index]);
                    let was_open = ledger.settle(&MeterRef::of(scope), id, used).await.unwrap();
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
    assert_eq!(
        estimated[1].shadow_of.as_deref(),
        Some("call-0"),
        "what is known of a call is kept"
    );

    let crashed = self::ledger();
    admit_twice(&crashed, &acme).await;
    assert!(crashed.put_record(&acme, &recorded(0)).await.unwrap());
    let swept = sweep(&crashed, NOON_MS + 900_001).await.unwrap();
    assert_eq!((swept.settled, swept.estimated, swept.released), (2, 1, 0));
    while sweep(&crashed, NOON_MS + 900_001).await.unwrap() != SweepOutcome::default() {}
    let records = crashed.all_records();
    assert_eq!(records.iter().map(|it| it.cost_nanousd.0).collect::<Vec<_>>(), [7, 70]);
    assert_eq!(state(&crashed, &acme), (77, 77, 1, vec![]));
}

#[tokio::test]
async fn a_sweep_takes_the_attempt_that_is_overdue_and_no_other() {
    let (ledger, acme) = (ledger(), context("acme"));
    let [_, second] = admit_twice(&ledger, &acme).await;
    for scope in both(&acme) {
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
    let [tenant, _] = both(&acme);
    ledger.update_meter(&tenant, |meter| {
        let reservation = meter.open["call-1-1"].clone();
        meter.open.insert("a".into(), reservation);
    });
    let error = sweep(&ledger, NOON_MS + 900_001).await.unwrap_err();
    assert!(error.source.to_string().contains("`a`"), "{}", error.source);
    assert_eq!(ledger.all_records().len(), 2);
}

/// The line of business has four shards, of 25 nano-USD each.
fn sharded(context: &TenantContext) -> Vec<LimitedScope> {
    let [tenant, lob] = both(context);
    vec![limited(tenant, 1_000, 1), limited(lob, 100, 4)]
}

#[tokio::test]
async fn a_call_larger_than_a_shards_share_is_spread_over_all_of_them() {
    let (ledger, acme) = (ledger(), context("acme"));
    let id = id("call-1");
    let admitted =
        admit(&ledger, &acme, sharded(&acme), &id, &reservation(&acme, 90), &detail(&acme))
            .await
            .unwrap();
    let held: Vec<String> = admitted.held.iter().map(ToString::to_string).collect();
    assert_eq!(
        held,
        [
            "tenant=acme",
            "lob=retail part=0/4",
            "lob=retail shard=0.1 part=1/4",
            "lob=retail shard=0.2 part=2/4",
            "lob=retail shard=0.3 part=3/4"
        ]
    );
    let second = RecordId::first("call-2");
    admit(&ledger, &acme, sharded(&acme), &second, &reservation(&acme, 11), &detail(&acme))
        .await
        .unwrap_err();
    let last = RecordId::first("call-3");
    admit(&ledger, &acme, sharded(&acme), &last, &reservation(&acme, 2), &detail(&acme))
        .await
        .unwrap();

    // All of them die: what was spread is one call, and is charged as one.
    while sweep(&ledger, NOON_MS + 900_001).await.unwrap() != SweepOutcome::default() {}
    let records = ledger.all_records();
    let costs: Vec<_> = records.iter().map(|it| (it.cost_nanousd.0, it.usage.total())).collect();
    assert_eq!(costs, [(90, 100), (2, 100)]);
    let month = Counter { metric: Metric::Cost, period: Period::Month };
    let meters = ledger.all_meters();
    let of_lob = meters.iter().filter(|(meter, _)| matches!(meter.scope, Scope::Lob(_)));
    assert_eq!(of_lob.map(|(_, meter)| meter.counters.get(month)).sum::<u64>(), 92);
    assert!(meters.values().all(|meter| meter.open.is_empty()));
}

#[tokio::test]
async fn a_call_that_one_shard_has_no_room_for_finds_another() {
    let (ledger, acme) = (ledger(), context("acme"));
    let mut admitted = 0;
    for number in 0..8 {
        let id = RecordId::first(format!("call-{number}"));
        let answer =
            admit(&ledger, &acme, sharded(&acme), &id, &reservation(&acme, 24), &detail(&acme))
                .await;
        admitted += u32::from(answer.is_ok());
    }
    assert_eq!(admitted, 4, "one in each shard, wherever calls look first");
}
