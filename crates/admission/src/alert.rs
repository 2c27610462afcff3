//! When somebody is to be told how much of a limit is used.
//!
//! Whether a threshold is reached is read off a meter as it is, not off a change of it: whoever looks
//! next finds what a function that died did not tell. Each alert has an id that says what it is about
//! and nothing else, and the store takes each id once, so it is told once however often it is found.

use std::fmt;

use serde::{Deserialize, Serialize};
use tenancy::{LobId, PrincipalId, ProjectId, TenantId};

use crate::{
    Calendar, Cap, Counters, LimitRule, Metric, Minute, ModelSelector, Period, Scope, StoreError,
};

/// Somebody is to be told that a share of a limit is used, or that a call was refused for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Whose limit it is.
    #[serde(flatten)]
    pub owner: AlertOwner,
    /// The limit's name.
    pub limit_id: String,
    /// What is limited.
    pub metric: Metric,
    /// Per what.
    pub period: Period,
    /// What happened.
    pub event: AlertEvent,
    /// The first moment of the window, in Unix milliseconds; 0 of a total.
    pub window_start_ms: i64,
    /// When the count starts anew, in Unix milliseconds; never if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets_ms: Option<i64>,
    /// What the limit allowed at that time: nano-USD of cost, else a count.
    pub amount: u64,
    /// What was used of it.
    pub used: u64,
}

/// The scope of an alert, as the ids of its levels.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AlertOwner {
    /// The line of business, of its own limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lob_id: Option<LobId>,
    /// The tenant, of its own limits and of those of its projects and principals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    /// The project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
    /// The principal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<PrincipalId>,
}

/// What an alert tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertEvent {
    /// So many percent are used.
    Threshold(u8),
    /// A call was refused.
    Exhausted,
}

