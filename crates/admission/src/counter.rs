//! What a meter counts.

use std::collections::BTreeMap;
use std::fmt;

use metering::NanoUsd;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Period;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Provider calls that are open at the same time. No window has a count of it: it is how many
    /// reservations a meter holds.
    Concurrency,
    /// Calls of clients.
    Requests,
    /// Input tokens of every kind, cached ones included.
    InputTokens,
    /// Output tokens.
    OutputTokens,
    /// Both together.
    TotalTokens,
    /// Money, in nano-USD.
    Cost,
}

/// One count of a meter: a metric in the current window of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Counter {
    /// What is counted.
    pub metric: Metric,
    /// In which window.
    pub period: Period,
}

/// All counts of a meter. Each of them is kept always, whatever limits there are, so that a limit
/// which comes later finds what has been used.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters([u64; Counter::ALL.len()]);

impl Metric {
    /// The metric as a person reads it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Concurrency => "concurrent calls",
            Self::Requests => "requests",
            Self::InputTokens => "input tokens",
            Self::OutputTokens => "output tokens",
            Self::TotalTokens => "tokens",
            Self::Cost => "budget",
        }
    }

    /// An amount of it as a person reads it: dollars or a number.
    pub fn display(self, amount: u64) -> String {
        match self {
            Self::Cost => NanoUsd(amount).to_string(),
            _ => amount.to_string(),
        }
    }

    /// The periods that it is counted in.
    pub fn periods(self) -> &'static [Period] {
        match self {
            Self::Concurrency => &[],
            Self::Cost => &[
                Period::Day,
                Period::Week,
                Period::Month,
                Period::Quarter,
                Period::Year,
                Period::Total,
            ],
            _ => &[Period::Minute, Period::Hour, Period::Day, Period::Month],
        }
    }
}

/// Declares the counters with the names of their attributes: short, since an item is paid for by size.
macro_rules! counters {
    ($($metric:ident, $period:ident, $name:literal;)*) => {
        impl Counter {
            /// Every counter.
            pub const ALL: [Self; [$($name),*].len()] =
                [$(Self { metric: Metric::$metric, period: Period::$period }),*];

            /// The name of its attribute in a meter item.
            pub fn attribute(self) -> &'static str {
                match (self.metric, self.period) {
                    $((Metric::$metric, Period::$period) => $name,)*
                    _ => "",
                }
            }
        }
    };
}

counters! {
    Requests, Minute, "req_min";
    Requests, Hour, "req_hour";
    Requests, Day, "req_day";
    Requests, Month, "req_month";
    InputTokens, Minute, "in_min";
    InputTokens, Hour, "in_hour";
    InputTokens, Day, "in_day";
    InputTokens, Month, "in_month";
    OutputTokens, Minute, "out_min";
    OutputTokens, Hour, "out_hour";
    OutputTokens, Day, "out_day";
    OutputTokens, Month, "out_month";
    TotalTokens, Minute, "tok_min";
    TotalTokens, Hour, "tok_hour";
    TotalTokens, Day, "tok_day";
    TotalTokens, Month, "tok_month";
    Cost, Day, "usd_day";
    Cost, Week, "usd_week";
    Cost, Month, "usd_month";
    Cost, Quarter, "usd_quarter";
    Cost, Year, "usd_year";
    Cost, Total, "usd_total";
}

impl Counter {
    /// The counter of `metric` in `period`; none if that is not counted.
    pub fn of(metric: Metric, period: Period) -> Option<Self> {
        metric.periods().contains(&period).then_some(Self { metric, period })
    }

    fn index(self) -> usize {
        Self::ALL.iter().position(|counter| *counter == self).unwrap_or(usize::MAX)
    }
}

impl Counters {
    /// One count.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0.get(counter.index()).copied().unwrap_or(0)
    }

    /// Sets one count.
    pub fn set(&mut self, counter: Counter, count: u64) {
        if let Some(slot) = self.0.get_mut(counter.index()) {
            *slot = count;
        }
    }

    /// The counts of `other` added to these.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        for (mine, others) in self.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_add(others);
        }
        self
    }
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = Counter::ALL.iter().filter(|counter| self.get(**counter) > 0);
        f.debug_map().entries(counted.map(|it| (it.attribute(), self.get(*it)))).finish()
    }
}

impl Serialize for Counters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(Counter::ALL.len()))?;
        for counter in Counter::ALL {
            map.serialize_entry(counter.attribute(), &self.get(counter))?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Counters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Counts;

        impl<'de> Visitor<'de> for Counts {
            type Value = Counters;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a meter's counts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Counters, A::Error> {
                let names: BTreeMap<&str, Counter> =
                    Counter::ALL.iter().map(|counter| (counter.attribute(), *counter)).collect();
                let mut counters = Counters::default();
                while let Some(name) = map.next_key::<String>()? {
                    match names.get(name.as_str()) {
                        Some(counter) => counters.set(*counter, map.next_value()?),
                        None => _ = map.next_value::<IgnoredAny>()?,
                    }
                }
                Ok(counters)
            }
        }

        deserializer.deserialize_map(Counts)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_period_of_every_metric_has_a_counter_of_its_own() {
        let mut names = BTreeSet::new();
        for metric in [
            Metric::Concurrency,
            Metric::Requests,
            Metric::InputTokens,
            Metric::OutputTokens,
            Metric::TotalTokens,
            Metric::Cost,
        ] {
            for period in metric.periods() {
                let counter = Counter::of(metric, *period).unwrap();
                assert!(!counter.attribute().is_empty(), "{counter:?}");
                assert!(names.insert(counter.attribute()), "{counter:?}");
                assert!(Counter::ALL.contains(&counter), "{counter:?}");
            }
        }
        assert_eq!(names.len(), Counter::ALL.len());
        assert_eq!(Counter::of(Metric::Cost, Period::Minute), None);
    }

    #[test]
    fn counters_are_attributes_among_others() {
        let mut counters = Counters::default();
        for (number, counter) in Counter::ALL.into_iter().enumerate() {
            counters.set(counter, number as u64);
        }
        let mut item = serde_json::to_value(counters).unwrap();
        assert_eq!(item["usd_month"], 18);
        item["status"] = "active".into();
        assert_eq!(serde_json::from_value::<Counters>(item).unwrap(), counters);
    }
}
