//! `x-ratelimit-*`: how much of the caller's minute is left.

use admission::{Admitted, Minute};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The headers that OpenAI's clients know, each for the scope with the least left; a kind of limit
/// that no scope has gives none.
pub fn rate_limit_headers(admitted: &Admitted, now_ms: i64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let reset_ms = Minute(Minute::of(now_ms).0 + 1).start_ms().saturating_sub(now_ms);
    let reset = format!("{}s", u64::try_from(reset_ms).unwrap_or(0).div_ceil(1_000));
    let tightest = |pick: fn((Option<u64>, Option<u64>)) -> Option<u64>| {
        admitted
            .standings
            .iter()
            .filter_map(|(scope, standing)| {
                let limits = (scope.limits.requests_per_minute, scope.limits.tokens_per_minute);
                Some((pick(standing.remaining(&scope.limits))?, pick(limits)?))
            })
            .min()
    };
    let kinds: [(_, [&'static str; 3]); 2] = [
        (
            tightest(|(requests, _)| requests),
            [
                "x-ratelimit-limit-requests",
                "x-ratelimit-remaining-requests",
                "x-ratelimit-reset-requests",
            ],
        ),
        (
            tightest(|(_, tokens)| tokens),
            [
                "x-ratelimit-limit-tokens",
                "x-ratelimit-remaining-tokens",
                "x-ratelimit-reset-tokens",
            ],
        ),
    ];
    for (found, [limit_name, remaining_name, reset_name]) in kinds {
        let Some((remaining, limit)) = found else { continue };
        headers.insert(HeaderName::from_static(limit_name), HeaderValue::from(limit));
        headers.insert(HeaderName::from_static(remaining_name), HeaderValue::from(remaining));
        if let Ok(reset) = HeaderValue::from_str(&reset) {
            headers.insert(HeaderName::from_static(reset_name), reset);
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use admission::{LimitedScope, Limits, Scope, Standing};

    use super::*;

    fn scope(
        scope: Scope,
        requests: Option<u64>,
        tokens: Option<u64>,
        used: u64,
    ) -> (LimitedScope, Standing) {
        let limits = Limits {
            requests_per_minute: requests,
            tokens_per_minute: tokens,
            ..Limits::default()
        };
        let standing =
            Standing { minute_requests: used, minute_tokens: used * 10, ..Standing::default() };
        (LimitedScope { scope, limits, entitlement_version: 1 }, standing)
    }

    #[test]
    fn the_scope_with_the_least_left_is_shown() {
        let admitted = Admitted {
            standings: vec![
                scope(Scope::Tenant("acme".parse().unwrap()), Some(100), None, 5),
                scope(Scope::Lob("retail".parse().unwrap()), Some(50), Some(1_000), 40),
            ],
        };
        let headers = rate_limit_headers(&admitted, 1_795_435_210_000);
        assert_eq!(headers["x-ratelimit-limit-requests"], "50");
        assert_eq!(headers["x-ratelimit-remaining-requests"], "10");
        assert_eq!(headers["x-ratelimit-reset-requests"], "50s");
        assert_eq!(headers["x-ratelimit-remaining-tokens"], "600");
    }
}
