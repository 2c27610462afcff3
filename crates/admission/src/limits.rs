//! What a scope may use: rules, as an administrator writes them, and caps, as one call meets them.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenancy::{ModelId, PrincipalId, PriorityClass};

use crate::{Counter, Metric, Period};

/// One limit of a scope: data, with its validity.
///
/// What is used of it is counted by the meter of the scope and the models that it is about, never by
/// the limit, so that no edit of a limit resets what was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitRule {
    /// Its name among the limits of its scope.
    pub id: String,
    /// What is limited.
    pub metric: Metric,
    /// Per what; none for concurrency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Period>,
    /// How much: nano-USD of cost, else a count.
    pub amount: u64,
    /// The models that it is about; all if unset.
    #[serde(default, skip_serializing_if = "ModelSelector::is_all")]
    pub models: ModelSelector,
    /// What happens when it is reached.
    #[serde(default)]
    pub enforcement: Enforcement,
    /// Percent of it that are kept for a priority class and the classes above it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reserved: BTreeMap<PriorityClass, u8>,
    /// Percent of it that any one child may use: a tenant of a line of business or of the
    /// organisation, a principal of a tenant. Projects and principals have no children.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_share: Option<u8>,
    /// The first moment of its validity; always if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Timestamp>,
    /// The moment at which it ends; never if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
    /// Percent of it at which somebody is told.
    #[serde(default = "default_thresholds")]
    pub thresholds: Vec<u8>,
    /// What a call may do instead of being refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_exhausted: Option<OnExhausted>,
    /// Raises for a time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub raises: Vec<Raise>,
}

fn default_thresholds() -> Vec<u8> {
    vec![50, 80, 100]
}

/// Which models a limit is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelSelector {
    /// All of them.
    #[default]
    All,
    /// One registered model.
    Model(ModelId),
    /// All models of a family, by the name that the registry gives it.
    Family(ModelId),
}

/// What happens when a limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Enforcement {
    /// Calls that would pass it are refused.
    #[default]
    Hard,
    /// Somebody is told.
    Soft,
}

/// What a call may do that a limit would refuse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExhausted {
    /// Be answered by this model, if it is allowed and its price fits.
    Fallback(ModelId),
    /// Ask for a raise, which an administrator may grant.
    Approval,
}

/// More of a limit, for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raise {
    /// Names it.
    pub id: String,
    /// How much more.
    pub amount: u64,
    /// From when on.
    pub valid_from: Timestamp,
    /// Until when.
    pub valid_until: Timestamp,
    /// Who granted it.
    pub granted_by: PrincipalId,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// What is known of a call before it is made that decides which limits it meets.
#[derive(Debug, Clone, Copy)]
pub struct LimitedCall<'a> {
    /// The model that would answer.
    pub model: &'a ModelId,
    /// That model's family.
    pub family: &'a ModelId,
    /// How urgent it is.
    pub priority_class: PriorityClass,
    /// The moment, in Unix milliseconds.
    pub now_ms: i64,
}

/// What one call may find in one meter at most: a hard limit, once validity, raises, priority class
/// and shares are accounted for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cap {
    /// The limit's name.
    pub limit_id: String,
    /// The count that it holds; none for concurrency.
    pub counter: Option<Counter>,
    /// What this meter may count.
    pub allowed: u64,
    /// What all shards of the meter may count together; `allowed` if it has but one.
    pub whole: u64,
    /// What a call may do instead of being refused.
    pub on_exhausted: Option<OnExhausted>,
}

impl LimitRule {
    /// Whether it holds at `now_ms` (Unix milliseconds).
    pub fn is_in_force(&self, now_ms: i64) -> bool {
        self.valid_from.is_none_or(|from| from.as_millisecond() <= now_ms)
            && self.valid_until.is_none_or(|until| now_ms < until.as_millisecond())
    }

