//! The report of a month.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tenancy::TenantId;

use crate::amount::Amount;
use crate::class::{Terms, TokenClass};
use crate::compare::{Sides, rows};
use crate::policy::{Policy, Reason};

/// Why a part of a difference is put down to its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Records and the log of invocations show it, call by call.
    Records,
    /// The bill itself shows it.
    Bill,
    /// It fits the sums, and nothing contradicts it.
    Inferred,
}

/// A part of a difference, with one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Why.
    pub reason: Reason,
    /// How much the provider bills more, in USD.
    pub amount: Amount,
    /// How much the provider counts more, in units.
    pub quantity: i128,
    /// How one knows.
    pub evidence: Evidence,
    /// Calls, where they were counted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub calls: u64,
    /// Some of them, by the provider's request id or the record's id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<String>,
}

impl Part {
    pub(crate) fn new(reason: Reason, quantity: i128, evidence: Evidence) -> Self {
        Self { reason, amount: Amount::ZERO, quantity, evidence, calls: 0, samples: Vec::new() }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The day, in UTC.
    pub day: Date,
    /// Whose usage; none if it is no tenant's.
    pub tenant_id: Option<TenantId>,
    /// The ARN of who called, if that is no tenant.
    pub principal: Option<String>,
    /// The foundation model's id.
    pub model: Option<String>,
    /// Of what.
    pub class: Option<TokenClass>,
    /// The bill's words, for what could not be compared.
    pub usage_type: Option<String>,
    /// On what terms; none if the sides do not agree on them.
    pub terms: Option<Terms>,
    /// Units in the ledger.
    pub ledger_quantity: i128,
    /// Units on the bill.
    pub provider_quantity: i128,
    /// What they cost in the ledger, in USD.
    pub ledger_cost: Amount,
    /// What they cost on the bill, in USD.
    pub provider_cost: Amount,
    /// What a unit cost in the ledger on average, in USD.
    pub ledger_unit_price: Option<Amount>,
    /// What a unit cost on the bill on average, in USD.
    pub provider_unit_price: Option<Amount>,
    /// Why they differ. The sum is the difference, exactly.
    pub parts: Vec<Part>,
}

impl Row {
    /// How much the provider bills more.
    pub fn difference(&self) -> Amount {
        self.provider_cost - self.ledger_cost
    }
}

/// A tenant's month, or what was no tenant's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Total {
    /// Whose; none for what is no tenant's.
    pub tenant_id: Option<TenantId>,
    /// What the ledger has, in USD.
    pub ledger_cost: Amount,
    /// What the bill has, in USD.
    pub provider_cost: Amount,
    /// The difference by reason. The sum is the difference, exactly.
    pub by_reason: BTreeMap<Reason, Amount>,
    /// The share of the bill that the ledger is off by, in basis points.
    pub difference_bp: u64,
    /// What nobody can explain or compare: the sum of its amounts, whatever their signs.
    pub residual: Amount,
    /// Its share of the bill in basis points, rounded up.
    pub residual_bp: u64,
    /// Whether the share is below the gate.
    pub is_within_gate: bool,
}

/// What a month's reconciliation found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The month, `2026-11`.
    pub period: String,
    /// When it was made.
    pub made_at: Timestamp,
    /// Which bill: a digest of the objects that were read.
    pub source_version: String,
    /// Which table of usage types.
    pub usage_types_version: String,
    /// What was tolerated.
    pub policy: Policy,
    /// Whether all days of the month are final.
    pub is_final: bool,
    /// Whether every total is within the gate.
    pub is_within_gate: bool,
    /// Records compared.
    pub records: u64,
    /// Of these, those whose cost is not what their price list says.
    pub unpriced_records: u64,
    /// Lines of the bill about Bedrock.
    pub bill_lines: u64,
    /// Records that the log of invocations bears out entirely.
    pub matched_records: u64,
    /// Days and Regions that there is a log of invocations of.
    pub logged_days: u64,
    /// By tenant.
    pub totals: Vec<Total>,
    /// What differs, except for roundings.
    pub rows: Vec<Row>,
}

/// What a report is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The month, `2026-11`.
    pub period: String,
    /// When it is made.
    pub now: Timestamp,
    /// Which bill.
    pub source_version: String,
    /// Which table of usage types.
    pub usage_types_version: String,
}

