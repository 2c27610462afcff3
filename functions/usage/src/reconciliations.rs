//! Reconciliations: what AWS says of a month, beside what the ledger says.

use admission::Calendar;
use billing::{Month, Task, calendar};
use http::{Response, StatusCode};
use http_api::{ApiError, Ask, Body, answer, conflict, store_failed};
use jiff::Timestamp;
use lake::ObjectStore as _;
use reconciliation::{REPORTS, report_of};
use serde_json::{Value, json};
use tenancy::{Permission, TenantContext};

use crate::account::month;
use crate::statements::Form;
use crate::{State, Store, tasks};

/// `GET /v1/reconciliations`
pub(crate) async fn list(
    state: &State<impl Store>,
    context: &TenantContext,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    context.require(Permission::ReadOrgUsage)?;
    ask.only(&[])?;
    let keys = state.store.documents().list(REPORTS).await.map_err(store_failed)?;
    let period =
        |key: &String| key.strip_prefix(REPORTS)?.strip_suffix("/report.json")?.parse().ok();
    let mut periods: Vec<Month> = keys.iter().filter_map(period).collect();
    periods.sort_unstable_by(|a, b| b.cmp(a));
    let data: Vec<Value> = periods.iter().map(|period| json!({"period": period})).collect();
    Ok(answer(StatusCode::OK, &json!({"object": "list", "data": data})))
}

/// `GET /v1/reconciliations/{period}`
pub(crate) async fn show(
    state: &State<impl Store>,
    context: &TenantContext,
    period: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    context.require(Permission::ReadOrgUsage)?;
    let period = month("period", period)?;
    ask.only(&["format"])?;
    let form = Form::read(ask, &[Form::Json, Form::Csv])?;
    let key = format!("{}.{}", report_of(&period.to_string()), form.extension());
    let report = state.store.documents().get(&key).await.map_err(store_failed)?;
    let report =
        report.ok_or_else(|| ApiError::not_found("reconciliation of", &period.to_string()))?;
    Ok(form.answer(report, &format!("reconciliation-{period}")))
}

/// `POST /v1/reconciliations/{period}`
pub(crate) async fn request(
    state: &State<impl Store>,
    context: &TenantContext,
    period: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    const ACTION: &str = "reconciliation.request";
    let period = month("period", period)?;
    let subject = format!("reconciliations/{period}");
    tasks::require_books(state, context, ACTION, &subject).await?;
    ask.only(&[])?;
    // As AWS bills it.
    let end_ms = calendar::span(&Calendar::utc(), period).end_ms;
    if (state.now)().as_millisecond() < end_ms {
        let end = Timestamp::from_millisecond(end_ms).unwrap_or(Timestamp::MAX);
        let message = format!("AWS's bill of {period} is not complete before {end}.");
        return Err(conflict("month_not_over", message));
    }
    let task = Task::Reconcile { period };
    tasks::note(state, context, ACTION, &subject, (Value::Null, json!(task))).await?;
    tasks::request(state, &task).await
}
