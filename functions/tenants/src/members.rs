//! People: who is what in a tenant.
//!
//! The groups of the user pool say it. A change is noted, with its audit entry, before the first group is
//! touched; the note is a lock, too, so that two changes of one person cannot cross.

use std::collections::{BTreeMap, BTreeSet};

use administration::{
    AdministrationStore, PERSON_ROLES, Task, User, UserPool, UserPoolError, group, memberships,
    new_email, new_user_name,
};
use futures::future::try_join_all;
use http::{Response, StatusCode};
use http_api::{
    ApiError, Ask, Body, after, answer, conflict, invalid, limit, may_decide, object, page_of,
    refuse_unknown, store_failed, take_flag, take_text,
};
use inference::FaultKind;
use serde_json::{Map, Value, json};
use tenancy::{Permission, Role, TenantContext};

use crate::State;
use crate::access::{Visible, tenant_for};
use crate::answer::invalid_caller;
use crate::audit;

/// Entries of a page at most.
const MAX_ENTRIES: usize = 200;

/// `GET /v1/tenants/{tenant_id}/users`
pub(crate) async fn list(
    state: &State<impl AdministrationStore, impl UserPool>,
    context: &TenantContext,
    id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&["limit", "cursor"])?;
    let (limit, after) = (limit(ask, 50, MAX_ENTRIES)?, after(ask)?);
    let tenant = tenant_for(state, context, id, Permission::ReadCallers, "users.list").await?;
    let groups = PERSON_ROLES.map(|role| (role, group(&tenant.id, role)));
    let people = groups.iter().map(|(_, group)| state.pool.users_in(group));
    let people = try_join_all(people).await.map_err(store_failed)?;
    let mut members: BTreeMap<String, (User, BTreeSet<Role>)> = BTreeMap::new();
    for ((role, _), users) in groups.iter().zip(people) {
        for user in users {
            let entry = members.entry(user.id.to_string());
            entry.or_insert_with(|| (user, BTreeSet::new())).1.insert(*role);
        }
    }
    let later = members.iter().filter(|(id, _)| after.as_ref().is_none_or(|after| *id > after));
    let found: Vec<_> = later.take(limit + 1).collect();
    Ok(page_of(&found, limit, |(id, _)| (*id).clone(), |(_, (user, roles))| shown(user, roles)))
}

/// `PUT /v1/tenants/{tenant_id}/users/{username}`
pub(crate) async fn set(
    state: &State<impl AdministrationStore, impl UserPool>,
    context: &TenantContext,
    id: &str,
    name: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&[])?;
    let action = "user.set";
    let tenant = tenant_for(state, context, id, Permission::ManageCallers, action).await?;
    let name = new_user_name(name).map_err(invalid_caller)?;
    let wanted = wanted(ask, &name)?;
    let refused =
        async |error| audit::refused(state, context, action, &tenant.subject("users"), error).await;
    if let Err(error) = may_decide(context, tenant.place(), &wanted.roles) {
        return Err(refused(error).await);
    }
    let found = state.pool.user(&name).await.map_err(store_failed)?;
    let is_new = found.is_none();
    let user = match found {
        Some(user) => user,
        // A person without a group is let in nowhere, so it does no harm if nothing else happens.
        None if name.contains('@') => {
            state.pool.create_user(&name, wanted.invite).await.map_err(store_failed)?
        }
        None => return Err(unknown(&name)),
    };
    if wanted.email.as_ref().is_some_and(|email| *email != user.email) {
        return Err(invalid(
            "email",
            "A person is named by their address, which is the last part of the path. Leave `email` out.",
        ));
    }
    let (has, has_others) = memberships_of(state, &tenant, &user).await?;
    if has_others {
        return Err(member_elsewhere());
    }
    if let Err(error) = may_decide(context, tenant.place(), &difference(&has, &wanted.roles)) {
        return Err(refused(error).await);
    }
    keeps_own_role(context, &user, &has, &wanted.roles)?;
    if has == wanted.roles && user.is_enabled {
        return Ok(answer(StatusCode::OK, &shown(&user, &has)));
    }
    let is_done = change(state, context, &tenant, &user, (action, has, &wanted.roles)).await?;
    if !is_done {
        return Ok(answer(StatusCode::ACCEPTED, &shown(&user, &wanted.roles)));
    }
    let (now, has_others) = memberships_of(state, &tenant, &user).await?;
    if has_others {
        return Err(member_elsewhere());
    }
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answer(status, &shown(&User { is_enabled: true, ..user }, &now)))
}

/// `DELETE /v1/tenants/{tenant_id}/users/{username}`
pub(crate) async fn remove(
    state: &State<impl AdministrationStore, impl UserPool>,
    context: &TenantContext,
    id: &str,
    name: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&[])?;
    let action = "user.removed";
    let tenant = tenant_for(state, context, id, Permission::ManageCallers, action).await?;
    let name = new_user_name(name).map_err(invalid_caller)?;
    let found = state.pool.user(&name).await.map_err(store_failed)?;
    let Some(user) = found else { return Err(unknown(&name)) };
    let (has, _) = memberships_of(state, &tenant, &user).await?;
    if has.is_empty() {
        // Nobody learns who is a member elsewhere.
        return Err(unknown(&name));
    }
    if let Err(error) = may_decide(context, tenant.place(), &has) {
        let subject = tenant.subject("users");
        return Err(audit::refused(state, context, action, &subject, error).await);
    }
    let none = BTreeSet::new();
    keeps_own_role(context, &user, &has, &none)?;
    let is_done = change(state, context, &tenant, &user, (action, has, &none)).await?;
    let status = if is_done { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(answer(status, &json!({"object": "user", "id": user.id, "deleted": true})))
}