/// Keeps which alerts there were.
pub trait AlertStore: Send + Sync {
    /// Notes that the alert is to be told, unless one of its id was noted before; whether it was new.
    /// All that the hot path does: telling is `metering-aggregator`'s.
    fn claim(
        &self,
        alert: &Alert,
        now_ms: i64,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// Tells alerts; only `metering-aggregator` has it.
pub trait AlertOutbox: AlertStore {
    /// Alerts that were noted and not told yet, with the moment (Unix milliseconds) of the note.
    fn untold(&self) -> impl Future<Output = Result<Vec<(Alert, i64)>, StoreError>> + Send;

    /// Notes that the alert was told.
    fn told(&self, alert: &Alert) -> impl Future<Output = Result<(), StoreError>> + Send;
}

impl Alert {
    /// The alerts that `rules` of `scope` call for, when the meters of `models` have *settled* `used` in
    /// the windows of `now`.
    ///
    /// What is only reserved does not count here: most of it is given back within seconds. Nobody is
    /// told of minutes, hours and concurrency, which come and go faster than anybody reads.
    pub fn due(
        scope: &Scope,
        models: &ModelSelector,
        rules: &[LimitRule],
        used: &Counters,
        calendar: &Calendar,
        now: Minute,
    ) -> Vec<Self> {
        let now_ms = now.start_ms();
        let mut due = Vec::new();
        for rule in rules.iter().filter(|rule| rule.models == *models && rule.is_in_force(now_ms)) {
            let Some(counter) = rule.counter().filter(|counter| is_told(counter.period)) else {
                continue;
            };
            let (used, amount) = (used.get(counter), rule.amount_at(now_ms));
            let reached = rule.thresholds.iter().filter(|percent| {
                u128::from(used) * 100 >= u128::from(amount) * u128::from(**percent)
            });
            due.extend(reached.map(|percent| Self {
                owner: AlertOwner::of(scope),
                limit_id: rule.id.clone(),
                metric: counter.metric,
                period: counter.period,
                event: AlertEvent::Threshold(*percent),
                window_start_ms: window_start_ms(calendar, now, counter.period),
                resets_ms: calendar.end_of(now, counter.period).map(Minute::start_ms),
                amount,
                used,
            }));
        }
        due
    }

    /// The alert for a call that `cap` of `scope` refused; none of a limit that nobody is told of.
    pub fn exhausted(
        scope: &Scope,
        cap: &Cap,
        used: u64,
        calendar: &Calendar,
        now: Minute,
    ) -> Option<Self> {
        let counter = cap.counter.filter(|counter| is_told(counter.period))?;
        Some(Self {
            owner: AlertOwner::of(scope),
            limit_id: cap.limit_id.clone(),
            metric: counter.metric,
            period: counter.period,
            event: AlertEvent::Exhausted,
            window_start_ms: window_start_ms(calendar, now, counter.period),
            resets_ms: calendar.end_of(now, counter.period).map(Minute::start_ms),
            amount: cap.whole,
            used,
        })
    }

    /// Names it: the same for whoever finds it, and another in the next window.
    pub fn id(&self) -> String {
        let event = match self.event {
            AlertEvent::Threshold(percent) => percent.to_string(),
            AlertEvent::Exhausted => "exhausted".to_owned(),
        };
        format!("{}#{}#{}#{event}", self.owner.path(), self.limit_id, self.window_start_ms / 1_000)
    }

    /// The number of percent that are used.
    pub fn used_percent(&self) -> u64 {
        let percent = u128::from(self.used) * 100 / u128::from(self.amount.max(1));
        u64::try_from(percent).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for Alert {
    /// What a person reads: `Tenant "acme" has used 81 % of its budget per month (monthly-budget): ...`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (used, amount) = (self.metric.display(self.used), self.metric.display(self.amount));
        let per = match self.period {
            Period::Total => "in total".to_owned(),
            period => format!("per {}", period.as_str()),
        };
        let what = format!("{} {per} ({})", self.metric.as_str(), self.limit_id);
        match self.event {
            AlertEvent::Threshold(_) => write!(
                f,
                "The {} has used {} % of its {what}: {used} of {amount}.",
                self.owner,
                self.used_percent()
            ),
            AlertEvent::Exhausted => write!(
                f,
                "A call of the {} was refused: its {what} of {amount} does not hold it; {used} are used or reserved.",
                self.owner
            ),
        }
    }
}

impl AlertOwner {
    /// The owner of the limits of `scope`.
    pub fn of(scope: &Scope) -> Self {
        let none = Self::default();
        match scope.clone() {
            Scope::Org => none,
            Scope::Lob(id) => Self { lob_id: Some(id), ..none },
            Scope::Tenant(id) => Self { tenant_id: Some(id), ..none },
            Scope::Project(tenant_id, id) => {
                Self { tenant_id: Some(tenant_id), project_id: Some(id), ..none }
            }
            Scope::Principal(tenant_id, id) => {
                Self { tenant_id: Some(tenant_id), principal_id: Some(id), ..none }
            }
        }
    }

    /// The scope, as the API's paths name it. A principal's id stands last, for it may hold anything.
    fn path(&self) -> String {
        match (&self.lob_id, &self.tenant_id, &self.project_id, &self.principal_id) {
            (Some(lob), ..) => format!("lobs/{lob}"),
            (None, Some(tenant), None, None) => format!("tenants/{tenant}"),
            (None, Some(tenant), Some(project), _) => {
                format!("tenants/{tenant}/projects/{project}")
            }
            (None, Some(tenant), None, Some(principal)) => {
                format!("tenants/{tenant}/principals/{principal}")
            }
            _ => "org".to_owned(),
        }
    }
}

impl fmt::Display for AlertOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.lob_id, &self.tenant_id, &self.project_id, &self.principal_id) {
            (Some(lob), ..) => write!(f, "line of business `{lob}`"),
            (None, Some(tenant), None, None) => write!(f, "tenant `{tenant}`"),
            (None, Some(tenant), Some(project), _) => {
                write!(f, "project `{project}` of tenant `{tenant}`")
            }
            (None, Some(tenant), None, Some(principal)) => {
                write!(f, "principal `{principal}` of tenant `{tenant}`")
            }
            _ => f.write_str("organisation"),
        }
    }
}

fn is_told(period: Period) -> bool {
    period >= Period::Day
}

