//! A tenant is given to another line of business.
//!
//! Calls that are running are settled in the meters that they were reserved in; each record says of
//! which line of business the tenant was then. So nothing has to stop for it.

use administration::{
    AdministrationStore, RegisteredIssuer, Task as Note, TenantChange, TenantState, Unfinished,
    UserPool, finish, group,
};
use admission::AuditEntry;
use events::{Event, EventSink};
use offboarding::Progress;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tenancy::{LobId, Reach, Role, TenantId};

use crate::onboard::Ports;
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
        let (id, now) = (&task.tenant_id, (self.ports.now)());
        let unfinished = self.note(task);
        let subject = format!("tenants/{id}");
        let entry = task.requested_by.entry((self.ports.new_id)(), now, "tenant.moved", subject);
        let entry = AuditEntry {
            version: Some(state.version.saturating_add(1)),
            before: json!({"lob_id": state.document.lob_id}),
            after: json!({"lob_id": lob_id}),
            ..entry
        };
        let mut document = state.document.clone();
        document.lob_id = lob_id.clone();
        let (status, suspension) = (state.status, state.suspension.clone());
        let change = TenantChange {
            tenant_id: id.clone(),
            before: Some(state),
            document,
            status,
            suspension,
            unfinished,
            entry,
        };
        if !self.ports.store.change_tenant(&change).await? {
            return Err(StepError::transient("the tenant was changed at the same moment"));
        }
        self.renew(task).await
    }

    fn note(&self, task: &Task) -> Unfinished {
        let note = Note::RenewTenant { tenant_id: task.tenant_id.clone() };
        Unfinished { id: task.task_id.clone(), since: (self.ports.now)(), task: note }
    }

    async fn renew(&self, task: &Task) -> Result<(), StepError> {
        Ok(finish(self.ports.store, self.ports.pool, &self.note(task)).await?)
    }

    async fn go(&self, task: &Task, from: &LobId, to: &LobId) -> Result<(), StepError> {
        match self.ports.store.tenant(&task.tenant_id).await? {
            // The answer to the write was lost, or there is nothing to take back.
            Some(state) if state.document.lob_id == *to => self.renew(task).await,
            Some(state) if state.document.lob_id == *from => self.write(task, state, to).await,
            _ => {
                let message = "The tenant is not there any more, or of a third line of business.";
                Err(StepError::permanent("tenant_changed", message))
            }
        }
    }

    async fn tell(&self, task: &Task) -> Result<(), StepError> {
        let event = Event {
            id: format!("tenant-moved:{}", task.task_id),
            kind: "TenantMoved",
            time_ms: (self.ports.now)().as_millisecond(),
            detail: json!({
                "tenant_id": task.tenant_id,
                "from_lob_id": self.way.from,
                "lob_id": self.way.to,
                "task_id": task.task_id,
            }),
        };
        for taken in self.ports.events.publish(&[event]).await {
            taken.map_err(StepError::transient)?;
        }
        Ok(())
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
