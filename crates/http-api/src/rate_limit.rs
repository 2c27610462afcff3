//! `x-ratelimit-*`, `anthropic-ratelimit-*` and `x-weir-budget-*`: how much of the caller's limits is left.

use admission::{Admitted, Cap, Counter, Metric, Minute, Period};
use http::{HeaderMap, HeaderName, HeaderValue};
use inference::Family;
use metering::NanoUsd;

/// What is limited by the minute, as headers name it.
const KINDS: [(&str, Metric); 4] = [
    ("requests", Metric::Requests),
    ("tokens", Metric::TotalTokens),
    ("input-tokens", Metric::InputTokens),
    ("output-tokens", Metric::OutputTokens),
];

/// The headers that `family`'s clients know, each for the scope with the least left; a kind of limit
/// that no scope has gives none. AWS's clients know none, and get OpenAI's. Budgets are the gateway's
/// own: the one with the least left, in US dollars.
pub fn rate_limit_headers(admitted: &Admitted, family: Family, now_ms: i64) -> HeaderMap {
    let next = Minute::of(now_ms).next();
    let reset_ms = next.start_ms().saturating_sub(now_ms);
    let reset = match family {
        Family::Anthropic => next.to_rfc3339(),
        Family::Openai | Family::Aws => {
            format!("{}s", u64::try_from(reset_ms).unwrap_or(0).div_ceil(1_000))
        }
    };
    let mut headers = HeaderMap::new();
    let mut set = |name: String, value: String| {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    };
    for (kind, metric) in KINDS {
        let is_meant =
            |counter: Counter| counter.metric == metric && counter.period == Period::Minute;
        let Some(Left { remaining, limit, .. }) = tightest(admitted, is_meant) else { continue };
        for (name, value) in [
            ("limit", limit.to_string()),
            ("remaining", remaining.to_string()),
            ("reset", reset.clone()),
        ] {
            let name = match family {
                Family::Anthropic => format!("anthropic-ratelimit-{kind}-{name}"),
                Family::Openai | Family::Aws => format!("x-ratelimit-{name}-{kind}"),
            };
            set(name, value);
        }
    }
    if let Some(left) = tightest(admitted, |counter| counter.metric == Metric::Cost) {
        set("x-weir-budget-limit".to_owned(), dollars(left.limit));
        set("x-weir-budget-remaining".to_owned(), dollars(left.remaining));
        set("x-weir-budget-period".to_owned(), left.period.as_str().to_owned());
    }
    headers
}

/// A decimal number of dollars, without a sign of currency.
fn dollars(nano: u64) -> String {
    NanoUsd(nano).to_string().trim_start_matches('$').to_owned()
}

/// What is left of a limit.
struct Left {
    remaining: u64,
    limit: u64,
    period: Period,
}

/// What is left, and of how much, in the scope with the least left.
fn tightest(admitted: &Admitted, is_meant: impl Fn(Counter) -> bool) -> Option<Left> {
    let left = admitted.standings.iter().flat_map(|(scope, standing)| {
        let shards = scope.layout.shards;
        scope.caps.iter().filter_map(move |cap: &Cap| {
            let counter = cap.counter?;
            // One shard of several speaks for all, which fill up together.
            let share = cap.of_shard(0, shards).allowed;
            let remaining = share.saturating_sub(standing.get(counter));
            let remaining = remaining.saturating_mul(u64::from(shards)).min(cap.whole);
            Some((counter, Left { remaining, limit: cap.whole, period: counter.period }))
        })
    });
    left.filter(|(counter, _)| is_meant(*counter))
        .map(|(_, left)| left)
        .min_by_key(|left| (left.remaining, left.limit))
}

#[cfg(test)]
mod tests {
    use admission::{LimitedScope, MeterLayout, ModelSelector, Scope, Standing};

    use super::*;

    fn scope(
        scope: Scope,
        shards: u16,
        caps: &[(Metric, Period, u64)],
        used: u64,
    ) -> (LimitedScope, Standing) {
        let cap = |(metric, period, allowed): &(Metric, Period, u64)| Cap {
            limit_id: "a".to_owned(),
            counter: Counter::of(*metric, *period),
            allowed: *allowed,
            whole: *allowed,
            on_exhausted: None,
        };
        let mut standing = Standing::default();
        for counter in Counter::ALL {
            let each = if counter.metric == Metric::TotalTokens { used * 10 } else { used };
            standing.set(counter, each);
        }
        let limited = LimitedScope {
            scope,
            models: ModelSelector::All,
            layout: MeterLayout { epoch: 0, shards },
            caps: caps.iter().map(cap).collect(),
            entitlement_version: None,
        };
        (limited, standing)
    }

    #[test]
    fn the_scope_with_the_least_left_is_shown() {
        let minute = Period::Minute;
        let admitted = Admitted {
            standings: vec![
                scope(
                    Scope::Tenant("acme".parse().unwrap()),
                    1,
                    &[
                        (Metric::Requests, minute, 100),
                        (Metric::Requests, Period::Day, 6),
                        (Metric::Cost, Period::Month, 2_500_000_005),
                    ],
                    5,
                ),
                scope(
                    Scope::Lob("retail".parse().unwrap()),
                    4,
                    &[(Metric::Requests, minute, 80), (Metric::TotalTokens, minute, 1_000)],
                    10,
                ),
            ],
            held: vec![],
        };
        let headers = rate_limit_headers(&admitted, Family::Openai, 1_795_435_210_000);
        assert_eq!(headers["x-ratelimit-limit-requests"], "80");
        assert_eq!(headers["x-ratelimit-remaining-requests"], "40", "four shards with ten left");
        assert_eq!(headers["x-ratelimit-reset-requests"], "50s");
        assert_eq!(headers["x-ratelimit-remaining-tokens"], "600");
        assert_eq!(headers["x-weir-budget-limit"], "2.500000005");
        assert_eq!(headers["x-weir-budget-remaining"], "2.50");
        assert_eq!(headers["x-weir-budget-period"], "month");

        let headers = rate_limit_headers(&admitted, Family::Anthropic, 1_795_435_210_000);
        assert_eq!(headers["anthropic-ratelimit-requests-remaining"], "40");
        assert_eq!(headers["anthropic-ratelimit-tokens-reset"], "2026-11-23T12:01:00Z");
    }
}
