//! A month of calls, with the bill and the log that AWS would write for it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use metering::{PicoUsd, ServiceTier, TokenUsage, UsageRecord};
use reconciliation::fakes::{self, Call};
use reconciliation::{
    Amount, Consume, CsvBill, Gateway, Gunzip, LineItem, LogReader, Matcher, Policy, Reason,
    Report, Sides, Subject, TokenClass, UsageTypes,
};

pub(crate) const SONNET: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
pub(crate) const HAIKU: &str = "global.anthropic.claude-haiku-4-5-20251001-v1:0";
pub(crate) const NOVA: &str = "amazon.nova-pro-v1:0";
pub(crate) const EMBED: &str = "amazon.titan-embed-text-v2:0";
pub(crate) const TENANTS: [&str; 4] = ["acme", "globex", "initech", "umbrella"];
pub(crate) const NOW: &str = "2026-12-20T00:00:00Z";

/// Pico-USD per unit, near those of `infra/seed/prices.json`; half of it for flex.
pub(crate) fn price(record: &UsageRecord, class: TokenClass) -> Option<PicoUsd> {
    let of_default = match (record.provider_model_id.as_str(), class) {
        (SONNET, TokenClass::Input) => 3_300_000,
        (SONNET, TokenClass::Output) => 16_500_000,
        (SONNET, TokenClass::CacheRead) => 330_000,
        (SONNET, TokenClass::CacheWrite5m) => 4_125_000,
        (HAIKU, TokenClass::Input) => 1_000_000,
        (HAIKU, TokenClass::Output) => 5_000_000,
        (NOVA, TokenClass::Input) => 800_000,
        (NOVA, TokenClass::Output) => 3_200_000,
        // A token of it is no whole number of nano-USD, so that there is something to round.
        (EMBED, TokenClass::Input) => 20_011,
        _ => return None,
    };
    let is_flex = record.service_tier == ServiceTier::Flex;
    Some(PicoUsd(if is_flex { of_default / 2 } else { of_default }))
}

pub(crate) fn gateway() -> Gateway {
    Gateway::new("arn:aws:iam::123456789012:role/weir-TenantAccessRole-AB12CD").unwrap()
}

/// A generator of numbers that is the same everywhere (xorshift).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

pub(crate) fn time(day: u64, second: u64) -> Timestamp {
    let start: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
    let second = start.as_second() + i64::try_from((day - 1) * 86_400 + second).unwrap();
    Timestamp::from_second(second).unwrap()
}

/// A call, priced.
pub(crate) fn call(
    number: u64,
    tenant: &str,
    model: &str,
    at: Timestamp,
    usage: TokenUsage,
) -> UsageRecord {
    fakes::record(number, (tenant, model), at, usage, &price).unwrap()
}

pub(crate) fn tokens(input: u64, output: u64) -> TokenUsage {
    TokenUsage { input, output, ..TokenUsage::default() }
}

/// Ordinary traffic of the first 25 days, away from midnight.
pub(crate) fn traffic(count: u64) -> Vec<UsageRecord> {
    let mut random = Random(0x5EED);
    (0..count)
        .map(|number| {
            let tenant = TENANTS[usize::try_from(random.below(4)).unwrap()];
            let model = [SONNET, HAIKU, NOVA, EMBED][usize::try_from(random.below(4)).unwrap()];
            let at = time(1 + random.below(25), 3_600 + random.below(79_200));
            let mut usage = tokens(1 + random.below(20_000), 1 + random.below(2_000));
            match model {
                EMBED => usage.output = 0,
                SONNET => {
                    usage.cache_read = random.below(3) * 10_000;
                    usage.cache_write_5m = random.below(2) * 5_000;
                }
                _ => {}
            }
            let mut record = call(number, tenant, model, at, usage);
            if model == NOVA && random.below(2) == 0 {
                record.service_tier = ServiceTier::Flex;
                fakes::price(&mut record, &price);
            }
            record
        })
        .collect()
}

/// What the gateway wrote down, and what AWS saw.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) ledger: Vec<UsageRecord>,
    pub(crate) seen: Vec<Call>,
    /// Lines of the bill beside those of `seen`.
    pub(crate) extra: Vec<LineItem>,
    /// Tenant, model and day of which AWS takes another price, in percent.
    pub(crate) repriced: Option<(&'static str, &'static str, i64, u64)>,
    pub(crate) is_logged: bool,
    pub(crate) now: Timestamp,
}

