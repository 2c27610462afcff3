//! What a call of one tenant writes to the ledger, in DynamoDB's write units, at several rates.
//!
//! Items are made by the same types as in production and measured as DynamoDB bills them: the UTF-8
//! bytes of names and values, a number about one byte per two digits and one, three for a map or list
//! and one for each of its entries (Amazon DynamoDB Developer Guide, "DynamoDB item sizes and formats").
//! A write costs a unit for each KiB of the item, the whole item, however little of it changes.
//!
//! `cargo run -p store-dynamodb --example write_cost`

#![expect(clippy::print_stdout, reason = "it is what an example is for")]
#![expect(clippy::unwrap_used, reason = "an example stops at the first surprise")]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sizes and rates are small"
)]

use std::collections::{BTreeMap, HashMap};

use admission::{Calendar, CallDetail, Gate, Meter, MeterRef, Minute, Part, Reservation, Scope};
use aws_sdk_dynamodb::types::AttributeValue;
use metering::{
    ModelChoice, NanoUsd, Outcome, ProfileScope, RecordId, ServiceTier, TokenUsage, UsageRecord,
};
use tenancy::{PrincipalKind, PriorityClass, Status};

/// A call reserves for so long: the answer, and what the ledger's stream takes to settle it.
const SECONDS_OPEN: f64 = 6.0;

/// Dollars per million write units on demand in us-east-1.
const PRICE_PER_MILLION: f64 = 0.625;

fn size(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(digits) => digits.len().div_ceil(2) + 1,
        AttributeValue::L(items) => 3 + items.iter().map(|item| 1 + size(item)).sum::<usize>(),
        AttributeValue::M(items) => {
            3 + items.iter().map(|(name, item)| 1 + name.len() + size(item)).sum::<usize>()
        }
        _ => 1,
    }
}

fn units(item: &HashMap<String, AttributeValue>, key: usize) -> usize {
    let bytes = key + item.iter().map(|(name, value)| name.len() + size(value)).sum::<usize>();
    bytes.div_ceil(1_024).max(1)
}

fn reservation() -> Reservation {
    Reservation {
        tenant_id: "acme-web-shop".parse().unwrap(),
        amount_nanousd: NanoUsd(61_440_000),
        input_tokens: 12_000,
        output_tokens: 4_096,
        requests: 1,
        minute: Minute(29_923_920),
        deadline_ms: 1_795_436_160_000,
        part: Part::WHOLE,
    }
}

fn detail() -> CallDetail {
    CallDetail {
        scopes: 2,
        lob_id: "retail".parse().unwrap(),
        principal_id: "0b5f9c5e-3f0a-4d0e-9d4e-1c8c1d1f7a10".to_owned().try_into().unwrap(),
        principal_kind: PrincipalKind::Machine,
        project_id: Some("web-shop".parse().unwrap()),
        tags: BTreeMap::from([("cost-center".to_owned(), "4711".to_owned())]),
        priority_class: PriorityClass::Standard,
        choice: ModelChoice::of("claude-sonnet-4-5".parse().unwrap()),
        provider_model_id: "us.anthropic.claude-sonnet-4-5-20250929-v1:0".to_owned(),
        provider: "aws.bedrock".to_owned(),
        dialect: "openai.chat_completions".to_owned(),
        is_streamed: true,
        region: "us-east-1".to_owned(),
        profile_scope: ProfileScope::Geo,
        service_tier: ServiceTier::Default,
        price_version: "2026-11-01".to_owned(),
        is_priced: true,
        images: 0,
        search_units: 0,
        guardrail_units: 0,
        started_ms: 1_795_435_260_000,
        shadow_of: None,
    }
}

/// The units of one write to a meter that holds `open` reservations.
fn meter_units(open: usize) -> usize {
    let gate = Gate {
        meter: MeterRef::of(Scope::Tenant("acme-web-shop".parse().unwrap())),
        caps: vec![],
        entitlement_version: Some(7),
    };
    let mut meter = Meter::new(Status::Active, 7);
    for number in 0..open {
        let id = RecordId::first(format!("0198f0c2a7b37d1e8f00{number:012x}"));
        let wanted = reservation();
        let roll = meter.decide(&Calendar::utc(), &gate, &wanted).unwrap();
        meter.reserve(&gate, roll, &id, wanted);
    }
    units(&serde_dynamo::to_item(&meter).unwrap(), 60)
}

fn record_units() -> usize {
    let detail = detail();
    let record = UsageRecord {
        schema: UsageRecord::SCHEMA,
        id: RecordId::first("0198f0c2a7b37d1e8f00000000000001"),
        tenant_id: "acme-web-shop".parse().unwrap(),
        lob_id: detail.lob_id,
        principal_id: detail.principal_id,
        principal_kind: detail.principal_kind,
        project_id: detail.project_id,
        tags: detail.tags,
        priority_class: detail.priority_class,
        started_ms: detail.started_ms,
        dialect: detail.dialect,
        choice: detail.choice,
        provider_model_id: detail.provider_model_id,
        provider: detail.provider,
        region: detail.region,
        profile_scope: detail.profile_scope,
        service_tier: detail.service_tier,
        provider_request_id: Some("0b5f9c5e-3f0a-4d0e-9d4e-1c8c1d1f7a10".to_owned()),
        is_streamed: true,
        is_cache_hit: false,
        usage: TokenUsage { input: 3_000, output: 700, ..TokenUsage::default() },
        is_estimated: false,
        price_version: detail.price_version,
        is_priced: true,
        cost_nanousd: NanoUsd(19_500_000),
        uncached_cost_nanousd: NanoUsd(19_500_000),
        reserved_nanousd: NanoUsd(61_440_000),
        outcome: Outcome::Completed,
        latency_ms: 5_000,
        time_to_first_token_ms: Some(700),
        gateway_ms: 6,
        meters: vec![
            "tenant=acme-web-shop shard=1.7".to_owned(),
            "lob=retail shard=1.3".to_owned(),
        ],
        shadow_of: None,
    };
    units(&serde_dynamo::to_item(&record).unwrap(), 90)
}

fn main() {
    println!(
        "| calls/s of one tenant | shards | open in a shard | reserve + settle in a scope | note | record | units a call | dollars a million calls |"
    );
    println!("|--:|--:|--:|--:|--:|--:|--:|--:|");
    let note = HashMap::from([(
        "detail".to_owned(),
        AttributeValue::S(serde_json::to_string(&detail()).unwrap()),
    )]);
    let note = units(&note, 120);
    for (rate, shards) in [(1, 1), (10, 1), (100, 1), (100, 64), (1_000, 64), (1_000, 512)] {
        let open = ((f64::from(rate) * SECONDS_OPEN / f64::from(shards)).ceil() as usize).max(1);
        let scope = 2 * meter_units(open);
        let record = record_units();
        // A tenant's own meter and its line of business', which has as many shards.
        let sum = 2 * scope + note + record;
        println!(
            "| {rate} | {shards} | {open} | {scope} | {note} | {record} | {sum} | {:.2} |",
            sum as f64 * PRICE_PER_MILLION
        );
    }
}
