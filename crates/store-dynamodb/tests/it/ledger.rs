//! The ledger on a real DynamoDB engine: the same decisions as the pure meter, under concurrency.

use crate::support::{NOON, context, dynamodb, ledger, limited, onboard, reservation};
use admission::{
    CallDetail, Denial, Limit, Limits, Meter, MeterStore as _, Minute, Reservation, Scope,
    SettlementStore as _, UsageStore as _,
};
use futures::future::join_all;
use metering::{ModelChoice, NanoUsd, Outcome, RecordId, TokenUsage, UsageRecord};
use tenancy::{Status, TenantContext};

fn id(call_id: &str) -> RecordId {
    RecordId::first(call_id)
}

fn record(context: &TenantContext, call_id: &str) -> UsageRecord {
    UsageRecord {
        schema: UsageRecord::SCHEMA,
        id: id(call_id),
        tenant_id: context.tenant_id.clone(),
        lob_id: context.lob_id.clone(),
        principal_id: context.principal.id.clone(),
        principal_kind: context.principal.kind,
        started_ms: NOON.start_ms(),
        dialect: "openai.chat_completions".into(),
        choice: ModelChoice {
            requested_model: "smart".into(),
            route: Some("smart".into()),
            model: "model-a".parse().unwrap(),
        },
        provider_model_id: "vendor.model-a".into(),
        provider: "aws.bedrock".into(),
        region: "us-east-1".into(),
        provider_request_id: None,
        is_streamed: true,
        usage: TokenUsage { input: 7, output: 3, ..TokenUsage::default() },
        is_cache_hit: false,
        is_estimated: false,
        price_version: "2026-11".into(),
        cost_nanousd: NanoUsd(42),
        reserved_nanousd: NanoUsd(100),
        outcome: Outcome::Completed,
        latency_ms: 12,
        time_to_first_token_ms: Some(3),
        gateway_ms: 1,
    }
}

#[tokio::test]
async fn concurrent_calls_never_pass_a_limit() {
    let (client, acme) = (dynamodb().await, context("acme", "retail"));
    onboard(&client, &acme).await;
    // Ten instances that share nothing but the table.
    let instances: Vec<_> = (0..10).map(|_| ledger(&client)).collect();
    let scope = limited(
        Scope::Tenant(acme.tenant_id.clone()),
        Limits { budget_per_month: Some(NanoUsd(1_050)), ..Limits::default() },
    );
    let want = reservation(&acme, 100, 10, NOON);
    let ids: Vec<RecordId> = (0..40).map(|number| id(&format!("call-{number}"))).collect();
    let answers = join_all(
        ids.iter()
            .enumerate()
            .map(|(number, id)| instances[number % 10].reserve(&acme, &scope, id, &want)),
    )
    .await;
    let admitted = answers.iter().filter(|answer| matches!(answer, Ok(Ok(_)))).count();
    let denied = answers
        .iter()
        .filter(|answer| {
            matches!(
                answer,
                Ok(Err(Denial::Exceeded { limit: Limit::BudgetPerMonth, used: 1_000, .. }))
            )
        })
        .count();
    assert_eq!((admitted, denied), (10, 30));
    let meter = instances[0].meter(&scope.scope).await.unwrap().unwrap();
    assert_eq!(
        (meter.committed, meter.reserved(), meter.open.len()),
        (NanoUsd(1_000), NanoUsd(1_000), 10)
    );
}

#[tokio::test]
async fn a_reservation_keeps_what_the_sweep_needs() {
    let (client, acme) = (dynamodb().await, context("acme", "retail"));
    onboard(&client, &acme).await;
    let (ledger, scope) =
        (ledger(&client), limited(Scope::Tenant(acme.tenant_id.clone()), Limits::default()));
    let mut want = reservation(&acme, 100, 10, NOON);
    want.detail = Some(CallDetail {
        lob_id: acme.lob_id.clone(),
        principal_id: acme.principal.id.clone(),
        principal_kind: acme.principal.kind,
        choice: ModelChoice {
            requested_model: "smart".into(),
            route: Some("smart".into()),
            model: "model-a".parse().unwrap(),
        },
        provider_model_id: "vendor.model-a".into(),
        provider: "openai".into(),
        dialect: "openai.chat_completions".into(),
        is_streamed: true,
        region: "us-east-1".into(),
        price_version: "2026-11".into(),
        input_tokens: 6,
        images: 1,
        search_units: 2,
        guardrail_units: 0,
        started_ms: NOON.start_ms(),
    });
    ledger.reserve(&acme, &scope, &id("call-1"), &want).await.unwrap().unwrap();
    let meter = ledger.meter(&scope.scope).await.unwrap().unwrap();
    assert_eq!(meter.open["call-1-1"], want);
}