    /// How much it allows at `now_ms` (Unix milliseconds), with the raises of that moment.
    pub fn amount_at(&self, now_ms: i64) -> u64 {
        let is_in_force = |raise: &&Raise| {
            raise.valid_from.as_millisecond() <= now_ms
                && now_ms < raise.valid_until.as_millisecond()
        };
        let raises = self.raises.iter().filter(is_in_force).map(|raise| raise.amount);
        raises.fold(self.amount, u64::saturating_add)
    }

    /// What `class` may use of it: all but what is kept for the classes above.
    pub fn amount_for(&self, class: PriorityClass, now_ms: i64) -> u64 {
        let kept = self.reserved.iter().filter(|(kept_for, _)| **kept_for > class);
        let kept: u64 = kept.map(|(_, percent)| u64::from(*percent)).sum();
        percent_of(self.amount_at(now_ms), 100u64.saturating_sub(kept))
    }

    /// Whether it is about this call.
    pub fn concerns(&self, call: &LimitedCall<'_>) -> bool {
        self.is_in_force(call.now_ms) && self.models.selects(call.model, call.family)
    }

    /// What it counts; none for concurrency, and for a period in which its metric is not counted.
    pub fn counter(&self) -> Option<Counter> {
        Counter::of(self.metric, self.period?)
    }

    /// The cap that a call meets; none of a soft limit.
    pub fn cap(&self, call: &LimitedCall<'_>) -> Option<Cap> {
        (self.enforcement == Enforcement::Hard).then(|| {
            let allowed = self.amount_for(call.priority_class, call.now_ms);
            Cap {
                limit_id: self.id.clone(),
                counter: self.counter(),
                allowed,
                whole: allowed,
                on_exhausted: self.on_exhausted.clone(),
            }
        })
    }

    /// The cap that a call meets in the meter of the child that makes it; none where children share
    /// freely.
    pub fn child_cap(&self, call: &LimitedCall<'_>) -> Option<Cap> {
        let share = u64::from(self.max_share?);
        self.cap(call).map(|cap| {
            let allowed = percent_of(cap.allowed, share);
            Cap { allowed, whole: allowed, ..cap }
        })
    }
}

fn percent_of(amount: u64, percent: u64) -> u64 {
    u64::try_from(u128::from(amount) * u128::from(percent) / 100).unwrap_or(amount)
}

impl ModelSelector {
    /// Whether it selects every model.
    pub fn is_all(&self) -> bool {
        *self == Self::All
    }

    /// Whether it selects `model`, which is of `family`.
    pub fn selects(&self, model: &ModelId, family: &ModelId) -> bool {
        match self {
            Self::All => true,
            Self::Model(id) => id == model,
            Self::Family(id) => id == family,
        }
    }
}

impl Cap {
    /// The metric that it holds.
    pub fn metric(&self) -> Metric {
        self.counter.map_or(Metric::Concurrency, |counter| counter.metric)
    }

    /// The part of it that shard `shard` of `shards` holds: the parts of all shards are the whole.
    #[must_use]
    pub fn of_shard(&self, shard: u16, shards: u16) -> Self {
        let (shard, shards) = (u64::from(shard), u64::from(shards.max(1)));
        let allowed = self.whole / shards + u64::from(shard < self.whole % shards);
        Self { allowed, ..self.clone() }
    }
}

