//! Entries of the ledger: what is on a bill beside usage.

use std::collections::BTreeMap;

use billing::port::{BillingStore as _, Booked};
use billing::{
    Account, Books, EntryKind, LedgerEntry, Month, MonthState, SignedNanoUsd, calendar, is_reserved,
};
use http::{Response, StatusCode};
use http_api::{ApiError, Ask, Body, answer, conflict, invalid, refuse_unknown, store_failed};
use serde_json::{Map, Value, json};
use tenancy::TenantContext;

use crate::account::{self, billed, month, readable, require, unknown};
use crate::{State, Store, tasks};

/// Months in one answer at most.
const MAX_MONTHS: usize = 36;

/// How far ahead of the running month entries are booked.
const MAX_AHEAD: usize = 12;

const ACTION: &str = "entry.book";

/// `GET /v1/billing/entries`
pub(crate) async fn list(
    state: &State<impl Store>,
    context: &TenantContext,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&["account", "from", "to"])?;
    let account = billed(ask, context)?;
    let named = |name| ask.get(name).map(|text| month(name, text)).transpose();
    let from = named("from")?.unwrap_or_else(|| current(state));
    let to = named("to")?.unwrap_or(from);
    if to < from {
        return Err(invalid("to", "The last month is not before the first."));
    }
    if after(from, MAX_MONTHS) <= to {
        return Err(invalid("from", format!("{MAX_MONTHS} months at most in one answer.")));
    }
    let is_there = readable(&state.store, context, &account).await?;
    let entries = state.store.books().entries(&account, from..=to).await.map_err(store_failed)?;
    if entries.is_empty() && !is_there {
        return Err(unknown(&account));
    }
    Ok(answer(StatusCode::OK, &json!({"object": "list", "account": account, "data": entries})))
}

/// `POST /v1/billing/entries`
///
/// An id is booked once, so who lost the answer asks again.
pub(crate) async fn book(
    state: &State<impl Store>,
    context: &TenantContext,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    tasks::require_books(state, context, ACTION, &"billing/entries").await?;
    ask.only(&[])?;
    let books = state.store.books().books().await.map_err(store_failed)?;
    let Wanted { entry, period } = wanted(state, context, ask, &books)?;
    require(&state.store, &entry.account).await?;
    if let Some(known) = known(state, &entry).await? {
        return again(&known, &entry, period);
    }
    if books.state_of(entry.period) != MonthState::Open {
        return Err(not_open(entry.period));
    }
    let subject = format!("billing/entries/{}/{}", entry.account, entry.id);
    tasks::note(state, context, ACTION, &subject, (Value::Null, json!(entry))).await?;
    let booked = state.store.books().book(&entry).await.map_err(store_failed)?;
    if booked == Booked::New {
        return Ok(answer(StatusCode::CREATED, &json!(entry)));
    }
    // Somebody booked it, or began to close its month, just now.
    tasks::note_undone(state, context, ACTION, &subject).await;
    match known(state, &entry).await? {
        Some(known) => again(&known, &entry, period),
        None => Err(not_open(entry.period)),
    }
}

async fn known(
    state: &State<impl Store>,
    entry: &LedgerEntry,
) -> Result<Option<LedgerEntry>, ApiError> {
    let found = state.store.books().entry(&entry.account, &entry.id).await;
    found.map_err(store_failed)
}

/// What is answered to who books what stands there: in whatever month, unless they name one.
fn again(
    known: &LedgerEntry,
    entry: &LedgerEntry,
    period: Option<Month>,
) -> Result<Response<Body>, ApiError> {
    let is_same = known.kind == entry.kind
        && known.amount_nanousd == entry.amount_nanousd
        && known.reason == entry.reason
        && known.refers_to == entry.refers_to
        && period.is_none_or(|period| period == known.period);
    if is_same {
        return Ok(answer(StatusCode::OK, &json!(known)));
    }
    let message = format!(
        "There is another entry `{}` of {} already, in {}. An entry is never changed: book another one under an id of its own that makes it good.",
        known.id, known.account, known.period
    );
    Err(conflict("idempotency_conflict", message))
}