#[tokio::test]
async fn a_repeated_reservation_counts_once() {
    let (client, acme) = (dynamodb().await, context("acme", "retail"));
    onboard(&client, &acme).await;
    let (ledger, scope) =
        (ledger(&client), limited(Scope::Tenant(acme.tenant_id.clone()), Limits::default()));
    for _ in 0..3 {
        ledger
            .reserve(&acme, &scope, &id("call-1"), &reservation(&acme, 100, 10, NOON))
            .await
            .unwrap()
            .unwrap();
    }
    let meter = ledger.meter(&scope.scope).await.unwrap().unwrap();
    assert_eq!((meter.minute_requests, meter.committed), (1, NanoUsd(100)));
}

#[tokio::test]
async fn a_suspension_and_a_changed_allowlist_hold_on_the_next_call() {
    let (client, acme) = (dynamodb().await, context("acme", "retail"));
    onboard(&client, &acme).await;
    let (ledger, mut scope) =
        (ledger(&client), limited(Scope::Tenant(acme.tenant_id.clone()), Limits::default()));
    let want = reservation(&acme, 1, 1, NOON);
    ledger.reserve(&acme, &scope, &id("call-1"), &want).await.unwrap().unwrap();
    scope.entitlement_version = 2;
    assert_eq!(
        ledger.reserve(&acme, &scope, &id("call-2"), &want).await.unwrap(),
        Err(Denial::Stale)
    );
    scope.entitlement_version = 1;
    let suspend =
        client.update_item().table_name(crate::support::TABLE).update_expression("SET #s = :s");
    suspend
        .key("PK", aws_sdk_dynamodb::types::AttributeValue::S("TENANT#acme".into()))
        .key("SK", aws_sdk_dynamodb::types::AttributeValue::S("METER".into()))
        .expression_attribute_names("#s", "status")
        .expression_attribute_values(
            ":s",
            aws_sdk_dynamodb::types::AttributeValue::S("suspended".into()),
        )
        .send()
        .await
        .unwrap();
    assert_eq!(
        ledger.reserve(&acme, &scope, &id("call-3"), &want).await.unwrap(),
        Err(Denial::Suspended)
    );
    let unknown = limited(Scope::Tenant("globex".parse().unwrap()), Limits::default());
    assert_eq!(
        ledger.reserve(&acme, &unknown, &id("call-4"), &want).await.unwrap(),
        Err(Denial::Unknown)
    );
}

#[tokio::test]
async fn a_record_is_written_once_and_read_back_whole() {
    let (client, acme) = (dynamodb().await, context("acme", "retail"));
    let ledger = ledger(&client);
    let first = record(&acme, "call-1");
    assert!(ledger.put_record(&acme, &first).await.unwrap());
    let second = UsageRecord { cost_nanousd: NanoUsd(1), ..first.clone() };
    assert!(!ledger.put_record(&acme, &second).await.unwrap());
    assert_eq!(ledger.record(&acme.tenant_id, &first.id).await.unwrap(), Some(first.clone()));
    assert_eq!(
        ledger.record(&"globex".parse().unwrap(), &first.id).await.unwrap(),
        None,
        "another tenant's"
    );
}

/// As it was written before a call could have attempts, aliases and pictures.
#[tokio::test]
async fn a_record_of_schema_1_can_be_read() {
    let (client, acme) = (dynamodb().await, context("acme", "retail"));
    let ledger = ledger(&client);
    let first = record(&acme, "call-1");
    ledger.put_record(&acme, &first).await.unwrap();
    let key = |name, value: &str| (name, aws_sdk_dynamodb::types::AttributeValue::S(value.into()));
    let [(pk, owner), (sk, id)] = [key("PK", "TENANT#acme"), key("SK", "USAGE#call-1#1")];
    let (_, model) = key("", "model-b");
    client
        .update_item()
        .table_name(crate::support::TABLE)
        .key(pk, owner)
        .key(sk, id)
        .update_expression("SET requested_model = :model REMOVE model, route, is_cache_hit")
        .expression_attribute_values(":model", model)
        .send()
        .await
        .unwrap();
    let old = UsageRecord { choice: ModelChoice::of("model-b".parse().unwrap()), ..first.clone() };
    assert_eq!(ledger.record(&acme.tenant_id, &first.id).await.unwrap(), Some(old));
}

#[tokio::test]
async fn the_sweep_finds_every_meter() {
    let client = dynamodb().await;
    for (tenant, lob) in [("acme", "retail"), ("globex", "markets")] {
        onboard(&client, &context(tenant, lob)).await;
    }
    let mut scopes = ledger(&client).scopes().await.unwrap();
    scopes.sort();
    let names: Vec<String> = scopes.iter().map(ToString::to_string).collect();
    assert_eq!(
        names,
        [
            "tenant `acme`",
            "tenant `globex`",
            "line of business `markets`",
            "line of business `retail`"
        ]
    );
}

