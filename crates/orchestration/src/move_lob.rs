//! A tenant is given to another line of business.
//!
//! Calls that are running are settled in the meters that they were reserved in; each record says of
//! which line of business the tenant was then. So nothing has to stop for it.

use administration::{AdministrationStore, RegisteredIssuer, TenantState, UserPool, group};
use admission::AuditEntry;
use events::EventSink;
use offboarding::Progress;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tenancy::{LobId, Reach, Role, TenantId};

use crate::ports::Ports;
use crate::saga::{Saga, StepDef, StepError};
use crate::task::Task;

/// What somebody may do in a line of business they may do because their tenant is of it. So nobody with
/// such a role is moved along: that is looked at before, and after, when nobody new can have come.
pub(crate) const STEPS: [StepDef; 4] = [
    StepDef { name: "callers", commits: false },
    StepDef { name: "tenant", commits: false },
    StepDef { name: "confirm", commits: true },
    StepDef { name: "tell", commits: false },
];

/// From where to where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// The line of business that the tenant was of.
    pub from: LobId,
    /// The one that it is given to.
    pub to: LobId,
}

/// The move of a tenant.
#[derive(Debug)]
pub struct Move<'a, S, P, E> {
    ports: Ports<'a, S, P, E>,
    way: Way,
}

impl<'a, S, P, E> Move<'a, S, P, E>
where
    S: AdministrationStore,
    P: UserPool,
    E: EventSink,
{
    /// What `task` asks for.
    ///
    /// # Errors
    /// Its input is none.
    pub fn of(ports: Ports<'a, S, P, E>, task: &Task) -> Result<Self, serde_json::Error> {
        Ok(Self { ports, way: Way::deserialize(&task.input)? })
    }

    /// Refuses to move somebody along who runs a line of business.
    async fn check_callers(&self, id: &TenantId) -> Result<(), StepError> {
        let people = self.ports.pool.users_in(&group(id, Role::LobAdmin)).await?;
        let roles = self.ports.store.aws_roles(id).await?;
        let issuers = self.ports.store.issuers(Some(id)).await?;
        let sees = |role: Role| role.reach() == Reach::Lob;
        let mut found = Vec::new();
        if !people.is_empty() {
            found.push(format!("{} people", people.len()));
        }
        let roles = roles.iter().filter(|it| sees(it.role));
        found.extend(roles.map(|it| format!("the AWS role {}/{}", it.account_id, it.role_name)));
        let gives = |it: &&RegisteredIssuer| it.issuer.may_grant.iter().any(|role| sees(*role));
        found.extend(
            issuers.iter().filter(gives).map(|it| format!("the issuer {}", it.issuer.issuer)),
        );
        if found.is_empty() {
            return Ok(());
        }
        let message = format!(
            "Callers of this tenant run its line of business, and would run the other one: {}. Take the role `lob_admin` from them first.",
            found.join(", ")
        );
        Err(StepError::permanent("lob_admins", message))
    }

    /// Makes the tenant be of `lob_id`, and lets its meter know.
    async fn write(
        &self,
        task: &Task,
        state: TenantState,
        lob_id: &LobId,
    ) -> Result<(), StepError> {
        let entry = self.ports.entry(task, "tenant.moved", "", json!({"lob_id": lob_id}));
        let entry = AuditEntry { before: json!({"lob_id": state.document.lob_id}), ..entry };
        let mut after = state.clone();
        after.document.lob_id = lob_id.clone();
        self.ports.change(task, Some(state), after, entry).await
    }

    async fn go(&self, task: &Task, from: &LobId, to: &LobId) -> Result<(), StepError> {
        match self.ports.store.tenant(&task.tenant_id).await? {
            // The answer to the write was lost, or there is nothing to take back.
            Some(state) if state.document.lob_id == *to => self.ports.renew(task).await,
            Some(state) if state.document.lob_id == *from => self.write(task, state, to).await,
            _ => {
                let message = "The tenant is not there any more, or of a third line of business.";
                Err(StepError::permanent("tenant_changed", message))
            }
        }
    }

    async fn tell(&self, task: &Task) -> Result<(), StepError> {
        let detail = json!({
            "tenant_id": task.tenant_id,
            "from_lob_id": self.way.from,
            "lob_id": self.way.to,
            "task_id": task.task_id,
        });
        self.ports.tell(task, ("tenant-moved", "TenantMoved"), detail).await
    }
}

impl<S, P, E> Saga for Move<'_, S, P, E>
where
    S: AdministrationStore,
    P: UserPool,
    E: EventSink,
{
    async fn run(&self, step: &str, task: &mut Task) -> Result<Progress, StepError> {
        match step {
            "callers" | "confirm" => Box::pin(self.check_callers(&task.tenant_id)).await?,
            "tenant" => Box::pin(self.go(task, &self.way.from, &self.way.to)).await?,
            "tell" => Box::pin(self.tell(task)).await?,
            _ => return Err(StepError::permanent("unknown_step", "There is no such step.")),
        }
        Ok(Progress::Done)
    }

    async fn undo(&self, step: &str, task: &mut Task) -> Result<Progress, StepError> {
        if step == "tenant" {
            Box::pin(self.go(task, &self.way.to, &self.way.from)).await?;
        }
        Ok(Progress::Done)
    }
}