/// Notes a change and makes it; whether it is done.
async fn change(
    state: &State<impl AdministrationStore, impl UserPool>,
    context: &TenantContext,
    tenant: &Visible,
    user: &User,
    (action, has, wanted): (&str, BTreeSet<Role>, &BTreeSet<Role>),
) -> Result<bool, ApiError> {
    // By id: an address has no place in what is kept for years.
    let subject = tenant.subject(&format!("users/{}", user.id));
    let values = (json!({"roles": has}), json!({"roles": wanted}));
    let entry = audit::entry(state, context, action, subject, values);
    let task = Task::SetMember {
        tenant_id: tenant.id.clone(),
        user_id: user.id.clone(),
        roles: wanted.clone(),
    };
    let unfinished = audit::begun(state, task);
    let begun = state.store.begin(&tenant.id, &unfinished, Some(&entry)).await;
    if !begun.map_err(store_failed)? {
        return Err(ApiError::new(
            FaultKind::Conflict,
            "being_changed",
            "The roles of this person are being changed. Try again in a minute.",
        ));
    }
    let is_done = audit::finished(state, &unfinished).await;
    tracing::info!(tenant_id = %tenant.id, user_id = %user.id, action, is_done, "roles changed");
    Ok(is_done)
}

/// What a body asks for.
struct Wanted {
    email: Option<String>,
    roles: BTreeSet<Role>,
    invite: bool,
}

fn wanted(ask: &Ask<'_>, name: &str) -> Result<Wanted, ApiError> {
    let mut body = object(ask)?;
    // What GET shows may be sent back.
    for name in ["object", "id", "is_enabled", "status"] {
        body.remove(name);
    }
    let email = take_text(&mut body, "email")?;
    let email = email.map(|email| new_email(&email)).transpose();
    let email = email.map_err(invalid_caller)?;
    if name.contains('@') && email.as_ref().is_some_and(|email| email != name) {
        let message = "A person is named by their address, which is the last part of the path. Leave `email` out, or say the same.";
        return Err(invalid("email", message));
    }
    let invite = take_flag(&mut body, "invite", true)?;
    let roles = roles(&mut body)?;
    refuse_unknown(&body)?;
    Ok(Wanted { email, roles, invite })
}

fn roles(body: &mut Map<String, Value>) -> Result<BTreeSet<Role>, ApiError> {
    let names = PERSON_ROLES.map(Role::as_str).join(", ");
    let rule = format!("A list of at least one of {names}. To remove a person, use DELETE.");
    let Some(Value::Array(given)) = body.remove("roles") else {
        return Err(invalid("roles", rule));
    };
    let mut roles = BTreeSet::new();
    for (index, value) in given.iter().enumerate() {
        let known = value.as_str().and_then(|name| name.parse::<Role>().ok());
        let known = known.filter(|role| PERSON_ROLES.contains(role));
        roles.insert(known.ok_or_else(|| invalid(format!("roles[{index}]"), rule.as_str()))?);
    }
    if roles.is_empty() { Err(invalid("roles", rule)) } else { Ok(roles) }
}

/// Nobody takes the role from themselves by which they run what they run: there might be no other.
fn keeps_own_role(
    context: &TenantContext,
    user: &User,
    has: &BTreeSet<Role>,
    wanted: &BTreeSet<Role>,
) -> Result<(), ApiError> {
    let admin = |roles: &BTreeSet<Role>| {
        let admins = roles.iter().filter(|role| Permission::ManageCallers.is_granted_to(**role));
        admins.map(|role| role.reach()).max()
    };
    if user.id == context.principal.id && admin(wanted) < admin(has) {
        let message = "You cannot take your own administrator's role from yourself. Ask another administrator.";
        return Err(conflict("own_role", message));
    }
    Ok(())
}

async fn memberships_of(
    state: &State<impl AdministrationStore, impl UserPool>,
    tenant: &Visible,
    user: &User,
) -> Result<(BTreeSet<Role>, bool), ApiError> {
    match state.pool.groups_of(user.id.as_str()).await {
        Ok(groups) => Ok(memberships(&tenant.id, &groups)),
        Err(UserPoolError::NotFound) => Ok((BTreeSet::new(), false)),
        Err(error) => Err(store_failed(error)),
    }
}

fn difference(one: &BTreeSet<Role>, other: &BTreeSet<Role>) -> BTreeSet<Role> {
    one.symmetric_difference(other).copied().collect()
}

fn member_elsewhere() -> ApiError {
    let message = "This person is a member of another tenant, and can be a member of one only. They need another address here.";
    conflict("member_elsewhere", message)
}

fn unknown(name: &str) -> ApiError {
    ApiError::not_found("user", name)
}

fn shown(user: &User, roles: &BTreeSet<Role>) -> Value {
    json!({
        "object": "user",
        "id": user.id,
        "email": user.email,
        "roles": roles,
        "is_enabled": user.is_enabled,
        "status": user.status,
    })
}