fn window_start_ms(calendar: &Calendar, now: Minute, period: Period) -> i64 {
    match period {
        Period::Total => 0,
        period => calendar.start_of(now, period).start_ms(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Counter;

    /// 2026-11-23T12:00:00Z
    const NOON: Minute = Minute(29_923_920);

    fn rules() -> Vec<LimitRule> {
        serde_json::from_str(
            r#"[{"id":"monthly","metric":"cost","period":"month","amount":1000},
                {"id":"rate","metric":"requests","period":"minute","amount":1},
                {"id":"days","metric":"requests","period":"day","amount":10,"thresholds":[75],"enforcement":"soft"},
                {"id":"ever","metric":"cost","period":"total","amount":4000,"thresholds":[20]},
                {"id":"opus","metric":"cost","period":"day","amount":1,"models":{"model":"opus"}}]"#,
        )
        .unwrap()
    }

    fn used(cost: u64, requests: u64) -> Counters {
        let mut used = Counters::default();
        for counter in Counter::ALL {
            match counter.metric {
                Metric::Cost => used.set(counter, cost),
                Metric::Requests => used.set(counter, requests),
                _ => {}
            }
        }
        used
    }

    fn ids(cost: u64, requests: u64) -> Vec<String> {
        let scope = Scope::Tenant("acme".parse().unwrap());
        let all = ModelSelector::All;
        let due = Alert::due(&scope, &all, &rules(), &used(cost, requests), &Calendar::utc(), NOON);
        due.iter().map(Alert::id).collect()
    }

    #[test]
    fn each_threshold_is_told_by_an_id_of_its_window() {
        assert_eq!(ids(499, 7), [""; 0]);
        assert_eq!(ids(500, 7), ["tenants/acme#monthly#1793491200#50"]);
        assert_eq!(
            ids(1_000, 8),
            [
                "tenants/acme#monthly#1793491200#50",
                "tenants/acme#monthly#1793491200#80",
                "tenants/acme#monthly#1793491200#100",
                "tenants/acme#days#1795392000#75",
                "tenants/acme#ever#0#20",
            ]
        );
    }

    #[test]
    fn an_alert_reads_as_a_sentence() {
        let scope = Scope::Lob("retail".parse().unwrap());
        let now = NOON;
        let due =
            Alert::due(&scope, &ModelSelector::All, &rules(), &used(810, 0), &Calendar::utc(), now);
        let alert = &due[1];
        assert_eq!(
            alert.to_string(),
            "The line of business `retail` has used 81 % of its budget per month (monthly): $0.00000081 of $0.000001."
        );
        let json = serde_json::to_value(alert).unwrap();
        assert_eq!((&json["lob_id"], &json["event"]["threshold"]), (&"retail".into(), &80.into()));
        assert_eq!(serde_json::from_value::<Alert>(json).unwrap(), *alert);
    }

    #[test]
    fn a_refused_call_is_told_once_per_window_and_not_of_minutes() {
        let principal = "u#1/2".to_owned().try_into().unwrap();
        let scope = Scope::Principal("acme".parse().unwrap(), principal);
        let exhausted = |period, now| {
            let counter = Counter::of(Metric::Requests, period);
            let cap =
                Cap { limit_id: "l".into(), counter, allowed: 5, whole: 5, on_exhausted: None };
            Alert::exhausted(&scope, &cap, 5, &Calendar::utc(), now).map(|alert| alert.id())
        };
        assert_eq!(exhausted(Period::Minute, NOON), None);
        let first = exhausted(Period::Day, NOON).unwrap();
        assert_eq!(first, "tenants/acme/principals/u#1/2#l#1795392000#exhausted");
        assert_eq!(exhausted(Period::Day, NOON.next()).unwrap(), first);
        assert_ne!(exhausted(Period::Day, Minute(NOON.0 + 24 * 60)).unwrap(), first);
    }

    proptest! {
        #[test]
        fn more_use_never_takes_an_alert_back(less in 0..2_000u64, more in 0..2_000u64, requests in 0..20u64) {
            let (less, more) = (less.min(more), less.max(more));
            let later = ids(more, requests);
            prop_assert!(ids(less, requests).iter().all(|id| later.contains(id)));
            let mut unique = later.clone();
            unique.sort();
            unique.dedup();
            prop_assert_eq!(unique.len(), later.len());
        }
    }
}
