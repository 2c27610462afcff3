//! Does one step of a task, or takes one back: whatever calls this does so again and again.

mod environment;
#[cfg(test)]
mod tests;
mod world;

use admission::StoreError;
use jiff::Timestamp;
use lambda_runtime::{Diagnostic, LambdaEvent};
use offboarding::Outside;
use orchestration::{
    Kind, Move, Next, Offboard, Onboard, Ports, RunError, Saga, Task, TaskStore, TenantLimits,
    TenantRemoval, advance, give_up,
};
use serde::{Deserialize, Serialize};

pub use environment::StartError;
pub use world::{Stores, World};

/// What one execution environment keeps between invocations.
#[derive(Debug)]
pub struct State<T, W> {
    /// Tasks.
    pub tasks: T,
    /// All that their steps reach.
    pub world: W,
    /// The clock.
    pub now: fn() -> Timestamp,
    /// A new id; later ones are greater.
    pub new_id: fn() -> String,
}

/// Something that knows when its invocation ends.
pub trait Timed {
    /// From now on it ends then, in Unix milliseconds.
    fn run_until(&self, deadline_ms: i64);
}

/// Which task is to go on.
#[derive(Debug, Deserialize)]
pub struct Order {
    task_id: String,
    /// Whether its step failed so often that it is to be turned back.
    #[serde(default)]
    gives_up: bool,
}

/// What is to happen next.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// `step`, `wait` or `done`.
    next: &'static str,
    /// In how many seconds.
    seconds: u32,
}

impl From<Next> for Answer {
    fn from(next: Next) -> Self {
        match next {
            Next::Step => Self { next: "step", seconds: 0 },
            Next::Wait(seconds) => Self { next: "wait", seconds },
            Next::Done => Self { next: "done", seconds: 0 },
        }
    }
}

/// A step was not done; it may be if it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum StepFailed {
    /// The task could not be read.
    #[error("the task could not be read")]
    Task(#[from] StoreError),
    /// What it asks for could not be read.
    #[error("what the task asks for could not be read")]
    Input(#[from] serde_json::Error),
    /// Its step failed.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl From<StepFailed> for Diagnostic {
    fn from(error: StepFailed) -> Self {
        let error_type = match &error {
            StepFailed::Task(_) | StepFailed::Run(RunError::Store(_)) => "Task.StoreFailed",
            StepFailed::Input(_) => "Task.Unreadable",
            StepFailed::Run(RunError::Overtaken(_)) => "Task.Overtaken",
            StepFailed::Run(RunError::Step { .. }) => "Task.StepFailed",
        };
        Self { error_type: error_type.to_owned(), error_message: error.to_string() }
    }
}

/// Does the next step of a task.
///
/// # Errors
/// It is to be tried again.
pub async fn handle<W>(
    state: &State<impl TaskStore, W>,
    event: LambdaEvent<Order>,
) -> Result<Answer, StepFailed>
where
    W: Outside<Administration: TenantLimits + TenantRemoval> + Timed,
{
    state.world.run_until(i64::try_from(event.context.deadline).unwrap_or(i64::MAX));
    let Order { task_id, gives_up } = event.payload;
    let done = Box::pin(go_on(state, &task_id, gives_up)).await;
    match &done {
        Ok(next) => tracing::info!(task_id, ?next, "a step was done"),
        Err(error) => {
            // With all its causes: nothing else says them.
            let error = error as &dyn std::error::Error;
            tracing::error!(task_id, error, "a step failed");
        }
    }
    done.map(Answer::from)
}

async fn go_on<W>(
    state: &State<impl TaskStore, W>,
    task_id: &str,
    gives_up: bool,
) -> Result<Next, StepFailed>
where
    W: Outside<Administration: TenantLimits + TenantRemoval>,
{
    let Some(task) = state.tasks.task(task_id).await? else {
        // It went with the tenant that it had made.
        return Ok(Next::Done);
    };
    if gives_up {
        return Ok(give_up(&state.tasks, task, (state.now)()).await?);
    }
    let ports = Ports {
        store: state.world.administration(),
        pool: state.world.pool(),
        events: state.world.events(),
        now: state.now,
        new_id: state.new_id,
    };
    match task.kind {
        Kind::Onboard => Box::pin(step(state, &Onboard::of(ports, &task)?, task)).await,
        Kind::Move => Box::pin(step(state, &Move::of(ports, &task)?, task)).await,
        Kind::Offboard => Box::pin(step(state, &Offboard { world: &state.world }, task)).await,
    }
}

async fn step<W>(
    state: &State<impl TaskStore, W>,
    saga: &impl Saga,
    task: Task,
) -> Result<Next, StepFailed> {
    Ok(advance(&state.tasks, saga, task, (state.now)(), state.new_id).await?)
}
