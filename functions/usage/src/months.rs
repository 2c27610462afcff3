//! Months of the organisation: which are open, and closing them.

use billing::port::{BillingStore as _, ClosedMonth};
use billing::{Begin, Books, CloseRefused, Month, MonthState, Task, calendar};
use http::{Response, StatusCode};
use http_api::{ApiError, Ask, Body, answer, conflict, store_failed};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tenancy::{Permission, TenantContext};

use crate::account::month;
use crate::{State, Store, tasks};

/// Open months that are listed at most: more are not open unless nobody ever closes one.
const MAX_OPEN: usize = 24;

/// `GET /v1/months`
pub(crate) async fn list(
    state: &State<impl Store>,
    context: &TenantContext,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    context.require(Permission::ReadOrgUsage)?;
    ask.only(&[])?;
    let books = state.store.books().books().await.map_err(store_failed)?;
    let closed = state.store.books().closed().await.map_err(store_failed)?;
    let (current, _) = calendar::current(&state.calendar, (state.now)().as_millisecond());
    // The running one, and those before it that wait to be closed.
    let open = std::iter::successors(Some(current), |period| Some(period.previous()));
    let is_begun = books != Books::default();
    let open = open.take_while(|period| {
        *period == current || is_begun && books.state_of(*period) == MonthState::Open
    });
    let mut periods: Vec<Month> = open.take(MAX_OPEN).collect();
    periods.extend(books.closing.as_ref().map(|closing| closing.period));
    periods.extend(closed.iter().map(|month| month.period));
    periods.sort_unstable_by(|a, b| b.cmp(a));
    periods.dedup();
    let data: Vec<Value> =
        periods.into_iter().map(|it| shown(state, &books, &closed, it)).collect();
    let body = json!({"object": "list", "time_zone": state.calendar.name(), "data": data});
    Ok(answer(StatusCode::OK, &body))
}

/// `GET /v1/months/{period}`
pub(crate) async fn show(
    state: &State<impl Store>,
    context: &TenantContext,
    period: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    context.require(Permission::ReadOrgUsage)?;
    let period = month("period", period)?;
    ask.only(&[])?;
    let books = state.store.books().books().await.map_err(store_failed)?;
    Ok(answer(StatusCode::OK, &found(state, &books, period).await?))
}

/// `POST /v1/months/{period}/close`
///
/// The function that closes it decides again: what is refused here would be refused there.
pub(crate) async fn close(
    state: &State<impl Store>,
    context: &TenantContext,
    period: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    const ACTION: &str = "month.close";
    let period = month("period", period)?;
    let subject = format!("months/{period}");
    tasks::require_books(state, context, ACTION, &subject).await?;
    ask.only(&[])?;
    let books = state.store.books().books().await.map_err(store_failed)?;
    let span = calendar::span(&state.calendar, period);
    let requested_by = context.principal.id.to_string();
    match books.begin(&span, &requested_by, (state.now)().as_millisecond()) {
        Err(refused) => Err(refusal(&refused)),
        Ok(Begin::AlreadyClosed) => {
            Ok(answer(StatusCode::OK, &found(state, &books, period).await?))
        }
        Ok(Begin::Start(_) | Begin::Resume(_)) => {
            let before = json!({"state": name(books.state_of(period))});
            let after = json!({"state": name(MonthState::Closed)});
            tasks::note(state, context, ACTION, &subject, (before, after)).await?;
            tasks::request(state, &Task::CloseMonth { period, requested_by }).await
        }
    }
}

async fn found(state: &State<impl Store>, books: &Books, period: Month) -> Result<Value, ApiError> {
    let closed = match books.state_of(period) {
        MonthState::Closed => state.store.books().closed().await.map_err(store_failed)?,
        _ => Vec::new(),
    };
    Ok(shown(state, books, &closed, period))
}

/// A month. One that ended before the books began is closed, and came to nothing.
fn shown<S>(state: &State<S>, books: &Books, closed: &[ClosedMonth], period: Month) -> Value {
    let month_state = books.state_of(period);
    let mut month = Map::from_iter([
        ("object".to_owned(), "month".into()),
        ("period".to_owned(), json!(period)),
        ("state".to_owned(), name(month_state).into()),
        ("time_zone".to_owned(), state.calendar.name().into()),
    ]);
    let closing = books.closing.as_ref().filter(|closing| closing.period == period);
    if let Some(closing) = closing {
        let shown = json!({
            "requested_by": closing.requested_by,
            "started_ms": closing.started_ms,
            "done_through": closing.done_through,
        });
        month.insert("closing".to_owned(), shown);
    }
    let closed = closed.iter().find(|month| month.period == period);
    // What it came to is noted before the books say that it is closed.
    if let Some(closed) = closed.filter(|_| month_state == MonthState::Closed) {
        let shown = json!({
            "requested_by": closed.requested_by,
            "started_ms": closed.started_ms,
            "closed_ms": closed.closed_ms,
            "tenants": closed.tenants,
            "lobs": closed.lobs,
            "records": closed.records,
            "cost_nanousd": closed.cost_nanousd,
            "total_nanousd": closed.total_nanousd,
        });
        month.insert("closed".to_owned(), shown);
    }
    Value::Object(month)
}

fn name(state: MonthState) -> &'static str {
    match state {
        MonthState::Open => "open",
        MonthState::Closing => "closing",
        MonthState::Closed => "closed",
    }
}

fn refusal(refused: &CloseRefused) -> ApiError {
    match refused {
        CloseRefused::NotOver { period, from_ms } => {
            let from = Timestamp::from_millisecond(*from_ms).unwrap_or(Timestamp::MAX);
            conflict("month_not_over", format!("{period} can be closed from {from} on."))
        }
        CloseRefused::OutOfOrder { period, next } => {
            let message = format!("Months are closed in their order: {next} before {period}.");
            conflict("month_out_of_order", message)
        }
    }
}
