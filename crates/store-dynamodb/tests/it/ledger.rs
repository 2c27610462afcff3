//! The ledger on a real DynamoDB engine: the same decisions as the pure meter, under concurrency.

use std::collections::BTreeMap;

use crate::support::{NOON, cap, context, dynamodb, gate, ledger, onboard, reservation};
use admission::{
    Calendar, CallDetail, Cap, Counter, Denial, Gate, Held, Meter, MeterStore as _, Metric, Minute,
    Period, Reservation, Scope, SettlementStore as _, UsageStore as _, Used,
};
use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::join_all;
use metering::{
    ModelChoice, NanoUsd, Outcome, ProfileScope, RecordId, ServiceTier, TokenUsage, UsageRecord,
};
use tenancy::{PriorityClass, Status, TenantContext};

const MONEY: Counter = Counter { metric: Metric::Cost, period: Period::Month };
const REQUESTS: Counter = Counter { metric: Metric::Requests, period: Period::Minute };

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
        project_id: Some("web-shop".parse().unwrap()),
        tags: BTreeMap::from([("cost-center".to_owned(), "42".to_owned())]),
        priority_class: PriorityClass::Interactive,
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
        profile_scope: ProfileScope::Geo,
        service_tier: ServiceTier::Flex,
        provider_request_id: None,
        is_streamed: true,
        usage: TokenUsage { input: 7, output: 3, ..TokenUsage::default() },
        is_cache_hit: false,
        is_estimated: false,
        price_version: "2026-11".into(),
        is_priced: true,
        cost_nanousd: NanoUsd(42),
        uncached_cost_nanousd: NanoUsd(43),
        reserved_nanousd: NanoUsd(100),
        outcome: Outcome::Completed,
        latency_ms: 12,
        time_to_first_token_ms: Some(3),
        gateway_ms: 1,
        meters: vec!["tenant=acme".to_owned(), "lob=retail shard=1.2 part=0/3".to_owned()],
        shadow_of: None,
    }
}

fn acme_gate(caps: Vec<Cap>) -> Gate {
    gate(Scope::Tenant("acme".parse().unwrap()), caps)
}

fn used(requests: u64, amount: u64) -> Used {
    Used { requests, input_tokens: 3, output_tokens: 1, amount: NanoUsd(amount) }
}

#[tokio::test]
async fn concurrent_calls_never_pass_a_limit() {
    let (client, acme) = (dynamodb().await, context("acme", "retail"));
    onboard(&client, &acme).await;
    // Ten instances that share nothing but the table.
    let instances: Vec<_> = (0..10).map(|_| ledger(&client)).collect();
    let gate = acme_gate(vec![cap(Metric::Cost, Some(Period::Month), 1_050)]);
    let want = reservation(&acme, 100, 10, NOON);
    let ids: Vec<RecordId> = (0..40).map(|number| id(&format!("call-{number}"))).collect();
    let answers = join_all(
        ids.iter()
            .enumerate()
            .map(|(number, id)| instances[number % 10].reserve(&acme, &gate, id, &want)),
    )
    .await;
    let admitted = answers.iter().filter(|answer| matches!(answer, Ok(Ok(_)))).count();
    let denied = answers
        .iter()
        .filter(|answer| matches!(answer, Ok(Err(Denial::Exceeded { used: 1_000, .. }))))
        .count();
    assert_eq!((admitted, denied), (10, 30));
    let meter = instances[0].meter(&gate.meter).await.unwrap().unwrap();
    let reserved = meter.reserved(&Calendar::utc(), MONEY);
    assert_eq!((meter.counters.get(MONEY), reserved, meter.open.len()), (1_000, 1_000, 10));
}

