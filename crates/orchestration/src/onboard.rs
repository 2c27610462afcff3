//! A tenant is made, with its limits and all who call for it.
//!
//! It is suspended until all of it is there, so nobody is served before its limits hold. The reason of
//! that suspension names the task, which is how the task knows the tenant as its own.

use std::collections::BTreeSet;

use administration::{
    AdministrationStore, MachineClient, Suspension, Task as Note, TenantDocument, TenantState,
    UserPool, memberships,
};
use admission::LimitRule;
use events::EventSink;
use offboarding::Progress;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenancy::{AwsRole, Role, Status};

use crate::ports::Ports;
use crate::saga::{Saga, StepDef, StepError};
use crate::store::{TenantLimits, TenantRemoval};
use crate::task::Task;

pub(crate) const STEPS: [StepDef; 7] = [
    StepDef { name: "tenant", commits: false },
    StepDef { name: "limits", commits: false },
    StepDef { name: "people", commits: false },
    StepDef { name: "clients", commits: false },
    StepDef { name: "aws_roles", commits: false },
    StepDef { name: "activate", commits: true },
    StepDef { name: "welcome", commits: false },
];

/// A person of the new tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Their address.
    pub email: String,
    /// What they are in the tenant.
    pub roles: BTreeSet<Role>,
}

/// A machine client of the new tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// What people call it.
    pub name: String,
    /// What its tokens may be for.
    pub scopes: BTreeSet<String>,
}

/// All that a new tenant is to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Onboarding {
    /// What it is.
    pub document: TenantDocument,
    /// Its limits.
    #[serde(default)]
    pub limits: Vec<LimitRule>,
    /// Its people.
    #[serde(default)]
    pub users: Vec<Person>,
    /// Its programs.
    #[serde(default)]
    pub clients: Vec<Program>,
    /// AWS roles that call for it.
    #[serde(default)]
    pub aws_roles: Vec<AwsRole>,
}

/// The making of a tenant.
#[derive(Debug)]
pub struct Onboard<'a, S, P, E> {
    ports: Ports<'a, S, P, E>,
    input: Onboarding,
}

/// Why a tenant is suspended that a task is making.
pub fn marker(task_id: &str) -> String {
    format!("It is being onboarded by task {task_id}.")
}

