//! Raises: more of a limit for a time, asked for by whoever needs it, granted by whoever sets it.

use admission::{
    LimitChange, LimitOwner, LimitRule, Raise, RaiseRequest, RequestStatus, max_amount, timestamp,
    whole, with_raise,
};
use http::{Response, StatusCode};
use http_api::{ApiError, Ask, Body, answer, invalid, refuse_unknown, store_failed};
use inference::FaultKind;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tenancy::TenantContext;

use crate::access::{Wish, limits_for, may_read};
use crate::answer::invalid_rule;
use crate::limits::{apply, blank_entry, changed_meanwhile, entry, note_refusal};
use crate::{State, Store};

/// A raise is for a time: what is to last is a limit.
const MAX_VALIDITY: SignedDuration = SignedDuration::from_hours(24 * 92);

/// Characters of a reason at most.
const MAX_REASON: usize = 500;

/// Times that granting is tried when limits change meanwhile.
const MAX_TRIES: usize = 3;

/// `GET /v1/limits/{scope}/raises`: all of them for those who see the limits, else the caller's own.
pub(crate) async fn list(
    state: &State<impl Store>,
    context: &TenantContext,
    owner: &LimitOwner,
) -> Result<Response<Body>, ApiError> {
    limits_for(&state.store, context, owner, Wish::Request).await?;
    let mut raises = state.store.raises(owner).await.map_err(store_failed)?;
    if !may_read(context, owner) {
        raises.retain(|raise| {
            (&raise.requested_by, &raise.requested_by_tenant)
                == (&context.principal.id, &context.tenant_id)
        });
    }
    Ok(answer(
        StatusCode::OK,
        &json!({"object": "list", "scope": owner.to_string(), "data": raises}),
    ))
}

/// `POST /v1/limits/{scope}/raises`
pub(crate) async fn request(
    state: &State<impl Store>,
    context: &TenantContext,
    owner: &LimitOwner,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    let set = limits_for(&state.store, context, owner, Wish::Request).await?;
    ask.only(&[])?;
    let raise = wanted(state, context, ask, &set.rules)?;
    let entry = admission::AuditEntry {
        after: json!(raise),
        ..blank_entry(state, context, "raise.requested", &owner.to_string())
    };
    state.store.put_raise(owner, &raise, &entry).await.map_err(store_failed)?;
    Ok(answer(StatusCode::CREATED, &shown(owner, &raise)))
}

/// `POST /v1/limits/{scope}/raises/{id}/approve` and `/reject`
pub(crate) async fn decide(
    state: &State<impl Store>,
    context: &TenantContext,
    owner: &LimitOwner,
    id: &str,
    is_approval: bool,
) -> Result<Response<Body>, ApiError> {
    let action = if is_approval { "raise.approved" } else { "raise.rejected" };
    for _ in 0..MAX_TRIES {
        let set = match limits_for(&state.store, context, owner, Wish::Manage).await {
            Ok(set) => set,
            Err(error) => return Err(note_refusal(state, context, action, owner, error).await),
        };
        let found = state.store.raises(owner).await.map_err(store_failed)?;
        let Some(asked) = found.into_iter().find(|raise| raise.id == id) else {
            return Err(ApiError::not_found("raise", id));
        };
        if asked.status != RequestStatus::Requested {
            return Err(decided_already(&asked));
        }
        let is_own = asked.requested_by == context.principal.id
            && asked.requested_by_tenant == context.tenant_id;
        if is_approval && is_own {
            let message = "Nobody grants their own raise. Ask another administrator.";
            let error = ApiError::new(FaultKind::PermissionDenied, "own_request", message);
            return Err(note_refusal(state, context, action, owner, error).await);
        }
        let now = (state.now)();
        let decided = RaiseRequest {
            status: if is_approval { RequestStatus::Approved } else { RequestStatus::Rejected },
            decided_by: Some(context.principal.id.clone()),
            decided_at: Some(now),
            ..asked.clone()
        };
        if !is_approval {
            let entry = admission::AuditEntry {
                before: json!(asked),
                after: json!(decided),
                ..blank_entry(state, context, action, &owner.to_string())
            };
            let is_done = state.store.reject_raise(owner, &decided, &entry).await;
            if is_done.map_err(store_failed)? {
                return Ok(answer(StatusCode::OK, &shown(owner, &decided)));
            }
            continue;
        }
        let rules = granted(&set.rules, &decided, context, now)?;
        let entry = entry(state, context, action, owner, &set, &rules);
        let change =
            LimitChange { version: set.version, rules, granted: Some(decided.clone()), entry };
        match apply(state, owner, set, change).await {
            Ok(_) => return Ok(answer(StatusCode::OK, &shown(owner, &decided))),
            // Somebody changed something else meanwhile, or decided first.
            Err(error) if error.fault().kind == FaultKind::PreconditionFailed => {}
            Err(error) => return Err(error),
        }
    }
    Err(changed_meanwhile(None))
}

