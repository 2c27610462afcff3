//! What people are in the tenant: decided by their groups, written with them, done in the user pool.
//!
//! Whoever is to become or to lose something is noted in the same write that says so. If the request does
//! not live to do it, the schedule of `tenants` finds the note.

use std::collections::BTreeSet;

use administration::{Task, Unfinished, UserPool, UserPoolError, memberships, set_member};
use admission::AuditEntry;
use scim::{
    MemberStore, Roster, ScimError, ScimType, StoredUser, Unique, UserChange, address, is_active,
    roles_of,
};
use serde_json::{Value, json};
use tenancy::{PrincipalId, Role};

use crate::Call;
use crate::answer::failed;

/// How often a change is tried that something else gets in the way of.
pub(crate) const MAX_TRIES: usize = 4;

/// Writes a change of a person and does what it means; whether it could be written.
pub(crate) async fn change(
    call: &Call<'_, impl MemberStore, impl UserPool>,
    action: &str,
    before: Option<StoredUser>,
    mut after: Option<StoredUser>,
    roster: &Roster,
) -> Result<bool, ScimError> {
    let tasks = tasks(call, before.as_ref(), after.as_mut(), roster).await?;
    let Some(id) = after.as_ref().or(before.as_ref()).map(|user| user.id.clone()) else {
        return Ok(true);
    };
    // Names and addresses have no place in what is kept for years.
    let said = |user: &Option<StoredUser>| {
        user.as_ref().map_or(Value::Null, |user| {
            let (roles, is_active) = (roles_of(user, roster), is_active(&user.resource));
            json!({"active": is_active, "roles": roles, "user_id": user.person})
        })
    };
    let entry = entry(call, action, &format!("scim/users/{id}"), (said(&before), said(&after)));
    let change = UserChange { before, after, roster: roster.version, tasks, entry };
    let tenant_id = &call.context.tenant_id;
    if !call.state.store.change_user(tenant_id, &change).await.map_err(failed)? {
        return Ok(false);
    }
    for unfinished in &change.tasks {
        finish(call, unfinished).await;
    }
    tracing::info!(tenant_id = %tenant_id, id, action, "person provisioned");
    Ok(true)
}

/// Refuses what another resource has; to be asked when a change could not be written.
pub(crate) async fn refuse_taken(
    call: &Call<'_, impl MemberStore, impl UserPool>,
    id: &str,
    uniques: &BTreeSet<Unique>,
) -> Result<(), ScimError> {
    for unique in uniques {
        let holder = call.state.store.holder(&call.context.tenant_id, unique).await;
        if holder.map_err(failed)?.is_some_and(|holder| holder != id) {
            let detail = format!("Another resource has this `{}`.", unique.attribute);
            return Err(ScimError::bad(ScimType::Uniqueness, detail));
        }
    }
    Ok(())
}

/// That something else got in the way every time.
pub(crate) fn busy() -> ScimError {
    ScimError::of(503, "It is being changed by somebody else. Try again in a minute.")
}

/// An entry of what is about to be done.
pub(crate) fn entry(
    call: &Call<'_, impl MemberStore, impl UserPool>,
    action: &str,
    below: &str,
    (before, after): (Value, Value),
) -> AuditEntry {
    let (context, state) = (call.context, call.state);
    let subject = format!("tenants/{}/{below}", context.tenant_id);
    let entry = AuditEntry::of(context, (state.new_id)(), (state.now)(), action, subject);
    AuditEntry { before, after, ..entry }
}

/// What is to be done in the user pool so that a person is what they are to be. Says in `after` who they
/// are there.
async fn tasks(
    call: &Call<'_, impl MemberStore, impl UserPool>,
    before: Option<&StoredUser>,
    after: Option<&mut StoredUser>,
    roster: &Roster,
) -> Result<Vec<Unfinished>, ScimError> {
    let old = before.and_then(|user| user.person.clone());
    let (mut person, mut wanted) = (old.clone(), BTreeSet::new());
    if let Some(user) = after {
        wanted = roles_of(user, roster);
        let address = address(&user.resource);
        if address.is_none() && !wanted.is_empty() {
            // One of them is not to hold up a whole group.
            tracing::warn!(tenant_id = %call.context.tenant_id, id = user.id, "a person has no address to sign in by, and is nothing");
            wanted = BTreeSet::new();
        }
        if let Some(address) = address.filter(|_| !wanted.is_empty()) {
            // Who has no group is let in nowhere, so it does no harm if nothing else happens.
            let found = call.state.pool.create_user(&address, true).await.map_err(failed)?;
            (user.person, user.address) = (Some(found.id), Some(address));
        }
        person.clone_from(&user.person);
    }
    let mut tasks = Vec::new();
    if let Some(old) = old.filter(|old| person.as_ref() != Some(old)) {
        tasks.extend(task(call, old, BTreeSet::new()).await?);
    }
    if let Some(person) = person {
        tasks.extend(task(call, person, wanted).await?);
    }
    Ok(tasks)
}

/// What gives a person exactly these roles; nothing if they have them.
async fn task(
    call: &Call<'_, impl MemberStore, impl UserPool>,
    user_id: PrincipalId,
    roles: BTreeSet<Role>,
) -> Result<Option<Unfinished>, ScimError> {
    let tenant_id = &call.context.tenant_id;
    let groups = match call.state.pool.groups_of(user_id.as_str()).await {
        Err(UserPoolError::NotFound) => Vec::new(),
        other => other.map_err(failed)?,
    };
    let (has, has_others) = memberships(tenant_id, &groups);
    if has_others && !roles.is_empty() {
        let detail = "This person is a member of another tenant, and can be a member of one only. They need another address here.";
        return Err(ScimError::of(409, detail));
    }
    let may_decide = |role: &Role| call.context.roles.iter().any(|own| own.may_grant(*role));
    if let Some(role) = has.symmetric_difference(&roles).find(|role| !may_decide(role)) {
        let detail = format!(
            "The person is `{}`, which is not yours to take or give: it sees further than the tenant.",
            role.as_str()
        );
        return Err(ScimError::of(403, detail));
    }
    if has == roles && roles.is_empty() {
        return Ok(None);
    }
    let task = Task::SetMember { tenant_id: tenant_id.clone(), user_id, roles };
    let (id, since) = ((call.state.new_id)(), (call.state.now)());
    Ok(Some(Unfinished { id, since, task }))
}

async fn finish(call: &Call<'_, impl MemberStore, impl UserPool>, unfinished: &Unfinished) {
    let Task::SetMember { tenant_id, user_id, roles } = &unfinished.task else { return };
    let subject = unfinished.task.subject();
    if let Err(error) = set_member(&call.state.pool, tenant_id, user_id, roles).await {
        tracing::warn!(subject, %error, "a change is not finished yet");
    } else if let Err(error) = call.state.store.end(unfinished).await {
        tracing::warn!(subject, %error, "a note could not be taken away");
    }
}
