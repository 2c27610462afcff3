//! How an organisation's own prices may change: what calls were priced by stays as it is.

use super::PriceOverrides;
use super::book::youngest;

/// Seconds before their validity from which overrides are fixed. Whoever prices calls has read them by
/// then, and remembers them for a minute.
const FIXED_BEFORE_S: i64 = 120;

/// What an organisation has agreed for itself, of all times, as administrators see and change it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AgreedPrices {
    /// Counts the changes.
    pub revision: u64,
    /// The overrides, in no order.
    pub overrides: Vec<PriceOverrides>,
}

/// Why overrides cannot be written or taken away.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverridesRefused {
    /// Records name them, or may at any moment.
    #[error(
        "`{0}` is in force, was, or will be within two minutes, and records of calls name it. It can only be given an end, or an earlier one. A new price is a new version"
    )]
    Fixed(String),
    /// They would have been valid already.
    #[error("`valid_from` is in the past: calls have been priced. Leave it out for now")]
    BeginsInPast,
    /// They would not be valid any more.
    #[error("`valid_until` is not in the future: calls have been priced")]
    EndsInPast,
    /// Others begin at the same moment.
    #[error("`{0}` has the same `valid_from`. Of two that begin together none is the younger")]
    SameBeginning(String),
    /// They would still be valid when others begin.
    #[error(
        "`{0}` begins before `valid_until`. Let these end when it begins, or leave the end out"
    )]
    EndsWithin(String),
    /// Others would still be valid when they begin.
    #[error("`{0}` is still valid at `valid_from`. Begin when it ends, or give it an earlier end")]
    BeginsWithin(String),
}

impl PriceOverrides {
    /// Whether calls were priced by these at `now` (Unix seconds), or soon will be, so that they stay as they are.
    pub fn is_fixed(&self, now: i64) -> bool {
        self.valid_from <= now.saturating_add(FIXED_BEFORE_S)
    }

    fn is_over(&self, now: i64) -> bool {
        self.valid_until.is_some_and(|until| until <= now)
    }
}

impl AgreedPrices {
    /// The overrides of that version.
    pub fn find(&self, version: &str) -> Option<&PriceOverrides> {
        self.overrides.iter().find(|it| it.version == version)
    }

    /// Those in force at `now` (Unix seconds), as [`PriceOverrides::in_force`].
    pub fn in_force(&self, now: i64) -> Option<&PriceOverrides> {
        youngest(&self.overrides, now, |it| (&it.version, it.valid_from, it.valid_until))
    }

    /// Checks that `wanted` may be written at `now` (Unix seconds), in place of those of its version if
    /// there are any.
    ///
    /// Overrides without an end are superseded by younger ones. Those with an end are to be in force
    /// until then, so none may begin before it, unless they are over themselves.
    ///
    /// # Errors
    /// See [`OverridesRefused`].
    pub fn check_put(&self, wanted: &PriceOverrides, now: i64) -> Result<(), OverridesRefused> {
        match self.find(&wanted.version) {
            Some(before) if before.is_fixed(now) => check_end(before, wanted, now)?,
            _ if wanted.valid_from < now => return Err(OverridesRefused::BeginsInPast),
            _ => {}
        }
        let others = self.overrides.iter().filter(|it| it.version != wanted.version);
        others.filter(|it| !it.is_over(now)).try_for_each(|other| check_overlap(wanted, other))
    }

    /// Checks that the overrides of that version may be taken away at `now` (Unix seconds).
    ///
    /// # Errors
    /// They are fixed.
    pub fn check_removal(&self, version: &str, now: i64) -> Result<(), OverridesRefused> {
        match self.find(version) {
            Some(found) if found.is_fixed(now) => Err(OverridesRefused::Fixed(version.to_owned())),
            _ => Ok(()),
        }
    }
}

/// Checks that `wanted` differs from what is fixed by an end alone, which is yet to come.
fn check_end(
    before: &PriceOverrides,
    wanted: &PriceOverrides,
    now: i64,
) -> Result<(), OverridesRefused> {
    let is_same = (before.valid_from, &before.models) == (wanted.valid_from, &wanted.models);
    let is_earlier = match (before.valid_until, wanted.valid_until) {
        (None, Some(_)) => true,
        (Some(before), Some(wanted)) => now < before && wanted <= before,
        (before, None) => before.is_none(),
    };
    if !is_same || !is_earlier {
        return Err(OverridesRefused::Fixed(before.version.clone()));
    }
    if wanted.is_over(now) { Err(OverridesRefused::EndsInPast) } else { Ok(()) }
}

