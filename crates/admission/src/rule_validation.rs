//! Whether the limits that somebody wants to set make sense, each by itself and all together.

use std::collections::BTreeSet;

use jiff::Timestamp;
use tenancy::PriorityClass;

use crate::{Enforcement, LimitRule, Metric, Raise, Scope};

/// The most that a limit of money may say: a billion dollars. Whoever writes more has mistaken the unit.
const MAX_COST: u64 = 1_000_000_000_000_000_000;

/// The most that a limit of requests or tokens may say.
const MAX_COUNT: u64 = 1_000_000_000_000_000;

/// The most that a limit of concurrency may say.
const MAX_CONCURRENCY: u64 = 1_000_000;

/// Bytes of a limit's or a raise's name at most.
const MAX_ID_BYTES: usize = 64;

/// Thresholds of a limit at most.
const MAX_THRESHOLDS: usize = 10;

/// Raises that one limit keeps at most, those that are over included.
pub const MAX_RAISES: usize = 20;

/// A limit that cannot be set as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidRule {
    /// The field at fault: `limits[2].amount`.
    pub field: String,
    /// What is wrong and how to put it right.
    pub message: String,
}

/// Whether `rules` can be the limits of `scope`.
///
/// # Errors
/// The first field that is wrong.
pub fn check_rules(scope: &Scope, rules: &[LimitRule]) -> Result<(), InvalidRule> {
    let mut ids = BTreeSet::new();
    for (index, rule) in rules.iter().enumerate() {
        let at = At { rule: format!("limits[{index}]") };
        if !is_name(&rule.id) {
            return Err(at.invalid("id", NAME));
        }
        if !ids.insert(rule.id.as_str()) {
            return Err(at.invalid("id", format!("There are two limits called `{}`.", rule.id)));
        }
        check_period(&at, rule)?;
        check_amount(&at, rule)?;
        check_shares(&at, scope, rule)?;
        check_thresholds(&at, rule)?;
        check_validity(&at, rule.valid_from, rule.valid_until)?;
        check_raises(&at, rule)?;
        let earlier = rules.iter().take(index).find(|earlier| overlap(earlier, rule));
        if let Some(earlier) = earlier {
            let message = format!(
                "`{}` and `{}` limit the same at the same time: metric, period and models are equal and their validity overlaps. End one before the other begins.",
                earlier.id, rule.id
            );
            return Err(at.invalid("valid_from", message));
        }
    }
    Ok(())
}

/// The most that a limit of `metric` may say.
pub fn max_amount(metric: Metric) -> u64 {
    match metric {
        Metric::Cost => MAX_COST,
        Metric::Concurrency => MAX_CONCURRENCY,
        _ => MAX_COUNT,
    }
}

const NAME: &str = "A name is 1 to 64 lower-case letters, digits, hyphens and underscores, and starts with a letter or digit.";

/// Where in the document a rule stands.
struct At {
    rule: String,
}

impl At {
    fn invalid(&self, field: &str, message: impl Into<String>) -> InvalidRule {
        InvalidRule { field: format!("{}.{field}", self.rule), message: message.into() }
    }
}

/// Whether `text` can stand in a key and a log line.
fn is_name(text: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&text.len())
        && !text.starts_with(['-', '_'])
        && text.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_'
        })
}

fn check_period(at: &At, rule: &LimitRule) -> Result<(), InvalidRule> {
    match (rule.metric, rule.period) {
        (Metric::Concurrency, None) => Ok(()),
        (Metric::Concurrency, Some(_)) => Err(at.invalid(
            "period",
            "Concurrency is how many calls run at the same time: it has no period.",
        )),
        (metric, Some(period)) if metric.periods().contains(&period) => Ok(()),
        (metric, _) => {
            let periods: Vec<_> = metric.periods().iter().map(|period| period.as_str()).collect();
            let message = format!(
                "A limit of this metric is per {}.",
                periods.join(", ").replace("total", "total (for ever)")
            );
            Err(at.invalid("period", message))
        }
    }
}

fn check_amount(at: &At, rule: &LimitRule) -> Result<(), InvalidRule> {
    let max = max_amount(rule.metric);
    if rule.amount == 0 {
        return Err(
            at.invalid("amount", "A limit is positive. To let nobody in, suspend the scope.")
        );
    }
    if rule.amount > max {
        let message = format!(
            "{} is more than a limit can be ({}). Amounts of money are in nano-USD.",
            rule.amount,
            rule.metric.display(max)
        );
        return Err(at.invalid("amount", message));
    }
    Ok(())
}