#[tokio::test]
async fn a_meter_that_is_not_the_tenants_own_is_made_by_the_first_call() {
    let (client, acme) = (dynamodb().await, context("acme", "retail"));
    let instances: Vec<_> = (0..4).map(|_| ledger(&client)).collect();
    for text in [
        "org",
        "lob=retail family=claude shard=1.2",
        "tenant=acme project=web-shop",
        "tenant=acme principal=u#1 model=m:0/x",
    ] {
        let meter = text.parse::<Held>().unwrap().meter;
        let caps =
            vec![cap(Metric::Requests, Some(Period::Day), 3), cap(Metric::Concurrency, None, 2)];
        let gate = Gate { meter, caps, entitlement_version: None };
        let want = reservation(&acme, 100, 10, NOON);
        let ids: Vec<RecordId> = (0..8).map(|number| id(&format!("call-{number}"))).collect();
        let answers = join_all(
            ids.iter()
                .zip(instances.iter().cycle())
                .map(|(id, it)| it.reserve(&acme, &gate, id, &want)),
        )
        .await;
        let admitted: Vec<_> =
            answers.iter().zip(&ids).filter(|(it, _)| it.as_ref().unwrap().is_ok()).collect();
        assert_eq!(admitted.len(), 2, "{text}: as many as may run at the same time");
        assert!(instances[0].settle(&gate.meter, admitted[0].1, used(1, 7)).await.unwrap());
        let next = instances[1].reserve(&acme, &gate, &id("call-8"), &want).await.unwrap();
        assert!(next.is_ok(), "{text}: {next:?}");
        instances[0].settle(&gate.meter, &id("call-8"), used(1, 7)).await.unwrap();
        let last = instances[2].reserve(&acme, &gate, &id("call-9"), &want).await.unwrap();
        assert!(matches!(last, Err(Denial::Exceeded { used: 3, .. })), "{text}: {last:?}");
    }
    let mut meters = instances[0].meters().await.unwrap();
    meters.sort();
    assert_eq!(meters.len(), 4, "the sweep finds each of them");
}

#[tokio::test]
async fn what_the_sweep_needs_of_a_call_is_kept_beside_its_reservations() {
    let (client, acme) = (dynamodb().await, context("acme", "retail"));
    let ledger = ledger(&client);
    let detail = CallDetail {
        scopes: 2,
        lob_id: acme.lob_id.clone(),
        principal_id: acme.principal.id.clone(),
        principal_kind: acme.principal.kind,
        project_id: Some("web-shop".parse().unwrap()),
        tags: BTreeMap::from([("cost-center".to_owned(), "42".to_owned())]),
        priority_class: PriorityClass::Batch,
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
        profile_scope: ProfileScope::Global,
        service_tier: ServiceTier::Priority,
        price_version: "2026-11".into(),
        is_priced: true,
        images: 1,
        search_units: 2,
        guardrail_units: 0,
        started_ms: NOON.start_ms(),
        shadow_of: Some("call-0".into()),
    };
    let (first, deadline_ms) = (id("call-1"), NOON.start_ms() + 900_000);
    for _ in 0..2 {
        ledger.put_detail(&acme, &first, &detail, deadline_ms).await.unwrap();
    }
    assert_eq!(ledger.detail(&acme.tenant_id, &first).await.unwrap(), Some(detail));
    assert_eq!(ledger.detail(&acme.tenant_id, &id("call-2")).await.unwrap(), None);
    let item = client.get_item().table_name(crate::support::TABLE);
    let item = item
        .key("PK", AttributeValue::S("TENANT#acme#USAGE#1".into()))
        .key("SK", AttributeValue::S("OPEN#call-1#1".into()));
    let item = item.send().await.unwrap().item.unwrap();
    let expires_at: i64 = item["expires_at"].as_n().unwrap().parse().unwrap();
    assert_eq!(expires_at, deadline_ms / 1_000 + 2 * 86_400, "it goes by itself");
}

#[tokio::test]
async fn a_repeated_reservation_counts_once() {
    let (client, acme) = (dynamodb().await, context("acme", "retail"));
    onboard(&client, &acme).await;
    let (ledger, gate) = (ledger(&client), acme_gate(vec![]));
    for _ in 0..3 {
        let want = reservation(&acme, 100, 10, NOON);
        ledger.reserve(&acme, &gate, &id("call-1"), &want).await.unwrap().unwrap();
    }
    let meter = ledger.meter(&gate.meter).await.unwrap().unwrap();
    assert_eq!((meter.counters.get(REQUESTS), meter.counters.get(MONEY)), (1, 100));
}

