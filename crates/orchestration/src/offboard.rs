//! A tenant goes: the steps are those of [`offboarding`].

use offboarding::{Job, OffboardError, Outside, Progress, Step, evidence_key};
use serde_json::json;

use crate::saga::{Saga, StepDef, StepError};
use crate::task::Task;

/// Once everything is listed the deletion begins, and nothing is taken back any more.
pub(crate) const STEPS: [StepDef; 7] = [
    StepDef { name: "revoke", commits: false },
    StepDef { name: "drain", commits: false },
    StepDef { name: "statement", commits: false },
    StepDef { name: "export", commits: false },
    StepDef { name: "inventory", commits: true },
    StepDef { name: "purge", commits: false },
    StepDef { name: "evidence", commits: false },
];

/// The off-boarding of a tenant.
#[derive(Debug)]
pub struct Offboard<'a, W> {
    /// All that it reaches.
    pub world: &'a W,
}

/// The task as off-boarding knows it.
fn job(task: &Task) -> Job {
    Job {
        task_id: task.task_id.clone(),
        tenant_id: task.tenant_id.clone(),
        requested_by: task.requested_by.clone(),
        requested_at: task.created_at,
    }
}

fn step(name: &str) -> Result<Step, StepError> {
    let step = Step::ALL.into_iter().find(|step| step.as_str() == name);
    step.ok_or_else(|| StepError::permanent("unknown_step", format!("There is no step `{name}`.")))
}

fn failed(error: OffboardError) -> StepError {
    let code = match &error {
        OffboardError::NoTenant(_) => "unknown_tenant",
        OffboardError::Buried { .. } => "tenant_offboarded",
        OffboardError::Unclaimed(_) => "unclaimed_resource",
        OffboardError::TaskId => "invalid_task",
        _ => return StepError::transient(error),
    };
    let message = error.to_string();
    let mut letters = message.chars();
    let first = letters.next().map(|it| it.to_uppercase().to_string()).unwrap_or_default();
    StepError::permanent(code, format!("{first}{}.", letters.as_str()))
}

impl<W: Outside> Saga for Offboard<'_, W> {
    async fn run(&self, name: &str, task: &mut Task) -> Result<Progress, StepError> {
        let (job, step) = (job(task), step(name)?);
        let done = offboarding::run(self.world, &job, step).await.map_err(failed)?;
        if step == Step::Evidence && done == Progress::Done {
            let key = evidence_key(&job.tenant_id, &job.task_id).map_err(failed)?;
            task.output = json!({ "evidence": key });
        }
        Ok(done)
    }

    async fn undo(&self, name: &str, task: &mut Task) -> Result<Progress, StepError> {
        offboarding::undo(self.world, &job(task), step(name)?).await.map_err(failed)
    }
}
