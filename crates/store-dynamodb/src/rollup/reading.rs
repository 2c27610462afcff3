//! Rollups as who wants to know sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use futures::future::{BoxFuture, try_join_all};
use metering::{
    Granularity, Rollup, RollupError, RollupKey, RollupRow, RollupStore, Rollups as Sums,
    UsagePeriod,
};
use tenancy::TenantId;

use super::key::{self, LIVE};
use super::{Rollups, stored, text};
use crate::key::{Key, SK};

type Rows = BTreeMap<(UsagePeriod, RollupKey), Rollup>;

impl RollupStore for Rollups {
    async fn rollups(
        &self,
        tenant_id: &TenantId,
        granularity: Granularity,
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<RollupRow>, RollupError> {
        let rows = self.rows(tenant_id, granularity, from_ms..to_ms).await?;
        let row = |((period, key), rollup)| RollupRow { period, key, rollup };
        Ok(rows.into_iter().map(row).collect())
    }
}

impl Rollups {
    /// What there is of that granularity, and for the gaps the sums of what is finer. A period has
    /// rollups of its own once it is over and everything below it is final.
    fn rows<'a>(
        &'a self,
        tenant_id: &'a TenantId,
        granularity: Granularity,
        range: Range<i64>,
    ) -> BoxFuture<'a, Result<Rows, RollupError>> {
        Box::pin(async move {
            let level = key::level(granularity);
            let mut rows = self.stored_rows(tenant_id, level, granularity, &range).await?;
            let Some(finer) = granularity.finer() else {
                for (of, rollup) in self.stored_rows(tenant_id, LIVE, granularity, &range).await? {
                    rows.entry(of).or_insert(rollup);
                }
                return Ok(rows);
            };
            let found: BTreeSet<UsagePeriod> = rows.keys().map(|(period, _)| *period).collect();
            let gaps = gaps(granularity, range, &found);
            let below = gaps.into_iter().map(|gap| self.rows(tenant_id, finer, gap));
            for ((period, of), rollup) in try_join_all(below).await?.into_iter().flatten() {
                let period = UsagePeriod::containing(granularity, period.start_ms());
                rows.entry((period, of)).or_default().merge(&rollup);
            }
            Ok(rows)
        })
    }

    /// The rollups of a kind that begin in `range`.
    pub(super) async fn stored_rows(
        &self,
        tenant_id: &TenantId,
        level: &str,
        granularity: Granularity,
        range: &Range<i64>,
    ) -> Result<Rows, RollupError> {
        let mut periods = UsagePeriod::starting_in(granularity, range.start, range.end);
        let Some(first) = periods.next() else { return Ok(Rows::new()) };
        let end = UsagePeriod::containing(granularity, range.end.saturating_sub(1)).next();
        let (first, end) = (key::from(level, first), key::from(level, end));
        let partition = key::partition(tenant_id);
        let items = self.range("read rollups", &partition, first, end).await?;
        items.into_iter().map(row).collect()
    }

    /// The sums of a kind over all that begins in `range`.
    pub(super) async fn sums(
        &self,
        tenant_id: &TenantId,
        level: &str,
        granularity: Granularity,
        range: &Range<i64>,
    ) -> Result<Sums, RollupError> {
        let mut sums = Sums::default();
        for ((_, of), rollup) in self.stored_rows(tenant_id, level, granularity, range).await? {
            sums.merge(&of, &rollup);
        }
        Ok(sums)
    }
}

fn row(item: Key) -> Result<((UsagePeriod, RollupKey), Rollup), RollupError> {
    let sk = text(&item, SK);
    let no_period = || super::rollup_error("read the rollup", &sk, "its key names no period");
    let period = key::parse_period(&sk).ok_or_else(no_period)?;
    let stored = stored(item)?;
    Ok(((period, stored.rollup_key), stored.rollup))
}

/// The longest ranges of periods that begin in `range` and are not among `found`.
fn gaps(
    granularity: Granularity,
    range: Range<i64>,
    found: &BTreeSet<UsagePeriod>,
) -> Vec<Range<i64>> {
    let mut gaps: Vec<Range<i64>> = Vec::new();
    for period in UsagePeriod::starting_in(granularity, range.start, range.end) {
        let (start, end) = (period.start_ms(), period.end_ms());
        match gaps.last_mut() {
            _ if found.contains(&period) => {}
            Some(gap) if gap.end == start => gap.end = end,
            _ => gaps.push(start..end),
        }
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_as_long_as_they_can_be() {
        let day = |text: &str| text.parse::<UsagePeriod>().unwrap();
        let range = day("2026-11-01").start_ms()..day("2026-11-07").start_ms();
        let check = |found: &[&str], expected: &[(&str, &str)]| {
            let found = found.iter().map(|text| day(text)).collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|(from, to)| day(from).start_ms()..day(to).start_ms())
                .collect();
            assert_eq!(gaps(Granularity::Day, range.clone(), &found), expected);
        };
        check(&[], &[("2026-11-01", "2026-11-07")]);
        check(&["2026-11-03"], &[("2026-11-01", "2026-11-03"), ("2026-11-04", "2026-11-07")]);
        check(&["2026-11-01", "2026-11-06"], &[("2026-11-02", "2026-11-06")]);
    }
}
