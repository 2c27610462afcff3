//! Where rollups are, and what is noted about their making.

use std::fmt::Write as _;

use metering::{Granularity, RollupKey, UsagePeriod};
use sha2::{Digest, Sha256};
use tenancy::{ProjectId, TenantId};

use crate::key::{Key, key, tenant};

/// Sort key prefix of live rollups, which are of hours.
pub(super) const LIVE: &str = "LIVE";
/// Sort key prefix of marks.
const MARK: &str = "TENANT#";

/// The partition of a tenant's rollups.
pub(super) fn partition(tenant_id: &TenantId) -> String {
    format!("{}#ROLLUP", tenant(tenant_id))
}

/// Sort key prefix of final rollups.
pub(super) fn level(granularity: Granularity) -> &'static str {
    match granularity {
        Granularity::Hour => "HOUR",
        Granularity::Day => "DAY",
        Granularity::Month => "MONTH",
    }
}

/// The rollups of a kind from a period on: their sort keys order like their periods.
pub(super) fn from(level: &str, period: UsagePeriod) -> String {
    format!("{level}#{period}")
}

/// A rollup: `TENANT#acme#ROLLUP` / `HOUR#2026-11-25T14#<digest>`. What it is of can be longer than a
/// sort key, and holds what callers chose: only a digest of it is in the key.
pub(super) fn rollup(level: &str, period: UsagePeriod, of: &RollupKey) -> Key {
    let mut digest = Sha256::new();
    let project = of.project_id.as_ref().map(ProjectId::as_str).unwrap_or_default();
    for part in [
        of.lob_id.as_str(),
        project,
        of.principal_id.as_str(),
        of.model.as_str(),
        &of.provider,
        &of.region,
        of.service_tier.as_str(),
        of.profile_scope.as_str(),
        &of.price_version,
    ] {
        digest.update(part.len().to_be_bytes());
        digest.update(part);
    }
    let digest = digest.finalize().iter().fold(String::new(), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    });
    key(partition(&of.tenant_id), format!("{}#{digest}", from(level, period)))
}

/// The period whose rollup has that sort key.
pub(super) fn parse_period(sk: &str) -> Option<UsagePeriod> {
    sk.split('#').nth(1)?.parse().ok()
}

/// The partition of what is noted about a period: `PERIOD#2026-11-25T14`.
fn period(of: UsagePeriod) -> String {
    format!("PERIOD#{of}")
}

/// The mark of a tenant.
pub(super) fn mark(of: UsagePeriod, tenant_id: &TenantId) -> Key {
    key(period(of), format!("{MARK}{tenant_id}"))
}

/// The partition and the sort key prefix of all marks of a period.
pub(super) fn marks(of: UsagePeriod) -> (String, &'static str) {
    (period(of), MARK)
}

/// The tenant whose mark has that sort key.
pub(super) fn parse_mark(sk: &str) -> Option<TenantId> {
    sk.strip_prefix(MARK)?.parse().ok()
}

/// How far a period has been dealt with.
pub(super) fn progress(of: UsagePeriod) -> Key {
    key(period(of), "PROGRESS".to_owned())
}

/// What is noted about all of the lake.
pub(super) fn lake() -> Key {
    key("PERIOD#LAKE".to_owned(), "PROGRESS".to_owned())
}

/// The partition of periods that changed when nobody looked at them any more.
pub(super) const LATE: &str = "PERIOD#LATE";

/// One of them.
pub(super) fn late(of: UsagePeriod) -> Key {
    key(LATE.to_owned(), of.to_string())
}

#[cfg(test)]
mod tests {
    use metering::{ProfileScope, ServiceTier};

    use super::*;

    fn of(project: Option<&str>, provider: &str, region: &str) -> RollupKey {
        RollupKey {
            tenant_id: "acme".parse().unwrap(),
            lob_id: "retail".parse().unwrap(),
            project_id: project.map(|project| project.parse().unwrap()),
            principal_id: "dev#1".to_owned().try_into().unwrap(),
            model: "model-a".parse().unwrap(),
            provider: provider.to_owned(),
            region: region.to_owned(),
            service_tier: ServiceTier::Default,
            profile_scope: ProfileScope::InRegion,
            price_version: "2026-11".to_owned(),
        }
    }

    #[test]
    fn whatever_a_rollup_is_of_its_key_is_its_own_and_names_its_period() {
        let period = "2026-11-25T14".parse().unwrap();
        let keys = [
            of(None, "aws.bedrock", "us-east-1"),
            of(Some("web-shop"), "aws.bedrock", "us-east-1"),
            of(None, "aws.bedrockus", "-east-1"),
            of(None, "", "aws.bedrockus-east-1"),
        ];
        let keys: std::collections::BTreeSet<String> = keys
            .iter()
            .map(|of| {
                let key = rollup(LIVE, period, of);
                assert_eq!(key["PK"].as_s().unwrap(), "TENANT#acme#ROLLUP");
                key["SK"].as_s().unwrap().clone()
            })
            .collect();
        assert_eq!(keys.len(), 4);
        assert!(keys.iter().all(|key| parse_period(key) == Some(period)));
    }
}