fn decided_already(raise: &RaiseRequest) -> ApiError {
    let how = if raise.status == RequestStatus::Approved { "granted" } else { "rejected" };
    let message = format!("The raise `{}` was {how} already.", raise.id);
    ApiError::new(FaultKind::Conflict, "already_decided", message).never_retried()
}

/// The limits with the raise.
fn granted(
    rules: &[LimitRule],
    decided: &RaiseRequest,
    context: &TenantContext,
    now: Timestamp,
) -> Result<Vec<LimitRule>, ApiError> {
    if decided.valid_until <= now {
        let message =
            format!("The raise `{}` would be over already. Ask for a new one.", decided.id);
        return Err(ApiError::new(FaultKind::Conflict, "expired", message).never_retried());
    }
    let mut rules = rules.to_vec();
    let Some(rule) = rules.iter_mut().find(|rule| rule.id == decided.limit_id) else {
        let message = format!("There is no limit `{}` any more.", decided.limit_id);
        return Err(ApiError::new(FaultKind::Conflict, "limit_removed", message).never_retried());
    };
    let raise = Raise {
        id: decided.id.clone(),
        amount: decided.amount,
        valid_from: decided.valid_from,
        valid_until: decided.valid_until,
        granted_by: context.principal.id.clone(),
        reason: decided.reason.clone(),
    };
    *rule = with_raise(rule, raise, now).map_err(invalid_rule)?;
    Ok(rules)
}

/// The request that the body makes.
fn wanted(
    state: &State<impl Store>,
    context: &TenantContext,
    ask: &Ask<'_>,
    rules: &[LimitRule],
) -> Result<RaiseRequest, ApiError> {
    let mut body = ask.object()?;
    let missing = |name: &str| invalid(name, format!("`{name}` is missing."));
    let now = (state.now)();
    let limit_id = body.remove("limit_id").ok_or_else(|| missing("limit_id"))?;
    let limit_id = limit_id.as_str().unwrap_or_default();
    let Some(rule) = rules.iter().find(|rule| rule.id == limit_id) else {
        return Err(invalid(
            "limit_id",
            "The scope has no limit of this name. GET /v1/usage/limits lists those that you meet.",
        ));
    };
    let amount = body.remove("amount").ok_or_else(|| missing("amount"))?;
    let amount =
        whole("amount", &amount, "nano-USD of cost, else a count").map_err(invalid_rule)?;
    if amount == 0 || amount > max_amount(rule.metric) {
        let max = rule.metric.display(max_amount(rule.metric));
        return Err(invalid(
            "amount",
            format!("How much more: positive, {max} at most. Money is in nano-USD."),
        ));
    }
    if body.remove("currency").is_some_and(|currency| currency != "USD") {
        return Err(invalid(
            "currency",
            "Amounts of money are in nano-USD; no other currency is converted.",
        ));
    }
    let moment = |value: Option<Value>, name: &str| {
        value.map(|value| timestamp(name, &value)).transpose().map_err(invalid_rule)
    };
    let valid_from = moment(body.remove("valid_from"), "valid_from")?.unwrap_or(now);
    let valid_until = moment(body.remove("valid_until"), "valid_until")?;
    let valid_until = valid_until.ok_or_else(|| missing("valid_until"))?;
    if valid_until <= now.max(valid_from) {
        return Err(invalid("valid_until", "A raise ends after it begins, and in the future."));
    }
    if valid_until.duration_since(valid_from) > MAX_VALIDITY {
        return Err(invalid(
            "valid_until",
            "A raise is for 92 days at most. What is to last is a limit.",
        ));
    }
    let reason = match body.remove("reason") {
        None => String::new(),
        Some(Value::String(reason)) if reason.chars().count() <= MAX_REASON => reason,
        Some(_) => {
            return Err(invalid("reason", format!("A text of {MAX_REASON} characters at most.")));
        }
    };
    refuse_unknown(&body)?;
    Ok(RaiseRequest {
        id: (state.new_id)(),
        limit_id: limit_id.to_owned(),
        amount,
        valid_from,
        valid_until,
        reason,
        requested_by: context.principal.id.clone(),
        requested_by_tenant: context.tenant_id.clone(),
        requested_at: now,
        status: RequestStatus::Requested,
        decided_by: None,
        decided_at: None,
    })
}

fn shown(owner: &LimitOwner, raise: &RaiseRequest) -> Value {
    let mut body = json!(raise);
    if let Some(fields) = body.as_object_mut() {
        fields.insert("object".into(), "raise".into());
        fields.insert("scope".into(), owner.to_string().into());
    }
    body
}
