//! Plans: what an account pays for what its calls cost.

use billing::port::BillingStore as _;
use billing::{Account, Month, MonthState, Plan};
use http::{Response, StatusCode};
use http_api::{ApiError, Ask, Body, answer, conflict, invalid, store_failed};
use serde_json::{Map, Value, json};
use tenancy::TenantContext;

use crate::account::{account, named, readable, require, unknown};
use crate::{State, Store, tasks};

const ACTION: &str = "plan.set";

/// `GET /v1/billing/plans`
pub(crate) async fn list(
    state: &State<impl Store>,
    context: &TenantContext,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    ask.only(&["account"])?;
    let account = named(ask, context)?;
    let is_there = readable(&state.store, context, &account).await?;
    let plans = state.store.books().plans(&account).await.map_err(store_failed)?;
    if plans.is_empty() && !is_there {
        return Err(unknown(&account));
    }
    Ok(answer(StatusCode::OK, &json!({"object": "list", "account": account, "data": plans})))
}

/// `PUT /v1/billing/plans`
pub(crate) async fn set(
    state: &State<impl Store>,
    context: &TenantContext,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    tasks::require_books(state, context, ACTION, &"billing/plans").await?;
    ask.only(&["account"])?;
    let Some(text) = ask.get("account") else {
        let message = "Say whose plan: `account=tenant=<id>`, `lob=<id>` or `org`.";
        return Err(invalid("account", message));
    };
    let account: Account = account("account", text)?;
    let plan = wanted(ask)?;
    require(&state.store, &account).await?;
    let books = state.store.books();
    if books.books().await.map_err(store_failed)?.state_of(plan.valid_from) != MonthState::Open {
        return Err(not_open(plan.valid_from));
    }
    let before = books.plans(&account).await.map_err(store_failed)?;
    let before = before.into_iter().find(|other| other.valid_from == plan.valid_from);
    if before.as_ref() != Some(&plan) {
        let subject = format!("billing/plans/{account}");
        let change = (json!(before), json!(plan));
        tasks::note(state, context, ACTION, &subject, change).await?;
        // Its month may have been closed just now.
        if !books.put_plan(&account, &plan).await.map_err(store_failed)? {
            tasks::note_undone(state, context, ACTION, &subject).await;
            return Err(not_open(plan.valid_from));
        }
    }
    Ok(answer(StatusCode::OK, &json!(plan)))
}

fn not_open(period: Month) -> ApiError {
    let message = format!(
        "{period} is closed or being closed, and what it is billed by never changes. Begin another plan in a month that is open."
    );
    conflict("month_not_open", message)
}

/// The plan that the body says.
fn wanted(ask: &Ask<'_>) -> Result<Plan, ApiError> {
    let body = ask.object()?;
    for name in ["id", "valid_from"] {
        if !body.contains_key(name) {
            return Err(invalid(name, format!("`{name}` is missing.")));
        }
    }
    let plan: Plan = read(body.clone()).map_err(|error| {
        let field = body.into_iter().find_map(fault).unwrap_or_default();
        invalid(field, format!("This is no part of a plan: {error}."))
    })?;
    plan.validate().map_err(|error| invalid(error.field, format!("{error}.")))?;
    Ok(plan)
}

fn read(body: Map<String, Value>) -> Result<Plan, serde_json::Error> {
    serde_json::from_value(Value::Object(body))
}

/// The name of a field that alone makes a plan none.
fn fault((name, value): (String, Value)) -> Option<String> {
    let plain = [("id", "x"), ("valid_from", "2026-01")];
    let mut body: Map<String, Value> =
        plain.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    body.insert(name.clone(), value);
    read(body).is_err().then(|| name.chars().take(64).collect())
}