impl Report {
    /// Compares both sides.
    pub fn new(subject: Subject, sides: &Sides, policy: Policy) -> Self {
        let Subject { period, now, source_version, usage_types_version } = subject;
        let mut rows = rows(sides, &policy, now);
        let totals = totals(sides, &rows, &policy);
        // A fraction of a nano-USD is in the totals; a row for each would hide the others.
        rows.retain(|row| row.parts.iter().any(|part| part.reason != Reason::Rounding));
        let last_day =
            sides.ledger.cells.keys().chain(sides.provider.cells.keys()).map(|key| key.day);
        Self {
            is_final: last_day.max().is_none_or(|day| policy.is_final(day, now)),
            is_within_gate: totals.iter().all(|total| total.is_within_gate),
            records: sides.ledger.records,
            unpriced_records: sides.ledger.unpriced,
            bill_lines: sides.provider.lines,
            matched_records: sides.matches.matched.values().sum(),
            logged_days: u64::try_from(sides.matches.covered.len()).unwrap_or(u64::MAX),
            period,
            made_at: now,
            source_version,
            usage_types_version,
            policy,
            totals,
            rows,
        }
    }

    /// The rows as CSV, one line a part.
    pub fn to_csv(&self) -> Result<Vec<u8>, csv::Error> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(COLUMNS)?;
        for row in &self.rows {
            for part in &row.parts {
                writer.write_record(line(row, part))?;
            }
        }
        writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))
    }
}

const COLUMNS: [&str; 16] = [
    "day",
    "tenant_id",
    "principal",
    "model",
    "class",
    "usage_type",
    "ledger_quantity",
    "provider_quantity",
    "ledger_cost_usd",
    "provider_cost_usd",
    "ledger_unit_price_usd",
    "provider_unit_price_usd",
    "reason",
    "quantity",
    "amount_usd",
    "samples",
];

fn line(row: &Row, part: &Part) -> [String; 16] {
    fn text(value: Option<&impl ToString>) -> String {
        value.map(ToString::to_string).unwrap_or_default()
    }
    [
        row.day.to_string(),
        text(row.tenant_id.as_ref()),
        text(row.principal.as_ref()),
        text(row.model.as_ref()),
        text(row.class.as_ref()),
        text(row.usage_type.as_ref()),
        row.ledger_quantity.to_string(),
        row.provider_quantity.to_string(),
        row.ledger_cost.to_string(),
        row.provider_cost.to_string(),
        text(row.ledger_unit_price.as_ref()),
        text(row.provider_unit_price.as_ref()),
        part.reason.as_str().to_owned(),
        part.quantity.to_string(),
        part.amount.to_string(),
        part.samples.join(" "),
    ]
}

fn totals(sides: &Sides, rows: &[Row], policy: &Policy) -> Vec<Total> {
    let mut totals: BTreeMap<Option<TenantId>, Total> = BTreeMap::new();
    let mut of = |tenant_id: Option<&TenantId>, add: &mut dyn FnMut(&mut Total)| {
        let total = totals
            .entry(tenant_id.cloned())
            .or_insert_with(|| Total { tenant_id: tenant_id.cloned(), ..Total::default() });
        add(total);
    };
    for (key, on_terms) in &sides.ledger.cells {
        let cost = on_terms.values().map(|amount| amount.cost).sum();
        of(Some(&key.tenant_id), &mut |total| total.ledger_cost += cost);
    }
    for ((_, tenant_id), surplus) in &sides.ledger.rounding {
        of(Some(tenant_id), &mut |total| {
            total.ledger_cost += *surplus;
            *total.by_reason.entry(Reason::Rounding).or_default() += -*surplus;
        });
    }
    for (key, on_terms) in &sides.provider.cells {
        let cost = on_terms.values().map(|amount| amount.cost).sum();
        of(Some(&key.tenant_id), &mut |total| total.provider_cost += cost);
    }
    for (key, billed) in &sides.provider.others {
        of(key.tenant_id.as_ref(), &mut |total| total.provider_cost += billed.cost);
    }
    for row in rows {
        of(row.tenant_id.as_ref(), &mut |total| {
            for part in &row.parts {
                *total.by_reason.entry(part.reason).or_default() += part.amount;
                if part.reason.is_residual() {
                    total.residual += part.amount.abs();
                }
            }
        });
    }
    totals.into_values().map(|total| gated(total, policy)).collect()
}

fn gated(mut total: Total, policy: &Policy) -> Total {
    let difference = total.provider_cost - total.ledger_cost;
    // Of nothing there is no share: whatever differs then differs entirely.
    let whole =
        if total.provider_cost > Amount::ZERO { total.provider_cost } else { total.ledger_cost };
    total.difference_bp = basis_points(difference, whole);
    total.residual_bp = basis_points(total.residual, whole);
    total.is_within_gate = total.residual_bp < policy.gate_bp.into();
    total
}

/// `part` in ten-thousandths of `whole`, rounded up.
fn basis_points(part: Amount, whole: Amount) -> u64 {
    let (part, whole) = (part.0.unsigned_abs(), whole.0.unsigned_abs());
    if part == 0 {
        return 0;
    }
    let share = if whole == 0 { 10_000 } else { part.saturating_mul(10_000).div_ceil(whole) };
    u64::try_from(share).unwrap_or(u64::MAX)
}
