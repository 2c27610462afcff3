//! Limits: as they are set, how they were, and their change.

use admission::{
    AuditEntry, LimitChange, LimitOwner, LimitRule, LimitSet, check_rules, finish_change,
    read_rules,
};
use http::{Response, StatusCode, header};
use http_api::{
    ApiError, Ask, Body, answer, etag, invalid, refuse_unknown, store_failed, with_header,
};
use inference::FaultKind;
use serde_json::{Map, Value, json};
use tenancy::TenantContext;

use crate::access::{Wish, limits_for};
use crate::answer::{changed, invalid_rule};
use crate::{State, Store, seed};

/// Limits that a level holds in all its lists at most, so that its item stays well below DynamoDB's 400 KB.
const MAX_RULES_OF_LEVEL: usize = 500;

/// Entries of the history in one page at most.
const MAX_ENTRIES: usize = 100;

/// `GET /v1/limits/{scope}`
pub(crate) async fn show(
    state: &State<impl Store>,
    context: &TenantContext,
    owner: &LimitOwner,
) -> Result<Response<Body>, ApiError> {
    let set = limits_for(&state.store, context, owner, Wish::Read).await?;
    Ok(shown(StatusCode::OK, owner, &set, []))
}

/// `PUT /v1/limits/{scope}`
///
/// What is written at once is all that counts afterwards: the limits, who changed them, and a note
/// that the tenants below are still to be told. Whoever finds the note later tells them again.
pub(crate) async fn set(
    state: &State<impl Store>,
    context: &TenantContext,
    owner: &LimitOwner,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    let set = match limits_for(&state.store, context, owner, Wish::Manage).await {
        Ok(set) => set,
        Err(error) => return Err(note_refusal(state, context, "limits.set", owner, error).await),
    };
    let is_dry_run = ask.flag("dry_run")?;
    ask.only(&["dry_run"])?;
    require_match(ask, &set)?;
    let rules = wanted(ask, owner, &set)?;
    let changes = differences(&set.rules, &rules);
    if is_dry_run || changes.is_empty() {
        let after = LimitSet { rules, ..set };
        let more = [("changes", changes.into()), ("is_dry_run", is_dry_run.into())];
        return Ok(shown(StatusCode::OK, owner, &after, more));
    }
    let entry = entry(state, context, "limits.set", owner, &set, &rules);
    let change = LimitChange { version: set.version, rules, granted: None, entry };
    let after = apply(state, owner, set, change).await?;
    let status = if after.is_changing { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok(shown(status, owner, &after, [("changes", changes.into()), ("is_dry_run", false.into())]))
}

/// Makes a change, and makes it effective.
///
/// # Errors
/// 412 if the limits changed meanwhile; 503 if nothing was changed.
pub(crate) async fn apply(
    state: &State<impl Store>,
    owner: &LimitOwner,
    before: LimitSet,
    change: LimitChange,
) -> Result<LimitSet, ApiError> {
    // Before the change, so that no call finds a new limit with an empty meter.
    seed::seed_meters(state, owner, &before, &change.rules).await?;
    if !state.store.change(owner, &change).await.map_err(store_failed)? {
        return Err(changed_meanwhile(None));
    }
    let version = change.version.saturating_add(1);
    let finished = finish_change(&state.store, owner, version).await;
    match &finished {
        Ok(tenants) => {
            tracing::info!(scope = %owner, version, tenants, "limits changed");
        }
        Err(error) => {
            // The change stands; the schedule finishes it.
            tracing::warn!(scope = %owner, version, %error, "a change of limits is not finished yet");
        }
    }
    Ok(LimitSet { version, rules: change.rules, is_changing: finished.is_err(), ..before })
}

/// `GET /v1/limits/{scope}/history`
pub(crate) async fn history(
    state: &State<impl Store>,
    context: &TenantContext,
    owner: &LimitOwner,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    limits_for(&state.store, context, owner, Wish::Read).await?;
    ask.only(&["before", "limit"])?;
    let limit = ask.number("limit", 1, MAX_ENTRIES, 20)?;
    let before = ask.get("before");
    let entries = state.store.history(owner, before, limit).await.map_err(store_failed)?;
    let next = (entries.len() == limit).then(|| entries.last().map(AuditEntry::position));
    let body = json!({
        "object": "list",
        "scope": owner.to_string(),
        "data": entries,
        "next_before": next.flatten(),
    });
    Ok(answer(StatusCode::OK, &body))
}

/// Notes who was refused what, and gives the refusal back.
pub(crate) async fn note_refusal(
    state: &State<impl Store>,
    context: &TenantContext,
    action: &str,
    subject: &(impl ToString + ?Sized + Sync),
    error: ApiError,
) -> ApiError {
    if error.fault().kind != FaultKind::PermissionDenied {
        return error;
    }
    let nothing = |before| AuditEntry {
        is_allowed: false,
        before,
        after: Value::Null,
        ..blank_entry(state, context, action, &subject.to_string())
    };
    if let Err(failed) = state.store.note(&nothing(Value::Null)).await {
        tracing::error!(error = %failed, "a refused change could not be noted");
    }
    error
}

/// An entry of what is about to be done.
pub(crate) fn entry(
    state: &State<impl Store>,
    context: &TenantContext,
    action: &str,
    owner: &LimitOwner,
    before: &LimitSet,
    after: &[LimitRule],
) -> AuditEntry {
    AuditEntry {
        version: Some(before.version.saturating_add(1)),
        before: json!(before.rules),
        after: json!(after),
        ..blank_entry(state, context, action, &owner.to_string())
    }
}

pub(crate) fn blank_entry(
    state: &State<impl Store>,
    context: &TenantContext,
    action: &str,
    subject: &str,
) -> AuditEntry {
    AuditEntry::of(context, (state.new_id)(), (state.now)(), action, subject.to_owned())
}

/// Checks that the caller has seen what it is about to replace.
fn require_match(ask: &Ask<'_>, set: &LimitSet) -> Result<(), ApiError> {
    crate::answer::require_match(ask, "limits")?;
    if ask.names(set.version) { Ok(()) } else { Err(changed_meanwhile(Some(set.version))) }
}

pub(crate) fn changed_meanwhile(version: Option<u64>) -> ApiError {
    changed("limits", version)
}

/// The limits that the body asks for.
fn wanted(ask: &Ask<'_>, owner: &LimitOwner, set: &LimitSet) -> Result<Vec<LimitRule>, ApiError> {
    let mut body = ask.object()?;
    // What GET shows may be sent back.
    for name in ["object", "scope", "version", "is_effective"] {
        body.remove(name);
    }
    let limits = body
        .remove("limits")
        .ok_or_else(|| invalid("limits", "`limits` is missing: the whole list, `[]` for none."))?;
    refuse_unknown(&body)?;
    let keeps_raises: Vec<bool> = raises_left_out(&limits);
    let mut rules = read_rules(&limits).map_err(invalid_rule)?;
    for (index, (rule, keeps)) in rules.iter_mut().zip(keeps_raises).enumerate() {
        let granted = set.rules.iter().find(|old| old.id == rule.id).map(|old| &old.raises);
        let granted = granted.map_or(&[][..], Vec::as_slice);
        if keeps {
            rule.raises = granted.to_vec();
        } else if let Some(new) = rule.raises.iter().find(|raise| !granted.contains(raise)) {
            return Err(invalid(
                format!("limits[{index}].raises"),
                format!(
                    "The raise `{}` was not granted like this. Raises are asked for and granted at /v1/limits/{owner}/raises; here they can only be taken away.",
                    new.id
                ),
            ));
        }
    }
    check_rules(&owner.scope(), &rules).map_err(invalid_rule)?;
    let others = set.rules_of_level.saturating_sub(set.rules.len());
    if others + rules.len() > MAX_RULES_OF_LEVEL {
        let message = format!(
            "The tenant with its projects and principals has {MAX_RULES_OF_LEVEL} limits at most; the other lists have {others} of them. Limits that many principals share go into `each-principal`."
        );
        return Err(invalid("limits", message));
    }
    Ok(rules)
}

/// For each limit of a list whether it says nothing of raises.
fn raises_left_out(limits: &Value) -> Vec<bool> {
    let limits = limits.as_array().map_or(&[][..], Vec::as_slice);
    limits.iter().map(|limit| limit.get("raises").is_none()).collect()
}

/// What a change adds, changes and takes away.
fn differences(before: &[LimitRule], after: &[LimitRule]) -> Vec<Value> {
    let named = |rules: &[LimitRule], id: &str| rules.iter().find(|rule| rule.id == id).cloned();
    let gone = before.iter().filter(|rule| named(after, &rule.id).is_none());
    let gone = gone.map(|rule| json!({"id": rule.id, "change": "removed", "before": rule}));
    let new = after.iter().filter_map(|rule| match named(before, &rule.id) {
        None => Some(json!({"id": rule.id, "change": "added", "after": rule})),
        Some(old) if old != *rule => {
            Some(json!({"id": rule.id, "change": "changed", "before": old, "after": rule}))
        }
        Some(_) => None,
    });
    let mut changes: Vec<Value> = gone.chain(new).collect();
    let order = |rules: &[LimitRule]| rules.iter().map(|rule| rule.id.clone()).collect::<Vec<_>>();
    if changes.is_empty() && order(before) != order(after) {
        changes
            .push(json!({"change": "reordered", "before": order(before), "after": order(after)}));
    }
    changes
}

fn shown(
    status: StatusCode,
    owner: &LimitOwner,
    set: &LimitSet,
    more: impl IntoIterator<Item = (&'static str, Value)>,
) -> Response<Body> {
    let mut body = Map::new();
    body.insert("object".into(), "limits".into());
    body.insert("scope".into(), owner.to_string().into());
    body.insert("version".into(), set.version.into());
    body.insert("is_effective".into(), (!set.is_changing).into());
    body.insert("limits".into(), json!(set.rules));
    body.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
    with_header(answer(status, &Value::Object(body)), header::ETAG, &etag(set.version))
}
