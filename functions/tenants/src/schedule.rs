//! What requests did not live to finish.

use administration::{AdministrationStore, UserPool, finish};
use http::{Response, StatusCode};
use http_api::{Body, with_type};
use jiff::Timestamp;

use crate::State;

/// Finishes every task that somebody began and nobody finished.
pub(crate) async fn finish_tasks(
    state: &State<impl AdministrationStore, impl UserPool>,
) -> Response<Body> {
    finish_tasks_at(state, (state.now)()).await
}

pub(crate) async fn finish_tasks_at(
    state: &State<impl AdministrationStore, impl UserPool>,
    now: Timestamp,
) -> Response<Body> {
    let tasks = match state.store.unfinished().await {
        Ok(tasks) => tasks,
        Err(error) => {
            tracing::error!(%error, "unfinished tasks could not be listed");
            return with_type(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "failed");
        }
    };
    let mut status = StatusCode::OK;
    for unfinished in tasks {
        if !unfinished.is_left(now) {
            continue;
        }
        let subject = unfinished.task.subject();
        match finish(&state.store, &state.pool, &unfinished).await {
            Ok(()) => tracing::info!(subject, "a task was finished"),
            Err(error) => {
                status = StatusCode::INTERNAL_SERVER_ERROR;
                tracing::error!(subject, error = %error, "a task could not be finished");
            }
        }
    }
    with_type(status, "text/plain", "done")
}
