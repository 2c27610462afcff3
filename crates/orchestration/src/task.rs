//! A task, and where it stands.

use jiff::Timestamp;
use offboarding::Requester;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenancy::{LobId, TenantId};

use crate::saga::StepDef;
use crate::{move_lob, offboard, onboard};

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Makes a tenant with its limits and all who call for it.
    Onboard,
    /// Takes a tenant away.
    Offboard,
    /// Gives a tenant to another line of business.
    Move,
}

impl Kind {
    /// The steps of every such task, in their order.
    pub fn steps(self) -> &'static [StepDef] {
        match self {
            Self::Onboard => &onboard::STEPS,
            Self::Offboard => &offboard::STEPS,
            Self::Move => &move_lob::STEPS,
        }
    }
}

/// How far a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing was begun.
    Queued,
    /// A step is being done.
    Running,
    /// A step waits for something.
    Waiting,
    /// What was done is being taken back.
    Compensating,
    /// Everything is done.
    Succeeded,
    /// It could not be done, and nothing is left of it.
    Failed,
    /// Somebody called it off, and nothing is left of it.
    Cancelled,
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Nothing of it was done.
    Pending,
    /// It was begun; it may be done, or in part.
    Running,
    /// It is done.
    Done,
    /// It was never begun, and is not to be any more.
    Skipped,
    /// It was taken back.
    Undone,
}

/// A step of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Which.
    pub name: String,
    /// How far it is.
    pub state: StepState,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Why a task did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskError {
    /// For programs.
    pub code: String,
    /// For people: what to do.
    pub message: String,
}

/// Something that is done in many places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Names it, and what runs it.
    pub task_id: String,
    /// What it does.
    pub kind: Kind,
    /// With which tenant.
    pub tenant_id: TenantId,
    /// The line of business that the tenant is of, or is to be of.
    pub lob_id: LobId,
    /// Who wants it.
    pub requested_by: Requester,
    /// Since when.
    pub created_at: Timestamp,
    /// Counts its writes: each is made from the one before.
    pub version: u64,
    /// How far it is.
    pub state: State,
    /// When it was last written.
    pub heartbeat_at: Timestamp,
    /// Its steps, in their order.
    pub steps: Vec<Step>,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TaskError>,
    /// Whether somebody wants to call it off.
    #[serde(default)]
    pub cancel_requested: bool,
    /// What it was asked for. No secret is ever part of it.
    pub input: Value,
    /// What came of it. No secret is ever part of it.
    #[serde(default)]
    pub output: Value,
}

impl Task {
    /// A task of which nothing was done yet.
    pub fn new(
        task_id: String,
        kind: Kind,
        tenant_id: TenantId,
        lob_id: LobId,
        requested_by: Requester,
        created_at: Timestamp,
        input: Value,
    ) -> Self {
        let step = |step: &StepDef| Step {
            name: step.name.to_owned(),
            state: StepState::Pending,
            at: None,
            detail: None,
        };
        Self {
            task_id,
            kind,
            tenant_id,
            lob_id,
            requested_by,
            created_at,
            version: 0,
            state: State::Queued,
            heartbeat_at: created_at,
            steps: kind.steps().iter().map(step).collect(),
            error: None,
            cancel_requested: false,
            input,
            output: Value::Null,
        }
    }

    /// Whether nothing more happens to it.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Succeeded | State::Failed | State::Cancelled)
    }

    /// Whether a step is done after which nothing is taken back.
    pub fn is_committed(&self) -> bool {
        let commits =
            |name: &str| self.kind.steps().iter().any(|step| step.commits && step.name == name);
        self.steps.iter().any(|step| step.state == StepState::Done && commits(&step.name))
    }

    /// Where it stands among others: later ones are greater.
    pub fn position(&self) -> String {
        format!("{:.3}#{}", self.created_at, self.task_id)
    }

    /// How many of its steps are done, of how many.
    pub fn progress(&self) -> (usize, usize) {
        let done = self.steps.iter().filter(|step| step.state == StepState::Done);
        (done.count(), self.steps.len())
    }
}
