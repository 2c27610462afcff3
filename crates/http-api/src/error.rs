//! What a client may read when its call is not served.

use std::error::Error;
use std::time::Duration;

use admission::{Cap, Denial, Metric, Minute, OnExhausted, Scope, StoreError};
use http::{HeaderName, HeaderValue, Method, Response, header};
use inference::{BadRequest, Family, Fault, FaultKind, ProviderError, ReadCatalogError};
use tenancy::PermissionDenied;

use crate::body::{Body, full};

/// A provider's wish to be left alone is passed on up to here; SDKs give up on longer ones.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(2);

/// A refused or failed call: what the client reads, and whether to try again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    fault: Fault,
    retry: Retry,
}

/// What the SDKs should do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Retry {
    /// What they do by themselves with the status.
    Default,
    /// Wait for so many milliseconds.
    AfterMs(u64),
    /// Nothing: the answer will be the same.
    Never,
}

impl ApiError {
    /// An error with which the SDKs do what they do by themselves.
    pub fn new(kind: FaultKind, code: &'static str, message: impl Into<String>) -> Self {
        Fault::new(kind, code, message).into()
    }

    /// The same error, not worth a retry.
    #[must_use]
    pub fn never_retried(self) -> Self {
        Self { retry: Retry::Never, ..self }
    }

    /// What went wrong.
    pub fn fault(&self) -> &Fault {
        &self.fault
    }

    /// No such path.
    pub fn unknown_route(method: &Method, path: &str) -> Self {
        let path: String = path.chars().take(128).collect();
        let message = format!(
            "There is no route `{method} {path}`. The routes are in the gateway's documentation; GET /v1/models lists the models."
        );
        Self::new(FaultKind::NotFound, "unknown_url", message)
    }

    /// A path that is there for another method.
    pub fn wrong_method(method: &Method, path: &str, right: &Method) -> Self {
        let message = format!("`{path}` does not take {method}. Use {right}.");
        Self::new(FaultKind::MethodNotAllowed, "method_not_allowed", message)
    }

    /// Refuses a method that a path does not take; `methods` are those that it does.
    ///
    /// # Errors
    /// [`Self::wrong_method`].
    pub fn check_method(method: &Method, path: &str, methods: &[Method]) -> Result<(), Self> {
        if methods.contains(method) {
            return Ok(());
        }
        Err(Self::wrong_method(method, path, methods.first().unwrap_or(&Method::GET)))
    }

    /// A model that is not registered, or not on the tenant's allowlist: to the caller the same.
    pub fn unknown_model(model: &str) -> Self {
        let shown: String = model.chars().take(128).collect();
        let message = format!(
            "The model `{shown}` does not exist or your tenant may not use it. GET /v1/models lists the models that it may use."
        );
        Fault::new(FaultKind::NotFound, "model_not_found", message).about("model").into()
    }

    /// A model that the tenant could call until its end; what follows it, if somebody said so.
    pub fn retired_model(model: &str, successor: Option<&str>) -> Self {
        let shown: String = model.chars().take(128).collect();
        let next = match successor {
            Some(successor) => format!(
                "Use its successor `{successor}`; if your tenant may not, ask for it with POST /v1/tenants/{{tenant_id}}/model-requests."
            ),
            None => "GET /v1/models lists the models that your tenant may use.".to_owned(),
        };
        let message = format!("The model `{shown}` is retired and answers no more. {next}");
        Fault::new(FaultKind::NotFound, "model_retired", message).about("model").into()
    }

    /// A project that the tenant does not have, or that the caller may not use: to the caller the same.
    pub fn unknown_project(project: &str) -> Self {
        let message = format!(
            "Your tenant has no project `{project}` that you may use. Leave the header out, or ask your tenant's administrator."
        );
        Self::new(FaultKind::NotFound, "project_not_found", message)
    }

    /// A model that nobody has priced, so that no budget could hold it.
    pub fn unpriced_model(model: &str) -> Self {
        let message = format!(
            "The model `{model}` has no price in the price book in force, so its use cannot be held to a budget. Ask the people who run the gateway to price it."
        );
        let fault = Fault::new(FaultKind::Unavailable, "model_unpriced", message).about("model");
        Self::from(fault).never_retried()
    }