fn check_shares(at: &At, scope: &Scope, rule: &LimitRule) -> Result<(), InvalidRule> {
    let kept: u64 = rule.reserved.values().map(|percent| u64::from(*percent)).sum();
    if kept >= 100 {
        return Err(at.invalid(
            "reserved",
            "What is kept for classes must be less than 100 percent in all.",
        ));
    }
    if rule.reserved.values().any(|percent| *percent == 0) {
        return Err(at.invalid("reserved", "Percent are 1 to 100."));
    }
    if rule.reserved.contains_key(&PriorityClass::Batch) {
        return Err(at.invalid(
            "reserved.batch",
            "Nothing is kept for `batch`: there is no class below it to keep it from.",
        ));
    }
    if let Some(share) = rule.max_share {
        if !(1..=100).contains(&share) {
            return Err(at.invalid("max_share", "Percent are 1 to 100."));
        }
        if matches!(scope, Scope::Project(..) | Scope::Principal(..)) {
            return Err(at.invalid(
                "max_share",
                "A share is what one tenant of a line of business or one principal of a tenant may use; nothing is below this scope.",
            ));
        }
    }
    if rule.enforcement == Enforcement::Soft {
        for (field, is_set) in [
            ("reserved", !rule.reserved.is_empty()),
            ("max_share", rule.max_share.is_some()),
            ("on_exhausted", rule.on_exhausted.is_some()),
        ] {
            if is_set {
                let message =
                    format!("A soft limit refuses nothing, so `{field}` would do nothing.");
                return Err(at.invalid(field, message));
            }
        }
    }
    let least = u128::from(rule.amount) * u128::from(100 - kept) / 100
        * u128::from(rule.max_share.unwrap_or(100))
        / 100;
    if least == 0 {
        return Err(
            at.invalid("amount", "It is too small to be divided: a share of it would be nothing.")
        );
    }
    Ok(())
}

fn check_thresholds(at: &At, rule: &LimitRule) -> Result<(), InvalidRule> {
    let thresholds = &rule.thresholds;
    if thresholds.len() > MAX_THRESHOLDS {
        return Err(at.invalid("thresholds", format!("{MAX_THRESHOLDS} thresholds at most.")));
    }
    if !thresholds.iter().all(|percent| (1..=100).contains(percent)) {
        return Err(at.invalid("thresholds", "A threshold is 1 to 100 percent."));
    }
    if !thresholds.is_sorted_by(|lower, higher| lower < higher) {
        return Err(at.invalid("thresholds", "Thresholds rise, and each is there once."));
    }
    Ok(())
}

fn check_validity(
    at: &At,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
) -> Result<(), InvalidRule> {
    match (from, until) {
        (Some(from), Some(until)) if from >= until => {
            Err(at.invalid("valid_until", "Validity ends before it begins."))
        }
        _ => Ok(()),
    }
}

fn check_raises(at: &At, rule: &LimitRule) -> Result<(), InvalidRule> {
    if rule.raises.len() > MAX_RAISES {
        return Err(at.invalid(
            "raises",
            format!("{MAX_RAISES} raises at most; remove those that are over."),
        ));
    }
    let mut ids = BTreeSet::new();
    for (index, raise) in rule.raises.iter().enumerate() {
        let at = At { rule: format!("{}.raises[{index}]", at.rule) };
        if !is_name(&raise.id) {
            return Err(at.invalid("id", NAME));
        }
        if !ids.insert(raise.id.as_str()) {
            return Err(at.invalid("id", format!("There are two raises called `{}`.", raise.id)));
        }
        if raise.amount == 0 {
            return Err(at.invalid("amount", "A raise is positive."));
        }
        check_validity(&at, Some(raise.valid_from), Some(raise.valid_until))?;
    }
    let raised =
        rule.raises.iter().map(|raise| raise.amount).fold(rule.amount, u64::saturating_add);
    if raised > max_amount(rule.metric) {
        return Err(
            at.invalid("raises", "With all of its raises the limit is more than a limit can be.")
        );
    }
    Ok(())
}

/// Whether two rules limit the same at the same time.
fn overlap(one: &LimitRule, other: &LimitRule) -> bool {
    let begins_before_end =
        |one: &LimitRule, other: &LimitRule| match (one.valid_from, other.valid_until) {
            (Some(from), Some(until)) => from < until,
            _ => true,
        };
    (one.metric, one.period, &one.models) == (other.metric, other.period, &other.models)
        && begins_before_end(one, other)
        && begins_before_end(other, one)
}

/// `rule` with one more raise.
///
/// # Errors
/// The raise makes no sense, or there are too many. Raises that were over at `now` make room first.
pub fn with_raise(
    rule: &LimitRule,
    raise: Raise,
    now: Timestamp,
) -> Result<LimitRule, InvalidRule> {
    let mut raised = rule.clone();
    if raised.raises.len() >= MAX_RAISES {
        raised.raises.retain(|raise| raise.valid_until > now);
    }
    raised.raises.push(raise);
    check_raises(&At { rule: "limit".to_owned() }, &raised)?;
    Ok(raised)
}

#[cfg(test)]
#[path = "rule_validation_tests.rs"]
mod tests;
