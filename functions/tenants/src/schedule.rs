//! What requests did not live to finish.

use administration::{AdministrationStore, UserPool, finish};
use http::{HeaderValue, Response, StatusCode, header};
use http_api::{Body, full};
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
            return said(StatusCode::INTERNAL_SERVER_ERROR, "failed");
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
    said(status, "done")
}

fn said(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}
