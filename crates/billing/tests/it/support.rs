//! Usage records and months to bill.

use std::collections::BTreeMap;

use billing::{
    Account, EntryKind, LedgerEntry, Plan, PlanInForce, SignedNanoUsd, Span, Statement, UsageLines,
};
use metering::{
    ModelChoice, NanoUsd, Outcome, ProfileScope, RecordId, ServiceTier, TokenUsage, UsageRecord,
};
use tenancy::PrincipalKind;

/// 2026-11-01T00:00:00Z
pub(crate) const NOVEMBER_MS: i64 = 1_793_491_200_000;
pub(crate) const DAY_MS: i64 = 86_400_000;

pub(crate) fn november() -> Span {
    Span {
        period: "2026-11".parse().unwrap(),
        time_zone: "UTC".to_owned(),
        start_ms: NOVEMBER_MS,
        end_ms: NOVEMBER_MS + 30 * DAY_MS,
    }
}

/// A call id of that moment.
pub(crate) fn call_id(at_ms: i64, number: u64) -> String {
    format!("{at_ms:012x}7{number:019x}")
}

pub(crate) fn record(
    tenant: &str,
    at_ms: i64,
    number: u64,
    model: &str,
    usage: TokenUsage,
    cost: u64,
) -> UsageRecord {
    UsageRecord {
        schema: UsageRecord::SCHEMA,
        id: RecordId::first(call_id(at_ms, number)),
        tenant_id: tenant.parse().unwrap(),
        lob_id: "retail".parse().unwrap(),
        principal_id: "u-1".to_owned().try_into().unwrap(),
        principal_kind: PrincipalKind::User,
        project_id: None,
        tags: BTreeMap::new(),
        priority_class: tenancy::PriorityClass::default(),
        started_ms: at_ms,
        dialect: "openai.chat_completions".to_owned(),
        choice: ModelChoice::of(model.parse().unwrap()),
        provider_model_id: model.to_owned(),
        provider: "aws.bedrock".to_owned(),
        region: "us-east-1".to_owned(),
        profile_scope: ProfileScope::default(),
        service_tier: ServiceTier::default(),
        provider_request_id: None,
        is_streamed: true,
        is_cache_hit: false,
        usage,
        is_estimated: false,
        price_version: "2026-11-01".to_owned(),
        is_priced: true,
        cost_nanousd: NanoUsd(cost),
        uncached_cost_nanousd: NanoUsd(cost),
        reserved_nanousd: NanoUsd(cost),
        outcome: Outcome::Completed,
        latency_ms: 10,
        time_to_first_token_ms: None,
        gateway_ms: 1,
        meters: Vec::new(),
        shadow_of: None,
    }
}

pub(crate) fn tokens(input: u64, output: u64) -> TokenUsage {
    TokenUsage { input, output, ..TokenUsage::default() }
}

pub(crate) fn entry(id: &str, kind: EntryKind, amount: i64) -> LedgerEntry {
    LedgerEntry {
        id: id.to_owned(),
        period: "2026-11".parse().unwrap(),
        account: "tenant=acme".parse().unwrap(),
        kind,
        amount_nanousd: SignedNanoUsd(amount),
        reason: "Outage of 3 November".to_owned(),
        booked_by: "u-1".to_owned(),
        booked_ms: NOVEMBER_MS,
        refers_to: None,
        details: BTreeMap::new(),
    }
}

pub(crate) fn statement(
    plan: &Plan,
    records: &[UsageRecord],
    entries: Vec<LedgerEntry>,
) -> Statement {
    let mut lines = UsageLines::new("acme".parse().unwrap(), november());
    for record in records {
        lines.add(record);
    }
    let plan = PlanInForce { plan: plan.clone(), of: Account::Org };
    Statement::new("acme".parse().unwrap(), "retail".parse().unwrap(), plan, lines, entries, 1)
        .unwrap()
}
