//! `/Users`: people.

use administration::UserPool;
use futures::try_join;
use http::{Response, StatusCode};
use http_api::Body;
use scim::{
    Filter, MemberStore, Patch, Resource, Roster, ScimError, StoredUser, USER, read, uniques,
};
use serde_json::{Value, json};

use crate::Call;
use crate::answer::{empty, failed, framed, one};
use crate::ask::{Wanted, body, fits, matches, projection, unchanged};
use crate::people::{self, MAX_TRIES, busy, refuse_taken};

/// Those that are wanted.
pub(crate) async fn list(
    call: &Call<'_, impl MemberStore, impl UserPool>,
    wanted: &Wanted,
) -> Result<Vec<Value>, ScimError> {
    let (users, roster) = try_join!(candidates(call, wanted.filter.as_ref()), roster(call))?;
    let users = users.iter().map(|user| shown(&call.base, user, &roster)).collect();
    Ok(wanted.select(&USER, users))
}

/// `POST /Users`
pub(crate) async fn create(
    call: &Call<'_, impl MemberStore, impl UserPool>,
) -> Result<Response<Body>, ScimError> {
    let (resource, projection) = (sent(call)?, projection(call.ask)?);
    fits(&resource)?;
    let now = (call.state.now)();
    let user = StoredUser {
        id: (call.state.new_id)(),
        version: 1,
        created: now,
        modified: now,
        resource,
        groups: [].into(),
        person: None,
        address: None,
    };
    for _ in 0..MAX_TRIES {
        let roster = roster(call).await?;
        if people::change(call, "scim_user.created", None, Some(user.clone()), &roster).await? {
            let shown = shown(&call.base, &user, &roster);
            return Ok(one(StatusCode::CREATED, &USER, shown, &projection));
        }
        refuse_taken(call, &user.id, &user.uniques()).await?;
    }
    Err(busy())
}

/// `GET /Users/{id}`
pub(crate) async fn show(
    call: &Call<'_, impl MemberStore, impl UserPool>,
    id: &str,
) -> Result<Response<Body>, ScimError> {
    let projection = projection(call.ask)?;
    let (user, roster) = try_join!(user(call, id), roster(call))?;
    let user = user.ok_or_else(|| unknown(id))?;
    if let Some(unchanged) = unchanged(call.ask, user.version) {
        return Ok(unchanged);
    }
    Ok(one(StatusCode::OK, &USER, shown(&call.base, &user, &roster), &projection))
}

/// `PUT /Users/{id}`
pub(crate) async fn replace(
    call: &Call<'_, impl MemberStore, impl UserPool>,
    id: &str,
) -> Result<Response<Body>, ScimError> {
    let resource = sent(call)?;
    change(call, id, |_| Ok(resource.clone())).await
}

/// `PATCH /Users/{id}`
pub(crate) async fn patch(
    call: &Call<'_, impl MemberStore, impl UserPool>,
    id: &str,
) -> Result<Response<Body>, ScimError> {
    let patch = Patch::parse(&USER, &body(call.ask)?)?;
    change(call, id, |now| patch.apply(&USER, now)).await
}

/// `DELETE /Users/{id}`
pub(crate) async fn delete(
    call: &Call<'_, impl MemberStore, impl UserPool>,
    id: &str,
) -> Result<Response<Body>, ScimError> {
    for _ in 0..MAX_TRIES {
        let (user, roster) = try_join!(user(call, id), roster(call))?;
        let user = user.ok_or_else(|| unknown(id))?;
        matches(call.ask, user.version)?;
        if people::change(call, "scim_user.deleted", Some(user), None, &roster).await? {
            return Ok(empty(StatusCode::NO_CONTENT));
        }
    }
    Err(busy())
}

/// A whole person, as the client says them; active, unless it says otherwise.
fn sent(call: &Call<'_, impl MemberStore, impl UserPool>) -> Result<Resource, ScimError> {
    let mut resource = read(&USER, &body(call.ask)?)?;
    resource.entry("active").or_insert(true.into());
    Ok(resource)
}

/// Makes of a person what `make` makes of what the client said of them.
async fn change(
    call: &Call<'_, impl MemberStore, impl UserPool>,
    id: &str,
    make: impl Fn(&Resource) -> Result<Resource, ScimError>,
) -> Result<Response<Body>, ScimError> {
    let projection = projection(call.ask)?;
    for _ in 0..MAX_TRIES {
        let (user, roster) = try_join!(user(call, id), roster(call))?;
        let before = user.ok_or_else(|| unknown(id))?;
        matches(call.ask, before.version)?;
        let resource = make(&before.resource)?;
        fits(&resource)?;
        if resource == before.resource {
            return Ok(one(
                StatusCode::OK,
                &USER,
                shown(&call.base, &before, &roster),
                &projection,
            ));
        }
        let (version, modified) = (before.version.saturating_add(1), (call.state.now)());
        let after = StoredUser { version, modified, resource, ..before.clone() };
        let (changed, action) = (Some(after.clone()), "scim_user.changed");
        if people::change(call, action, Some(before), changed, &roster).await? {
            return Ok(one(StatusCode::OK, &USER, shown(&call.base, &after, &roster), &projection));
        }
        refuse_taken(call, id, &after.uniques()).await?;
    }
    Err(busy())
}

/// The people whom a filter can select: by a name that only one has, that one.
async fn candidates(
    call: &Call<'_, impl MemberStore, impl UserPool>,
    filter: Option<&Filter>,
) -> Result<Vec<StoredUser>, ScimError> {
    let (store, tenant_id) = (&call.state.store, &call.context.tenant_id);
    for name in ["userName", "externalId"] {
        let Some(text) = filter.and_then(|filter| filter.only_equal(name)) else { continue };
        let named = [(name.to_owned(), Value::from(text))].into_iter().collect();
        let Some(unique) = uniques(&USER, &named).into_iter().next() else { continue };
        let Some(id) = store.holder(tenant_id, &unique).await.map_err(failed)? else {
            return Ok(Vec::new());
        };
        return Ok(user(call, &id).await?.into_iter().collect());
    }
    store.users(tenant_id).await.map_err(failed)
}

pub(crate) async fn roster(
    call: &Call<'_, impl MemberStore, impl UserPool>,
) -> Result<Roster, ScimError> {
    call.state.store.roster(&call.context.tenant_id).await.map_err(failed)
}

/// A person of the caller's tenant. What cannot be an id is none: no key is made of it.
pub(crate) async fn user(
    call: &Call<'_, impl MemberStore, impl UserPool>,
    id: &str,
) -> Result<Option<StoredUser>, ScimError> {
    if id.len() > 64 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(None);
    }
    call.state.store.user(&call.context.tenant_id, id).await.map_err(failed)
}

/// A person as clients see them.
fn shown(base: &str, user: &StoredUser, roster: &Roster) -> Resource {
    let (counted, times) = ((user.id.as_str(), user.version), (user.created, user.modified));
    let mut shown = framed(&USER, base, counted, times, &user.resource);
    let groups: Vec<_> = user
        .groups
        .iter()
        .filter_map(|id| roster.groups.get(id))
        .map(|group| {
            let display = group.resource.get("displayName");
            let place = format!("{base}/Groups/{}", group.id);
            json!({"value": group.id, "$ref": place, "display": display, "type": "direct"})
        })
        .collect();
    if !groups.is_empty() {
        shown.insert("groups".into(), groups.into());
    }
    shown
}

fn unknown(id: &str) -> ScimError {
    ScimError::of(404, format!("There is no user `{}`.", http_api::shortened(id)))
}