    /// A service tier that nobody has priced for a model that has a price otherwise.
    pub fn unpriced_tier(model: &str, tier: &str) -> Self {
        let message = format!(
            "The model `{model}` has no price in the service tier `{tier}`. Leave the tier out, or ask the people who run the gateway to price it."
        );
        Fault::new(FaultKind::InvalidRequest, "unsupported_parameter", message)
            .about("service_tier")
            .into()
    }

    /// Something of the tenant's that is not there, or not the tenant's: to the caller the same.
    pub fn not_found(kind: &str, id: &str) -> Self {
        let shown: String = id.chars().take(128).collect();
        let message =
            format!("There is no {kind} `{shown}`. It may have expired, or never have existed.");
        Self::new(FaultKind::NotFound, "not_found", message)
    }

    /// More bytes than Lambda takes.
    pub fn too_large(limit: usize) -> Self {
        let message = format!(
            "The request is larger than {} MB. Upload large images and documents with POST /v1/files, and refer to them by id.",
            limit / (1024 * 1024)
        );
        Self::new(FaultKind::TooLarge, "request_too_large", message)
    }

    /// Bytes that are not text.
    pub fn not_utf8() -> Self {
        let message = "The request body is not valid UTF-8. Encode it as UTF-8 JSON.";
        Self::new(FaultKind::InvalidRequest, "invalid_utf8", message)
    }

