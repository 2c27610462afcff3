//! Nobody is let in: the tenant is suspended, which its meter knows on the next call, and then every
//! caller is taken away. What is taken is written down before it is, so that it can be given back.
//!
//! Machine clients are not deleted yet: without its registration the authorizer does not know a client,
//! and with the same id and secret it can be let in again.

use std::collections::{BTreeMap, BTreeSet};

use administration::{
    AdministrationStore as _, RegisteredIssuer, Suspension, Task, TenantChange, TenantState,
    Unfinished, UserPool as _, finish,
};
use jiff::Timestamp;
use lake::ObjectStore;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tenancy::{AwsRole, LobId, PrincipalId, Status, TenantId};

use crate::error::OffboardError;
use crate::job::{Job, Progress};
use crate::members::{self, Member};
use crate::papers::Papers;
use crate::port::{Outside, Register as _, Whose};

const TAKEN: &str = "working/taken.json";
/// Tries to change a tenant that others change, too.
const MAX_TRIES: usize = 5;

/// What a tenant was before it was taken from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Taken {
    /// Its line of business.
    pub(crate) lob_id: LobId,
    status: Status,
    suspension: Option<Suspension>,
    members: BTreeMap<PrincipalId, Member>,
    clients: BTreeSet<String>,
    aws_roles: Vec<AwsRole>,
    issuers: Vec<RegisteredIssuer>,
    /// When the last caller was taken.
    pub(crate) revoked_at: Option<Timestamp>,
}

impl Taken {
    /// What an earlier step has written down.
    pub(crate) async fn of(papers: &Papers<'_, impl ObjectStore>) -> Result<Self, OffboardError> {
        papers.need(TAKEN).await
    }

    /// Whose things are looked for.
    pub(crate) fn whose(&self, tenant_id: &TenantId) -> Whose {
        Whose { tenant_id: tenant_id.clone(), clients: self.clients.clone() }
    }

    /// The status that the tenant had.
    pub(crate) fn status(&self) -> Status {
        self.status
    }
}

pub(crate) async fn revoke(world: &impl Outside, job: &Job) -> Result<Progress, OffboardError> {
    if let Some(tombstone) = world.register().tombstone(&job.tenant_id).await? {
        let tenant_id = job.tenant_id.clone();
        return Err(OffboardError::Buried { tenant_id, task_id: tombstone.task_id });
    }
    let papers = Papers::of(world.papers(), job)?;
    let state = tenant(world, job).await?;
    let taken = note(world, job, &papers, &state).await?;
    suspend(world, job).await?;
    for role in &taken.aws_roles {
        let subject = format!("aws-roles/{}/{}", role.account_id, role.role_name);
        let entry = job.entry(world, "aws_role.removed", &subject, (json!(role), json!(null)));
        world.administration().delete_aws_role(role, &entry).await?;
    }
    for issuer in &taken.issuers {
        let subject = format!("issuers/{}", issuer.issuer.issuer);
        let entry = job.entry(world, "issuer.removed", &subject, (json!(issuer), json!(null)));
        world.administration().delete_issuer(issuer, &entry).await?;
    }
    for client_id in &taken.clients {
        let subject = format!("clients/{client_id}");
        let values = (json!({ "registered": true }), json!({ "registered": false }));
        let entry = job.entry(world, "client.parked", &subject, values);
        world.register().park_client(&job.tenant_id, client_id, &entry).await?;
    }
    for user_id in members::members(world, job).await?.keys() {
        if !members::set(world, job, user_id, &BTreeSet::new()).await? {
            return Ok(Progress::wait("somebody else is changing a person's roles", 15));
        }
    }
    if taken.revoked_at.is_none() {
        papers.write(TAKEN, &Taken { revoked_at: Some(world.now()), ..taken }).await?;
    }
    Ok(Progress::Done)
}

async fn tenant(world: &impl Outside, job: &Job) -> Result<TenantState, OffboardError> {
    let state = world.administration().tenant(&job.tenant_id).await?;
    state.ok_or_else(|| OffboardError::NoTenant(job.tenant_id.clone()))
}

