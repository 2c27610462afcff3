//! What the ledger gets booked so that it says what the bill does.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tenancy::TenantId;

use crate::amount::Amount;
use crate::policy::Reason;
use crate::report::Report;

/// What a correction is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CorrectionKey {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The day that was corrected, in UTC.
    pub day: Date,
    /// The foundation model's id.
    pub model: String,
}

/// An entry that corrects what a tenant was charged, booked into the month that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correction {
    /// Whether it is the same entry. An entry of this id is written once, whoever writes it.
    pub id: String,
    /// The month that was reconciled, `2026-11`.
    pub period: String,
    /// What it is of.
    #[serde(flatten)]
    pub key: CorrectionKey,
    /// Counts the entries of the month and key, from 1.
    pub sequence: u32,
    /// What to add to what the tenant was charged, in nano-USD; negative if it was too much.
    pub amount_nanousd: i64,
    /// The bill that says so.
    pub source_version: String,
    /// The whole correction so far, by reason, in USD.
    pub by_reason: BTreeMap<Reason, Amount>,
}

/// What was already booked of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Posted {
    /// Entries.
    pub entries: u32,
    /// Their sum in nano-USD.
    pub amount_nanousd: i64,
}

impl Posted {
    /// What `entries` add up to, by key.
    pub fn sum<'a>(
        entries: impl IntoIterator<Item = &'a Correction>,
    ) -> BTreeMap<CorrectionKey, Self> {
        let mut posted: BTreeMap<CorrectionKey, Self> = BTreeMap::new();
        for entry in entries {
            let of_key = posted.entry(entry.key.clone()).or_default();
            of_key.entries = of_key.entries.max(entry.sequence);
            of_key.amount_nanousd = of_key.amount_nanousd.saturating_add(entry.amount_nanousd);
        }
        posted
    }
}

/// The entries that are still to be booked, after `posted`.
///
/// Each brings what is booked of its key to what the report says: a newer bill adds the difference only, the
/// same bill adds nothing, and a key that needs no correction any more is taken back. An id counts the
/// entries of its key, so of two runs that both saw the same ones, one alone can write the next; the
/// other is to read again. Days that are not final are left alone.
pub fn corrections(report: &Report, posted: &BTreeMap<CorrectionKey, Posted>) -> Vec<Correction> {
    let mut wanted = wanted(report);
    for key in posted.keys() {
        // Of a day that was final once, nothing may be left to correct.
        if report.policy.is_final(key.day, report.made_at) {
            wanted.entry(key.clone()).or_default();
        }
    }
    wanted
        .into_iter()
        .filter_map(|(key, by_reason)| {
            let before = posted.get(&key).copied().unwrap_or_default();
            let whole: Amount = by_reason.values().copied().sum();
            let whole = i64::try_from(whole.to_nano()).ok()?;
            let amount_nanousd = whole.checked_sub(before.amount_nanousd)?;
            let sequence = before.entries.checked_add(1)?;
            (amount_nanousd != 0).then(|| Correction {
                id: id(&report.period, &key, sequence),
                period: report.period.clone(),
                key,
                sequence,
                amount_nanousd,
                source_version: report.source_version.clone(),
                by_reason,
            })
        })
        .collect()
}

/// What is to be booked in total, by key and reason.
fn wanted(report: &Report) -> BTreeMap<CorrectionKey, BTreeMap<Reason, Amount>> {
    let mut wanted: BTreeMap<CorrectionKey, BTreeMap<Reason, Amount>> = BTreeMap::new();
    for row in &report.rows {
        let (Some(tenant_id), Some(model)) = (&row.tenant_id, &row.model) else { continue };
        if !report.policy.is_final(row.day, report.made_at) {
            continue;
        }
        let key =
            CorrectionKey { tenant_id: tenant_id.clone(), day: row.day, model: model.clone() };
        for part in &row.parts {
            if report.policy.corrected.contains(&part.reason) {
                let by_reason = wanted.entry(key.clone()).or_default();
                *by_reason.entry(part.reason).or_default() += part.amount;
            }
        }
    }
    wanted
}

fn id(period: &str, key: &CorrectionKey, sequence: u32) -> String {
    let CorrectionKey { tenant_id, day, model } = key;
    let digest = Sha256::digest(format!("{period}|{tenant_id}|{day}|{model}"));
    let bytes = digest.first_chunk::<16>().copied().unwrap_or_default();
    let digest = u128::from_be_bytes(bytes);
    format!("reconciliation:{period}:{digest:032x}:{sequence}")
}

#[cfg(test)]
#[path = "correction_tests.rs"]
mod tests;
