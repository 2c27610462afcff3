//! Corrections as entries of tenants' bills.

use std::collections::BTreeMap;

use billing::{Account, EntryKind, LedgerEntry, Month, SignedNanoUsd};
use jiff::Timestamp;

use crate::correction::{Correction, CorrectionKey};

/// Who books corrections.
const JOB: &str = "reconciliation";

/// What a run finds its entries again by.
const PERIOD: &str = "reconciled_period";
const DAY: &str = "day";
const MODEL: &str = "model";
const SEQUENCE: &str = "sequence";
const SOURCE_VERSION: &str = "source_version";
const BY_REASON: &str = "by_reason";

impl Correction {
    /// The entry on the statement of `open`, the tenant's open month.
    pub fn to_entry(&self, open: Month, now: Timestamp) -> LedgerEntry {
        let CorrectionKey { tenant_id, day, model } = &self.key;
        let reasons: Vec<_> = self.by_reason.keys().map(|reason| reason.as_str()).collect();
        let why = if reasons.is_empty() {
            "no difference any more".to_owned()
        } else {
            reasons.join(", ")
        };
        let details = [
            (PERIOD, self.period.clone()),
            (DAY, day.to_string()),
            (MODEL, model.clone()),
            (SEQUENCE, self.sequence.to_string()),
            (SOURCE_VERSION, self.source_version.clone()),
            (BY_REASON, serde_json::to_string(&self.by_reason).unwrap_or_default()),
        ];
        LedgerEntry {
            id: self.id.clone(),
            period: open,
            account: Account::Tenant(tenant_id.clone()),
            kind: EntryKind::Correction,
            amount_nanousd: SignedNanoUsd(self.amount_nanousd),
            reason: format!("{model} on {day}, as AWS bills it: {why}"),
            booked_by: JOB.to_owned(),
            booked_ms: now.as_millisecond(),
            refers_to: Some(format!("reconciliation of {}", self.period)),
            details: details.map(|(name, value)| (name.to_owned(), value)).into(),
        }
    }

    /// The correction that `entry` books; none if it books another thing.
    pub fn of_entry(entry: &LedgerEntry) -> Option<Self> {
        let Account::Tenant(tenant_id) = &entry.account else { return None };
        if entry.kind != EntryKind::Correction || entry.booked_by != JOB {
            return None;
        }
        let detail = |name: &str| entry.details.get(name);
        Some(Self {
            id: entry.id.clone(),
            period: detail(PERIOD)?.clone(),
            key: CorrectionKey {
                tenant_id: tenant_id.clone(),
                day: detail(DAY)?.parse().ok()?,
                model: detail(MODEL)?.clone(),
            },
            sequence: detail(SEQUENCE)?.parse().ok()?,
            amount_nanousd: entry.amount_nanousd.0,
            source_version: detail(SOURCE_VERSION)?.clone(),
            by_reason: serde_json::from_str(detail(BY_REASON)?).unwrap_or_else(|_| BTreeMap::new()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::Amount;
    use crate::policy::Reason;

    #[test]
    fn an_entry_can_be_booked_and_found_again() {
        let correction = Correction {
            id: "reconciliation:2026-11:00ff00ff00ff00ff00ff00ff00ff00ff:4294967295".into(),
            period: "2026-11".into(),
            key: CorrectionKey {
                tenant_id: "acme".parse().unwrap(),
                day: "2026-11-03".parse().unwrap(),
                model: "anthropic.claude-sonnet-4-5-20250929-v1:0".into(),
            },
            sequence: 4_294_967_295,
            amount_nanousd: -17,
            source_version: "ab".into(),
            by_reason: BTreeMap::from([
                (Reason::EstimatedRecords, Amount(-17_200)),
                (Reason::Duplicate, Amount(1)),
            ]),
        };
        let entry = correction.to_entry("2026-12".parse().unwrap(), Timestamp::UNIX_EPOCH);
        assert_eq!(entry.validate(), Ok(()));
        assert_eq!(
            entry.reason,
            "anthropic.claude-sonnet-4-5-20250929-v1:0 on 2026-11-03, as AWS bills it: estimated_records, duplicate"
        );
        assert_eq!(Correction::of_entry(&entry), Some(correction));
        assert_eq!(Correction::of_entry(&LedgerEntry { booked_by: "u-1".into(), ..entry }), None);
    }
}