/// Writes down what there is to be taken, with what an earlier run has taken.
async fn note(
    world: &impl Outside,
    job: &Job,
    papers: &Papers<'_, impl ObjectStore>,
    state: &TenantState,
) -> Result<Taken, OffboardError> {
    let clients = world.administration().clients(&job.tenant_id).await?;
    let now = Taken {
        lob_id: state.document.lob_id.clone(),
        status: state.status,
        suspension: state.suspension.clone(),
        members: members::members(world, job).await?,
        clients: clients.into_iter().map(|client| client.client_id).collect(),
        aws_roles: world.administration().aws_roles(&job.tenant_id).await?,
        issuers: world.administration().issuers(Some(&job.tenant_id)).await?,
        revoked_at: None,
    };
    let Some(mut taken) = papers.read::<Taken>(TAKEN).await? else {
        papers.write(TAKEN, &now).await?;
        return Ok(now);
    };
    let before = taken.clone();
    for (user_id, member) in now.members {
        // Who is in a part of the groups only was taken from the others by the run before.
        let known = taken.members.entry(user_id).or_insert_with(|| member.clone());
        known.roles.extend(member.roles);
    }
    taken.clients.extend(now.clients);
    for role in now.aws_roles {
        if !taken.aws_roles.contains(&role) {
            taken.aws_roles.push(role);
        }
    }
    for issuer in now.issuers {
        if !taken.issuers.contains(&issuer) {
            taken.issuers.push(issuer);
        }
    }
    if taken != before {
        papers.write(TAKEN, &taken).await?;
    }
    Ok(taken)
}

/// Suspends the tenant, unless it is; its meter knows afterwards.
pub(crate) async fn suspend(world: &impl Outside, job: &Job) -> Result<(), OffboardError> {
    let suspension = Suspension {
        reason: format!("It is being off-boarded (task {}).", job.task_id),
        since: world.now(),
        by: job.requested_by.principal_id.clone(),
    };
    set_status(world, job, Status::Suspended, Some(suspension), "tenant.suspended").await
}

async fn set_status(
    world: &impl Outside,
    job: &Job,
    status: Status,
    suspension: Option<Suspension>,
    action: &str,
) -> Result<(), OffboardError> {
    for _ in 0..MAX_TRIES {
        let state = tenant(world, job).await?;
        if state.status == status {
            // An earlier run may have died between table and meter.
            world.administration().renew(&job.tenant_id, false).await?;
            return Ok(());
        }
        let values =
            (json!({ "status": state.status }), json!({ "status": status, "task": job.task_id }));
        let mut entry = job.entry(world, action, "", values);
        entry.version = Some(state.version.saturating_add(1));
        let change = TenantChange {
            tenant_id: job.tenant_id.clone(),
            document: state.document.clone(),
            before: Some(state),
            status,
            suspension: suspension.clone(),
            granted: None,
            unfinished: Unfinished {
                id: world.new_id(),
                since: world.now(),
                task: Task::RenewTenant { tenant_id: job.tenant_id.clone() },
            },
            entry,
        };
        if world.administration().change_tenant(&change).await? {
            finish(world.administration(), world.pool(), &change.unfinished).await?;
            return Ok(());
        }
    }
    Err(OffboardError::Contended(job.tenant_id.clone()))
}

/// Gives everything back: callers first, the tenant's status last.
pub(crate) async fn give_back(world: &impl Outside, job: &Job) -> Result<Progress, OffboardError> {
    let papers = Papers::of(world.papers(), job)?;
    let Some(taken) = papers.read::<Taken>(TAKEN).await? else { return Ok(Progress::Done) };
    for role in &taken.aws_roles {
        let subject = format!("aws-roles/{}/{}", role.account_id, role.role_name);
        let entry = job.entry(world, "aws_role.set", &subject, (json!(null), json!(role)));
        if !world.administration().put_aws_role(role, &entry).await? {
            // Another tenant has registered it meanwhile, which is its account's to decide.
            tracing::warn!(tenant_id = %job.tenant_id, subject, "an AWS role is another tenant's now");
        }
    }
    for issuer in &taken.issuers {
        let subject = format!("issuers/{}", issuer.issuer.issuer);
        let entry = job.entry(world, "issuer.set", &subject, (json!(null), json!(issuer)));
        // It is back already, or somebody else has registered it.
        world.administration().put_issuer(issuer, None, &entry).await?;
    }
    for client_id in &taken.clients {
        let subject = format!("clients/{client_id}");
        let values = (json!({ "registered": false }), json!({ "registered": true }));
        let entry = job.entry(world, "client.unparked", &subject, values);
        world.register().unpark_client(&job.tenant_id, client_id, &entry).await?;
    }
    let now = members::members(world, job).await?;
    // Whom nobody has taken anything from yet would lose it to the note that says so.
    let begun = members::begun(world, job).await?;
    for (user_id, member) in &taken.members {
        let is_same = now.get(user_id).is_some_and(|it| it.roles == member.roles);
        let is_back = is_same && !begun.contains(user_id);
        if !is_back && !members::set(world, job, user_id, &member.roles).await? {
            return Ok(Progress::wait("somebody else is changing a person's roles", 15));
        }
        if !member.is_enabled {
            world.pool().set_enabled(user_id.as_str(), false).await?;
        }
    }
    let (status, suspension) = (taken.status(), taken.suspension.clone());
    if status == Status::Active {
        set_status(world, job, status, suspension, "tenant.resumed").await?;
    }
    papers.forget(TAKEN).await?;
    Ok(Progress::Done)
}