    /// A fault of the gateway's own, logged here and nowhere else, with its whole chain of causes.
    pub fn internal(error: &(dyn Error + 'static)) -> Self {
        tracing::error!(error = %chain(error), "the gateway failed to serve a call");
        let message = "The gateway failed to serve this call. Try again; if it keeps failing, tell the people who run it the x-request-id.";
        Self::new(FaultKind::Internal, "internal_error", message)
    }

    /// A store that did not answer in time, logged here and nowhere else.
    pub fn unavailable(error: &(dyn Error + 'static)) -> Self {
        tracing::error!(error = %chain(error), "a store could not be reached; the call was refused");
        let message = "The gateway cannot check this tenant's limits at the moment, so it does not call the model. Try again in a moment.";
        let error = Self::new(FaultKind::Unavailable, "admission_unavailable", message);
        Self { retry: Retry::AfterMs(1_000), ..error }
    }

    /// A store that did not answer an administrator, logged here and nowhere else.
    pub fn store_failed(error: &(dyn Error + 'static)) -> Self {
        tracing::error!(error = %chain(error), "a store could not be reached; nothing was answered");
        let message = "The gateway cannot reach its tables at the moment. Try again in a moment.";
        let error = Self::new(FaultKind::Unavailable, "store_unavailable", message);
        Self { retry: Retry::AfterMs(1_000), ..error }
    }

    /// A scope's refusal, at `now_ms` (Unix milliseconds).
    pub fn denied(scope: &Scope, denial: &Denial, now_ms: i64) -> Self {
        match denial {
            Denial::Unknown | Denial::Suspended => {
                let message =
                    format!("The {scope} is suspended. Ask the people who run the gateway.");
                Self::new(FaultKind::PermissionDenied, "suspended", message)
            }
            Denial::Stale => {
                let message = format!(
                    "The configuration of the {scope} is being changed. Try again in a moment."
                );
                let error = Self::new(FaultKind::Unavailable, "configuration_changing", message);
                Self { retry: Retry::AfterMs(1_000), ..error }
            }
            Denial::Exceeded { cap, used, requested, resets } => {
                let resets = resets.map(Minute::to_rfc3339);
                exceeded(scope, denial, cap, (*used, *requested), resets.as_deref(), now_ms)
            }
        }
    }

    /// The response as `family`'s SDKs read it, with its headers.
    pub fn into_response(self, family: Family, request_id: &str) -> Response<Body> {
        let mut response = Response::new(full(self.fault.to_body(family, request_id).to_string()));
        *response.status_mut() = self.fault.status(family);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if family == Family::Aws {
            let exception = HeaderValue::from_static(self.fault.aws_exception());
            headers.insert("x-amzn-errortype", exception);
        }
        if let Ok(request_id) = HeaderValue::from_str(request_id) {
            headers.insert("x-request-id", request_id.clone());
            headers.insert(request_id_header(family), request_id);
        }
        match self.retry {
            Retry::Default => {}
            Retry::AfterMs(wait_ms) => {
                let wait_ms = wait_ms.saturating_add(jitter_ms(request_id));
                headers
                    .insert(header::RETRY_AFTER, HeaderValue::from(wait_ms.div_ceil(1_000).max(1)));
                headers.insert("retry-after-ms", HeaderValue::from(wait_ms));
            }
            Retry::Never => {
                headers.insert("x-should-retry", HeaderValue::from_static("false"));
            }
        }
        response
    }
}

/// Where `family`'s SDKs look for the name of a call.
pub fn request_id_header(family: Family) -> HeaderName {
    HeaderName::from_static(match family {
        Family::Openai => "x-request-id",
        Family::Anthropic => "request-id",
        Family::Aws => "x-amzn-requestid",
    })
}

fn exceeded(
    scope: &Scope,
    denial: &Denial,
    cap: &Cap,
    (used, requested): (u64, u64),
    resets: Option<&str>,
    now_ms: i64,
) -> ApiError {
    let metric = cap.metric();
    // One shard of several speaks for all, which fill up together.
    let shards = cap.whole.checked_div(cap.allowed).unwrap_or(1).max(1);
    let used = metric.display(used.saturating_mul(shards).min(cap.whole.max(used)));
    let (allowed, requested) = (metric.display(cap.whole), metric.display(requested));
    let mut message = if denial.is_permanent() {
        format!(
            "This call may use up to {requested} and can never fit into the {scope}'s limit of {allowed} ({cap}). Lower max_tokens, or shorten the conversation."
        )
    } else if metric == Metric::Concurrency {
        format!("The {scope} has reached its limit of {allowed} ({cap}). Wait for one to end.")
    } else {
        let resets = resets.map_or_else(
            || "The count does not start anew: ask for a higher limit.".to_owned(),
            |resets| format!("The count starts anew at {resets}."),
        );
        format!(
            "The {scope} has reached its limit of {allowed} ({cap}): {used} are used or reserved and this call may use up to {requested}. {resets}"
        )
    };
    if cap.on_exhausted == Some(OnExhausted::Approval) {
        let ask = format!(
            " A raise of the limit `{}` can be asked for, with POST /v1/limits/../raises.",
            cap.limit_id
        );
        message.push_str(&ask);
    }
    let (kind, code) = match metric {
        Metric::Cost => (FaultKind::Quota, "insufficient_quota"),
        Metric::Requests | Metric::Concurrency => (FaultKind::RequestRate, "rate_limit_exceeded"),
        Metric::InputTokens | Metric::OutputTokens | Metric::TotalTokens => {
            (FaultKind::TokenRate, "rate_limit_exceeded")
        }
    };
    let retry = match denial.retry_after_ms(now_ms) {
        Some(wait_ms) if denial.is_momentary() => Retry::AfterMs(wait_ms),
        _ => Retry::Never,
    };
    ApiError { retry, ..ApiError::new(kind, code, message) }
}

/// Up to a second, different for each call, so that callers who were refused together do not come
/// back together: the last digits of a call's id are random.
fn jitter_ms(request_id: &str) -> u64 {
    let digits = request_id.get(request_id.len().saturating_sub(4)..).unwrap_or_default();
    u64::from_str_radix(digits, 16).map_or(0, |random| random % 1_000)
}

/// An error and all its causes, in one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let (mut line, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        Self { fault, retry: Retry::Default }
    }
}

impl From<BadRequest> for ApiError {
    fn from(error: BadRequest) -> Self {
        Fault::from(error).into()
    }
}

impl From<PermissionDenied> for ApiError {
    fn from(error: PermissionDenied) -> Self {
        let message = format!(
            "Your role or your token's scopes do not permit you to {}. Ask your tenant's administrator.",
            error.permission.as_str()
        );
        Self::new(FaultKind::PermissionDenied, "permission_denied", message)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::unavailable(&error)
    }
}

impl From<ReadCatalogError> for ApiError {
    fn from(error: ReadCatalogError) -> Self {
        Self::unavailable(&error)
    }
}

impl From<&ProviderError> for ApiError {
    fn from(error: &ProviderError) -> Self {
        let retry = match error.retry_after.filter(|wait| *wait <= MAX_RETRY_AFTER) {
            Some(wait) => Retry::AfterMs(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            None => Retry::Default,
        };
        Self { fault: error.into(), retry }
    }
}

#[cfg(test)]
mod tests {
    use admission::{Calendar, Counter, Period};

