//! Where objects of the lake are.

use metering::{Granularity, UsagePeriod};
use tenancy::TenantId;

/// What every file of usage records is under.
pub const USAGE: &str = "usage/";

/// The folder of an hour: a partition of the table.
pub fn hour_prefix(hour: UsagePeriod) -> String {
    format!("{USAGE}dt={}/hour={:02}/", hour.date(), hour.hour())
}

/// The one file of a group of tenants in an hour. No name of a tenant is in it, so none can reach out of
/// its partition; who may read a lake may read all of it.
pub fn usage_key(hour: UsagePeriod, group: u32) -> String {
    format!("{}part-{group}.parquet", hour_prefix(hour))
}

/// The group whose file that is, if it is one of the hour's.
pub fn group_of_key(hour: UsagePeriod, key: &str) -> Option<u32> {
    let group = key.strip_prefix(&hour_prefix(hour))?.strip_prefix("part-")?;
    group.strip_suffix(".parquet")?.parse().ok()
}

/// Which of `groups` groups a tenant belongs to: always the same one.
pub fn group(tenant_id: &TenantId, groups: u32) -> u32 {
    // FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/): the same on every machine, which the
    // standard library's hashes do not promise.
    let hash = tenant_id
        .as_str()
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash % groups.max(1)
}

/// A FOCUS export of a day or month.
pub fn focus_key(period: UsagePeriod) -> String {
    let folder = match period.granularity() {
        Granularity::Month => "month",
        Granularity::Day => "day",
        Granularity::Hour => "hour",
    };
    format!("focus/{folder}={period}/cost-and-usage.csv")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_in_the_partition_of_its_hour() {
        let hour = "2026-11-05T04".parse().unwrap();
        assert_eq!(usage_key(hour, 12), "usage/dt=2026-11-05/hour=04/part-12.parquet");
        assert_eq!(group_of_key(hour, &usage_key(hour, 12)), Some(12));
        assert_eq!(group_of_key(hour.next(), &usage_key(hour, 12)), None);
        assert_eq!(group_of_key(hour, "usage/dt=2026-11-05/hour=04/other"), None);
        let month = "2026-11".parse().unwrap();
        assert_eq!(focus_key(month), "focus/month=2026-11/cost-and-usage.csv");
    }

    #[test]
    fn a_tenant_stays_in_its_group() {
        let groups = |tenant: &str| group(&tenant.parse().unwrap(), 4);
        assert_eq!([groups("acme"), groups("globex"), groups("initech")], [3, 2, 1]);
        assert_eq!(group(&"acme".parse().unwrap(), 1), 0);
        assert_eq!(group(&"acme".parse().unwrap(), 0), 0);
    }
}
