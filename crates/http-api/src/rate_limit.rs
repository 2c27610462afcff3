//! `x-ratelimit-*` and `anthropic-ratelimit-*`: how much of the caller's minute is left.

use admission::{Admitted, Limits, Minute, Standing};
use http::{HeaderMap, HeaderName, HeaderValue};
use inference::Family;

/// The headers that `family`'s clients know, each for the scope with the least left; a kind of limit
/// that no scope has gives none. AWS's clients know none, and get OpenAI's.
pub fn rate_limit_headers(admitted: &Admitted, family: Family, now_ms: i64) -> HeaderMap {
    let next = Minute(Minute::of(now_ms).0 + 1);
    let reset_ms = next.start_ms().saturating_sub(now_ms);
    let reset = match family {
        Family::Anthropic => next.to_rfc3339(),
        Family::Openai | Family::Aws => {
            format!("{}s", u64::try_from(reset_ms).unwrap_or(0).div_ceil(1_000))
        }
    };
    let requests =
        tightest(admitted, |limits, used| (limits.requests_per_minute, used.minute_requests));
    let tokens = tightest(admitted, |limits, used| (limits.tokens_per_minute, used.minute_tokens));

    let mut headers = HeaderMap::new();
    for (kind, found) in [("requests", requests), ("tokens", tokens)] {
        let Some((remaining, limit)) = found else { continue };
        let values = [
            ("limit", limit.to_string()),
            ("remaining", remaining.to_string()),
            ("reset", reset.clone()),
        ];
        for (name, value) in values {
            let name = HeaderName::try_from(match family {
                Family::Anthropic => format!("anthropic-ratelimit-{kind}-{name}"),
                Family::Openai | Family::Aws => format!("x-ratelimit-{name}-{kind}"),
            });
            if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
                headers.insert(name, value);
            }
        }
    }
    headers
}

/// What is left, and of how much, in the scope with the least left.
fn tightest(
    admitted: &Admitted,
    of: impl Fn(&Limits, &Standing) -> (Option<u64>, u64),
) -> Option<(u64, u64)> {
    admitted
        .standings
        .iter()
        .filter_map(|(scope, standing)| {
            let (limit, used) = of(&scope.limits, standing);
            limit.map(|limit| (limit.saturating_sub(used), limit))
        })
        .min()
}

#[cfg(test)]
mod tests {
    use admission::{LimitedScope, Scope};

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
        let headers = rate_limit_headers(&admitted, Family::Openai, 1_795_435_210_000);
        assert_eq!(headers["x-ratelimit-limit-requests"], "50");
        assert_eq!(headers["x-ratelimit-remaining-requests"], "10");
        assert_eq!(headers["x-ratelimit-reset-requests"], "50s");
        assert_eq!(headers["x-ratelimit-remaining-tokens"], "600");

        let headers = rate_limit_headers(&admitted, Family::Anthropic, 1_795_435_210_000);
        assert_eq!(headers["anthropic-ratelimit-requests-remaining"], "10");
        assert_eq!(headers["anthropic-ratelimit-tokens-reset"], "2026-11-23T12:01:00Z");
    }
}
