//! What the function `billing` is asked to do, and who asked.

use admission::AuditEntry;
use billing::Task;
use events::EventSink as _;
use http::{Response, StatusCode};
use http_api::{ApiError, Body, answer, store_failed};
use serde_json::{Value, json};
use tenancy::{Permission, TenantContext};

use crate::limits::{blank_entry, note_refusal};
use crate::{State, Store};

/// Asks for a task; it is done in the background, once however often it is asked for.
pub(crate) async fn request(
    state: &State<impl Store>,
    task: &Task,
) -> Result<Response<Body>, ApiError> {
    let id = format!("task:{}", (state.new_id)());
    let event = task.request(id, (state.now)().as_millisecond());
    let event = event.map_err(|error| ApiError::internal(&error))?;
    for outcome in state.store.bus().publish(&[event]).await {
        outcome.map_err(store_failed)?;
    }
    tracing::info!(task = ?task, "a task of billing was asked for");
    let body = json!({"object": "billing.task", "status": "requested", "task": task});
    Ok(answer(StatusCode::ACCEPTED, &body))
}

/// Checks that the caller keeps the books, and notes it if not. Nothing else is looked at before, so
/// nobody learns from the refusal what there is.
pub(crate) async fn require_books(
    state: &State<impl Store>,
    context: &TenantContext,
    action: &str,
    subject: &(impl ToString + Sync),
) -> Result<(), ApiError> {
    match context.require(Permission::ManageBilling) {
        Ok(()) => Ok(()),
        Err(denied) => Err(note_refusal(state, context, action, subject, denied.into()).await),
    }
}

/// Notes a change of the books before it is made: one that nobody noted is not made.
pub(crate) async fn note(
    state: &State<impl Store>,
    context: &TenantContext,
    action: &str,
    subject: &str,
    (before, after): (Value, Value),
) -> Result<(), ApiError> {
    let entry = AuditEntry { before, after, ..blank_entry(state, context, action, subject) };
    state.store.note(&entry).await.map_err(store_failed)
}

/// Notes that a change that was noted was not made after all: somebody else was faster.
pub(crate) async fn note_undone(
    state: &State<impl Store>,
    context: &TenantContext,
    action: &str,
    subject: &str,
) {
    let entry = AuditEntry { is_allowed: false, ..blank_entry(state, context, action, subject) };
    if let Err(failed) = state.store.note(&entry).await {
        tracing::error!(error = %failed, "a change that was not made could not be noted");
    }
}