#[tokio::test]
async fn attempts_of_one_call_settle_apart() {
    let (client, acme) = (dynamodb().await, context("acme", "retail"));
    onboard(&client, &acme).await;
    let limits = Limits { requests_per_minute: Some(1), ..Limits::default() };
    let (ledger, scope) = (ledger(&client), limited(Scope::Tenant(acme.tenant_id.clone()), limits));
    let (first, second) = (id("call-1"), RecordId { attempt: 2, ..id("call-1") });
    let want = reservation(&acme, 100, 10, NOON);
    ledger.reserve(&acme, &scope, &first, &want).await.unwrap().unwrap();
    let denied = ledger.reserve(&acme, &scope, &second, &want).await.unwrap();
    assert!(matches!(denied, Err(Denial::Exceeded { limit: Limit::RequestsPerMinute, .. })));
    let retry = Reservation { requests: 0, ..want.clone() };
    ledger.reserve(&acme, &scope, &second, &retry).await.unwrap().unwrap();

    for delivery in 0..2 {
        let was_open = ledger.settle(&scope.scope, &second, 4, NanoUsd(30)).await.unwrap();
        assert_eq!(was_open, delivery == 0);
        let meter = ledger.meter(&scope.scope).await.unwrap().unwrap();
        assert_eq!((meter.minute_requests, meter.minute_tokens), (1, 14));
        assert_eq!((meter.committed, meter.settled), (NanoUsd(130), NanoUsd(30)));
        assert_eq!(meter.open.into_keys().collect::<Vec<_>>(), ["call-1-1"]);
    }
    ledger.release(&acme, &scope.scope, &first, &want).await.unwrap();
    let meter = ledger.meter(&scope.scope).await.unwrap().unwrap();
    assert_eq!((meter.minute_requests, meter.committed), (0, NanoUsd(30)));
}

/// A deterministic sequence of pseudo-random numbers (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Random histories, applied to the table by two instances and to the pure meter: the same answers, the same state.
#[tokio::test]
async fn the_table_decides_as_the_meter_does() {
    let limits = Limits {
        requests_per_minute: Some(8),
        tokens_per_minute: Some(150),
        tokens_per_day: Some(400),
        budget_per_month: Some(NanoUsd(1_000)),
    };
    let client = dynamodb().await;
    for seed in 0..12 {
        let acme = context(&format!("acme-{seed}"), "retail");
        onboard(&client, &acme).await;
        let scope = limited(Scope::Tenant(acme.tenant_id.clone()), limits);
        let instances = [ledger(&client), ledger(&client)];
        let (mut random, mut model, mut now) = (Random(seed), Meter::new(Status::Active, 1), NOON);
        for number in 0..60 {
            let instance = &instances[usize::try_from(random.below(2)).unwrap()];
            let picked = model.open.keys().nth(usize::try_from(random.below(5)).unwrap());
            let picked = picked.and_then(|key| RecordId::from_open_key(key));
            match (random.below(10), picked) {
                (0, _) => {
                    let wait = [1, 60, 1_440, 20 * 1_440];
                    now = Minute(now.0 + wait[usize::try_from(random.below(4)).unwrap()]);
                }
                (1..=3, Some(id)) => {
                    let (tokens, amount) = (random.below(50), random.below(200));
                    assert!(
                        instance.settle(&scope.scope, &id, tokens, NanoUsd(amount)).await.unwrap()
                    );
                    assert!(
                        !instance.settle(&scope.scope, &id, tokens, NanoUsd(amount)).await.unwrap(),
                        "once"
                    );
                    model.settle(&id, tokens, NanoUsd(amount));
                }
                (4, Some(id)) => {
                    let open = model.open[&id.open_key()].clone();
                    instance.release(&acme, &scope.scope, &id, &open).await.unwrap();
                    model.release(&id);
                }
                _ => {
                    // One in three comes from a clock that is a minute late.
                    let late = i64::from(random.below(3) == 0);
                    // Every second one is a further attempt of the call before it.
                    let id = RecordId {
                        call_id: format!("call-{}", number / 2),
                        attempt: 1 + number % 2,
                    };
                    let (amount, tokens) = (1 + random.below(250), 1 + random.below(60));
                    let want = Reservation {
                        requests: u32::from(id.attempt == 1),
                        ..reservation(&acme, amount, tokens, Minute(now.0 - late))
                    };
                    let answer = instance.reserve(&acme, &scope, &id, &want).await.unwrap();
                    let expected = model.decide(&limits, 1, &want).map(|roll| {
                        model.reserve(roll, &id, want.clone());
                        model.standing(want.minute)
                    });
                    assert_eq!(answer, expected, "seed {seed}, step {number}");
                }
            }
            assert_eq!(
                instance.meter(&scope.scope).await.unwrap(),
                Some(model.clone()),
                "seed {seed}, step {number}"
            );
        }
    }
}
