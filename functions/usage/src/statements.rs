//! Statements: what an account was billed, and what it would be.

use billing::port::{BillingStore as _, Issued};
use billing::{Account, Month, MonthState, Task, calendar, draft_of};
use http::{Response, StatusCode, header};
use http_api::{
    ApiError, Ask, Body, answer, conflict, invalid, store_failed, with_header, with_type,
};
use inference::FaultKind;
use lake::ObjectStore as _;
use serde_json::json;
use tenancy::TenantContext;

use crate::account::{billed, month, readable, require, unknown};
use crate::{State, Store, tasks};

/// Statements of a page at most, and usually.
const MAX_STATEMENTS: usize = 100;
const USUAL_STATEMENTS: usize = 24;

/// `GET /v1/statements`
pub(crate) async fn list(
    state: &State<impl Store>,
    context: &TenantContext,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&["account", "limit", "before"])?;
    let account = billed(ask, context)?;
    let limit = ask.number("limit", 1, MAX_STATEMENTS, USUAL_STATEMENTS)?;
    let before = ask.get("before").map(|text| month("before", text)).transpose()?;
    let is_there = readable(&state.store, context, &account).await?;
    let issued = state.store.books().issued(&account).await.map_err(store_failed)?;
    if issued.is_empty() && !is_there {
        return Err(unknown(&account));
    }
    let mut page: Vec<Issued> = issued;
    page.retain(|it| before.is_none_or(|before| it.period < before));
    let has_more = page.len() > limit;
    page.truncate(limit);
    let next = page.last().filter(|_| has_more).map(|it| it.period);
    let body = json!({
        "object": "list",
        "account": account,
        "data": page.iter().map(shown).collect::<Vec<_>>(),
        "next_before": next,
    });
    Ok(answer(StatusCode::OK, &body))
}

/// `GET /v1/statements/{period}`
pub(crate) async fn show(
    state: &State<impl Store>,
    context: &TenantContext,
    period: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    let period = month("period", period)?;
    ask.only(&["account", "format", "draft"])?;
    let account = billed(ask, context)?;
    let form = Form::read(ask, &Form::ALL)?;
    let is_draft = ask.flag("draft")?;
    let is_there = readable(&state.store, context, &account).await?;
    let documents = if is_draft {
        Some(draft_of(&account, period))
    } else {
        let issued = state.store.books().issued(&account).await.map_err(store_failed)?;
        issued.into_iter().find(|it| it.period == period).map(|it| it.documents)
    };
    let key = documents.as_ref().map(|it| format!("{it}.{}", form.extension()));
    let bytes = match &key {
        Some(key) => state.store.documents().get(key).await.map_err(store_failed)?,
        None => None,
    };
    match (bytes, key) {
        (Some(bytes), _) => {
            let kind = if is_draft { "draft" } else { "statement" };
            let owner = account.to_string().replace('=', "-");
            Ok(form.answer(bytes, &format!("{kind}-{period}-{owner}")))
        }
        // It was issued, so it has to be there.
        (None, Some(key)) if !is_draft => Err(ApiError::internal(&Lost { key })),
        (None, _) if !is_there => Err(unknown(&account)),
        (None, _) => Err(none_yet(&account, period, is_draft)),
    }
}

/// `POST /v1/statements/{period}/draft`
pub(crate) async fn draft(
    state: &State<impl Store>,
    context: &TenantContext,
    period: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    let period = month("period", period)?;
    ask.only(&["account"])?;
    let account = billed(ask, context)?;
    readable(&state.store, context, &account).await?;
    require(&state.store, &account).await?;
    let books = state.store.books().books().await.map_err(store_failed)?;
    if books.state_of(period) != MonthState::Open {
        let message = format!(
            "{period} is closed or being closed, so its statement is final: GET /v1/statements/{period}."
        );
        return Err(conflict("month_not_open", message));
    }
    let (current, _) = calendar::current(&state.calendar, (state.now)().as_millisecond());
    if period > current {
        return Err(conflict("month_not_begun", format!("{period} has not begun.")));
    }
    tasks::request(state, &Task::DraftStatement { period, account }).await
}

fn shown(issued: &Issued) -> serde_json::Value {
    json!({
        "account": issued.account,
        "period": issued.period,
        "version": issued.version,
        "digest": issued.digest,
        "records": issued.records,
        "cost_nanousd": issued.cost_nanousd,
        "total_nanousd": issued.total_nanousd,
        "issued_ms": issued.issued_ms,
    })
}

fn none_yet(account: &Account, period: Month, is_draft: bool) -> ApiError {
    let message = if is_draft {
        format!(
            "There is no draft of {account} for {period}. POST /v1/statements/{period}/draft asks for one, which takes a moment; nobody gets one who has nothing to be billed."
        )
    } else {
        format!(
            "There is no statement of {account} for {period}. They are issued when the month is closed, to who has something to be billed. POST /v1/statements/{period}/draft asks for a draft."
        )
    };
    ApiError::new(FaultKind::NotFound, "not_found", message)
}

/// A document that was issued is not there.
#[derive(Debug, thiserror::Error)]
#[error("the document `{key}` is lost")]
struct Lost {
    key: String,
}

/// In which form a document is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Csv,
    Pdf,
}

impl Form {
    const ALL: [Self; 3] = [Self::Json, Self::Csv, Self::Pdf];

    /// The form that the query names, JSON if none, out of those that there are.
    pub(crate) fn read(ask: &Ask<'_>, forms: &[Self]) -> Result<Self, ApiError> {
        let Some(name) = ask.get("format") else { return Ok(Self::Json) };
        forms.iter().copied().find(|form| form.extension() == name).ok_or_else(|| {
            let names: Vec<_> = forms.iter().map(|form| form.extension()).collect();
            invalid("format", format!("This is one of {}.", names.join(", ")))
        })
    }

    /// Its name, as files end.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Pdf => "pdf",
        }
    }

    /// The document, as it is kept.
    pub(crate) fn answer(self, bytes: impl Into<Vec<u8>>, name: &str) -> Response<Body> {
        let media_type = match self {
            Self::Json => return with_type(StatusCode::OK, "application/json", bytes),
            Self::Csv => "text/csv; charset=utf-8",
            Self::Pdf => "application/pdf",
        };
        let file = format!("attachment; filename=\"{name}.{}\"", self.extension());
        with_header(
            with_type(StatusCode::OK, media_type, bytes),
            header::CONTENT_DISPOSITION,
            &file,
        )
    }
}