#[tokio::test]
async fn a_suspension_and_a_changed_allowlist_hold_on_the_next_call() {
    let (client, acme) = (dynamodb().await, context("acme", "retail"));
    onboard(&client, &acme).await;
    let (ledger, gate) = (ledger(&client), acme_gate(vec![]));
    let want = reservation(&acme, 1, 1, NOON);
    let reserve = async |gate: &Gate, call: &str| {
        ledger.reserve(&acme, gate, &id(call), &want).await.unwrap().map(|_| ())
    };
    let set = async |name: &str, value: AttributeValue| {
        let update = client.update_item().table_name(crate::support::TABLE);
        update
            .update_expression("SET #name = :value")
            .key("PK", AttributeValue::S("TENANT#acme".into()))
            .key("SK", AttributeValue::S("METER".into()))
            .expression_attribute_names("#name", name)
            .expression_attribute_values(":value", value)
            .send()
            .await
            .unwrap();
    };
    reserve(&gate, "call-1").await.unwrap();
    set("entitlement_version", AttributeValue::N("2".into())).await;
    assert_eq!(reserve(&gate, "call-2").await, Err(Denial::Stale));
    let newer = Gate { entitlement_version: Some(2), ..gate.clone() };
    reserve(&newer, "call-2").await.unwrap();
    set("status", AttributeValue::S("suspended".into())).await;
    assert_eq!(reserve(&newer, "call-3").await, Err(Denial::Suspended));

    // Resumed in the configuration, and the function died before it told the meter.
    let resumed = Gate { entitlement_version: Some(3), ..gate.clone() };
    reserve(&resumed, "call-4").await.unwrap();
    assert_eq!(reserve(&newer, "call-5").await, Err(Denial::Stale), "and now all know");
    let unknown = crate::support::gate(Scope::Tenant("globex".parse().unwrap()), vec![]);
    assert_eq!(reserve(&unknown, "call-6").await, Err(Denial::Unknown));
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
    let others = ledger.record(&"globex".parse().unwrap(), &first.id).await.unwrap();
    assert_eq!(others, None, "another tenant's");
}

/// As it was written before a call could have attempts, aliases, pictures and projects.
#[tokio::test]
async fn a_record_of_schema_1_can_be_read() {
    let (client, acme) = (dynamodb().await, context("acme", "retail"));
    let ledger = ledger(&client);
    let first = record(&acme, "call-1");
    ledger.put_record(&acme, &first).await.unwrap();
    client
        .update_item()
        .table_name(crate::support::TABLE)
        .key("PK", AttributeValue::S("TENANT#acme#USAGE#1".into()))
        .key("SK", AttributeValue::S("USAGE#call-1#1".into()))
        .update_expression(
            "SET requested_model = :model REMOVE model, route, is_cache_hit, project_id, tags, \
             priority_class, profile_scope, service_tier, is_priced, uncached_cost_nanousd, meters",
        )
        .expression_attribute_values(":model", AttributeValue::S("model-b".into()))
        .send()
        .await
        .unwrap();
    let old = UsageRecord {
        choice: ModelChoice::of("model-b".parse().unwrap()),
        project_id: None,
        tags: BTreeMap::new(),
        priority_class: PriorityClass::Standard,
        profile_scope: ProfileScope::InRegion,
        service_tier: ServiceTier::Default,
        uncached_cost_nanousd: NanoUsd::ZERO,
        meters: vec![],
        ..first.clone()
    };
    assert_eq!(ledger.record(&acme.tenant_id, &first.id).await.unwrap(), Some(old));
}

#[tokio::test]
async fn the_sweep_finds_every_meter() {
    let client = dynamodb().await;
    for (tenant, lob) in [("acme", "retail"), ("globex", "markets")] {
        onboard(&client, &context(tenant, lob)).await;
    }
    let mut meters = ledger(&client).meters().await.unwrap();
    meters.sort();
    let names: Vec<String> = meters.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["lob=markets", "lob=retail", "tenant=acme", "tenant=globex"]);
}