impl World {
    pub(crate) fn of(ledger: Vec<UsageRecord>) -> Self {
        Self {
            seen: ledger.iter().map(Call::of).collect(),
            ledger,
            extra: Vec::new(),
            repriced: None,
            is_logged: true,
            now: NOW.parse().unwrap(),
        }
    }

    /// A call that both sides have.
    pub(crate) fn both(&mut self, record: UsageRecord) {
        self.seen.push(Call::of(&record));
        self.ledger.push(record);
    }

    pub(crate) fn bill(&self, usage_types: &UsageTypes) -> Vec<LineItem> {
        let prices = |record: &UsageRecord, class| {
            let price = price(record, class)?;
            let percent = match self.repriced {
                Some((tenant, model, day, percent))
                    if record.tenant_id.as_str() == tenant
                        && record.provider_model_id == model
                        && record.started_ms.div_euclid(86_400_000) == day =>
                {
                    percent
                }
                _ => 100,
            };
            Some(PicoUsd(price.0 * percent / 100))
        };
        let mut items = fakes::bill(&self.seen, &gateway(), usage_types, &prices);
        items.extend(self.extra.iter().cloned());
        items
    }

    /// Writes the files, reads them again, and compares.
    pub(crate) fn report(&self) -> Report {
        let policy = Policy::default();
        let usage_types = UsageTypes::built_in().unwrap();
        let mut sides = Sides::default();
        let mut matcher = Matcher::new(gateway(), policy.clone());
        for record in &self.ledger {
            sides.ledger.add(record, &price, &policy);
            matcher.add_record(record);
        }
        let items = self.bill(&usage_types);
        // An export comes in several files.
        for items in items.chunks(items.len() / 3 + 1) {
            let file = fakes::cur_csv_gz(items).unwrap();
            let add = |item: LineItem| sides.provider.add(&item, &usage_types, &gateway());
            read(&file, CsvBill::new(add));
        }
        if self.is_logged {
            let log = fakes::invocation_log_gz(&self.seen, &gateway()).unwrap();
            read(&log, LogReader::new(|invocation| matcher.add_invocation(invocation)));
            sides.matches = matcher.finish();
        }
        let subject = Subject {
            period: "2026-11".into(),
            now: self.now,
            source_version: "v1".into(),
            usage_types_version: usage_types.version.clone(),
        };
        let report = Report::new(subject, &sides, policy);
        check_sums(&report);
        report
    }
}

pub(crate) fn read(file: &[u8], consumer: impl Consume) {
    let mut gunzip = Gunzip::new(consumer);
    for piece in file.chunks(8_192) {
        gunzip.push(piece).unwrap();
    }
    gunzip.end().unwrap();
}

/// Explained and unexplained parts are the whole difference, of each row and of each tenant.
#[track_caller]
pub(crate) fn check_sums(report: &Report) {
    for row in &report.rows {
        let parts: Amount = row.parts.iter().map(|part| part.amount).sum();
        assert_eq!(parts, row.difference(), "{row:?}");
    }
    for total in &report.totals {
        let parts: Amount = total.by_reason.values().copied().sum();
        assert_eq!(parts, total.provider_cost - total.ledger_cost, "{total:?}");
    }
}

/// What was found: reason, tenant, model's vendor or usage type, day, class; quantity, amount.
pub(crate) type Found = BTreeMap<(Reason, String, String, i8, String), (i128, Amount)>;

pub(crate) fn found(report: &Report) -> Found {
    let mut found = Found::new();
    for row in &report.rows {
        for part in &row.parts {
            if part.reason == Reason::Rounding {
                continue;
            }
            let tenant = row.tenant_id.as_ref().map(ToString::to_string);
            let whose = tenant.or_else(|| row.principal.clone()).unwrap_or_default();
            let of = row.model.clone().or_else(|| row.usage_type.clone()).unwrap_or_default();
            let class = row.class.map(|class| class.to_string()).unwrap_or_default();
            let key = (part.reason, whose, of, row.day.day(), class);
            let entry = found.entry(key).or_default();
            entry.0 += part.quantity;
            entry.1 += part.amount;
        }
    }
    found
}

/// Expected entries of [`found`].
#[derive(Default)]
pub(crate) struct Expected(pub(crate) Found);

impl Expected {
    pub(crate) fn add(
        &mut self,
        reason: Reason,
        (whose, of, day): (&str, &str, i8),
        class: &str,
        quantity: i128,
        pico: i128,
    ) {
        let key = (reason, whose.into(), reconciliation::base_model(of).into(), day, class.into());
        let entry = self.0.entry(key).or_default();
        entry.0 += quantity;
        entry.1 += Amount(pico);
    }
}
