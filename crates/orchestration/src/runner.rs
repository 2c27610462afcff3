//! One step after the other, forwards or back.

use admission::{AuditEntry, StoreError};
use jiff::Timestamp;
use offboarding::Progress;
use serde_json::json;

use crate::saga::{Saga, StepError};
use crate::store::TaskStore;
use crate::task::{State, StepState, Task, TaskError};

/// Before something is tried again that must work in the end.
const PAUSE_SECONDS: u32 = 60;

/// What is to happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The next step, at once.
    Step,
    /// The same step, in so many seconds.
    Wait(u32),
    /// Nothing.
    Done,
}

/// A step was not done; it may be in a moment.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The task could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Somebody else is at it.
    #[error("task `{0}` was written by somebody else")]
    Overtaken(String),
    /// What a step needs could not be reached.
    #[error("step `{step}` of task `{task_id}` is not done")]
    Step {
        /// Of which task.
        task_id: String,
        /// Which.
        step: String,
        /// Why.
        source: StepError,
    },
}

/// Does the next step of `task`, or takes one back.
///
/// # Errors
/// It is to be called again.
pub async fn advance(
    store: &impl TaskStore,
    saga: &impl Saga,
    mut task: Task,
    now: Timestamp,
    new_id: fn() -> String,
) -> Result<Next, RunError> {
    if task.is_over() {
        return Ok(Next::Done);
    }
    if task.state != State::Compensating && task.cancel_requested && !task.is_committed() {
        task.state = State::Compensating;
    }
    if task.state == State::Compensating {
        return go_back(store, saga, task, now, new_id).await;
    }
    let next = task
        .steps
        .iter()
        .position(|step| matches!(step.state, StepState::Pending | StepState::Running));
    let Some(index) = next else {
        return end(store, task, State::Succeeded, now, new_id).await;
    };
    let name = name_of(&task, index);
    task.state = State::Running;
    // Before anything is done, so that whoever comes next knows that something may be.
    if state_of(&task, index) == Some(StepState::Pending) {
        mark(&mut task, index, StepState::Running, now);
        save(store, &mut task, now, None).await?;
    }
    match saga.run(&name, &mut task).await {
        Ok(Progress::Done) => {
            mark(&mut task, index, StepState::Done, now);
            save(store, &mut task, now, None).await?;
            Ok(Next::Step)
        }
        Ok(Progress::Wait { why, seconds }) => wait(store, task, index, why, seconds, now).await,
        Err(StepError::Permanent { code, message }) if !task.is_committed() => {
            task.error = Some(TaskError { code: code.to_owned(), message });
            task.state = State::Compensating;
            save(store, &mut task, now, None).await?;
            Ok(Next::Step)
        }
        Err(source) => Err(RunError::Step { task_id: task.task_id, step: name, source }),
    }
}

/// Turns back a task whose step failed too often. One of which nothing can be taken back any more is left
/// to go on.
///
/// # Errors
/// It is to be called again.
pub async fn give_up(
    store: &impl TaskStore,
    mut task: Task,
    now: Timestamp,
) -> Result<Next, RunError> {
    if task.is_over() {
        return Ok(Next::Done);
    }
    if task.state == State::Compensating || task.is_committed() {
        return Ok(Next::Wait(PAUSE_SECONDS));
    }
    let step = task.steps.iter().find(|step| step.state == StepState::Running);
    let step = step.map_or("queue", |step| step.name.as_str());
    let message = format!(
        "The step `{step}` failed again and again, so the task was taken back. Try it again later."
    );
    // Who called it off gets what they asked for.
    if !task.cancel_requested {
        task.error = Some(TaskError { code: "step_failed".to_owned(), message });
    }
    task.state = State::Compensating;
    save(store, &mut task, now, None).await?;
    Ok(Next::Step)
}

async fn go_back(
    store: &impl TaskStore,
    saga: &impl Saga,
    mut task: Task,
    now: Timestamp,
    new_id: fn() -> String,
) -> Result<Next, RunError> {
    let is_left = |state| matches!(state, StepState::Running | StepState::Done);
    let Some(index) = task.steps.iter().rposition(|step| is_left(step.state)) else {
        for index in 0..task.steps.len() {
            if state_of(&task, index) == Some(StepState::Pending) {
                mark(&mut task, index, StepState::Skipped, now);
            }
        }
        let is_failed = task.error.is_some();
        let state = if is_failed { State::Failed } else { State::Cancelled };
        return end(store, task, state, now, new_id).await;
    };
    let name = name_of(&task, index);
    match saga.undo(&name, &mut task).await {
        Ok(Progress::Done) => {
            mark(&mut task, index, StepState::Undone, now);
            save(store, &mut task, now, None).await?;
            Ok(Next::Step)
        }
        Ok(Progress::Wait { why, seconds }) => wait(store, task, index, why, seconds, now).await,
        Err(source) => Err(RunError::Step { task_id: task.task_id, step: name, source }),
    }
}

async fn wait(
    store: &impl TaskStore,
    mut task: Task,
    index: usize,
    why: String,
    seconds: u32,
    now: Timestamp,
) -> Result<Next, RunError> {
    if let Some(step) = task.steps.get_mut(index) {
        step.detail = Some(why);
    }
    if task.state == State::Running {
        task.state = State::Waiting;
    }
    save(store, &mut task, now, None).await?;
    Ok(Next::Wait(seconds))
}

async fn end(
    store: &impl TaskStore,
    mut task: Task,
    state: State,
    now: Timestamp,
    new_id: fn() -> String,
) -> Result<Next, RunError> {
    task.state = state;
    let (action, subject) = ("task.ended", format!("tasks/{}", task.task_id));
    let entry = task.requested_by.entry(new_id(), now, action, subject);
    let after = json!({"kind": task.kind, "tenant_id": task.tenant_id, "state": state, "error": task.error});
    let entry = AuditEntry { after, ..entry };
    save(store, &mut task, now, Some(&entry)).await?;
    Ok(Next::Done)
}

async fn save(
    store: &impl TaskStore,
    task: &mut Task,
    now: Timestamp,
    entry: Option<&AuditEntry>,
) -> Result<(), RunError> {
    task.version = task.version.saturating_add(1);
    task.heartbeat_at = now;
    let is_saved = store.save(task, entry).await?;
    if is_saved { Ok(()) } else { Err(RunError::Overtaken(task.task_id.clone())) }
}

fn name_of(task: &Task, index: usize) -> String {
    task.steps.get(index).map(|step| step.name.clone()).unwrap_or_default()
}

fn state_of(task: &Task, index: usize) -> Option<StepState> {
    task.steps.get(index).map(|step| step.state)
}

fn mark(task: &mut Task, index: usize, state: StepState, now: Timestamp) {
    if let Some(step) = task.steps.get_mut(index) {
        (step.state, step.at, step.detail) = (state, Some(now), None);
    }
}
