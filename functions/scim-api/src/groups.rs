//! `/Groups`: groups of people, and the roles that they give.
//!
//! Who is in a group stands with the people. A group that changes is marked as spreading first and unmarked
//! when each of its people has got what it gives; what was cut between is done by the same request again.

use std::collections::{BTreeMap, BTreeSet};

use administration::UserPool;
use futures::stream::{self, StreamExt as _};
use futures::try_join;
use http::{Response, StatusCode};
use http_api::Body;
use scim::{
    GROUP, GroupChange, MemberStore, Patch, Resource, ScimError, ScimType, StoredGroup, StoredUser,
    read, role_of, uniques,
};
use serde_json::{Value, json};

use crate::Call;
use crate::answer::{empty, failed, framed, one};
use crate::ask::{Wanted, body, fits, matches, projection, unchanged};
use crate::people::{self, MAX_TRIES, busy, entry, refuse_taken};
use crate::users::{roster, user};

/// People whom one request may change: each takes a few calls, and a request has less than half a minute.
const MAX_CHANGED: usize = 500;
/// People who are changed at the same time.
const CHANGED_TOGETHER: usize = 16;

/// Those that are wanted.
pub(crate) async fn list(
    call: &Call<'_, impl MemberStore, impl UserPool>,
    wanted: &Wanted,
) -> Result<Vec<Value>, ScimError> {
    let (roster, users) = try_join!(roster(call), everybody(call))?;
    let groups = roster.groups.values().map(|group| shown(&call.base, group, &users)).collect();
    Ok(wanted.select(&GROUP, groups))
}

/// `GET /Groups/{id}`
pub(crate) async fn show(
    call: &Call<'_, impl MemberStore, impl UserPool>,
    id: &str,
) -> Result<Response<Body>, ScimError> {
    let projection = projection(call.ask)?;
    let roster = roster(call).await?;
    let group = roster.groups.get(id).ok_or_else(|| unknown(id))?;
    if let Some(unchanged) = unchanged(call.ask, group.version) {
        return Ok(unchanged);
    }
    let is_wanted = projection.wants(&GROUP, "members");
    let users = if is_wanted { everybody(call).await? } else { BTreeMap::new() };
    Ok(one(StatusCode::OK, &GROUP, shown(&call.base, group, &users), &projection))
}

/// `POST /Groups`
pub(crate) async fn create(
    call: &Call<'_, impl MemberStore, impl UserPool>,
) -> Result<Response<Body>, ScimError> {
    let (sent, projection) = (read(&GROUP, &body(call.ask)?)?, projection(call.ask)?);
    let (resource, wanted) = split(sent)?;
    refuse_strangers(&wanted, &everybody(call).await?)?;
    let now = (call.state.now)();
    let group = StoredGroup {
        id: (call.state.new_id)(),
        version: 1,
        created: now,
        modified: now,
        resource,
        is_spreading: !wanted.is_empty(),
    };
    if !write(call, "scim_group.created", None, Some(&group)).await? {
        refuse_taken(call, &group.id, &uniques(&GROUP, &group.resource)).await?;
        return Err(busy());
    }
    let users = spread(call, &group, &wanted).await?;
    Ok(one(StatusCode::CREATED, &GROUP, shown(&call.base, &group, &users), &projection))
}

/// `PUT /Groups/{id}`
pub(crate) async fn replace(
    call: &Call<'_, impl MemberStore, impl UserPool>,
    id: &str,
) -> Result<Response<Body>, ScimError> {
    let sent = read(&GROUP, &body(call.ask)?)?;
    change(call, id, |_| Ok(sent.clone())).await
}

/// `PATCH /Groups/{id}`
pub(crate) async fn patch(
    call: &Call<'_, impl MemberStore, impl UserPool>,
    id: &str,
) -> Result<Response<Body>, ScimError> {
    let patch = Patch::parse(&GROUP, &body(call.ask)?)?;
    change(call, id, |now| patch.apply(&GROUP, now)).await
}