#[tokio::test]
async fn attempts_of_one_call_settle_apart() {
    let (client, acme) = (dynamodb().await, context("acme", "retail"));
    onboard(&client, &acme).await;
    let gate = acme_gate(vec![cap(Metric::Requests, Some(Period::Minute), 1)]);
    let ledger = ledger(&client);
    let (first, second) = (id("call-1"), RecordId { attempt: 2, ..id("call-1") });
    let want = reservation(&acme, 100, 10, NOON);
    ledger.reserve(&acme, &gate, &first, &want).await.unwrap().unwrap();
    let denied = ledger.reserve(&acme, &gate, &second, &want).await.unwrap();
    assert!(matches!(denied, Err(Denial::Exceeded { .. })), "{denied:?}");
    let retry = Reservation { requests: 0, ..want.clone() };
    ledger.reserve(&acme, &gate, &second, &retry).await.unwrap().unwrap();

    let tokens = Counter { metric: Metric::TotalTokens, period: Period::Minute };
    for delivery in 0..2 {
        let was_open = ledger.settle(&gate.meter, &second, used(0, 30)).await.unwrap();
        assert_eq!(was_open, delivery == 0);
        let meter = ledger.meter(&gate.meter).await.unwrap().unwrap();
        let counts = [REQUESTS, tokens, MONEY].map(|counter| meter.counters.get(counter));
        assert_eq!(counts, [1, 14, 130]);
        assert_eq!(meter.open.into_keys().collect::<Vec<_>>(), ["call-1-1"]);
    }
    ledger.close(&acme, &gate.meter, &first, &want, Used::NOTHING).await.unwrap();
    let meter = ledger.meter(&gate.meter).await.unwrap().unwrap();
    assert_eq!([REQUESTS, MONEY].map(|counter| meter.counters.get(counter)), [0, 30]);
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
    let utc = Calendar::utc();
    let caps = vec![
        cap(Metric::Concurrency, None, 12),
        cap(Metric::Requests, Some(Period::Minute), 8),
        cap(Metric::InputTokens, Some(Period::Hour), 200),
        cap(Metric::TotalTokens, Some(Period::Minute), 150),
        cap(Metric::TotalTokens, Some(Period::Day), 400),
        cap(Metric::Cost, Some(Period::Week), 700),
        cap(Metric::Cost, Some(Period::Month), 1_000),
        cap(Metric::Cost, Some(Period::Total), 9_000),
    ];
    let client = dynamodb().await;
    for seed in 0..12 {
        let acme = context(&format!("acme-{seed}"), "retail");
        onboard(&client, &acme).await;
        let gate = gate(Scope::Tenant(acme.tenant_id.clone()), caps.clone());
        let instances = [ledger(&client), ledger(&client)];
        let (mut random, mut model, mut now) = (Random(seed), Meter::new(Status::Active, 1), NOON);
        for number in 0..60 {
            let instance = &instances[usize::try_from(random.below(2)).unwrap()];
            let picked = model.open.keys().nth(usize::try_from(random.below(5)).unwrap());
            let picked = picked.and_then(|key| RecordId::from_open_key(key));
            match (random.below(10), picked) {
                (0, _) => {
                    let wait = [1, 60, 1_440, 8 * 1_440, 20 * 1_440];
                    now = Minute(now.0 + wait[usize::try_from(random.below(5)).unwrap()]);
                }
                (1..=3, Some(id)) => {
                    let used = Used {
                        requests: u64::from(id.attempt == 1),
                        input_tokens: random.below(30),
                        output_tokens: random.below(30),
                        amount: NanoUsd(random.below(200)),
                    };
                    assert!(instance.settle(&gate.meter, &id, used).await.unwrap());
                    assert!(!instance.settle(&gate.meter, &id, used).await.unwrap(), "once");
                    model.settle(&utc, &id, used);
                }
                (4, Some(id)) => {
                    let open = model.open[&id.open_key()].clone();
                    instance.close(&acme, &gate.meter, &id, &open, Used::NOTHING).await.unwrap();
                    model.settle(&utc, &id, Used::NOTHING);
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
                    let answer = instance.reserve(&acme, &gate, &id, &want).await.unwrap();
                    let expected = model.decide(&utc, &gate, &want).map(|roll| {
                        model.reserve(&gate, roll, &id, want.clone());
                        model.standing(&utc, want.minute)
                    });
                    assert_eq!(answer, expected, "seed {seed}, step {number}");
                }
            }
            assert_eq!(
                instance.meter(&gate.meter).await.unwrap(),
                Some(model.clone()),
                "seed {seed}, step {number}"
            );
        }
    }
}
