//! People's roles in the tenant, taken and given through administration's own tasks.

use std::collections::{BTreeMap, BTreeSet};

use administration::{
    AdministrationStore as _, PERSON_ROLES, Task, Unfinished, UserPool as _, finish, group,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tenancy::{PrincipalId, Role};

use crate::error::OffboardError;
use crate::job::Job;
use crate::port::Outside;

/// What somebody was in the tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    /// Their roles.
    pub(crate) roles: BTreeSet<Role>,
    /// Whether they could sign in.
    pub(crate) is_enabled: bool,
}

/// Who is in the tenant now.
pub(crate) async fn members(
    world: &impl Outside,
    job: &Job,
) -> Result<BTreeMap<PrincipalId, Member>, OffboardError> {
    let mut members: BTreeMap<PrincipalId, Member> = BTreeMap::new();
    for role in PERSON_ROLES {
        for user in world.pool().users_in(&group(&job.tenant_id, role)).await? {
            let new = Member { roles: BTreeSet::new(), is_enabled: user.is_enabled };
            members.entry(user.id).or_insert(new).roles.insert(role);
        }
    }
    Ok(members)
}

/// Whose roles an earlier run of this job began to change, and did not live to: they may still be what they were.
pub(crate) async fn begun(
    world: &impl Outside,
    job: &Job,
) -> Result<BTreeSet<PrincipalId>, OffboardError> {
    let notes = world.administration().unfinished().await?;
    let begun = notes.into_iter().filter(|note| is_own(note, job)).filter_map(|note| {
        let Task::SetMember { tenant_id, user_id, .. } = note.task else { return None };
        (tenant_id == job.tenant_id).then_some(user_id)
    });
    Ok(begun.collect())
}

/// Whether this job left a note.
fn is_own(note: &Unfinished, job: &Job) -> bool {
    note.id.strip_prefix(&job.task_id).is_some_and(|it| it.starts_with('.'))
}

/// Gives somebody exactly these roles in the tenant; whether that could be done now. It cannot while
/// somebody else is changing what they are.
pub(crate) async fn set(
    world: &impl Outside,
    job: &Job,
    user_id: &PrincipalId,
    roles: &BTreeSet<Role>,
) -> Result<bool, OffboardError> {
    let task = Task::SetMember {
        tenant_id: job.tenant_id.clone(),
        user_id: user_id.clone(),
        roles: roles.clone(),
    };
    let subject = task.subject();
    // The note says whose it is, so that an earlier run of this job is told from somebody else.
    let id = format!("{}.{}", job.task_id, world.new_id());
    let unfinished = Unfinished { id, since: world.now(), task };
    let action = if roles.is_empty() { "member.removed" } else { "member.changed" };
    let entry = job.entry(
        world,
        action,
        &format!("users/{user_id}"),
        (json!(null), json!({ "roles": roles, "task": job.task_id })),
    );
    // Once for what an earlier run has left behind.
    for _ in 0..2 {
        let begun = world.administration().begin(&job.tenant_id, &unfinished, Some(&entry)).await?;
        if begun {
            finish(world.administration(), world.pool(), &unfinished).await?;
            return Ok(true);
        }
        let notes = world.administration().unfinished().await?;
        let Some(note) = notes.into_iter().find(|note| note.task.subject() == subject) else {
            continue;
        };
        if !is_own(&note, job) && !note.is_left(world.now()) {
            return Ok(false);
        }
        finish(world.administration(), world.pool(), &note).await?;
    }
    Ok(false)
}
