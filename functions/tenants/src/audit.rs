//! Who did what, and who was refused it.

use administration::{AdministrationStore, Task, Unfinished, UserPool, finish};
use admission::AuditEntry;
use http_api::ApiError;
use serde_json::Value;
use tenancy::TenantContext;

use crate::State;

/// An entry of what is about to be done.
pub(crate) fn entry<S, P>(
    state: &State<S, P>,
    context: &TenantContext,
    action: &str,
    subject: impl Into<String>,
    (before, after): (Value, Value),
) -> AuditEntry {
    let entry = AuditEntry::of(context, (state.new_id)(), (state.now)(), action, subject.into());
    AuditEntry { before, after, ..entry }
}

/// Notes who was refused what, and gives the refusal back. What is not there for the caller is no refusal.
pub(crate) async fn refused<P>(
    state: &State<impl AdministrationStore, P>,
    context: &TenantContext,
    action: &str,
    subject: &str,
    error: ApiError,
) -> ApiError {
    let entry = entry(state, context, action, subject, (Value::Null, Value::Null));
    http_api::refused(&state.store, entry, error).await
}

/// The note of a task that begins now.
pub(crate) fn begun<S, P>(state: &State<S, P>, task: Task) -> Unfinished {
    Unfinished { id: (state.new_id)(), since: (state.now)(), task }
}

/// Does what was noted; whether it is done. If not, the schedule will.
pub(crate) async fn finished(
    state: &State<impl AdministrationStore, impl UserPool>,
    unfinished: &Unfinished,
) -> bool {
    match finish(&state.store, &state.pool, unfinished).await {
        Ok(()) => true,
        Err(error) => {
            let subject = unfinished.task.subject();
            tracing::warn!(subject, error = %error, "a change is not finished yet");
            false
        }
    }
}
