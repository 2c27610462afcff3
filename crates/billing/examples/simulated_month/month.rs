//! Who calls what in the simulated month.

use std::collections::BTreeMap;

use billing::{Account, EntryKind, LedgerEntry, SignedNanoUsd, Span};
use metering::{
    ModelChoice, NanoUsd, Outcome, PriceBook, PriceTerms, ProfileScope, RecordId, ServiceTier,
    TokenUsage, UsageRecord,
};
use tenancy::{ModelId, PrincipalKind, PriorityClass, TenantId};

use crate::Failure;

pub(crate) const TENANTS: u64 = 200;
pub(crate) const LOBS: [&str; 4] = ["retail", "markets", "claims", "research"];
const MODELS: usize = 20;

/// 2026-11-01T00:00:00+05:30: a month that begins at half past of UTC.
const START_MS: i64 = 1_793_491_200_000 - 19_800_000;
const DAY_MS: i64 = 86_400_000;

pub(crate) fn november() -> Result<Span, Failure> {
    let (start_ms, end_ms) = (START_MS, START_MS + 30 * DAY_MS);
    Ok(Span { period: "2026-11".parse()?, time_zone: "Asia/Kolkata".to_owned(), start_ms, end_ms })
}

pub(crate) fn december() -> Result<Span, Failure> {
    let start_ms = START_MS + 30 * DAY_MS;
    Ok(Span { period: "2026-12".parse()?, start_ms, end_ms: start_ms + 31 * DAY_MS, ..november()? })
}

pub(crate) fn tenant(number: u64) -> Result<TenantId, Failure> {
    Ok(format!("tenant-{number:03}").parse()?)
}

pub(crate) fn lob_of(number: u64) -> &'static str {
    let index = usize::try_from(number % 4).unwrap_or_default();
    LOBS.get(index).copied().unwrap_or_default()
}

pub(crate) fn credit(account: Account) -> Result<LedgerEntry, Failure> {
    Ok(LedgerEntry {
        id: "goodwill-1".to_owned(),
        period: "2026-11".parse()?,
        account,
        kind: EntryKind::Credit,
        amount_nanousd: SignedNanoUsd(-1_234_567_891),
        reason: "Outage of 3 November".to_owned(),
        booked_by: "u-1".to_owned(),
        booked_ms: START_MS,
        refers_to: None,
        details: BTreeMap::new(),
    })
}

/// Numbers that look random and are the same in every run (`SplitMix64`).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn is(&mut self, percent: u64) -> bool {
        self.roll(100) < percent
    }
}

const TERMS: PriceTerms<'static> = PriceTerms {
    region: "us-east-1",
    profile_scope: ProfileScope::InRegion,
    service_tier: ServiceTier::Default,
};

/// What can be called, and what it costs.
pub(crate) struct Catalogue {
    book: PriceBook,
    models: Vec<ModelId>,
}

impl Catalogue {
    /// The models of the seed that have prices of tokens, and as many successors of theirs as make twenty.
    pub(crate) fn new() -> Result<Self, Failure> {
        let mut book: PriceBook =
            serde_json::from_str(include_str!("../../../../infra/seed/prices.json"))?;
        book.models.retain(|_, prices| prices.on(&TERMS).is_some_and(|price| price.input.0 > 0));
        let priced: Vec<_> =
            book.models.iter().map(|(model, prices)| (model.clone(), prices.clone())).collect();
        for (model, prices) in priced {
            if book.models.len() < MODELS {
                book.models.insert(format!("{model}-next").parse()?, prices);
            }
        }
        let models: Vec<ModelId> = book.models.keys().cloned().collect();
        if models.len() == MODELS {
            Ok(Self { book, models })
        } else {
            Err("not twenty models".into())
        }
    }

    /// The record of one call, made and priced as the gateway does.
    pub(crate) fn record(&self, dice: &mut Dice, number: u64) -> Result<UsageRecord, Failure> {
        let tenant_number = dice.roll(TENANTS);
        // A tenant uses eight of the models, each in two projects and outside of any.
        let model = usize::try_from(tenant_number * 3 + dice.roll(8))? % MODELS;
        let model = self.models.get(model).ok_or("no such model")?;
        let at_ms = START_MS + i64::try_from(dice.roll(30 * 86_400_000))?;
        let service_tier = if dice.is(33) { ServiceTier::Flex } else { ServiceTier::Default };
        let profile_scope = if dice.is(50) { ProfileScope::Geo } else { ProfileScope::InRegion };
        let terms = PriceTerms { profile_scope, service_tier, ..TERMS };
        let price = self.book.models.get(model).and_then(|prices| prices.on(&terms));
        let outcome = match dice.roll(100) {
            0..3 => Outcome::Refused,
            3..6 => Outcome::Failed,
            6 => Outcome::Abandoned,
            _ => Outcome::Completed,
        };
        let is_cache_hit = outcome == Outcome::Completed && dice.is(2);
        let usage = if is_cache_hit || outcome == Outcome::Refused {
            TokenUsage::default()
        } else {
            let cached = if dice.is(40) { dice.roll(40_000) } else { 0 };
            TokenUsage {
                input: dice.roll(12_000),
                output: dice.roll(2_000),
                cache_read: cached,
                cache_write_5m: cached / 10,
                cache_write_1h: cached / 50,
                ..TokenUsage::default()
            }
        };
        let project_id = match dice.roll(3) {
            0 => None,
            1 => Some("web-shop".parse()?),
            _ => Some("triage".parse()?),
        };
        let cost_nanousd = price.map_or(NanoUsd::ZERO, |price| price.cost(&usage));
        Ok(UsageRecord {
            schema: UsageRecord::SCHEMA,
            id: RecordId {
                call_id: format!("{at_ms:012x}7{number:019x}"),
                attempt: if dice.is(4) { 2 } else { 1 },
            },
            tenant_id: tenant(tenant_number)?,
            lob_id: lob_of(tenant_number).parse()?,
            principal_id: format!("u-{}", dice.roll(50)).try_into()?,
            principal_kind: PrincipalKind::User,
            project_id,
            tags: BTreeMap::from([("cost-centre".to_owned(), format!("cc-{tenant_number}"))]),
            priority_class: PriorityClass::Standard,
            started_ms: at_ms,
            dialect: "openai.chat_completions".to_owned(),
            choice: ModelChoice::of(model.clone()),
            provider_model_id: format!("us.{model}-v1:0"),
            provider: "aws.bedrock".to_owned(),
            region: "us-east-1".to_owned(),
            profile_scope,
            service_tier,
            provider_request_id: Some(format!("{number:032x}")),
            is_streamed: dice.is(70),
            is_cache_hit,
            usage,
            is_estimated: outcome == Outcome::Abandoned,
            price_version: self.book.version.clone(),
            is_priced: price.is_some(),
            cost_nanousd,
            uncached_cost_nanousd: price
                .map_or(NanoUsd::ZERO, |price| price.cost(&usage.uncached())),
            reserved_nanousd: NanoUsd(cost_nanousd.0 * 3),
            outcome,
            latency_ms: 200 + dice.roll(9_000),
            time_to_first_token_ms: Some(150),
            gateway_ms: 4,
            meters: vec![format!("tenant={tenant_number}")],
            shadow_of: None,
        })
    }
}