impl fmt::Display for Cap {
    /// The limit as a person reads it: `requests per minute`, `budget in total`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.metric().as_str())?;
        match self.counter.map(|counter| counter.period) {
            None => Ok(()),
            Some(Period::Total) => f.write_str(" in total"),
            Some(period) => write!(f, " per {}", period.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> LimitRule {
        serde_json::from_str(text).unwrap()
    }

    fn call<'a>(model: &'a ModelId, family: &'a ModelId, class: PriorityClass) -> LimitedCall<'a> {
        LimitedCall { model, family, priority_class: class, now_ms: 1_795_435_200_000 }
    }

    #[test]
    fn a_rule_is_read_as_it_is_documented() {
        let text = r#"{"id":"monthly-budget","metric":"cost","period":"month","amount":1000,
            "models":{"family":"claude"},"enforcement":"soft","reserved":{"interactive":30},"max_share":50,
            "valid_from":"2026-11-01T00:00:00Z","valid_until":"2026-12-01T00:00:00Z","thresholds":[90],
            "on_exhausted":{"fallback":"claude-haiku-4-5"},
            "raises":[{"id":"r1","amount":5,"valid_from":"2026-11-01T00:00:00Z","valid_until":"2026-11-02T00:00:00Z","granted_by":"u-1"}]}"#;
        let read = rule(text);
        assert_eq!(
            serde_json::from_value::<LimitRule>(serde_json::to_value(&read).unwrap()).unwrap(),
            read
        );
        assert_eq!(read.models, ModelSelector::Family("claude".parse().unwrap()));
        assert_eq!(
            read.on_exhausted,
            Some(OnExhausted::Fallback("claude-haiku-4-5".parse().unwrap()))
        );
        let short =
            rule(r#"{"id":"c","metric":"concurrency","amount":3,"on_exhausted":"approval"}"#);
        assert_eq!((short.enforcement, short.counter()), (Enforcement::Hard, None));
        assert_eq!(short.thresholds, [50, 80, 100]);
        assert!(
            serde_json::from_str::<LimitRule>(
                r#"{"id":"c","metric":"requests","amount":3,"currency":"EUR"}"#
            )
            .is_err()
        );
        for amount in ["-1", "1.5", "1e3", "NaN", "\"5\"", "18446744073709551616"] {
            let text =
                format!(r#"{{"id":"c","metric":"requests","period":"minute","amount":{amount}}}"#);
            assert!(serde_json::from_str::<LimitRule>(&text).is_err(), "{amount}");
        }
    }

    #[test]
    fn a_share_is_kept_for_those_who_wait() {
        let read = rule(
            r#"{"id":"a","metric":"requests","period":"minute","amount":200,"reserved":{"interactive":30,"standard":20}}"#,
        );
        assert_eq!(read.amount_for(PriorityClass::Interactive, 0), 200);
        assert_eq!(read.amount_for(PriorityClass::Standard, 0), 140);
        assert_eq!(read.amount_for(PriorityClass::Batch, 0), 100);
    }

    #[test]
    fn a_raise_counts_while_it_is_valid() {
        let read = rule(
            r#"{"id":"a","metric":"cost","period":"month","amount":100,
            "raises":[{"id":"r","amount":50,"valid_from":"2026-11-23T00:00:00Z","valid_until":"2026-11-24T00:00:00Z","granted_by":"u"}]}"#,
        );
        let at = |text: &str| read.amount_at(text.parse::<Timestamp>().unwrap().as_millisecond());
        assert_eq!(at("2026-11-22T23:59:59Z"), 100);
        assert_eq!(at("2026-11-23T00:00:00Z"), 150);
        assert_eq!(at("2026-11-24T00:00:00Z"), 100);
    }

    #[test]
    fn a_call_meets_the_rules_for_its_model_only() {
        let (model, family): (ModelId, ModelId) =
            ("opus".parse().unwrap(), "claude".parse().unwrap());
        let call = call(&model, &family, PriorityClass::Standard);
        let concerns = |models: &str| {
            rule(&format!(r#"{{"id":"a","metric":"requests","period":"day","amount":1{models}}}"#))
                .concerns(&call)
        };
        assert!(concerns(""));
        assert!(concerns(r#","models":{"model":"opus"}"#));
        assert!(concerns(r#","models":{"family":"claude"}"#));
        assert!(!concerns(r#","models":{"model":"claude"}"#));
        assert!(!concerns(r#","models":{"family":"nova"}"#));
        assert!(!concerns(r#","valid_until":"2026-11-23T12:00:00Z""#));
    }

    #[test]
    fn the_shares_of_shards_are_the_whole() {
        let cap =
            Cap { limit_id: "a".into(), counter: None, allowed: 10, whole: 10, on_exhausted: None };
        for shards in 1..=13 {
            let parts: Vec<u64> =
                (0..shards).map(|shard| cap.of_shard(shard, shards).allowed).collect();
            assert_eq!(parts.iter().sum::<u64>(), 10, "{parts:?}");
        }
    }
}