/// `DELETE /Groups/{id}`
pub(crate) async fn delete(
    call: &Call<'_, impl MemberStore, impl UserPool>,
    id: &str,
) -> Result<Response<Body>, ScimError> {
    for _ in 0..MAX_TRIES {
        let (roster, users) = try_join!(roster(call), everybody(call))?;
        let group = roster.groups.get(id).ok_or_else(|| unknown(id))?;
        matches(call.ask, group.version)?;
        assign(call, group, &BTreeSet::new(), &users).await?;
        if write(call, "scim_group.deleted", Some(group), None).await? {
            return Ok(empty(StatusCode::NO_CONTENT));
        }
    }
    Err(busy())
}

/// Makes of a group what `make` makes of it and its members.
async fn change(
    call: &Call<'_, impl MemberStore, impl UserPool>,
    id: &str,
    make: impl Fn(&Resource) -> Result<Resource, ScimError>,
) -> Result<Response<Body>, ScimError> {
    let projection = projection(call.ask)?;
    for _ in 0..MAX_TRIES {
        let (roster, users) = try_join!(roster(call), everybody(call))?;
        let before = roster.groups.get(id).ok_or_else(|| unknown(id))?;
        matches(call.ask, before.version)?;
        let mut now = before.resource.clone();
        let has: BTreeSet<String> = members(id, &users).map(|user| user.id.clone()).collect();
        if !has.is_empty() {
            let values: Vec<_> = has.iter().map(|id| json!({ "value": id })).collect();
            now.insert("members".into(), values.into());
        }
        let (resource, wanted) = split(make(&now)?)?;
        refuse_strangers(&wanted, &users)?;
        if resource == before.resource && wanted == has && !before.is_spreading {
            let shown = shown(&call.base, before, &users);
            return Ok(one(StatusCode::OK, &GROUP, shown, &projection));
        }
        let (version, modified) = (before.version.saturating_add(1), (call.state.now)());
        let id = before.id.clone();
        let created = before.created;
        let after = StoredGroup { id, version, created, modified, resource, is_spreading: true };
        if write(call, "scim_group.changed", Some(before), Some(&after)).await? {
            let users = spread(call, &after, &wanted).await?;
            let shown = shown(&call.base, &after, &users);
            return Ok(one(StatusCode::OK, &GROUP, shown, &projection));
        }
        refuse_taken(call, &after.id, &uniques(&GROUP, &after.resource)).await?;
    }
    Err(busy())
}

/// Writes a change of a group; whether it could be written.
async fn write(
    call: &Call<'_, impl MemberStore, impl UserPool>,
    action: &str,
    before: Option<&StoredGroup>,
    after: Option<&StoredGroup>,
) -> Result<bool, ScimError> {
    let role = |group: Option<&StoredGroup>| {
        group.map(|group| role_of(&group.resource)).transpose().map(Option::flatten)
    };
    let (had, gives) = (role(before)?, role(after)?);
    let said = |group: Option<&StoredGroup>, role| {
        group
            .map_or(Value::Null, |it| json!({"name": it.resource.get("displayName"), "role": role}))
    };
    let id = after.or(before).map(|group| group.id.as_str()).unwrap_or_default();
    let values = (said(before, had), said(after, gives));
    let change = GroupChange {
        before: before.cloned(),
        after: after.cloned(),
        is_decisive: had != gives,
        entry: Some(entry(call, action, &format!("scim/groups/{id}"), values)),
    };
    call.state.store.change_group(&call.context.tenant_id, &change).await.map_err(failed)
}

/// Gives the group these members, and each of them what it gives; notes that all have got it. Everybody as
/// they are then.
async fn spread(
    call: &Call<'_, impl MemberStore, impl UserPool>,
    group: &StoredGroup,
    wanted: &BTreeSet<String>,
) -> Result<BTreeMap<String, StoredUser>, ScimError> {
    if !group.is_spreading {
        return Ok(BTreeMap::new());
    }
    assign(call, group, wanted, &everybody(call).await?).await?;
    let after = Some(StoredGroup { is_spreading: false, ..group.clone() });
    let change =
        GroupChange { before: Some(group.clone()), after, is_decisive: false, entry: None };
    let written = call.state.store.change_group(&call.context.tenant_id, &change).await;
    // Whoever changed the group meanwhile spreads it, too.
    written.map_err(failed)?;
    everybody(call).await
}