impl<'a, S, P, E> Onboard<'a, S, P, E>
where
    S: AdministrationStore + TenantLimits + TenantRemoval,
    P: UserPool,
    E: EventSink,
{
    /// What `task` asks for.
    ///
    /// # Errors
    /// Its input is none.
    pub fn of(ports: Ports<'a, S, P, E>, task: &Task) -> Result<Self, serde_json::Error> {
        Ok(Self { ports, input: Onboarding::deserialize(&task.input)? })
    }

    /// The tenant, if it is this task's and not served yet.
    async fn own(&self, task: &Task) -> Result<Option<TenantState>, StepError> {
        let found = self.ports.store.tenant(&task.tenant_id).await?;
        Ok(found.filter(|state| is_marked(state, &task.task_id)))
    }

    /// Makes the tenant be this, and lets its meter know.
    async fn write(
        &self,
        task: &Task,
        before: Option<TenantState>,
        status: Status,
        action: &str,
    ) -> Result<(), StepError> {
        let suspension = (status == Status::Suspended).then(|| Suspension {
            reason: marker(&task.task_id),
            since: (self.ports.now)(),
            by: task.requested_by.principal_id.clone(),
        });
        let document = self.input.document.clone();
        let after = json!({"status": status, "document": document});
        let entry = self.ports.entry(task, action, "", after);
        let after = TenantState { version: 0, status, suspension, document, is_changing: false };
        self.ports.change(task, before, after, entry).await
    }

    async fn make_tenant(&self, task: &Task) -> Result<(), StepError> {
        match self.ports.store.tenant(&task.tenant_id).await? {
            None => self.write(task, None, Status::Suspended, "tenant.created").await,
            // The answer to the write was lost.
            Some(state) if is_marked(&state, &task.task_id) => self.ports.renew(task).await,
            Some(_) => {
                let message = "The id of the tenant was taken meanwhile. Choose another one.";
                Err(StepError::permanent("id_taken", message))
            }
        }
    }

    async fn remove_tenant(&self, task: &Task) -> Result<(), StepError> {
        if self.own(task).await?.is_some() {
            let (id, reason) = (&task.tenant_id, marker(&task.task_id));
            let entry = self.ports.entry(task, "tenant.removed", "", Value::Null);
            self.ports.store.remove_tenant(id, &reason, &entry).await?;
        }
        // Whatever this task noted is about nothing now.
        let of_tenant = format!("tenants/{}/", task.tenant_id);
        for note in self.ports.store.unfinished().await? {
            let subject = format!("{}/", note.task.subject());
            if note.id == task.task_id && subject.starts_with(&of_tenant) {
                self.ports.finish(&note).await?;
            }
        }
        Ok(())
    }

    async fn set_limits(&self, task: &Task) -> Result<(), StepError> {
        let (limits, id) = (&self.input.limits, &task.tenant_id);
        let entry = self.ports.entry(task, "limits.set", "", json!(limits));
        Ok(self.ports.store.set_limits(id, limits, &entry).await?)
    }

    async fn bring_people(&self, task: &Task) -> Result<(), StepError> {
        for person in &self.input.users {
            let user = self.ports.pool.create_user(&person.email, true).await?;
            let groups = self.ports.pool.groups_of(user.id.as_str()).await?;
            if memberships(&task.tenant_id, &groups).1 {
                return Err(elsewhere(&person.email));
            }
            let set = Note::SetMember {
                tenant_id: task.tenant_id.clone(),
                user_id: user.id.clone(),
                roles: person.roles.clone(),
            };
            // The task itself is the note of this: it is run until it is done or taken back.
            self.ports.finish(&self.ports.note(task, set)).await?;
            let groups = self.ports.pool.groups_of(user.id.as_str()).await?;
            if memberships(&task.tenant_id, &groups) != (person.roles.clone(), false) {
                return Err(elsewhere(&person.email));
            }
            let after = json!({"roles": person.roles});
            let below = format!("/users/{}", user.id);
            self.ports.store.note(&self.ports.entry(task, "user.set", &below, after)).await?;
        }
        Ok(())
    }

    async fn send_people_away(&self, task: &Task) -> Result<(), StepError> {
        for person in &self.input.users {
            let Some(user) = self.ports.pool.user(&person.email).await? else { continue };
            let groups = self.ports.pool.groups_of(user.id.as_str()).await?;
            if memberships(&task.tenant_id, &groups).0.is_empty() {
                // Perhaps a member elsewhere, whose sessions are none of this task's.
                continue;
            }
            let (tenant_id, user_id) = (task.tenant_id.clone(), user.id.clone());
            let set = Note::SetMember { tenant_id, user_id, roles: BTreeSet::new() };
            self.ports.finish(&self.ports.note(task, set)).await?;
        }
        Ok(())
    }

    async fn make_clients(&self, task: &mut Task) -> Result<(), StepError> {
        let mut made = Vec::new();
        for (index, program) in self.input.clients.iter().enumerate() {
            made.push(self.make_client(task, index, program).await?);
        }
        task.output = json!({"clients": made});
        Ok(())
    }

    /// One client, which is found by the name that the user pool has for it.
    async fn make_client(
        &self,
        task: &Task,
        index: usize,
        program: &Program,
    ) -> Result<Value, StepError> {
        let (tenant_id, pool_name) = (&task.tenant_id, pool_name(task, index));
        let said = |id: &str| json!({"client_id": id, "name": program.name});
        let registered = self.ports.store.clients(tenant_id).await?;
        let mut named = self.ports.pool.clients_named(&pool_name).await?;
        let found = named.iter().position(|id| registered.iter().any(|it| it.client_id == *id));
        if let Some(found) = found {
            return Ok(said(&named.swap_remove(found)));
        }
        // Answers that were lost: nobody knows their secrets, and one client is enough.
        for client_id in &named {
            self.ports.pool.delete_client(client_id).await?;
        }
        let tenant_id = tenant_id.clone();
        let create = Note::CreateClient { tenant_id, pool_name: pool_name.clone() };
        let unfinished = self.ports.note(task, create);
        // If it is there, it is this task's, from before.
        self.ports.store.begin(&task.tenant_id, &unfinished, None).await?;
        let new = self.ports.pool.create_client(&pool_name, &program.scopes).await?;
        let client = MachineClient {
            client_id: new.client_id,
            name: program.name.clone(),
            scopes: program.scopes.clone(),
            role: Role::Machine,
            created_at: Some((self.ports.now)()),
            created_by: Some(task.requested_by.principal_id.clone()),
        };
        let below = format!("/clients/{}", client.client_id);
        let entry = self.ports.entry(task, "client.created", &below, json!(client));
        let (issuer, id) = (self.ports.pool.issuer(), &task.tenant_id);
        let store = self.ports.store;
        if !store.register_client(id, issuer, &client, &unfinished, &entry).await? {
            return Err(StepError::transient("a client took too long and was cleared away"));
        }
        Ok(said(&client.client_id))
    }

    async fn remove_clients(&self, task: &Task) -> Result<(), StepError> {
        let registered = self.ports.store.clients(&task.tenant_id).await?;
        for (index, _) in self.input.clients.iter().enumerate() {
            let pool_name = pool_name(task, index);
            for client_id in self.ports.pool.clients_named(&pool_name).await? {
                if registered.iter().any(|it| it.client_id == client_id) {
                    let below = format!("/clients/{client_id}");
                    let entry = self.ports.entry(task, "client.removed", &below, Value::Null);
                    let gone = Note::DeleteClient {
                        tenant_id: task.tenant_id.clone(),
                        client_id: client_id.clone(),
                    };
                    let (store, note) = (self.ports.store, self.ports.note(task, gone));
                    store.unregister_client(&task.tenant_id, &client_id, &note, &entry).await?;
                }
                self.ports.pool.delete_client(&client_id).await?;
            }
            let tenant_id = task.tenant_id.clone();
            let create = self.ports.note(task, Note::CreateClient { tenant_id, pool_name });
            self.ports.finish(&create).await?;
        }
        Ok(())
    }

    async fn register_roles(&self, task: &Task) -> Result<(), StepError> {
        let registered = self.ports.store.aws_roles(&task.tenant_id).await?;
        for role in self.input.aws_roles.iter().filter(|role| !registered.contains(role)) {
            let below = format!("/aws-roles/{}/{}", role.account_id, role.role_name);
            let entry = self.ports.entry(task, "aws_role.set", &below, json!(role));
            if !self.ports.store.put_aws_role(role, &entry).await? {
                let message = format!(
                    "The AWS role `{}` of account {} is registered already, and not for this tenant. A role works for one tenant: use another role.",
                    role.role_name, role.account_id
                );
                return Err(StepError::permanent("role_taken", message));
            }
        }
        Ok(())
    }

    async fn unregister_roles(&self, task: &Task) -> Result<(), StepError> {
        for role in self.ports.store.aws_roles(&task.tenant_id).await? {
            let below = format!("/aws-roles/{}/{}", role.account_id, role.role_name);
            let entry = self.ports.entry(task, "aws_role.removed", &below, Value::Null);
            self.ports.store.delete_aws_role(&role, &entry).await?;
        }
        Ok(())
    }

    async fn activate(&self, task: &Task) -> Result<(), StepError> {
        match self.ports.store.tenant(&task.tenant_id).await? {
            Some(state) if is_marked(&state, &task.task_id) => {
                self.write(task, Some(state), Status::Active, "tenant.resumed").await
            }
            // The answer to the write was lost.
            Some(state) if state.status == Status::Active => self.ports.renew(task).await,
            _ => {
                let message = "The tenant was suspended or removed while it was made.";
                Err(StepError::permanent("tenant_changed", message))
            }
        }
    }

    /// Only a task that began to activate the tenant comes here, so an active one is its own.
    async fn deactivate(&self, task: &Task) -> Result<(), StepError> {
        match self.ports.store.tenant(&task.tenant_id).await? {
            Some(state) if state.status == Status::Active => {
                self.write(task, Some(state), Status::Suspended, "tenant.suspended").await
            }
            _ => Ok(()),
        }
    }

    async fn welcome(&self, task: &Task) -> Result<(), StepError> {
        let detail = json!({
            "tenant_id": task.tenant_id,
            "lob_id": task.lob_id,
            "task_id": task.task_id,
            "name": self.input.document.name,
        });
        self.ports.tell(task, ("tenant-onboarded", "TenantOnboarded"), detail).await
    }
}