    use super::*;

    /// 2026-11-23T12:00:10Z
    const NOW_MS: i64 = 1_795_435_210_000;

    fn denied(
        (metric, period): (Metric, Option<Period>),
        allowed: u64,
        used: u64,
        requested: u64,
    ) -> ApiError {
        let counter = period.and_then(|period| Counter::of(metric, period));
        let cap =
            Cap { limit_id: "a".into(), counter, allowed, whole: allowed, on_exhausted: None };
        let end = |period| Calendar::utc().end_of(Minute::of(NOW_MS), period);
        let resets = period.and_then(end);
        let denial = Denial::Exceeded { cap, used, requested, resets };
        ApiError::denied(&Scope::Tenant("acme".parse().unwrap()), &denial, NOW_MS)
    }

    #[test]
    fn a_spent_budget_names_limit_and_reset_and_is_not_worth_a_retry() {
        let month = (Metric::Cost, Some(Period::Month));
        let error = denied(month, 50_000_000, 49_900_000, 1_500_000);
        insta::assert_snapshot!(error.fault().message, @"The tenant `acme` has reached its limit of $0.05 (budget per month): $0.0499 are used or reserved and this call may use up to $0.0015. The count starts anew at 2026-12-01T00:00:00Z.");
        let response = error.into_response(Family::Openai, "call-1");
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["x-should-retry"], "false");
        assert_eq!(response.headers()["x-request-id"], "call-1");
        assert!(!response.headers().contains_key("retry-after"));
        let total = denied((Metric::Cost, Some(Period::Total)), 50_000_000, 49_900_000, 1_500_000);
        assert!(total.fault().message.ends_with("does not start anew: ask for a higher limit."));
    }

    #[test]
    fn a_full_minute_says_when_to_come_back() {
        let response = denied((Metric::Requests, Some(Period::Minute)), 60, 60, 1)
            .into_response(Family::Openai, "call-1");
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (429, &HeaderValue::from(50))
        );
        let busy = denied((Metric::Concurrency, None), 3, 3, 1);
        insta::assert_snapshot!(busy.fault().message, @"The tenant `acme` has reached its limit of 3 (concurrent calls). Wait for one to end.");
        assert!(busy.into_response(Family::Openai, "call-1").headers().contains_key("retry-after"));
    }

    #[test]
    fn a_call_that_can_never_fit_says_so() {
        let error = denied((Metric::TotalTokens, Some(Period::Minute)), 1_000, 0, 5_000);
        insta::assert_snapshot!(error.fault().message, @"This call may use up to 5000 and can never fit into the tenant `acme`'s limit of 1000 (tokens per minute). Lower max_tokens, or shorten the conversation.");
        assert_eq!(
            error.into_response(Family::Openai, "call-1").headers()["x-should-retry"],
            "false"
        );
    }

    #[test]
    fn a_fault_of_ours_tells_the_client_nothing_of_the_inside() {
        let error = StoreError {
            operation: "reserve",
            subject: "tenant `globex`".into(),
            source: "10.0.0.7".into(),
        };
        let message = ApiError::from(error).fault().message.clone();
        assert!(!message.contains("globex") && !message.contains("10.0.0.7"), "{message}");
    }
}
