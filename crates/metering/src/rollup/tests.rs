//! Sums do not depend on how records are cut into batches.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::{ModelChoice, RecordId};

/// A record of one of two tenants, three models and a few terms.
fn record() -> impl Strategy<Value = UsageRecord> {
    let who = (select(vec!["acme", "globex"]), select(vec!["dev-1", "dev-2"]));
    let what = (select(vec!["model-a", "model-b", "model-c"]), proptest::bool::ANY);
    let usage = proptest::array::uniform10(0..1_000_000_u64);
    let outcomes =
        [Outcome::Completed, Outcome::Refused, Outcome::Failed, Outcome::Abandoned].to_vec();
    let facts = (select(outcomes), proptest::array::uniform4(proptest::bool::ANY));
    let numbers = (1..3_u32, 0..u64::MAX / 4096, 0..u64::MAX / 4096, 0..900_000_u64);
    (who, what, usage, facts, numbers).prop_map(
        |((tenant, principal), (model, is_flex), usage, (outcome, facts), numbers)| {
            let [input, output, cache_read, short, long, images, ..] = usage;
            let [is_streamed, is_cache_hit, is_estimated, is_priced] = facts;
            let (attempt, cost, uncached, latency_ms) = numbers;
            UsageRecord {
                schema: UsageRecord::SCHEMA,
                id: RecordId { call_id: "call".to_owned(), attempt },
                tenant_id: tenant.parse().unwrap(),
                lob_id: "retail".parse().unwrap(),
                principal_id: principal.to_owned().try_into().unwrap(),
                principal_kind: tenancy::PrincipalKind::User,
                project_id: is_flex.then(|| "web-shop".parse().unwrap()),
                tags: BTreeMap::new(),
                priority_class: tenancy::PriorityClass::default(),
                started_ms: 0,
                dialect: "openai.chat_completions".to_owned(),
                choice: ModelChoice::of(model.parse().unwrap()),
                provider_model_id: format!("vendor.{model}"),
                provider: "aws.bedrock".to_owned(),
                region: "us-east-1".to_owned(),
                profile_scope: ProfileScope::Geo,
                service_tier: if is_flex { ServiceTier::Flex } else { ServiceTier::Default },
                provider_request_id: None,
                is_streamed,
                is_cache_hit,
                usage: TokenUsage {
                    input,
                    output,
                    cache_read,
                    cache_write_5m: short,
                    cache_write_1h: long,
                    images,
                    ..TokenUsage::default()
                },
                is_estimated,
                price_version: "2026-11".to_owned(),
                is_priced,
                cost_nanousd: NanoUsd(cost),
                uncached_cost_nanousd: NanoUsd(uncached),
                reserved_nanousd: NanoUsd(cost),
                outcome,
                latency_ms,
                time_to_first_token_ms: None,
                gateway_ms: latency_ms / 100,
                meters: Vec::new(),
                shadow_of: None,
            }
        },
    )
}

proptest! {
    #[test]
    fn any_partition_into_batches_merges_to_the_same_sums(
        records in proptest::collection::vec((record(), 0..5_usize), 0..60),
    ) {
        let whole: Rollups = records.iter().map(|(record, _)| record).collect();
        let mut merged = Rollups::default();
        for batch in 0..5 {
            let of_batch = records.iter().filter(|(_, it)| *it == batch).map(|(record, _)| record);
            for (key, rollup) in &of_batch.collect::<Rollups>().0 {
                merged.merge(key, rollup);
            }
        }
        prop_assert_eq!(&merged, &whole);
        let total = whole.total();
        let cost = records.iter().map(|(record, _)| u128::from(record.cost_nanousd.0)).sum::<u128>();
        prop_assert_eq!(u128::from(total.cost_nanousd.0), cost);
        prop_assert_eq!(total.attempts, records.len() as u64);
        let outcomes = total.completed + total.refused + total.failed + total.abandoned;
        prop_assert_eq!(outcomes, total.attempts);
        let tokens: u64 = records.iter().map(|(record, _)| record.usage.total()).sum();
        prop_assert_eq!(total.usage.total(), tokens);
    }

    #[test]
    fn sums_and_keys_read_as_they_were_written(record in record()) {
        let (key, rollup) = (RollupKey::of(&record), Rollup::of(&record));
        let text = serde_json::to_string(&(&key, &rollup)).unwrap();
        prop_assert_eq!(serde_json::from_str::<(RollupKey, Rollup)>(&text).unwrap(), (key, rollup));
    }
}

#[test]
fn an_amount_too_large_does_not_become_a_small_one() {
    let most = Rollup { cost_nanousd: NanoUsd(u64::MAX), ..Rollup::default() };
    let mut sum = most;
    sum.merge(&most);
    assert_eq!(sum.cost_nanousd, NanoUsd(u64::MAX));
}
