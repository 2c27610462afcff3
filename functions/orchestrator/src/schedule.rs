//! What nobody has done a step of for long.

use http::{Response, StatusCode};
use http_api::{Body, with_type};
use jiff::Timestamp;
use orchestration::{State as TaskState, Task, TaskStore, Workflow};

use crate::State;

/// After so long a task that was not begun was never set going: the request was cut before.
const QUEUED_SECONDS: i64 = 60;
/// After so long nobody is at a task any more. The state machine tries a step again for about half of it.
const SILENT_SECONDS: i64 = 30 * 60;

/// Sets every task going again that nobody is at.
pub(crate) async fn restart<S, P, O>(
    state: &State<S, impl TaskStore, P, impl Workflow, O>,
) -> Response<Body> {
    let tasks = match state.tasks.open().await {
        Ok(tasks) => tasks,
        Err(error) => {
            tracing::error!(%error, "open tasks could not be listed");
            return with_type(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "failed");
        }
    };
    let mut status = StatusCode::OK;
    for task in tasks.iter().filter(|task| is_left(task, (state.now)())) {
        match state.workflow.start(&task.task_id, task.version).await {
            Ok(()) => tracing::warn!(task_id = task.task_id, "a task was set going again"),
            Err(error) => {
                status = StatusCode::INTERNAL_SERVER_ERROR;
                tracing::error!(task_id = task.task_id, %error, "a task could not be set going");
            }
        }
    }
    with_type(status, "text/plain", "done")
}

/// Whether nobody is at a task.
fn is_left(task: &Task, now: Timestamp) -> bool {
    let silent = now.as_second() - task.heartbeat_at.as_second();
    let is_queued = task.state == TaskState::Queued;
    silent >= if is_queued { QUEUED_SECONDS } else { SILENT_SECONDS }
}