/// Puts people into a group and takes others out. Each is tried; the first failure is told.
async fn assign(
    call: &Call<'_, impl MemberStore, impl UserPool>,
    group: &StoredGroup,
    wanted: &BTreeSet<String>,
    users: &BTreeMap<String, StoredUser>,
) -> Result<(), ScimError> {
    let leaving = members(&group.id, users).map(|user| user.id.clone());
    let affected: BTreeSet<String> = leaving.chain(wanted.iter().cloned()).collect();
    if affected.len() > MAX_CHANGED {
        let detail =
            format!("A group with a request that changes it has {MAX_CHANGED} people at most.");
        return Err(ScimError::bad(ScimType::TooMany, detail));
    }
    let changes: Vec<_> =
        affected.iter().map(|id| place(call, &group.id, id, wanted.contains(id))).collect();
    let changes = stream::iter(changes).buffer_unordered(CHANGED_TOGETHER);
    changes.collect::<Vec<_>>().await.into_iter().collect()
}

/// Puts a person into a group, or takes them out.
async fn place(
    call: &Call<'_, impl MemberStore, impl UserPool>,
    group_id: &str,
    id: &str,
    is_in: bool,
) -> Result<(), ScimError> {
    for _ in 0..MAX_TRIES {
        // The roster first: of what is newer than it, nothing is decided.
        let roster = roster(call).await?;
        let Some(before) = user(call, id).await? else { return Ok(()) };
        let mut after = before.clone();
        if is_in {
            after.groups.insert(group_id.to_owned());
        } else {
            after.groups.remove(group_id);
        }
        after.version = before.version.saturating_add(1);
        after.modified = (call.state.now)();
        let (uniques, changed) = (after.uniques(), Some(after));
        if people::change(call, "scim_user.placed", Some(before), changed, &roster).await? {
            return Ok(());
        }
        refuse_taken(call, id, &uniques).await?;
    }
    Err(busy())
}

/// A group without its members, and those.
fn split(mut resource: Resource) -> Result<(Resource, BTreeSet<String>), ScimError> {
    let members = resource.shift_remove("members");
    let members = members.as_ref().and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let ids = members.iter().map(|it| {
        let detail = "`members.value` is the id of a user.";
        let id = it["value"].as_str().map(str::to_owned);
        id.ok_or_else(|| ScimError::bad(ScimType::InvalidValue, detail))
    });
    let ids = ids.collect::<Result<_, _>>()?;
    fits(&resource)?;
    role_of(&resource)?;
    Ok((resource, ids))
}

fn refuse_strangers(
    ids: &BTreeSet<String>,
    users: &BTreeMap<String, StoredUser>,
) -> Result<(), ScimError> {
    let Some(id) = ids.iter().find(|id| !users.contains_key(*id)) else { return Ok(()) };
    let detail = format!("There is no user `{}` to be a member.", http_api::shortened(id));
    Err(ScimError::bad(ScimType::InvalidValue, detail))
}

async fn everybody(
    call: &Call<'_, impl MemberStore, impl UserPool>,
) -> Result<BTreeMap<String, StoredUser>, ScimError> {
    let users = call.state.store.users(&call.context.tenant_id).await.map_err(failed)?;
    Ok(users.into_iter().map(|user| (user.id.clone(), user)).collect())
}

fn members<'a>(
    id: &'a str,
    users: &'a BTreeMap<String, StoredUser>,
) -> impl Iterator<Item = &'a StoredUser> {
    users.values().filter(move |user| user.groups.contains(id))
}

/// A group as clients see it.
fn shown(base: &str, group: &StoredGroup, users: &BTreeMap<String, StoredUser>) -> Resource {
    let (counted, times) = ((group.id.as_str(), group.version), (group.created, group.modified));
    let mut shown = framed(&GROUP, base, counted, times, &group.resource);
    let members: Vec<_> = members(&group.id, users)
        .map(|user| {
            let place = format!("{base}/Users/{}", user.id);
            json!({"value": user.id, "$ref": place, "type": "User"})
        })
        .collect();
    if !members.is_empty() {
        shown.insert("members".into(), members.into());
    }
    shown
}

fn unknown(id: &str) -> ScimError {
    ScimError::of(404, format!("There is no group `{}`.", http_api::shortened(id)))
}