fn not_open(period: Month) -> ApiError {
    let message = format!(
        "{period} takes no entries any more: it is closed or being closed. Leave `period` out to book into the first month that is open."
    );
    conflict("month_not_open", message)
}

fn current(state: &State<impl Store>) -> Month {
    calendar::current(&state.calendar, (state.now)().as_millisecond()).0
}

fn after(period: Month, months: usize) -> Month {
    (0..months).fold(period, |period, _| period.next())
}

/// An entry, and the month that was named for it.
struct Wanted {
    entry: LedgerEntry,
    period: Option<Month>,
}

/// The entry that the body asks for.
fn wanted(
    state: &State<impl Store>,
    context: &TenantContext,
    ask: &Ask<'_>,
    books: &Books,
) -> Result<Wanted, ApiError> {
    let mut body = ask.object()?;
    let id = required(&mut body, "id")?;
    if is_reserved(&id) {
        let message =
            "Ids that begin like this are those of fees and corrections, which the gateway books.";
        return Err(invalid("id", message));
    }
    let account = account::account("account", &required(&mut body, "account")?)?;
    if account == Account::Org {
        return Err(invalid("account", account::BILLED));
    }
    let kind = match required(&mut body, "kind")?.as_str() {
        "credit" => EntryKind::Credit,
        "adjustment" => EntryKind::Adjustment,
        _ => {
            let message =
                "This is `credit` or `adjustment`; corrections and fees are booked by the gateway.";
            return Err(invalid("kind", message));
        }
    };
    let amount = body.remove("amount_nanousd").ok_or_else(|| missing("amount_nanousd"))?;
    let Some(amount) = amount.as_i64() else {
        let message = "Whole nano-USD: a dollar is 1000000000. A credit is negative.";
        return Err(invalid("amount_nanousd", message));
    };
    if body.remove("currency").is_some_and(|currency| currency != "USD") {
        let message = "Amounts are in nano-USD; no other currency is converted.";
        return Err(invalid("currency", message));
    }
    let reason = required(&mut body, "reason")?;
    let refers_to = text(&mut body, "refers_to")?;
    let period = text(&mut body, "period")?.map(|text| month("period", &text)).transpose()?;
    refuse_unknown(&body)?;
    let current = current(state);
    if period.is_some_and(|period| period > after(current, MAX_AHEAD)) {
        let message = format!("Entries are booked {MAX_AHEAD} months ahead at most.");
        return Err(invalid("period", message));
    }
    // The first month that is ever closed begins the books: what is booked long before is on no bill.
    let is_begun = *books != Books::default();
    if !is_begun && period.is_some_and(|period| period < current.previous()) {
        return Err(invalid("period", "No bill was ever made of this month, and none will be."));
    }
    let entry = LedgerEntry {
        id,
        period: period.unwrap_or_else(|| books.first_open(current)),
        account,
        kind,
        amount_nanousd: SignedNanoUsd(amount),
        reason,
        booked_by: context.principal.id.to_string(),
        booked_ms: (state.now)().as_millisecond(),
        refers_to,
        details: BTreeMap::new(),
    };
    entry.validate().map_err(|error| invalid(error.field, format!("{error}.")))?;
    Ok(Wanted { entry, period })
}

fn missing(name: &str) -> ApiError {
    invalid(name, format!("`{name}` is missing."))
}

fn required(body: &mut Map<String, Value>, name: &str) -> Result<String, ApiError> {
    text(body, name)?.ok_or_else(|| missing(name))
}

fn text(body: &mut Map<String, Value>, name: &str) -> Result<Option<String>, ApiError> {
    match body.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(invalid(name, "This is a text.")),
    }
}