fn check_overlap(wanted: &PriceOverrides, other: &PriceOverrides) -> Result<(), OverridesRefused> {
    let version = || other.version.clone();
    let is_valid_at = |it: &PriceOverrides, moment| it.valid_until.is_some_and(|end| moment < end);
    if wanted.valid_from == other.valid_from {
        Err(OverridesRefused::SameBeginning(version()))
    } else if wanted.valid_from < other.valid_from && is_valid_at(wanted, other.valid_from) {
        Err(OverridesRefused::EndsWithin(version()))
    } else if wanted.valid_from > other.valid_from && is_valid_at(other, wanted.valid_from) {
        Err(OverridesRefused::BeginsWithin(version()))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ModelPrices, PicoUsd, Price};

    const NOW: i64 = 1_000_000;

    /// Overrides from and until moments that are counted from now.
    fn set(version: &str, from: i64, until: Option<i64>) -> PriceOverrides {
        let price = ModelPrices::from(Price::of_tokens(PicoUsd(1), PicoUsd(2)));
        PriceOverrides {
            version: version.into(),
            valid_from: NOW + from,
            valid_until: until.map(|until| NOW + until),
            models: [("m".parse().unwrap(), price)].into(),
        }
    }

    fn agreed(overrides: &[PriceOverrides]) -> AgreedPrices {
        AgreedPrices { revision: 1, overrides: overrides.to_vec() }
    }

    #[track_caller]
    fn check(
        there: &[&PriceOverrides],
        wanted: &PriceOverrides,
        expected: &Result<(), OverridesRefused>,
    ) {
        let there: Vec<_> = there.iter().copied().cloned().collect();
        assert_eq!(agreed(&there).check_put(wanted, NOW), *expected);
    }

    #[test]
    fn new_ones_begin_now_or_later() {
        check(&[], &set("a", 0, None), &Ok(()));
        check(&[], &set("a", 9_000, Some(9_001)), &Ok(()));
        check(&[], &set("a", -1, None), &Err(OverridesRefused::BeginsInPast));
    }

    #[test]
    fn what_has_no_end_is_superseded_by_younger_ones() {
        let (without_end, offer) = (set("old", -500, None), set("offer", 500, Some(600)));
        check(&[&without_end], &set("new", 0, None), &Ok(()));
        check(&[&without_end], &offer, &Ok(()));
        check(&[&without_end, &offer], &set("next", 600, None), &Ok(()));
        check(&[&offer], &set("older", 400, None), &Ok(()));
    }

    #[test]
    fn what_has_an_end_is_in_force_until_then() {
        let offer = set("offer", 500, Some(600));
        let refused = |from, until, error: fn(String) -> OverridesRefused| {
            check(&[&offer], &set("new", from, until), &Err(error("offer".to_owned())));
        };
        refused(500, None, OverridesRefused::SameBeginning);
        refused(500, Some(510), OverridesRefused::SameBeginning);
        refused(599, None, OverridesRefused::BeginsWithin);
        refused(510, Some(520), OverridesRefused::BeginsWithin);
        refused(400, Some(501), OverridesRefused::EndsWithin);
        refused(400, Some(700), OverridesRefused::EndsWithin);
        check(&[&offer], &set("new", 400, Some(500)), &Ok(()));
        check(&[&offer], &set("new", 600, Some(700)), &Ok(()));
    }

    #[test]
    fn what_is_over_is_in_nobodys_way() {
        let (old, offer) = (set("old", -900, None), set("offer", -500, Some(-100)));
        check(&[&old, &offer], &set("old", -900, Some(300)), &Ok(()));
    }

    #[test]
    fn what_is_not_in_force_yet_changes_in_any_way() {
        let there = set("a", 1_000, Some(2_000));
        for (from, until) in [(0, None), (1_000, Some(1_001)), (3_000, Some(9_000))] {
            check(&[&there], &set("a", from, until), &Ok(()));
        }
        check(&[&there], &set("a", -1, None), &Err(OverridesRefused::BeginsInPast));
        assert_eq!(agreed(&[there]).check_removal("a", NOW), Ok(()));
    }

    #[test]
    fn what_prices_calls_gets_an_earlier_end_and_nothing_else() {
        let fixed = Err(OverridesRefused::Fixed("a".into()));
        // Whoever remembers these for a minute would price by them as they were.
        for begun in [-900, 0, FIXED_BEFORE_S] {
            let with_end = |until| set("a", begun, until);
            let check_end = |before, after, expected| {
                check(&[&with_end(before)], &with_end(after), expected);
            };
            check_end(None, Some(500), &Ok(()));
            check_end(Some(500), Some(400), &Ok(()));
            check_end(Some(500), Some(501), &fixed);
            check_end(Some(500), None, &fixed);
            check_end(None, Some(0), &Err(OverridesRefused::EndsInPast));
            let dearer = ModelPrices::from(Price::of_tokens(PicoUsd(9), PicoUsd(2)));
            let models = [("m".parse().unwrap(), dearer)].into();
            let dearer = PriceOverrides { models, ..with_end(Some(500)) };
            check(&[&with_end(None)], &dearer, &fixed);
            check(&[&with_end(None)], &set("a", begun + 1, Some(500)), &fixed);
            assert_eq!(agreed(&[with_end(None)]).check_removal("a", NOW), fixed);
        }
        check(&[&set("a", -900, Some(0))], &set("a", -900, Some(-1)), &fixed);
        check(
            &[&set("a", -900, None), &set("offer", 500, Some(600))],
            &set("a", -900, Some(501)),
            &Err(OverridesRefused::EndsWithin("offer".into())),
        );
        assert!(!set("a", FIXED_BEFORE_S + 1, None).is_fixed(NOW));
    }

    #[test]
    fn the_youngest_that_are_valid_are_in_force() {
        let all = agreed(&[
            set("old", -900, None),
            set("offer", -100, Some(1)),
            set("next", 1, None),
            set("over", -50, Some(0)),
        ]);
        let in_force = |now| all.in_force(NOW + now).map(|it| it.version.as_str());
        assert_eq!(
            [-901, -900, 0, 1].map(in_force),
            [None, Some("old"), Some("offer"), Some("next")]
        );
    }
}