impl<S, P, E> Saga for Onboard<'_, S, P, E>
where
    S: AdministrationStore + TenantLimits + TenantRemoval,
    P: UserPool,
    E: EventSink,
{
    async fn run(&self, step: &str, task: &mut Task) -> Result<Progress, StepError> {
        match step {
            "tenant" => Box::pin(self.make_tenant(task)).await?,
            "limits" => Box::pin(self.set_limits(task)).await?,
            "people" => Box::pin(self.bring_people(task)).await?,
            "clients" => Box::pin(self.make_clients(task)).await?,
            "aws_roles" => Box::pin(self.register_roles(task)).await?,
            "activate" => Box::pin(self.activate(task)).await?,
            "welcome" => Box::pin(self.welcome(task)).await?,
            _ => return Err(StepError::permanent("unknown_step", "There is no such step.")),
        }
        Ok(Progress::Done)
    }

    async fn undo(&self, step: &str, task: &mut Task) -> Result<Progress, StepError> {
        match step {
            "tenant" => Box::pin(self.remove_tenant(task)).await?,
            "people" => Box::pin(self.send_people_away(task)).await?,
            "clients" => {
                Box::pin(self.remove_clients(task)).await?;
                task.output = Value::Null;
            }
            "aws_roles" => Box::pin(self.unregister_roles(task)).await?,
            "activate" => Box::pin(self.deactivate(task)).await?,
            // Limits go with the tenant; who was told is told nothing more.
            _ => {}
        }
        Ok(Progress::Done)
    }
}

fn is_marked(state: &TenantState, task_id: &str) -> bool {
    state.suspension.as_ref().is_some_and(|it| it.reason == marker(task_id))
}

/// What the user pool calls a client of a task: the same however often it is made.
fn pool_name(task: &Task, index: usize) -> String {
    format!("{}.{}.{index}", task.tenant_id, task.task_id)
}

fn elsewhere(email: &str) -> StepError {
    let message = format!(
        "`{email}` is a member of another tenant, and can be a member of one only. They need another address here."
    );
    StepError::permanent("member_elsewhere", message)
}
